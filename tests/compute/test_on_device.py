"""What has to hold on any CUDA device: nothing mixes devices, and nothing waits where it must not.

Without a GPU, `test_host_device.py` runs these on the host device, which also counts.
"""

import pytest
import torch
from torch.nn import functional as F

from autospace.latency.timing import stopwatch_of

pytestmark = pytest.mark.gpu
CUDA = torch.device("cuda")


def test_the_device_keeps_apart_what_a_gpu_keeps_apart() -> None:
    x = torch.ones(4, 3, device=CUDA)
    assert (x * torch.tensor(2.0)).sum().item() == 24
    for mixed in (
        lambda: x + torch.ones(4, 3),
        lambda: F.cross_entropy(x, torch.zeros(4, dtype=torch.long)),
    ):
        with pytest.raises(RuntimeError, match="same device"):
            mixed()


def test_waiting_is_an_error_where_it_is_forbidden() -> None:
    x = torch.ones(3, device=CUDA)
    torch.cuda.set_sync_debug_mode("error")
    try:
        torch.ones(3).to(CUDA, non_blocking=True)
        for waiting in (lambda: float(x.sum()), x.cpu, lambda: torch.tensor([1], device=CUDA)):
            with pytest.raises(RuntimeError, match="synchronizing"):
                waiting()
    finally:
        torch.cuda.set_sync_debug_mode("default")


@pytest.mark.skipif(torch.cuda.device_count() < 2, reason="needs a second device")
def test_the_stopwatch_times_the_device_it_was_made_for(monkeypatch: pytest.MonkeyPatch) -> None:
    used = []
    record = torch.cuda.Event.record

    def noted(event: torch.cuda.Event) -> None:
        used.append(torch.cuda.current_device())
        record(event)

    monkeypatch.setattr(torch.cuda.Event, "record", noted)
    seconds = stopwatch_of(torch.device("cuda", 1), 1).seconds(
        lambda: used.append(torch.cuda.current_device()), 1
    )
    assert seconds >= 0
    assert used == [1, 1, 1]
    assert torch.cuda.current_device() == 0
