import ast
import errno
import io
import json
import os
import subprocess
import sys
import threading
import tomllib
from collections.abc import Iterable
from pathlib import Path
from xml.etree import ElementTree

import pytest
import typer

from autospace.bench.document import to_json
from autospace.cli import output
from autospace.cli.commands.bench import _Kept
from autospace.spaces import SpaceError, errors
from autospace.spaces.text import visible
from tests.bench.documents import document, entry
from tests.cli.conftest import Run

ROOT = Path(__file__).resolve().parents[2]
HOSTILE = "\x1b[31mred\x1b[0m\n[bold]\u202e\x9b2J"


def test_help_and_version(run: Run) -> None:
    ran = run("--help")
    assert ran.code == 0
    commands = [line.split()[0] for line in ran.out.splitlines() if line.startswith("  ")]
    order = [name for name in commands if name in ("show", "validate", "spaces", "schema")]
    assert order == ["show", "validate", "spaces", "schema"]
    assert "..." not in ran.out.partition("Commands:")[2]
    assert run("--version").out.startswith("autospace ")


@pytest.mark.parametrize("command", ["show", "validate", "spaces", "schema"])
def test_every_command_explains_itself(run: Run, command: str) -> None:
    assert f"Usage: autospace {command}" in run(command, "--help").out.replace("root", "autospace")


def _code_of(error: BaseException) -> int:
    with pytest.raises(typer.Exit) as stopped, output.errors_reported():
        raise error
    return stopped.value.exit_code


def test_what_a_user_can_mend_is_a_line_and_code_2(capsys: pytest.CaptureFixture[str]) -> None:
    assert _code_of(SpaceError("layers[0]", "bad")) == 2
    assert capsys.readouterr().err == "error: layers[0]: bad\n"
    assert _code_of(FileNotFoundError(errno.ENOENT, "No such file", "a\nb")) == 2
    assert capsys.readouterr().err == "error: a\\nb: No such file\n"
    assert _code_of(OSError(errno.ENOSPC, "No space left on device")) == 2
    assert capsys.readouterr().err == "error: No space left on device\n"


def _errors_defined_in(folders: Iterable[str]) -> dict[str, list[str]]:
    """Every exception class of the sources, and the names of its bases."""
    return {
        node.name: [ast.unparse(base) for base in node.bases]
        for folder in folders
        for path in sorted((ROOT / folder).rglob("*.py"))
        if "Error(" in (text := path.read_text("utf-8"))
        for node in ast.walk(ast.parse(text))
        if isinstance(node, ast.ClassDef) and node.name.endswith("Error")
    }


def test_all_errors_stand_below_one_that_is_a_value_error() -> None:
    found = _errors_defined_in(("autospace", "cli", "spaces"))
    assert found.pop("AutospaceError") == ["ValueError"]
    assert set(found) >= {"SpaceError", "RunError", "ConfigError", "DataError", "InputError"}
    special = {name: bases for name, bases in found.items() if bases != ["AutospaceError"]}
    assert special == {"OtherKindError": ["DataError"]}


def test_every_error_is_in_the_tree_of_the_docstring() -> None:
    lines = [line.partition("── ")[2].split() for line in (errors.__doc__ or "").splitlines()]
    tree = {line[0]: line[1].rstrip(":") for line in lines if line}
    assert set(tree) == set(_errors_defined_in(("autospace", "cli", "spaces")))
    for name, path in tree.items():
        assert f"class {name}(" in (ROOT / path).read_text("utf-8")


@pytest.mark.skipif(not os.path.exists("/dev/null"), reason="needs a device")
def test_a_device_is_no_file_that_would_be_overwritten(run: Run) -> None:
    # Without --force: what would replace the device is refused as well.
    ran = run("export", "mbconv@digits", "--to", "optuna", "--out", "/dev/null")
    assert (ran.code, ran.err) == (0, "wrote /dev/null\n")


@pytest.mark.parametrize(
    ("words", "begins"),
    [
        ("show mbconv@digits --layer 0 --cell mbconv_k3_e3 --svg", "<svg"),
        ("export mbconv@digits --to optuna --out", "{"),
        ("import net.json --from flat --space mbconv@digits --out", "{"),
        ("init", "#"),
    ],
)
def test_a_minus_is_stdout_and_no_file(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, words: str, begins: str
) -> None:
    monkeypatch.chdir(tmp_path)
    choices = {f"layer_{index:02d}": "mbconv_k3_e3" for index in range(4)}
    Path("net.json").write_text(json.dumps(choices))
    ran = run(*words.split(), "-")
    assert (ran.code, ran.out[: len(begins)]) == (0, begins)
    assert "wrote" not in ran.err
    assert os.listdir() == ["net.json"]


