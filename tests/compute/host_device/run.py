"""Runs pytest in a process whose `torch.cuda` is the host device: run.py PYTEST_ARGUMENTS."""

import sys

import cuda  # type: ignore[import-not-found] # beside this file, as it is run

# The CPU computes the mean of mse_loss in place, where a GPU has a kernel of its own.
RESIZED = "ignore:An output with one or more elements was resized:UserWarning"

# Also in processes that a pool starts: they import this file before what they will do.
cuda.install()

if __name__ == "__main__":
    import pytest

    sys.exit(pytest.main(["-W", RESIZED, *sys.argv[1:]]))
