"""JUnit XML of a comparison: structure as the Jenkins schema has it, whatever the names hold."""

from xml.etree import ElementTree as ET

from hypothesis import given

from autospace.bench.baseline import Change, compare, junit
from autospace.bench.document import Bench
from tests.bench.documents import document, documents, entry

# Of the schema of Jenkins' xUnit plugin: children in order, and attributes with the required first.
CHILDREN = {
    "testsuites": ["testsuite"],
    "testsuite": ["testcase"],
    "testcase": ["skipped", "failure", "system-out"],
    "failure": [],
    "skipped": [],
    "system-out": [],
}
REQUIRED = {"testsuite": {"name", "tests", "failures", "errors"}, "testcase": {"name", "classname"}}
ALLOWED = {
    "testsuites": {"name", "tests", "failures", "errors", "time", "disabled"},
    "testsuite": {"name", "tests", "failures", "errors", "time", "skipped", "id", "package"},
    "testcase": {"name", "classname", "time", "status", "assertions"},
    "failure": {"message", "type"},
    "skipped": {"message", "type"},
    "system-out": set[str](),
}


def check(element: ET.Element) -> None:
    assert set(element.attrib) <= ALLOWED[element.tag]
    assert REQUIRED.get(element.tag, set()) <= set(element.attrib)
    order = [CHILDREN[element.tag].index(child.tag) for child in element]
    assert order == sorted(order)
    for child in element:
        check(child)


def all_suites(bench: Bench) -> list[str]:
    return [each.suite for each in bench.entries]


@given(documents(), documents())
def test_the_structure_is_that_of_the_schema_whatever_the_names(before: Bench, now: Bench) -> None:
    changes = compare(before, now, all_suites(before), 0.1)
    root = ET.fromstring(junit(changes))
    check(root)
    assert len(root.findall(".//testcase")) == len(changes)


@given(documents())
def test_printable_names_come_through_unchanged(bench: Bench) -> None:
    root = ET.fromstring(junit([Change(None, each, 0.1) for each in bench.entries]))
    found = {(s.get("name"), c.get("name")) for s in root for c in s}
    assert found == {(each.suite, each.metric) for each in bench.entries}


def test_counts_and_reasons() -> None:
    before = document(entry("bad"), entry("good"), entry("gone"))
    now = document(entry("bad", 0.1), entry("good"), entry("new", suite="speed"))
    root = ET.fromstring(junit(compare(before, now, ["ranking", "speed"], 0.1)))
    assert (root.get("tests"), root.get("failures")) == ("4", "1")
    suites = {suite.get("name"): suite for suite in root}
    ranking = suites["ranking"]
    assert (ranking.get("tests"), ranking.get("failures"), ranking.get("skipped")) == (
        "3",
        "1",
        "1",
    )
    (failure,) = root.findall(".//failure")
    assert "ranking/bad got worse by 0.5 tau" in str(failure.get("message"))
    (skipped,) = root.findall(".//skipped")
    assert skipped.get("message") == "measured only in the baseline"
