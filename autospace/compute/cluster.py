"""A pool of workers on the nodes of a Ray cluster.

Every worker is an actor that is bound to its node and does one request at a time. This process
decides which worker does which request, so a request of a worker that is lost is done again by
another one, and the share of every node is known. Requests and results travel as JSON, the files
of a job through Ray's object store.
"""

import json
import secrets
import shutil
import time
from collections import Counter, deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from autospace.compute.cluster_nodes import (
    NO_GPU,
    Node,
    agreed,
    differences,
    gpus_of,
    nodes_of,
)
from autospace.compute.device import Hardware
from autospace.compute.execution import CPU
from autospace.compute.machine import cores
from autospace.compute.object_store import Stored, stored
from autospace.compute.pool import Job, OnMessage
from autospace.compute.ray_session import ClusterError, Said, first_line, ray_session
from autospace.compute.worker import Plain, WorkerLostError, encoded, raised
from autospace.runs.errors import RoomError

Rounding = Callable[[str], dict[str, str]]
"""A function of a module: what decides the last digits of what a process computes.

It takes the kind of device: `cpu`, or `cuda`, whose `gpu`, `gpu kernels` and `precision` it names.
"""
MOST_STARTS: Final = 3
"""Workers that may end on a node before they answer, until the node counts as unfit."""
MOST_LOSSES: Final = 4
"""Workers that one request may take with it before it counts as the cause."""
SECONDS_BETWEEN_LOOKS: Final = 1.0
SECONDS_TO_ANSWER: Final = 300.0
"""How long nodes have for their first answer, before the work begins without them."""
SECONDS_BETWEEN_REMINDERS: Final = 60.0
SECONDS_TO_LEAVE: Final = 10.0
"""How long nodes have at the end to remove files."""
LOST: Final = "ray.exceptions.RayError"
"""What a worker replies that could not fetch the files of a job."""
OnNodes = Callable[[Mapping[str, int]], None]


def unwatched(shares: Mapping[str, int]) -> None:
    """Tells nobody what nodes have done."""


@dataclass(eq=False)
class _Member:
    """A worker: what it was asked last, and whether it is still there."""

    node: Node
    actor: Any
    pending: Any
    ready: bool = False
    lost: bool = False
    begun: int = 0
    begins: Any = None
    end: str = "ended"


