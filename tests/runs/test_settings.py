"""Configuration: presets, TOML, --set, and what is said about wrong settings."""

import tomllib
from pathlib import Path
from typing import Any, get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st

from autospace.evolution.settings import (
    NEEDS_DATA,
    PRESETS,
    Config,
    make_config,
    preset,
)
from autospace.runs.errors import ConfigError
from autospace.runs.settings import parse_settings, read_config, to_toml
from autospace.scorers.scorer import ScoringMethod
from autospace.spaces import DEFAULT_OPERATIONS, OPERATIONS
from autospace.spaces.files.library import OWN_SKELETON_NAMES, SKELETON_NAMES

TEXTS = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=20)
LIMITS = st.integers(1, 10**15) | st.sampled_from(["reference", "none"])


def _floats(low: float, high: float, **options: Any) -> st.SearchStrategy[float]:
    return st.floats(low, high, allow_nan=False, **options)


@st.composite
def settings_of_cells(draw: st.DrawFn) -> dict[str, Any]:
    nodes = draw(st.integers(2, 6))
    kernels = draw(st.lists(st.sampled_from([3, 5, 7]), min_size=1, unique=True))
    needed = [f"dw_conv_{kernel}x{kernel}" for kernel in kernels]
    others = draw(st.lists(st.sampled_from(list(OPERATIONS)), unique=True))
    return {
        "nodes": nodes,
        "window": draw(st.integers(1, nodes * (nodes - 1) // 2)),
        "reference_kernels": kernels,
        "operations": list(dict.fromkeys([*needed, *others])),
        "none_probability": draw(_floats(0, 0.9)),
        "reference_expansion": draw(st.integers(1, 8)),
    }


@st.composite
def settings_of_evolution(draw: st.DrawFn) -> dict[str, Any]:
    population = draw(st.integers(2, 10_000))
    both = draw(st.booleans())
    return {
        "population": population,
        "tournament": draw(st.integers(1, population)),
        "objectives": ["fitness", "madds"] if both else ["fitness"],
        "ageing": draw(st.booleans()) and not both,
        "crossover": draw(_floats(0, 1)),
        "write_back": draw(_floats(0, 1, exclude_min=True)),
        "keep": draw(st.integers(1, 256)),
    }


CONFIGS = st.fixed_dictionaries(
    {},
    optional={
        "seed": st.integers(0, 2**63 - 1),
        "device": st.sampled_from(["auto", "cpu", "cuda", "cuda:0", "cuda:12"]),
        "skeleton": TEXTS,
        "data": st.fixed_dictionaries(
            {},
            optional={
                "source": TEXTS,
                "resolution": st.integers(4, 1024),
                "limit": st.integers(20, 10**9),
                "validation": _floats(0.05, 0.95, exclude_min=True, exclude_max=True),
                "flip": st.booleans(),
            },
        ),
        "cells": settings_of_cells(),
        "evolution": settings_of_evolution(),
        "scoring": st.fixed_dictionaries(
            {},
            optional={
                "method": st.sampled_from(get_args(ScoringMethod)),
                "rho": _floats(0, 1000, exclude_min=True),
                "inherit": st.booleans(),
            },
        ),
        "budget": st.fixed_dictionaries({}, optional={"max_madds": LIMITS, "max_params": LIMITS}),
    },
)


@given(CONFIGS)
def test_a_configuration_written_as_toml_reads_back_equal(given_settings: dict[str, Any]) -> None:
    config = make_config(given_settings)
    text = to_toml(config)
    assert make_config(tomllib.loads(text)) == config
    assert to_toml(make_config(tomllib.loads(text))) == text


@pytest.mark.parametrize("name", PRESETS)
def test_every_preset_is_valid_and_names_a_skeleton(name: str) -> None:
    config = make_config(preset(name))
    assert config.skeleton in (*SKELETON_NAMES, *OWN_SKELETON_NAMES)
    assert (name in NEEDS_DATA) == ("source" not in PRESETS[name]["data"])


def test_defaults_are_valid_and_whole() -> None:
    config = make_config()
    assert config == Config()
    assert config.cells.operations == DEFAULT_OPERATIONS
    assert make_config(tomllib.loads(to_toml(config))) == config


def test_later_layers_win_setting_by_setting() -> None:
    first = {"seed": 1, "evolution": {"population": 9, "keep": 2}}
    config = make_config(first, {"evolution": {"population": 10}}, {})
    assert (config.seed, config.evolution.population, config.evolution.keep) == (1, 10, 2)
    assert first == {"seed": 1, "evolution": {"population": 9, "keep": 2}}


def test_presets_are_not_changed_by_use() -> None:
    before = str(PRESETS)
    make_config(preset("demo"), {"data": {"source": "synthetic"}})
    assert str(PRESETS) == before


def test_an_unknown_preset_is_named_with_those_there_are() -> None:
    with pytest.raises(ConfigError) as caught:
        preset("de\nmo")
    expected = 'preset "de\\nmo": unknown; did you mean demo? Allowed: ' + ", ".join(PRESETS)
    assert str(caught.value) == expected


@pytest.mark.parametrize(
    ("texts", "expected"),
    [
        (["seed=3"], {"seed": 3}),
        (["scoring.rho=0.5"], {"scoring": {"rho": 0.5}}),
        ([" scoring . rho = 1e-1 "], {"scoring": {"rho": 0.1}}),
        (["data.source=folder:/a b/c"], {"data": {"source": "folder:/a b/c"}}),
        (['data.source="x=y"'], {"data": {"source": "x=y"}}),
        (["data.source=a=b"], {"data": {"source": "a=b"}}),
        (["data.flip=true"], {"data": {"flip": True}}),
        (["cells.reference_kernels=[3, 5]"], {"cells": {"reference_kernels": [3, 5]}}),
        (["data.source="], {"data": {"source": ""}}),
        (["seed=1\nevil=2"], {"seed": "1\nevil=2"}),
        (["scoring.rho=nan"], {"scoring": {"rho": "nan"}}),
        (["seed=1", "seed=2"], {"seed": 2}),
        (["data.flip=true", "data.crop=2"], {"data": {"flip": True, "crop": 2}}),
    ],
)
def test_settings_are_parsed(texts: list[str], expected: dict[str, Any]) -> None:
    assert parse_settings(texts) == expected


@pytest.mark.parametrize("text", ["", "seed", "=3", "a..b=1", ".a=1", "a.b.c=1", "." * 5000 + "=1"])
def test_a_setting_that_is_no_assignment_is_refused(text: str) -> None:
    with pytest.raises(
        ConfigError, match=r"^--set .*: not a setting; allowed: section\.name=value$"
    ):
        parse_settings([text])


@given(st.lists(st.text(max_size=30), max_size=4))
def test_any_settings_are_parsed_or_refused_in_one_line(texts: list[str]) -> None:
    try:
        found = parse_settings(texts)
    except ConfigError as error:
        assert str(error).isprintable()  # noqa: PT017
    else:
        assert isinstance(found, dict)


def test_a_file_is_read(tmp_path: Path) -> None:
    path = tmp_path / "a.toml"
    path.write_text("seed = 4\n[evolution]\nkeep = 2\n")
    assert read_config(path) == {"seed": 4, "evolution": {"keep": 2}}
    expected = make_config({"seed": 4, "evolution": {"keep": 2}})
    assert make_config(read_config(path, "evolve")) == expected
