"""The guide to sentences, followed to the letter."""

from pathlib import Path

import pytest

from tests.docs.following import followed
from tests.docs.pages import Page

GUIDE = Path(__file__).parents[2] / "docs" / "guide" / "sentences.md"


def test_links_lead_somewhere() -> None:
    assert Page.of(GUIDE).broken_links(GUIDE.parent) == []


@pytest.mark.slow
def test_every_command_does_what_it_says(tmp_path: Path) -> None:
    printed = followed(Page.of(GUIDE), tmp_path)
    assert "help topics of Python" in printed
    assert (tmp_path / "runs" / "bert-trained" / "result.json").is_file()
    assert (tmp_path / "bert.onnx").is_file()
