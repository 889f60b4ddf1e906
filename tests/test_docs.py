"""The documentation against the program: links, commands, examples, tables."""

import json
import os
import re
import shlex
import typing
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import typer
from pydantic import BaseModel

from autospace.cli.main import app
from autospace.comparison.settings import CompareConfig
from autospace.evolution.settings import NEEDS_DATA, PRESETS, Config, make_config, preset
from autospace.runs.errors import ConfigError
from autospace.runs.settings import make_settings, parse_settings, read_config
from autospace.scorers.scorer import ScoringMethod
from autospace.searchers.make import METHODS
from autospace.searchers.settings import SearchConfig
from autospace.spaces import OPERATIONS, SpaceError, from_json, load_skeleton
from autospace.spaces.cells.darts_cell import OPERATIONS as DARTS
from autospace.spaces.files.families import FAMILY_NAMES, OWN_NAMES
from autospace.spaces.files.library import OWN_SKELETON_NAMES, SKELETON_NAMES
from autospace.text.settings import TextTrainConfig
from autospace.training.settings import TrainConfig
from tests.docs import options_table, settings_table
from tests.docs.pages import ALL_PAGES, FOLLOWED_PYTHON, PAGES, ROOT, Page

REFERENCE = ROOT / "docs" / "reference"
CLI = REFERENCE / "cli.md"
FORMATS = REFERENCE / "formats.md"
METHOD = REFERENCE / "method.md"
SEARCH_METHODS = REFERENCE / "search-methods.md"
SEARCH_OPTIONS = REFERENCE / "search-options.md"
SETTINGS_PAGE = REFERENCE / "settings.md"
# What the settings of other commands than `evolve` and `compare` are.
SETTINGS: dict[str, type[BaseModel]] = {"train": TrainConfig, "search": SearchConfig}
# A Typer app is a click group; its types are not worth naming here.
PROGRAM: Any = typer.main.get_command(app)
USAGE_ERROR: Any = typer.BadParameter.__base__

each_page = pytest.mark.parametrize("path", ALL_PAGES, ids=lambda path: str(path.relative_to(ROOT)))


def _examples(language: str) -> list[Any]:
    return [
        pytest.param(block.text, id=f"{path.stem}-{index}")
        for path in PAGES
        for index, block in enumerate(Page.of(path).blocks)
        if block.language == language
    ]


def _options(command: Any) -> set[str]:
    names = {name for each in command.params for name in each.opts}
    return {name for name in names if name.startswith("--")}


def _check_line(line: str) -> None:
    """Parses a whole command line, without running it, and validates its settings."""
    words = shlex.split(line, comments=True)[1:]
    if words[0].startswith("--"):
        assert words[0] in _options(PROGRAM)
        return
    context = PROGRAM.commands[words[0]].make_context(words[0], words[1:])
    given = context.params
    kind = SETTINGS.get(words[0], Config)
    if kind is TrainConfig and str(given["data"]).startswith("text:"):
        kind = TextTrainConfig
    settings = make_settings(
        kind,
        preset(given["preset"]) if given.get("preset") else {},
        parse_settings(given.get("settings") or given.get("changes") or []),
    )
    if isinstance(settings, SearchConfig) and given["method"]:
        make_settings(METHODS[given["method"]].options_type, settings.options)


def _check_span(span: str) -> None:
    """A command named in passing: it exists, and so do its options."""
    words = shlex.split(span)[1:]
    command = PROGRAM if words[0].startswith("--") else PROGRAM.commands[words[0]]
    unknown = (
        {word for word in words if word.startswith("--")}
        - {"--help", "--install-completion", "--show-completion"}
        - _options(command)
    )
    assert not unknown, span


@each_page
def test_links_lead_somewhere(path: Path) -> None:
    assert Page.of(path).broken_links(path.parent) == []


@each_page
def test_named_files_exist(path: Path) -> None:
    assert Page.of(path).missing_files() == []


