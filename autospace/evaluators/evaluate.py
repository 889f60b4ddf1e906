"""Evaluates many architectures with a pool, and caches every evaluation on disk.

An evaluation that is in the cache is not made again.
"""

import hashlib
import json
import shutil
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final

import torch

from autospace.compute.device import own_device
from autospace.compute.executor import Executor
from autospace.compute.machine import cores
from autospace.compute.pool import Pool
from autospace.compute.worker import Plain, Report, Work, WorkerLostError
from autospace.data.images import Images
from autospace.data.readers.arrays import save_images
from autospace.data.settings import PYTHON
from autospace.evaluators.evaluator import Evaluation, EvaluationError, EvaluationRequest, Evaluator
from autospace.evaluators.make import Basis, Setup, make_evaluator, supernet_file
from autospace.evaluators.tabular import Table
from autospace.progress import Tick, no_tick
from autospace.runs.files import is_sealed, sealed, write_atomically
from autospace.spaces.files.codec import from_json, to_json
from autospace.spaces.files.reading import parse_json
from autospace.spaces.space import Architecture

IMAGES: Final = "images.safetensors"
TABLE: Final = "table.json"
VERSION: Final = 3
"""Part of every key; increases when equal settings would give other numbers."""


class EvaluationCache:
    """A folder with one small file per evaluation, which any number of processes may share.

    An evaluation is identified by the network, the seed and the conditions under which it was made.
    A file that is damaged, or that holds something else, counts as absent.
    """

    def __init__(self, folder: Path, conditions: Mapping[str, Any]) -> None:
        """Looks at a cache, which may not be there yet.

        Args:
            folder: of the cache.
            conditions: all that determines an evaluation, except architecture and seed.
        """
        self.folder = folder
        self._conditions = dict(conditions)

    def open(self) -> None:
        """Makes the folder if it is not there.

        Raises:
            OSError: it cannot be made.
        """
        self.folder.mkdir(parents=True, exist_ok=True)

    def get(self, task: EvaluationRequest) -> Evaluation | None:
        """The evaluation, if it has been made before, and its file is as it was written."""
        key = self._key(task)
        try:
            text = self._path(key).read_text("utf-8")
            found = parse_json(text)
            if found["key"] != key or not is_sealed(text):
                return None
            score, loss = found["score"], found["loss"]
            return Evaluation(float(score), None if loss is None else float(loss))
        except (OSError, ValueError, KeyError, TypeError):
            return None

    def put(self, task: EvaluationRequest, evaluation: Evaluation) -> None:
        """Keeps an evaluation.

        Raises:
            OSError: the folder cannot be written.
        """
        key = self._key(task)
        value = {"key": key, "score": evaluation.score, "loss": evaluation.loss}
        write_atomically(self._path(key), sealed(json.dumps(value, indent=1, sort_keys=True)))

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


EvaluateMany = Callable[[Sequence[EvaluationRequest]], Iterator[tuple[int, Evaluation]]]
"""Yields the index and evaluation of every request, as they finish.

Raises `EvaluationError` if one cannot be made.
"""


