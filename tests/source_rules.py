"""The rules of the house, as functions over source text: who may import whom, and sizes.

Every function takes texts, not files, so that `test_imports.py` can show that each rule fails on a
bad snippet before it holds the rules against the real folders.
"""

import ast
import sys
from collections import Counter
from collections.abc import Collection, Iterator, Mapping
from fnmatch import fnmatch
from functools import cache
from pathlib import PurePosixPath
from typing import NamedTuple

MAX_FUNCTION_LINES = 60
MOST_FUNCTIONS_LINES = 40
"""What 95 of 100 functions keep to."""
MAX_FILES_IN_A_FOLDER = 20
MAX_FILES = 375
BANNED_NAMES = frozenset({"utils", "util", "helpers", "common", "core", "misc"})
HEAVY = ("torch", "numpy", "deap", "sklearn", "scipy", "PIL", "safetensors")
PICKLE_MODULES = ("pickle", "_pickle", "pickletools", "shelve", "marshal", "dill", "cloudpickle")
READS_PICKLES = "autospace/data/readers/safe_pickle.py"
"""Reads CIFAR's pickles, without running anything that they name."""
PICKLES = ("torch.save", "torch.load")
STARTS_PROCESSES = ("multiprocessing", "concurrent.futures.ProcessPoolExecutor")
BRINGS_TORCH = ("torch", "safetensors.torch")
TORCH_FREE = (
    "autospace/charts/*",
    "autospace/report/*",
    "autospace/evaluators/tabular.py",
    "autospace/seeds.py",
    *(
        f"autospace/evolution/{name}.py"
        for name in (
            "loop",
            "breeding",
            "toolbox",
            "population",
            "predictor",
            "checkpoint",
            "folder",
            "settings",
            "presets",
        )
    ),
    *(f"autospace/runs/{name}.py" for name in ("folder", "files", "settings")),
)


@cache
def _parsed(text: str) -> ast.Module:
    """Every rule reads every file."""
    return ast.parse(text)


class Rule(NamedTuple):
    """What the files of a pattern may import beside the standard library."""

    files: str
    allowed: tuple[str, ...]
    denied: tuple[str, ...] = ()


KERNELS = "autospace.networks.kernels"
KERNEL_READERS = ("autospace/networks/fused.py", "autospace/networks/kernels/")
LIBRARY = ("autospace", "torch", "numpy", "pydantic", "PIL", "safetensors", "scipy")
TEMPLATES = "autospace/exporters/templates/"
ABOVE_TORCH_PARTS = ("autospace.cli", "autospace.exporters", "autospace.evolution.loop")
# The first pattern that fits a path counts; in a pattern, * crosses folders.
RULES = (
    Rule("spaces/*", ("pydantic", "autospace.spaces")),
    # Text that exporters copy, and no code of ours: exporters import none of it.
    Rule(f"{TEMPLATES}*", ("torch", "nni", "autospace.exporters.templates")),
    Rule(
        "autospace/exporters/*",
        ("autospace.spaces", "autospace.exporters"),
        ("autospace.exporters.templates",),
    ),
    Rule("autospace/importers/*", ("autospace.spaces", "autospace.importers")),
    Rule("autospace/networks/kernels/gpu_code.py", ("triton",)),
    Rule("autospace/networks/deploy.py", (*LIBRARY, "onnx", "onnxruntime"), ("autospace.cli",)),
    Rule(
        "autospace/scorers/*",
        ("autospace", "torch", "numpy", "pydantic", "safetensors"),
        (*ABOVE_TORCH_PARTS, "autospace.searchers"),
    ),
    Rule(
        "autospace/searchers/*",
        ("autospace", "torch", "numpy", "pydantic", "safetensors"),
        ("autospace.cli", "autospace.exporters", "autospace.evolution.loop"),
    ),
    Rule("autospace/evolution/toolbox.py", (*LIBRARY, "deap"), ("autospace.cli",)),
    Rule("autospace/charts/paper.py", ("autospace.charts", "matplotlib")),
    Rule("autospace/data/readers/image_opening.py", (*LIBRARY, "pi_heif", "pillow_heif")),
    Rule("autospace/charts/*", ("autospace.charts", "autospace.spaces")),
    Rule(
        "autospace/report/*",
        ("autospace", "pydantic", "jinja2", "markupsafe"),
        ("autospace.cli", "autospace.evolution.loop"),
    ),
    Rule("autospace/runs/folder.py", (*LIBRARY, "filelock"), ("autospace.cli",)),
    Rule("autospace/compute/ray_session.py", (*LIBRARY, "ray"), ("autospace.cli",)),
    Rule("autospace/loggers.py", (*LIBRARY, "mlflow", "wandb"), ("autospace.cli",)),
    # `python -m autospace` is the command; no other module imports this one.
    Rule("autospace/__main__.py", ("autospace.cli.main",)),
    Rule("autospace/*", LIBRARY, ("autospace.cli",)),
    Rule("cli/*", (*LIBRARY, "typer", "rich")),
)


