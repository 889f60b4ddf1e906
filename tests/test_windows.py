"""What Windows lacks is not needed: a fresh process without it imports, lists, shows and exports.

The process runs here, so it shows what the program asks for, and not how Windows answers.
"""

import json
import os
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

from tests.slow import slowly

# Modules and functions that Python on Windows does not have. A file that this program opens in the
# encoding of the system is an error: on Windows, that is not UTF-8.
WITHOUT = """
    import os, signal, sys, warnings

    warnings.filterwarnings("ignore", category=EncodingWarning)
    warnings.filterwarnings("error", category=EncodingWarning, module="autospace")
    if sys.argv[1] == "torch":
        import torch, deap.tools, scipy.optimize  # on Linux, they need some functions
    del sys.argv[1]

    class Missing:
        def find_spec(self, name, path=None, target=None):
            if name in {"fcntl", "resource", "termios", "tty", "pty", "pwd", "grp", "syslog"}:
                raise ImportError(f"No module named {name!r}")

    for name in ("fcntl", "resource", "termios", "tty", "pty", "pwd", "grp", "syslog"):
        sys.modules.pop(name, None)
    sys.meta_path.insert(0, Missing())
    for module, names in {
        os: ("fork", "getuid", "geteuid", "sched_getaffinity", "sysconf", "statvfs", "O_NOFOLLOW",
             "O_DIRECTORY", "mkfifo", "killpg", "setsid", "fchmod", "fchown", "chown"),
        signal: ("pthread_sigmask", "SIGKILL", "SIGUSR1", "SIGHUP", "alarm", "setitimer"),
    }.items():
        for name in names:
            if hasattr(module, name):
                delattr(module, name)
"""
RUN = """
    from autospace.cli.main import app
    sys.argv = ["autospace", *sys.argv[1:]]
    app()
"""


def there(
    code: str, *words: object, torch: bool = False, **environment: str
) -> subprocess.CompletedProcess[str]:
    """Runs code in a process like one on Windows, if asked after torch was imported."""
    text = textwrap.dedent(WITHOUT) + textwrap.dedent(code)
    before = "torch" if torch else "nothing"
    command = [sys.executable, "-P", "-X", "warn_default_encoding", "-c", text, before]
    return subprocess.run(
        [*command, *map(str, words)],
        capture_output=True,
        check=False,
        env={**os.environ, **environment},
        encoding="utf-8",
    )


@pytest.mark.parametrize("name", ["resource", "fcntl"])
def test_what_windows_lacks_is_missing_in_that_process(name: str) -> None:
    assert there(f"import {name}").stderr.rstrip().endswith(f"No module named '{name}'")


def test_the_library_is_imported_without_it() -> None:
    steps = [
        "import autospace; autospace.load('mbconv@digits')",
        "import autospace.spaces, autospace.exporters.targets, autospace.importers.formats",
        "import autospace.evolution.learn, autospace.searchers.driver, autospace.training.full",
        "import autospace.bench.suites, autospace.comparison.compare, autospace.report.write",
        "from autospace.compute.machine import cores, peak_memory; assert cores() >= 1\n"
        "assert peak_memory() >= 0",
        "from autospace.data.load import load_data; assert len(load_data('digits').train) == 1438",
    ]
    done = there("\n".join(steps), torch=True)
    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.parametrize(
    "words",
    [
        ["show", "mbconv@digits"],
        ["show", "mbconv@digits", "--layer", "0"],
        ["schema"],
        ["init", "-"],
        ["export", "mbconv@digits", "--to", "pytorch"],
        ["export", "mbconv@digits", "--to", "optuna"],
        *slowly(["spaces"], ["spaces", "--format", "json"], ["doctor"]),
    ],
)
def test_commands_work_without_it(words: list[str]) -> None:
    done = there(RUN, *words, PYTHONUTF8="0")
    assert done.returncode == 0, done.stderr
    assert done.stdout


def test_a_space_is_exported_to_a_file_and_read_back(tmp_path: Path) -> None:
    path = tmp_path / "space.json"
    drawn = tmp_path / "drawn"
    assert there(RUN, "export", "mbconv@digits", "--to", "optuna", "--out", path).returncode == 0
    assert json.loads(path.read_bytes())
    done = there(RUN, "sample", "mbconv@digits", "-n", 1, "--seed", 0, "--out", drawn)
    assert done.returncode == 0, done.stderr
    done = there(RUN, "validate", drawn / "architecture_00.json")
    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.parametrize("words", [["show", "mbconv@digits", "--layer", "0"], ["spaces"]])
def test_a_console_with_the_old_code_page_shows_something(words: list[str]) -> None:
    done = there(RUN, *words, PYTHONIOENCODING="cp1252", PYTHONUTF8="0")
    assert done.returncode == 0, done.stderr
