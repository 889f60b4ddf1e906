"""A space as the search space file of NNI's tuners."""

from autospace.exporters.json_text import json_text
from autospace.spaces import Space


def export_space(space: Space) -> str:
    """Layer name -> choice among the ids of its cells."""
    return json_text(
        {
            layer.shape.name: {"_type": "choice", "_value": list(layer.by_id)}
            for layer in space.layers
        }
    )
