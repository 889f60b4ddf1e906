"""A space as Optuna's distributions: for `json_to_distribution` and `optuna ask`."""

from autospace.exporters.json_text import json_text
from autospace.spaces import Space


def export_space(space: Space) -> str:
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
