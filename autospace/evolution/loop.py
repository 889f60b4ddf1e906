"""The generational loop: each round breeds offspring, scores them and selects survivors.

All layers evolve at once; consecutive layers may be tied and share one population. A round offers
K candidates per layer: first the initial population, K at a time; then the offspring of each
generation; finally the best cells once more. The draws of a round depend only on the seed, the
round and the state before it, so a run that stops after any round can be resumed with the same
result. The loop does not use torch: the scorer is an argument.

At the end, `learned_space` makes a space of the best cells and the reference cells of each layer.
"""

import math
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import replace
from itertools import accumulate
from typing import Any

from autospace.evolution import toolbox
from autospace.evolution.breeding import archive_of, drawn_again, fresh, judged
from autospace.evolution.plan import Plan
from autospace.evolution.population import (
    DIVERGED,
    Archive,
    Drawn,
    EvolutionState,
    LayerState,
    Member,
    Round,
)
from autospace.scorers.scorer import Scorer
from autospace.spaces.cells.cell import Cell, LayerShape
from autospace.spaces.cost import Budget
from autospace.spaces.files.families import SKIP_ID
from autospace.spaces.space import Candidate, Layer, Space, group_of
from autospace.spaces.stages import Group

HALL_FACTOR = 3


def evolve(
    plan: Plan, scorer: Scorer, state: EvolutionState | None = None
) -> Iterator[EvolutionState]:
    """Runs all remaining rounds, and yields the state after each."""
    state = state or start(plan)
    whole = plan
    while state.round < (plan := whole.shortened(state)).rounds:
        proposals, drawn = propose(plan, state)
        cells = [[member.cell for member in layer] for layer in proposals]
        # A layer may have run out of new cells; if all have, there is nothing to train.
        fitness: list[list[float]] = [[] for _ in cells]
        if any(cells):
            fitness = scorer.score(cells, repeat_of(plan, state.round))
        state = absorb(plan, state, proposals, fitness, drawn)
        yield state


def start(plan: Plan) -> EvolutionState:
    """The state before the first round: empty populations."""
    layers = tuple(LayerState() for _ in plan.skeleton.shapes)
    return EvolutionState(0, layers, archive=new_archive(plan))


def founders(plan: Plan) -> list[list[Cell]]:
    """Per layer, the cells of the first populations, which do not depend on any score."""
    plan = replace(plan, shrink=False, screen=1)
    state, found = start(plan), [list[Cell]() for _ in plan.skeleton.shapes]
    while state.round < plan.founding_rounds:
        proposals, drawn = propose(plan, state)
        for cells, members in zip(found, proposals, strict=True):
            cells += [member.cell for member in members]
        fitness = [[0.0] * len(members) for members in proposals]
        state = absorb(plan, state, proposals, fitness, drawn)
    return found


def new_archive(plan: Plan) -> Archive | None:
    """An empty archive, if the plan predicts fitness."""
    if not plan.predicts:
        return None
    return Archive(plan.write_back, plan.tied, plan.references[0][0])


def repeat_of(plan: Plan, index: int) -> int:
    """The repeat that a round asks the scorer for: 0 where only new cells are scored.

    Confirming rounds have one repeat for all finalists. Where old members are scored again, every
    generation has a repeat of its own.
    """
    confirming = plan.phase(index) == "confirm"
    repeat = 1 + _confirmations(plan, index) if confirming else 0
    if plan.rescore:
        repeat += min(max(0, index + 1 - plan.founding_rounds), plan.generations)
    return repeat


def _confirmations(plan: Plan, index: int) -> int:
    """How often all finalists were confirmed before a confirming round."""
    done = index - plan.founding_rounds - plan.generations
    return done // -(-plan.finalists // plan.candidates)


def propose(plan: Plan, state: EvolutionState) -> tuple[list[list[Member]], list[Drawn]]:
    """The members that each layer offers in the next round.

    They have no fitness yet, except for those that are scored again: old members in generations,
    and the finalists in confirming rounds.
    """
    phase = plan.phase(state.round)
    proposals, counts = [], []
    for group in plan.groups:
        if phase == "confirm":
            members, drawn = _finalists(plan, state, group[0]), Drawn()
        else:
            members, drawn = fresh(plan, state, group)
        if phase == "evolve":
            members += drawn_again(plan, state, group[0])
        for layer in group:
            proposals.append([_at(plan, member, layer) for member in members])
            counts.append(drawn)
    return proposals, counts


