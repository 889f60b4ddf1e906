"""Nodes of a Ray cluster on the loopback interface: equal bytes, kills, late and unlike nodes.

`make test-cluster` installs Ray and runs them; without Ray they are skipped.
"""

import hashlib
import os
import signal
import socket
import subprocess
import sys
import time
from collections import Counter
from contextlib import suppress
from importlib.util import find_spec
from pathlib import Path

import pytest

from autospace.compute.executor import Executor, open_pool
from autospace.networks.rounding import rounding
from tests.compute import loopback
from tests.compute.loopback import SETTINGS, Counting, Digesting

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(find_spec("ray") is None, reason="make test-cluster has it"),
    pytest.mark.skipif(sys.platform != "linux", reason="Ray clusters are made of Linux"),
    pytest.mark.filterwarnings("ignore"),  # Ray's own
    pytest.mark.timeout(600),
]
ROOT = loopback.ROOT
OPEN = {"RAY_AUTH_MODE": "disabled"}
HEALTH = {
    "RAY_health_check_period_ms": "2000",
    "RAY_health_check_timeout_ms": "4000",
    "RAY_health_check_failure_threshold": "3",
}
"""Those of docs/guide/cluster.md, for the head."""
MARK = "AUTOSPACE_TEST_MARK"
COMMAND = str(Path(sys.executable).with_name("autospace"))
SMALL = [
    *("--preset", "demo", "--seed", "0", "--generations", "2", "--candidates", "2"),
    *("--population", "4", "--keep", "2", "--steps", "4", "--set", "warm_up.steps=10"),
    *("--progress", "plain"),
]


def _command(*words: object) -> list[str]:
    return [COMMAND, *map(str, words)]


def test_a_run_whose_node_is_killed_has_the_bytes_of_one_process(
    tmp_path: Path,
) -> None:
    with loopback.cluster() as cluster:
        cluster.start_head()
        _check_equal_bytes(tmp_path, cluster, cluster.start_node())
        _check_another_token(cluster.address)


def _check_equal_bytes(tmp_path: Path, cluster: loopback.Cluster, node: int) -> None:
    environment = {**os.environ, **SETTINGS}
    environment.pop("AUTOSPACE_WORKERS", None)  # that of the tests
    alone = _command("evolve", *SMALL, "--workers", 1, "--out", tmp_path / "one")
    one = subprocess.run(alone, env=environment, cwd=ROOT, check=True, capture_output=True)
    place = ("--executor", "ray", "--address", cluster.address, "--out", tmp_path / "two")
    said = []
    with (
        (tmp_path / "out").open("w+b") as out,
        subprocess.Popen(
            _command("evolve", *SMALL, *place),
            env=environment,
            cwd=ROOT,
            stdout=out,
            stderr=subprocess.PIPE,
            text=True,
        ) as run,
    ):
        assert run.stderr is not None
        for line in run.stderr:
            said.append(line)
            if line.startswith("round   2/"):
                cluster.kill(node)
    assert run.returncode == 0, "".join(said)
    done = [line for line in said if line.startswith("requests done by nodes: ")]
    assert "127.0.0.2" in done[0], "".join(said)
    assert "127.0.0.3" in done[0], "".join(said)
    assert len(done) == len(set(done)), "".join(said)
    assert any("127.0.0.2" in line and "done again" in line for line in said), "".join(said)
    found = [(tmp_path / name / "space.json").read_bytes() for name in ("one", "two")]
    assert found[0] == found[1]
    # Nothing of Ray's is among the results.
    shown = (tmp_path / "out").read_bytes().replace(b"/two", b"/one")
    assert shown == one.stdout


def _check_another_token(address: str) -> None:
    ran = subprocess.run(
        _command("doctor", "--executor", "ray", "--address", address),
        env={**os.environ, **SETTINGS, "RAY_AUTH_TOKEN": "1" * 64},
        capture_output=True,
        text=True,
    )
    assert (ran.returncode, ran.stderr.count("\n")) == (2, 1), ran.stderr
    assert "the cluster has another token" in ran.stderr


def test_late_nodes_are_used_unlike_ones_refused_and_images_reach_a_node_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Ray's workers look for versions in this folder first, and a checkout may hold its own.
    monkeypatch.chdir(tmp_path)
    with loopback.cluster() as cluster:
        # Ray may be loaded already, with another token or none.
        cluster.start_head(environment=OPEN)
        _check_late_nodes(tmp_path, cluster)


