"""The guides about a network that leaves autospace, followed to the letter."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.docs.pages import ROOT, Page

GUIDES = ROOT / "docs" / "guides"
PAGES = [pytest.param(GUIDES / name, id=name) for name in ("pytorch.md", "onnxruntime.md")]


def _followed(page: Page, folder: Path) -> str:
    """Saves the Python files of a page and runs its commands, in its order; what they print."""
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
    environment = {**os.environ, "PATH": path, "OMP_NUM_THREADS": "1"}
    printed = []
    for block in page.blocks:
        if block.language == "python":
            name = re.match(r"# (\w+\.py)\n", block.text)
            assert name is not None, "a program begins with its name"
            (folder / name[1]).write_text(block.text, "utf-8")
        elif block.language == "sh":
            command = ["bash", "-euc", block.text]
            done = subprocess.run(
                command, cwd=folder, env=environment, capture_output=True, text=True, check=False
            )
            assert done.returncode == 0, done.stderr
            printed.append(done.stdout)
    return "".join(printed)


@pytest.mark.parametrize("path", PAGES)
def test_a_guide_is_short_and_its_links_lead_somewhere(path: Path) -> None:
    page = Page.of(path)
    assert len(page.text.splitlines()) < 60
    assert page.broken_links(path.parent) == []
    assert page.missing_files() == []


@pytest.mark.slow
@pytest.mark.parametrize("path", PAGES)
def test_whoever_follows_a_guide_gets_a_network_that_reads_digits(
    path: Path, tmp_path: Path
) -> None:
    page = Page.of(path)
    printed = _followed(page, tmp_path)
    accuracy = re.search(r"^accuracy (0\.\d+|1\.000)", printed, re.MULTILINE)
    assert accuracy is not None, printed
    # Chance is 0.1.
    assert float(accuracy[1]) > 0.85
    # What a page shows of the output is what is printed.
    for shown in re.findall(r"`(\(\d.*?\) -> .*?)`", page.text):
        assert shown in printed