def _at(plan: Plan, member: Member, layer: int) -> Member:
    """A member of a group's population at one of its layers."""
    family, shape = plan.operators.family, plan.skeleton.shapes[layer]
    cell = family.at(member.cell, shape)
    key, cost = family.key(cell, shape), family.cost(cell, shape)
    return replace(member, cell=cell, key=key, cost=cost)


def absorb(
    plan: Plan,
    state: EvolutionState,
    proposals: Sequence[Sequence[Member]],
    fitness: Sequence[Sequence[float]],
    drawn: Sequence[Drawn],
) -> EvolutionState:
    """The state after a round: scores written back, survivors chosen, statistics recorded."""
    rows = zip(proposals, _tied(plan, fitness), strict=True)
    all_scored = tuple(
        tuple(_written_back(plan, *pair, state.round) for pair in zip(*row, strict=True))
        for row in rows
    )
    before = archive_of(plan, state)
    archive = before.after(all_scored, repeat_of(plan, state.round)) if before else None
    layers = [_after(plan, state, archive, *each) for each in enumerate(all_scored)]
    counts = zip(layers, drawn, all_scored, strict=True)
    records = [toolbox.record(layer.members, count, len(row)) for layer, count, row in counts]
    record = Round(state.round, plan.phase(state.round), tuple(records))
    history = (*state.history, record)
    still = state.still
    # Only generations that scored something could have changed the best cells.
    if record.phase == "evolve" and any(all_scored):
        same = _best(plan, before, state.layers) == _best(plan, archive, layers)
        still = still + 1 if same else 0
    return EvolutionState(state.round + 1, tuple(layers), history, still, all_scored, archive)


def _tied(plan: Plan, fitness: Sequence[Sequence[float]]) -> list[list[float]]:
    """Per layer the fitness of every cell: its mean over the layers of a group."""
    found: list[list[float]] = []
    for group in plan.groups:
        rows = zip(*(fitness[layer] for layer in group), strict=True)
        means = [sum(values) / len(group) for values in rows]
        found += [means] * len(group)
    return found


def _best(plan: Plan, archive: Archive | None, layers: Sequence[LayerState]) -> list[set[str]]:
    """Per layer, the keys of the evolved cells that are fittest, whatever fits beside them."""
    return [
        {member.key for member in _evolved(plan, archive, index, layer)}
        for index, layer in enumerate(layers)
    ]


def _after(
    plan: Plan,
    state: EvolutionState,
    archive: Archive | None,
    index: int,
    scored: Sequence[Member],
) -> LayerState:
    """A layer after a round that scored these members."""
    layer = state.layers[index]
    new = [member for member in scored if member.scores == 1]
    references = [member for member in new if member.origin.kind == "reference"]
    members = _renewed((*layer.members, *new), scored)
    if state.round + 1 >= plan.founding_rounds:
        members = _population(plan, archive, index, members)
    return LayerState(
        members,
        _hall(plan, state, archive, index, scored),
        _renewed((*layer.references, *references), scored),
        layer.seen | {member.key for member in new},
        layer.born + len(new),
    )


def _hall(
    plan: Plan,
    state: EvolutionState,
    archive: Archive | None,
    index: int,
    scored: Sequence[Member],
) -> tuple[Member, ...]:
    """The fittest cells of a layer so far."""
    size, hall = HALL_FACTOR * plan.finalists, state.layers[index].hall
    if archive is None or not plan.shrink:
        return toolbox.best_ever(hall, scored, size)
    # New scores change what is believed of all cells, those that had left the hall included; but
    # in confirming rounds, who was confirmed stays.
    known = archive.members(index)
    names = [each.id for each in hall] if plan.phase(state.round) == "confirm" else known
    entries = archive.believed(index, [known[name] for name in names])
    return tuple(known[each.id] for each in toolbox.best_ever((), entries, size))


def _renewed(members: Sequence[Member], scored: Sequence[Member]) -> tuple[Member, ...]:
    """The members, with the new scores of those that have one."""
    latest = {member.key: member for member in scored}
    return tuple(latest.get(member.key, member) for member in members)


def _population(
    plan: Plan, archive: Archive | None, index: int, members: tuple[Member, ...]
) -> tuple[Member, ...]:
    """Those of the members that may have offspring."""
    if not plan.hand_made:
        evolved = tuple(each for each in members if each.origin.kind != "reference")
        members = evolved or members
    if len(members) <= plan.operators.population:
        return members
    staying = toolbox.survivors(judged(plan, archive, index, members), plan.operators)
    kept = {member.id for member in staying}
    return tuple(member for member in members if member.id in kept)


