"""A Ray cluster of several nodes on the loopback interface, for tests.

A node is a session of processes, whose leader is its keeper. The keeper kills the session as soon
as the test is gone, however it ended: nothing of Ray outlives a test that fails, or that is killed.
"""

import hashlib
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from tempfile import TemporaryDirectory
from types import MappingProxyType
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from autospace.compute.worker import Plain, Report, Work

ROOT: Final = Path(__file__).resolve().parents[2]
SETTINGS: Final = {
    "RAY_AUTH_MODE": "token",
    "RAY_AUTH_TOKEN": "0" * 64,
    "RAY_USAGE_STATS_ENABLED": "0",
    "OMP_NUM_THREADS": "1",
    # However busy the machine is.
    "RAY_worker_niceness": "0",
    "RAY_worker_register_timeout_seconds": "300",
}
"""Of the nodes, and of whoever uses them."""
ROOM: Final = 100_000_000
"""Bytes of a node's object store."""
NOTHING: Final[Mapping[str, str]] = MappingProxyType({})
SECONDS_TO_START: Final = 120.0
LOG: Final = "said"
STARTED: Final = "Ray runtime started."


class Counting:
    """A job for tests: where a request is done, by whom, and which copy of the images is read."""

    def __init__(self, content: bytes) -> None:
        self.content = content

    def begin(self, report: "Report") -> "Work":
        raise NotImplementedError

    def pack(self, folder: Path, *, whole: bool) -> "Plain":
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "images").write_bytes(self.content)
        return len(self.content)

    @staticmethod
    def begin_packed(packed: "Plain", folder: Path, report: "Report") -> "Work":
        def work(seconds: "Plain") -> "Plain":
            time.sleep(seconds)
            found = (folder / "images").stat()
            if found.st_size != packed:
                raise ValueError(f"{found.st_size} bytes of images, not {packed}")
            return [os.environ["AUTOSPACE_TEST_NODE"], os.getpid(), found.st_ino]

        return work


class Digesting(Counting):
    """A job for tests: where a request is done, and what the images there are."""

    @staticmethod
    def begin_packed(packed: "Plain", folder: Path, report: "Report") -> "Work":
        def work(seconds: "Plain") -> "Plain":
            time.sleep(seconds)
            with (folder / "images").open("rb") as stream:
                digest = hashlib.file_digest(stream, "sha256").hexdigest()
            return [os.environ["AUTOSPACE_TEST_NODE"], digest]

        return work


class Seeing:
    """A job for tests: which GPU a worker was given, and what it then computes on."""

    def begin(self, report: "Report") -> "Work":
        raise NotImplementedError

    def pack(self, folder: Path, *, whole: bool) -> "Plain":
        return None

    @staticmethod
    def begin_packed(packed: "Plain", folder: Path, report: "Report") -> "Work":
        from autospace.compute.device import own_device

        def work(seconds: "Plain") -> "Plain":
            time.sleep(seconds)
            given = os.environ["CUDA_VISIBLE_DEVICES"]
            return [os.environ["AUTOSPACE_TEST_NODE"], given, str(own_device("cuda"))]

        return work


