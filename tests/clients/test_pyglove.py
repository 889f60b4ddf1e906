"""PyGlove reads what we export."""

import itertools
import json
from typing import Any

import pytest

from tests.clients.exchange import (
    DRAWN,
    SPACES,
    assert_all_return,
    ids_of,
    learned_space,
    text_for,
)
from tests.slow import slowly

pyglove = pytest.importorskip("pyglove", reason="make test-clients has it")

each_space = pytest.mark.parametrize("make", SPACES)


@each_space
def test_layers_and_cells_arrive_in_order(make: Any) -> None:
    space = make()
    found = pyglove.from_json_str(text_for("pyglove", space))
    assert {name: list(found[name].candidates) for name in found} == ids_of(space)
    assert pyglove.dna_spec(found).space_size == space.size


@each_space
def test_it_is_what_their_own_functions_make(make: Any) -> None:
    space = make()
    made = pyglove.Dict({name: pyglove.oneof(ids) for name, ids in ids_of(space).items()})
    assert pyglove.eq(pyglove.from_json_str(text_for("pyglove", space)), made)
    assert json.loads(text_for("pyglove", space)) == json.loads(pyglove.to_json_str(made))


@pytest.mark.parametrize("make", [SPACES[0], *slowly(*SPACES[1:])])
def test_samples_are_our_architectures(make: Any) -> None:
    space = make()
    found = pyglove.from_json_str(text_for("pyglove", space))
    drawn = itertools.islice(pyglove.random_sample(found, seed=0), DRAWN)
    assert_all_return(space, drawn)


def test_their_evolution_runs_on_it() -> None:
    space = learned_space()
    found = pyglove.from_json_str(text_for("pyglove", space))
    algorithm = pyglove.evolution.regularized_evolution(population_size=10, tournament_size=3)
    seen = []
    for choices, feedback in pyglove.sample(found, algorithm, num_examples=40):
        feedback(-float(space.cost(choices).madds))
        seen.append(dict(choices))
    assert_all_return(space, seen, everything=False)
