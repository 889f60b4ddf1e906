"""What is said about settings and files that are wrong."""

import math
from pathlib import Path
from typing import Any, get_args

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from autospace.arguments import evolve_config
from autospace.evolution.settings import Config, make_config
from autospace.runs.errors import ConfigError
from autospace.runs.settings import make_settings, read_config
from autospace.scorers.scorer import ScoringMethod
from autospace.spaces import OPERATIONS

LIMITS = "max_madds, max_params, max_ops, max_latency_ms, reference_factor, latency_table"
SECTIONS = (
    "seed, device, precision, cuda_graphs, threads, skeleton, data, cells, evolution, scoring, "
)
SECTIONS += "warm_up, budget"
ABOVE_0 = "allowed: a number above 0 and of at most 1000"
WHOLE = "allowed: a whole number from"
LIMIT = "allowed: a whole number from 1 to 1000000000000000 or reference or none"
WRONG: list[tuple[dict[str, Any], str]] = [
    ({"foo": 1}, f"foo: unknown setting; allowed: {SECTIONS}"),
    ({"fo\no\x1b": 1}, f'"fo\\no\\u001b": unknown setting; allowed: {SECTIONS}'),
    (
        {"budget": {"madds": 1}},
        f"budget.madds: unknown setting; did you mean max_madds? Allowed: {LIMITS}",
    ),
    ({"data": 3}, "data: 3; allowed: a section of settings"),
    ({"data": None}, "data: null; allowed: a section of settings"),
    ({"seed": -1}, f"seed: -1; {WHOLE} 0 to 9223372036854775807"),
    ({"seed": "0"}, f'seed: "0"; {WHOLE} 0 to 9223372036854775807'),
    ({"device": "gpu\x1b[2J"}, 'device: "gpu\\u001b[2J"; allowed: auto, cpu, all or cuda[:n,...]'),
    ({"evolution": {"population": 1}}, f"evolution.population: 1; {WHOLE} 2 to 10000"),
    ({"evolution": {"population": True}}, f"evolution.population: true; {WHOLE} 2 to 10000"),
    ({"evolution": {"population": 2.5}}, f"evolution.population: 2.5; {WHOLE} 2 to 10000"),
    ({"evolution": {"population": [4]}}, f"evolution.population: a list; {WHOLE} 2 to 10000"),
    (
        {"evolution": {"population": 10**5000}},
        f"evolution.population: an integer of about 5000 digits; {WHOLE} 2 to 10000",
    ),
    ({"evolution": {"ageing": 1}}, "evolution.ageing: 1; allowed: true or false"),
    (
        {"evolution": {"objectives": ["speed"]}},
        'evolution.objectives[0]: "speed"; allowed: fitness or madds',
    ),
    (
        {"evolution": {"objectives": []}},
        "evolution.objectives: an empty list; allowed: a list of at least one: fitness or madds",
    ),
    (
        {"evolution": {"objectives": ["madds"]}},
        "evolution.objectives: allowed: fitness, or fitness and madds in this order",
    ),
    (
        {"evolution": {"tournament": 100}},
        "evolution.tournament: 100; allowed: at most the population, 24",
    ),
    (
        {"evolution": {"ageing": True, "objectives": ["fitness", "madds"]}},
        "evolution: ageing and the objectives fitness and madds exclude each other",
    ),
    ({"scoring": {"rho": math.nan}}, f"scoring.rho: NaN; {ABOVE_0}"),
    ({"scoring": {"rho": math.inf}}, f"scoring.rho: Infinity; {ABOVE_0}"),
    (
        {"scoring": {"method": "best"}},
        'scoring.method: "best"; allowed: ' + " or ".join(get_args(ScoringMethod)),
    ),
    ({"budget": {"max_madds": 0}}, f"budget.max_madds: 0; {LIMIT}"),
    ({"budget": {"max_madds": "5X"}}, f'budget.max_madds: "5X"; {LIMIT}'),
    ({"budget": {"max_params": True}}, f"budget.max_params: true; {LIMIT}"),
    ({"budget": {"max_params": 1.5}}, f"budget.max_params: 1.5; {LIMIT}"),
    ({"data": {"resolution": 2}}, f"data.resolution: 2; {WHOLE} 4 to 1024"),
    ({"data": {"limit": 5}}, "data.limit: 5; allowed: a whole number of at least 20"),
    (
        {"data": {"source": "\ud800"}},
        'data.source: "\\ud800"; allowed: digits, folder:PATH, cifar10:PATH, ...',
    ),
    (
        {"cells": {"operations": "dw_conv_3x3"}},
        'cells.operations: "dw_conv_3x3"; allowed: a list of names of operations',
    ),
    (
        {"cells": {"operations": ["\n"]}},
        f'cells.operations: unknown operation "\\n"; allowed: {", ".join(OPERATIONS)}',
    ),
    (
        {"cells": {"operations": ["none"]}},
        "cells.operations: none; allowed: each operation at most once, and at least one besides "
        "none",
    ),
    (
        {"cells": {"reference_kernels": [3, 4]}},
        "cells.reference_kernels[1]: 4; allowed: 3 or 5 or 7",
    ),
    (
        {"cells": {"reference_kernels": [3, 3]}},
        "cells.reference_kernels: 3, 3; allowed: each kernel size at most once",
    ),
    (
        {"cells": {"mixes": ["gate", "se"]}},
        "cells.mixes: gate, se; allowed: sum, and each mix at most once",
    ),
    (
        {"cells": {"mixes": ["sum", "gates"]}},
        'cells.mixes[1]: "gates"; did you mean gate? Allowed: sum or gate or se',
    ),
    (
        {"cells": {"reference_expansion": True}},
        "cells.reference_expansion: true; allowed: a number",
    ),
    (
        {"cells": {"reference_expansion": 9}},
        "cells.reference_expansion: 9; allowed: a whole number from 1 to 8",
    ),
    (
        {"cells": {"none_probability": 1.0}},
        "cells.none_probability: 1.0; allowed: a number from 0 to 0.9",
    ),
]