@each_page
def test_commands_parse(path: Path) -> None:
    page = Page.of(path)
    for line in page.shell_lines("autospace"):
        _check_line(line)
    for span in page.spans:
        if re.match(r"autospace (-|[a-z])", span):
            _check_span(span)


@each_page
def test_make_targets_exist(path: Path) -> None:
    page = Page.of(path)
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    calls = [*page.shell_lines("make"), *(span for span in page.spans if span.startswith("make "))]
    assert {call.split()[1] for call in calls} <= targets


@pytest.mark.parametrize(
    "line",
    [
        "autospace evolute",
        "autospace evolve --generation 3",
        "autospace evolve --preset imagenet",
        "autospace evolve --set scoring.step=3",
        "autospace search mbconv@digits --set supernet.step=3",
        "autospace search mbconv@digits --method enas --set options.score=snip",
        "autospace show",
        "autospace schema family",
    ],
)
def test_a_wrong_command_line_is_noticed(line: str) -> None:
    with pytest.raises((KeyError, ConfigError, USAGE_ERROR)):
        _check_line(line)


def test_wrong_links_and_files_are_noticed() -> None:
    page = Page(
        "# One `x`\n[a](#one-x) [b](#two) [c](gone.md) [d](docs/README.md#gone)\n`spaces/x.py`"
    )
    assert page.broken_links(ROOT) == ["#two", "gone.md", "docs/README.md#gone"]
    assert page.missing_files() == ["spaces/x.py"]


@pytest.mark.parametrize("name", sorted(PROGRAM.commands))
def test_every_option_is_documented(name: str) -> None:
    section = Page.of(CLI).section(name)
    documented = set(re.findall(r"^\| `(--[a-z-]+)` \|", section, re.MULTILINE))
    elsewhere = {"--progress", "--quiet", "--verbose"}
    assert documented - elsewhere == _options(PROGRAM.commands[name]) - elsewhere
    assert ("--progress" in section) == ("--progress" in _options(PROGRAM.commands[name]))
    assert list(Page(section).shell_lines("autospace")), "an example"


def test_options_of_every_command_are_documented_once() -> None:
    section = Page.of(CLI).section("Every command")
    for name in ("-h", "--help", "-q", "--quiet", "-v", "--verbose", "-V", "--install-completion"):
        assert f"`{name}`" in section


def test_variables_in_the_reference_are_those_of_options() -> None:
    known = {
        variable
        for command in PROGRAM.commands.values()
        for option in command.params
        for variable in option.envvar or ()
    }
    named = set(re.findall(r"AUTOSPACE_[A-Z_]+", CLI.read_text("utf-8")))
    others = {"AUTOSPACE_NATIVE", "AUTOSPACE_TRITON", "AUTOSPACE_COMMAND_OPTION"}
    assert named - known == others


@pytest.mark.parametrize("text", _examples("json"))
def test_json_examples_are_valid(text: str) -> None:
    if "format" in json.loads(text):
        from_json(text)


@pytest.mark.parametrize("text", _examples("toml"))
def test_toml_examples_are_skeletons_or_configurations(text: str, tmp_path: Path) -> None:
    path = tmp_path / "example.toml"
    path.write_text(text)
    if "format" in read_config(path):
        load_skeleton(str(path))
    else:
        make_config(read_config(path))


@pytest.fixture
def own_operations() -> Iterator[None]:
    """Examples may add operations; other tests must not see them."""
    from autospace.networks import operations

    tables: list[dict[str, Any]] = [OPERATIONS, operations._BUILDERS]
    before = [dict(table) for table in tables]
    yield
    for table, old in zip(tables, before, strict=True):
        table.clear()
        table.update(old)


@pytest.mark.usefixtures("own_operations")
@pytest.mark.parametrize("text", _examples("python"))
def test_python_examples_run(text: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "space.json").write_text(_space_example())
    monkeypatch.chdir(tmp_path)
    exec(compile(text, "example", "exec"), {"__name__": "example"})


