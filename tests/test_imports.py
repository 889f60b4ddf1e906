"""The rules of the house: first that each rule finds what breaks it, then the real folders."""

import subprocess
import sys
import textwrap
from collections.abc import Callable
from pathlib import Path

import pytest

from tests import source_rules as rules

ROOT = Path(__file__).resolve().parent.parent
SOURCES = {
    path.relative_to(ROOT).as_posix(): path.read_text(encoding="utf-8")
    for folder in ("autospace", "cli", "spaces")
    for path in sorted((ROOT / folder).rglob("*.py"))
}


def _report(found: list[str]) -> str:
    return "\n".join(["", *found])


# The checker: every rule is seen to fail.


@pytest.mark.parametrize(
    ("path", "text", "complaint"),
    [
        ("spaces/cell.py", "import torch", "torch is not among pydantic, autospace.spaces"),
        ("spaces/cell.py", "def f():\n    import numpy as np", "spaces/cell.py:2: numpy is not"),
        ("spaces/cell.py", "from autospace.config import A", "autospace.config.A is not among"),
        ("spaces/cell.py", "from .codec import read", "relative import of codec.read"),
        ("spaces/cell.py", "from spaces.codec import read", "without its prefix"),
        ("autospace/config.py", "from autospace import cli", "must not import autospace.cli"),
        ("autospace/config.py", "import typer", "typer is not among"),
        ("autospace/report.py", "from rich.table import Table", "rich.table.Table is not among"),
        ("autospace/evolution/loop.py", "import deap.base", "deap.base is not among"),
        (
            "autospace/scorers/local.py",
            "from autospace.evolution.loop import run",
            "must not import",
        ),
        ("autospace/scorers/local.py", "from deap import tools", "deap.tools is not among"),
        ("autospace/exporters/nni.py", "import torch", "torch is not among"),
        ("autospace/exporters/nni.py", "from autospace.config import A", "is not among"),
        (
            "autospace/exporters/nni.py",
            "from autospace.exporters.templates.nni import LearnedSpace",
            "must not import",
        ),
        ("cli/main.py", "import pandas", "pandas is not among"),
        ("cli/main.py", "import cli.show", "without its prefix"),
        *(
            (path, text, "is for autospace/networks/fused.py alone")
            for path in ("autospace/networks/cells.py", "cli/commands/doctor.py")
            for text in (
                "from autospace.networks.kernels.native import described",
                "from autospace.networks import kernels",
                "def f():\n    import autospace.networks.kernels",
            )
        ),
    ],
)
def test_a_forbidden_import_is_named(path: str, text: str, complaint: str) -> None:
    (found,) = rules.import_violations(path, text)
    assert complaint in found


@pytest.mark.parametrize(
    ("path", "text"),
    [
        ("spaces/cell.py", "import json\nfrom pydantic import BaseModel"),
        ("spaces/cell.py", "from autospace.spaces.codec import read"),
        ("spaces/cell.py", "from autospace import spaces"),
        ("autospace/evolution/toolbox.py", "from deap import base"),
        ("autospace/scorers/local.py", "import torch\nfrom autospace.network import Cell"),
        ("autospace/exporters/nni.py", "from autospace.spaces import Space"),
        ("autospace/exporters/templates/nni.py", "import nni.nas\nfrom torch import nn"),
        ("cli/main.py", "import typer\nfrom autospace.config import A"),
        ("autospace/networks/fused.py", "from autospace.networks.kernels import native"),
        ("autospace/networks/kernels/norms.py", "from autospace.networks.kernels import native"),
    ],
)
def test_an_allowed_import_is_not(path: str, text: str) -> None:
    assert rules.import_violations(path, text) == []


def test_only_what_runs_on_import_is_followed() -> None:
    text = textwrap.dedent("""
        import json
        from typing import TYPE_CHECKING
        if TYPE_CHECKING:
            import torch
        else:
            import csv
        try:
            import numpy
        except ImportError:
            pass
        class A:
            import io
        def f():
            import deap
    """)
    on_import = {item.target for item in rules.imports_of(text) if item.on_import}
    assert on_import == {"json", "typing.TYPE_CHECKING", "csv", "numpy", "io"}


@pytest.mark.parametrize(
    ("path", "name"),
    [
        ("autospace/loop.py", "autospace.loop"),
        ("autospace/scorers/__init__.py", "autospace.scorers"),
        ("cli/main.py", "autospace.cli.main"),
        ("spaces/__init__.py", "autospace.spaces"),
    ],
)
def test_a_path_has_the_name_it_is_installed_under(path: str, name: str) -> None:
    assert rules.module_name(path) == name