class Cluster:
    """Nodes at addresses of the loopback interface, each with one core unless asked for more.

    GPUs are pretended.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._keepers: list[subprocess.Popen[bytes]] = []
        # Ray replaces 127.0.0.1 by the machine's own address.
        self.address = f"127.0.0.3:{_free_port('127.0.0.3')}"

    def start_head(
        self, cores: int = 1, environment: Mapping[str, str] = NOTHING, gpus: int = 0
    ) -> None:
        """Starts the head, 127.0.0.3, and waits until it answers."""
        host, _, port = self.address.partition(":")
        place = [
            *(f"--port={port}", f"--temp-dir={self.folder}"),
            *("--include-dashboard=false", f"--ray-client-server-port={_free_port(host)}"),
        ]
        self._start(["--head", f"--node-ip-address={host}", *place], (cores, gpus), environment)
        deadline = time.monotonic() + SECONDS_TO_START
        while True:
            try:
                socket.create_connection((host, int(port)), 1).close()
                return
            except OSError:
                if time.monotonic() > deadline or self._keepers[-1].poll() is not None:
                    problem = f"the head of the cluster does not start: {self._said()[-2000:]}"
                    raise RuntimeError(problem) from None
                time.sleep(0.2)

    def start_node(
        self,
        host: str = "127.0.0.2",
        cores: int = 1,
        environment: Mapping[str, str] = NOTHING,
        gpus: int = 0,
    ) -> int:
        """Starts a node and waits until it runs; returns its number, the head being 0.

        Nodes that start on one machine at the same time take each other's ports, and end.
        """
        place = [f"--address={self.address}", f"--node-ip-address={host}"]
        self._start(place, (cores, gpus), environment)
        deadline = time.monotonic() + SECONDS_TO_START
        while self._said().count(STARTED) < len(self._keepers):  # Each says so once.
            if time.monotonic() > deadline or self._keepers[-1].poll() is not None:
                raise RuntimeError(f"the node does not start: {self._said()[-2000:]}")
            time.sleep(0.2)
        return len(self._keepers) - 1

    def _said(self) -> str:
        return (self.folder / LOG).read_text("utf-8", "replace")

    def kill(self, number: int) -> None:
        """SIGKILL to all processes of a node, as if the machine had lost its power."""
        keeper = self._keepers[number]
        kill_all(keeper.pid)
        keeper.kill()
        keeper.communicate()

    def freeze(self, number: int) -> None:
        """SIGSTOP to all processes of a node: its connections stay, and it answers nothing."""
        for pid in self.processes(number):
            os.kill(pid, signal.SIGSTOP)

    def processes(self, number: int) -> list[int]:
        """The processes of a node that live."""
        return members(self._keepers[number].pid)

    def close(self) -> None:
        """Kills all nodes."""
        for number in range(len(self._keepers)):
            self.kill(number)

    def _start(
        self, options: list[str], has: tuple[int, int], environment: Mapping[str, str]
    ) -> None:
        name = {"AUTOSPACE_TEST_NODE": str(len(self._keepers)), "PYTHONPATH": str(ROOT)}
        # As on machines of their own, nodes share no temporary files.
        place = self.folder / f"tmp{len(self._keepers)}"
        place.mkdir()
        # No GPU need be there: Ray counts them, and tells workers which they have.
        counts = [f"--num-cpus={has[0]}", f"--num-gpus={has[1]}"]
        room = [*counts, f"--object-store-memory={ROOM}"]
        command = [sys.executable, "-m", "ray.scripts.scripts", "start", "--block", *options, *room]
        with (self.folder / LOG).open("ab") as log:
            keeper = subprocess.Popen(
                [sys.executable, __file__, *command],
                env={**os.environ, **SETTINGS, **name, "TMPDIR": str(place), **environment},
                stdin=subprocess.PIPE,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        self._keepers.append(keeper)


@contextmanager
def cluster() -> Iterator[Cluster]:
    """A cluster without nodes; those that are started in the block are killed at its end."""
    # The paths of Ray's sockets must be short: not a folder of pytest.
    with TemporaryDirectory(prefix="r", dir="/tmp", ignore_cleanup_errors=True) as folder:
        made = Cluster(Path(folder))
        try:
            yield made
        finally:
            made.close()


def members(session: int) -> list[int]:
    """The processes of a session that live, without its leader."""
    found = []
    for place in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):
            state, _, _, own = (place / "stat").read_text().rpartition(")")[2].split()[:4]
            if int(own) == session != int(place.name) and state not in "XZ":
                found.append(int(place.name))
    return found


def kill_all(session: int) -> None:
    """SIGKILL to all processes of a session, and to those that they start meanwhile."""
    while left := members(session):
        for pid in left:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        time.sleep(0.05)


def _free_port(host: str) -> int:
    with socket.socket() as free:
        free.bind((host, 0))
        return int(free.getsockname()[1])


def _keep(command: list[str]) -> None:
    """Runs a node until it ends, or the other end of the standard input is closed."""
    with subprocess.Popen(command, stdin=subprocess.DEVNULL) as node:
        threading.Thread(target=_end_with_owner, args=(node,), daemon=True).start()
    kill_all(os.getpid())
    os._exit(0)  # The thread still reads.


def _end_with_owner(node: subprocess.Popen[bytes]) -> None:
    sys.stdin.buffer.read()
    node.kill()


if __name__ == "__main__":
    _keep(sys.argv[1:])
