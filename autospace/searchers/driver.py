"""A whole search: data, method, finalists, result; it can be resumed after any step."""

import time
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from functools import partial
from importlib import metadata
from pathlib import Path, PurePath
from typing import ClassVar

import torch

from autospace.compute.device import memory_mb, threads, threads_for
from autospace.compute.executor import Executor
from autospace.compute.pool import InProcess, Pool
from autospace.data.examples import DataSet
from autospace.evaluators.evaluate import EvaluationCache
from autospace.evaluators.tabular import Table
from autospace.latency.budget import keep_table, limit_table
from autospace.progress import Event, Observer, OfNodes
from autospace.runs.files import write_atomically
from autospace.runs.state import Stateful, restore_from, save_state
from autospace.searchers.fitness_search import FitnessSearch
from autospace.searchers.folder import (
    BEST,
    RankedDocument,
    SearchFolder,
    SearchResult,
    TrajectoryPoint,
)
from autospace.searchers.forecast import make_plan
from autospace.searchers.make import make_method, method_options
from autospace.searchers.method import (
    Ranked,
    SearchMethod,
    check_learned,
    check_trained,
    ops_of,
)
from autospace.searchers.problem import SearchProblem, prepare
from autospace.searchers.settings import SearchConfig
from autospace.searchers.trials import Trials, trial_executor, trial_pool, use_of_devices, work_of
from autospace.spaces.choices import SearchError
from autospace.spaces.files.codec import to_json
from autospace.spaces.sequence import SequenceSkeleton
from autospace.spaces.space import Space
from autospace.supernets.families import check_method
from autospace.supernets.interference import InterferencePoint, interference

SECONDS_BETWEEN_CHECKPOINTS = 20.0
MOST_LISTED = 20


@dataclass(frozen=True)
class BestEvent(Event):
    """A search found an architecture that is better than all before it.

    Attributes:
        point: of the trajectory.
        folder: of the search.
    """

    point: TrajectoryPoint
    folder: Path

    @property
    def run(self) -> Path:
        """The folder of the search."""
        return self.folder

    @property
    def step(self) -> int:
        """The step after which it was found."""
        return self.point.step

    def numbers(self) -> Mapping[str, float]:
        """Its score and predicted accuracy, and the architectures evaluated so far."""
        found = {"score": self.point.score, "accuracy/validation": self.point.accuracy}
        known = {name: value for name, value in found.items() if value is not None}
        return {**known, "evaluations": self.point.evaluations, "seconds": self.point.seconds}


@dataclass
class SearchProgress(Stateful):
    """The progress of a search, which every step extends."""

    remembered: ClassVar[tuple[str, ...]] = ("done", "seconds", "trajectory")
    records: ClassVar[tuple[type, ...]] = (TrajectoryPoint,)

    done: int = 0
    seconds: float = 0.0
    trajectory: list[TrajectoryPoint] = field(default_factory=list)

    def note(self, method: SearchMethod) -> TrajectoryPoint | None:
        """Adds a point to the trajectory if there is a new best architecture."""
        best = method.incumbent
        if best is None or (self.trajectory and self.trajectory[-1].score == best.score):
            return None
        self.trajectory.append(
            TrajectoryPoint(
                step=self.done,
                evaluations=method.evaluations,
                seconds=round(self.seconds, 3),
                score=best.score,
                accuracy=best.accuracy,
            )
        )
        return self.trajectory[-1]