class Import(NamedTuple):
    """One imported name; `target` is dotted and includes the name taken from the module."""

    target: str
    line: int
    relative: bool
    on_import: bool  # runs when the module is imported: not in a function, not for types only


def module_name(path: str) -> str:
    parts = list(PurePosixPath(path).with_suffix("").parts)
    if parts[0] in ("cli", "spaces"):
        parts.insert(0, "autospace")
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


@cache  # Most rules ask for those of every file.
def imports_of(text: str) -> tuple[Import, ...]:
    return tuple(_imports(_parsed(text), on_import=True))


def _imports(node: ast.AST, *, on_import: bool) -> Iterator[Import]:
    match node:
        case ast.Import(names=names):
            for alias in names:
                yield Import(alias.name, node.lineno, False, on_import)
        case ast.ImportFrom(module=module, names=names, level=level):
            for alias in names:
                target = ".".join(part for part in (module, alias.name) if part)
                yield Import(target, node.lineno, level > 0, on_import)
        case ast.FunctionDef() | ast.AsyncFunctionDef() | ast.Lambda():
            on_import = False
        case ast.If(test=test) if ast.unparse(test).removeprefix("typing.") == "TYPE_CHECKING":
            for statement in node.body:
                yield from _imports(statement, on_import=False)
            for statement in node.orelse:
                yield from _imports(statement, on_import=on_import)
            return
    for child in ast.iter_child_nodes(node):
        yield from _imports(child, on_import=on_import)


def _within(target: str, prefixes: tuple[str, ...]) -> bool:
    return any(target == prefix or target.startswith(f"{prefix}.") for prefix in prefixes)


def import_violations(path: str, text: str) -> list[str]:
    """The import table, absolute imports, and no import of the folders by their bare names."""
    rule = next(rule for rule in RULES if fnmatch(path, rule.files))
    found = []
    for item in imports_of(text):
        place = f"{path}:{item.line}"
        if item.relative:
            found.append(f"{place}: relative import of {item.target}")
        elif _within(item.target, ("cli", "spaces")):
            found.append(f"{place}: {item.target} without its prefix autospace.")
        elif _within(item.target, (KERNELS,)) and not path.startswith(KERNEL_READERS):
            found.append(f"{place}: {item.target} is for autospace/networks/fused.py alone")
        elif _within(item.target, rule.denied):
            found.append(f"{place}: {rule.files} must not import {item.target}")
        elif item.target.partition(".")[0] not in sys.stdlib_module_names and not _within(
            item.target, rule.allowed
        ):
            found.append(f"{place}: {item.target} is not among {', '.join(rule.allowed)}")
    return found


def import_graph(sources: Mapping[str, str], *, later: bool = False) -> dict[str, list[str]]:
    """Module -> what it imports when it is imported: our modules by name, others as written.

    With `later`, also what its functions and its types need.
    """
    modules = {module_name(path) for path in sources}
    return {
        module_name(path): [
            _nearest(item.target, modules) for item in imports_of(text) if later or item.on_import
        ]
        for path, text in sources.items()
    }


def _nearest(target: str, modules: set[str]) -> str:
    name = target
    while name not in modules and "." in name:
        name = name.rpartition(".")[0]
    return name if name in modules else target


def cycles(graph: Mapping[str, list[str]]) -> list[str]:
    found, done = [], set()

    def visit(module: str, trail: tuple[str, ...]) -> None:
        if module in trail:
            found.append(" -> ".join((*trail[trail.index(module) :], module)))
        elif module in graph and module not in done:
            for target in graph[module]:
                visit(target, (*trail, module))
            done.add(module)

    for module in sorted(graph):
        visit(module, ())
    return found


def chain_to(graph: Mapping[str, list[str]], start: str, heavy: tuple[str, ...]) -> str | None:
    """The shortest chain of imports from a module to a heavy package, packages' doors included."""
    trails: list[tuple[str, ...]] = [(start,)]
    seen = {start}
    for trail in trails:
        if _within(trail[-1], heavy):
            return " -> ".join(trail)
        parents = trail[-1].split(".")
        doors = [".".join(parents[:size]) for size in range(1, len(parents))]
        for target in [*graph.get(trail[-1], ()), *(door for door in doors if door in graph)]:
            if target not in seen:
                seen.add(target)
                trails.append((*trail, target))
    return None


def heavy_violations(sources: Mapping[str, str]) -> list[str]:
    """Modules that load on import what they must not, directly or through others."""
    graph = import_graph(sources)
    limits = {"cli/*": HEAVY, "spaces/*": HEAVY} | dict.fromkeys(TORCH_FREE, BRINGS_TORCH)
    chains = (
        (path, chain_to(graph, module_name(path), heavy))
        for files, heavy in limits.items()
        for path in sorted(sources)
        if fnmatch(path, files)
    )
    return [f"{path} loads too much on import: {chain}" for path, chain in chains if chain]


