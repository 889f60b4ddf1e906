"""The table in docs/reference/search-options.md, made from the options of the methods."""

import re
from collections.abc import Mapping

from pydantic import BaseModel

from tests.docs import settings_table

_TABLE = re.compile(r"<!-- options: [^>]*-->\n(.*?)<!-- end of options -->", re.DOTALL)
_HEAD = "| option | of | default | allowed | meaning |\n|---|---|---|---|---|\n"

Row = tuple[str, str, str]
"""Name, default, what is allowed."""


def renewed(page: str, kinds: Mapping[str, type[BaseModel]]) -> str:
    """The page with a table of the options of methods; meanings are those of the old table."""
    match = _TABLE.search(page)
    if match is None:
        raise ValueError("the page has no place for the options")
    known = meanings(page)
    methods: dict[Row, list[str]] = {}
    for method, kind in kinds.items():
        for row in settings_table.settings(kind):
            methods.setdefault(row, []).append(f"`{method}`")
    rows = (
        f"| `{row[0]}` | {', '.join(of)} | {row[1]} | {row[2]} | {known.get(row, '')} |\n"
        for row, of in methods.items()
    )
    return f"{page[: match.start(1)]}\n{_HEAD}{''.join(rows)}\n{page[match.end(1) :]}"


def meanings(page: str) -> dict[Row, str]:
    """What the page says that each option means."""
    match = _TABLE.search(page)
    lines = match[1].splitlines() if match else []
    rows = [[part.strip() for part in line.split("|")] for line in lines if line.startswith("| `")]
    return {(row[1].strip("`"), row[3], row[4]): row[5] for row in rows}
