"""The guide to captions, followed to the letter."""

from pathlib import Path

import pytest

from tests.docs.following import followed
from tests.docs.pages import Page

GUIDE = Path(__file__).parents[2] / "docs" / "guide" / "captions.md"


def test_links_lead_somewhere() -> None:
    assert Page.of(GUIDE).broken_links(GUIDE.parent) == []


@pytest.mark.slow
def test_every_command_does_what_it_says(tmp_path: Path) -> None:
    printed = followed(Page.of(GUIDE), tmp_path)
    assert "synthetic captions over real images" in printed
    assert "exact match" in printed
    assert (tmp_path / "runs" / "decoder-trained" / "result.json").is_file()
    assert (tmp_path / "decoder.py").is_file()
