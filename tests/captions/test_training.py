"""Trainings, searches and comparisons on captions: resumable, and the image is what counts."""

import json
import random
from pathlib import Path
from typing import Any

import pytest
import torch

from autospace import compare, evolve, search, train
from autospace.captions.corpus import load_captions
from autospace.captions.full import CaptionFolder
from autospace.captions.passages import CaptionBatches
from autospace.captions.session import CaptionSession, CaptionTrainConfig, judge
from autospace.data.batches import Normaliser
from autospace.data.errors import DataError
from autospace.data.request import Request
from autospace.networks.captions import PAD, START
from autospace.progress import Silent
from autospace.runs.errors import ConfigError
from autospace.searchers.make import METHODS
from autospace.spaces import Space, SpaceError, load
from autospace.spaces.captions import CaptionSkeleton
from autospace.spaces.choices import SearchError
from autospace.spaces.files.families import family_space
from autospace.supernets.families import ON_TEXT
from tests.tiny import whole_cells

CPU = torch.device("cpu")
SOURCE = "captions:scenes=60"
SMALL: dict[str, Any] = {
    "supernet": {"steps": 6, "batch": 8, "validation_batches": 1},
    "trial": {"steps": 3, "batch": 8},
    "evaluations": 3,
    "finalists": 1,
    "data": {"resolution": 8},
}
TRAIN: dict[str, Any] = {"data": {"resolution": 8}, "training": {"epochs": 3, "batch": 16}}


def _space() -> Space:
    own = CaptionSkeleton.of("tiny", 9, 8, 1, depth=2, resolution=8, encoder=(4,))
    return family_space("autocaption", own)


class _Stops(Silent):
    def __init__(self, phase: str, left: int) -> None:
        self.phase, self.left = phase, left

    def tick(self, phase: str, done: int, total: int) -> None:
        if phase == self.phase:
            self.left -= 1
            if not self.left:
                raise KeyboardInterrupt


@pytest.mark.parametrize("left", [1, 3, 5])
def test_a_training_that_was_stopped_ends_with_equal_bytes(left: int, tmp_path: Path) -> None:
    architecture = _space().sample(random.Random(0))
    settings = {**TRAIN, "training": {**TRAIN["training"], "dropout": 0.2}}
    whole = train(architecture, SOURCE, settings=settings, out=tmp_path / "whole")
    with pytest.raises(KeyboardInterrupt):
        train(architecture, SOURCE, settings=settings, out=tmp_path / "half",
              observer=_Stops("train", left))  # fmt: skip
    train(resume=tmp_path / "half")
    for name in ("model.safetensors", "result.json", "architecture.json"):
        assert (tmp_path / "half" / name).read_bytes() == (tmp_path / "whole" / name).read_bytes()
    plain = json.loads((tmp_path / "whole/result.json").read_text())
    assert plain["reads"] == "captions"
    assert plain["params"] == whole.architecture.cost.params
    assert whole.accuracy == plain["test_accuracy"]
    assert [each["epoch"] for each in plain["curve"]] == [1, 2, 3]
    best = max(each["validation_accuracy"] for each in plain["curve"])
    assert plain["validation_ngram_f"] == best


