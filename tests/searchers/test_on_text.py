"""Searches over recurrent cells: they end, agree with what they report, and can be resumed."""

import math
import random
from pathlib import Path
from typing import Any

import pytest
import torch

from autospace import compare, evolve, search
from autospace.compute.device import threads
from autospace.data.errors import DataError
from autospace.progress import Silent
from autospace.searchers.make import METHODS
from autospace.spaces import Space, SpaceError, load
from autospace.spaces.choices import SearchError
from autospace.spaces.files.families import family_space
from autospace.spaces.sequence import SequenceSkeleton
from autospace.supernets.families import ON_TEXT
from autospace.training.task import LanguageModelling

SMALL: dict[str, Any] = {
    "supernet": {"steps": 6, "batch": 8, "validation_batches": 1},
    "trial": {"steps": 3, "batch": 8},
    "evaluations": 3,
    "finalists": 1,
}


def _space() -> Space:
    return family_space("enas-rnn", SequenceSkeleton.of("tiny", 2, 8, 2))


@pytest.fixture
def source(tmp_path: Path) -> str:
    rng = random.Random(0)
    (tmp_path / "t.txt").write_text("".join(rng.choice("ab") for _ in range(1500)))
    return f"text:bptt=5:{tmp_path / 't.txt'}"


@pytest.mark.parametrize("method", ON_TEXT)
def test_every_method_for_text_ends(method: str, source: str, tmp_path: Path) -> None:
    found = search(_space(), source, method=method, settings=SMALL, out=tmp_path / "run")
    # Letters by chance: no network is better than a perplexity of 2.
    assert 0.4 < found.accuracy < 0.55
    assert found.best.kind == "recurrent"
    assert found.result.params == found.best.cost.params


def test_trainings_in_bfloat16_end_alike(source: str, tmp_path: Path) -> None:
    settings = {**SMALL, "trial": {"steps": 30, "batch": 8}}
    plain, half = (
        search(
            _space(),
            source,
            method="random",
            settings={**settings, "evaluator": {"precision": name}},
            out=tmp_path / name,
        )
        for name in ("float32", "bfloat16")
    )
    assert half.accuracy != plain.accuracy
    assert half.accuracy == pytest.approx(plain.accuracy, abs=0.02)


@pytest.mark.parametrize("method", sorted({*METHODS} - {*ON_TEXT}))
def test_other_methods_say_which_work(method: str, source: str, tmp_path: Path) -> None:
    with pytest.raises(SpaceError, match=r"reads text, for which .*; allowed: random, ") as found:
        search(_space(), source, method=method, settings=SMALL, out=tmp_path / "run")
    assert "\n" not in str(found.value)
    assert not (tmp_path / "run").exists()


class _Threads(Silent):
    def __init__(self) -> None:
        self.seen = set[int]()

    def tick(self, phase: str, done: int, total: int) -> None:
        if phase == "search":
            self.seen.add(torch.get_num_threads())


def test_narrow_cells_are_searched_in_one_thread(source: str, tmp_path: Path) -> None:
    watching = _Threads()
    with threads(3):
        out = tmp_path / "run"
        search(_space(), source, method="enas", settings=SMALL, out=out, observer=watching)
    assert watching.seen == {1}


class _Stops(Silent):
    def __init__(self) -> None:
        self.left = 4

    def tick(self, phase: str, done: int, total: int) -> None:
        if phase == "search":
            self.left -= 1
            if not self.left:
                raise KeyboardInterrupt


@pytest.mark.parametrize("method", ["enas", "darts"])
def test_a_search_that_was_stopped_ends_alike(method: str, source: str, tmp_path: Path) -> None:
    whole = search(_space(), source, method=method, settings=SMALL, out=tmp_path / "whole")
    with pytest.raises(KeyboardInterrupt):
        search(_space(), source, method=method, settings=SMALL, out=tmp_path / "half",
               observer=_Stops())  # fmt: skip
    half = search(resume=tmp_path / "half")
    own = {"seconds", "memory_mb", "trajectory"}
    assert half.result.model_dump(exclude=own) == whole.result.model_dump(exclude=own)