def _check_late_nodes(tmp_path: Path, cluster: loopback.Cluster) -> None:
    other = tmp_path / "other" / "autospace-9.9.dist-info"
    other.mkdir(parents=True)
    (other / "METADATA").write_text("Metadata-Version: 2.1\nName: autospace\nVersion: 9.9\n")
    said: list[str] = []
    executor = Executor(None, "ray", cluster.address)
    job = Counting(b"images" * 100_000)
    with open_pool(executor, tmp_path / "pool", rounding=rounding, on_message=said.append) as pool:
        assert [found for _, (found, _, _) in pool.results(job, [0.0])] == ["0"]
        assert pool.shares == {"127.0.0.3": 1}
        double = cluster.start_node(cores=2, environment=OPEN)
        old = cluster.start_node(
            "127.0.0.4", environment={**OPEN, "PYTHONPATH": f"{other.parent}:{ROOT}"}
        )
        done: list[tuple[str, int, int]] = []
        deadline = time.monotonic() + 300
        while time.monotonic() < deadline:  # until all have answered, however busy the machine is
            done += [tuple(found) for _, found in pool.results(job, [0.25] * 8)]
            refused = [line for line in said if line.startswith("node 127.0.0.4 is not used")]
            if refused and len({pid for _, pid, _ in done}) == 3:
                break
        assert refused == [
            f"node 127.0.0.4 is not used: it would give other bytes: autospace {_own()} and 9.9"
        ]
        assert "node 127.0.0.2 has joined" in said
        # The late node had two workers, and one copy of the images.
        assert len({pid for node, pid, _ in done if node == str(double)}) == 2
        assert len({copy for node, _, copy in done if node == str(double)}) == 1
        assert not any(node == str(old) for node, _, _ in done)
        found = Counter({"127.0.0.3": 1}) + Counter(
            {"0": "127.0.0.3", str(double): "127.0.0.2"}[node] for node, _, _ in done
        )
        assert pool.shares == dict(sorted(found.items()))
        cluster.kill(double)
        assert {node for _, (node, _, _) in pool.results(job, [0.1] * 4)} == {"0"}


