"""The outcome of a run: per layer the best evolved cells and the reference cells, as a space."""

from collections.abc import Mapping
from typing import Any

from autospace.loop import Plan
from autospace.population import LayerState, Member, State
from autospace.spaces.space import Budget, Candidate, Layer, Space


def learned_space(
    plan: Plan,
    state: State,
    *,
    name: str,
    budget: Budget,
    provenance: Mapping[str, Any],
) -> Space:
    """The learned space: the fittest `plan.keep` cells of every layer, then its references.

    Only cells that were scored as often as any count: a lucky first score is no merit.
    """
    layers = []
    pairs = zip(plan.skeleton.shapes, state.layers, strict=True)
    for shape, layer in pairs:
        members = [*_evolved(layer, plan.keep), *layer.references]
        candidates = tuple(Candidate(m.id, m.cell, m.fitness, m.origin) for m in members)
        layers.append(Layer(shape, candidates))
    yardstick = plan.references[0][0]
    return Space(
        name,
        plan.skeleton,
        ("none", *plan.operators.prior.operations),
        tuple(layers),
        {shape.name: yardstick for shape in plan.skeleton.shapes},
        budget,
        provenance,
    )


def _evolved(layer: LayerState, keep: int) -> list[Member]:
    evolved = [member for member in layer.hall if member.origin.kind != "reference"]
    ranked = sorted(evolved, key=lambda member: (-member.scores, -member.value, member.id))
    return sorted(ranked[:keep], key=lambda member: (-member.value, member.id))
