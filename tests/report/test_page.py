"""What holds for every report: one file, nothing loaded, nothing injected, readable for all."""

import base64
import copy
import hashlib
import json
import os
import re
import subprocess
import sys
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from autospace.report import report_text, write_report
from autospace.report.page import Table
from autospace.runs.files import sealed
from autospace.spaces import LayerSpec, Skeleton, Stem, load_skeleton
from tests.fuzz.mutations import unsealed
from tests.report.pages import Node, parsed, shape
from tests.report.samples import SETTINGS, comparison, write_comparison, write_run
from tests.strategies import HOSTILE_NAMES
from tests.tiny import REFERENCES

ELEMENTS = frozenset(
    {"document", "html", "head", "meta", "title", "style", "script", "body", "header", "main"}
    | {"footer", "nav", "section", "h1", "h2", "h3", "p", "a", "div", "span", "code", "pre"}
    | {"ol", "ul", "li", "dl", "dt", "dd", "figure", "figcaption", "details", "summary"}
    | {"table", "caption", "thead", "tbody", "tr", "th", "td"}
    | {"svg", "desc", "defs", "use", "g", "path", "rect", "circle", "text"}
)
Write = Callable[[Path], object]

MAKERS: dict[str, Write] = {
    "finished": write_run,
    "unfinished": lambda path: write_run(path, rounds=4),
    "old log": lambda path: write_run(path, cells=False),
    "first round": lambda path: write_run(path, rounds=1),
    "begun": lambda path: write_run(path, rounds=0),
    "comparison": write_comparison,
    "four spaces": lambda path: write_comparison(path, comparison(("a", "b", "c", "d"))),
    "proxy": lambda path: write_comparison(path, comparison(unit="dominance")),
    "not comparable": lambda path: write_comparison(path, comparison(comparable=False)),
}


