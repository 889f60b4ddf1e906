"""The generational loop: each round breeds offspring, scores them and selects survivors.

All layers evolve at once; consecutive layers may be tied and share one population. A round offers
K candidates per layer: first the initial population, K at a time; then the offspring of each
generation; finally the best cells once more. The draws of a round depend only on the seed, the
round and the state before it, so a run that stops after any round can be resumed with the same
result. The loop does not use torch: the scorer is an argument.

At the end, `learned_space` makes a space of the best cells and the reference cells of each layer.
"""

import math
import random
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

from autospace.evolution import toolbox
from autospace.evolution.plan import Plan
from autospace.evolution.population import Drawn, EvolutionState, LayerState, Member, Round
from autospace.scorers.scorer import Scorer
from autospace.seeds import stream
from autospace.spaces.cells.cell import Cell
from autospace.spaces.cost import Budget
from autospace.spaces.space import Candidate, Layer, Origin, Space

MAX_DRAWS = 1000
PATIENCE = 200
"""Number of draws after which cells are drawn at random: all neighbours may be known."""
HALL_FACTOR = 3
DIVERGED = -1e6
"""Fitness of a cell whose score is not finite because its training diverged."""


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
    return EvolutionState(0, tuple(LayerState() for _ in plan.skeleton.layers))


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
            members, drawn = _fresh(plan, state, group)
        if phase == "evolve":
            members += _drawn_again(plan, state, group[0])
        for layer in group:
            proposals.append([_at(plan, member, layer) for member in members])
            counts.append(drawn)
    return proposals, counts


def _at(plan: Plan, member: Member, layer: int) -> Member:
    """A member of a group's population at one of its layers."""
    family, shape = plan.operators.family, plan.skeleton.shapes[layer]
    key, cost = family.key(member.cell, shape), family.cost(member.cell, shape)
    return replace(member, key=key, cost=cost)


def absorb(
    plan: Plan,
    state: EvolutionState,
    proposals: Sequence[Sequence[Member]],
    fitness: Sequence[Sequence[float]],
    drawn: Sequence[Drawn],
) -> EvolutionState:
    """The state after a round: scores written back, survivors chosen, statistics recorded."""
    layers, records, all_scored = [], [], []
    fitness = _tied(plan, fitness)
    for layer, offered, values, count in zip(state.layers, proposals, fitness, drawn, strict=True):
        pairs = zip(offered, values, strict=True)
        scored = [_written_back(plan, member, value, state.round) for member, value in pairs]
        layers.append(_after(plan, layer, scored, state.round))
        records.append(toolbox.record(layers[-1].members, count, len(scored)))
        all_scored.append(tuple(scored))
    record = Round(state.round, plan.phase(state.round), tuple(records))
    history = (*state.history, record)
    still = state.still
    # Only generations that scored something could have changed the best cells.
    if record.phase == "evolve" and any(all_scored):
        same = _best(plan, state.layers) == _best(plan, layers)
        still = still + 1 if same else 0
    return EvolutionState(state.round + 1, tuple(layers), history, still, tuple(all_scored))


def _tied(plan: Plan, fitness: Sequence[Sequence[float]]) -> list[list[float]]:
    """Per layer the fitness of every cell: its mean over the layers of a group."""
    found: list[list[float]] = []
    for group in plan.groups:
        rows = zip(*(fitness[layer] for layer in group), strict=True)
        means = [sum(values) / len(group) for values in rows]
        found += [means] * len(group)
    return found


def _best(plan: Plan, layers: Sequence[LayerState]) -> list[set[str]]:
    """Per layer, the keys of the cells that the space would hold."""
    return [{member.key for member in _evolved(layer, plan.keep)} for layer in layers]


def _after(plan: Plan, layer: LayerState, scored: list[Member], index: int) -> LayerState:
    hall = toolbox.best_ever(layer.hall, scored, HALL_FACTOR * plan.finalists)
    new = [member for member in scored if member.scores == 1]
    references = [member for member in new if member.origin.kind == "reference"]
    members = _renewed((*layer.members, *new), scored)
    if index + 1 >= plan.founding_rounds:
        members = _population(plan, members)
    return LayerState(
        members,
        hall,
        _renewed((*layer.references, *references), scored),
        layer.seen | {member.key for member in new},
        layer.born + len(new),
    )


def _renewed(members: Sequence[Member], scored: Sequence[Member]) -> tuple[Member, ...]:
    """The members, with the new scores of those that have one."""
    latest = {member.key: member for member in scored}
    return tuple(latest.get(member.key, member) for member in members)


