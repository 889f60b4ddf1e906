"""Suite `cost`: no difference, unless one is planted."""

from collections.abc import Sequence

import pytest

from autospace.bench.baseline import Change
from autospace.bench.document import Entry
from autospace.bench.suites import SKELETON, Counted, cost, counted
from autospace.spaces import Cell, Skeleton, mbconv


def measured(**changes: object) -> dict[str, Entry]:
    entries = cost(quick=True, on_message=lambda line: None, **changes)  # type: ignore[arg-type]
    return {entry.metric: entry for entry in entries}


@pytest.fixture(scope="module")
def sound() -> dict[str, Entry]:
    return measured()


def test_closed_form_and_count_agree_to_the_last_unit(sound: dict[str, Entry]) -> None:
    assert {name: entry.value for name, entry in sound.items()} == {
        "madds_error": 0.0,
        "params_error": 0.0,
    }


@pytest.mark.parametrize("index", [0, 1])
def test_a_count_that_is_off_by_one_is_a_regression(index: int, sound: dict[str, Entry]) -> None:
    def wrong(skeleton: Skeleton, cells: Sequence[Cell]) -> Counted:
        found = [*counted(skeleton, cells)]
        found[index] += 1
        return found[0], found[1]

    metric = ("madds_error", "params_error")[index]
    assert Change(sound[metric], measured(count=wrong)[metric], 0.1).verdict == "worse"


def test_a_network_is_counted_by_hand() -> None:
    # Stem 3 > 8 at 17x17 and its block at 17x17; layers e = 1; head 9 > 20 and 20 > 10 classes.
    stem = 17**2 * (8 * 3 * 9 + 8 * 9 + 8 * 6)
    layers = 17**2 * (6 * 9 + 6 * 6) + 9**2 * (6 * 9 + 6 * 9) + 9**2 * (9 * 9 + 9 * 9)
    head = 9**2 * 9 * 20 + 20 * 10
    madds, _ = counted(SKELETON, [mbconv(3, 1)] * 3)
    assert madds == stem + layers + head