class RayPool:
    """Workers on all nodes of a cluster; see `autospace.compute.pool.Pool`."""

    def __init__(
        self,
        ray: Any,
        folder: Path,
        rounding: Rounding,
        on_message: Said,
        *,
        most: int | None = None,
        thread_count: int = 1,
        errors: tuple[type[Exception], ...] = (),
        kind: str = "cpu",
        on_nodes: OnNodes = unwatched,
    ) -> None:
        """Starts nothing yet; see `open_cluster`."""
        from autospace.compute.node import RemoteWorker

        self._ray, self._most, self._folder = ray, most, folder
        self._kind, self._on_gpus, self._unused = kind, kind != "cpu", set[str]()
        self._thread_count, self._say = thread_count, on_message
        self._errors = (*errors, RoomError)  # of a node's disk
        self._on_nodes = on_nodes
        self._rounding, self._name = rounding, secrets.token_hex(8)
        self._nodes: dict[str, Node] = {}
        self._members: list[_Member] = []
        self._roundings: dict[str, dict[str, str]] = {}
        self._memory: dict[str, int] = {}
        self._refused: set[str] = set()
        self._failures: Counter[str] = Counter()
        self._agreed: Mapping[str, str] | None = None
        self._looked, self._heard = float("-inf"), time.monotonic()
        self._job: Job | None = None
        self._number, self._stored = 0, Stored(b"", [])
        self._shares: Counter[str] = Counter()
        # Ray lets a worker see only the GPUs that it was given.
        given = {"num_cpus": thread_count, "num_gpus": int(self._on_gpus)}
        self._actor = ray.remote(**given, max_restarts=0, max_task_retries=0)(RemoteWorker)

    @property
    def count(self) -> int:
        """See `Pool`."""
        return max(1, sum(member.ready for member in self._members))

    @property
    def memory(self) -> int:
        """See `Pool`."""
        nodes = [node for node in self._nodes.values() if node.id in self._memory]
        each = [self._memory[node.id] // (1 if self._on_gpus else node.slots) for node in nodes]
        return min(each, default=0)

    @property
    def hardware(self) -> Hardware:
        """See `Pool`."""
        if not self._on_gpus or self._agreed is None:
            return Hardware(self._kind, "float32", "")
        narrow = self._agreed["precision"] == "bfloat16"
        kernels = self._agreed["gpu kernels"]
        return Hardware(self._kind, "bfloat16" if narrow else "float32", kernels)

    @property
    def gpus(self) -> dict[str, str]:
        """The GPUs of every node, by its name."""
        return gpus_of(self._ray)

    @property
    def shares(self) -> Mapping[str, int]:
        """See `Pool`."""
        return dict(sorted(self._shares.items()))

    @property
    def roundings(self) -> dict[str, dict[str, str]]:
        """What decides the last digits, per name of a node that has answered."""
        found = {self._nodes[each].name: value for each, value in self._roundings.items()}
        return dict(sorted(found.items()))

    def start(self) -> None:
        """Starts workers on all nodes, and checks that these give equal bytes.

        On GPUs they give numbers that are equal up to rounding.

        Raises:
            ClusterError: nodes differ from each other, or in software from this machine; or workers
                need GPUs, and there are none.
        """
        if self._on_gpus and set(self.gpus.values()) <= {NO_GPU}:
            problem = f'device: "{self._kind}", but no node of the cluster has a GPU'
            raise ClusterError(f"{problem}; allowed: cpu, or nodes that Ray knows GPUs of")
        deadline = time.monotonic() + SECONDS_TO_ANSWER
        while True:
            self._tell()
            self._look()
            self._replies()
            self._remind()
            silent = self._silent()
            if self._roundings and not silent:
                break
            if self._roundings and time.monotonic() > deadline:
                self._say(f"no answer yet from {', '.join(silent)}; the work begins without them")
                break
        # What this machine's processor rounds differently from GPUs is no news.
        said = (lambda _: None) if self._on_gpus else self._say
        self._agreed = agreed(self.roundings, self._rounding(CPU.type), said)
        workers = Counter(member.node.name for member in self._members)
        listed = ", ".join(f"{name} ({count})" for name, count in sorted(workers.items()))
        each = f", each with a GPU ({self._agreed['gpu']})" if self._on_gpus else ""
        self._say(f"cluster: nodes and their workers{each}: {listed}")

    def _silent(self) -> list[str]:
        """Nodes that have not answered; with fewer workers than nodes, some nodes have none.

        On GPUs every worker has to answer: a round is divided between those that are there.
        """
        if self._on_gpus:
            return sorted({each.node.name for each in self._members if not each.ready})
        asked = {each.node for each in self._members}
        return sorted(node.name for node in asked if node.id not in self._roundings)

    def results(
        self, job: Job, requests: Sequence[Plain], on_message: OnMessage | None = None
    ) -> Iterator[tuple[int, Plain]]:
        """See `Pool`."""
        if requests:
            self._pack(job)
        waiting, bodies = deque(range(len(requests))), [encoded(each) for each in requests]
        busy: dict[_Member, int] = {}
        losses: Counter[int] = Counter()
        while waiting or busy:
            self._look()
            self._share_out(waiting, bodies, busy)
            replies = self._replies()
            self._take_back(waiting, busy, losses)
            for member, reply in replies:
                if member not in busy:
                    continue  # to a request of an earlier call that was stopped
                place = busy.pop(member)
                if on_message is not None:
                    for message in reply["messages"]:
                        on_message(place, message)
                if "error" in reply:
                    raise raised(self._errors, **reply["error"])
                self._shares[member.node.name] += 1
                yield place, reply["result"]
            if not replies:  # After a reply, its receiver may stop the work.
                self._tell()
            self._remind()

    def close(self) -> None:
        """Ends all workers, whatever they are doing, and has every node remove the files.

        Workers that are killed remove nothing: an idle one of their node does, or another task.
        """
        idle = [each for each in self._members if each.ready and each.pending is None]
        killed = [each for each in self._members if each not in idle]
        for member in killed:
            self._drop(member)
        left = [each.actor.leave.remote() for each in idle]
        without = {each.node for each in killed} - {each.node for each in idle}
        left += [self._removed(node) for node in without if node.id in self._nodes]
        if left:
            self._ray.wait(left, num_returns=len(left), timeout=SECONDS_TO_LEAVE)
        for member in idle:
            self._drop(member)
        shutil.rmtree(self._folder, ignore_errors=True)

    def _removed(self, node: Node) -> Any:
        """A task without a core, which removes the files on a node."""
        from autospace.compute.node_files import remove_files

        task = self._ray.remote(num_cpus=0, max_retries=0)(remove_files)
        return task.options(scheduling_strategy=self._only(node)).remote(self._name_on(node))

    def _pack(self, job: Job) -> None:
        if job is not self._job:
            self._stored = stored(self._ray, job, self._folder, self._tell)
            self._job, self._number = job, self._number + 1

    def _tell(self) -> None:
        """Says what every node has done; who hears it may stop the work."""
        self._on_nodes(self.shares)

    def _share_out(
        self, waiting: deque[int], bodies: list[bytes], busy: dict[_Member, int]
    ) -> None:
        for member in self._members:
            if not waiting:
                return
            if member.ready and member.pending is None:
                if member.begun != self._number:
                    member.begins = member.actor.begin.remote(*self._stored)
                    member.begun = self._number
                busy[member] = waiting.popleft()
                member.pending = member.actor.reply.remote(bodies[busy[member]])

    def _take_back(
        self, waiting: deque[int], busy: dict[_Member, int], losses: Counter[int]
    ) -> None:
        """Puts the requests of lost workers in front of those that wait."""
        for member in [each for each in busy if each.lost]:
            place = busy.pop(member)
            losses[place] += 1
            if losses[place] >= MOST_LOSSES:
                problem = f"{MOST_LOSSES} workers ended in the same request"
                ended = member.end == "ended"
                why = "perhaps for lack of memory" if ended else f"which {member.end}"
                where = f"the last on node {member.node.name}, {why}"
                raise WorkerLostError(f"{problem}, {where}")
            waiting.appendleft(place)

    def _replies(self) -> list[tuple[_Member, dict[str, Any]]]:
        """Replies to requests; waits for one, at most until the next look. Greets new workers."""
        asked = {each.pending: each for each in self._members if each.pending is not None}
        if not asked:
            time.sleep(SECONDS_BETWEEN_LOOKS / 10)
            return []
        ready, _ = self._ray.wait(list(asked), timeout=SECONDS_BETWEEN_LOOKS)
        replies = []
        for each in ready:
            member = asked[each]
            try:
                reply = json.loads(self._ray.get(each))
            except (self._ray.exceptions.RayError, ImportError) as error:
                self._fail(member, error)
                continue
            if LOST in reply.get("error", {}).get("kinds", ()):
                member.end = "could not fetch the files of the work"
                self._fail(member, RuntimeError(member.end))
                continue
            member.pending = None
            self._heard = time.monotonic()
            if member.ready:
                replies.append((member, reply))
            else:
                self._greet(member, reply)
        return replies

    def _greet(self, member: _Member, reply: dict[str, Any]) -> None:
        node, member.ready = member.node, True
        # GPUs of a node may be shared with others.
        least = self._memory.get(node.id, reply["memory"]) if self._on_gpus else reply["memory"]
        self._memory[node.id] = min(reply["memory"], least)
        own = reply["rounding"]
        known = self._roundings.setdefault(node.id, own)
        if self._agreed is None:
            unlike = ", ".join(differences(known, own))
            if unlike:  # GPUs of one node
                problem = f"workers of node {node.name} would give other bytes: {unlike}"
                raise ClusterError(f"cluster: {problem}; allowed: workers that agree")
            return
        different = differences(self._agreed, own)
        if different:
            problem = f"it would give other bytes: {', '.join(different)}"
            self._refuse(node, f"node {node.name} is not used: {problem}")
        elif sum(each.node == node for each in self._members if each.ready) == 1:
            self._say(f"node {node.name} has joined")

    def _fail(self, member: _Member, error: Exception) -> None:
        """Deals with a worker that has ended, or never began."""
        node, began = member.node, member.ready
        self._drop(member)
        if began:
            self._say(f"a worker on node {node.name} {member.end}; its work is done again")
            return
        if node.id not in nodes_of(self._ray, self._thread_count, self._kind):
            return  # The node is gone, which the next look says.
        self._failures[node.id] += 1
        if self._failures[node.id] < MOST_STARTS:
            return  # The next look starts another one: a node that has just died looks like this.
        problem = f"node {node.name}: no worker starts there: {first_line(error)}"
        if self._agreed is None:
            raise ClusterError(problem)
        self._refuse(node, f"{problem}; it is not used")

    def _refuse(self, node: Node, problem: str) -> None:
        self._refused.add(node.id)
        for member in [each for each in self._members if each.node.id == node.id]:
            self._drop(member)
        self._say(problem)

    def _drop(self, member: _Member) -> None:
        member.lost, member.ready = True, False
        if member in self._members:
            self._members.remove(member)
        with suppress(Exception):  # Ray refuses to end what has ended.
            self._ray.kill(member.actor, no_restart=True)

    def _look(self) -> None:
        """Finds nodes that have gone, and starts workers wherever there is room."""
        if time.monotonic() - self._looked < SECONDS_BETWEEN_LOOKS:
            return
        self._looked = time.monotonic()
        alive = nodes_of(self._ray, self._thread_count, self._kind)
        if self._on_gpus:
            unused = {name for name, gpus in self.gpus.items() if gpus == NO_GPU} - self._unused
            if unused:
                self._unused |= unused
                self._say(f"nodes without a GPU are not used: {', '.join(sorted(unused))}")
        for node in [each for each in self._nodes.values() if each.id not in alive]:
            del self._nodes[node.id]
            self._roundings.pop(node.id, None)
            self._memory.pop(node.id, None)
            if node.id not in self._refused:
                self._say(f"node {node.name} is gone; its work is done again")
            for member in [each for each in self._members if each.node.id == node.id]:
                self._drop(member)
        self._nodes |= {each: node for each, node in alive.items() if each not in self._nodes}
        self._fill()

    def _fill(self) -> None:
        """One worker on every node, then the second ones, and so on, up to the limit."""
        usable = [node for node in self._nodes.values() if node.id not in self._refused]
        there = Counter(member.node.id for member in self._members)
        for number in range(1, max((node.slots for node in usable), default=0) + 1):
            for node in usable:
                full = self._most is not None and len(self._members) >= self._most
                if not full and there[node.id] < number <= node.slots:
                    self._members.append(self._started(node))
                    there[node.id] += 1

    def _started(self, node: Node) -> _Member:
        actor = self._actor.options(scheduling_strategy=self._only(node)).remote(
            self._name_on(node), self._thread_count, self._kind
        )
        function = self._rounding
        hello = actor.hello.remote(function.__module__, function.__qualname__)
        return _Member(node, actor, hello)

    def _only(self, node: Node) -> Any:
        strategy = self._ray.util.scheduling_strategies.NodeAffinitySchedulingStrategy
        return strategy(node.id, soft=False)

    def _name_on(self, node: Node) -> str:
        return f"{self._name}-{node.id[:16]}"

    def _remind(self) -> None:
        """Says now and then that there is nobody to do the work."""
        if any(each.ready for each in self._members):
            return
        if time.monotonic() - self._heard > SECONDS_BETWEEN_REMINDERS:
            self._heard = time.monotonic()
            problem = "no worker of the cluster answers, or none is free"
            also = " and a GPU" if self._on_gpus else ""
            room = f"each takes cores of a node: {self._thread_count}{also}"
            self._say(f"{problem} ({room}); waiting for one")


@contextmanager
def open_cluster(
    address: str | None,
    most: int | None,
    folder: Path,
    rounding: Rounding,
    on_message: Said,
    thread_count: int = 1,
    errors: tuple[type[Exception], ...] = (),
    kind: str = "cpu",
    on_nodes: OnNodes = unwatched,
) -> Iterator[RayPool]:
    """A pool on a Ray cluster for the block, which is ready for work.

    Args:
        address: HOST:PORT; None for the cluster that `RAY_ADDRESS` names or that runs on this
            machine, or else for one that this call starts on the loopback interface, and ends.
        most: workers at most; None for all that there is room for.
        folder: for the files of jobs only; it is removed with everything in it.
        rounding: what nodes have to agree in.
        on_message: called with what happens to the nodes.
        thread_count: threads of torch in each worker.
        errors: exceptions, made of plain values, that are raised here as in the worker.
        kind: `cuda` for workers that have a GPU each; `cpu`.
        on_nodes: called with the shares of the nodes, about once a second while workers are waited
            for; may raise to stop the work, however long the requests are.

    Raises:
        ClusterError: there is no such cluster, its nodes do not agree, or they lack GPUs.
    """
    room = cores() if most is None else most * thread_count
    with ray_session(address, room, on_message) as ray:
        pool = RayPool(
            ray, folder, rounding, on_message,
            most=most, thread_count=thread_count, errors=errors, kind=kind, on_nodes=on_nodes,
        )  # fmt: skip
        try:
            pool.start()
            yield pool
        finally:
            pool.close()
