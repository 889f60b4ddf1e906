"""Search methods over networks that read sentences."""

import random
from pathlib import Path
from typing import Any

import pytest
import torch

import autospace
from autospace import Silent, compare, search, train
from autospace.data.load import load_data
from autospace.data.settings import DataConfig
from autospace.evaluators.make import load_halves
from autospace.runs.errors import ConfigError
from autospace.searchers.make import METHODS
from autospace.spaces import Candidate, Layer, Space, SpaceError
from autospace.spaces.cells.bert import SKIPPED, BertCell
from autospace.spaces.choices import Choices, SearchError
from autospace.spaces.encoder import EncoderSkeleton
from autospace.supernets.families import OF_IMAGES, ON_SENTENCES
from autospace.supernets.path_training import make_path_training
from autospace.supernets.settings import MagicConfig, SupernetConfig
from autospace.supernets.shared_weights import Problem, SharedWeights

SOURCE = "sentences:length=10,vocabulary=200"
BRIEF: dict[str, Any] = {
    "supernet": {"steps": 4, "batch": 8, "validation_batches": 1, "learning_rate": 0.03},
    "trial": {"steps": 2, "batch": 8},
    "finalists": 1,
    "evaluations": 4,
    "data": {"limit": 80},
}


def brief(method: str, out: Path, **more: Any) -> Any:
    settings = {**BRIEF, **more}
    if method == "dna":
        settings = {"options": {"teacher_steps": 4}, **settings}
    return search(
        "nas-bert@bert-small",
        SOURCE,
        method=method,
        settings=settings,
        out=out,
        observer=Silent(),
    )


@pytest.mark.parametrize("method", ON_SENTENCES)
def test_every_method_that_says_so_searches_sentences(method: str, tmp_path: Path) -> None:
    found = brief(method, tmp_path / "run")
    cells = found.best.cells
    widths = [[cell.group for cell in cells[first : first + 3]] for first in (0, 3)]
    for row in widths:
        assert len({width for width in row if width}) == 1
        assert row == sorted(row, key=lambda width: not width)


@pytest.mark.parametrize("method", [name for name in METHODS if name not in ON_SENTENCES])
def test_every_other_method_is_refused_in_one_line(method: str, tmp_path: Path) -> None:
    why = f"{method} knows cells for images only" if method in OF_IMAGES else f"{method} cannot mix"
    with pytest.raises(SpaceError, match=f"{why}; allowed: random") as caught:
        brief(method, tmp_path / "run")
    assert "\n" not in str(caught.value)


def problem_of(training: str, seed: int = 0) -> Problem:
    from autospace.spaces import load

    halves = load_halves(DataConfig(source=SOURCE, limit=80), "validation", 0, torch.device("cpu"))
    space = halves.fitted(load("nas-bert@bert-small"))
    options = SupernetConfig(training=training, steps=8, batch=8, learning_rate=0.03)  # type: ignore[arg-type]
    return Problem(Choices(space), halves, options, MagicConfig(warm_up=0.0), seed)


@pytest.mark.parametrize("training", ["uniform", "magic-t", "magic-a", "magic-at"])
def test_shared_weights_of_sentences_learn(training: str) -> None:
    weights = SharedWeights(problem_of(training))
    steps = make_path_training(weights)
    before = {name: each.clone() for name, each in weights.supernet.state_dict().items()}
    for index in range(4):
        steps.step(index)
    after = weights.supernet.state_dict()
    moved = {name for name, each in after.items() if not torch.equal(before[name], each)}
    assert any(name.startswith("candidates.") for name in moved)
    assert "network.embedding.weight" in moved


def test_strict_fairness_is_refused_where_blocks_have_one_hidden_size() -> None:
    with pytest.raises(SearchError, match=r"supernet\.training: fair"):
        make_path_training(SharedWeights(problem_of("fair")))


def planted(path: Path) -> str:
    """Sentences whose class is the order of two neighbours, which no token shows alone."""
    rng = random.Random(0)
    rows = []
    for number in range(400):
        pair = ["left", "right"] if number % 2 else ["right", "left"]
        place = rng.randrange(6)
        words = [f"w{rng.randrange(5)}" for _ in range(8)]
        words[place : place + 2] = pair
        rows.append(f"{' '.join(words)},{number % 2}")
    path.write_text("\n".join(["text,label", *rows]) + "\n", "utf-8")
    return f"sentences:length=8:{path}"


def two_kinds() -> Space:
    skeleton = EncoderSkeleton.of("planted", 20, 8, 2, 16, (2,), heads=8)
    cells = {
        "ffn": BertCell("feed_forward", 16),
        "conv": BertCell("conv1d_separable_3", 16),
        "skip": SKIPPED,
    }
    layers = tuple(
        Layer(
            shape,
            tuple(
                Candidate(name, cell)  # type: ignore[arg-type]
                for name, cell in cells.items()
                if shape.skippable or not cell.is_zero
            ),
        )
        for shape in skeleton.shapes
    )
    return Space("planted", skeleton, ("feed_forward", "conv1d_separable_3"), layers)


