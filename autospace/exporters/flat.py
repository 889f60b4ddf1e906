"""An architecture in the flat form that clients exchange: layer name -> cell id."""

from autospace.exporters.json_text import json_text
from autospace.spaces import Architecture


def export_architecture(architecture: Architecture) -> str:
    """What Optuna's `enqueue_trial`, a ConfigSpace `Configuration` or NNI's `freeze` take."""
    return json_text(architecture.choices)
