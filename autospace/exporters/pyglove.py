"""A space as a hyper value of PyGlove, in its own JSON."""

from autospace.exporters.json_text import json_text
from autospace.spaces import Space


def export_space(space: Space) -> str:
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
