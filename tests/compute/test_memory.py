"""The peak of a process is its own."""

import ctypes
import os
import subprocess
import sys
from pathlib import Path

import pytest

from autospace.compute import machine

MB = 2**20


def printed(code: str) -> list[int]:
    """Numbers that a new process prints, which has `peak_memory`."""
    command = [sys.executable, "-c", f"from autospace.compute.machine import peak_memory\n{code}"]
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


@pytest.mark.skipif(
    not hasattr(ctypes.CDLL(None), "mallopt"), reason="elsewhere there is no such setting"
)
def test_freed_memory_is_kept_if_asked_for() -> None:
    code = (
        "import re\nfrom autospace.compute.machine import keep_freed_memory\n{}"
        "held = [bytearray(b'1') * (16 * {}) for _ in range(4)]\ndel held\n"
        "print(re.search(r'VmRSS:\\s*(\\d+)', open('/proc/self/status').read())[1])"
    )
    given_back, kept = (
        printed(code.format(begin, MB))[0] for begin in ("", "keep_freed_memory()\n")
    )
    assert kept > given_back + 50 * 1024


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere it is not told")
def test_what_is_available_is_what_machine_and_container_have_left(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(machine, "_CONTAINER", tmp_path)
    of_machine = machine.available_memory()
    assert MB < of_machine < os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    (tmp_path / "memory.max").write_text("max\n")
    (tmp_path / "memory.current").write_text(f"{30 * MB}\n")
    assert machine.available_memory() > MB
    (tmp_path / "memory.max").write_text(f"{70 * MB}\n")
    assert machine.available_memory() == 40 * MB
    (tmp_path / "memory.current").write_text(f"{80 * MB}\n")
    assert machine.available_memory() == 0
    # What files have left in memory makes room for anything else.
    (tmp_path / "memory.stat").write_text(f"file {60 * MB}\ninactive_file {50 * MB}\nfile 1\n")
    assert machine.available_memory() == 40 * MB


def test_a_system_without_posix_modules_imports_and_shows_nothing() -> None:
    code = (
        "import os, sys\nsys.modules['resource'] = None\ndel os.sched_getaffinity\n"
        "from autospace.compute import machine\n"
        "machine._number = lambda path, line: None\nname, os.name = os.name, 'nt'\n"
        "machine.keep_freed_memory()\nos.name = name\n"
        "print(machine.peak_memory(), machine.cores() - os.cpu_count())"
    )
    assert printed(code) == [0, 0]


@pytest.mark.skipif(sys.platform != "linux", reason="glibc is that of Linux")
def test_freed_memory_goes_back_to_the_system() -> None:
    code = (
        "import ctypes\n"
        "from autospace.compute import machine\n"
        "def resident():\n"
        "    return int(open('/proc/self/statm').read().split()[1]) * 4096\n"
        "machine.keep_freed_memory()\n"
        "libc = ctypes.CDLL(None)\n"
        "libc.malloc.restype, libc.free.argtypes = ctypes.c_void_p, [ctypes.c_void_p]\n"
        "before = resident()\n"
        f"block = libc.malloc({100 * MB})\n"
        f"ctypes.memset(block, 1, {100 * MB})\n"
        "libc.free(block)\n"
        "print(resident() - before)\n"
        "machine.return_freed_memory()\n"
        "print(resident() - before)"
    )
    kept, left = printed(code)
    assert kept > 90 * MB
    assert left < 10 * MB
