"""Writes a space or an architecture as JSON for search tools: one function per tool."""

import json
import math
from collections.abc import Sequence
from typing import Any, Final

from autospace.spaces import Architecture, Layer, Space, SpaceError, to_json
from autospace.spaces.space import group_of
from autospace.spaces.text import json_text

# In units of the layer's spread of fitness: a candidate one standard deviation above another is
# drawn e times as often. Low enough to prefer what scored well, and high enough that no candidate
# disappears: among nine, even the least likely one gets at least half a percent of the draws.
TEMPERATURE: Final = 1.0
LARGEST_GRID: Final = 100_000
"""Architectures of the largest space that is written as a grid, each of which is a trial."""
MOST_TRIES: Final = 10_000
"""Draws of all layers that may be needed for one that clauses allow; clients draw until one is."""


def odds(fitnesses: Sequence[float | None]) -> list[float]:
    """Positive weights that rise with fitness, the largest 1; all 1 where fitness does not differ.

    A softmax of fitness over its standard deviation within the layer. Scorers measure fitness in
    different units (a fall of the loss, log-odds), and no linear change of unit changes the odds.
    A candidate without fitness has the weight of one with mean fitness.
    """
    known = [fitness for fitness in fitnesses if fitness is not None]
    scale = max(map(abs, known), default=0.0)
    if scale == 0:
        return [1.0] * len(fitnesses)
    # Fitness may be as large as floats go: scaled first, so that sums and squares stay finite.
    scaled = [fitness / scale for fitness in known]
    mean = math.fsum(scaled) / len(scaled)
    spread = math.sqrt(math.fsum((each - mean) ** 2 for each in scaled) / len(scaled))
    if spread == 0:
        return [1.0] * len(fitnesses)
    filled = [mean if each is None else each / scale for each in fitnesses]
    top = max(filled)
    # Six digits: the last bits of exp differ between platforms, and files should not.
    return [float(f"{math.exp((each - top) / spread / TEMPERATURE):.6g}") for each in filled]


def to_configspace(space: Space) -> str:
    """One categorical per layer, a constant where there is one cell only; choices are cell ids.

    Weights rise with fitness, so that random sampling prefers what scored well; the default is
    the reference. Where only the last layers of a stage may be skipped, clauses forbid all else.
    The whole space survives in `meta`: every hyperparameter has its layer of the space's file, and
    the first one everything else of it too, because ConfigSpace keeps the `meta` of
    hyperparameters when it reads a file, but forgets that of a space.
    """
    document = json.loads(to_json(space))
    metas: list[dict[str, Any]] = [{"layer": layer} for layer in document.pop("layers")]
    metas[0]["space"] = document
    defaults = space.reference or _deepest(space)
    hyperparameters = [
        {**_hyperparameter(layer, defaults.get(layer.shape.name)), "meta": meta}
        for layer, meta in zip(space.layers, metas, strict=True)
    ]
    rules: dict[str, Any] = {"conditions": [], "forbiddens": _forbidden(space)}
    return json_text({"name": space.name, "hyperparameters": hyperparameters, **rules})


def _hyperparameter(layer: Layer, reference: str | None) -> dict[str, Any]:
    name, ids = layer.shape.name, list(layer.by_id)
    if len(ids) == 1:
        # neps refuses a categorical without a choice.
        return {"type": "constant", "name": name, "value": ids[0]}
    weights = odds([candidate.fitness for candidate in layer.candidates])
    default = {} if reference is None else {"default_value": reference}
    return {"type": "categorical", "name": name, "choices": ids, "weights": weights, **default}


def _deepest(space: Space) -> dict[str, str]:
    """Where there are stages, an architecture that no clause forbids; else nothing."""
    if not space.skeleton.stages:
        return {}
    return space.at([row[0] for part in space.parts for row in part.alternatives[-1]]).choices


