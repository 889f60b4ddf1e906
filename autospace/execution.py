"""How training steps are executed on a device: in which numbers."""

from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass

import torch

CPU = torch.device("cpu")


@dataclass(frozen=True)
class Execution:
    """What a device does the work in.

    Attributes:
        device: where the tensors are.
        precision: of convolutions and products of matrices, and of what they pass on. Weights,
            alpha, the statistics of batch normalisation, losses and optimisers are always float32.
    """

    device: torch.device = CPU
    precision: torch.dtype = torch.float32

    def autocast(self) -> AbstractContextManager[object]:
        """As long as it lasts, networks compute in the precision; meant for forward passes."""
        if self.precision == torch.float32:
            return nullcontext()
        # No weight is used twice in a step, and a recorded step must not find copies of others.
        return torch.autocast(self.device.type, self.precision, cache_enabled=False)


PLAIN = Execution()


def widened(tensor: torch.Tensor) -> torch.Tensor:
    """Bfloat16 as float32, for sums and losses; anything else as it is."""
    return tensor.float() if tensor.dtype == torch.bfloat16 else tensor
