"""Executors: what may be combined, which nodes agree, and two nodes of which one is killed."""

import errno
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
import weakref
from collections import Counter, deque
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from importlib.util import find_spec
from pathlib import Path
from threading import Timer
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch

from autospace.cli.progress.base import Reporter
from autospace.cli.progress.parts import Parts
from autospace.compute import object_store
from autospace.compute.cluster import LOST, MOST_LOSSES, RayPool, _Member, unwatched
from autospace.compute.cluster_nodes import Node, differences, nodes_of
from autospace.compute.executor import HERE, Executor, open_pool
from autospace.compute.node import RemoteWorker
from autospace.compute.node_files import NodeFiles, remove_files
from autospace.compute.object_store import Stored
from autospace.compute.ray_session import (
    ClusterError,
    _connect,
    _own_cluster,
    check_address,
    first_line,
    ray_session,
)
from autospace.compute.worker import Worker, WorkerLostError, encoded
from autospace.networks.rounding import rounding
from autospace.runs.errors import ConfigError, RoomError
from tests.compute.loopback import Counting

needs_ray = pytest.mark.skipif(find_spec("ray") is None, reason="make test-cluster has it")
linux_only = pytest.mark.skipif(sys.platform != "linux", reason="Ray clusters are made of Linux")


@pytest.mark.parametrize(
    ("workers", "name", "address", "problem"),
    [
        (1, "dask", None, 'executor: "dask".*here, processes, ray'),
        (2, "here", None, "workers: 2; allowed with executor here: 1"),
        (0, None, None, "workers: 0; allowed: 1 or more"),
        (2, "processes", "a:1", 'address: "a:1" needs executor ray'),
    ],
)
def test_values_that_exclude_each_other(
    workers: int, name: str | None, address: str | None, problem: str
) -> None:
    with pytest.raises(ConfigError, match=problem):
        Executor(workers, name, address)


def test_a_number_of_workers_is_chosen_only_where_none_was_asked_for() -> None:
    assert Executor().sized(4).workers == 4
    assert Executor(2).sized(4).workers == 2
    assert HERE.sized(4).workers == 1
    assert Executor(None, "ray").sized(4).workers is None


def test_a_cluster_needs_to_know_what_nodes_agree_in(tmp_path: Path) -> None:
    with (
        pytest.raises(ConfigError, match="allowed here: here or processes"),
        open_pool(Executor(1, "ray"), tmp_path / "pool"),
    ):
        pass


@needs_ray
@pytest.mark.parametrize("address", ["nowhere", "host:x", ":1", "host:70000"])
def test_what_is_no_address(address: str) -> None:
    with (
        pytest.raises(ClusterError, match="allowed: HOST:PORT of a Ray head"),
        ray_session(address, 1, lambda _: None),
    ):
        pass


@needs_ray
def test_an_address_where_nothing_answers() -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{free.getsockname()[1]}"
        with (
            pytest.raises(ClusterError, match="nothing answers there"),
            ray_session(address, 1, lambda _: None),
        ):
            pass