def test_a_pack_that_ray_has_no_memory_for_reaches_every_node(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("autospace.compute.object_store.PIECE", 20 * 10**6)
    content = bytes(range(256)) * (3 * loopback.ROOM // 256)
    with loopback.cluster() as cluster:
        cluster.start_head(environment=OPEN)
        cluster.start_node(environment=OPEN)
        executor = Executor(None, "ray", cluster.address)
        with open_pool(executor, tmp_path / "pool", rounding=rounding) as pool:
            found = list(pool.results(Digesting(content), [1.0] * 8))
    assert {node for _, (node, _) in found} == {"0", "1"}
    assert {digest for _, (_, digest) in found} == {hashlib.sha256(content).hexdigest()}


def test_a_command_that_is_killed_goes_on_and_its_own_cluster_is_of_loopback(
    tmp_path: Path,
) -> None:
    name = f"autospace-test-{os.getpid()}"
    environment = {**os.environ, "OMP_NUM_THREADS": "1", MARK: name}
    for each in ("AUTOSPACE_WORKERS", "RAY_ADDRESS", "RAY_AUTH_MODE"):
        environment.pop(each, None)
    # No cluster that someone has started here.
    environment["RAY_TMPDIR"] = str(tmp_path)

    def run(*words: object) -> "subprocess.Popen[str]":
        return subprocess.Popen(
            _command("evolve", *words), env=environment, cwd=tmp_path, stderr=subprocess.PIPE,
            stdout=subprocess.DEVNULL, text=True,
        )  # fmt: skip

    ray = ("--executor", "ray")
    with run(*SMALL, *ray, "--workers", 2, "--out", "killed") as command:
        assert command.stderr is not None
        said = []
        for line in command.stderr:
            said.append(line)
            if line.startswith("round   2/"):
                addresses = _listening(name)
                command.kill()
    assert command.returncode == -signal.SIGKILL, "".join(said)
    assert addresses == {"127.0.0.1"}, addresses
    end = time.monotonic() + 60
    while _marked(name):
        assert time.monotonic() < end, "processes of Ray outlive the command"
        time.sleep(0.2)
    for words in (
        ("--resume", "killed", *ray, "--progress", "plain"),
        (*SMALL, "--workers", 1, "--out", "one"),
    ):
        with run(*words) as command:
            _, text = command.communicate(timeout=300)
        assert command.returncode == 0, text
    found = [(tmp_path / each / "space.json").read_bytes() for each in ("killed", "one")]
    assert found[0] == found[1]


def _marked(name: str) -> list[Path]:
    """The processes that have the mark of a test in their environment, in /proc."""
    found = []
    for each in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):
            if f"{MARK}={name}".encode() in (each / "environ").read_bytes().split(b"\0"):
                found.append(each)
    return found


def _listening(name: str) -> set[str]:
    """The addresses of this machine at which processes with the mark accept connections."""
    sockets = set()
    for each in _marked(name):
        with suppress(OSError):
            sockets |= {os.readlink(file) for file in (each / "fd").iterdir()}
    found = set()
    for table, family in (("tcp", socket.AF_INET), ("tcp6", socket.AF_INET6)):
        for line in Path(f"/proc/net/{table}").read_text().splitlines()[1:]:
            local, state, number = (line.split()[place] for place in (1, 3, 9))
            if state == "0A" and f"socket:[{number}]" in sockets:
                # Words of 32 bits in the order of this machine.
                words = bytes.fromhex(local.partition(":")[0])
                address = b"".join(
                    words[start : start + 4][::-1] for start in range(0, len(words), 4)
                )
                found.add(socket.inet_ntop(family, address).removeprefix("::ffff:"))
    return found


def test_the_work_of_a_frozen_node_is_done_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    said: list[str] = []
    job = Counting(b"images")
    with loopback.cluster() as cluster:
        cluster.start_head(environment={**OPEN, **HEALTH})
        node = cluster.start_node(environment=OPEN)
        place = Executor(None, "ray", cluster.address)
        with open_pool(place, tmp_path / "pool", rounding=rounding, on_message=said.append) as pool:
            before = {found[0] for _, found in pool.results(job, [0.5] * 8)}
            results = pool.results(job, [0.5] * 12)
            first = next(results)
            cluster.freeze(node)
            places = sorted([first[0], *(place for place, _ in results)])
    assert before == {"0", "1"}
    assert places == list(range(12))
    # Whether Ray ends the worker first or counts the node as dead.
    assert any("127.0.0.2" in line and "done again" in line for line in said), said


def test_a_stop_in_the_middle_of_long_requests_leaves_no_files(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)

    def files(folder: Path) -> list[Path]:
        return list(folder.glob("tmp*/autospace-*/*/*/images"))

    with loopback.cluster() as cluster:
        cluster.start_head(environment=OPEN)
        cluster.start_node(cores=2, environment=OPEN)
        folder = cluster.folder

        def stop(_: object) -> None:
            if len(files(folder)) == 2:
                raise KeyboardInterrupt

        place = Executor(None, "ray", cluster.address)
        with (
            pytest.raises(KeyboardInterrupt),
            open_pool(place, tmp_path / "pool", rounding=rounding, on_nodes=stop) as pool,
        ):
            list(pool.results(Counting(b"images"), [10_000.0] * 3))
        assert not list(folder.glob("tmp*/autospace-*"))


def _own() -> str:
    return rounding()["autospace"]


def test_nothing_outlives_a_test_that_is_killed() -> None:
    code = (
        "import sys, time\n"
        "from tests.compute.loopback import Cluster, members\n"
        "from tempfile import mkdtemp\n"
        "from pathlib import Path\n"
        "made = Cluster(Path(mkdtemp(prefix='r', dir='/tmp')))\n"
        "made.start_head()\n"
        "print(made._keepers[0].pid, len(made.processes(0)) > 1, flush=True)\n"
        "time.sleep(600)\n"
    )
    with subprocess.Popen(
        [sys.executable, "-c", code], cwd=ROOT, stdout=subprocess.PIPE, text=True
    ) as owner:
        assert owner.stdout is not None
        session, several = owner.stdout.readline().split()
        assert several == "True"
        owner.kill()
    for _ in range(200):
        if not loopback.members(int(session)):
            return
        time.sleep(0.1)
    pytest.fail(f"left: {loopback.members(int(session))}")
