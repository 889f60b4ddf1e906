"""What every command shares: help, environment variables, usage errors, loudness."""

import subprocess
import sys
import typing
from difflib import SequenceMatcher
from pathlib import Path
from typing import Any

import pytest
import typer
from hypothesis import given
from hypothesis import strategies as st

from autospace.bench.document import Suite
from autospace.cli import options
from autospace.cli.commands import evolve
from autospace.cli.main import app
from autospace.cli.program import PANELS
from autospace.comparison.settings import Match
from autospace.data.images import Split
from autospace.evaluators.evaluator import EvaluationMethod
from autospace.evolution.settings import PRESETS
from autospace.scorers.scorer import ScoringMethod
from autospace.spaces.errors import offered
from autospace.supernets.settings import SupernetTraining
from autospace.text.settings import TEXT_RECIPES
from autospace.training.settings import RECIPES
from tests.cli.conftest import Run

PROGRAM: Any = typer.main.get_command(app)
COMMANDS = sorted(PROGRAM.commands)
each_command = pytest.mark.parametrize("command", COMMANDS)


def _long_options(command: str) -> list[Any]:
    params = PROGRAM.commands[command].params
    return [each for each in params if each.param_type_name == "option"]


@each_command
def test_h_and_help_say_the_same(run: Run, command: str) -> None:
    short, long = run(command, "-h"), run(command, "--help")
    assert short.code == long.code == 0
    assert short.out == long.out
    assert max(map(len, short.out.splitlines())) <= 80


def test_nothing_private_of_typer_is_used() -> None:
    folder = Path(options.__file__).parent
    private = [p.name for p in folder.rglob("*.py") if "typer._" in p.read_text("utf-8")]
    assert private == []


def test_v_is_the_version_and_completion_can_be_installed(run: Run) -> None:
    assert run("-V").out == run("--version").out
    assert "--install-completion" in run("-h").out


def test_the_shell_is_offered_the_words_of_an_option() -> None:
    code = "from autospace.cli.main import app; app(prog_name='autospace')"
    environment = {
        "_AUTOSPACE_COMPLETE": "complete_bash",
        "COMP_WORDS": "autospace evolve --preset ci",
        "COMP_CWORD": "3",
        "PATH": "",
    }
    command = [sys.executable, "-P", "-c", code]
    done = subprocess.run(command, capture_output=True, env=environment, check=False)
    assert done.stdout.decode().split() == ["cifar-small", "cifar"]


@each_command
def test_help_is_wrapped_between_words_and_shows_defaults_without_brackets(
    run: Run, command: str
) -> None:
    text = run(command, "-h").out
    assert [line for line in text.splitlines() if line.endswith("-")] == []
    assert "[default: (" not in " ".join(text.split())
    assert text.isascii()


@each_command
def test_an_endless_value_is_not_repeated(run: Run, command: str, tmp_path: Path) -> None:
    params = PROGRAM.commands[command].params
    endless = "x" * 5000
    arguments = [[endless] for each in params if each.param_type_name == "argument"]
    options = [each for each in _long_options(command) if not each.is_flag]
    needed = [word for one in arguments for word in one]
    for each in [*arguments, *([*needed, f"{each.opts[-1]}={endless}"] for each in options)]:
        ran = run(command, *each)
        if ran.code:
            assert ran.code == 2
            (line,) = ran.err.splitlines()
            assert len(line) < 500


@pytest.mark.parametrize("command", ["evolve", "compare", "search", "train"])
def test_options_stand_in_panels(run: Run, command: str) -> None:
    text = run(command, "-h").out
    assert [each for each in PANELS if f"\n{each}:\n" in text] == [
        each for each in PANELS if each != "Limits" or command in ("evolve", "search")
    ]


def test_defaults_are_shown_or_said_to_come_from_the_preset(run: Run) -> None:
    text = " ".join(run("evolve", "-h").out.split())
    assert "Training steps per candidate. [default: by preset]" in text
    assert "--progress <auto|plain|json|none> Progress on stderr. [default: auto]" in text
    assert "(by" not in text


@pytest.mark.parametrize(
    ("command", "option", "words"),
    [
        ("evolve", "--preset", tuple(PRESETS)),
        ("init", "--preset", tuple(PRESETS)),
        ("evolve", "--scorer", typing.get_args(ScoringMethod)),
        ("compare", "--match", typing.get_args(Match)),
        ("compare", "--split", typing.get_args(Split)),
        ("compare", "--evaluator", typing.get_args(EvaluationMethod)),
        ("search", "--supernet-training", typing.get_args(SupernetTraining)),
        ("train", "--recipe", (*RECIPES, *TEXT_RECIPES, "FILE")),
        ("bench", "--suite", typing.get_args(Suite)),
    ],
)
def test_the_words_of_an_option_are_those_of_the_library(
    command: str, option: str, words: tuple[str, ...]
) -> None:
    (found,) = [each for each in _long_options(command) if option in each.opts]
    assert set(found.metavar.strip("<>").split("|")) == set(words)
    assert (options.PRESETS, set(evolve.SCORERS)) == (
        tuple(PRESETS),
        set(typing.get_args(ScoringMethod)),
    )