@pytest.mark.parametrize("host", ["head..lan", "h" * 64])
def test_a_name_that_no_host_can_have(host: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("autospace.compute.ray_session.find_spec", lambda _: SimpleNamespace())
    with pytest.raises(ClusterError, match=r"^address .*: nothing answers there: .*label"):
        check_address(f"{host}:6379")


def test_differences_name_both_values() -> None:
    assert differences({"torch": "2", "vectors": "AVX2"}, {"torch": "2", "vectors": "AVX512"}) == [
        "vectors AVX2 and AVX512"
    ]
    assert differences({}, {"torch": "2"}) == ["torch none and 2"]
    assert first_line(ValueError("one\n two \n")) == "two"


@pytest.mark.slow
def test_rounding_shows_settings_that_libraries_do_not_report() -> None:
    own = rounding()
    assert own == rounding()
    code = "from autospace.networks.rounding import rounding; print(rounding()['sums'])"
    environment = {**os.environ, "ATEN_CPU_CAPABILITY": "default", "ONEDNN_MAX_CPU_ISA": "SSE41"}
    other = subprocess.run(
        [sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True
    )
    if own["vectors"] != "DEFAULT":
        assert other.stdout.strip() != own["sums"]


def test_nodes_with_equal_addresses_are_told_apart() -> None:
    def node(number: str, address: str, cpus: float, alive: bool = True) -> dict[str, Any]:
        resources = {"CPU": cpus}
        return {
            "NodeID": number, "NodeManagerAddress": address, "Alive": alive, "Resources": resources
        }  # fmt: skip

    listed = [
        node("aaaaaaaa", "10.0.0.1", 4.0), node("bbbbbbbb", "10.0.0.1", 2.0),
        node("cccccccc", "10.0.0.2", 1.0), node("dddddddd", "10.0.0.3", 8.0, alive=False),
    ]  # fmt: skip
    found = nodes_of(SimpleNamespace(nodes=lambda: listed), 2)
    assert [(each.name, each.slots) for each in found.values()] == [
        ("10.0.0.1#aaaaaa", 2),
        ("10.0.0.1#bbbbbb", 1),
    ]


@linux_only
def test_the_last_worker_of_a_node_removes_the_files(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tempfile.gettempdir", lambda: str(tmp_path))
    base = tmp_path / f"autospace-{os.getuid()}"
    one, two = NodeFiles("pool"), NodeFiles("pool")
    folder = one.folder("job", {"a": [b"con", b"tent"]}, {"a": 7})
    assert two.folder("job", {"a": [b"con", b"tent"]}, {"a": 7}) == folder
    assert (folder / "a").read_bytes() == b"content"
    assert base.stat().st_mode & 0o077 == 0
    one.leave()
    assert (folder / "a").exists()
    two.leave()
    assert not base.exists()


@linux_only
def test_files_of_killed_workers_are_removed_and_others_are_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tempfile.gettempdir", lambda: str(tmp_path))
    killed, living = NodeFiles("killed"), NodeFiles("living")
    os.close(killed._lock)  # as the end of its process does
    NodeFiles("new")
    names = {each.name for each in (tmp_path / f"autospace-{os.getuid()}").iterdir()}
    assert names == {"living", "new"}
    living.leave()


@linux_only
def test_what_a_worker_has_written_in_part_is_removed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tempfile.gettempdir", lambda: str(tmp_path))
    files = NodeFiles("pool")

    def broken() -> Iterator[bytes]:
        yield b"con"
        raise ConnectionError("the head is gone")

    with pytest.raises(ConnectionError):
        files.folder("job", {"a": broken()}, {"a": 7})
    folder = files._place / "job"
    assert [each.name for each in folder.iterdir()] == [".lock"]
    (folder / ".a.123").write_bytes(b"con")  # of a worker that was killed
    files.folder("job", {"a": [b"content"]}, {"a": 7})
    assert {each.name for each in folder.iterdir()} == {".lock", "a"}
    files.leave()


@linux_only
@pytest.mark.parametrize("when", ["before", "while"])
def test_a_disk_of_a_node_that_is_full_is_an_error_of_one_line(
    when: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tempfile.gettempdir", lambda: str(tmp_path))
    worker, usage = object.__new__(RemoteWorker), shutil.disk_usage(tmp_path)
    worker._files, worker._worker = NodeFiles("pool"), Worker(torch.get_num_threads())

    def get(reference: bytes) -> bytes:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    free = {"before": 6, "while": 7}[when]
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage._replace(free=free))
    monkeypatch.setitem(sys.modules, "ray", SimpleNamespace(get=get))
    worker.begin(encoded({"job": {}, "files": {"images": 7}, "digest": "0"}), [[b"content"]])
    reply = json.loads(worker.reply(b"1"))
    pool, _ = _pool_of_one([reply])
    with pytest.raises(RoomError, match=r"^node .*: .*; allowed: less data, ") as error:
        list(pool.results(_job_of(pool), [1]))
    assert ("became full" in str(error.value)) == (when == "while")
    worker.leave()


@linux_only
def test_files_of_workers_that_a_stop_has_killed_are_removed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tempfile.gettempdir", lambda: str(tmp_path))
    base = tmp_path / f"autospace-{os.getuid()}"
    busy, idle = NodeFiles("pool"), NodeFiles("pool")
    end = Timer(0.1, os.close, [busy._lock])  # Its process takes a moment to end.
    end.start()
    idle.leave(60)
    assert not base.exists()
    end.join()
    alone = NodeFiles("alone")
    alone.folder("job", {"a": [b"content"]}, {"a": 7})
    os.close(alone._lock)
    remove_files("alone")
    assert not base.exists()


@linux_only
def test_a_folder_that_others_can_change_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tempfile.gettempdir", lambda: str(tmp_path))
    base = tmp_path / f"autospace-{os.getuid()}"
    base.mkdir()
    base.chmod(0o777)
    with pytest.raises(OSError, match="others have access to it; allowed: mode 700"):
        NodeFiles("pool")


@linux_only
def test_files_reach_a_node_once_however_many_workers_it_has(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tempfile.gettempdir", lambda: str(tmp_path))
    workers = [NodeFiles("pool") for _ in range(8)]
    fetched: list[bytes] = []

    def fetch(piece: bytes) -> bytes:
        fetched.append(piece)
        time.sleep(0.05)  # so that the others come meanwhile
        return piece

    def folder(worker: NodeFiles) -> Path:
        return worker.folder("job", {"images": map(fetch, [b"12", b"34"])}, {"images": 4})

    with ThreadPoolExecutor(8) as threads:
        folders = set(threads.map(folder, workers))
    assert fetched == [b"12", b"34"]
    assert [(each / "images").read_bytes() for each in folders] == [b"1234"]
    for each in workers:
        each.leave()


@linux_only
def test_files_travel_in_pieces_of_which_a_process_holds_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where they were put into Ray's store as one value each, three times their size was needed."""
    monkeypatch.setattr("autospace.compute.object_store.PIECE", 100)
    monkeypatch.setattr("tempfile.gettempdir", lambda: str(tmp_path))
    content = bytes(range(250)) * 2
    put: list[weakref.ref[np.ndarray]] = []

    class Store:
        """What Ray does; it keeps pieces elsewhere."""

        def put(self, piece: np.ndarray) -> bytes:
            assert not any(each() is not None for each in put)
            put.append(weakref.ref(piece))
            return piece.tobytes()

    given: dict[str, Any] = {}
    pool = object.__new__(RayPool)
    pool._ray, pool._folder, pool._job, pool._number = Store(), tmp_path / "pack", None, 0
    pool._on_nodes, pool._shares = unwatched, Counter()
    monkeypatch.setattr("autospace.compute.object_store.check_store", lambda *_: None)
    pool._pack(Counting(content))
    sizes = [len(piece) for pieces in pool._stored.contents for piece in pieces]
    assert sizes == [100] * 5

    held: list[weakref.ref[np.ndarray]] = []

    def get(reference: bytes) -> np.ndarray:
        assert not any(each() is not None for each in held)
        piece = np.frombuffer(reference, np.uint8).copy()
        held.append(weakref.ref(piece))
        return piece

    monkeypatch.setitem(sys.modules, "ray", SimpleNamespace(get=get))
    worker = object.__new__(RemoteWorker)
    worker._files = NodeFiles("pool")
    worker._worker = SimpleNamespace(  # type: ignore[assignment]
        begin=lambda job, folder: given.update(job=job, folder=folder())
    )
    worker.begin(*pool._stored)
    assert (given["folder"] / "images").read_bytes() == content
    worker.begin(*pool._stored)
    assert len(held) == 5  # What the node has is not fetched again.
    worker.leave()


def test_without_ray_the_command_says_what_to_install(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "ray", None)
    wanted = r"executor ray: needs Ray: pip install 'autospace\[cluster\]'"
    with pytest.raises(ClusterError, match=wanted), ray_session(None, 1, lambda _: None):
        pass
    assert "RAY_AUTH_TOKEN" not in os.environ


@pytest.mark.parametrize("address", [None, "127.0.0.1:1"])
def test_what_stops_this_process_stays_its_own_affair(address: str | None) -> None:
    """The handler of Ray aborts the process, with a trace of compiled code."""

    def own(number: int, frame: object) -> None:
        """Of the command line."""

    ray: Any = SimpleNamespace(
        init=lambda **_: signal.signal(signal.SIGTERM, signal.default_int_handler),
        shutdown=lambda: None,
        exceptions=SimpleNamespace(RayError=RuntimeError),
        _private=SimpleNamespace(ray_constants=SimpleNamespace()),
    )
    before = signal.signal(signal.SIGTERM, own)
    try:
        if address is None:
            with _own_cluster(ray, 1):
                assert signal.getsignal(signal.SIGTERM) is own
        else:
            _connect(ray, address)
            assert signal.getsignal(signal.SIGTERM) is own
    finally:
        signal.signal(signal.SIGTERM, before)


class Call:
    """A method of an actor, or a task, as Ray has them; what was called."""

    def __init__(self, calls: list[str], name: str) -> None:
        self._calls, self._name = calls, name

    def remote(self, *_: Any) -> str:
        self._calls.append(self._name)
        return f"{self._name} {len(self._calls)}"


def _pool_of_one(replies: list[dict[str, Any]], *names: str) -> tuple[RayPool, list[str]]:
    """A pool with a job and workers that are ready, one or some, and what is called.

    They give these replies. After the last one they work on for as long as they are waited for.
    """
    calls: list[str] = []

    def waited(references: list[str], **_: Any) -> tuple[list[str], list[str]]:
        calls.append("wait")
        assert calls.count("wait") < 9, "waits on"
        return (references[:1] if replies else []), []

    def task(function: Any, **_: Any) -> Any:
        return SimpleNamespace(options=lambda **_: Call(calls, function.__name__))

    strategies = SimpleNamespace(NodeAffinitySchedulingStrategy=lambda *_, **__: None)
    pool = object.__new__(RayPool)
    pool._ray = SimpleNamespace(
        wait=waited,
        get=lambda _: encoded(replies.pop(0)),
        kill=lambda actor, **_: calls.append(f"kill {actor.name}"),
        remote=lambda **_: task,
        exceptions=SimpleNamespace(RayError=KeyError),
        util=SimpleNamespace(scheduling_strategies=strategies),
        get_runtime_context=lambda: SimpleNamespace(get_node_id=lambda: "a"),
        nodes=list,
        _private=SimpleNamespace(worker=None),
    )
    pool._say, pool._name, pool._folder = calls.append, "pool", Path("nowhere")
    pool._on_nodes, pool._shares, pool._errors = unwatched, Counter(), (RoomError,)
    pool._job = Counting(b"")
    pool._number, pool._stored = 1, Stored(b"", [])
    pool._looked = pool._heard = float("inf")
    pool._members = []
    for name in names or ("one",):
        methods = {each: Call(calls, f"{each} {name}") for each in ("begin", "reply", "leave")}
        actor = SimpleNamespace(name=name, **methods)
        pool._members.append(
            _Member(Node(name[0], f"10.0.0.{name[0]}", 2), actor, None, ready=True)
        )
    pool._nodes = {each.node.id: each.node for each in pool._members}
    return pool, calls


@pytest.mark.parametrize("signal_", [signal.SIGTERM, signal.SIGINT])
def test_a_stop_does_not_wait_for_a_request(signal_: int, tmp_path: Path) -> None:
    reporter = Reporter("evolve", Parts())
    reporter.interrupt(signal_, None)
    pool, calls = _pool_of_one([{"result": 7, "messages": []}])
    pool._on_nodes, pool._folder = reporter.nodes, tmp_path / "files"
    with pytest.raises(KeyboardInterrupt):
        pool._pack(Counting(b"content"))
    results = pool.results(_job_of(pool), [1, 2])
    assert next(results) == (0, 7)  # What is done is kept.
    with pytest.raises(KeyboardInterrupt):
        next(results)
    assert calls.count("wait") <= 3


def _job_of(pool: RayPool) -> Counting:
    pool._job = job = Counting(b"")
    return job


def test_a_worker_that_cannot_fetch_files_is_replaced() -> None:
    error = {"kinds": [LOST, "builtins.Exception"], "arguments": [], "trace": ""}
    pool, calls = _pool_of_one([{"error": error, "messages": []}], "one", "two")
    pool._ray.get = lambda _: encoded(
        {"error": error, "messages": []}
        if "kill one" not in calls
        else {"result": 7, "messages": []}
    )
    assert sorted(pool.results(_job_of(pool), [1, 2])) == [(0, 7), (1, 7)]
    assert calls.count("kill one") == 1
    said = "a worker on node 10.0.0.o could not fetch the files of the work; its work is done"
    assert f"{said} again" in calls


def test_a_store_without_room_is_an_error_of_one_line() -> None:
    pool, _ = _pool_of_one([])

    def put(_: object) -> None:
        raise KeyError("disk full")

    pool._ray.put = put
    place, stores = SimpleNamespace(get_session_dir_path=lambda: "/"), {"object_store_memory": 9.0}
    pool._ray._private = SimpleNamespace(worker=SimpleNamespace(_global_node=place))
    pool._ray.nodes = lambda: [{"NodeID": "a", "Resources": stores}]
    object_store.check_store(pool._ray, 9)
    with pytest.raises(RoomError, match=r"^/: workers need a copy of the data there"):
        object_store.check_store(pool._ray, 2**60)
    with pytest.raises(ClusterError, match=r"no room for the files of the work: .*; allowed: "):
        object_store.put(pool._ray, np.zeros(1, np.uint8))


def test_after_a_stop_every_node_removes_the_files() -> None:
    """Where all workers are busy, or some."""
    pool, calls = _pool_of_one([], "a1", "a2", "b1", "b2")
    for member in pool._members:
        member.pending = None if member.actor.name == "a1" else "reply"
    pool.close()
    *ends, _, last = calls
    assert ends[:3] == ["kill a2", "kill b1", "kill b2"]
    assert sorted(ends[3:]) == ["leave a1", "remove_files"]
    assert last == "kill a1"


def test_a_request_that_takes_four_workers_with_it_is_an_error() -> None:
    pool = object.__new__(RayPool)
    waiting, losses = deque([7]), Counter[int]()
    for lost in range(1, MOST_LOSSES + 1):
        worker = _Member(Node("id", "10.0.0.1", 1), None, None, lost=True)
        other = _Member(Node("id", "10.0.0.1", 1), None, None)
        busy = {worker: 3, other: 5}
        if lost == MOST_LOSSES:
            with pytest.raises(WorkerLostError, match=r"4 workers ended .* node 10\.0\.0\.1"):
                pool._take_back(waiting, busy, losses)
            return
        pool._take_back(waiting, busy, losses)
        assert (waiting.popleft(), list(waiting), busy) == (3, [7], {other: 5})
