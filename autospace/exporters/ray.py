"""A space as the `param_space` of Ray Tune."""

from autospace.exporters.json_text import json_text
from autospace.spaces import Space


def export_space(space: Space) -> str:
    """Layer name -> grid over the ids of its cells.

    A grid, because only that has a plain JSON form: `tune.choice(grid["grid_search"])` per layer
    samples instead.
    """
    return json_text(
        {layer.shape.name: {"grid_search": list(layer.by_id)} for layer in space.layers}
    )
