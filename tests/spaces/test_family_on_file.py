"""A built-in family on the skeleton of something that the user has."""

from pathlib import Path

import pytest

from autospace.spaces import (
    Skeleton,
    SpaceError,
    load,
    load_skeleton,
    to_json,
)
from autospace.spaces.files.families import FAMILY_NAMES, family_space
from autospace.spaces.files.library import skeleton_of

FITTED = load_skeleton("digits").fitted(in_channels=3, resolution=16, classes=5)


@pytest.fixture
def places(tmp_path: Path) -> dict[str, Path]:
    """Every kind of thing that stands on the fitted skeleton."""
    space = family_space("mnasnet", FITTED)
    choices = {layer.shape.name: layer.candidates[0].id for layer in space.layers}
    run = tmp_path / "run@1"
    run.mkdir()
    written = {
        "skeleton": (tmp_path / "skeleton.json", to_json(FITTED)),
        "space": (tmp_path / "space.json", to_json(space)),
        "architecture": (tmp_path / "net.json", to_json(space.architecture(choices))),
        "run": (run / "space.json", to_json(space)),
    }
    for path, text in written.values():
        path.write_text(text)
    return {name: path for name, (path, _) in written.items()} | {"run": run}


@pytest.mark.parametrize("kind", ["skeleton", "space", "architecture", "run"])
@pytest.mark.parametrize("family", FAMILY_NAMES)
def test_a_family_stands_on_whatever_has_a_skeleton(
    places: dict[str, Path], kind: str, family: str
) -> None:
    assert skeleton_of(str(places[kind])) == FITTED
    assert load(f"{family}@{places[kind]}") == family_space(family, FITTED)


def test_a_name_of_a_built_in_skeleton_stays_that(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("cifar").mkdir()
    assert skeleton_of("cifar") == load_skeleton("cifar")


def test_what_has_no_skeleton_is_named(tmp_path: Path) -> None:
    with pytest.raises(SpaceError, match=r"the folder has no space\.json"):
        load(f"mbconv@{tmp_path}")
    damaged = tmp_path / "space.json"
    damaged.write_text("{")
    with pytest.raises(SpaceError, match=r"space\.json: not JSON"):
        load(f"mbconv@{damaged}")
    with pytest.raises(SpaceError, match=r"(unknown skeleton|no such file or folder); allowed"):
        load(f"mbconv@{tmp_path / 'nowhere'}")
    assert isinstance(skeleton_of("digits"), Skeleton)
