"""Damaged files of every kind end in an error of ours, of one line, or in a valid value."""

import warnings
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from autospace.spaces.errors import AutospaceError
from tests.fuzz.loaders import LOADERS
from tests.slow import slowly

FEW, MANY = 100, 1000


def _checked(load: Callable[[], object]) -> tuple[object, str]:
    """The value, or the message of our own error; anything else passes through."""
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        try:
            return load(), ""
        except AutospaceError as error:
            return None, str(error)


@pytest.mark.parametrize("examples", [FEW, *slowly(MANY)])
@pytest.mark.parametrize("name", LOADERS)
def test_a_damaged_file_is_a_value_or_one_line(name: str, examples: int, tmp_path: Path) -> None:
    loader = LOADERS[name]
    path, load = loader.prepare(tmp_path)
    sound, (value, problem) = path.read_bytes(), _checked(load)
    assert not problem
    refused = 0
    for raw in loader.damage(sound, examples, zlib.crc32(name.encode())):
        path.write_bytes(raw)
        found, problem = _checked(load)
        assert problem.isprintable(), raw
        assert len(problem) < 600, raw
        if loader.named and problem:
            assert path.name in problem, raw
        if loader.silent:
            assert not problem, raw
        if not loader.believed:
            assert problem or repr(found) == repr(value), raw
        refused += bool(problem)
    assert loader.silent or refused > examples / 10
    path.write_bytes(sound)
    assert repr(_checked(load)[0]) == repr(value)


def _seeds() -> Iterator[int]:
    yield from (zlib.crc32(name.encode()) for name in LOADERS)


def test_every_loader_is_damaged_in_its_own_way() -> None:
    assert len(set(_seeds())) == len(LOADERS)