@pytest.mark.parametrize(("wrong", "message"), WRONG, ids=[message[:40] for _, message in WRONG])
def test_a_wrong_setting_is_named_with_its_value_and_what_is_allowed(
    wrong: dict[str, Any], message: str
) -> None:
    with pytest.raises(ConfigError) as caught:
        make_config(wrong)
    assert str(caught.value) == message


JUNK = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=50),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=5,
)
NAMES = st.sampled_from(
    [
        *Config.model_fields,
        *(
            f"{section}.{name}"
            for section, field in Config.model_fields.items()
            for name in getattr(field.annotation, "model_fields", {})
        ),
    ]
)


@settings(max_examples=200)
@given(NAMES, JUNK)
def test_any_value_is_taken_or_refused_in_one_printable_line(name: str, value: Any) -> None:
    section, _, rest = name.partition(".")
    try:
        make_config({section: {rest: value} if rest else value})
    except ConfigError as error:
        message = str(error)
    else:
        return
    assert message.isprintable()
    assert len(message) < 500
    assert message.startswith(section)


FILES: list[tuple[bytes, str]] = [
    (b"seed = \n", "not TOML: invalid value (at line 1, column 8)"),
    (b"seed = 1\nseed = 2\n", "not TOML: cannot overwrite a value (at line 2, column 9)"),
    (b"\xff\xfe", "not UTF-8 at byte 0"),
    (b"\x00", "no text: character 1 is zero"),
    (b"a = 2020-01-01", "a: a date is not a JSON value"),
    (b"a = nan", "a: nan is not a JSON number"),
    (b"a = " + b"[" * 50 + b"]" * 50, "nested too deeply"),
    (b"a = " + b"[" * 100_000, "nested deeper than 32 levels"),
    (b"a" + b".a" * 100_000 + b" = 1", "too many dots in line 1; allowed: up to 32"),
    (b"# " + b"x" * 2**20, "too large; allowed: up to 262144 bytes"),
    (b"a = " + b"9" * 5000, "not TOML: an integer has thousands of digits"),
    (b"\xef\xbb\xbfa = 1", "begins with a byte order mark; allowed: UTF-8 without one"),
    (b"a = " + b"9" * 500, "a: an integer of about 500 digits; allowed: integers of 64 bits"),
]