@pytest.mark.parametrize("words", ["bench --out", "bench --junit", "profile --out"])
def test_a_minus_is_refused_where_a_table_goes_to_stdout(run: Run, words: str) -> None:
    ran = run(*words.split(), "-")
    assert (ran.code, ran.out) == (2, "")
    wanted = "-: is stdout, where the table goes; allowed: the name of a file"
    assert ran.err == f"error: {wanted}\n"


@pytest.mark.skipif(not os.path.exists("/dev/stdout"), reason="needs a device")
@pytest.mark.parametrize("name", ["-", "/dev/stdout"])
def test_a_text_on_stdout_is_utf_8_and_stands_alone(tmp_path: Path, name: str) -> None:
    words = ["show", "reference@digits", "--layer", "0", "--cell", "mbconv_k3_e6", "--svg", name]
    environment = {**os.environ, "PYTHONIOENCODING": "latin-1"}
    for command in (words, ["init", name]):
        # Into a file, which the device then leads to: nobody replaces it.
        with (tmp_path / "out").open("wb") as stream:
            program = [sys.executable, "-m", "autospace", *command]
            subprocess.run(program, stdout=stream, env=environment, check=True)
        text = (tmp_path / "out").read_text("utf-8")
        assert "edit it, then" not in text
        if command is words:
            assert ElementTree.fromstring(text).tag.endswith("svg")
        else:
            tomllib.loads(text)


def test_a_disk_is_no_file(run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Path, "is_block_device", lambda path: path.name == "disk")
    ran = run("init", tmp_path / "disk", "--force")
    assert (ran.code, ran.out) == (2, "")
    allowed = "a file, a pipe or - for stdout"
    assert ran.err == f"error: {tmp_path / 'disk'}: is a disk; allowed: {allowed}\n"


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no named pipes")
def test_a_pipe_gets_what_bench_measured_once_at_the_end(tmp_path: Path) -> None:
    pipe, read = tmp_path / "pipe", []
    os.mkfifo(pipe)
    reader = threading.Thread(target=lambda: read.append(pipe.read_text("utf-8")), daemon=True)
    kept = _Kept(pipe, force=False)
    reader.start()
    with kept:
        for name in ("first", "second"):
            kept(document(entry(name)))
    reader.join(timeout=20)
    assert read == [to_json(document(entry("second")))]


def test_an_interrupt_is_code_130(capsys: pytest.CaptureFixture[str]) -> None:
    assert _code_of(KeyboardInterrupt()) == 130
    assert capsys.readouterr().err == "interrupted\n"


@pytest.mark.parametrize("error", [ValueError("ours"), KeyError("x"), OSError("no name")])
def test_a_mistake_of_the_program_keeps_its_traceback(error: Exception) -> None:
    with pytest.raises(type(error)), output.errors_reported():
        raise error


SWALLOWED = """
import os, signal, typer
signal.signal(signal.SIGINT, signal.default_int_handler)  # a job in the background ignores it
from autospace.cli.program import Command, Program
app = typer.Typer(cls=Program)
@app.command(cls=Command)
def one() -> None:
    if PRESSED:
        try:  # As a module that is being imported does it.
            os.kill(os.getpid(), signal.SIGINT)
        except BaseException:
            pass
    FAIL
@app.command(cls=Command)
def two() -> None: pass
app(["one"])
"""


@pytest.mark.skipif(os.name != "posix", reason="a process sends itself Ctrl-C")
@pytest.mark.parametrize(
    ("pressed", "fail", "code", "last"),
    [
        (True, "os.missing", 130, "interrupted"),
        (True, "raise RuntimeError('half there')", 130, "interrupted"),
        (True, "raise OSError('half there')", 130, "interrupted"),
        (True, "raise typer.Exit(2)", 2, ""),
        (True, "pass", 0, ""),
        (False, "os.missing", 1, "AttributeError: module 'os' has no attribute 'missing'"),
    ],
)
def test_an_interrupt_that_a_module_swallowed_is_code_130(
    pressed: bool, fail: str, code: int, last: str
) -> None:
    script = SWALLOWED.replace("PRESSED", str(pressed)).replace("FAIL", fail)
    command = [sys.executable, "-c", script]
    ran = subprocess.run(command, capture_output=True, text=True, check=False)
    assert ran.returncode == code
    assert (ran.stderr.splitlines() or [""])[-1] == last
    assert ("Traceback" in ran.stderr) == (not pressed)


