"""Comparisons of spaces whose networks diverge in training."""

import json
from collections.abc import Callable
from typing import Any

import pytest

from autospace.comparison.compare import compare
from autospace.comparison.evaluations import Evaluations
from autospace.comparison.sample_size import PILOT
from autospace.evaluators.evaluator import Evaluation
from tests.comparison.conftest import Listener, Start

Trains = Callable[[Callable[[int, int], bool]], None]


@pytest.fixture
def trains(monkeypatch: pytest.MonkeyPatch) -> Trains:
    """Says which networks diverge, by space and number; the others are good."""

    def choose(diverges: Callable[[int, int], bool]) -> None:
        def of(self: Evaluations, count: int) -> list[list[tuple[Evaluation, ...]]]:
            return [
                [
                    (Evaluation(0.2) if diverges(place, n) else Evaluation(0.8 + n / 1e3, 0.5),)
                    for n in range(count)
                ]
                for place in range(2)
            ]

        monkeypatch.setattr(Evaluations, "of", of)

    return choose


def _run(folder: Any, listener: Listener | None = None) -> dict[str, Any]:
    compare(folder, listener or Listener(), workers=1)
    found: dict[str, Any] = json.loads(folder.result.read_bytes())
    return found


def test_a_verdict_says_how_many_diverged_and_which(start: Start, trains: Trains) -> None:
    trains(lambda place, number: (place, number) == (0, 2))
    found = _run(start(sampling={"samples": 6}))
    assert found["comparable"]
    assert found["sentence"].endswith(
        "; this counts the errors of networks that diverged in training: "
        "1 of 6 from one, 0 of 6 from two"
    )
    assert found["sentence"] == found["pairs"][0]["sentence"]
    assert [each is None for each in found["spaces"][0]["losses"]] == [False] * 2 + [True] + [
        False
    ] * 3
    assert "one: diverged in training: network 3 of 6" in found["notes"]
    (hint,) = [each for each in found["notes"] if "evaluator.learning_rate" in each]
    assert hint.endswith("--set evaluator.learning_rate=0.01")


@pytest.mark.parametrize("lost", ["one", "both"])
def test_there_is_no_verdict_if_half_of_a_space_diverged(
    start: Start, trains: Trains, lost: str
) -> None:
    trains(lambda place, number: number < 4 and (lost == "both" or place == 0))
    found = _run(start(sampling={"samples": 8}))
    assert (found["comparable"], found["verdict"], found["pairs"]) == (False, "none", [])
    assert found["difference"] is found["interval"] is None
    count = 4 if lost == "both" else 0
    assert found["sentence"].startswith("no verdict: too many networks diverged in training")
    assert found["sentence"].endswith(f"4 of 8 from one, {count} of 8 from two")
    assert "one: diverged in training: network 1, 2, 3 and 1 more of 8" in found["notes"]
    assert len(found["spaces"][0]["errors"]) == 8


def test_it_ends_after_the_pilot(start: Start, trains: Trains) -> None:
    trains(lambda place, number: True)
    listener = Listener()
    found = _run(start(sampling={"samples": None}), listener)
    assert found["samples"] == PILOT
    assert f"the comparison ends after the pilot of {PILOT}: too many diverged" in listener.messages
    assert found["sentence"].startswith("no verdict: ")


def test_nothing_is_said_where_none_diverged(start: Start, trains: Trains) -> None:
    trains(lambda place, number: False)
    assert "diverged" not in json.dumps(_run(start()))
