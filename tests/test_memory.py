"""The peak of a process is its own."""

import subprocess
import sys

import pytest

MB = 2**20


def printed(code: str) -> list[int]:
    """Numbers that a new process prints, which has `peak_memory`."""
    command = [sys.executable, "-c", f"from autospace.memory import peak_memory\n{code}"]
    done = subprocess.run(command, capture_output=True, check=True, text=True)
    return [int(line) for line in done.stdout.split()]


def test_what_was_taken_is_counted_after_it_was_given_back() -> None:
    before, held, after = printed(
        f"print(peak_memory())\nheld = b'1' * (100 * {MB})\nprint(peak_memory())\n"
        "del held\nprint(peak_memory())"
    )
    assert MB < before < 100 * MB
    assert held > before + 80 * MB
    assert after > before + 80 * MB


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere processes begin at nothing")
def test_what_the_starting_process_has_taken_is_not_counted() -> None:
    held = b"1" * (200 * MB)
    assert printed("print(peak_memory())")[0] < len(held)