def test_what_does_not_fit_is_one_line(source: str, tmp_path: Path) -> None:
    for space, data, problem in (
        (_space(), "digits", "reads text, but the data are"),
        (load("mbconv@digits"), source, "reads images, but the data are a text"),
    ):
        with pytest.raises(SpaceError, match=problem):
            search(space, data, method="random", settings=SMALL, out=tmp_path / "a")
    settings = {**SMALL, "data": {"crop": 2}}
    with pytest.raises(DataError, match=r"data\.crop"):
        search(_space(), source, method="random", settings=settings, out=tmp_path / "b")
    settings = {**SMALL, "options": {"selection": "perturbation"}}
    with pytest.raises(SearchError, match="perturbation, but"):
        search(_space(), source, method="darts", settings=settings, out=tmp_path / "c")
    with pytest.raises(SpaceError, match=r"method: calibrated, .*; allowed for text: in-place"):
        evolve(source, skeleton="rnn-small", out=tmp_path / "d")
    for method in ("supernet", "naswot"):
        settings = {"evaluator": {"method": method}}
        with pytest.raises(SpaceError, match=f"{method}, but tiny reads text; allowed for text: "):
            compare([_space(), _space()], source, settings=settings, out=tmp_path / "e")
    settings = {**SMALL, "data": {"validation": 0.2}}
    with pytest.raises(DataError, match=r"data\.validation: 0\.2, for images"):
        search(_space(), source, method="random", settings=settings, out=tmp_path / "f")
    assert not any((tmp_path / name).exists() for name in "abcdef")


@pytest.mark.parametrize("method", ["spos", "darts"])
def test_trainings_that_align_layers_are_refused_before_anything(
    method: str, source: str, tmp_path: Path
) -> None:
    def given(training: str) -> dict[str, Any]:
        return {**SMALL, "supernet": {**SMALL["supernet"], "training": training}}

    for name in ("magic-a", "magic-at"):
        with pytest.raises(SearchError, match=f"{name}, but .*; allowed: uniform, fair") as found:
            search(_space(), source, method=method, settings=given(name), out=tmp_path / name)
        assert "\n" not in str(found.value)
        assert not (tmp_path / name).exists()
    for name in ("fair", "madds-uniform", "magic-t"):
        search(_space(), source, method=method, settings=given(name), out=tmp_path / name)


def test_spaces_are_compared_by_perplexity(source: str, tmp_path: Path) -> None:
    settings = {"sampling": {"samples": 4, "match": "none"}, "evaluator": {"steps": 2, "batch": 8}}
    found = compare(
        [_space(), family_space("darts-rnn", SequenceSkeleton.of("tiny", 2, 8, 2))],
        source,
        settings=settings,
        out=tmp_path / "run",
    )
    assert any("1 / perplexity" in note for note in found.comparison.notes)


def test_scores_of_images_are_refused_before_weights_are_trained(
    source: str, tmp_path: Path
) -> None:
    class Trained(Silent):
        def tick(self, phase: str, done: int, total: int) -> None:
            assert phase == "data"

    for start in ("naswot", "synflow"):
        chosen = {**SMALL, "options": {"start": start}}
        with pytest.raises(
            SearchError, match=rf"score {start} needs images, and tiny reads text; allowed: params"
        ):
            search(
                _space(),
                source,
                method="evolution",
                settings=chosen,
                out=tmp_path / start,
                observer=Trained(),
            )
        assert not (tmp_path / start).exists()


@pytest.mark.parametrize(
    ("method", "section", "what"),
    [("random-ws", "supernet", "shared weights"), ("random", "trial", "finalists")],
)
def test_language_models_that_all_diverged_end_a_search_in_one_line(
    method: str,
    section: str,
    what: str,
    source: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    # A perplexity of e^9 of two letters.
    monkeypatch.setattr(LanguageModelling, "score", lambda self, accuracy, loss: math.exp(-9))
    with pytest.raises(SearchError, match=rf"^{section}\.learning_rate: [0-9.]+; all {what} diver"):
        search(_space(), source, method=method, settings=SMALL, out=tmp_path / "run")