def evaluate_all(
    tasks: Sequence[EvaluationRequest],
    cache: EvaluationCache,
    evaluate_many: EvaluateMany,
    tick: Tick = no_tick,
) -> list[Evaluation]:
    """The evaluations of all tasks, in their order; each is cached as soon as it is made.

    Args:
        tasks: what to evaluate; equal ones are evaluated once.
        cache: where evaluations are looked up and kept.
        evaluate_many: makes those that are missing.
        tick: receives how many of the different tasks are done; may raise to stop.

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
    for place, evaluation in evaluate_many(todo) if todo else ():
        cache.put(todo[place], evaluation)
        found[missing[place]] = evaluation
        tick(len(found), len(first))
    return [found[task.key, task.seed] for task in tasks]


@dataclass(frozen=True)
class EvaluationJob:
    """Evaluation of architectures; see `autospace.compute.pool.Job`.

    Attributes:
        setup: from which evaluators are made.
        basis: that of the setup, which this process has read already.
        tick: receives the progress of training a supernet.
    """

    setup: Setup
    basis: Basis
    tick: Tick = no_tick

    def begin(self, report: Report) -> Work:
        """Evaluates in this process."""
        return _evaluation(make_evaluator(self.setup, self.basis, self.tick))

    def pack(self, folder: Path, *, whole: bool) -> Plain:
        """The setup; workers find the weights of a supernet in its folder, trained here.

        They read the table or the images themselves, unless a program passed the images, or the
        workers see nothing but the packed files.
        """
        setup, basis = self.setup, self.basis
        if setup.config.method == "supernet":
            make_evaluator(setup, basis, self.tick)
        images = False
        folder.mkdir(parents=True, exist_ok=True)
        if isinstance(basis, Images) and (whole or setup.data.source == PYTHON):
            save_images(folder / IMAGES, basis.data)
            images = True
        if whole:
            for path, name in _read_by(setup, basis):
                shutil.copyfile(path, folder / name)
        own = bool(setup.devices)
        return {"setup": setup.packed(), "images": images, "whole": whole, "own_device": own}

    @staticmethod
    def begin_packed(packed: Plain, folder: Path, report: Report) -> Work:
        """Evaluates in another process, which reads the basis itself."""
        setup = Setup.unpacked(packed["setup"])
        if packed["own_device"]:
            setup = replace(setup, device=str(own_device(setup.kind)))
        if packed["images"]:
            source = f"{PYTHON}:{(folder / IMAGES).absolute()}"
            setup = replace(setup, data=setup.data.model_copy(update={"source": source}))
        if packed["whole"]:
            setup = replace(setup, folder=folder)
            if (folder / TABLE).is_file():
                table = setup.config.model_copy(update={"table": str(folder / TABLE)})
                setup = replace(setup, config=table)
        return _evaluation(make_evaluator(setup, setup.basis()))


def _read_by(setup: Setup, basis: Basis) -> Iterator[tuple[Path, str]]:
    """The files of this machine that an evaluator reads, and their names in a pack."""
    if setup.config.table is not None and Path(setup.config.table).is_file():
        yield Path(setup.config.table), TABLE
    if setup.config.method == "supernet" and not isinstance(basis, Table):
        path = supernet_file(setup, basis)
        yield path, path.name


def _evaluation(evaluator: Evaluator) -> Work:
    def evaluate(request: Plain) -> Plain:
        architecture = from_json(request["architecture"])
        if not isinstance(architecture, Architecture):
            raise TypeError(f"a {type(architecture).__name__}; allowed: an Architecture")
        evaluation = evaluator.evaluate(architecture, request["seed"])
        return [evaluation.score, evaluation.loss]

    return evaluate


def pooled(pool: Pool, job: EvaluationJob) -> EvaluateMany:
    """Evaluations by a pool; the numbers are the same for every pool."""

    def evaluate_many(tasks: Sequence[EvaluationRequest]) -> Iterator[tuple[int, Evaluation]]:
        requests = [{"architecture": to_json(t.architecture), "seed": t.seed} for t in tasks]
        try:
            for place, (score, loss) in pool.results(job, requests):
                yield place, Evaluation(score, loss)
        except WorkerLostError as error:
            raise EvaluationError(f"{error}; nothing is lost; go on with fewer workers") from None

    return evaluate_many


def executor_of(setup: Setup, given: Executor) -> Executor:
    """The executor with a number of workers.

    Raises:
        ConfigError: the executor has fewer workers than devices.
    """
    if setup.kind != "cpu":
        return given.on(setup.devices or (setup.device,))
    return given.sized(default_workers(setup))


def default_workers(setup: Setup) -> int:
    """On a CPU: one process per core that this one may use; one where nothing is computed."""
    return 1 if setup.config.method == "table" else cores()


def use_of_devices(setup: Setup, executor: Executor) -> list[str]:
    """Which devices do what, in a line; none for one device."""
    alone = "trains the supernet" if setup.config.method == "supernet" else ""
    return executor.described_use(torch.device(setup.device), "evaluate networks", alone)