@pytest.mark.usefixtures("own_operations")
def test_the_python_guide_is_one_program_that_runs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    blocks = [each.text for each in Page.of(FOLLOWED_PYTHON).blocks if each.language == "python"]
    names: dict[str, Any] = {"__name__": "guide"}
    for number, text in enumerate(blocks):
        exec(compile(text, f"block {number}", "exec"), names)
    # A comment shows what the last line prints.
    assert capsys.readouterr().out.splitlines()[-1] == blocks[-1].rpartition("# ")[2].strip()
    assert {each.name for each in tmp_path.iterdir()} >= {"run", "found", "trained", "network.py"}


def test_the_errors_shown_are_the_errors_raised() -> None:
    section = Page(Page.of(FORMATS).section("Errors"))
    (shown,) = (block.text.splitlines() for block in section.blocks)
    changes = [("expansion", 9), ("madds", 1)]
    for line, (key, value) in zip(shown, changes, strict=True):
        wrong = json.loads(_space_example())
        wrong["layers"][0]["candidates"][1][key] = value
        with pytest.raises(SpaceError) as caught:
            from_json(json.dumps(wrong))
        assert str(caught.value) == line


@pytest.mark.parametrize(
    ("page", "kind", "of"),
    [
        (SETTINGS_PAGE, Config, "evolve"),
        (SETTINGS_PAGE, CompareConfig, "compare"),
        (SEARCH_OPTIONS, SearchConfig, ""),
    ],
)
def test_the_table_of_settings_is_up_to_date(page: Path, kind: type[BaseModel], of: str) -> None:
    text = page.read_text("utf-8")
    renewed = settings_table.renewed(text, kind, of)
    if os.environ.get("AUTOSPACE_GOLDEN") == "1":
        page.write_text(renewed, "utf-8")
        text = renewed
    assert text == renewed, "renew it: make golden"
    unexplained = [name for name, what in settings_table.meanings(text, of).items() if not what]
    assert unexplained == [], f"write into {page.name} what these settings mean"


def test_the_table_of_options_is_up_to_date() -> None:
    text = SEARCH_OPTIONS.read_text("utf-8")
    renewed = options_table.renewed(text, {k: v.options_type for k, v in METHODS.items()})
    if os.environ.get("AUTOSPACE_GOLDEN") == "1":
        SEARCH_OPTIONS.write_text(renewed, "utf-8")
        text = renewed
    assert text == renewed, "renew it: make golden"
    unexplained = [row for row, what in options_table.meanings(text).items() if not what]
    assert unexplained == [], f"write into {SEARCH_OPTIONS.name} what these options mean"


def test_every_search_method_has_its_place() -> None:
    headings = re.findall(r"^### (`.+`)$", SEARCH_METHODS.read_text("utf-8"), re.MULTILINE)
    named = [name.strip("`") for heading in headings for name in heading.split(", ")]
    assert sorted(named) == sorted(METHODS)


def test_every_preset_is_documented() -> None:
    rows = re.findall(
        r"^\| `([\w-]+)` \| .+ \| `([\w-]+)` \| (.+) \|$", CLI.read_text(), re.MULTILINE
    )
    wanted = {
        (
            name,
            PRESETS[name]["skeleton"],
            f"`--data {NEEDS_DATA[name]}`" if name in NEEDS_DATA else "nothing",
        )
        for name in PRESETS
    }
    assert set(rows) == wanted


def test_every_scorer_has_its_section() -> None:
    headings = re.findall(r"^### `([\w-]+)`$", METHOD.read_text("utf-8"), re.MULTILINE)
    assert headings == list(typing.get_args(ScoringMethod))


def test_every_built_in_and_operation_is_named() -> None:
    spans = set(Page.of(CLI).spans)
    assert spans >= {*FAMILY_NAMES, *SKELETON_NAMES, *OWN_NAMES, *OWN_SKELETON_NAMES}
    assert set(Page.of(FORMATS).spans) >= {*OPERATIONS, *DARTS}


def _space_example() -> str:
    return next(b.text for b in Page.of(FORMATS).blocks if '"autospace.space"' in b.text)
