"""A planted space: the label can only be seen by a wide receptive field.

Every image is white noise plus a copy of itself, shifted by 7 pixels down or to the right: the
class. Stem and cell together see so far only if the cell's own receptive field is 7 or more, and
in this vocabulary only `dw_conv_3x3_d3` gives it that. What evolution learns must be made of it;
the same number of random cells, the best of them kept, must not be.
"""

from dataclasses import dataclass

import pytest
import torch

from autospace.data.batches import Batches, Normaliser
from autospace.data.examples import Examples
from autospace.evolution.loop import evolve, learned_space
from autospace.evolution.plan import Plan
from autospace.evolution.toolbox import Operators
from autospace.networks.network import Network, placed
from autospace.scorers.context import ScoringContext, freeze
from autospace.scorers.make import make_scorer
from autospace.scorers.scorer import ScoringConfig
from autospace.spaces import Budget, Cell, LayerSpec, Skeleton, Stem, mbconv
from autospace.spaces.cells.variation import CellPrior
from autospace.training.short import Recipe, train

SHIFT = 7
PLANTED = "dw_conv_3x3_d3"
BLIND = ("skip_connect", "dw_conv_3x3", "dw_conv_3x3_d2", "avg_pool_3x3", "max_pool_3x3")
PRIOR = CellPrior((*BLIND, PLANTED), nodes=3, expansions=(3,), none_probability=0.75)
SKELETON = Skeleton("planted", 1, 16, 2, Stem(8, 1), (LayerSpec(8),))
POPULATION = 32
GENERATIONS = 8
CANDIDATES = 8
KEPT = 45


def shifted_noise(count: int, seed: int) -> Examples:
    generator = torch.Generator().manual_seed(seed)
    noise = torch.randn(count, 1, 16, 16, generator=generator)
    labels = torch.randint(0, 2, (count,), generator=generator)
    down, right = noise.roll(SHIFT, 2), noise.roll(SHIFT, 3)
    images = noise + torch.where(labels[:, None, None, None] == 0, down, right)
    return Examples((127.5 + 35 * images).clamp(0, 255).to(torch.uint8), labels)


def setting(seed: int) -> ScoringContext:
    weights, fitness = shifted_noise(2000, 2 * seed), shifted_noise(1000, 2 * seed + 1)
    norm = Normaliser.from_examples(weights)
    torch.manual_seed(seed)
    network = placed(Network(SKELETON, [mbconv(3, 3, nodes=3)]), "cpu")
    train(network, Batches(weights, 64, seed, "cpu", norm), Recipe(10))
    options = ScoringConfig(steps=40, learning_rate=0.2, validation_batches=2, pool=1)
    return ScoringContext(
        freeze(network),
        Batches(weights, 32, seed + 1, "cpu", norm),
        Batches(fitness, 250, seed + 2, "cpu", norm),
        options,
        seed,
    )


@dataclass(frozen=True)
class Search:
    population: int
    generations: int

    def planted_share(self, base: ScoringContext) -> float:
        """Share of the kept cells that hold the planted operation."""
        operators = Operators(
            population=self.population,
            tournament=6,
            crossover=0.2,
            ageing=False,
            objectives=("fitness",),
            prior=PRIOR,
        )
        plan = Plan(
            skeleton=SKELETON,
            references=(("mbconv_k3_e3", mbconv(3, 3, nodes=3)),),
            operators=operators,
            seed=base.seed,
            generations=self.generations,
            candidates=CANDIDATES,
            keep=KEPT,
            confirm=0,
        )
        *_, state = evolve(plan, make_scorer(base))
        space = learned_space(plan, state, name="planted", budget=Budget(), provenance={})
        cells = [each.cell for each in space.layers[0].candidates[:KEPT]]
        return sum(has_planted(cell) for cell in cells) / len(cells)


EVOLUTION = Search(POPULATION, GENERATIONS)
# As many evaluations, all of them of random cells or of random neighbours of the reference.
RANDOM = Search(POPULATION + GENERATIONS * CANDIDATES, 0)


def has_planted(cell: Cell) -> bool:
    return PLANTED in cell.pruned().operations


def found(search: Search, seed: int) -> bool:
    return search.planted_share(setting(seed)) >= 0.9


@pytest.mark.slow
def test_evolution_fills_the_space_with_the_planted_operation_and_random_search_does_not() -> None:
    assert found(EVOLUTION, 0)
    assert not found(RANDOM, 0)


@pytest.mark.slow
@pytest.mark.timeout(3600)
def test_evolution_finds_the_planted_operation_in_nine_of_ten_seeds() -> None:
    assert sum(found(EVOLUTION, seed) for seed in range(10)) >= 9
    assert sum(found(RANDOM, seed) for seed in range(10)) <= 1
