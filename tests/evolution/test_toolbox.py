"""Selection and survival with DEAP."""

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from autospace.evolution import toolbox as evolution
from autospace.evolution.population import Drawn, Member
from autospace.spaces import DEFAULT_OPERATIONS, Cell, mbconv
from autospace.spaces.cells.operations import Cost
from autospace.spaces.cells.variation import CellPrior, random_cell
from tests.tiny import PRIOR, member, operators

FITNESSES = st.lists(st.integers(-3, 3).map(float), min_size=1, max_size=12)


def _members(fitnesses: list[float], madds: list[int] | None = None) -> list[Member]:
    rng = random.Random(0)
    made: list[Member] = []
    keys: set[str] = set()
    while len(made) < len(fitnesses):
        index = len(made)
        some = member(f"c{index:04d}", random_cell(PRIOR, rng), fitnesses[index])
        if some.key in keys:
            continue
        keys.add(some.key)
        if madds is not None:
            some = member(some.id, some.cell, some.fitness, cost=Cost(madds[index], 1))
        made.append(some)
    return made


def test_random_is_lent_and_given_back() -> None:
    random.seed(7)
    expected = random.Random(7).random()
    rng = random.Random(3)
    with evolution.lent(rng):
        drawn = [random.random(), random.random()]
    assert random.random() == expected
    twin = random.Random(3)
    assert drawn == [twin.random(), twin.random()]
    # What was drawn counts: the lender goes on behind it.
    assert rng.random() == twin.random()


def test_random_is_given_back_after_an_error() -> None:
    random.seed(7)
    expected = random.Random(7).random()
    with pytest.raises(ZeroDivisionError), evolution.lent(random.Random(3)):
        _ = random.random() / 0
    assert random.random() == expected


@pytest.mark.parametrize("objectives", [("fitness",), ("fitness", "madds")])
def test_evolution_neither_uses_nor_disturbs_the_global_generator(
    objectives: tuple[str, ...],
) -> None:
    some = _members([1.0, 2.0, 3.0, 4.0], [4, 3, 2, 1])
    acting = operators(population=2, objectives=objectives)
    results = []
    for outer in (1, 2):
        random.seed(outer)
        before = random.getstate()
        child = evolution.offspring(some, acting, random.Random(5))
        results.append((child, evolution.survivors(some, acting)))
        assert random.getstate() == before
    assert results[0] == results[1]


@given(FITNESSES, st.integers(1, 6), st.integers())
def test_a_parent_is_the_best_of_the_members_that_were_drawn(
    fitnesses: list[float], size: int, seed: int
) -> None:
    some = _members(fitnesses)
    acting = operators(tournament=size, crossover=0.0)
    _, (parent,), kind = evolution.offspring(some, acting, random.Random(seed))
    # The oracle plays the tournament by hand: one draw for the kind, then the aspirants.
    twin = random.Random(seed)
    if len(some) > 1:
        twin.random()
    aspirants = [twin.choice(some) for _ in range(size)]
    assert parent == max(aspirants, key=lambda each: each.value).id
    assert kind == "mutation"


def test_a_tournament_of_nearly_everybody_picks_the_best() -> None:
    some = _members([0.0, 5.0, 1.0, 2.0])
    acting = operators(tournament=400, crossover=0.0)
    for seed in range(20):
        assert evolution.offspring(some, acting, random.Random(seed))[1] == ("c0001",)


@given(st.integers(), st.floats(0, 1))
def test_offspring_name_their_parents_and_their_kind(seed: int, share: float) -> None:
    some = _members([1.0, 2.0, 3.0])
    child, parents, kind = evolution.offspring(
        some, operators(tournament=1, crossover=share), random.Random(seed)
    )
    assert set(parents) <= {each.id for each in some}
    assert len(set(parents)) == len(parents) == (2 if kind == "crossover" else 1)
    assert child not in {each.cell.pruned() for each in some if each.id in parents}
    assert not child.is_zero


def test_the_only_member_has_offspring_by_itself() -> None:
    (lonely,) = _members([1.0])
    child, parents, kind = evolution.offspring([lonely], operators(crossover=1.0), random.Random(0))
    assert (parents, kind) == ((lonely.id,), "mutation")
    assert child != lonely.cell


@given(FITNESSES, st.integers(1, 12))
def test_the_fittest_survive_in_the_order_given(fitnesses: list[float], size: int) -> None:
    some = _members(fitnesses)
    kept = evolution.survivors(some, operators(population=size))
    assert len(kept) == min(size, len(some))
    assert list(kept) == [each for each in some if each in kept]
    assert (
        sorted((each.value for each in kept), reverse=True)
        == sorted(fitnesses, reverse=True)[: len(kept)]
    )


@given(FITNESSES, st.integers(1, 12))
def test_ageing_keeps_the_youngest_however_fit(fitnesses: list[float], size: int) -> None:
    some = _members(fitnesses)
    kept = evolution.survivors(some, operators(population=size, ageing=True))
    assert kept == tuple(some[-size:])


