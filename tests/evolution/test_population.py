"""Members, rounds and states."""

import pytest

from autospace.evolution.population import Drawn, EvolutionState, LayerRecord, Round
from autospace.spaces import mbconv
from tests.tiny import member


def test_a_member_without_a_score_has_no_value() -> None:
    with pytest.raises(ValueError, match="c0001 has not been scored"):
        _ = member("c0001", mbconv(3, 3), None).value


def test_a_member_is_worth_its_fitness() -> None:
    assert member("c0001", mbconv(3, 3), -0.25).value == -0.25


def test_the_feasible_rate_is_the_share_of_draws_within_budget() -> None:
    assert Drawn(8, 3, 2).feasible_rate == 0.75
    assert Drawn().feasible_rate == 1.0


def test_a_round_averages_its_layers_and_a_state_counts_its_cells() -> None:
    layers = (LayerRecord(1.0, 0.5, 0.1, Drawn(), 4), LayerRecord(3.0, -0.5, 0.1, Drawn(), 3))
    record = Round(0, "evolve", layers)
    assert (record.best, record.mean) == (2.0, 0.0)
    assert EvolutionState(2, (), (record, record)).evaluations == 14
