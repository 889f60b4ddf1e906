"""What all tests share: one torch thread, Hypothesis profiles, the GPU marker, recorded files.

Garbage of tests is collected as usual; what exists before the first test is not looked at.
"""

import gc
import os
import sys
from collections.abc import Callable, Generator
from pathlib import Path

import pytest
from hypothesis import settings

GOLDEN = Path(__file__).parent / "golden"

# The runs of tests are too small to be shared out; those of processes ask for them.
os.environ.setdefault("AUTOSPACE_WORKERS", "1")

settings.register_profile("default", deadline=None, max_examples=50)
settings.register_profile("ci", deadline=None, max_examples=25, derandomize=True)
settings.load_profile("ci" if os.environ.get("CI") else "default")


@pytest.hookimpl(wrapper=True)
def pytest_collection() -> Generator[None, object, object]:
    """Collects without looking for garbage, and never looks through what collecting leaves.

    There are no cycles to free then, but 650,000 objects to look through again and again.
    """
    gc.disable()
    try:
        return (yield)
    finally:
        gc.freeze()
        gc.enable()


def pytest_unconfigure() -> None:
    """Lets the libraries that count what is left at the end find it freed."""
    gc.unfreeze()


def pytest_runtest_setup(item: pytest.Item) -> None:
    if item.get_closest_marker("gpu") is not None:
        import torch

        if not torch.cuda.is_available():
            pytest.skip("needs a CUDA device")
    # Tests that never touch torch should not pay for its import, so it is only looked up.
    torch_if_loaded = sys.modules.get("torch")
    if torch_if_loaded is not None:
        torch_if_loaded.set_num_threads(1)


@pytest.fixture
def golden() -> Callable[[str, str], None]:
    """Compare a text with tests/golden/NAME; `make golden` writes the file instead."""

    def check(name: str, text: str) -> None:
        path = GOLDEN / name
        if os.environ.get("AUTOSPACE_GOLDEN") == "1":
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(text.encode())
        if not path.is_file():
            pytest.fail(f"{path} is missing; `make golden` writes it")
        assert text == path.read_bytes().decode(), f"{name} changed; if on purpose: make golden"

    return check
