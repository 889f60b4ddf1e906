"""The guides about a network that leaves autospace, followed to the letter."""

import re
from pathlib import Path

import pytest

from tests.docs.following import followed
from tests.docs.pages import FOLLOWED_NETWORKS, Page

PAGES = [pytest.param(path, id=path.name) for path in FOLLOWED_NETWORKS]


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
    printed = followed(page, tmp_path)
    accuracy = re.search(r"^accuracy (0\.\d+|1\.000)", printed, re.MULTILINE)
    assert accuracy is not None, printed
    # Chance is 0.1.
    assert float(accuracy[1]) > 0.85
    # What a page shows of the output is what is printed.
    for shown in re.findall(r"`(\(\d.*?\) -> .*?)`", page.text):
        assert shown in printed
