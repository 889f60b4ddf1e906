"""Many evaluations: what is known is looked up, the rest is made and kept."""

from collections.abc import Sequence

from autospace.evaluators.cache import EvaluationCache
from autospace.evaluators.evaluator import Evaluation, Task
from autospace.evaluators.workers import Maker
from autospace.scorers.scorer import Tick, no_tick


def evaluate_all(
    tasks: Sequence[Task], cache: EvaluationCache, maker: Maker, tick: Tick = no_tick
) -> list[Evaluation]:
    """The evaluations of all tasks, in their order; each is cached as soon as it is made.

    Args:
        tasks: what to evaluate; equal ones are evaluated once.
        cache: where evaluations are looked up and kept.
        maker: makes those that are missing.
        tick: told how many of the different tasks are done; may raise to stop.

    Raises:
        EvaluationError: one cannot be made; those before it are kept.
    """
    first: dict[tuple[str, int], Task] = {}
    for task in tasks:
        first.setdefault((task.key, task.seed), task)
    looked_up = {each: cache.get(task) for each, task in first.items()}
    found = {each: known for each, known in looked_up.items() if known is not None}
    missing = [each for each in first if each not in found]
    tick(len(found), len(first))
    todo = [first[each] for each in missing]
    for place, evaluation in maker.made(todo) if todo else ():
        cache.put(todo[place], evaluation)
        found[missing[place]] = evaluation
        tick(len(found), len(first))
    return [found[task.key, task.seed] for task in tasks]
