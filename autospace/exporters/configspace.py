"""A space as the JSON file of ConfigSpace: also for neps, SMAC and DEHB, which build on it."""

import json
from typing import Any

from autospace.exporters.json_text import json_text
from autospace.exporters.odds import odds
from autospace.spaces import Layer, Space, to_json


def export_space(space: Space) -> str:
    """One categorical per layer, a constant where there is one cell only; choices are cell ids.

    Weights rise with fitness, so that random sampling prefers what scored well; the default is
    the reference. The whole space survives in `meta`: every hyperparameter has its layer of the
    space's file, and the first one everything else of it too, because ConfigSpace keeps the `meta`
    of hyperparameters when it reads a file, but forgets that of a space.
    """
    document = json.loads(to_json(space))
    metas: list[dict[str, Any]] = [{"layer": layer} for layer in document.pop("layers")]
    metas[0]["space"] = document
    hyperparameters = [
        {**_hyperparameter(layer, space.reference.get(layer.shape.name)), "meta": meta}
        for layer, meta in zip(space.layers, metas, strict=True)
    ]
    rules: dict[str, Any] = {"conditions": [], "forbiddens": []}
    return json_text({"name": space.name, "hyperparameters": hyperparameters, **rules})


def _hyperparameter(layer: Layer, reference: str | None) -> dict[str, Any]:
    name, ids = layer.shape.name, list(layer.by_id)
    if len(ids) == 1:
        # neps refuses a categorical without a choice.
        return {"type": "constant", "name": name, "value": ids[0]}
    weights = odds([candidate.fitness for candidate in layer.candidates])
    default = {} if reference is None else {"default_value": reference}
    return {"type": "categorical", "name": name, "choices": ids, "weights": weights, **default}