def run_search(
    folder: SearchFolder,
    space: Space | None,
    observer: Observer,
    device: str | None = None,
    images: DataSet | None = None,
    workers: Executor | int | None = 1,
) -> SearchResult:
    """Starts or resumes the search in a folder, and returns the content of `result.json`.

    Args:
        folder: a new search, or one that was stopped.
        space: the space to search; None to resume with that of the folder.
        observer: receives its progress.
        device: overrides the one in the settings.
        images: overrides the source in the settings.
        workers: who trains architectures alone, or the number of processes.

    Raises:
        DataError, SpaceError, SearchError, ConfigError, RunError: the request is impossible.
        RoomError: a disk has no room for what workers need.
        CheckpointError: the search was damaged.
    """
    with folder.locked(), ExitStack() as scope:
        if folder.finished:
            return folder.load_result()
        executor = Executor.of(workers)
        try:
            folder.check_unchanged()
            executor.check()
            _check_asked(folder, space)
            table = limit_table(folder.config.budget.latency_table, folder.latency_table)
            problem, digest = prepare(folder, space, table, observer, device, images, executor)
            scope.enter_context(threads(_thread_count(problem)))
            method = comparable(make_method(problem))
            executor = trial_executor(problem, executor, device or folder.config.device, observer)
        except BaseException:
            folder.abandon()
            raise
        folder.settle(problem.choices.space, digest)
        if problem.table is None:
            folder.save_data(problem.data.record)
        keep_table(table, folder.latency_table)
        for note in (*method.notes, *_remarks(method), *use_of_devices(problem, executor)):
            observer.message(note)
        if not folder.state_path.exists():
            observer.planned(make_plan(method, partial(make_method, problem), executor))
        search = Search(folder, method, Trials(problem))
        search.resume()
        with trial_pool(folder, observer, executor) as helping:
            _share_out(folder, problem, helping, executor, (search.trials, *method.trials))
            seen = OfNodes(observer, lambda: helping.shares)
            search.advance(seen)
            finalists = search.finalists(seen)
        points = compared_gradients(method, observer)
        result = search.result(finalists, points)
        best = problem.choices.space.architecture(result.best)
        write_atomically(folder.path / BEST, to_json(best))
        folder.save_result(result)
        return result


def _thread_count(problem: SearchProblem) -> int:
    """One thread for narrow language models, else the default of torch."""
    skeleton = problem.choices.space.skeleton
    if isinstance(skeleton, SequenceSkeleton) and skeleton.reads == "text":
        config = problem.config
        return threads_for(skeleton.product(max(config.supernet.batch, config.trial.batch)))
    return torch.get_num_threads()


def _remarks(method: SearchMethod) -> list[str]:
    return [*_without_use(method), *_beyond_limits(method)]


def _without_use(method: SearchMethod) -> list[str]:
    """A remark on settings of shared weights that were given to a method that has none."""
    config = method.problem.config
    given = config.supernet.model_dump(
        include={"training", "steps", "batch"}, exclude_defaults=True
    )
    if not given or not isinstance(method, FitnessSearch) or method.supernets:
        return []
    names = ", ".join(f"supernet.{each}" for each in given)
    why = "has no shared weights"
    if method.trials:
        why = f"trains each network alone, for trial.steps = {config.trial.steps:,} steps"
    return [f"{names} without effect: {config.method} {why}"]


def _beyond_limits(method: SearchMethod) -> list[str]:
    """A remark on limits that the training of shared weights cannot keep."""
    problem = method.problem
    if problem.supernet.training != "fair" or not problem.choices.limits or not method.supernets:
        return []
    names = " and ".join(limit.name for limit in problem.choices.limits)
    return [f"supernet.training = fair also trains architectures beyond {names}; returns none"]


def _check_asked(folder: SearchFolder, space: Space | None) -> None:
    """Refuses what the method cannot do before images are read, of which there may be many."""
    method_options(folder.config)
    if (known := folder.space or space) is not None:
        check_method(folder.config.method, known.skeleton)


def _share_out(
    folder: SearchFolder,
    problem: SearchProblem,
    pool: Pool,
    executor: Executor,
    trials: Sequence[Trials],
) -> None:
    """Lets workers train what is trained alone, if there are any beside this process."""
    if isinstance(pool, InProcess):
        return
    job = work_of(folder, problem, executor)
    # The settings cannot change between two starts, nor the images: nothing else decides.
    cache = EvaluationCache(folder.trials, {})
    cache.open()
    for each in trials:
        each.work_with(pool, job, cache)


