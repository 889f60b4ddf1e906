"""What a repository has beside its code: each says the same as pyproject.toml and the tree."""

import re
import tomllib
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parent.parent
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
DOCKERFILE = (ROOT / "Dockerfile").read_text(encoding="utf-8")
WORKFLOWS = sorted(
    path.relative_to(ROOT).as_posix() for path in (ROOT / ".github/workflows").glob("*.yml")
)
PAGES = [
    path
    for path in (*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md"))
    if path.name != "CHANGELOG.md"
]


def read_yaml(name: str) -> Any:
    yaml = pytest.importorskip("yaml")
    return yaml.safe_load((ROOT / name).read_text(encoding="utf-8"))


def test_the_citation_agrees_with_the_project_and_the_readme() -> None:
    found = read_yaml("CITATION.cff")
    assert {"cff-version", "message", "title", "authors"} <= set(found)  # what the format requires
    for key, value in (("title", "name"), ("version", "version"), ("abstract", "description")):
        assert found[key] == PROJECT[value]
    assert found["license"] in PROJECT["license"]
    assert found["keywords"] == PROJECT["keywords"]
    (paper,) = found["references"]
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    bibtex = re.sub(r"\s+", " ", readme[readme.index("@InProceedings") :])
    names = [f"{each['family-names']}, {each['given-names']}" for each in paper["authors"]]
    assert f"author = {{{' and '.join(names)}}}" in bibtex
    for fact in (paper["title"], paper["collection-title"], str(paper["year"])):
        assert f"{{{fact}}}" in bibtex
    assert f"{{{paper['start']}-{paper['end']}}}" in bibtex


@pytest.mark.parametrize("name", ["bug", "feature"])
def test_issue_forms_have_what_the_format_requires(name: str) -> None:
    form = read_yaml(f".github/ISSUE_TEMPLATE/{name}.yml")
    assert form["name"]
    assert form["description"]
    ids = [field["id"] for field in form["body"]]
    assert len(ids) == len(set(ids))
    for field in form["body"]:
        assert field["type"] in {"textarea", "input", "dropdown", "checkboxes"}
        assert field["attributes"]["label"]


def test_the_workflow_runs_every_python_on_every_system() -> None:
    jobs = read_yaml(".github/workflows/ci.yml")["jobs"]
    matrix = jobs["test"]["strategy"]["matrix"]
    assert {name.partition("-")[0] for name in matrix["os"]} == {"ubuntu", "macos", "windows"}
    named = {line.split(" :: ")[-1] for line in PROJECT["classifiers"]}
    assert {name for name in named if re.fullmatch(r"3\.\d+", name)} <= set(matrix["python"])
    assert PROJECT["requires-python"] == f">={matrix['python'][0]}"


def test_every_job_of_a_workflow_ends_in_time() -> None:
    for name in WORKFLOWS:
        assert all("timeout-minutes" in job for job in read_yaml(name)["jobs"].values()), name


@pytest.mark.parametrize("workflow", WORKFLOWS)
def test_a_workflow_names_what_exists(workflow: str) -> None:
    text = (ROOT / workflow).read_text(encoding="utf-8")
    for name in re.findall(r"\b(?:tests|\.ci)/[\w/.]+", text):
        assert (ROOT / name).exists(), name
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    for call in re.findall(r"run: make ([a-z ]+)$", text, re.MULTILINE):
        assert set(call.split()) <= targets


def test_the_image_is_made_of_files_that_exist() -> None:
    copied = [
        name
        for line in re.findall(r"^COPY (?!--from)(.+) \S+$", DOCKERFILE, re.MULTILINE)
        for name in line.split()
    ]
    assert {"pyproject.toml", "setup.py", "autospace", "cli", "spaces"} <= set(copied)
    assert [name for name in copied if not (ROOT / name).exists()] == []
    context = (ROOT / ".dockerignore").read_text(encoding="utf-8").splitlines()
    assert {line[1:] for line in context if line.startswith("!")} == set(copied)
    (extras,) = re.findall(r"^ARG EXTRAS=(.+)$", DOCKERFILE, re.MULTILINE)
    assert set(extras.split(",")) <= set(PROJECT["optional-dependencies"])


@pytest.mark.parametrize("path", PAGES, ids=lambda path: path.name)
def test_no_page_says_that_pip_finds_the_package_in_an_index(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    # An extra of what is installed already is another matter: pip looks up only what it needs.
    assert re.findall(r"pip install (?:[\w.=<>' ]+ )?autospace\b(?!\[)", text) == []


def test_nothing_is_left_to_be_filled_in() -> None:
    for name in ("SECURITY.md", "CODE_OF_CONDUCT.md", "CITATION.cff"):
        text = (ROOT / name).read_text(encoding="utf-8")
        assert not re.search(r"TODO|FIXME|INSERT|example\.(com|org)|@", text), name