def _forbidden(space: Space) -> list[dict[str, Any]]:
    """A clause per layer that may be skipped and is not the last of its stage.

    If a layer is skipped and the next one is not, a stage is not cut off at its end. Where cells of
    a stage are of one group, there is a clause per group of a layer and all others of the next.

    Raises:
        SpaceError: hardly any choice of all layers is allowed, so that a tuner would draw for ever.
    """
    stages = space.parts if space.skeleton.stages else ()
    tries = math.prod(len(layer.candidates) for layer in space.layers)
    if space.size * MOST_TRIES < tries:
        problem = f"one of {tries // space.size:,} choices of all layers is allowed"
        raise SpaceError("stages", f"{problem}; allowed: {MOST_TRIES:,} or fewer tries for one")
    mixed = [
        {"type": "AND", "clauses": [_of_group(layer, group, True), _of_group(later, group, False)]}
        for part in stages
        for place in part.layers[:-1]
        for layer, later in [(space.layers[place], space.layers[place + 1])]
        for group in sorted({each.cell.group for each in layer.candidates if not each.cell.is_zero})
        if any(group_of(each.cell) not in (None, group) for each in later.candidates)
    ]
    return mixed + [
        {"type": "AND", "clauses": [_in(layer, skipped=True), _in(following, skipped=False)]}
        for part in stages
        for place in part.layers[:-1]
        for layer, following in [(space.layers[place], space.layers[place + 1])]
        if any(each.cell.is_zero for each in layer.candidates)
        and not all(each.cell.is_zero for each in following.candidates)
    ]


def _of_group(layer: Layer, group: int, same: bool) -> dict[str, Any]:
    """The cells of a layer that are of a group, or of any other."""
    cells = [each for each in layer.candidates if not each.cell.is_zero]
    ids = [each.id for each in cells if (each.cell.group == group) == same]
    return {"type": "IN", "name": layer.shape.name, "values": ids}


def _in(layer: Layer, *, skipped: bool) -> dict[str, Any]:
    ids = [each.id for each in layer.candidates if each.cell.is_zero == skipped]
    return {"type": "IN", "name": layer.shape.name, "values": ids}


def to_optuna(space: Space) -> str:
    """Layer name -> categorical distribution over the ids of its cells."""
    return json_text(
        {
            layer.shape.name: {
                "name": "CategoricalDistribution",
                "attributes": {"choices": list(layer.by_id)},
            }
            for layer in space.layers
        }
    )


def to_nni(space: Space) -> str:
    """Layer name -> choice among the ids of its cells."""
    return json_text(
        {
            layer.shape.name: {"_type": "choice", "_value": list(layer.by_id)}
            for layer in space.layers
        }
    )


def to_ray(space: Space) -> str:
    """Layer name -> grid over the ids of its cells, or a random choice in a large space.

    A grid is what has a plain JSON form: `tune.choice(grid["grid_search"])` per layer samples
    instead. Ray enumerates a grid. A space beyond `LARGEST_GRID` is therefore written in the one
    other form that Ray reads from JSON, an expression that it evaluates for every trial.
    """
    if space.size > LARGEST_GRID:
        # `ascii` gives a literal of Python that holds whatever an id may hold.
        return json_text(
            {
                layer.shape.name: {"eval": f"random.choice([{', '.join(map(ascii, layer.by_id))}])"}
                for layer in space.layers
            }
        )
    return json_text(
        {layer.shape.name: {"grid_search": list(layer.by_id)} for layer in space.layers}
    )


def note_on_ray(space: Space) -> str:
    """What is worth knowing of the file that `to_ray` writes; empty for a grid."""
    if space.size <= LARGEST_GRID:
        return ""
    return (
        f"{space.size:.2g} architectures are beyond any grid (of at most {LARGEST_GRID:,} trials): "
        "the file samples at random; set num_samples"
    )


def to_pyglove(space: Space) -> str:
    """A dict with one `oneof` per layer over the ids of its cells: for `from_json_str`."""
    return json_text(
        {
            layer.shape.name: {
                "_type": "hyper.OneOf",
                "name": None,
                "hints": None,
                "where": None,
                "num_choices": 1,
                "candidates": list(layer.by_id),
                "choices_distinct": True,
                "choices_sorted": False,
            }
            for layer in space.layers
        }
    )


def to_flat(architecture: Architecture) -> str:
    """What Optuna's `enqueue_trial`, a ConfigSpace `Configuration` or NNI's `freeze` take."""
    return json_text(architecture.choices)