@pytest.fixture(scope="module", params=sorted(MAKERS))
def made(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> str:
    path = tmp_path_factory.mktemp("made") / "folder"
    MAKERS[request.param](path)
    return report_text(path)


def test_elements_nest_and_are_known(made: str) -> None:
    assert {node.tag for node in parsed(made).walk()} <= ELEMENTS


def test_nothing_is_loaded_and_nothing_sent(made: str) -> None:
    for node in parsed(made).walk():
        assert not {"src", "srcset", "action", "formaction", "background"} & set(node.attributes)
        assert node.attributes.get("href", "#").startswith("#")
        assert not any(name.startswith("on") or name == "style" for name in node.attributes)
    assert not re.search(r"url\(|@import|https?:|fetch\(|XMLHttp|sendBeacon|import\(", made)


def test_the_policy_allows_this_style_and_this_script_and_no_request(made: str) -> None:
    page = parsed(made)
    (policy,) = (
        node.attributes["content"]
        for node in page.all("meta")
        if node.attributes.get("http-equiv") == "Content-Security-Policy"
    )
    rules = dict(rule.strip().split(" ", 1) for rule in policy.split(";"))
    assert rules["default-src"] == rules["base-uri"] == rules["form-action"] == "'none'"
    for tag in ("style", "script"):
        (node,) = page.all(tag)
        digest = base64.b64encode(hashlib.sha256(node.text.encode()).digest()).decode()
        assert rules[f"{tag}-src"] == f"'sha256-{digest}'"


def test_links_lead_to_places_of_the_page_and_no_place_has_two_names(made: str) -> None:
    nodes = parsed(made).walk()
    places = [node.attributes["id"] for node in nodes if "id" in node.attributes]
    assert len(set(places)) == len(places)
    references = [
        node.attributes[name].removeprefix("#")
        for node in nodes
        for name in ("href", "aria-labelledby", "aria-describedby")
        if name in node.attributes
    ]
    assert set(references) <= set(places)


def test_people_who_cannot_see_it_are_told_all_the_same(made: str) -> None:
    page = parsed(made)
    (html,) = page.all("html")
    assert html.attributes["lang"] == "en"
    assert len(page.all("main")) == len(page.all("h1")) == len(page.all("nav")) == 1
    (body,) = page.all("body")
    skip = next(node for node in body.children if node.tag != "svg")
    assert (skip.tag, skip.attributes["href"]) == ("a", "#report")
    for table in page.all("table"):
        assert table.children[0].tag == "caption"
        assert table.children[0].whole
        assert all(head.attributes.get("scope") == "col" for head in table.all("th"))
    for picture in page.all("svg"):
        if picture.attributes.get("aria-hidden") != "true":
            assert picture.attributes["role"] == "img"
            assert picture.all("title")[0].whole
    for figure in page.all("figure"):
        assert figure.all("figcaption")[0].whole


def test_headings_do_not_skip_a_level(made: str) -> None:
    levels = [int(n.tag[1]) for n in parsed(made).walk() if n.tag in ("h1", "h2", "h3")]
    assert levels[0] == 1
    assert all(after - before <= 1 for before, after in pairwise(levels))


def test_tables_are_as_wide_as_their_headings(made: str) -> None:
    for table in parsed(made).all("table"):
        (head,) = table.all("thead")
        (body,) = table.all("tbody")
        for row in body.all("tr"):
            assert len(row.children) == len(head.all("th"))


@pytest.mark.parametrize("kind", ["finished", "comparison"])
def test_equal_folders_give_equal_bytes_in_any_process(tmp_path: Path, kind: str) -> None:
    for place in ("one", "two"):
        (tmp_path / place).mkdir()
        MAKERS[kind](tmp_path / place / "folder")
    code = (
        "import sys, pathlib; from autospace.report import report_text; "
        "sys.stdout.buffer.write(report_text(pathlib.Path(sys.argv[1])).encode())"
    )
    texts = set()
    for seed, place in (("1", "one"), ("2", "two")):
        command = [sys.executable, "-c", code, str(tmp_path / place / "folder")]
        environment = {**os.environ, "PYTHONHASHSEED": seed}
        done = subprocess.run(command, capture_output=True, env=environment, check=True)
        texts.add(done.stdout)
    assert texts == {report_text(tmp_path / "one" / "folder").encode()}


@pytest.mark.parametrize(
    ("kind", "shown"),
    [("folder", "folder:flowers"), ("text", "text:flowers"), ("sentences", "sentences:flowers"),
     ("captions", "captions:flowers"), ("text:bptt=20", "text:bptt=20:flowers")],
)  # fmt: skip
def test_nothing_tells_where_the_run_lies_on_this_machine(
    tmp_path: Path, kind: str, shown: str
) -> None:
    secret = {**SETTINGS, "data": {"source": f"{kind}:/home/somebody/secret/flowers"}}
    write_run(tmp_path / "run", settings=secret)
    text = report_text(tmp_path / "run")
    assert shown in text
    assert "secret" not in text
    assert str(tmp_path) not in text


def _hostile_run(path: Path, name: str) -> str:
    """A run in which every text that a file can set is the name."""
    skeleton = Skeleton(name, 1, 8, 4, Stem(4, 1), (LayerSpec(4), LayerSpec(6, 2)))
    settings = {**SETTINGS, "skeleton": f"{name}.json", "data": {"source": name}}
    write_run(path, name=name, skeleton=skeleton, settings=settings, generations=2)
    # Afterwards, because evolution breaks ties by id.
    for file in ("events.jsonl", "space.json", "checkpoint/state.json"):
        text = (path / file).read_text(encoding="utf-8")
        for reference, _ in REFERENCES:
            text = text.replace(f'"{reference}"', json.dumps(f"{name}{reference[8:]}"))
        text = sealed(unsealed(text)) if file.endswith("state.json") else text
        (path / file).write_text(text, encoding="utf-8")
    return report_text(path)


def _with_texts(value: Any, name: str, kept: frozenset[str]) -> Any:
    """A comparison in which every free text, names of settings and cells included, is the name."""
    if isinstance(value, dict):
        found = {}
        for key, each in value.items():
            free = isinstance(each, dict) and key in {"settings", "versions"}
            found[key] = (
                {f"{name}{i}": name for i in range(len(each))}
                if free
                else each
                if key in kept
                else _with_texts(each, name, kept)
            )
        return found
    if isinstance(value, list):
        return [_with_texts(each, name, kept) for each in value]
    return name if isinstance(value, str) else value


KEPT = frozenset({"format", "verdict", "unit", "cost", "architectures"})


@pytest.mark.parametrize("name", HOSTILE_NAMES)
def test_no_name_in_a_run_changes_the_page_around_it(tmp_path: Path, name: str) -> None:
    plain = _hostile_run(tmp_path / "plain", "p" * len(name))
    hostile = _hostile_run(tmp_path / "hostile", name)
    assert shape(hostile) == shape(plain)
    (title,) = parsed(hostile).all("h1")
    assert title.whole == name


@pytest.mark.parametrize("name", HOSTILE_NAMES)
def test_no_name_in_a_comparison_changes_the_page_around_it(tmp_path: Path, name: str) -> None:
    texts: list[str] = []
    for each in ("p" * len(name), name):  # charts leave as much room as names are long
        changed = _with_texts(copy.deepcopy(comparison()), each, KEPT)
        texts.append(report_text(write_comparison(tmp_path / str(len(texts)), changed)))
    assert shape(texts[1]) == shape(texts[0])
    paragraphs = parsed(texts[1]).all("p")
    (headline,) = (p for p in paragraphs if "headline" in p.attributes.get("class", ""))
    assert headline.whole == name


def _cells(table: Node) -> list[list[str]]:
    (body,) = table.all("tbody")
    return [[cell.whole for cell in row.children] for row in body.all("tr")]


def test_a_table_escapes_its_cells() -> None:
    from autospace.report.page import Column, Number

    columns = (Column("<a>"), Column("b", numeric=True))
    rows = (
        ("</td><script>", Number("<1>", 1.0)),
        ("&amp;", Number("-", None)),
        ("{{ 7 * 7 }}{% raw %}", "\x1b[31m\n\x00"),
    )
    table = parsed(Table("<caption>", columns, rows).markup())
    harmless = ["{{ 7 * 7 }}{% raw %}", r"\x1b[31m\n\x00"]
    assert _cells(table) == [["</td><script>", "<1>"], ["&amp;", "-"], harmless]
    assert not table.all("script")


def test_the_report_of_a_large_run_stays_below_a_megabyte(tmp_path: Path) -> None:
    skeleton = load_skeleton("mobile")
    write_run(
        tmp_path / "run",
        skeleton=skeleton,
        generations=2,
        candidates=12,
        keep=6,
        operators={"population": 24},
    )
    path = write_report(tmp_path / "run")
    assert 200_000 < path.stat().st_size < 1_000_000


def test_the_report_of_a_large_comparison_stays_below_a_megabyte(tmp_path: Path) -> None:
    found = comparison(("a", "b", "c"), samples=400)
    for space in found["spaces"]:
        for network in space["networks"]:
            network |= {f"layer_{place:02d}": f"c{place:04d}" for place in range(21)}
    assert write_report(write_comparison(tmp_path, found)).stat().st_size < 1_000_000


def test_an_existing_report_is_kept_unless_told_otherwise(tmp_path: Path) -> None:
    write_comparison(tmp_path)
    path = write_report(tmp_path, force=False)
    path.write_text("mine")
    with pytest.raises(ValueError, match="already exists"):
        write_report(tmp_path, force=False)
    assert path.read_text() == "mine"
    assert write_report(tmp_path).read_text().startswith("<!DOCTYPE html>")
    assert sorted(each.name for each in tmp_path.iterdir()) == ["comparison.json", "report.html"]
