"""How many networks would decide a comparison that found no difference."""

from types import SimpleNamespace
from typing import Any

import pytest
from scipy.stats import norm

from autospace.comparison.compare import _on_the_samples, undecided
from autospace.comparison.document import PowerDocument


def _notes(
    value: float, verdict: str = "none", spread: float = 0.02, method: str = "train"
) -> list[str]:
    effect = SimpleNamespace(value=value)
    pair: Any = SimpleNamespace(b=1, effect=effect, verdict=verdict, level=0.95)
    return undecided([pair], _prepared(method), [_spread(spread, value), [0.0, 0.0]])


def _prepared(method: str = "train") -> Any:
    config = SimpleNamespace(evaluator=SimpleNamespace(method=method))
    labels = ["mine", "theirs", "others"]
    return SimpleNamespace(labels=labels, paired=True, config=config)


def _spread(deviation: float, middle: float = 0.0) -> list[float]:
    """Two numbers of this mean and this standard deviation."""
    return [middle - deviation / 2**0.5, middle + deviation / 2**0.5]


@pytest.mark.parametrize("value", [0.002, -0.002, 0.005])
def test_the_number_is_that_of_the_textbook(value: float) -> None:
    (note,) = _notes(value)
    # Cohen 1988: the normal quantiles; the t test needs two or three more.
    textbook = ((norm.ppf(0.975) + norm.ppf(0.8)) * 0.02 / value) ** 2
    said = int(note.split()[1].replace(",", ""))
    assert textbook <= said <= textbook + 4
    assert "between mine and theirs" in note
    assert note.endswith(f"{100 * abs(value):.2g} points")


def test_nothing_is_said_of_a_decided_pair_or_without_a_difference() -> None:
    assert _notes(0.01, "a") == _notes(0.0) == _notes(0.01, spread=0.0) == []
    # The means are equal but for rounding.
    assert _notes(3e-16) == []
    assert _notes(1e-6)[0].startswith("more than ")


def test_nothing_is_said_of_scores() -> None:
    assert _notes(0.01, method="naswot") == []


def test_each_pair_needs_what_its_own_differences_take() -> None:
    effect = SimpleNamespace(value=0.005)
    pairs: Any = [SimpleNamespace(b=b, effect=effect, verdict="none", level=0.95) for b in (1, 2)]
    quiet, loud = undecided(pairs, _prepared(), [[0.0, 0.0], _spread(0.01), _spread(0.03)])
    # Cohen 1988: by pairs 34 for an effect of half a standard deviation; a ninth of the squared
    # effect takes nine times as many, but for the two that the t test adds.
    assert quiet.startswith("about 34 networks per space would decide between mine and theirs")
    assert loud.startswith("about 285 networks per space would decide between mine and others")


def notes_on_power(prepared: Any, power: PowerDocument) -> list[str]:
    return list(_on_the_samples(prepared, (), power))


@pytest.mark.parametrize(("detectable", "told"), [(0.0104, False), (0.0106, True), (None, False)])
def test_too_few_networks_for_the_effect_are_told(detectable: float | None, told: bool) -> None:
    prepared: Any = SimpleNamespace(basis=None)
    power = PowerDocument(effect=0.01, power=0.8, samples=300, detectable=detectable)
    notes = [note for note in notes_on_power(prepared, power) if "too few networks" in note]
    assert len(notes) == told
    if told:
        assert notes[0] == (
            "there are too few networks to detect a difference of 1 point, which takes 300 per "
            "space; these networks can detect a difference of 1.1 points"
        )
    power = PowerDocument(power=0.8, detectable=1.0)
    assert notes_on_power(prepared, power) == []  # nothing was planned
