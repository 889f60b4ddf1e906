"""The tests for a GPU on the host device, in a process of their own; it is built where it can be.

`host_device/README.md` says what the host device is, and what it does not show.
"""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.compute.host_device import build

ROOT = Path(__file__).resolve().parents[2]
RUN = Path(build.__file__).with_name("run.py")
ON_DEVICE = ("tests/compute/test_on_device.py", "tests/compute/test_several_devices.py")
FOR_A_GPU = (
    "tests/compute/test_gpu.py",
    "tests/bench/test_gpu.py",
    "tests/data/test_batches.py",
    "tests/training/test_training_run.py",
)

pytestmark = [
    pytest.mark.skipif(bool(build.missing()), reason=f"the host device {build.missing()}"),
    pytest.mark.skipif("AUTOSPACE_HOST_DEVICE" in os.environ, reason="on the host device already"),
]


def _passed(*words: str) -> None:
    environment = {
        **os.environ,
        "AUTOSPACE_HOST_DEVICE": str(build.library()),
        "AUTOSPACE_TRITON": "0",  # It asks the driver of a GPU.
    }
    command = [sys.executable, str(RUN), "-q", "-p", "no:cacheprovider", *words]
    done = subprocess.run(
        command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout[-6000:] + done.stderr[-2000:]
    # None may be left out: here is a device.
    assert "skipped" not in done.stdout.splitlines()[-1]


@pytest.mark.timeout(600)
def test_what_a_gpu_refuses_is_not_done() -> None:
    _passed("-m", "gpu and not slow", *ON_DEVICE)


@pytest.mark.slow
@pytest.mark.timeout(3600)
def test_everything_runs_on_a_device_that_is_not_the_cpu() -> None:
    _passed("-m", "gpu and slow", *ON_DEVICE)


@pytest.mark.slow
@pytest.mark.timeout(3600)
@pytest.mark.parametrize("file", FOR_A_GPU)
def test_the_tests_for_a_gpu_pass(file: str) -> None:
    _passed("-m", "gpu", file)
