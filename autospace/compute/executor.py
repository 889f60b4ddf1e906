"""Who does the work that can be shared out: this process, processes of this machine, or a cluster.

The choice changes only the time. This module alone makes pools.
"""

import shutil
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final, Self

import torch

from autospace.compute.pool import InProcess, Pool, ProcessPool
from autospace.runs.errors import ConfigError
from autospace.spaces.errors import offered, shown

EXECUTORS: Final = ("here", "processes", "ray")


@dataclass(frozen=True)
class Executor:
    """A choice of workers.

    Attributes:
        workers: how many at most; None for as many as fit.
        name: one of `EXECUTORS`; None for this process if it is the only worker, else processes.
        address: of a Ray cluster, as HOST:PORT; None for the one that `RAY_ADDRESS` names or that
            runs on this machine, or else for one of its own that ends with the work.
        devices: that processes compute on, in turn; `on` sets them.

    Raises:
        ConfigError: no such executor, or values that exclude each other.
    """

    workers: int | None = None
    name: str | None = None
    address: str | None = None
    devices: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if self.name is not None and self.name not in EXECUTORS:
            raise ConfigError(f"executor: {shown(self.name)}; {offered(self.name, EXECUTORS)}")
        if self.workers is not None and self.workers < 1:
            raise ConfigError(f"workers: {self.workers}; allowed: 1 or more")
        if self.name == "here" and (self.workers or 1) > 1:
            raise ConfigError(f"workers: {self.workers}; allowed with executor here: 1")
        if self.address is not None and self.name != "ray":
            problem = f"{shown(self.address)} needs executor ray"
            raise ConfigError(f"address: {problem}; allowed: --executor ray --address HOST:PORT")

    @classmethod
    def of(cls, given: "Executor | int | None") -> "Executor":
        """An executor as it is; a number of workers as the default executor for them."""
        return given if isinstance(given, Executor) else cls(given)

    @property
    def clustered(self) -> bool:
        """Whether the workers see nothing of this machine."""
        return self.name == "ray"

    def check(self) -> None:
        """Refuses a cluster that is not there, before anything else is done.

        Raises:
            ClusterError: Ray is not installed, or nothing answers at the address.
        """
        if self.clustered:
            from autospace.compute.ray_session import check_address

            check_address(self.address)

    def check_device(self, kind: str) -> None:
        """Refuses a device that the workers of a cluster do not compute on.

        Raises:
            ConfigError: naming the device.
        """
        if self.clustered and kind != "cpu":
            raise ConfigError(f"device: {shown(kind)}; allowed with executor ray: cpu")

    def sized(self, workers: int) -> Self:
        """With this number of workers, if none was asked for and the work is not clustered."""
        asked = self.clustered or self.workers is not None
        return self if asked or self.name == "here" else replace(self, workers=workers)

    def on(self, devices: Sequence[str | torch.device]) -> Self:
        """Computing on these devices: in a process each, or in more if more were asked for.

        One device without a number of workers is one worker.

        Raises:
            ConfigError: there are fewer workers than devices.
        """
        count = len(devices)
        workers = self.workers or count
        if count > 1 and self.name == "here":
            raise ConfigError(f'executor: "here"; allowed on {count} devices: processes')
        if workers < count:
            raise ConfigError(f"workers: {workers}; allowed on {count} devices: {count} or more")
        return replace(self, workers=workers, devices=tuple(map(str, devices)))


HERE: Final = Executor(1, "here")


def stays_here(given: Executor, why: str, on_message: Callable[[str], None]) -> Executor:
    """This process, because only one can do the work; whoever asked for more is told.

    Args:
        given: who was asked for.
        why: what one process does, such as `a table is looked up`.
        on_message: called with a line, if more than this process was asked for.
    """
    if given.clustered:
        on_message(f"{why} by one process: it stays here")
    elif (given.workers or 1) > 1:
        on_message(f"{why} by one process: {given.workers} workers are not used")
    return HERE


@contextmanager
def open_pool(
    executor: Executor | int,
    folder: Path,
    *,
    thread_count: int = 1,
    errors: tuple[type[Exception], ...] = (),
    ahead: bool = False,
    rounding: Callable[[], dict[str, str]] | None = None,
    on_message: Callable[[str], None] | None = None,
) -> Iterator[Pool]:
    """A pool for the block.

    Args:
        executor: who does the work; a number is so many workers of the default one.
        folder: see `ProcessPool`.
        thread_count: threads of torch in each worker.
        errors: see `ProcessPool`.
        ahead: whether to start processes now, so that they are ready when work comes.
        rounding: a function of a module: what nodes of a cluster have to agree in.
        on_message: called with what happens to the nodes of a cluster.

    Raises:
        ClusterError: there is no such cluster, or its nodes do not agree.
    """
    chosen = Executor.of(executor)
    if chosen.clustered:
        from autospace.compute.cluster import open_cluster

        if rounding is None:
            raise ConfigError('executor: "ray"; allowed here: here or processes')
        said = on_message or (lambda _: None)
        where = (chosen.address, chosen.workers)
        with open_cluster(*where, folder, rounding, said, thread_count, errors) as cluster:
            yield cluster
        return
    count = chosen.workers or 1
    if count == 1 and chosen.name != "processes":
        shutil.rmtree(folder, ignore_errors=True)  # of an owner that was killed
        yield InProcess(thread_count)
        return
    processes = ProcessPool(count, folder, thread_count, errors, chosen.devices)
    try:
        if ahead:
            processes.start(count)
        yield processes
    finally:
        processes.close()