def test_a_cycle_is_found_and_a_diamond_is_none() -> None:
    ring = {
        "autospace/a.py": "from autospace.b import B",
        "autospace/b.py": "import autospace.c",
        "autospace/c.py": "from autospace import a",
    }
    diamond = {
        "autospace/a.py": "from autospace import b, c",
        "autospace/b.py": "import autospace.d",
        "autospace/c.py": "import autospace.d\ndef f():\n    import autospace.a",
        "autospace/d.py": "import json",
    }
    assert rules.cycles(rules.import_graph(ring)) == [
        "autospace.a -> autospace.b -> autospace.c -> autospace.a"
    ]
    assert rules.cycles(rules.import_graph(diamond)) == []
    assert len(rules.cycles(rules.import_graph(diamond, later=True))) == 1


def test_a_module_that_imports_its_own_package_door_is_a_cycle() -> None:
    sources = {
        "spaces/__init__.py": "from autospace.spaces.cell import Cell",
        "spaces/cell.py": "from autospace.spaces import Cell",
    }
    assert len(rules.cycles(rules.import_graph(sources))) == 1


@pytest.mark.parametrize(
    "path", ["cli/main.py", "autospace/evolution/loop.py", "autospace/runs/files.py"]
)
def test_torch_is_found_through_other_modules_and_package_doors(path: str) -> None:
    sources = {
        path: "from autospace.scorers.seam import Score",
        "autospace/scorers/__init__.py": "from autospace.network import Net",
        "autospace/scorers/seam.py": "import json",
        "autospace/network.py": "from torch import nn",
    }
    (found,) = rules.heavy_violations(sources)
    assert found.endswith("autospace.scorers -> autospace.network -> torch.nn")


def test_heavy_imports_inside_functions_are_free() -> None:
    sources = {"cli/main.py": "import typer\ndef evolve():\n    import torch, numpy"}
    assert rules.heavy_violations(sources) == []


@pytest.mark.parametrize("name", ["numpy", "deap.tools", "sklearn", "scipy", "PIL.Image"])
def test_every_heavy_package_counts_at_the_command_line(name: str) -> None:
    assert rules.heavy_violations({"cli/main.py": f"import {name}"}) != []


def test_a_size_is_judged_at_its_limit() -> None:
    def source(body_lines: int) -> str:
        return "def f():\n" + "    x = 1\n" * body_lines

    assert rules.size_violations("cli/a.py", source(59)) == []
    assert rules.size_violations("cli/a.py", source(60)) == [
        "cli/a.py:1: f has 61 lines, at most 60"
    ]


def test_a_crowded_folder_is_named() -> None:
    paths = [f"cli/a/{index}.py" for index in range(21)]
    assert rules.crowd_violations(paths[:20]) == []
    assert rules.crowd_violations(paths) == ["cli/a: 21 files, at most 20"]


def test_folders_that_need_each_other_are_found_even_through_late_imports() -> None:
    late = "def f():\n    from autospace.b.y import Y"
    typing = "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    from autospace.a.x import X"
    ring = {"autospace/a/x.py": late, "autospace/b/y.py": typing}
    assert rules.folder_cycles(ring) == ["autospace/a -> autospace/b -> autospace/a"]
    assert rules.folder_cycles({**ring, "autospace/b/y.py": ""}) == []


def test_a_folder_and_its_sub_folders_are_one_subject() -> None:
    family = {
        "autospace/a/x.py": "from autospace.a.sub.y import Y",
        "autospace/a/sub/y.py": "import autospace.a.z",
        "autospace/a/z.py": "",
    }
    assert rules.folder_cycles(family) == []
    siblings = {
        "autospace/a/one/x.py": "from autospace.a.two.y import Y",
        "autospace/a/two/y.py": "import autospace.a.one.x",
    }
    assert len(rules.folder_cycles(siblings)) == 1


def test_catch_all_names_are_refused() -> None:
    assert rules.name_violations("autospace/utils.py") != []
    assert rules.name_violations("autospace/core/cell.py") != []
    assert rules.name_violations("autospace/cost.py") == []


def test_assert_and_print_are_refused_in_the_library_only() -> None:
    text = "assert x\nprint(x)\nlog.print(x)\n"
    assert len(rules.statement_violations("spaces/a.py", text)) == 2
    assert rules.statement_violations("cli/a.py", text) == []


@pytest.mark.parametrize(
    "text",
    [
        "import pickle",
        "def f():\n    from pickle import loads",
        "import pickletools as tools",
        "import shelve, json",
        "import torch\ntorch.load(path, weights_only=False)",
        "import torch\ntorch.load(path)",
        "import torch\nread = torch.load",
        "from torch import load",
        "import torch\ntorch.save(value, path)",
        "numpy.load(path, allow_pickle=True)",
        "load(path, weights_only=chosen)",
        "value = connection.recv()",
    ],
)
def test_a_pickle_is_refused_in_every_disguise(text: str) -> None:
    assert rules.pickle_violations("autospace/scorers/a.py", text) != []
    assert rules.pickle_violations("cli/a.py", text) != []