def comparable(method: SearchMethod) -> SearchMethod:
    """The method; one whose gradients are to be compared has to share weights.

    Raises:
        SearchError: it shares none, or shares them where there are no layers to compare.
    """
    config = method.problem.config
    if config.supernet.interference and not method.supernets:
        raise SearchError(
            f"supernet.interference: {config.supernet.interference}; allowed: 0, because method "
            f"{config.method} shares no weights between architectures"
        )
    skeleton = method.problem.choices.space.skeleton
    layered = all(weights.supernet.layered for weights in method.supernets)
    if config.supernet.interference and not layered:
        raise SearchError(
            f"supernet.interference: {config.supernet.interference}; allowed: 0, because "
            f"{skeleton.name} has no layers to compare"
        )
    if config.supernet.interference and skeleton.chain == 2 and skeleton.nodes is not None:
        raise SearchError(
            f"supernet.interference: {config.supernet.interference}; allowed: 0, because choices "
            f"of nodes have no weights of their own on {skeleton.name}"
        )
    return method


def compared_gradients(method: SearchMethod, observer: Observer) -> list[InterferencePoint]:
    """The agreement of gradients between architectures, if the settings ask for it."""
    pairs = method.problem.supernet.interference
    if not pairs:
        return []
    return interference(method.supernets, pairs, partial(observer.tick, "interference"))


@dataclass
class Search(Stateful):
    """A method at work in a folder: its steps, then its finalists; it is saved as it goes.

    Attributes:
        trials: train the finalists alone.
        progress: what has been done.
    """

    remembered: ClassVar[tuple[str, ...]] = ("method", "trials", "progress")

    folder: SearchFolder
    method: SearchMethod
    trials: Trials
    progress: SearchProgress = field(default_factory=SearchProgress)

    def resume(self) -> None:
        """Goes on from what the folder has of this search, if it has anything."""
        if self.folder.state_path.exists():
            restore_from(self.folder.state_path, self.method.problem.device, self)

    def save(self) -> None:
        """Saves it in the folder."""
        save_state(self.folder.state_path, self.state())

    def advance(self, observer: Observer) -> None:
        """Does the remaining steps; saves every 20 seconds, at the end, and when it is stopped.

        Raises:
            SearchError: the weights that all networks share have diverged.
        """
        saved, method, progress = time.monotonic(), self.method, self.progress
        while progress.done < method.steps:
            started = time.monotonic()
            method.step(progress.done)
            progress.done += 1
            progress.seconds += time.monotonic() - started
            point = progress.note(method)
            try:
                if point is not None:
                    observer.event(BestEvent(progress.seconds, point, self.folder.path))
                observer.tick("search", progress.done, method.steps)
            except BaseException:
                self.save()
                raise
            late = time.monotonic() - saved > SECONDS_BETWEEN_CHECKPOINTS
            if late or progress.done == method.steps:
                self.save()
                saved = time.monotonic()
        check_learned(method)

    def finalists(self, observer: Observer) -> list[Ranked]:
        """The best of the ranking, each trained alone with one recipe, then sorted by accuracy.

        Raises:
            SearchError: a table has no score of any, or all diverged.
        """
        problem, trials = self.method.problem, self.trials
        for each in self.method.trials:
            trials.learn_from(each)
        chosen = self.ranking()[: problem.config.finalists]
        for index, finalist in enumerate(chosen):
            observer.tick("finalists", index, len(chosen))
            started = time.monotonic()
            trials.ahead(later.path for later in chosen[index:])
            trials.accuracy(finalist.path)
            self.progress.seconds += time.monotonic() - started
            self.save()
        if problem.table is not None:
            chosen = _scored(chosen, trials, problem.table, observer)
        scores = [trials.known[each.path] for each in chosen]
        diverged = [each.path in trials.diverged for each in chosen]
        check_trained(problem, scores, diverged)
        if any(diverged):
            rate = problem.config.trial.learning_rate
            observer.message(
                f"warning: {sum(diverged)} of {len(chosen)} finalists diverged when they were "
                f"trained alone, at trial.learning_rate {rate:g}; a lower rate may rank them "
                "differently"
            )
        # What diverged comes last, however lucky its guesses are.
        known = trials.known
        return sorted(chosen, key=lambda each: (each.path in trials.diverged, -known[each.path]))

    def ranking(self) -> list[Ranked]:
        """That of the method, without architectures of which a table has no score."""
        ranked, problem = self.method.ranked(), self.method.problem
        table = problem.table
        if table is None:
            return ranked
        # Not those that were looked up and have none: a resumed search would know more of them.
        architecture = problem.choices.architecture
        return [each for each in ranked if table.has_score(architecture(each.path))] or ranked

    def result(self, finalists: Sequence[Ranked], points: list[InterferencePoint]) -> SearchResult:
        """The content of `result.json`.

        Args:
            finalists: the best first.
            points: the agreement of gradients.
        """
        problem, method, trials = self.method.problem, self.method, self.trials
        best, config = finalists[0].path, problem.config
        cost = problem.choices.cost(best)
        return SearchResult(
            method=config.method,
            space=problem.choices.space.name,
            best=problem.choices.architecture(best).choices,
            accuracy=trials.known[best],
            madds=cost.madds,
            ops=ops_of(problem.choices, best),
            params=cost.params,
            evaluations=method.evaluations,
            seconds=round(self.progress.seconds, 3),
            memory_mb=memory_mb(problem.device),
            trajectory=self.progress.trajectory,
            finalists=[_entry(problem, each, trials.known[each.path]) for each in finalists],
            ranked=[_entry(problem, each) for each in self.ranking()[:MOST_LISTED]],
            interference=points,
            details=method.details(),
            config=_anywhere(problem),
            versions={name: metadata.version(name) for name in ("autospace", "torch")},
        )