def _finalists(plan: Plan, state: EvolutionState, layer: int) -> list[Member]:
    # The list is fixed when the phase begins: later rounds must not see earlier rounds' scores.
    # A reference was not selected for its score, so luck cannot have flattered it.
    hall = [each for each in state.layers[layer].hall if each.origin.kind != "reference"]
    times = _confirmations(plan, state.round)
    waiting = [member for member in hall if member.confirmed == times]
    already = sum(member.confirmed > times for member in hall)
    left = max(0, plan.finalists - already)
    return waiting[: min(plan.candidates, left)]


def _written_back(plan: Plan, member: Member, value: float, index: int) -> Member:
    """F <- (1 - mu) F + mu f; the first score counts fully."""
    value = value if math.isfinite(value) else DIVERGED
    if member.fitness is not None:
        value = (1 - plan.write_back) * member.fitness + plan.write_back * value
    confirmed = member.confirmed + (plan.phase(index) == "confirm")
    return replace(member, fitness=value, scores=member.scores + 1, confirmed=confirmed)


def learned_space(
    plan: Plan,
    state: EvolutionState,
    *,
    name: str,
    budget: Budget,
    provenance: Mapping[str, Any],
) -> Space:
    """The learned space: the fittest `plan.keep` cells of every layer, then its references.

    If references compete, the space holds the fittest `plan.keep` of both. It names its reference
    architecture only if it contains all cells of that architecture.

    An evolved cell counts only if none was confirmed more often, because a single score may be
    high by chance.

    Where the cells of a stage have something in common, a cell counts only if some cell of the
    layer before has it, too: no network could hold it otherwise.
    """
    layers, archive = list[Layer](), archive_of(plan, state)
    pairs = zip(plan.skeleton.shapes, state.layers, strict=True)
    firsts = {0, *accumulate(stage.layers for stage in plan.skeleton.stages)}
    for index, (shape, layer) in enumerate(pairs):
        fitting = layer
        if plan.skeleton.stages and index not in firsts:
            fitting = _beside(layer, {group_of(each.cell) for each in layers[-1].candidates})
        references = judged(plan, archive, index, fitting.references)
        members = [*_evolved(plan, archive, index, fitting), *references]
        if not plan.references_stay:
            members = sorted(members, key=_fittest_first)[: plan.keep]
        found = tuple(_candidate(archive, index, each) for each in members)
        layers.append(Layer(shape, (*found, *_skip(plan, shape))))
    baseline = plan.references[0][0]
    there = all(baseline in layer.by_id for layer in layers)
    return Space(
        name,
        plan.skeleton,
        plan.operators.prior.vocabulary,
        tuple(layers),
        {shape.name: baseline for shape in plan.skeleton.shapes} if there else {},
        budget,
        provenance,
    )


def _beside(layer: LayerState, groups: Collection[Group]) -> LayerState:
    """A layer with those of its best cells that are of one of these groups."""
    return replace(
        layer,
        hall=tuple(each for each in layer.hall if group_of(each.cell) in groups),
        references=tuple(each for each in layer.references if group_of(each.cell) in groups),
    )


def _skip(plan: Plan, shape: LayerShape) -> tuple[Candidate, ...]:
    """The choice to skip a layer, which is never scored.

    Where stages decide which layers may be skipped, depth stays open; elsewhere if it is asked for.
    """
    offered = shape.skippable or (plan.skips and shape.plain and shape.shortcut)
    return (Candidate(SKIP_ID, plan.operators.family.skipped),) if offered else ()


def _candidate(archive: Archive | None, layer: int, member: Member) -> Candidate:
    uncertainty = archive.uncertainty(layer, member) if archive else None
    return Candidate(member.id, member.cell, member.fitness, member.origin, uncertainty)


def _evolved(plan: Plan, archive: Archive | None, index: int, layer: LayerState) -> list[Member]:
    """The evolved cells of the learned space, with the fitness that it states."""
    evolved = [member for member in layer.hall if member.origin.kind != "reference"]
    rivals = judged(plan, archive, index, evolved)
    ranked = sorted(rivals, key=lambda member: (-member.confirmed, -member.value, member.id))
    return sorted(ranked[: plan.keep], key=_fittest_first)


def _fittest_first(member: Member) -> tuple[float, str]:
    return -member.value, member.id
