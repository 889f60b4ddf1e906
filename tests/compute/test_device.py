"""Which numbers networks compute in, per device."""

from collections.abc import Iterator
from contextlib import contextmanager
from types import SimpleNamespace

import pytest
import torch

from autospace.compute.device import kept_bytes, memory_mb, resolve_device, resolve_precision


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
