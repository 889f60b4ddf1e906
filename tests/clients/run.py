"""Runs the tests of every client in an environment of its own, and writes the table of results.

    python -m tests.clients.run [CLIENT ...]

The environments are in .venv-clients/, with the versions of tests/clients/requirements/. The
table in docs/reference/clients.md is renewed when all clients have a result. The exit code is 1 if
a test failed or a client could not be installed.
"""

import hashlib
import json
import os
import platform
import re
import shutil
import subprocess
import sys
import xml.etree.ElementTree as ET
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Final

ROOT: Final = Path(__file__).resolve().parent.parent.parent
ENVIRONMENTS: Final = ROOT / ".venv-clients"
REQUIREMENTS: Final = Path(__file__).parent / "requirements"
PAGE: Final = ROOT / "docs" / "reference" / "clients.md"
MARKS: Final = ("<!-- results: made by make test-clients -->\n", "<!-- end of results -->")


@dataclass(frozen=True, slots=True)
class Client:
    """A client: its package, what it reads of ours, and the guide that uses it."""

    package: str
    targets: tuple[str, ...]
    guide: str = ""


CLIENTS: Final = {
    "configspace": Client("ConfigSpace", ("configspace",)),
    "optuna": Client("optuna", ("optuna",)),
    "pyglove": Client("pyglove", ("pyglove",)),
    "nni": Client("nni", ("nni", "nni-python"), "nni"),
    "ray": Client("ray", ("ray",)),
    "neps": Client("neural-pipeline-search", ("configspace", "neps"), "configspace-neps"),
    "wandb": Client("wandb", ("wandb",)),
    "synetune": Client("syne-tune", ("syne-tune",)),
    "ax": Client("ax-platform", ("ax",)),
    "hydra": Client("hydra-core", ("hydra",)),
    "smac": Client("smac", ("configspace",)),
    "huggingface": Client("huggingface_hub", ("huggingface",)),
    "timm": Client("timm", ("timm", "timm-arch")),
    "nevergrad": Client("nevergrad", ("nevergrad",)),
    "pymoo": Client("pymoo", ("pymoo",)),
    "archai": Client("archai", ("archai", "flat")),
}


@dataclass(frozen=True, slots=True)
class Result:
    """What became of a client's tests; `problem` says why they did not run."""

    passed: int = 0
    failed: int = 0
    skipped: int = 0
    problem: str = ""

    @property
    def good(self) -> bool:
        """Whether all ran and none failed."""
        return self.passed > 0 and self.failed == 0 and not self.problem


def pinned(name: str) -> dict[str, str]:
    """Package -> version, as the requirements of a client name them."""
    text = (REQUIREMENTS / f"{name}.txt").read_text("utf-8")
    return dict(re.findall(r"^([\w.-]+)(?:\[\w+\])?==(\S+)$", text, re.MULTILINE))


def run(name: str) -> Result:
    """Installs a client, unless it is there already, and runs its tests."""
    problem = _install(name)
    if problem:
        return Result(problem=problem)
    client, folder = CLIENTS[name], ENVIRONMENTS / name
    report = folder / "results.xml"
    tests = [f"tests/clients/test_{name}.py"]
    if client.guide:
        tests.append(
            f"tests/clients/test_guides.py::test_whoever_follows_a_guide_gets_a_network[{client.guide}]"
        )
    # Warnings are the client's own here, and slow tests are what this is for.
    options = ["-m", "", "-o", "filterwarnings=default", "-o", "timeout=1200", "-q"]
    command = [_python(name), "-m", "pytest", *options, f"--junitxml={report}", *tests]
    report.unlink(missing_ok=True)
    done = subprocess.run(command, cwd=ROOT, check=False)
    if not report.is_file():
        return Result(problem=f"pytest ended with exit code {done.returncode}")
    return _read(report)


def _read(report: Path) -> Result:
    suite = ET.parse(report).getroot().find("testsuite")
    if suite is None:
        return Result(problem="pytest wrote no results")
    total, skipped = int(suite.get("tests", 0)), int(suite.get("skipped", 0))
    failed = int(suite.get("failures", 0)) + int(suite.get("errors", 0))
    return Result(total - failed - skipped, failed, skipped)


def _install(name: str) -> str:
    """The environment of a client, made anew where its requirements changed; what went wrong."""
    requirements, folder = REQUIREMENTS / f"{name}.txt", ENVIRONMENTS / name
    stamp = folder / "installed"
    wanted = hashlib.sha256(requirements.read_bytes()).hexdigest()
    if stamp.is_file() and stamp.read_text("utf-8") == wanted:
        return ""
    shutil.rmtree(folder, ignore_errors=True)
    subprocess.run([sys.executable, "-m", "venv", str(folder)], check=True)
    pip = [_python(name), "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
    # Without a compiler our kernels are left out: no client needs them, and they take minutes.
    environment = {**os.environ, "CC": "false"}
    for arguments in (["--requirement", str(requirements)], ["--no-deps", "--editable", str(ROOT)]):
        done = subprocess.run(
            [*pip, *arguments], capture_output=True, text=True, check=False, env=environment
        )
        if done.returncode:
            errors = [line for line in done.stderr.splitlines() if line.startswith("ERROR")]
            return (errors or ["pip failed"])[-1].removeprefix("ERROR: ")
    stamp.write_text(wanted, "utf-8")
    return ""


def _python(name: str) -> str:
    return str(ENVIRONMENTS / name / "bin" / "python")


def table(results: dict[str, Result]) -> str:
    """The results as a Markdown table."""
    lines = [
        f"Python {platform.python_version()}.\n",
        "| client | version | `--to` | passed | failed | skipped |",
        "|---|---|---|---|---|---|",
    ]
    for name, client in CLIENTS.items():
        result, version = results[name], pinned(name)[client.package]
        targets = ", ".join(f"`{target}`" for target in client.targets)
        numbers = f"{result.passed} | {result.failed} | {result.skipped}"
        lines.append(f"| {client.package} | {version} | {targets} | {numbers} |")
    lines += [f"\n{name}: {each.problem}" for name, each in results.items() if each.problem]
    return "\n".join(lines) + "\n"


def renewed(page: str, text: str) -> str:
    """The page with this table between its marks."""
    before, rest = page.split(MARKS[0])
    return f"{before}{MARKS[0]}\n{text}\n{MARKS[1]}{rest.split(MARKS[1])[1]}"


def main(names: list[str]) -> int:
    """Runs the named clients, or all of them."""
    unknown = [name for name in names if name not in CLIENTS]
    if unknown:
        print(f"error: {unknown[0]}: no such client; allowed: {', '.join(CLIENTS)}")
        return 2
    ENVIRONMENTS.mkdir(exist_ok=True)
    store = ENVIRONMENTS / "results.json"
    known = json.loads(store.read_text("utf-8")) if store.is_file() else {}
    for name in names or CLIENTS:
        print(f"== {name}", flush=True)
        known[name] = asdict(run(name))
        store.write_text(json.dumps(known, indent=2), "utf-8")
    results = {name: Result(**known[name]) for name in CLIENTS if name in known}
    if len(results) == len(CLIENTS):
        text = table(results)
        PAGE.write_text(renewed(PAGE.read_text("utf-8"), text), "utf-8")
        print(text)
    return 0 if all(results[name].good for name in names or CLIENTS) else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
