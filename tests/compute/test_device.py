"""Which numbers networks compute in, per device."""

from collections.abc import Iterator
from contextlib import contextmanager

import pytest
import torch

from autospace.compute.device import resolve_precision


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