def _scored(
    chosen: Sequence[Ranked], trials: Trials, table: Table, observer: Observer
) -> list[Ranked]:
    """The finalists that the table has a score of.

    Raises:
        SearchError: there are none.
    """
    found = [each for each in chosen if each.path not in trials.diverged]
    count = len(chosen)
    if not found:
        raise SearchError(
            f"table {table.name} has no score of any of the {count} finalists; evaluate more "
            "networks (--evaluations), or choose more finalists (--set finalists=N)"
        )
    if len(found) < count:
        lost = count - len(found)
        observer.message(f"warning: table {table.name} has no score of {lost} of {count} finalists")
    return found


def _anywhere(problem: SearchProblem) -> SearchConfig:
    """The settings without the places of images and tables, which belong to a machine."""
    config = problem.config
    if (path := config.budget.latency_table) is not None:
        budget = config.budget.model_copy(update={"latency_table": PurePath(path).name})
        config = config.model_copy(update={"budget": budget})
    if isinstance(path := config.options.get("teacher"), str):
        options = {**config.options, "teacher": PurePath(path).name}
        config = config.model_copy(update={"options": options})
    if problem.table is not None:
        evaluator = config.evaluator.model_copy(update={"table": problem.table.name})
        return config.model_copy(update={"evaluator": evaluator})
    data = config.data.model_copy(update={"source": problem.data.name})
    return config.model_copy(update={"data": data})


def _entry(
    problem: SearchProblem, ranked: Ranked, retrained: float | None = None
) -> RankedDocument:
    cost = problem.choices.cost(ranked.path)
    return RankedDocument(
        architecture=problem.choices.architecture(ranked.path).choices,
        score=ranked.score,
        predicted_accuracy=ranked.accuracy,
        accuracy=retrained,
        madds=cost.madds,
        ops=ops_of(problem.choices, ranked.path),
        params=cost.params,
    )