@given(st.lists(st.tuples(st.integers(-3, 3), st.integers(1, 5)), min_size=1, max_size=14))
def test_the_front_survives_in_the_two_objective_mode(points: list[tuple[int, int]]) -> None:
    some = _members([float(fitness) for fitness, _ in points], [madds for _, madds in points])
    front = {
        each.id
        for each in some
        if not any(
            other.value >= each.value
            and other.cost.madds <= each.cost.madds
            and (other.value, other.cost.madds) != (each.value, each.cost.madds)
            for other in some
        )
    }
    acting = operators(population=len(front), objectives=("fitness", "madds"))
    assert {each.id for each in evolution.survivors(some, acting)} == front
    fewer = operators(population=max(1, len(front) - 1), objectives=("fitness", "madds"))
    assert {each.id for each in evolution.survivors(some, fewer)} <= front


@given(st.lists(st.lists(st.tuples(st.integers(0, 7), st.integers(-5, 5)), max_size=5), max_size=6))
def test_the_hall_of_fame_has_the_latest_score_of_the_best_keys_once(
    rounds: list[list[tuple[int, int]]],
) -> None:
    cells = _members([0.0] * 8)
    hall: tuple[Member, ...] = ()
    latest: dict[str, float] = {}
    for scored in rounds:
        once = {index: float(value) for index, value in scored}
        for index, value in once.items():
            latest[cells[index].key] = value
        made = [member(cells[i].id, cells[i].cell, value) for i, value in once.items()]
        hall = evolution.best_ever(hall, made, 20)
        assert len({each.key for each in hall}) == len(hall)
        assert {each.key: each.value for each in hall} == latest
        values = [each.value for each in hall]
        assert values == sorted(values, reverse=True)


@given(FITNESSES, st.integers(1, 12), st.randoms(use_true_random=False))
def test_the_hall_of_fame_does_not_depend_on_the_order_of_equals(
    fitnesses: list[float], size: int, rng: random.Random
) -> None:
    some = _members(fitnesses)
    shuffled = rng.sample(some, len(some))
    expected = tuple(sorted(some, key=lambda each: (-each.value, each.id))[:size])
    assert evolution.best_ever((), some, size) == expected
    assert evolution.best_ever(shuffled[:3], shuffled[3:], size) == expected


def test_the_hall_of_fame_keeps_so_many() -> None:
    some = _members([1.0, 5.0, 3.0, 4.0])
    assert [each.value for each in evolution.best_ever(some[:2], some[2:], 2)] == [5.0, 4.0]


def test_a_cell_that_was_scored_again_replaces_itself_even_if_it_fell() -> None:
    best, other = _members([5.0, 3.0])
    again = member(best.id, best.cell, 1.0, scores=2)
    assert evolution.best_ever([best, other], [again], 5) == (other, again)


def test_a_record_holds_best_mean_and_standard_deviation() -> None:
    drawn = Drawn(5, 1, 2)
    found = evolution.record(_members([1.0, 2.0, 6.0]), drawn, 3)
    assert (found.best, found.mean, found.drawn, found.scored) == (6.0, 3.0, drawn, 3)
    assert found.spread == pytest.approx((14 / 3) ** 0.5)


def test_the_toolbox_mutates_and_mates_within_the_prior() -> None:
    prior = CellPrior(("dw_conv_3x3", "dw_conv_5x5"))
    toolbox = evolution.make_toolbox(operators(prior=prior))
    rng = random.Random(0)
    for _ in range(50):
        child = toolbox.mutate(toolbox.mate(mbconv(3, 3), mbconv(5, 6), rng=rng), rng=rng)
        assert isinstance(child, Cell)
        assert set(child.operations) <= {"none", *prior.operations}


def test_no_class_is_created_at_run_time() -> None:
    # DEAP's creator would put classes into a global name space, and break with two runs.
    import deap.creator

    evolution.survivors(_members([1.0, 2.0]), operators(population=1))
    assert not [name for name in vars(deap.creator) if name in {"Individual", "FitnessMax"}]
    assert "none" in DEFAULT_OPERATIONS


def test_a_tournament_is_won_as_often_as_draws_with_replacement_say() -> None:
    fitness, size, rounds = [0.3, 0.9, 0.1, 0.5], 3, 6000
    rng = random.Random(1)
    wins = [0] * len(fitness)
    for _ in range(rounds):
        wins[evolution.tournament(fitness, size, rng)] += 1
    for index, value in enumerate(fitness):
        weaker = sum(other < value for other in fitness)
        chance = ((weaker + 1) / 4) ** size - (weaker / 4) ** size
        spread = (chance * (1 - chance) / rounds) ** 0.5
        assert wins[index] / rounds == pytest.approx(chance, abs=4.5 * spread)
