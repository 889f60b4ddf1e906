"""Executors: what may be combined, which nodes agree, and two nodes of which one is killed."""

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from autospace.compute.cluster import ClusterError, differences, first_line, nodes_of, ray_session
from autospace.compute.executor import HERE, Executor, open_pool
from autospace.compute.node import NodeFiles
from autospace.networks.rounding import rounding
from autospace.runs.errors import ConfigError
from tests.evolution.runs import ROOT

linux_only = pytest.mark.skipif(sys.platform != "linux", reason="Ray clusters are made of Linux")
TOKEN = {"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN": "0" * 64}


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
    with pytest.raises(ConfigError, match=r'device: "cuda"; allowed with executor ray: cpu'):
        Executor(None, "ray").check_device("cuda")


def test_a_cluster_needs_to_know_what_nodes_agree_in(tmp_path: Path) -> None:
    with (
        pytest.raises(ConfigError, match="allowed here: here or processes"),
        open_pool(Executor(1, "ray"), tmp_path / "pool"),
    ):
        pass


@pytest.mark.parametrize("address", ["nowhere", "host:x", ":1", "host:70000"])
def test_what_is_no_address(address: str) -> None:
    pytest.importorskip("ray")
    with (
        pytest.raises(ClusterError, match="allowed: HOST:PORT of a Ray head"),
        ray_session(address, 1, lambda _: None),
    ):
        pass


def test_an_address_where_nothing_answers() -> None:
    pytest.importorskip("ray")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{free.getsockname()[1]}"
        with (
            pytest.raises(ClusterError, match="nothing answers there"),
            ray_session(address, 1, lambda _: None),
        ):
            pass


def test_differences_name_both_values() -> None:
    assert differences({"torch": "2", "vectors": "AVX2"}, {"torch": "2", "vectors": "AVX512"}) == [
        "vectors AVX2 and AVX512"
    ]
    assert differences({}, {"torch": "2"}) == ["torch none and 2"]
    assert first_line(ValueError("one\n two \n")) == "two"


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
    folder = one.folder("job", {"a": b"content"})
    assert two.folder("job", {"a": b"content"}) == folder
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
def test_a_folder_that_others_can_change_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tempfile.gettempdir", lambda: str(tmp_path))
    base = tmp_path / f"autospace-{os.getuid()}"
    base.mkdir()
    base.chmod(0o777)
    with pytest.raises(OSError, match="others have access to it; allowed: mode 700"):
        NodeFiles("pool")


@pytest.fixture
def two_nodes(tmp_path: Path) -> Iterator[tuple[str, list[subprocess.Popen[bytes]]]]:
    """The address of a cluster of two nodes on the loopback interface, and their processes."""
    pytest.importorskip("ray")
    with socket.socket() as free:
        free.bind(("127.0.0.3", 0))
        address = f"127.0.0.3:{free.getsockname()[1]}"
    environment = {**os.environ, **TOKEN, "OMP_NUM_THREADS": "1", "RAY_USAGE_STATS_ENABLED": "0"}
    common = ["--block", "--num-cpus=1", "--object-store-memory=100000000"]
    place = ["--include-dashboard=false", f"--temp-dir={tmp_path / 'r'}"]
    head = ["--head", "--node-ip-address=127.0.0.3", f"--port={address.partition(':')[2]}", *place]
    other = [f"--address={address}", "--node-ip-address=127.0.0.2"]
    nodes = []
    try:
        for each in (head, other):
            command = [sys.executable, "-m", "ray.scripts.scripts", "start", *each, *common]
            nodes.append(
                subprocess.Popen(
                    command,
                    env=environment,
                    cwd=ROOT,
                    start_new_session=True,
                    stdout=subprocess.DEVNULL,
                    stderr=subprocess.DEVNULL,
                )
            )
            _wait_for(address)
        yield address, nodes
    finally:
        for node in nodes:
            _kill_session(node)


def _wait_for(address: str) -> None:
    host, _, port = address.partition(":")
    for _ in range(600):
        try:
            socket.create_connection((host, int(port)), 1).close()
            return
        except OSError:
            time.sleep(0.2)
    pytest.fail("the head did not start")


def _kill_session(node: subprocess.Popen[bytes]) -> None:
    """SIGKILL to all processes of a session, as if the machine had lost its power."""
    for status in Path("/proc").glob("[0-9]*/stat"):
        try:
            if os.getsid(int(status.parent.name)) == node.pid:
                os.kill(int(status.parent.name), signal.SIGKILL)
        except (ProcessLookupError, PermissionError):
            continue
    node.wait()


SMALL = [
    *("--preset", "demo", "--seed", "0", "--generations", "2", "--candidates", "2"),
    *("--population", "4", "--keep", "2", "--steps", "4", "--set", "warm_up.steps=10"),
    *("--progress", "plain"),
]


@pytest.mark.slow
@pytest.mark.timeout(900)
@linux_only
def test_a_run_whose_node_is_killed_has_the_bytes_of_one_process(
    tmp_path: Path, two_nodes: tuple[str, list[subprocess.Popen[bytes]]]
) -> None:
    address, nodes = two_nodes
    command = [str(Path(sys.executable).with_name("autospace")), "evolve", *SMALL]
    environment = {**os.environ, **TOKEN, "OMP_NUM_THREADS": "1"}
    alone = [*command, "--workers", "1", "--out", str(tmp_path / "one")]
    subprocess.run(alone, env=environment, cwd=ROOT, check=True, capture_output=True)
    shared = [*command, "--executor", "ray", "--address", address, "--out", str(tmp_path / "two")]
    with subprocess.Popen(
        shared, env=environment, cwd=ROOT, stderr=subprocess.PIPE, text=True
    ) as run:
        assert run.stderr is not None
        said = []
        for line in run.stderr:
            said.append(line)
            if line.startswith("round   2/"):
                _kill_session(nodes[1])
    assert run.returncode == 0, "".join(said)
    assert any("127.0.0.2" in line and "done again" in line for line in said), "".join(said)
    one, two = ((tmp_path / name / "space.json").read_bytes() for name in ("one", "two"))
    assert one == two
