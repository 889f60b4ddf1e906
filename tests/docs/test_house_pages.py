"""The pages that describe the house, against the house: files, names, imports."""

import ast
import os
import re
from pathlib import Path

import pytest

from autospace.searchers.make import METHODS
from tests import source_rules as rules
from tests.docs.pages import ROOT, Page

READMES = sorted(
    path
    for folder in ("autospace", "cli", "spaces", "tests")
    for path in (ROOT / folder).rglob("README.md")
)
ARCHITECTURE = ROOT / "docs" / "develop" / "architecture.md"
SOURCES = {
    path.relative_to(ROOT).as_posix(): path.read_text("utf-8")
    for folder in ("autospace", "cli", "spaces")
    for path in sorted((ROOT / folder).rglob("*.py"))
}
SUBJECTS = sorted(
    {rules.subject(path) for path in SOURCES if not rules.subject(path).endswith(".py")}
)
GRAPH = rules.folder_graph(SOURCES)
_FILE = re.compile(r"[\w./]+\.(py|c|md|json)|[\w./]+/")

each_readme = pytest.mark.parametrize(
    "path", READMES, ids=lambda path: str(path.parent.relative_to(ROOT))
)


def _imports(subject: str) -> str:
    short = sorted(
        each.removeprefix("autospace/").removesuffix(".py") for each in GRAPH.get(subject, ())
    )
    listed = ", ".join(f"`{each}`" for each in short)
    return f"Imports: {listed or 'nothing of this program'}.\n"


def _names(path: str) -> set[str]:
    """What a Python file defines, with the methods of its classes."""
    nodes = ast.walk(ast.parse(SOURCES[path]))
    defined = (ast.FunctionDef, ast.ClassDef)
    names = {node.name for node in nodes if isinstance(node, defined)}
    assigned = (node for node in ast.walk(ast.parse(SOURCES[path])) if isinstance(node, ast.Name))
    return names | {node.id for node in assigned}


@pytest.mark.parametrize("subject", SUBJECTS)
def test_every_subject_has_a_page_that_states_its_imports(subject: str) -> None:
    path = ROOT / subject / "README.md"
    wanted = _imports(subject)
    text = path.read_text("utf-8")
    if os.environ.get("AUTOSPACE_GOLDEN") == "1":
        text = re.sub(r"\n+(Imports: .*\n)?\Z", f"\n\n{wanted}", text)
        path.write_text(text, "utf-8")
    assert text.endswith(wanted), "renew it: make golden"


@each_readme
def test_files_that_a_folder_page_names_are_there(path: Path) -> None:
    named = [span for span in Page.of(path).spans if _FILE.fullmatch(span)]
    gone = [name for name in named if not any((at / name).exists() for at in (path.parent, ROOT))]
    assert not gone


@each_readme
def test_a_folder_page_is_short(path: Path) -> None:
    lines = path.read_text("utf-8").splitlines()
    assert len(lines) <= 25
    assert max(len(line) for line in lines if not line.startswith("Imports:")) <= 125


def test_names_behind_files_are_in_these_files() -> None:
    """`file.py` (`name`, `other`): the file defines the names."""
    mentions = re.findall(
        r"`((?:autospace|cli|spaces)/[\w/]+\.py)` \(((?:`\w+`(?:, )?)+)\)",
        ARCHITECTURE.read_text("utf-8"),
    )
    assert len(mentions) > 20
    for path, names in mentions:
        missing = set(re.findall(r"\w+", names)) - _names(path)
        assert not missing, f"{path} does not define {', '.join(sorted(missing))}"


def test_every_method_has_a_row_of_at_most_five_files() -> None:
    section = ARCHITECTURE.read_text("utf-8").split("\n## One search method")[1].split("\n## ")[0]
    rows = re.findall(r"^\| (`[a-z`, -]+`) \| (.*) \| (.*) \|$", section, re.MULTILINE)
    methods = [name for names, _, _ in rows for name in re.findall(r"[a-z-]+", names)]
    assert sorted(methods) == sorted(METHODS)
    for _, own, base in rows:
        base = re.sub(r" \(.*\)", "", base)  # a remark
        assert len(set(re.findall(r"[\w/]+\.py", own))) + len(base.split(", ")) <= 5


def test_the_table_of_folders_is_complete() -> None:
    assert sorted(_folders()) == SUBJECTS


def test_the_table_of_folders_can_be_read_from_top_to_bottom() -> None:
    above: set[str] = set()
    for folder in _folders():
        imported = {each for each in GRAPH.get(folder, ()) if not each.endswith(".py")}
        assert imported <= above, f"{folder} imports what stands below it"
        above.add(folder)


def _folders() -> list[str]:
    text = ARCHITECTURE.read_text("utf-8")
    return re.findall(r"^\| `([\w/]+)/` \|", text, re.MULTILINE)