def _population(plan: Plan, members: tuple[Member, ...]) -> tuple[Member, ...]:
    """Those of the members that may have offspring."""
    if not plan.hand_made:
        evolved = tuple(each for each in members if each.origin.kind != "reference")
        members = evolved or members
    if len(members) > plan.operators.population:
        return toolbox.survivors(members, plan.operators)
    return members


def _finalists(plan: Plan, state: EvolutionState, layer: int) -> list[Member]:
    # The list is fixed when the phase begins: later rounds must not see earlier rounds' scores.
    # A reference was not selected for its score, so luck cannot have flattered it.
    hall = [each for each in state.layers[layer].hall if each.origin.kind != "reference"]
    times = _confirmations(plan, state.round)
    waiting = [member for member in hall if member.confirmed == times]
    already = sum(member.confirmed > times for member in hall)
    left = max(0, plan.finalists - already)
    return waiting[: min(plan.candidates, left)]


def _fresh(plan: Plan, state: EvolutionState, group: range) -> tuple[list[Member], Drawn]:
    """New cells that fit the shares of all layers of a group, as far as there are any.

    No layer of the group has ever scored a cell with the same key.
    """
    layer = group[0]
    rng, family = stream(plan.seed, "evolution", state.round, layer), plan.operators.family
    current = state.layers[layer]
    shapes = plan.skeleton.shapes[group.start : group.stop]
    wanted = plan.candidates - plan.rescore
    if plan.phase(state.round) == "initial":
        wanted = min(plan.candidates, plan.founders - current.born)
    seen = [set(state.layers[each].seen) for each in group]
    found: list[Member] = []
    total = duplicates = over_budget = 0
    while len(found) < wanted and total < MAX_DRAWS:
        cell, origin = _draw(plan, state, layer, total, rng)
        total += 1
        keys = [family.key(cell, shape) for shape in shapes]
        if not all(plan.allows(cell, each) for each in group):
            over_budget += 1
        elif any(map(set.__contains__, seen, keys)):
            duplicates += 1
        else:
            for known, key in zip(seen, keys, strict=True):
                known.add(key)
            identity = f"c{current.born + len(found):04d}"
            if origin.kind == "reference":
                identity = origin.parents[0]
                origin = Origin("reference")
            cost = family.cost(cell, shapes[0])
            found.append(Member(identity, family.canonical(cell), keys[0], cost, origin))
    return found, Drawn(total, duplicates, over_budget)


def _draw(
    plan: Plan, state: EvolutionState, layer: int, attempt: int, rng: random.Random
) -> tuple[Cell, Origin]:
    current, family, prior = state.layers[layer], plan.operators.family, plan.operators.prior
    if plan.phase(state.round) == "evolve":
        generation = state.round - plan.founding_rounds + 1
        if attempt >= PATIENCE:
            return family.random_cell(prior, rng), Origin("random", generation)
        cell, parents, kind = toolbox.offspring(current.members, plan.operators, rng)
        return cell, Origin(kind, generation, parents)
    # Earlier rounds founded with the first references; this one goes on where they stopped.
    if current.born + attempt < len(plan.references):
        identity, cell = plan.references[current.born + attempt]
        return cell, Origin("reference", 0, (identity,))
    if plan.hand_made and rng.random() < 0.5:
        identity, cell = rng.choice(plan.references)
        return family.mutate(cell, prior, rng), Origin("mutation", 0, (identity,))
    return family.random_cell(prior, rng), Origin("random")


def _drawn_again(plan: Plan, state: EvolutionState, layer: int) -> list[Member]:
    """Old members that a tournament selects, none twice: they are scored again."""
    rng = stream(plan.seed, "rescore", state.round, layer)
    waiting, drawn = list(state.layers[layer].members), list[Member]()
    while waiting and len(drawn) < plan.rescore:
        fitness = [member.value for member in waiting]
        drawn.append(waiting.pop(toolbox.tournament(fitness, plan.operators.tournament, rng)))
    return drawn


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
    """
    layers = []
    pairs = zip(plan.skeleton.shapes, state.layers, strict=True)
    for shape, layer in pairs:
        members = [*_evolved(layer, plan.keep), *layer.references]
        if not plan.references_stay:
            members = sorted(members, key=_fittest_first)[: plan.keep]
        candidates = tuple(Candidate(m.id, m.cell, m.fitness, m.origin) for m in members)
        layers.append(Layer(shape, candidates))
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


def _evolved(layer: LayerState, keep: int) -> list[Member]:
    evolved = [member for member in layer.hall if member.origin.kind != "reference"]
    ranked = sorted(evolved, key=lambda member: (-member.confirmed, -member.value, member.id))
    return sorted(ranked[:keep], key=_fittest_first)


def _fittest_first(member: Member) -> tuple[float, str]:
    return -member.value, member.id
