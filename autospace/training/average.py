"""An exponential moving average of the weights of a network that is trained."""

from typing import Any

import torch
from torch import nn
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn


def decay_at(update: int, decay: float) -> float:
    """Decay of an update, counted from 1: small at first, so that the start is soon forgotten."""
    return min(decay, (1 + update) / (10 + update))


class Average:
    """Follows a network: average <- d * average + (1 - d) * network after every step.

    The running statistics of batch normalisation are averaged likewise, so the average can be
    evaluated at any time without a pass over the images.
    """

    def __init__(self, network: nn.Module, decay: float) -> None:
        self._decay = decay
        self.model = AveragedModel(network, use_buffers=True)
        self._done = 0

    def begin_at(self, update: int) -> None:
        """Sets the number of updates that have been done; the model counts them too."""
        self._done = update

    @property
    def network(self) -> Any:
        """The network whose weights are the average."""
        return self.model.module

    def update(self, network: nn.Module) -> None:
        """Adds the current weights of the network to the average.

        As `AveragedModel.update_parameters`, which looks at its counter, and so waits for a GPU.
        """
        pairs = [
            (ours, theirs.detach())
            for ours, theirs in zip(_values(self.model.module), _values(network), strict=True)
        ]
        move = get_ema_multi_avg_fn(decay_at(self._done, self._decay))
        for chosen in (True, False):
            some = [pair for pair in pairs if pair[0].is_floating_point() == chosen]
            averages, values = ([pair[side] for pair in some] for side in (0, 1))
            if self._done and some:
                move(averages, values, None)
            elif some:
                torch._foreach_copy_(averages, values)
        self._done += 1
        self.model.n_averaged += 1


def _values(module: nn.Module) -> list[torch.Tensor]:
    return [value.detach() for value in (*module.parameters(), *module.buffers())]
