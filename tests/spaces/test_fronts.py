"""Fronts merged part after part, against enumeration; and a traversal that misses the best."""

import itertools
from collections.abc import Sequence

from hypothesis import given
from hypothesis import strategies as st

from autospace.spaces.fronts import Front, Partial, merged, undominated

Row = tuple[float, tuple[int, ...]]


def _parts(tables: Sequence[Sequence[Row]]) -> list[list[Partial]]:
    return [
        [Partial(score, costs, (index,)) for index, (score, costs) in enumerate(rows)]
        for rows in tables
    ]


def _all(parts: list[list[Partial]]) -> list[Partial]:
    """Every combination, with scores added from left to right, as the merge adds them."""
    found = []
    for chosen in itertools.product(*parts):
        score, costs = 0.0, (0,) * len(chosen[0].costs)
        for each in chosen:
            score += each.score
            costs = tuple(map(sum, zip(costs, each.costs, strict=True)))
        found.append(Partial(score, costs, sum((each.path for each in chosen), ())))
    return found


def _by_hand(partials: list[Partial]) -> set[tuple[float, tuple[int, ...]]]:
    """Scores and costs of those that no other one beats, from the definition."""

    def beats(a: Partial, b: Partial) -> bool:
        ahead = a.score >= b.score and all(map(int.__le__, a.costs, b.costs))
        return ahead and (a.score, a.costs) != (b.score, b.costs)

    return {(b.score, b.costs) for b in partials if not any(beats(a, b) for a in partials)}


def _points(front: Front) -> list[tuple[float, tuple[int, ...]]]:
    return [(each.score, each.costs) for each in front.partials]


@st.composite
def tables(draw: st.DrawFn) -> list[list[Row]]:
    kinds = draw(st.integers(0, 3))
    scores = st.sampled_from([-3.0, -1.5, -0.1, 0.0, 0.1, 0.3]) | st.floats(-4, 4)
    costs = st.tuples(*[st.integers(0, 9)] * kinds)
    row = st.lists(st.tuples(scores, costs), min_size=1, max_size=5)
    return draw(st.lists(row, min_size=1, max_size=4))


@given(tables(), st.data())
def test_a_merge_is_the_front_of_all_combinations(
    given_: list[list[Row]], data: st.DataObject
) -> None:
    parts = _parts(given_)
    kinds = len(parts[0][0].costs)
    rooms = [data.draw(st.none() | st.integers(0, 30)) for _ in range(kinds)]
    allowed = [
        each
        for each in _all(parts)
        if all(room is None or cost <= room for cost, room in zip(each.costs, rooms, strict=True))
    ]
    front = merged(parts, rooms)
    assert front.exact
    assert sorted(_points(front)) == sorted(_by_hand(allowed))
    for each in front.partials:
        assert each in allowed
    assert [each.score for each in front.partials] == sorted(
        (each.score for each in front.partials), reverse=True
    )


@given(tables())
def test_pruning_the_parts_first_changes_no_point(given_: list[list[Row]]) -> None:
    parts = _parts(given_)
    rooms = [None] * len(parts[0][0].costs)
    pruned = [undominated(part) for part in parts]
    assert _points(merged(pruned, rooms)) == _points(merged(parts, rooms))


@given(tables(), st.integers(4, 6))
def test_a_long_front_is_cut_and_says_so(given_: list[list[Row]], most: int) -> None:
    parts = _parts(given_)
    rooms = [None] * len(parts[0][0].costs)
    whole, cut = merged(parts, rooms), merged(parts, rooms, most)
    assert len(cut.partials) <= most
    if cut.exact:
        assert cut == whole
    for kind in range(len(rooms)):
        assert min(each.costs[kind] for each in cut.partials) == min(
            sum(costs)
            for costs in zip(*[[min(e.costs[kind] for e in part)] for part in parts], strict=True)
        )


def _greedy(parts: list[list[Partial]], room: int) -> float:
    """Block after block, the best that leaves every later block its cheapest alternative."""
    score, spent = 0.0, 0
    for number, part in enumerate(parts):
        left = room - spent - sum(min(e.costs[0] for e in p) for p in parts[number + 1 :])
        best = max((each for each in part if each.costs[0] <= left), key=lambda each: each.score)
        score, spent = score + best.score, spent + best.costs[0]
    return score


def test_the_best_within_a_limit_needs_all_blocks_at_once() -> None:
    # The first block could spend everything on a small gain; the second gains much more by it.
    parts = _parts([[(-1.0, (1,)), (-0.9, (5,))], [(-1.0, (1,)), (-0.1, (5,))]])
    best = merged(parts, [6]).partials[0]
    assert (best.score, best.costs, best.path) == (-1.1, (6,), (0, 1))
    assert _greedy(parts, 6) == -1.9
