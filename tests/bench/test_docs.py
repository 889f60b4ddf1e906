"""docs/guide/ci.md against the document that it describes."""

import re

from autospace.bench.document import Entry, Options
from autospace.compute.machine import Machine
from tests.docs.pages import ROOT, Page

PAGE = Page.of(ROOT / "docs" / "guide" / "ci.md")


def test_the_table_of_keys_is_that_of_an_entry() -> None:
    rows = re.findall(r"^\| `(\w+)` \| (.+) \| (.+) \|$", PAGE.section("The file"), re.MULTILINE)
    assert [name for name, _, _ in rows] == list(Entry.model_fields)
    fields = Entry.model_fields.values()
    assert [what for _, _, what in rows] == [field.description for field in fields]


def test_all_other_keys_are_named() -> None:
    spans = set(PAGE.spans)
    assert spans >= {*Machine.model_fields, *Options.model_fields}
