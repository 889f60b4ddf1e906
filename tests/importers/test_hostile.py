"""Whatever a file holds: a value or one error line, never anything else."""

import copy
import json
import random
import warnings
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from autospace.importers.formats import FORMATS, import_text
from autospace.importers.target import Target
from autospace.spaces import Architecture, Space, SpaceError, load, to_json
from autospace.spaces.files.codec import from_json
from tests.importers.network_files import network_file
from tests.importers.test_network_files import mobile_blocks, published_file
from tests.strategies import json_values

SPACE = load("mbconv@digits")
WINNER = SPACE.sample(random.Random(0)).choices
GOOD: dict[str, Any] = {
    "autospace-iccv2021": published_file(),
    "proxylessnas": network_file(mobile_blocks(), stem=32, width=320),
    "once-for-all": {"ks": [3] * 21, "e": [6] * 21, "d": [2] * 6},
    **{name: dict(WINNER) for name, each in FORMATS.items() if each.needs == "space"},
}
GENOTYPE = (
    "Genotype(normal=[('skip_connect', 1), ('none', 0)], normal_concat=[2], "
    "reduce=[('max_pool_3x3', 1), ('none', 0)], reduce_concat=range(2, 3))"
)
LINES = {
    "darts-genotype": GENOTYPE,
    "bats-genotype": GENOTYPE,
    "bnas-genotype": GENOTYPE,
    "timm-arch": "[['ds_r1_k3_s1_c16'], ['ir_r2_k5_s2_e6_c24_se0.25', 'ir_r1_k3_s1_e4_c40']]",
    "enas-arc": "0 2 1 0 2 1 2 2 4 0 5 0 3 2 6 2",
    "darts-recurrent": "Genotype(recurrent=[('sigmoid', 0), ('relu', 1), ('relu', 1), "
    "('identity', 1), ('tanh', 2), ('sigmoid', 5), ('tanh', 3), ('relu', 5)], concat=range(1, 9))",
    "nasbench201": "|avg_pool_3x3~0|+|none~0|skip_connect~1|+|skip_connect~0|none~1|none~2|",
}


def imported(name: str, text: str) -> Space | Architecture | None:
    """The value, or None for an error of one printable line."""
    target = Target(space=SPACE if FORMATS[name].needs == "space" else None, note=lambda _: None)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        try:
            return import_text(name, text, target)
        except SpaceError as error:
            assert str(error).isprintable()  # noqa: PT017
            assert 0 < len(str(error)) < 400  # noqa: PT017
            return None


@pytest.mark.parametrize("name", FORMATS)
def test_the_good_files_of_these_tests_are_good(name: str) -> None:
    text = LINES[name] if name in LINES else json.dumps(GOOD[name])
    value = imported(name, text)
    assert value is not None
    assert from_json(to_json(value)) == value


@pytest.mark.parametrize("name", FORMATS)
@given(text=st.text() | json_values().map(json.dumps) | st.from_regex(r"[\[{(\"|+~a-z0-9,:=\])}]*"))
@settings(max_examples=40)
def test_any_text_is_a_value_or_one_line(name: str, text: str) -> None:
    imported(name, text)


def places(value: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """Paths of all values in a JSON value."""
    found = [path] if path else []
    if isinstance(value, dict | list):
        for key, item in value.items() if isinstance(value, dict) else enumerate(value):
            found.extend(places(item, (*path, key)))
    return found


@pytest.mark.parametrize("name", GOOD)
@given(data=st.data())
@settings(max_examples=60)
def test_a_file_with_any_value_replaced_is_a_value_or_one_line(name: str, data: Any) -> None:
    changed = copy.deepcopy(GOOD[name])
    path = data.draw(st.sampled_from(places(changed)))
    inner = changed
    for key in path[:-1]:
        inner = inner[key]
    small = st.integers(-2, 9) | st.booleans() | st.sampled_from(["", "[[[[", "1e999", "Motif"])
    inner[path[-1]] = data.draw(json_values() | small)
    value = imported(name, json.dumps(changed))
    assert value is None or from_json(to_json(value)) == value


@pytest.mark.parametrize("name", LINES)
@given(data=st.data())
@settings(max_examples=60)
def test_a_line_with_any_part_replaced_is_a_value_or_one_line(name: str, data: Any) -> None:
    line = LINES[name]
    start = data.draw(st.integers(0, len(line)))
    end = data.draw(st.integers(start, min(len(line), start + 8)))
    inserted = data.draw(
        st.text(max_size=4) | st.sampled_from(["(", "[[", "'", "range(9)", "9" * 5000])
    )
    imported(name, line[:start] + inserted + line[end:])


@pytest.mark.parametrize(
    "text",
    [
        "[" * 100_000,
        "(" * 10_000,
        "Genotype(" + "(" * 14 + ")" * 14 + ")",
        "Genotype(normal=" + "9" * 10_000 + ")",
        "Genotype(normal=1in 2)",
        "Genotype(a=1, a=1)",
        "Genotype(normal='\x00')",
        '{"a":' * 5_000 + "1" + "}" * 5_000,
        '{"a": 1, "a": 2}',
        '{"a": NaN}',
        "\ud800",
        "[" + "1," * 999_999 + "1]",
    ],
)
@pytest.mark.parametrize("name", ["autospace-iccv2021", "darts-genotype", "nasbench201", "flat"])
def test_bombs_are_one_line(name: str, text: str) -> None:
    assert imported(name, text) is None