def test_speed_counts_the_images_since_a_resume(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    counts: list[int] = []
    log = CaptionFolder.log

    def counted(self: CaptionFolder, epoch: Any, seconds: float, units: int) -> None:
        counts.append(units)
        log(self, epoch, seconds, units)

    monkeypatch.setattr(CaptionFolder, "log", counted)
    settings = {**TRAIN, "training": {"epochs": 2, "batch": 7}}
    with pytest.raises(KeyboardInterrupt):
        train(_space().sample(random.Random(0)), SOURCE, settings=settings, out=tmp_path / "run",
              observer=_Stops("train", 2))  # fmt: skip
    train(resume=tmp_path / "run")
    assert counts[0] == counts[1] - 2 * 7
    assert counts[1] % 7 == 0  # no batch holds the rest of the images


@pytest.mark.parametrize("whole", [False, True], ids=["decisions", "whole cells"])
@pytest.mark.parametrize("method", ON_TEXT)
def test_every_method_for_captions_ends(method: str, whole: bool, tmp_path: Path) -> None:
    space = whole_cells(_space()) if whole else _space()
    found = search(space, SOURCE, method=method, settings=SMALL, out=tmp_path / "run")
    assert 0 <= found.accuracy < 0.7
    assert found.result.params == found.best.cost.params


@pytest.mark.parametrize("method", sorted({*METHODS} - {*ON_TEXT}))
def test_other_methods_say_which_work(method: str, tmp_path: Path) -> None:
    with pytest.raises(SpaceError, match=r"reads captions, for which .*; allowed: random") as found:
        search(_space(), SOURCE, method=method, settings=SMALL, out=tmp_path / "run")
    assert "\n" not in str(found.value)


def test_a_search_that_was_stopped_ends_alike(tmp_path: Path) -> None:
    whole = search(_space(), SOURCE, method="enas", settings=SMALL, out=tmp_path / "whole")
    with pytest.raises(KeyboardInterrupt):
        search(_space(), SOURCE, method="enas", settings=SMALL, out=tmp_path / "half",
               observer=_Stops("search", 4))  # fmt: skip
    half = search(resume=tmp_path / "half")
    own = {"seconds", "memory_mb", "trajectory"}
    assert half.result.model_dump(exclude=own) == whole.result.model_dump(exclude=own)


def test_spaces_are_compared_by_what_networks_write(tmp_path: Path) -> None:
    settings = {
        "sampling": {"samples": 4, "match": "none"},
        "evaluator": {"steps": 2, "batch": 8},
        "data": {"resolution": 8},
    }
    deep = CaptionSkeleton.of("deep", 9, 8, 1, depth=3, resolution=8, encoder=(4,))
    spaces = [_space(), family_space("autocaption", deep)]
    found = compare(spaces, SOURCE, settings=settings, out=tmp_path / "run")
    assert any("mean n-gram F" in note for note in found.comparison.notes)


def test_what_does_not_fit_is_one_line(tmp_path: Path) -> None:
    architecture = _space().sample(random.Random(0))
    flipped = {**SMALL, "data": {"resolution": 8, "flip": True}}
    aligned = {**SMALL, "supernet": {"training": "magic-a"}}
    compared = {**SMALL, "supernet": {"interference": 2}}
    for call, error, problem in (
        (lambda: search(_space(), "digits", method="random", out=tmp_path / "a"),
         SpaceError, "reads captions, but the data are"),
        (lambda: search(_space(), "text", method="random", out=tmp_path / "a"),
         SpaceError, "reads captions, but the data are a text"),
        (lambda: search("mbconv@digits", SOURCE, method="random", out=tmp_path / "a"),
         SpaceError, "reads images, but the data are images with captions"),
        (lambda: search("enas-rnn@rnn-small", SOURCE, method="random", out=tmp_path / "a"),
         SpaceError, "reads text, but the data are images with captions"),
        (lambda: search(_space(), SOURCE, method="random", settings=flipped, out=tmp_path / "a"),
         DataError, "a mirrored image has another caption"),
        (lambda: search(_space(), SOURCE, method="spos", settings=aligned, out=tmp_path / "a"),
         SearchError, "magic-a, but .* no layers .*; allowed: uniform, fair, madds-unif.*magic-t$"),
        (lambda: search(_space(), SOURCE, method="spos", settings=compared, out=tmp_path / "a"),
         SearchError, "interference: 2; allowed: 0, because tiny has no layers to compare"),
        (lambda: train(architecture, "digits", out=tmp_path / "a"),
         DataError, "reads captions; allowed: captions"),
        (lambda: train("reference@digits", SOURCE, out=tmp_path / "a"),
         SpaceError, "reads images, but the data are images with captions"),
        (lambda: compare([_space()] * 2, SOURCE, settings={"evaluator": {"method": "synflow"}},
                         out=tmp_path / "a"),
         SpaceError, "synflow, but .* reads captions; allowed for captions: train"),
        (lambda: train(architecture, SOURCE, recipe="cifar", out=tmp_path / "a"),
         ConfigError, "allowed for captions: a .toml file"),
        (lambda: evolve(SOURCE, skeleton="captions-small", out=tmp_path / "a"),
         SpaceError, "scoring.method: calibrated, .*; allowed for captions: in-place"),
    ):  # fmt: skip
        with pytest.raises(error, match=problem) as found:
            call()
        assert "\n" not in str(found.value)
        assert not (tmp_path / "a").exists()


def test_batches_teach_one_reference_and_judge_by_all() -> None:
    data = load_captions("captions:scenes=60", Request())
    norm = Normaliser.from_examples(data.train.images)
    batches = CaptionBatches(data.train, 8, 0, CPU, norm)
    seen = set()
    for step in range(30):
        inputs, targets = batches.batch(step)
        assert torch.equal(batches.batch(step)[1], targets)
        given = inputs[:, : data.length].long()
        assert (given[:, 0] == START).all()
        assert torch.equal(given[:, 1:], targets[:, 0, :-1])
        seen |= {tuple(row) for row in targets[:, 0].tolist()}
    every = {
        tuple(row)
        for image, count in zip(data.train.tokens.tolist(), data.train.counts, strict=True)
        for row in image[: int(count)]
    }
    assert seen <= every
    assert len(seen) > 0.9 * len(every)
    judged = CaptionBatches(data.test, 8, 0, CPU, norm, judged=True)
    inputs, targets = next(iter(judged.evaluation_batches()))
    assert inputs.shape == (8, 1, data.length + 24 * 24)
    assert targets.shape == (8, 2, data.length)
    assert (targets[:, 0] != PAD).any(1).all()


@pytest.mark.slow
def test_a_planted_grammar_is_learned_and_the_image_is_what_it_is_learned_from() -> None:
    """A digit in a scene, or two: networks that do not see them are right by chance."""
    data = load_captions("captions:scenes=6000", Request())
    space = load("autocaption@captions-small")
    best = space.at(
        [0 if "function" in layer.shape.name else len(layer.candidates) - 1
         for layer in space.layers]
    )  # fmt: skip
    from dataclasses import replace

    from autospace.captions.passages import fitted_skeleton

    own = replace(best, skeleton=fitted_skeleton(best.skeleton, data))
    config = CaptionTrainConfig.model_validate({"training": {"epochs": 20, "batch": 64}})
    session = CaptionSession(own, data, config, CPU)
    while not session.is_over:
        session.advance()
        if session.epoch_is_over:
            session.close_epoch()
    with session.with_best():
        seen = session.judged(data.test)
        order = torch.randperm(len(data.test), generator=torch.Generator().manual_seed(0))
        shuffled = replace(data.test, images=_relabelled(data, order))
        batches = CaptionBatches(shuffled, 250, 0, CPU, session.normaliser, judged=True)
        unseen = judge(session.network, batches, data)
    assert seen.exact > 0.85, seen
    # A caption by chance is that of another scene: half of them have one digit, 1/2 * 1/2 * 1/10,
    # and of two digits every hundredth is the same, in one of two directions.
    assert unseen.exact < 0.06


def _relabelled(data: Any, order: torch.Tensor) -> Any:
    from autospace.data.examples import Examples

    return Examples(data.test.images.images[order], torch.arange(len(order)))
