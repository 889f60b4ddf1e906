"""Workers of a cluster that have a GPU each: one per GPU, of one kind, told how to train.

No GPU is needed: a stand-in for Ray has nodes with pretended ones. Where Ray is installed, its own
nodes have them, and their workers compute on the host device.
"""

import os
import subprocess
import sys
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path

import pytest

from tests.compute import loopback
from tests.compute.host_device import build
from tests.compute.loopback import SETTINGS
from tests.compute.test_two_nodes import COMMAND, SMALL

ROOT = loopback.ROOT
on_nodes = [
    pytest.mark.slow,
    pytest.mark.skipif(find_spec("ray") is None, reason="make test-cluster has it"),
    pytest.mark.skipif(sys.platform != "linux", reason="Ray clusters are made of Linux"),
    pytest.mark.skipif(bool(build.missing()), reason=f"the host device {build.missing()}"),
    pytest.mark.filterwarnings("ignore"),  # Ray's own
    pytest.mark.timeout(600),
]
PUTS_THE_DEVICE_THERE = """
import sys

class Before:
    def find_spec(self, name, path=None, target=None):
        if name == "autospace.compute.node":
            sys.meta_path.remove(self)
            import cuda
            cuda.install()

sys.meta_path.insert(0, Before())
"""
"""Python runs it at its start; workers of a node import that module before they compute."""


def _with_host_device(folder: Path) -> dict[str, str]:
    """The environment of a node whose workers find the host device where they look for a GPU."""
    (folder / "sitecustomize.py").write_text(PUTS_THE_DEVICE_THERE)
    places = (folder, Path(build.__file__).parent, ROOT)
    return {
        "PYTHONPATH": os.pathsep.join(map(str, places)),
        "AUTOSPACE_HOST_DEVICE": str(build.library()),
        "AUTOSPACE_TRITON": "0",  # It asks the driver of a GPU.
    }


@pytest.fixture(scope="module")
def pretending(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The address of a head without a GPU, and a node with three cores and two GPUs."""
    environment = _with_host_device(tmp_path_factory.mktemp("device"))
    with loopback.cluster() as cluster:
        cluster.start_head()
        cluster.start_node(cores=3, gpus=2, environment=environment)
        yield cluster.address


def _run(*words: object) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, **SETTINGS}
    environment.pop("AUTOSPACE_WORKERS", None)  # that of the tests
    command = [COMMAND, *map(str, words)]
    return subprocess.run(command, env=environment, cwd=ROOT, capture_output=True, text=True)


class TestNodes:
    pytestmark = on_nodes

    def test_a_run_computes_on_the_gpus_of_the_nodes(self, pretending: str, tmp_path: Path) -> None:
        place = ("--executor", "ray", "--address", pretending, "--device", "cuda")
        ran = _run("evolve", *SMALL, *place, "--out", tmp_path / "run")
        print(ran.stdout, ran.stderr)
        assert ran.returncode == 0, ran.stderr
