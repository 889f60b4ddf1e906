"""Suite `recovery`: found if the search is sound, not found if it is broken."""

from collections.abc import Sequence

import pytest

from autospace.bench.baseline import Change
from autospace.bench.document import Entry
from autospace.bench.recovery import PRIOR, SETTINGS, Planted, recovery, shared_genes
from autospace.scorers.scorer import Scorer
from autospace.seeds import stream
from autospace.spaces import Cell, mbconv
from autospace.spaces.cells.variation import random_cell


class Reversed:
    """The planted bug: the better a cell, the lower its fitness."""

    def __init__(self, scorer: Scorer) -> None:
        self._scorer = scorer

    def score(self, candidates: Sequence[Sequence[Cell]], repeat: int) -> list[list[float]]:
        return [[-value for value in row] for row in self._scorer.score(candidates, repeat)]


def measured(**changes: object) -> dict[str, Entry]:
    entries = recovery(seeds=1, on_message=lambda line: None, **changes)  # type: ignore[arg-type]
    return {entry.metric: entry for entry in entries}


@pytest.fixture(scope="module")
def sound() -> dict[str, Entry]:
    return measured()


def test_evolution_finds_planted_cells_that_random_search_does_not(
    sound: dict[str, Entry],
) -> None:
    assert sound["fraction_found"].value >= 0.75
    assert sound["over_random"].value >= 0.6
    budget = SETTINGS.population + 40 * SETTINGS.candidates
    assert 0 < sound["evaluations"].value < budget


@pytest.mark.slow
def test_reversed_fitness_is_a_regression(sound: dict[str, Entry]) -> None:
    broken = measured(make_scorer=lambda cells, seed: Reversed(Planted(cells, seed)))
    for metric in ("fraction_found", "over_random", "evaluations"):
        assert Change(sound[metric], broken[metric], 0.1).verdict == "worse"


@pytest.mark.slow
def test_fitness_that_knows_nothing_is_a_regression(sound: dict[str, Entry]) -> None:
    class Blind:
        def score(self, candidates: Sequence[Sequence[Cell]], repeat: int) -> list[list[float]]:
            return [[0.0] * len(layer) for layer in candidates]

    broken = measured(make_scorer=lambda cells, seed: Blind())
    assert Change(sound["fraction_found"], broken["fraction_found"], 0.1).verdict == "worse"


@pytest.mark.slow
def test_a_seed_gives_the_same_figures_every_time(sound: dict[str, Entry]) -> None:
    assert measured() == sound


def test_cells_share_the_genes_that_they_have_in_common() -> None:
    planted = mbconv(5, 3, nodes=3)
    # 3 edge slots, 2 mixes, expansion: six genes.
    assert shared_genes(planted, planted) == 6
    assert shared_genes(mbconv(7, 3, nodes=3), planted) == 5
    assert shared_genes(mbconv(7, 6, nodes=3, se=True), planted) == 3


def test_nothing_scores_higher_than_the_planted_cell_but_for_noise() -> None:
    rng = stream(0, "test")
    for _ in range(200):
        planted, other = random_cell(PRIOR, rng), random_cell(PRIOR, rng)
        assert shared_genes(other, planted) <= shared_genes(planted, planted)
        assert shared_genes(other, planted) == shared_genes(planted, other)
