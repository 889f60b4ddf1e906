"""States: what comes back is what was there; objects that hold others stay the ones they are."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel
from safetensors import safe_open
from safetensors.torch import save_file
from torch import nn

from autospace.runs.errors import CheckpointError
from autospace.runs.state import Stateful, load_state, save_state

CPU = torch.device("cpu")


@dataclass(frozen=True)
class Note:
    path: tuple[int, ...]
    score: float | None


class Point(BaseModel):
    step: int
    score: float


@dataclass
class Holder(Stateful):
    """Remembers one value."""

    remembered: ClassVar[tuple[str, ...]] = ("value",)
    records: ClassVar[tuple[type, ...]] = (Note, Point)

    value: Any = None


class Trained(Stateful):
    """A module with its optimiser, alone and in a list."""

    remembered = ("module", "optimizer", "numbers", "inner")

    def __init__(self, seed: int, adam: bool) -> None:
        torch.manual_seed(seed)
        self.module = nn.Conv2d(3, 4, 3).to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        self.numbers = [torch.randn(3, requires_grad=True) for _ in range(2)]
        weights = [*self.module.parameters(), *self.numbers]
        self.optimizer: torch.optim.Optimizer = torch.optim.SGD(weights, 0.1, momentum=0.9)
        if adam:
            self.optimizer = torch.optim.Adam(weights, 0.01 * (seed + 1))
        self.inner = [Holder(seed), Holder([seed])]

    def step(self, index: int) -> None:
        images = torch.randn(2, 3, 5, 5, generator=torch.Generator().manual_seed(index))
        self.optimizer.zero_grad()
        loss = self.module(images).square().sum() + sum(n.square().sum() for n in self.numbers)
        loss.backward()
        self.optimizer.step()


values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda inner: (
        st.lists(inner)
        | st.lists(inner).map(tuple)
        | st.dictionaries(st.text() | st.integers() | st.tuples(st.integers()), inner)
        | st.builds(Point, step=st.integers(), score=st.floats(0, 1))
        | st.builds(Note, st.lists(st.integers()).map(tuple), st.none() | st.floats(0, 1))
    ),
    max_leaves=20,
)


@given(values)
def test_a_value_comes_back_with_its_types(value: Any) -> None:
    state = Holder(value).state()
    empty = Holder()
    empty.restore(type(state)(json.loads(json.dumps(state.plain)), state.tensors))
    assert empty.value == value
    assert repr(empty.value) == repr(value)


def test_tensors_within_values_come_back(tmp_path: Path) -> None:
    value = {"a": [torch.arange(3), (torch.ones(2, 2), 5)], (1, 2): Note((3,), None)}
    save_state(tmp_path / "s", Holder(value).state())
    found = Holder()
    found.restore(load_state(tmp_path / "s", CPU))
    assert torch.equal(found.value["a"][0], torch.arange(3))
    assert torch.equal(found.value["a"][1][0], torch.ones(2, 2))
    assert found.value["a"][1][1] == 5
    assert found.value[1, 2] == Note((3,), None)


@pytest.mark.parametrize("adam", [False, True])
def test_what_is_trained_goes_on_where_it_was_and_stays_the_same_object(
    adam: bool, tmp_path: Path
) -> None:
    whole, parts = Trained(0, adam), Trained(1, adam)
    kept = [id(each) for each in (parts.module, parts.optimizer, *parts.numbers, *parts.inner)]
    for index in range(3):
        whole.step(index)
    save_state(tmp_path / "s", whole.state())
    parts.restore(load_state(tmp_path / "s", CPU))
    assert [
        id(each) for each in (parts.module, parts.optimizer, *parts.numbers, *parts.inner)
    ] == kept
    for index in range(3, 6):
        whole.step(index)
        parts.step(index)
    assert [holder.value for holder in parts.inner] == [0, [0]]
    ours = [*parts.module.parameters(), *parts.numbers]
    theirs = [*whole.module.parameters(), *whole.numbers]
    assert all(torch.equal(a, b) for a, b in zip(ours, theirs, strict=True))
    averages = [
        parts.optimizer.state[parts.module.weight],
        whole.optimizer.state[whole.module.weight],
    ]
    for name, value in averages[1].items():
        assert value.stride() == averages[0][name].stride(), name


def test_parts_of_the_bases_are_remembered_too() -> None:
    class Longer(Holder):
        remembered: ClassVar[tuple[str, ...]] = ("more",)
        more = 1

    one, other = Longer(5), Longer()
    one.more = 2
    other.restore(one.state())
    assert (other.value, other.more) == (5, 2)
    assert list(one.state().plain) == ["value", "more"]


def test_what_cannot_be_remembered_is_named() -> None:
    with pytest.raises(TypeError, match=r"^value\.0\.key: a complex cannot be saved"):
        Holder([{1j: 1}]).state()


def test_a_state_of_another_version_says_who_wrote_it(tmp_path: Path) -> None:
    save_file({"w": torch.ones(1)}, tmp_path / "old", {"plain": "{}"})
    with pytest.raises(
        CheckpointError,
        match=r"old: version 1, written by an earlier autospace; allowed: version 5",
    ):
        load_state(tmp_path / "old", CPU)
    kept = {"plain": "{}", "version": "9", "written_by": "autospace 7.0"}
    save_file({"w": torch.ones(1)}, tmp_path / "new", kept)
    with pytest.raises(
        CheckpointError, match=r"new: version 9, written by autospace 7\.0; allowed"
    ):
        load_state(tmp_path / "new", CPU)


def test_a_state_says_which_version_wrote_it(tmp_path: Path) -> None:
    save_state(tmp_path / "s", Holder(1).state())
    with safe_open(tmp_path / "s", "pt") as stream:
        kept = json.loads(stream.metadata()["state"])
    assert kept["written_by"].startswith("autospace ")


@pytest.mark.parametrize("content", [b"", b"{}", b"\x08" + bytes(7) + b"{}      "])
def test_a_damaged_state_is_refused(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "s").write_bytes(content)
    with pytest.raises(CheckpointError, match="damaged, or not the state of a run"):
        load_state(tmp_path / "s", CPU)
