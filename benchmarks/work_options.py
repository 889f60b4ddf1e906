"""Who does the work of a script that trains many networks: the options of `autospace evolve`.

`--executor here`, `processes` and `ray` give the same figures; the choice changes only the time.
"""

import argparse
import os
import sys
from contextlib import AbstractContextManager
from pathlib import Path

from autospace.compute.executor import EXECUTORS, Executor, open_pool
from autospace.compute.pool import POOL, Pool
from autospace.evaluators.evaluator import EvaluationError
from autospace.networks.rounding import rounding
from autospace.runs.errors import ConfigError
from autospace.spaces import SpaceError


def add_work_options(parser: argparse.ArgumentParser, workers: int = 1) -> None:
    """Adds `--workers`, `--executor` and `--address`.

    Args:
        parser: of the script.
        workers: how many there are if neither they nor an executor are asked for.
    """
    parser.set_defaults(usual_workers=workers)
    parser.add_argument("--workers", type=int, help=f"{workers}; with --executor, as many as fit")
    parser.add_argument("--executor", choices=EXECUTORS, help="who does the work")
    parser.add_argument("--address", metavar="HOST:PORT", help="Ray cluster for --executor ray")


def executor_of(arguments: argparse.Namespace) -> Executor:
    """The executor that is asked for; values that exclude each other end the script."""
    workers = arguments.workers
    if workers is None and arguments.executor is None:
        workers = arguments.usual_workers
    try:
        return Executor(workers, arguments.executor, arguments.address)
    except ConfigError as error:
        print(f"error: {error}", file=sys.stderr)
        raise SystemExit(2) from None


def evaluating_pool(executor: Executor, work: Path) -> AbstractContextManager[Pool]:
    """Workers that evaluate networks; what they need for it lies in a folder below `work`."""
    return open_pool(
        executor,
        work / POOL,
        errors=(EvaluationError, SpaceError),
        rounding=rounding,
        on_message=print,
    )


def processor_seconds() -> float:
    """Of this process, and of those that it started and that have ended; none of a cluster."""
    return sum(os.times()[:4])
