"""Writes a space as YAML for tools that read their search space from such a file.

Every name and id is a string in double quotes, so that no reader takes `null` or `007` for
anything else.
"""

from typing import Final

from autospace.spaces import Space
from autospace.spaces.text import visible


def quoted(text: str) -> str:
    """A string of YAML in double quotes; what is invisible is escaped."""
    # What `visible` spells (\\x85, \\u200b, \\U000e0001) has the same spelling in YAML.
    plain = text.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{visible(plain)}"'


_WANDB: Final = """\
# A sweep for Weights & Biases, written by `autospace export --to wandb`:
#     wandb sweep FILE
# `random` needs no metric. `bayes` does: metric: {name: accuracy, goal: maximize}
# The program gets --layer_00=ID and so on; wandb.config holds the same.
program: "train.py"
method: "random"
parameters:
"""


def to_wandb(space: Space) -> str:
    """A sweep with one parameter per layer; a layer with one cell has a fixed value."""
    lines = [f"name: {quoted(space.name)}\n", _WANDB]
    for layer in space.layers:
        ids = list(layer.by_id)
        lines.append(f"  {layer.shape.name}:\n")
        if len(ids) == 1:
            lines.append(f"    value: {quoted(ids[0])}\n")
            continue
        lines.append("    values:\n")
        lines.extend(f"      - {quoted(each)}\n" for each in ids)
    return "".join(lines)
