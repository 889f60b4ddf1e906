"""From what a user names to one architecture."""

import json
import random
from pathlib import Path

import pytest

from autospace.spaces import SpaceError, load, load_architecture, to_json

MBCONV = load("mbconv@cifar")
DRAWN = MBCONV.sample(random.Random(0))


def test_a_written_architecture_reads_back(tmp_path: Path) -> None:
    path = tmp_path / "net.json"
    path.write_text(to_json(DRAWN))
    assert load_architecture(path) == DRAWN
    assert load_architecture(str(path), load("reference@digits")) == DRAWN


def test_a_flat_file_is_read_against_its_space(tmp_path: Path) -> None:
    path = tmp_path / "best.json"
    path.write_text(json.dumps(DRAWN.choices))
    assert load_architecture(path, MBCONV) == DRAWN


@pytest.mark.parametrize(
    ("file", "expected"),
    [
        ("best.json", "holds a search, not a space; allowed: {}, the architecture that it found"),
        ("architecture.json", "holds a training, not a space; allowed: {}, the architecture that"),
        ("comparison.json", "holds a comparison, not a space; autospace report {} shows it"),
    ],
)
def test_the_folder_of_another_run_says_what_to_name(
    tmp_path: Path, file: str, expected: str
) -> None:
    (tmp_path / file).touch()
    with pytest.raises(SpaceError) as caught:
        load(tmp_path)
    # The report takes the folder.
    named = tmp_path if file == "comparison.json" else tmp_path / file
    assert expected.format(named) in str(caught.value)


def test_a_space_of_one_architecture_is_that_architecture() -> None:
    space = load("reference@cifar")
    assert load_architecture("reference@cifar") == space.architecture(space.reference)


@pytest.mark.parametrize(
    ("text", "with_space", "expected"),
    [
        (json.dumps(DRAWN.choices), False, "--space"),
        ('{"layer_99": "k3e6"}', True, "layer_99: unknown layer; allowed: layer_00 to"),
        ("{}", True, "layer_00: missing layer"),
        (json.dumps(DRAWN.choices | {"layer_03": "none"}), True, 'layer_03: unknown cell "none"'),
        (json.dumps(DRAWN.choices | {"layer_03": 3}), True, "layer_03: unknown cell 3"),
        ("[1]", True, "allowed: an object"),
        ("{", True, "not JSON"),
    ],
)
def test_what_is_no_architecture_is_told(
    tmp_path: Path, text: str, with_space: bool, expected: str
) -> None:
    path = tmp_path / "best.json"
    path.write_text(text)
    with pytest.raises(SpaceError) as caught:
        load_architecture(path, MBCONV if with_space else None)
    assert str(path) in str(caught.value)
    assert expected in str(caught.value)


def test_a_space_of_many_is_not_one() -> None:
    with pytest.raises(SpaceError, match="one architecture"):
        load_architecture("mbconv@cifar")


def test_nothing_there_is_told() -> None:
    with pytest.raises(SpaceError, match="no such file or folder"):
        load_architecture("nowhere.json")
