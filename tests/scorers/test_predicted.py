"""Scoring by whole networks: the model against direct algebra, who is trained, what is kept."""

import random
from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from autospace.compute.pool import InProcess
from autospace.runs.errors import CheckpointError
from autospace.scorers import predicted
from autospace.scorers.make import make_scorer
from autospace.scorers.predicted import Example, PredictedScorer, Worths, dealt, staged
from autospace.scorers.scorer import ScoringConfig
from autospace.scorers.whole import Trained
from autospace.spaces import Cell, load, mbconv
from autospace.spaces.space import network_cost
from tests.scorers.conftest import SKELETON, MakeSetting

CHOICES = [mbconv(kernel, expansion) for kernel in (3, 5, 7) for expansion in (3, 6)]
LARGE = load("mbconv@cifar").skeleton


def worth(layer: int, cell: Cell) -> float:
    """Planted points: large kernels cost in the first four layers, width gains everywhere."""
    large = "7x7" in str(cell.operations)
    return -2.0 * (large and layer < 4) + 0.5 * (cell.expansion == 6)


def planted(count: int, noise: float, seed: int = 0, price: float = 3.0) -> list[Example]:
    """Networks whose error is made of their cells, their MAdds and noise."""
    rng = random.Random(seed)
    found = []
    for _ in range(count):
        cells = tuple(rng.choice(CHOICES) for _ in LARGE.shapes)
        value = 50.0 - sum(worth(layer, cell) for layer, cell in enumerate(cells))
        value -= price * float(np.log(network_cost(LARGE, cells).madds))
        found.append(Example(cells, value + rng.gauss(0, noise)))
    return found


def test_what_cells_are_worth_at_equal_madds_is_found_in_a_few_dozen_networks() -> None:
    for price in (0.0, 8.0):
        worths = Worths(LARGE, planted(48, 0.5, price=price))
        own = CHOICES[0]
        pairs = [
            (worths.gain(layer, cell, own), worth(layer, cell) - worth(layer, own))
            for layer in range(len(LARGE.shapes))
            for cell in CHOICES
        ]
        assert np.corrcoef(np.array(pairs).T)[0, 1] > 0.9
        assert worths.explained > 0.6


def test_a_training_that_diverged_does_not_decide() -> None:
    examples = planted(48, 0.5)
    sound = Worths(LARGE, examples)
    spoilt = Worths(LARGE, [examples[0]._replace(error=90.0), *examples[1:]])
    gains = [
        [each.gain(layer, cell, CHOICES[0]) for layer in range(12) for cell in CHOICES]
        for each in (sound, spoilt)
    ]
    assert np.corrcoef(np.array(gains))[0, 1] > 0.9


def test_noise_alone_explains_nothing() -> None:
    found = [
        Worths(LARGE, [each._replace(error=random.Random(at).gauss(40, 2)) for at, each in
                       enumerate(planted(32, 0.0, seed))]).explained
        for seed in range(4)
    ]  # fmt: skip
    assert max(found) < 0.3
    assert Worths(LARGE, [Example(each.cells, 7.0) for each in planted(8, 0.0)]).explained == 0.0