@each_command
def test_every_option_has_a_variable_of_its_own(command: str) -> None:
    names = [each.envvar[0] for each in _long_options(command)]
    assert len(set(names)) == len(names)
    for option in _long_options(command):
        long = max(option.opts, key=len).strip("-").replace("-", "_").upper()
        assert option.envvar[0] == f"AUTOSPACE_{command.upper()}_{long}"


def test_a_variable_stands_for_an_option_which_overrides_it(
    run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AUTOSPACE_SAMPLE_COUNT", "2")
    monkeypatch.setenv("AUTOSPACE_SAMPLE_FORMAT", "json")
    assert run("sample", "mbconv@digits").out.count('"architecture"') == 2
    assert run("sample", "mbconv@digits", "-n", 3).out.count('"architecture"') == 3


def test_a_wrong_variable_is_named(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AUTOSPACE_EVOLVE_SEED", "x")
    ran = run("evolve")
    assert ran.code == 2
    assert ran.err == "error: AUTOSPACE_EVOLVE_SEED 'x': allowed: a whole number\n"
    monkeypatch.setenv("AUTOSPACE_SHOW_FORCE", "maybe")
    ran = run("show", "mbconv@digits")
    assert ran.err == "error: AUTOSPACE_SHOW_FORCE 'maybe': allowed: 1 or 0\n"


def test_variables_of_new_runs_do_not_count_for_one_that_is_resumed(
    run: Run, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("AUTOSPACE_EVOLVE_SEED", "3")
    monkeypatch.setenv("AUTOSPACE_EVOLVE_DATA", "digits")
    ran = run("evolve", "--resume", tmp_path)
    assert ran.code == 2
    assert str(tmp_path) in ran.err
    assert "can be combined" not in ran.err
    assert "can be combined" in run("evolve", "--resume", tmp_path, "--seed", 3).err


@pytest.mark.parametrize(
    ("arguments", "problem"),
    [
        (["evolv"], "'evolv': no such command; did you mean evolve? Allowed: "),
        (["nothing"], "'nothing': no such command; allowed: "),
        (["evolve", "--presett", "x"], "--presett: no such option; did you mean --preset? "),
        (["evolve", "--seed", "x"], "--seed 'x': allowed: a whole number"),
        (["evolve", "--seed"], "--seed: requires an argument"),
        (["evolve", "--force=3"], "--force: does not take a value"),
        (["show"], "SPACE: missing; allowed: a file, a run folder, or "),
        (["train", "x", "--batch", "9" * 5000], f"--batch '{'9' * 40}': allowed: a whole number"),
        (["show", "x", "--svg="], "--svg '': allowed: a path that is not empty"),
        (["sample", "x", "--out", ""], "--out '': allowed: a path that is not empty"),
        (["doctor", "--executor", ""], 'executor: ""; allowed: here, processes, ray'),
        (["sample", "x", "-n", ""], "--count '': allowed: a whole number"),
        (["evolve", "--dry-run", "--log", "wand"], '"wand": unknown; did you mean wandb? Allowed'),
        (["train", "x", "--dry-run", "--log", "wand"], '"wand": unknown; did you mean wandb?'),
        (["show", "a", "b"], "got unexpected extra argument"),
        (["show", "a", "--format", "jsn"], "--format 'jsn': did you mean json? Allowed: table, "),
        (["schema", "spac"], "KIND 'spac': did you mean space? Allowed: space, "),
        (["bench", "--seeds", "0"], "--seeds '0': allowed: greater than or equal to 1"),
        (["bench", "--suite", "sped"], "--suite 'sped': did you mean speed? Allowed: "),
        (["evolve", "--progress", "jason"], "--progress 'jason': did you mean json? Allowed: "),
        (["evolve", "--preset", "dmo"], 'preset "dmo": unknown; did you mean demo? Allowed: '),
        (["evolve", "--scorer", "prob"], 'scoring.method: "prob"; did you mean probe? Allowed: '),
        (
            ["evolve", "--set", "scoring.step=1"],
            "scoring.step: unknown setting; did you mean steps",
        ),
        (["evolve", "--data", "digts"], "is not a data source; did you mean digits? Allowed: "),
        (["show", "mbconf@digits"], "unknown space; did you mean mbconv? Allowed: NAME@SKELETON"),
        (["show", "mbconv@digit"], "unknown skeleton; did you mean digits? Allowed: "),
        (["export", "mbconv@digits", "--to", "optna"], "unknown target; did you mean optuna? "),
        (["import", "x", "--from", "flt"], "--from 'flt': unknown; did you mean flat? "),
        (["train", "reference@digits", "--recipe", "cifr"], "unknown; did you mean cifar? "),
    ],
)
def test_every_wrong_word_is_one_line_with_what_was_meant(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, arguments: list[str], problem: str
) -> None:
    monkeypatch.chdir(tmp_path)
    ran = run(*arguments)
    assert (ran.code, ran.out) == (2, "")
    assert ran.err.startswith("error: ")
    assert ran.err.count("\n") == 1
    assert problem in ran.err
    assert list(tmp_path.iterdir()) == []


def test_a_search_method_is_meant_too(run: Run, tmp_path: Path) -> None:
    ran = run("search", "mbconv@digits", "--data", "digits", "--method", "sops", "--out", tmp_path)
    assert ran.code == 2
    assert 'error: method "sops": unknown; did you mean spos? Allowed: ' in ran.err


@given(st.text(max_size=80), st.lists(st.text(min_size=1, max_size=12), max_size=6, unique=True))
def test_only_a_name_that_is_close_is_offered(wrong: str, names: list[str]) -> None:
    text = offered(wrong, names)
    if text.startswith("did you mean "):
        meant = [name for name in names if text.startswith(f"did you mean {name}? Allowed: ")]
        ratios = [SequenceMatcher(None, n.lower(), wrong[:60].lower()).ratio() for n in meant]
        assert max(ratios) >= 0.6
    else:
        assert text.startswith("allowed: ")


@given(st.one_of(st.none(), st.integers(), st.floats(), st.lists(st.integers())))
def test_what_is_no_text_has_no_name(wrong: object) -> None:
    assert offered(wrong, ["a", "b"]) == "allowed: a, b"


def test_quiet_leaves_results_and_errors(run: Run, tmp_path: Path) -> None:
    target = tmp_path / "a.svg"
    assert "wrote" in run("show", "mbconv@digits", "--svg", target).err
    assert run("show", "mbconv@digits", "--svg", target, "--force", "-q").err == ""
    assert run("validate", "mbconv@digits", "--max-madds", "1", "-q").err.startswith("failed: ")
    assert run("show", "nothing", "-q").err.startswith("error: ")
    assert run("validate", "mbconv@digits", "-q").out != ""


def test_verbose_tells_options_and_tracebacks(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AUTOSPACE_SHOW_FORMAT", "json")
    ran = run("show", "nothing", "-v", "--layer", 2)
    lines = ran.err.splitlines()
    assert "  --format json (environment)" in lines
    assert "  --layer 2 (command line)" in lines
    assert "Traceback (most recent call last):" in lines
    assert lines[-1].startswith("error: nothing: ")
    assert "Traceback" not in run("show", "nothing").err, "loudness does not last"


@pytest.mark.parametrize(
    ("words", "told"),
    [
        ("show mbconv", "did you mean mbconv@cifar?"),
        ("show mbconw@cifar", "did you mean mbconv?"),
        ("show mbconv@cifer", "did you mean cifar?"),
        ("show darts@dartz", "did you mean darts? Allowed: darts, darts-imagenet, darts-small"),
        ("show darts@digts", "allowed: darts, darts-imagenet, darts-small"),
        ("show mbconv@none/run", "no such file or folder"),
        ("show none/run", "no such file or folder"),
        ("show mbconv@none.json", "no such file or directory"),
        ("show mbconv@", "no skeleton after the @; allowed: digits, cifar"),
        ("show mbconv@digits --cell mbconv_k3e3", "did you mean mbconv_k3_e3?"),
        ("schema --family mobil", "did you mean mobile?"),
        ("profile --skeleton cifer", "did you mean cifar?"),
        ("profile --skeleton none/run", "no such file or folder"),
        ("profile --device cuad", "did you mean cuda?"),
        (
            "evolve --preset demo --device gpu",
            "did you mean cuda? Allowed: auto, cpu, all or cuda[:n,...]",
        ),
        ("search mbconv@digits --data digits --device cpuu", "did you mean cpu?"),
        ("compare mbconv@digits mnasnet@digits --data digits --device cud", "did you mean cuda?"),
        ("train reference@digits --data digits --device gpu:0", "did you mean cuda?"),
        ("evolve --preset dmeo", "did you mean demo?"),
        ("evolve --preset demo --scorer porbe", "did you mean probe?"),
        ("evolve --preset demo --log tensorbord", "did you mean tensorboard?"),
        ("evolve --preset demo --set cells.operations=['dw_conv_3']", "did you mean dw_conv_3x3?"),
        ("search mbconv@digits --data digits --method evolutoin", "did you mean evolution?"),
        ("train reference@digits --data digits --recipe cifar-smal", "did you mean cifar-small?"),
        ("export mbconv@digits --to optna", "did you mean optuna?"),
        ("import x.json --from optna", "did you mean optuna?"),
        ("data digits --ground whit", "did you mean white?"),
        (
            "search nasbench-macro@nasbench-macro --evaluator table --table nasbench-mac",
            "did you mean nasbench-macro?",
        ),
    ],
)
def test_a_name_with_a_typing_error_is_answered_by_the_one_that_was_meant(
    run: Run, words: str, told: str
) -> None:
    ran = run(*words.split())
    assert (ran.code, ran.out) == (2, "")
    (line,) = ran.err.splitlines()
    assert told in line
