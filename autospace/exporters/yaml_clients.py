"""Writes a space as YAML for tools that read their search space from such a file.

Every name and id is a string in double quotes, so that no reader takes `null` or `007` for
anything else.
"""

from typing import Final

from autospace.spaces import Space, SpaceError
from autospace.spaces.errors import shown
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


_HYDRA: Final = """\
# A search space for Hydra's sweepers, written by `autospace export --to hydra`:
#     python train.py --config-dir FOLDER --config-name NAME --multirun
# runs every architecture. With hydra-optuna-sweeper, add to the command what samples:
#     hydra/sweeper=optuna hydra.sweeper.n_trials=50
# The values below are the reference; config.layer_00 and so on are the choices of a run.
"""


MOST_RUNS: Final = 10_000
_ESCAPED: Final = """'\"\\()[]{}:=,$ """


def to_hydra(space: Space) -> str:
    """A configuration with the reference as values, and a sweep over all cells of every layer.

    Raises:
        SpaceError: an id that Hydra would change.
    """
    lines, sweep = [_HYDRA], ["hydra:\n  sweeper:\n    params:\n"]
    for layer in space.layers:
        name, ids = layer.shape.name, list(layer.by_id)
        chosen = space.reference.get(name, ids[0])
        lines.append(f"{name}: {quoted(chosen)}\n")
        choices = ", ".join(_of_hydra(each, name) for each in ids)
        sweep.append(f"      {name}: {quoted(f'choice({choices})')}\n")
    return "".join([*lines, *sweep])


def _of_hydra(text: str, layer: str) -> str:
    """A string of Hydra's grammar in two pairs of quotes: a sweeper takes the outer ones away.

    Without the inner ones, `null` and `007` would not be strings to the run. Inside of them, a
    sweeper escapes what a word without quotes may not have, and nobody undoes that.
    """
    wrong = [each for each in text if each in _ESCAPED or not each.isprintable()]
    if wrong:
        problem = f"id {shown(text)}: Hydra's sweepers would change {shown(wrong[0])}"
        raise SpaceError(layer, f"{problem}; allowed: none of {_ESCAPED} in an id")
    return f"\"'{text}'\""


def note_on_hydra(space: Space) -> str:
    """What is worth knowing of a file with more architectures than anyone would run."""
    if space.size <= MOST_RUNS or space.skeleton.stages:
        return ""
    return f"--multirun would start {space.size:.2g} runs; sample with hydra/sweeper=optuna"
