"""Who does the work that can be shared out: this process, processes of this machine, or a cluster.

The choice changes only the time. This module alone makes pools.
"""

import shutil
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final, NamedTuple, Self

import torch

from autospace.compute.device import described_use, resolve_devices
from autospace.compute.execution import CPU
from autospace.compute.pool import InProcess, Pool, ProcessPool
from autospace.runs.errors import ConfigError
from autospace.spaces.errors import offered, shown

EXECUTORS: Final = ("here", "processes", "ray")
ON_A_CLUSTER: Final = ("auto", "cpu", "cuda")
"""Places by name that workers of a cluster can be told; Ray says which GPU each of them gets."""


class Places(NamedTuple):
    """The devices that a setting names.

    Attributes:
        own: of this process.
        workers: of the workers, in turn; on a cluster the kind that each of them has one of.
    """

    own: torch.device
    workers: tuple[torch.device, ...]


@dataclass(frozen=True)
class Executor:
    """A choice of workers.

    Attributes:
        workers: how many at most; None for as many as fit.
        name: one of `EXECUTORS`; None for this process if it is the only worker, else processes.
        address: of a Ray cluster, as HOST:PORT; None for the one that `RAY_ADDRESS` names or that
            runs on this machine, or else for one of its own that ends with the work.
        devices: that processes compute on, in turn; on a cluster `cuda`, if each worker has a GPU.
            `on` sets them; there are none on CPUs.
        must_answer: whether a cluster has to be there; not where work is only planned.

    Raises:
        ConfigError: no such executor, or values that exclude each other.
    """

    workers: int | None = None
    name: str | None = None
    address: str | None = None
    devices: tuple[str, ...] = ()
    must_answer: bool = True

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
        """Refuses a cluster that is not there, before anything else is done; if it is asked.

        Raises:
            ClusterError: Ray is not installed, or nothing answers at the address.
        """
        if self.clustered and self.must_answer:
            from autospace.compute.ray_session import check_address

            check_address(self.address)

    def devices_of(self, name: str) -> Places:
        """The devices that a setting names.

        On a cluster `auto` is the CPU. With `cuda` workers get a GPU each, and this process needs
        none: it uses the one of its machine, or else the CPU.

        Raises:
            ConfigError: workers of a cluster do not choose such devices.
            RunError: no such devices, or a GPU of this machine that is not there.
        """
        if not self.clustered:
            found = tuple(resolve_devices(name))
            return Places(found[0], found)
        if name not in ON_A_CLUSTER:
            allowed = f"{', '.join(ON_A_CLUSTER[:-1])} or {ON_A_CLUSTER[-1]}"
            why = "because Ray gives each worker its GPU"
            problem = f"{shown(name)}; allowed with executor ray: {allowed}, {why}"
            raise ConfigError(f"device: {problem}")
        if name != "cuda":
            return Places(CPU, (CPU,))
        (own,) = resolve_devices("auto")
        return Places(own, (torch.device(name),))

    def shares_out(self, devices: Sequence[torch.device]) -> bool:
        """Whether workers other than this process compute on these devices, if there are GPUs."""
        return len(devices) > 1 or (self.clustered and devices[0].type != "cpu")

    @property
    def kind(self) -> str:
        """`cpu` or `cuda`: what workers compute on."""
        return torch.device(self.devices[0]).type if self.devices else CPU.type

    def described_use(self, own: torch.device, shared: str, alone: str) -> list[str]:
        """Which devices do what, in a line; none if there is no question.

        Args:
            own: the device of this process.
            shared: what all workers do.
            alone: what this process does alone; may be empty.
        """
        if not (self.clustered and self.devices):
            return described_use(self.devices, shared, alone)
        own_part = (
            "this machine's GPU" if own.type == "cuda" else "this machine has no GPU: its CPU"
        )
        rest = f"; {own_part} {alone}" if alone else ""
        return [f"devices: GPUs of the cluster {shared}, one for each worker{rest}"]

    def sized(self, workers: int) -> Self:
        """With this number of workers, if none was asked for and the work is not clustered."""
        asked = self.clustered or self.workers is not None
        return self if asked or self.name == "here" else replace(self, workers=workers)

    def on(self, devices: Sequence[str | torch.device]) -> Self:
        """Computing on these devices: in a process each, or in more if more were asked for.

        One device without a number of workers is one worker. A cluster has as many as it has room
        for.

        Raises:
            ConfigError: there are fewer workers than devices.
        """
        if self.clustered:
            return replace(self, devices=tuple(map(str, devices)))
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
    rounding: Callable[[str], dict[str, str]] | None = None,
    on_message: Callable[[str], None] | None = None,
    on_nodes: Callable[[Mapping[str, int]], None] | None = None,
) -> Iterator[Pool]:
    """A pool for the block.

    Args:
        executor: who does the work; a number is so many workers of the default one.
        folder: see `ProcessPool`.
        thread_count: threads of torch in each worker.
        errors: see `ProcessPool`.
        ahead: whether to start processes now, so that they are ready when work comes.
        rounding: a function of a module: what nodes of a cluster have to agree in, by the kind of
            device that they compute on.
        on_message: called with what happens to the nodes of a cluster.
        on_nodes: called about once a second with how many requests each node of a cluster has
            done, while this process waits for them; may raise to stop the work.

    Raises:
        ClusterError: there is no such cluster, or its nodes do not agree.
    """
    chosen = Executor.of(executor)
    if chosen.clustered:
        from autospace.compute.cluster import open_cluster, unwatched

        if rounding is None:
            raise ConfigError('executor: "ray"; allowed here: here or processes')
        said = on_message or (lambda _: None)
        where = (chosen.address, chosen.workers)
        with open_cluster(
            *where, folder, rounding, said, thread_count, errors, chosen.kind, on_nodes or unwatched
        ) as cluster:
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