def test_one_reader_may_import_pickle_and_nothing_else_may() -> None:
    reader = "autospace/data/readers/safe_pickle.py"
    assert rules.pickle_violations(reader, "import pickle\nimport pickletools") == []
    assert rules.pickle_violations(reader, "import torch\ntorch.load(path)") != []
    assert rules.pickle_violations("autospace/data/readers/npz.py", "import pickle") != []
    plain = "import json\nfrom safetensors.torch import load\nread(path, allow_pickle=False)"
    assert rules.pickle_violations("autospace/data/a.py", plain) == []


def test_processes_are_started_by_the_pool_only() -> None:
    text = "def f():\n    from multiprocessing import Pool"
    assert rules.process_violations("autospace/evaluators/evaluate.py", text) != []
    assert rules.process_violations("autospace/compute/pool.py", text) == []
    threads = "from concurrent.futures import ThreadPoolExecutor"
    assert rules.process_violations("autospace/data/load.py", threads) == []


# The real folders.


@pytest.mark.parametrize(
    "check",
    [
        rules.import_violations,
        rules.size_violations,
        rules.statement_violations,
        rules.pickle_violations,
        rules.process_violations,
    ],
    ids=["imports", "sizes", "statements", "pickles", "processes"],
)
def test_every_file_keeps_the_rule(check: Callable[[str, str], list[str]]) -> None:
    found = [line for path, text in SOURCES.items() for line in check(path, text)]
    assert not found, _report(found)


def test_every_file_has_a_telling_name() -> None:
    found = [line for path in SOURCES for line in rules.name_violations(path)]
    assert not found, _report(found)


def test_no_two_files_need_each_other() -> None:
    found = rules.cycles(rules.import_graph(SOURCES, later=True))
    assert not found, _report(found)


def test_no_two_folders_need_each_other() -> None:
    found = rules.folder_cycles(SOURCES)
    assert not found, _report(found)


def test_no_folder_is_crowded() -> None:
    found = rules.crowd_violations(SOURCES)
    assert not found, _report(found)


def test_the_house_has_few_files() -> None:
    assert len(SOURCES) <= rules.MAX_FILES


def test_nearly_all_functions_fit_on_a_screen() -> None:
    sizes = sorted(lines for text in SOURCES.values() for *_, lines in rules.functions_of(text))
    assert sizes[len(sizes) * 95 // 100] <= rules.MOST_FUNCTIONS_LINES


def test_light_modules_load_nothing_heavy() -> None:
    found = rules.heavy_violations(SOURCES)
    assert not found, _report(found)


# Fresh processes: what really ends up in sys.modules.


def _fresh_python(code: str) -> str:
    # -P: the repository root stays off sys.path, as for a user in any other folder.
    command = [sys.executable, "-P", "-c", textwrap.dedent(code)]
    done = subprocess.run(command, capture_output=True, text=True, cwd=ROOT, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


LOADED = "print(sorted(set(sys.modules) & {'torch', 'numpy', 'deap', 'sklearn', 'scipy', 'PIL'}))"


def test_the_probe_for_loaded_packages_sees_numpy() -> None:
    assert _fresh_python(f"import sys, numpy\n{LOADED}").strip() == "['numpy']"


def test_reading_spaces_loads_no_heavy_package() -> None:
    assert _fresh_python(f"import sys, autospace.spaces\n{LOADED}").strip() == "[]"


def test_spaces_work_where_the_heavy_packages_are_not_installed() -> None:
    out = _fresh_python("""
        import sys

        class Missing:
            def find_spec(self, name, path=None, target=None):
                if name.partition(".")[0] in {"torch", "numpy", "deap", "typer", "rich", "PIL"}:
                    raise ImportError(f"{name} is blocked")

        sys.meta_path.insert(0, Missing())
        try:
            import numpy
        except ImportError:
            import autospace.spaces
            print("imported")
    """)
    assert out.strip() == "imported"


@pytest.mark.skipif("cli/main.py" not in SOURCES, reason="cli/main.py is not written yet")
def test_help_loads_no_heavy_package() -> None:
    out = _fresh_python(f"""
        import sys
        from autospace.cli.main import app
        try:
            app(["--help"], prog_name="autospace")
        except SystemExit as stop:
            sys.exit(stop.code) if stop.code else None
        {LOADED}
    """)
    assert "evolve" in out
    assert out.strip().splitlines()[-1] == "[]"
