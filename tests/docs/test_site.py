"""The documentation as a site: complete, and nothing on it is fetched from elsewhere."""

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import autospace
from tests.docs.pages import ROOT

API = (ROOT / "docs" / "reference" / "api.md").read_text("utf-8")
CONFIG = (ROOT / "mkdocs.yml").read_text("utf-8")
_FETCHED = re.compile(
    r"<(?:script|link|img|iframe|source)\b[^>]*\b(?:src|href)=[\"'](?:https?:)?//[^\"']+"
    r"|url\([\"']?(?:https?:)?//[^)]+|@import\b[^;]+"
)


def test_every_public_name_is_on_the_page_of_the_api() -> None:
    shown = set(re.findall(r"^::: ([\w.]+)$", API, re.MULTILINE))
    assert {f"autospace.{home}.{name}" for name, home in autospace._HOMES.items()} <= shown


def test_every_page_stands_in_the_navigation() -> None:
    pages = {path.relative_to(ROOT / "docs").as_posix() for path in (ROOT / "docs").rglob("*.md")}
    assert set(re.findall(r": ([\w/-]+\.md)$", CONFIG, re.MULTILINE)) == pages


@pytest.mark.parametrize(
    "text",
    [
        '<script async src="https://cdn.example/x.js">',
        "<link rel='stylesheet' href='//fonts.example/css'>",
        "@import 'x.css';",
        "body { background: url(https://x.example/a.png) }",
    ],
)
def test_what_would_be_fetched_is_noticed(text: str) -> None:
    assert _FETCHED.search(text)
    assert not _FETCHED.search('<a href="https://example.org">a link</a> <img src="../a.svg">')


@pytest.mark.slow
def test_the_site_is_built_without_warnings_and_fetches_nothing(tmp_path: Path) -> None:
    pytest.importorskip("mkdocs", reason="the extra docs is not installed: make docs")
    for name in ("mkdocs.yml", "README.md", "CONTRIBUTING.md", "CHANGELOG.md"):
        shutil.copy(ROOT / name, tmp_path)
    for name in ("docs", "benchmarks"):
        shutil.copytree(ROOT / name, tmp_path / name)
    package = tmp_path / "build" / "api" / "autospace"
    ignored = shutil.ignore_patterns("__pycache__", "*.so")
    shutil.copytree(ROOT / "autospace", package, ignore=ignored)
    for name in ("cli", "spaces"):
        shutil.copytree(ROOT / name, package / name, ignore=ignored)
    command = [sys.executable, "-m", "mkdocs", "build", "--strict", "--quiet"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    site = tmp_path / "build" / "site"
    for path in [*site.rglob("*.html"), *site.rglob("*.css")]:
        assert not _FETCHED.search(path.read_text("utf-8")), path
    page = (site / "reference" / "api" / "index.html").read_text("utf-8")
    for name in autospace.__all__:
        assert f"{name}</" in page or f"{name}<" in page
