"""The moving average, against its recurrence."""

import pytest
import torch

from autospace.networks.network import Network
from autospace.spaces import mbconv
from autospace.training.session import Average, decay_at
from tests.tiny import SKELETON


def _moved(network: Network, step: int) -> None:
    generator = torch.Generator().manual_seed(step)
    with torch.no_grad():
        for value in [*network.parameters(), *network.buffers()]:
            if value.dtype.is_floating_point:
                value.copy_(torch.randn(value.shape, generator=generator))


def test_weights_and_running_statistics_follow_the_recurrence() -> None:
    network = Network(SKELETON, [mbconv(3, 3)] * 2)
    average = Average(network, 0.7)
    expected: dict[str, torch.Tensor] = {}
    for update in range(12):
        _moved(network, update)
        average.update(network)
        for name, value in network.state_dict().items():
            if value.dtype.is_floating_point:
                now = value.double()
                # The first copies; then d = (1 + n) / (10 + n), until that exceeds the decay.
                decay = min(0.7, (1 + update) / (10 + update)) if update else 0.0
                expected[name] = decay * expected.get(name, now) + (1 - decay) * now
    found = average.network.state_dict()
    assert any("running_var" in name for name in expected)
    for name, value in expected.items():
        torch.testing.assert_close(found[name].double(), value, rtol=1e-4, atol=1e-5)


def test_the_network_itself_is_not_touched() -> None:
    network = Network(SKELETON, [mbconv(3, 3)] * 2)
    average = Average(network, 0.9)
    before = {name: value.clone() for name, value in network.state_dict().items()}
    average.update(network)
    average.update(network)
    assert all(torch.equal(value, before[name]) for name, value in network.state_dict().items())
    assert average.network is not network


@pytest.mark.parametrize(("update", "expected"), [(1, 2 / 11), (8, 0.5), (80, 0.9), (10**6, 0.9)])
def test_the_decay_rises_to_its_limit(update: int, expected: float) -> None:
    assert decay_at(update, 0.9) == pytest.approx(expected)