PRESSED_AT_IMPORT = """
import os, signal, sys
signal.signal(signal.SIGINT, signal.default_int_handler)  # a job in the background ignores it
class Presses:
    def find_spec(self, name, path=None, target=None):
        if name == NAME:
            try:
                os.kill(os.getpid(), signal.SIGINT)
            except BaseException:
                if SWALLOWS:
                    return None
                raise
sys.meta_path.insert(0, Presses())
sys.argv = ["autospace", "doctor"]
from autospace.__main__ import main
main()
"""


@pytest.mark.skipif(os.name != "posix", reason="a process sends itself Ctrl-C")
@pytest.mark.parametrize("swallows", [False, True])
@pytest.mark.parametrize(
    "name", ["autospace.cli.main", "typer", "autospace.cli.commands.validate", "torch"]
)
def test_an_interrupt_while_modules_are_imported_is_one_line(name: str, swallows: bool) -> None:
    if swallows and name == "torch":
        return  # inside a command, where no error need follow; see the test above
    script = PRESSED_AT_IMPORT.replace("NAME", repr(name)).replace("SWALLOWS", str(swallows))
    ran = subprocess.run([sys.executable, "-P", "-c", script], capture_output=True, text=True)
    assert (ran.returncode, ran.stdout, ran.stderr) == (130, "", "interrupted\n")


@pytest.mark.skipif(os.name != "posix", reason="a process sends itself Ctrl-C")
def test_an_interrupt_before_the_command_handles_it_or_after_it_is_one_line() -> None:
    press = "signal.raise_signal(signal.SIGINT)"
    for place in (f"{press}; real()", f"real(); {press}"):
        script = (
            "import signal\nimport autospace.cli.main as loaded\n"
            "signal.signal(signal.SIGINT, signal.default_int_handler)\n"
            f"def real(): pass\ndef app(prog_name): {place}\nloaded.app = app\n"
            "from autospace.__main__ import main\nmain()\n"
        )
        ran = subprocess.run([sys.executable, "-P", "-c", script], capture_output=True, text=True)
        assert (ran.returncode, ran.stdout, ran.stderr) == (130, "", "interrupted\n")


@pytest.mark.skipif(os.name != "posix", reason="a process sends itself Ctrl-C")
@pytest.mark.parametrize(("path", "code"), [("mbconv@digits", 0), ("missing", 2)])
def test_an_interrupt_while_the_interpreter_ends_changes_nothing(path: str, code: int) -> None:
    script = (
        "import atexit, os, signal, sys\n"
        "signal.signal(signal.SIGINT, signal.default_int_handler)\n"
        f"sys.argv = ['autospace', 'validate', {path!r}]\n"
        "from autospace.__main__ import main\n"
        "PRESSmain()\n"
    )
    press = "atexit.register(lambda: os.kill(os.getpid(), signal.SIGINT)); "
    quiet, pressed = (
        subprocess.run(
            [sys.executable, "-P", "-c", script.replace("PRESS", each)],
            capture_output=True,
            text=True,
        )
        for each in ("", press)
    )
    assert (pressed.returncode, pressed.stdout, pressed.stderr) == (
        code,
        quiet.stdout,
        quiet.stderr,
    )


