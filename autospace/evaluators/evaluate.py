"""Many evaluations: what is known is looked up, the rest is made and kept.

Evaluations on disk: the same one is never made twice.
"""

import hashlib
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from autospace.evaluators.evaluator import Evaluation, EvaluationRequest
from autospace.evaluators.workers import Maker
from autospace.progress import Tick, no_tick
from autospace.runs.files import write_atomically

VERSION: Final = 2
"""Part of every key: goes up when equal settings would give other numbers."""


class EvaluationCache:
    """A folder with one small file per evaluation, which any number of processes may share.

    An evaluation is known by the network, the seed, and the conditions it was made under. A file
    that is damaged, or that holds something else, counts as absent.
    """

    def __init__(self, folder: Path, conditions: Mapping[str, Any]) -> None:
        """Opens the cache.

        Args:
            folder: made if it is not there.
            conditions: all that decides an evaluation beside architecture and seed.

        Raises:
            OSError: the folder cannot be made.
        """
        self.folder = folder
        self._conditions = dict(conditions)
        folder.mkdir(parents=True, exist_ok=True)

    def get(self, task: EvaluationRequest) -> Evaluation | None:
        """The evaluation, if it has been made before."""
        key = self._key(task)
        try:
            found = json.loads(self._path(key).read_text("utf-8"))
            if found["key"] != key:
                return None
            score, loss = found["score"], found["loss"]
            return Evaluation(float(score), None if loss is None else float(loss))
        except (OSError, ValueError, KeyError, TypeError, RecursionError):
            return None

    def put(self, task: EvaluationRequest, evaluation: Evaluation) -> None:
        """Keeps an evaluation.

        Raises:
            OSError: the folder cannot be written.
        """
        key = self._key(task)
        value = {"key": key, "score": evaluation.score, "loss": evaluation.loss}
        write_atomically(self._path(key), json.dumps(value, indent=1, sort_keys=True) + "\n")

    def _key(self, task: EvaluationRequest) -> dict[str, Any]:
        return {
            "version": VERSION,
            "architecture": task.key,
            "seed": task.seed,
            "conditions": self._conditions,
        }

    def _path(self, key: Mapping[str, Any]) -> Path:
        text = json.dumps(key, sort_keys=True)
        return self.folder / f"{hashlib.sha256(text.encode()).hexdigest()[:40]}.json"


def evaluate_all(
    tasks: Sequence[EvaluationRequest], cache: EvaluationCache, maker: Maker, tick: Tick = no_tick
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
    first: dict[tuple[str, int], EvaluationRequest] = {}
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
