"""Data as Python source, formatted as a formatter would leave it.

Text from files enters generated code here and nowhere else, as string literals.
"""

from collections.abc import Mapping
from typing import Final

from autospace.spaces import Space
from autospace.spaces.cost import fixed_cost
from autospace.spaces.text import visible

MADDS_OF_CHOICES: Final = '''

def madds(choices: dict[str, str]) -> int:
    """Multiply-accumulates of the architecture that the choices make."""
    return FIXED_MADDS + sum(MADDS[layer][cell] for layer, cell in choices.items())
'''


def literal(text: str) -> str:
    """A string literal, in the quotes that need fewer escapes; what is invisible is escaped."""
    escaped = visible(text.replace("\\", "\\\\"))
    quote = "'" if text.count('"') > text.count("'") else '"'
    return quote + escaped.replace(quote, f"\\{quote}") + quote


def _table(name: str, rows: Mapping[str, Mapping[str, int]]) -> str:
    """The assignment of a dict of dicts, one entry a line."""
    lines = [f"{name}: dict[str, dict[str, int]] = {{"]
    for key, row in rows.items():
        lines.append(f"    {literal(key)}: {{")
        lines.extend(f"        {literal(inner)}: {value}," for inner, value in row.items())
        lines.append("    },")
    return "\n".join([*lines, "}\n"])


def space_data(space: Space) -> str:
    """What every generated module of a space has: its name, and the MAdds of its cells.

    The ids of the candidates are the keys of `MADDS`, layer by layer.
    """
    madds = {
        layer.shape.name: {
            candidate.id: cost.madds
            for candidate, cost in zip(layer.candidates, layer.costs, strict=True)
        }
        for layer in space.layers
    }
    return (
        f"NAME = {literal(space.name)}\n\n"
        "# Multiply-accumulates of one image: stem and head, and each cell of each layer.\n"
        f"FIXED_MADDS = {fixed_cost(space.skeleton).madds}\n"
        f"{_table('MADDS', madds)}"
    )