@pytest.mark.parametrize(("content", "message"), FILES, ids=[message[:40] for _, message in FILES])
def test_a_wrong_file_is_one_line_that_names_it(
    tmp_path: Path, content: bytes, message: str
) -> None:
    path = tmp_path / "a.toml"
    path.write_bytes(content)
    with pytest.raises(ConfigError) as caught:
        read_config(path)
    text = str(caught.value)
    # Long paths are shortened in the middle.
    assert text.startswith(f"{path}: " if len(str(path)) <= 120 else str(path)[:50])
    assert message in text
    assert text.isprintable()


def test_a_missing_file_a_folder_and_a_device_are_named(tmp_path: Path) -> None:
    for path, problem in (
        (tmp_path / "no.toml", "no such file or directory"),
        (tmp_path, "is a folder; allowed: a file of TOML"),
        (Path("/dev/zero"), "is not a regular file; allowed: a file of TOML"),
    ):
        with pytest.raises(ConfigError, match=problem):
            read_config(path)


def test_a_wrong_setting_in_a_file_names_the_file(tmp_path: Path) -> None:
    path = tmp_path / "a.toml"
    path.write_text("[scoring]\nrho = 0\n")
    with pytest.raises(ConfigError, match=r"a\.toml: scoring\.rho: 0; allowed: a number above 0"):
        make_settings(Config, read_config(path), path=path)


@pytest.mark.parametrize(
    ("content", "given", "problem"),
    [
        ("[scorng]\nsteps = 5\n", {}, "a.toml: scorng: unknown setting; did you mean scoring? A"),
        ("[scoring]\nrho = 0\n", {"seed": -1}, "a.toml: scoring.rho: 0; allowed: a number above"),
        # The demo has 4 candidates.
        ("[evolution]\nrescore = 4\n", {}, "a.toml: evolution.rescore: 4; allowed: less than "),
        ("[scoring]\nrho = 1.0\n", {"scoring": {"rho": 0}}, "scoring.rho: 0; allowed: a number"),
    ],
)
def test_a_file_beside_other_settings_is_named_for_its_own_faults_only(
    tmp_path: Path, content: str, given: dict[str, Any], problem: str
) -> None:
    path = tmp_path / "a.toml"
    path.write_text(content)
    with pytest.raises(ConfigError) as caught:
        evolve_config("demo", path, [given])
    assert str(caught.value).removeprefix(f"{tmp_path}/").startswith(problem)


def test_what_overrides_a_fault_of_a_file_mends_it(tmp_path: Path) -> None:
    path = tmp_path / "a.toml"
    path.write_text("[scoring]\nrho = 0\n")
    assert evolve_config("demo", path, [{"scoring": {"rho": 2.0}}]).scoring.rho == 2


@settings(max_examples=100)
@given(
    st.binary(max_size=200)
    | st.text(max_size=200).map(lambda text: text.encode("utf-8", "replace"))
)
def test_any_file_is_read_or_refused(tmp_path_factory: pytest.TempPathFactory, raw: bytes) -> None:
    path = tmp_path_factory.getbasetemp() / "any.toml"
    path.write_bytes(raw)
    try:
        make_settings(Config, read_config(path), path=path)
    except ConfigError as error:
        assert str(error).isprintable()  # noqa: PT017
