"""The guide to sentences, followed to the letter."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

import autospace
from autospace.data.load import load_data
from autospace.networks.weights import load_metadata
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
    assert printed.splitlines()[-1] in load_data("sentences").classes


@pytest.mark.slow
@pytest.mark.parametrize("tokens", ["words", "characters"])
def test_a_fresh_process_labels_a_sentence_from_the_folder_alone(
    tmp_path: Path, tokens: str
) -> None:
    rows = [
        f"{text} number {index},{label}"
        for index in range(30)
        for text, label in (("sun is warm and bright", "day"), ("moon cold dark stars", "night"))
    ]
    table = tmp_path / "table.csv"
    table.write_text("\n".join(["text,label", *rows]), "utf-8")
    space = autospace.load("nas-bert@bert-small")
    autospace.train(
        space.architecture(space.reference),
        data=f"sentences:tokens={tokens},length=24:{table}",
        settings={"training": {"epochs": 12, "batch": 8}},
        out=tmp_path / "runs" / "bert-trained",
        observer=autospace.Silent(),
    )
    table.unlink()
    about = load_metadata(tmp_path / "runs" / "bert-trained" / "model.safetensors")
    assert about["tokens"] == tokens
    assert ("sun" in json.loads(about["vocabulary"])) == (tokens == "words")
    (program,) = [each.text for each in Page.of(GUIDE).blocks if each.language == "python"]
    (tmp_path / "classify.py").write_text(program, "utf-8")
    for sentence, label in (
        ("Sun is warm and bright", "day"),
        ("sun is  WARM, and bright number 1", "day"),
        ("moon cold dark stars number 99", "night"),
    ):
        if tokens == "characters":
            sentence = sentence.lower()
        done = subprocess.run(
            [sys.executable, "classify.py", sentence],
            cwd=tmp_path,
            env={**os.environ, "PYTHONSAFEPATH": "", "OMP_NUM_THREADS": "1"},
            capture_output=True,
            text=True,
            check=True,
        )
        assert done.stdout == f"{label}\n"