def size_violations(path: str, text: str) -> list[str]:
    return [
        f"{path}:{line}: {name} has {lines} lines, at most {MAX_FUNCTION_LINES}"
        for name, line, lines in functions_of(text)
        if lines > MAX_FUNCTION_LINES
    ]


def functions_of(text: str) -> list[tuple[str, int, int]]:
    """Name, first line and number of lines of every function."""
    return [
        (node.name, node.lineno, (node.end_lineno or node.lineno) - node.lineno + 1)
        for node in ast.walk(_parsed(text))
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
    ]


def crowd_violations(paths: Collection[str]) -> list[str]:
    """Folders that hold more files than one looks through."""
    counts = Counter(path.rpartition("/")[0] for path in paths)
    return [
        f"{folder}: {count} files, at most {MAX_FILES_IN_A_FOLDER}"
        for folder, count in sorted(counts.items())
        if count > MAX_FILES_IN_A_FOLDER
    ]


def subject(path: str) -> str:
    """The folder of a subject: with its sub-folders it is one room of the house."""
    parts = PurePosixPath(path).parts
    return "/".join(parts[:2]) if parts[0] == "autospace" else parts[0]


def folder_graph(sources: Mapping[str, str]) -> dict[str, set[str]]:
    """Subject -> the subjects that it imports.

    Unlike between files, imports inside functions and those for types count: whoever reads the one
    has to read the other.
    """
    graph: dict[str, set[str]] = {}
    for ours, theirs in _arrows(sources):
        if subject(ours) != subject(theirs):
            graph.setdefault(subject(ours), set()).add(subject(theirs))
    return graph


def folder_cycles(sources: Mapping[str, str]) -> list[str]:
    """Subjects that need each other, and sub-folders of one subject that do.

    A folder and its own sub-folders are one subject.
    """
    within: dict[str, set[str]] = {}
    for ours, theirs in _arrows(sources):
        here, there = (each.rpartition("/")[0] for each in (ours, theirs))
        room = subject(ours)
        if room == subject(theirs) and here != there and room not in (here, there):
            within.setdefault(here, set()).add(there)
    graphs = (folder_graph(sources), within)
    return [line for graph in graphs for line in cycles({k: sorted(v) for k, v in graph.items()})]


def _arrows(sources: Mapping[str, str]) -> Iterator[tuple[str, str]]:
    """Pairs of paths: a file, and one that it imports."""
    paths = {module_name(path): path for path in sources}
    modules = set(paths)
    for path, text in sources.items():
        for item in imports_of(text):
            other = paths.get(_nearest(item.target, modules))
            if other is not None:
                yield path, other


def name_violations(path: str) -> list[str]:
    names = PurePosixPath(path).with_suffix("").parts
    return [
        f"{path}: call it by what it does, not {name}" for name in names if name in BANNED_NAMES
    ]


def statement_violations(path: str, text: str) -> list[str]:
    """Library code raises and returns; it neither asserts nor prints."""
    if path.startswith(("cli/", TEMPLATES)):
        return []
    found = []
    for node in ast.walk(_parsed(text)):
        if isinstance(node, ast.Assert):
            found.append(f"{path}:{node.lineno}: assert; raise an error that names the values")
        elif isinstance(node, ast.Call) and ast.unparse(node.func) in ("print", "builtins.print"):
            found.append(f"{path}:{node.lineno}: print; only cli prints")
    return found


def pickle_violations(path: str, text: str) -> list[str]:
    """No pickle is written or read: a pickle runs whatever it names."""
    found = [
        f"{path}:{item.line}: {item.target}; allowed: JSON and safetensors"
        for item in imports_of(text)
        if path != READS_PICKLES and _within(item.target, (*PICKLE_MODULES, *PICKLES))
    ]
    for node in ast.walk(_parsed(text)):
        match node:
            case ast.Attribute() if ast.unparse(node) in PICKLES:
                found.append(f"{path}:{node.lineno}: {ast.unparse(node)}; allowed: safetensors")
            case ast.Attribute(attr="recv"):
                found.append(f"{path}:{node.lineno}: recv unpickles; allowed: recv_bytes")
            case ast.keyword(arg="allow_pickle" | "weights_only" as name, value=value):
                if ast.unparse(value) != str(name == "weights_only"):
                    found.append(f"{path}:{value.lineno}: {name}={ast.unparse(value)}")
    return found


def process_violations(path: str, text: str) -> list[str]:
    """Work reaches other processes through one pool, `autospace/compute/pool.py`."""
    return [
        f"{path}:{item.line}: {item.target}; allowed: a pool of autospace.compute.pool"
        for item in imports_of(text)
        if not path.startswith("autospace/compute/") and _within(item.target, STARTS_PROCESSES)
    ]
