"""Devices by their names, the numbers that networks compute in there, and threads."""

from collections.abc import Iterator
from contextlib import contextmanager
from types import SimpleNamespace

import pytest
import torch

from autospace.compute.device import (
    SMALL_IMAGES,
    described_use,
    kept_bytes,
    memory_mb,
    named,
    resolve_device,
    resolve_devices,
    resolve_precision,
    thread_count,
    threads,
)
from autospace.compute.executor import Executor
from autospace.runs.errors import ConfigError, RunError


@pytest.mark.parametrize(("able", "expected"), [(True, torch.bfloat16), (False, torch.float32)])
def test_auto_precision_is_bfloat16_only_on_a_gpu_that_computes_in_it(
    able: bool, expected: torch.dtype, monkeypatch: pytest.MonkeyPatch
) -> None:
    cpu, gpu = torch.device("cpu"), torch.device("cuda", 1)
    asked: list[torch.device] = []

    @contextmanager
    def on(device: torch.device) -> Iterator[None]:
        asked.append(device)
        yield

    monkeypatch.setattr(torch.cuda, "device", on)
    monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda *, including_emulation: able)
    assert resolve_precision("auto", gpu) == expected
    assert asked == [gpu]
    assert resolve_precision("auto", cpu) == torch.float32
    assert resolve_precision("float32", gpu) == torch.float32
    assert resolve_precision("bfloat16", cpu) == torch.bfloat16
    assert asked == [gpu]


def test_float32_on_a_gpu_has_all_its_bits(monkeypatch: pytest.MonkeyPatch) -> None:
    # cuDNN multiplies in TF32 by default, which keeps 10 of 23 bits.
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 1)
    for name in ("auto", "cuda", "cuda:0"):
        monkeypatch.setattr(torch.backends.cudnn, "allow_tf32", True)
        assert resolve_device(name).type == "cuda"
        assert not torch.backends.cudnn.allow_tf32
    monkeypatch.setattr(torch.backends.cudnn, "allow_tf32", True)
    resolve_device("cpu")
    assert torch.backends.cudnn.allow_tf32


def test_the_memory_of_a_gpu_is_all_that_the_process_keeps(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(torch.cuda, "max_memory_reserved", lambda device: 5 << 20)
    monkeypatch.setattr(torch.cuda, "max_memory_allocated", lambda device: 3 << 20)
    assert memory_mb(torch.device("cuda")) == 5


def test_a_tenth_of_a_gpu_is_kept_for_features(monkeypatch: pytest.MonkeyPatch) -> None:
    card = SimpleNamespace(total_memory=80 << 30)
    monkeypatch.setattr(torch.cuda, "get_device_properties", lambda device: card)
    assert kept_bytes(torch.device("cuda"), 1 << 30) == 8 << 30
    card.total_memory = 4 << 30
    assert kept_bytes(torch.device("cuda"), 1 << 30) == 1 << 30
    assert kept_bytes(torch.device("cpu"), 5) == 5


def _machine(monkeypatch: pytest.MonkeyPatch, count: int) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: count > 0)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: count)
    monkeypatch.setattr(torch.backends.cudnn, "allow_tf32", True)


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("auto", ["cuda"]),
        ("cpu", ["cpu"]),
        ("cuda", ["cuda"]),
        ("cuda:2", ["cuda:2"]),
        ("cuda:2,0", ["cuda:2", "cuda:0"]),
        ("all", ["cuda:0", "cuda:1", "cuda:2"]),
    ],
)
def test_devices_by_name(name: str, expected: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    _machine(monkeypatch, 3)
    assert list(map(str, resolve_devices(name))) == expected
    assert torch.backends.cudnn.allow_tf32 == (name == "cpu")


@pytest.mark.parametrize(
    ("name", "count", "problem"),
    [
        ("cuda:0,3", 3, "this machine has 3 CUDA devices; allowed: cpu, auto or indices from 0"),
        ("all", 0, "this machine has 0 CUDA devices; allowed: cpu or auto"),
        ("cuda:1,01", 3, "the same device twice; allowed: each index once"),
        ("cpu,cuda:0", 3, r"llowed: auto, cpu, all or cuda\[:n,...\]"),
        ("cuda:0,", 3, "llowed: auto, cpu, all"),
        ("cuda:0,cuda:1", 3, "llowed: auto, cpu, all"),
    ],
)
def test_wrong_lists_of_devices(
    name: str, count: int, problem: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    _machine(monkeypatch, count)
    with pytest.raises(RunError, match=problem):
        resolve_devices(name)


@pytest.mark.parametrize("name", ["all", "cuda:0,1"])
def test_what_uses_one_device_takes_no_list(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    _machine(monkeypatch, 3)
    with pytest.raises(RunError, match=r"llowed: auto, cpu or cuda\[:n\]"):
        resolve_device(name)


def test_a_worker_or_more_for_every_device() -> None:
    two = ("cuda:0", "cuda:1")
    assert Executor().on(two) == Executor(2, devices=two)
    assert Executor(5, "processes").on(two) == Executor(5, "processes", devices=two)
    assert Executor(1).on(two[:1]).workers == 1
    with pytest.raises(ConfigError, match="workers: 1; allowed on 2 devices: 2 or more"):
        Executor(1).on(two)
    with pytest.raises(ConfigError, match='executor: "here"; allowed on 2 devices: processes'):
        Executor(None, "here").on(two)


def test_what_several_devices_do_is_said_in_a_line() -> None:
    two = ("cuda:1", "cuda:0")
    assert named(two) == "cuda:1,0"
    assert described_use(two[:1], "train cells", "") == []
    (line,) = described_use(two, "train cells", "trains the reference")
    assert line == "devices: cuda:1,0 train cells; cuda:1 alone trains the reference"
    (line,) = described_use(two, "", "gated trains on one device")
    assert line == "devices: gated trains on one device: only cuda:1 of cuda:1,0 is used"


def test_small_images_get_one_thread_and_others_what_torch_has() -> None:
    with threads(3):
        assert thread_count("auto", SMALL_IMAGES) == 1
        assert thread_count("auto", SMALL_IMAGES + 1) == 3
        assert thread_count(2, SMALL_IMAGES) == 2


def test_the_number_of_threads_comes_back_from_an_error() -> None:
    before = torch.get_num_threads()
    with pytest.raises(ZeroDivisionError), threads(before + 1):
        raise ZeroDivisionError
    assert torch.get_num_threads() == before