@pytest.mark.slow
def test_a_planted_order_of_words_is_found_by_convolutions_alone(tmp_path: Path) -> None:
    source = planted(tmp_path / "t.csv")
    settings = {
        "trial": {"steps": 150, "batch": 32, "learning_rate": 0.05},
        "evaluations": 6,
        "finalists": 2,
    }
    found = search(
        two_kinds(),
        source,
        method="random",
        settings=settings,
        out=tmp_path / "run",
        observer=Silent(),
    )
    assert any(cell.operations[0] == "conv1d_separable_3" for cell in found.best.cells)
    assert (found.result.finalists[0].accuracy or 0.0) > 0.95


def test_training_stops_and_goes_on_with_the_same_bytes(tmp_path: Path) -> None:
    from autospace.spaces import load

    space = load("nas-bert@bert-small")
    one = space.sample(random.Random(1))
    settings = {"training": {"epochs": 2}, "data": {"limit": 80}}

    class Stopped(Silent):
        def tick(self, phase: str, done: int, total: int) -> None:
            if phase == "train" and done >= 2:
                raise KeyboardInterrupt

    whole = train(one, SOURCE, settings=settings, out=tmp_path / "a", observer=Silent())
    with pytest.raises(KeyboardInterrupt):
        train(one, SOURCE, settings=settings, out=tmp_path / "b", observer=Stopped())
    train(resume=tmp_path / "b", observer=Silent())
    for name in ("model.safetensors", "result.json"):
        assert (tmp_path / "a" / name).read_bytes() == (tmp_path / "b" / name).read_bytes()
    data = load_data(SOURCE, limit=80)
    assert whole.result.data.sha256 == data.digest


@pytest.mark.parametrize("evaluator", ["train", "supernet"])
def test_spaces_that_read_sentences_are_compared(evaluator: str, tmp_path: Path) -> None:
    other = "nas-bert@bert-small" if evaluator == "train" else two_kinds()
    found = compare(
        [other, two_kinds()],
        SOURCE,
        settings={
            "sampling": {"samples": 4, "match": "none"},
            "evaluator": {"method": evaluator, "steps": 2, "batch": 8},
            "data": {"limit": 80},
        },
        out=tmp_path / "run",
        observer=Silent(),
    )
    assert found.comparison.notes is not None
    assert len(found.comparison.pairs) == 1


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"augment": {"flip": True}}, "augment.flip: True, for images"),
        ({"augment": {"mixup": 0.2}}, "augment.mixup: 0.2, for images"),
        ({"training": {"drop_path": 0.1}}, "training.drop_path: 0.1; allowed: 0"),
        ({"data": {"resolution": 8}}, "resolution 8, of images"),
    ],
)
def test_settings_of_images_are_refused(
    settings: dict[str, Any], message: str, tmp_path: Path
) -> None:
    from autospace.spaces import load
    from autospace.spaces.errors import AutospaceError

    one = load("nas-bert@bert-small").sample(random.Random(0))
    with pytest.raises(AutospaceError, match=message):
        train(one, SOURCE, settings=settings, out=tmp_path / "run", observer=Silent())
    assert not (tmp_path / "run").exists()


def test_data_and_network_have_to_match(tmp_path: Path) -> None:
    from autospace.spaces.errors import AutospaceError

    with pytest.raises(AutospaceError, match="reads sentences, but the data are 8x8 images"):
        search("nas-bert@bert-small", "digits", method="random", out=tmp_path / "a")
    with pytest.raises(AutospaceError, match="reads images, but the data are sentences"):
        search("mbconv@digits", SOURCE, method="random", out=tmp_path / "b")
    with pytest.raises(AutospaceError, match="reads text, but the data are sentences"):
        search("enas-rnn@rnn-small", SOURCE, method="random", out=tmp_path / "c")
    with pytest.raises(SpaceError, match="naswot, but bert-small reads sentences; allowed"):
        compare(["nas-bert@bert-small"] * 2, SOURCE, settings={"evaluator": {"method": "naswot"}},
                out=tmp_path / "g")  # fmt: skip
    one = autospace.load("nas-bert@bert-small").sample(random.Random(0))
    with pytest.raises(SpaceError, match="reads sentences, but the data are a text"):
        train(one, "text", out=tmp_path / "e")
    with pytest.raises(SpaceError, match="reads images, but the data are sentences"):
        train("reference@digits", SOURCE, out=tmp_path / "f")
    with pytest.raises((ConfigError, SpaceError), match="reads sentences, but"):
        search("nas-bert@bert-small", "text", method="random", out=tmp_path / "d")
