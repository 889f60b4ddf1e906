"""Runs pytest in a process whose `torch.cuda` is the host device: run.py PYTEST_ARGUMENTS."""

import sys

import cuda

if __name__ == "__main__":
    cuda.install()
    import pytest

    sys.exit(pytest.main(sys.argv[1:]))