class _Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_a_remark_is_folded_for_a_terminal_and_one_line_for_a_file(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    text = "classes: " + ", ".join(f"{index} 142+36 of-one-kind" for index in range(20))
    for columns in (40, 80, 200):
        monkeypatch.setenv("COLUMNS", str(columns))
        terminal, file = _Terminal(), io.StringIO()
        for stream in (terminal, file):
            monkeypatch.setattr(sys, "stderr", stream)
            output.message(text)
        lines = terminal.getvalue().splitlines()
        assert max(map(len, lines)) <= columns
        assert " ".join(map(str.strip, lines)) == text
        assert file.getvalue() == f"{text}\n"
    monkeypatch.setattr(sys, "stderr", terminal := _Terminal())
    command = f"go on with: autospace evolve --resume {'a/' * 200}"
    output.message(command)
    assert terminal.getvalue() == f"{command}\n"


def test_hostile_text_is_spelled_out(capsys: pytest.CaptureFixture[str]) -> None:
    output.message(HOSTILE)
    assert capsys.readouterr().err == f"{visible(HOSTILE)}\n"
    assert visible(HOSTILE).isprintable()
    assert "[bold]" in visible(HOSTILE)
    assert visible("\udcff") == "\\udcff"


@pytest.mark.parametrize("command", ["show", "validate"])
def test_a_hostile_path_stays_on_one_line(run: Run, command: str) -> None:
    ran = run(command, f"missing-{HOSTILE}.json")
    assert (ran.code, ran.err.count("\n")) == (2, 1)
    assert ran.err.rstrip("\n").isprintable()


def test_markup_in_a_name_is_no_markup(run: Run, space_file: Path) -> None:
    text = space_file.read_text("utf-8").replace("learned@digits", "[red]learned[/] :smile:")
    space_file.write_text(text.replace('"g01-0"', '"[b]g01[/b]"'), encoding="utf-8")
    assert run("show", space_file).out.startswith("[red]learned[/] :smile:\n")
    assert "[b]g01[/b]" in run("show", space_file, "--layer", 0).out


def test_wide_characters_keep_the_columns(run: Run, space_file: Path) -> None:
    from rich.cells import cell_len

    text = space_file.read_text("utf-8").replace('"g01-0"', '"' + "細胞" * 16 + '"')
    space_file.write_text(text, encoding="utf-8")
    lines = run("show", space_file, "--layer", 0).out.splitlines()
    (place,) = [number for number, each in enumerate(lines) if each == "細胞" * 16]
    (other,) = [each for each in lines if each.startswith("mbconv_k5")]
    row = lines[place + 1]  # the id has a line of its own
    assert cell_len(row.partition("  generation")[0]) == cell_len(other.partition("  ref")[0])


def test_a_terminal_without_box_characters(run: Run) -> None:
    code = "from autospace.cli.main import app; app()"
    command = [sys.executable, "-P", "-c", code, "show", "mbconv@digits", "--layer", "1"]
    environment = {"PYTHONIOENCODING": "ascii", "COLUMNS": "80", "PATH": ""}
    done = subprocess.run(command, capture_output=True, env=environment, check=True)
    assert b"+----" in done.stdout
    assert b"12 > " in done.stdout


def test_a_closed_pipe_is_quiet() -> None:
    code = "from autospace.cli.main import app; app()"
    command = [sys.executable, "-P", "-c", code, "schema"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        process.stdout.close()
        assert process.stderr.read() == b""
        assert process.wait() == 0


@pytest.mark.parametrize("command", ["", "evolve", "search", "train", "show", "bench", "export"])
def test_help_loads_nothing_that_takes_long(command: str) -> None:
    code = (
        "import sys\nfrom autospace.cli.main import app\n"
        f"try:\n    app({[*command.split(), '--help']})\nexcept SystemExit:\n    pass\n"
        "slow = {'pydantic', 'rich', 'torch', 'numpy', 'deap', 'importlib.metadata'}\n"
        "print(sorted(slow & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-P", "-c", code], capture_output=True, check=True)
    assert done.stdout.decode().splitlines()[-1] == "[]"


@pytest.mark.parametrize(
    "words",
    [
        ("show", "mbconv@digits", "--svg", "none/x.svg"),
        ("init", "none/x.toml"),
        ("data", "digits", "--sheet", "none/x.png"),
        ("profile", "--skeleton", "digits", "--out", "none/x.csv"),
        ("bench", "--suite", "cost", "--out", "none/x.json"),
    ],
)
def test_a_file_in_a_folder_that_is_missing_is_refused_before_any_work(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, words: tuple[str, ...]
) -> None:
    monkeypatch.chdir(tmp_path)
    ran = run(*words)
    assert (ran.code, ran.out) == (2, "")
    assert ran.err == f"error: {words[-1]}: there is no folder none\n"


def test_a_file_or_an_empty_folder_in_the_place_of_another_is_named_as_what_it_is(
    run: Run, tmp_path: Path
) -> None:
    (tmp_path / "empty").mkdir()
    (tmp_path / "file").write_text("")
    empty, file = tmp_path / "empty", tmp_path / "file"
    assert f"{file}: is a file, not the folder of a run" in run("report", file).err
    assert f"{empty}: is empty; allowed: files of text" in run("data", f"text:{empty}").err
    assert f"{empty}: is empty; allowed: a folder or a" in run("data", f"sentences:{empty}").err
    assert "no captions, and no file" in run("data", f"captions:{empty}").err