def test_the_model_is_the_posterior_of_a_linear_regression(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Against the regression in the space of weights, with a very wide prior for the flat ones."""
    monkeypatch.setattr(predicted, "_GRID", ((0.3, 0.2, 0.1, 0.4),))
    examples = planted(20, 1.0)
    worths = Worths(LARGE, examples)
    groups, flat, y = worths._groups, worths._flat, worths._errors
    design = np.hstack([flat, *(group.design for group in groups)])
    prior = [1e8] * flat.shape[1]
    for variance, group in zip((0.3, 0.2, 0.1), groups, strict=True):
        prior += [variance] * group.design.shape[1]
    precision = design.T @ design / 0.4 + np.diag(1 / np.array(prior))
    weights = np.linalg.solve(precision, design.T @ y / 0.4)[flat.shape[1] :]
    for layer, cell in ((0, CHOICES[4]), (7, CHOICES[3]), (11, CHOICES[1])):
        rows = [
            np.hstack([
                group.row(columns)
                for group, columns in zip(groups, worths._of_layer(layer, each), strict=True)
            ])
            for each in (cell, CHOICES[0])
        ]  # fmt: skip
        direct = -worths._unit * float(weights @ (rows[0] - rows[1]))
        assert worths.gain(layer, cell, CHOICES[0]) == pytest.approx(direct, abs=1e-3)


def test_what_is_left_out_is_predicted_without_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(predicted, "_GRID", ((0.3, 0.2, 0.1, 0.4),))
    worths = Worths(LARGE, planted(16, 1.0))
    y, flat = worths._errors, worths._flat
    kernel = np.zeros((len(y), len(y)))
    for variance, group in zip((0.3, 0.2, 0.1), worths._groups, strict=True):
        kernel += variance * group.design @ group.design.T
    squares = baseline = 0.0
    for place in range(len(y)):
        others = np.arange(len(y)) != place
        covariance = kernel[np.ix_(others, others)] + 0.4 * np.eye(len(y) - 1)
        inverse = np.linalg.inv(covariance)
        seen = flat[others]
        level = np.linalg.solve(seen.T @ inverse @ seen, seen.T @ inverse @ y[others])
        told = flat[place] @ level
        told += kernel[place, others] @ inverse @ (y[others] - seen @ level)
        squares += float(y[place] - told) ** 2
        line = np.polyfit(flat[others, 1], y[others], 1)
        baseline += float(y[place] - np.polyval(line, flat[place, 1])) ** 2
    assert worths.explained == pytest.approx(1 - squares / baseline, abs=0.006)


@pytest.mark.parametrize("count", [1, 2, 3])
def test_a_handful_of_networks_explains_little(count: int) -> None:
    examples = planted(12, 0.0)[:count]
    found = Worths(LARGE, examples)
    assert found.explained == 0 or count == 3
    assert np.isfinite([found.gain(0, cell, CHOICES[0]) for cell in CHOICES]).all()
    # Equal costs but for one network, without which nobody knows the worth of MAdds.
    cells = examples[0].cells
    dear = Example((mbconv(7, 6), *cells[1:]), 30.0)
    many = [Example(cells, 40.0 + place) for place in range(count)]
    assert -5 < Worths(LARGE, [*many, dear]).explained <= 0


def test_what_madds_alone_predict_counts_for_nothing() -> None:
    rng = random.Random(3)
    networks = [each.cells for each in planted(32, 0.0)]
    logs = [float(np.log(network_cost(LARGE, each).madds)) for each in networks]
    errors = [80 - 8 * log + rng.gauss(0, 0.3) for log in logs]
    assert np.corrcoef(logs, errors)[0, 1] < -0.95
    rows = [Example(*each) for each in zip(networks, errors, strict=True)]
    assert Worths(LARGE, rows).explained < 0.2


@given(st.lists(st.integers(1, 5), min_size=1, max_size=4), st.integers(1, 30), st.integers(0, 9))
def test_all_cells_of_a_layer_are_in_equally_many_networks(
    sizes: list[int], count: int, seed: int
) -> None:
    rows = [CHOICES[:size] for size in sizes]
    networks = dealt(rows, count, seed, "founders")
    assert len(set(networks)) == len(networks) <= count
    if len(networks) == count:
        for layer in range(len(sizes)):
            times = Counter(network[layer] for network in networks)
            assert max(times.values()) - min(times[cell] for cell in rows[layer]) <= 1
            assert sum(times.values()) == count
    assert dealt(rows, count, seed, "founders") == networks


def test_a_stage_repeats_a_cell_wherever_it_fits() -> None:
    zero = Cell(("none",), ("sum",), 1)
    stages: dict[int, list[int]] = {}
    for layer, shape in enumerate(LARGE.shapes):
        stages.setdefault(shape.out_resolution, []).append(layer)
    assert [len(each) for each in stages.values()] == [4, 4, 4]
    whole = 0
    for seed in range(4):
        networks = staged([CHOICES] * 12, LARGE.shapes, 12, seed)
        assert networks == staged([CHOICES] * 12, LARGE.shapes, 12, seed)
        for layers in stages.values():
            assert all(len({network[layer] for layer in layers}) == 1 for network in networks)
        if len(networks) == 12:
            whole += 1
            for layer in range(12):
                assert {*Counter(network[layer] for network in networks).values()} == {2}
    assert whole > 0
    # Each layer has a cell of its own, and all are tried in the whole stage.
    rows = [[mbconv(3, 1 + layer % 8)] if layer < 11 else [zero] for layer in range(12)]
    networks = staged(rows, LARGE.shapes, 12, 0)
    for layers in stages.values():
        tried = {network[layers[-1]] for network in networks}
        assert tried == {cell for layer in layers for cell in rows[layer]}
    for network in networks:
        for shape, cell, row in zip(LARGE.shapes, network, rows, strict=True):
            assert cell != zero or shape.shortcut
            if network[11] == zero and not shape.shortcut and shape.out_resolution == 4:
                assert cell == row[0]


def test_stages_that_repeat_a_cell_tell_more_than_layers_do() -> None:
    found: dict[bool, list[float]] = {True: [], False: []}
    for seed in range(6):
        rng = random.Random(seed)
        rows = [
            [mbconv(rng.choice((3, 5, 7)), rng.randint(2, 7)) for _ in range(12)] for _ in range(12)
        ]
        for whole, values in found.items():
            networks = staged(rows, LARGE.shapes, 24, seed) if whole else dealt(rows, 24, seed, "")
            examples = [
                Example(cells, 50 - sum(map(worth, range(12), cells)) + rng.gauss(0, 3))
                for cells in networks
            ]
            worths = Worths(LARGE, examples)
            pairs = [
                (
                    worths.gain(layer, cell, rows[layer][0]),
                    worth(layer, cell) - worth(layer, rows[layer][0]),
                )
                for layer in range(12)
                for cell in rows[layer]
            ]
            values.append(float(np.corrcoef(np.array(pairs).T)[0, 1]))
    assert np.mean(found[True]) > np.mean(found[False]) + 0.05


def test_what_is_kept_does_not_depend_on_who_is_done_first(tmp_path: Path) -> None:
    networks = dealt([CHOICES, CHOICES, CHOICES], 6, 0, "founders")
    orders = [list(range(6)), [5, 0, 3, 1, 4, 2]]
    for place, order in enumerate(orders):
        trained = Trained(tmp_path / f"{place}.json")
        trained.add([networks[0]], networks[0], 12.5)
        for index in order[1:] if place == 0 else [each for each in order if each]:
            trained.add(networks[1:], networks[index], 10.0 + index)
    texts = [(tmp_path / f"{place}.json").read_text() for place in range(2)]
    assert texts[0] == texts[1]
    again = Trained(tmp_path / "0.json")
    assert list(again.errors) == networks
    assert again.errors[networks[3]] == 13.0


@pytest.mark.parametrize(
    "change",
    [
        lambda text: text.replace("12.5", "12.6"),
        lambda text: text[:40],
        lambda _: "{}",
        lambda text: text.replace("mobile", "none"),
    ],
)
def test_a_damaged_file_is_one_line(tmp_path: Path, change: Any) -> None:
    path = tmp_path / "networks.json"
    network = tuple(CHOICES[:3])
    Trained(path).add([network], network, 12.5)
    path.write_text(change(path.read_text()))
    with pytest.raises(
        CheckpointError, match=r"^.*networks.json: damaged: [^\n]+; start again with --force"
    ):
        Trained(path)


def _founders() -> list[list[Cell]]:
    return [CHOICES[:4]] * len(SKELETON.shapes)


def test_networks_are_trained_once_and_more_where_cells_are_scored_again(
    make_setting: MakeSetting, tmp_path: Path, cells: list[list[Cell]]
) -> None:
    said: list[str] = []
    setting = replace(
        make_setting("predicted", networks=8, network_steps=3),
        founders=_founders(),
        networks=tmp_path / "networks.json",
        on_message=said.append,
    )
    scorer = make_scorer(setting)
    assert isinstance(scorer, PredictedScorer)
    first = scorer.score(cells, 0)
    kept = Trained(setting.networks).errors
    wanted = staged(_founders(), SKELETON.shapes, 8, setting.seed)
    assert list(kept) == wanted
    first_count = len(wanted)
    assert first_count >= 6
    told = f"{first_count} whole networks are trained; of the variance of their errors at equal"
    assert any(told in each for each in said)
    # A resumed run reads them, and says the same.
    before = (tmp_path / "networks.json").stat().st_mtime_ns
    assert make_scorer(setting).score(cells, 0) == first
    assert (tmp_path / "networks.json").stat().st_mtime_ns == before
    scorer.score(cells, 1)
    more = Trained(setting.networks).errors
    assert list(more)[:first_count] == list(kept)
    offered = {cell for row in cells for cell in row}
    for network in list(more)[first_count:]:
        assert all(cell in offered or not cells[layer] for layer, cell in enumerate(network))
    assert len(more) > first_count


def test_the_references_own_cell_has_a_fitness_of_zero_and_price_is_not_charged_twice(
    make_setting: MakeSetting,
) -> None:
    own = [[mbconv(3, 3)] for _ in SKELETON.shapes]
    chosen: dict[str, Any] = {"networks": 8, "network_steps": 3}
    scores = []
    for weight in (0.0, 50.0):
        setting = make_setting("predicted", cost_weight=weight, **chosen)
        setting = replace(setting, founders=_founders())
        assert make_scorer(setting, InProcess()).score(own, 0) == [[0.0]] * 3
        scores.append(make_scorer(setting).score([CHOICES] * 3, 0))
    assert scores[0] == scores[1]
    with pytest.raises(
        ValueError, match=r"layer_price: 0\.2, but predicted compares at equal MAdds"
    ):
        ScoringConfig(method="predicted", layer_price=0.2)
