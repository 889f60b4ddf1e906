"""Search methods over layers that share a cell, whole or edge by edge."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from autospace import Silent, compare, search
from autospace.runs.state import restore_from, save_state
from autospace.searchers.driver import compared_gradients
from autospace.searchers.gradient.darts import Darts
from autospace.searchers.make import METHODS, make_method
from autospace.spaces import LayerSpec, Skeleton, Space, Stem
from autospace.supernets.families import NOT_ON_TIED
from tests.searchers.problems import SETTINGS, make_problem
from tests.slow import slowly
from tests.supernets.test_tied import by_cell, by_edge

SOURCE = "synthetic:classes=3,channels=3,train=120,test=12"
BRIEF: dict[str, Any] = {**SETTINGS, "data": {"source": SOURCE}}
SPACES = {"edges": by_edge, "cells": by_cell}


def small(name: str) -> Space:
    """A space on images of three classes."""
    space = SPACES[name]()
    skeleton = replace(space.skeleton, classes=3)
    layers = tuple(
        replace(layer, shape=shape)
        for layer, shape in zip(space.layers, skeleton.shapes, strict=True)
    )
    return replace(space, skeleton=skeleton, layers=layers)


def brief(method: str, **more: Any) -> dict[str, Any]:
    """Settings of a short search."""
    few = {"splits": 1, "repeats": 1} if method in ("gm", "nas-lid") else {}
    return {**BRIEF, "method": method, "options": few, **more}


@pytest.mark.parametrize("name", ["edges", *slowly("cells")])
@pytest.mark.parametrize("method", [each for each in METHODS if each not in NOT_ON_TIED])
def test_every_method_searches_choices_of_several_layers(
    method: str, name: str, tmp_path: Path
) -> None:
    space = small(name)
    found = search(space, settings=brief(method), out=tmp_path / "run", observer=Silent())
    assert found.best.skeleton == space.skeleton
    assert 0 <= found.result.accuracy <= 1


@pytest.mark.parametrize("method", ["spos", "gdas", "nas-lid", "darts"])
def test_a_stopped_search_goes_on_as_if_it_had_not_stopped(method: str, tmp_path: Path) -> None:
    problem = make_problem(small("edges"), **brief(method))
    whole, stopped, resumed = (make_method(problem) for _ in range(3))
    for index in range(whole.steps):
        whole.step(index)
    for index in range(3):
        stopped.step(index)
    save_state(tmp_path / "state", stopped.state())
    restore_from(tmp_path / "state", torch.device("cpu"), resumed)
    for index in range(3, whole.steps):
        resumed.step(index)
    assert resumed.ranked() == whole.ranked()


def test_selection_by_perturbation_runs_all_layers_that_a_choice_changes() -> None:
    """The second group of layers begins behind the first; its loss is that of whole mixtures."""
    chosen = {"selection": "perturbation", "tuning": 0}
    method = make_method(make_problem(small("edges"), **brief("darts", options=chosen)))
    assert isinstance(method, Darts)
    selection, supernet = method._selection, method.weights.supernet.train()
    mixes = [row.detach() for row in method.alphas.probabilities]
    problem = method.problem
    for choice in (0, 4):
        without = [row.clone() for row in mixes]
        without[choice][3] = 0
        batches = map(problem.validation.batch, range(problem.supernet.validation_batches))
        with torch.no_grad():
            losses = [
                method.weights.task.loss(supernet.mixture(images, without), labels)
                for images, labels in batches
            ]
        found = selection._losses(choice, mixes)[1 + 3]
        assert found == pytest.approx(float(torch.stack(losses).mean()), rel=1e-6)


@pytest.mark.parametrize("name", SPACES)
def test_gradients_of_shared_weights_are_compared(name: str) -> None:
    asked = {**BRIEF["supernet"], "interference": 2}
    method = make_method(make_problem(small(name), **brief("spos", supernet=asked)))
    for index in range(4):
        method.step(index)
    points = compared_gradients(method, Silent())
    assert points
    assert all(-1 <= point.cosine <= 1 for point in points)


def test_networks_are_compared_by_shared_weights(tmp_path: Path) -> None:
    settings = {
        "data": {"source": SOURCE},
        "sampling": {"samples": 4},
        "evaluator": {"method": "supernet", "steps": 4, "batch": 8},
    }
    spaces = [small("edges"), small("edges")]
    found = compare(spaces, settings=settings, out=tmp_path / "run", observer=Silent())
    assert len(found.comparison.spaces) == 2


@pytest.mark.parametrize("method", ["spos", "darts", "gdas", "nasp", "proxyless", "enas"])
def test_an_edge_without_which_nothing_is_seen_is_kept(method: str) -> None:
    """Of cells of one edge, `none` leaves nothing of the images, and a convolution all."""
    layers = (LayerSpec(4), LayerSpec(4))
    skeleton = Skeleton(
        "one", 1, 8, 3, Stem(4, 1), layers, preactivation=True, ties=(0, 0), nodes=2
    )
    space = by_edge(skeleton)
    few = replace(
        space,
        layers=tuple(replace(each, candidates=each.candidates[:1] + each.candidates[2:4])
                     for each in space.layers),
    )  # fmt: skip
    settings = brief(
        method,
        data={"source": "synthetic:classes=3,train=600,test=12"},
        supernet={"steps": 60, "batch": 32, "learning_rate": 0.05},
    )
    problem = make_problem(few, **settings)
    searching = make_method(problem)
    for index in range(searching.steps):
        searching.step(index)
    ratings = searching.rated([(0,), (1,), (2,)])
    if ratings is not None:
        assert max(ratings[1:]) > ratings[0]
    if method != "spos":  # which may have drawn `none` alone
        best = searching.ranked()[0]
        assert few.layers[0].candidates[best.path[0]].id != "none"
