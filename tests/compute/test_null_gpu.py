"""Runs the tests of `test_on_null_gpu.py` on the null GPU, where there is a CUDA build of torch.

`null_gpu/README.md` says what the null GPU is, and what it does not show.
"""

import subprocess
import sys
from functools import cache
from pathlib import Path

import pytest

from tests.compute.null_gpu import build

ROOT = Path(__file__).resolve().parents[2]
TESTS = "tests/compute/test_on_null_gpu.py"


@cache
def _missing() -> str:
    return build.missing() or build.starts()


# What remains of other work confuses PyTorch's sanitizer, so races are looked for in a new process.
@pytest.mark.skipif(bool(build.missing()), reason=f"the null GPU {build.missing()}")
@pytest.mark.timeout(600)
@pytest.mark.parametrize("chosen", ["not race", "race"])
def test_pytorchs_own_code_for_cuda_accepts_what_is_done(chosen: str) -> None:
    if _missing():
        pytest.skip(f"this build of torch cannot use the null GPU: {_missing()}")
    words = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", TESTS, "-k", chosen]
    done = subprocess.run(
        words,
        cwd=ROOT,
        env=build.environment(devices=2),
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout[-6000:] + done.stderr[-2000:]
    assert "skipped" not in done.stdout.splitlines()[-1]
