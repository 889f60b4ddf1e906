"""The outcome of a run: per layer the best evolved cells and reference cells, as a space."""

from collections.abc import Mapping
from typing import Any

from autospace.evolution.loop import Plan
from autospace.evolution.population import LayerState, Member, State
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

    If references do not stay for their own sake, it is the fittest `plan.keep` of both; it names
    its reference architecture only where all of that is in it.

    Only evolved cells that were scored as often as any count: a lucky first score is no merit.
    """
    layers = []
    pairs = zip(plan.skeleton.shapes, state.layers, strict=True)
    for shape, layer in pairs:
        members = [*_evolved(layer, plan.keep), *layer.references]
        if not plan.references_stay:
            members = sorted(members, key=_fittest_first)[: plan.keep]
        candidates = tuple(Candidate(m.id, m.cell, m.fitness, m.origin) for m in members)
        layers.append(Layer(shape, candidates))
    yardstick = plan.references[0][0]
    there = all(yardstick in layer.by_id for layer in layers)
    return Space(
        name,
        plan.skeleton,
        ("none", *plan.operators.prior.operations),
        tuple(layers),
        {shape.name: yardstick for shape in plan.skeleton.shapes} if there else {},
        budget,
        provenance,
    )


def _evolved(layer: LayerState, keep: int) -> list[Member]:
    evolved = [member for member in layer.hall if member.origin.kind != "reference"]
    ranked = sorted(evolved, key=lambda member: (-member.scores, -member.value, member.id))
    return sorted(ranked[:keep], key=_fittest_first)


def _fittest_first(member: Member) -> tuple[float, str]:
    return -member.value, member.id
