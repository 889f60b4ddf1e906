"""The new cells of a round, and the old ones that are scored again.

Offspring are drawn until enough of them are new and within the budget. If the plan screens, several
are drawn for each one that is scored, and a predictor of fitness chooses among them.
"""

import random
from collections.abc import Sequence
from dataclasses import replace
from typing import Final

from autospace.evolution import toolbox
from autospace.evolution.plan import Plan
from autospace.evolution.population import Archive, Drawn, EvolutionState, Member
from autospace.seeds import stream
from autospace.spaces.cells.cell import Cell
from autospace.spaces.space import Origin

MAX_DRAWS: Final = 1000
PATIENCE: Final = 200
"""Number of draws after which cells are drawn at random: all neighbours may be known."""


def archive_of(plan: Plan, state: EvolutionState) -> Archive | None:
    """All that was scored; None if the plan does not predict fitness.

    Raises:
        ValueError: the plan does, and the state was read without its archive.
    """
    if plan.predicts and state.archive is None:
        raise ValueError("the state has no archive, which screen and shrink need")
    return state.archive if plan.predicts else None


def judged(
    plan: Plan, archive: Archive | None, layer: int, members: Sequence[Member]
) -> list[Member]:
    """The members with the fitness that selection goes by."""
    if archive is None or not plan.shrink:
        return list(members)
    return archive.believed(layer, members)


def fresh(plan: Plan, state: EvolutionState, group: range) -> tuple[list[Member], Drawn]:
    """New cells that fit the shares of all layers of a group, as far as there are any.

    No layer of the group has ever scored a cell with the same key.
    """
    wanted, times = plan.candidates - plan.rescore, plan.screen
    if plan.phase(state.round) == "initial":
        # Nothing is known yet that a predictor could be fitted to.
        wanted, times = min(plan.candidates, plan.founders - state.layers[group[0]].born), 1
    feasible, drawn = _feasible(plan, state, group, wanted * times, times)
    found = _screened(archive_of(plan, state), group[0], feasible, wanted)
    born = state.layers[group[0]].born
    named = [
        replace(member, id=f"c{born + index:04d}")
        if member.origin.kind != "reference"
        else replace(member, id=member.origin.parents[0], origin=Origin("reference"))
        for index, member in enumerate(found)
    ]
    return named, replace(drawn, screened=len(feasible) - len(found))


def _feasible(
    plan: Plan, state: EvolutionState, group: range, wanted: int, patience: int
) -> tuple[list[Member], Drawn]:
    """Distinct new cells within the shares, without ids."""
    layer = group[0]
    rng, family = stream(plan.seed, "evolution", state.round, layer), plan.operators.family
    shapes = plan.skeleton.shapes[group.start : group.stop]
    seen = [set(state.layers[each].seen) for each in group]
    parents = judged(plan, archive_of(plan, state), layer, state.layers[layer].members)
    found: list[Member] = []
    total = duplicates = over_budget = 0
    while len(found) < wanted and total < patience * MAX_DRAWS:
        cell, origin = _draw(plan, state, layer, parents, total, patience, rng)
        cell = family.at(cell, shapes[0])
        total += 1
        keys = [family.key(family.at(cell, shape), shape) for shape in shapes]
        if not all(plan.allows(cell, each) for each in group):
            over_budget += 1
        elif any(map(set.__contains__, seen, keys)):
            duplicates += 1
        else:
            for known, key in zip(seen, keys, strict=True):
                known.add(key)
            cost = family.cost(cell, shapes[0])
            found.append(Member("", family.canonical(cell), keys[0], cost, origin))
    return found, Drawn(total, duplicates, over_budget)


def _screened(
    archive: Archive | None, layer: int, found: list[Member], wanted: int
) -> list[Member]:
    """The most promising of each of so many heats; the cells are dealt out like cards.

    Heats keep the offspring of a round apart: the best of all would often be near copies.
    """
    promise = archive.promise(layer, [(m.cell, m.cost) for m in found]) if archive else None
    if promise is None:
        return found[:wanted]
    places = range(len(found))
    heats = [places[first::wanted] for first in range(min(wanted, len(found)))]
    return [found[max(heat, key=lambda each: (promise[each], -each))] for heat in heats]


def _draw(
    plan: Plan,
    state: EvolutionState,
    layer: int,
    parents: Sequence[Member],
    attempt: int,
    patience: int,
    rng: random.Random,
) -> tuple[Cell, Origin]:
    current, family, prior = state.layers[layer], plan.operators.family, plan.operators.prior
    if plan.phase(state.round) == "evolve":
        generation = state.round - plan.founding_rounds + 1
        if attempt >= patience * PATIENCE:
            return family.random_cell(prior, rng), Origin("random", generation)
        cell, names, kind = toolbox.offspring(parents, plan.operators, rng)
        return cell, Origin(kind, generation, names)
    # Earlier rounds founded with the first references; this one goes on where they stopped.
    if current.born + attempt < len(plan.references):
        identity, cell = plan.references[current.born + attempt]
        return cell, Origin("reference", 0, (identity,))
    if plan.hand_made and rng.random() < 0.5:
        identity, cell = rng.choice(plan.references)
        return family.mutate(cell, prior, rng), Origin("mutation", 0, (identity,))
    return family.random_cell(prior, rng), Origin("random")


def drawn_again(plan: Plan, state: EvolutionState, layer: int) -> list[Member]:
    """Old members that a tournament selects, none twice: they are scored again."""
    rng = stream(plan.seed, "rescore", state.round, layer)
    waiting, drawn = list(state.layers[layer].members), list[Member]()
    while waiting and len(drawn) < plan.rescore:
        rivals = judged(plan, archive_of(plan, state), layer, waiting)
        fitness = [member.value for member in rivals]
        drawn.append(waiting.pop(toolbox.tournament(fitness, plan.operators.tournament, rng)))
    return drawn
