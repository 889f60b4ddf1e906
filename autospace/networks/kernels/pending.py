"""Tensors that are normalised by whoever reads them, so that no pass over memory does only that."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from torch.autograd.function import once_differentiable

from autospace.networks.kernels import norms
from autospace.networks.kernels.calls import laid_out

Pair = tuple[torch.Tensor, torch.Tensor]


class Sums:
    """What the only reader of a pending tensor sums on its way back, for the norm before it.

    Where there are more readers, autograd adds up their slopes, and nobody knows the sums yet.
    """

    def __init__(self) -> None:
        self.readers = 0
        self._kept: tuple[torch.Tensor, int, Pair] | None = None

    def keep(self, slope: torch.Tensor, found: Pair) -> None:
        """Sums and products [N, C] that belong to a slope."""
        self._kept = slope, slope._version, found

    def take(self, slope: torch.Tensor) -> Pair | None:
        """Those of this very slope, if there are any."""
        kept, self._kept = self._kept, None
        if kept is None or kept[0] is not slope or kept[1] != slope._version:
            return None
        return kept[2]


@dataclass(frozen=True, slots=True)
class Pending:
    """The output z [N, C, H, W] of a convolution, with the normalisation and ReLU6 that it awaits.

    To autograd, z stands for what becomes of it: its slope is that of the finished tensor.
    """

    z: torch.Tensor
    coefficients: torch.Tensor
    activate: bool = True
    sums: Sums = field(default_factory=Sums)

    def finished(self) -> torch.Tensor:
        """What becomes of it."""
        return node_sum([self])


def node_sum(terms: Sequence[Pending | torch.Tensor]) -> torch.Tensor:
    """The sum of tensors and of pending ones, of which there is at least one."""
    pending = [term for term in terms if isinstance(term, Pending)]
    others = [term for term in terms if isinstance(term, torch.Tensor)]
    for term in pending:
        term.sums.readers += 1
    found: torch.Tensor = _NodeSum.apply(  # type: ignore[no-untyped-call]
        [term.coefficients for term in pending],
        pending[0].activate,
        *(term.z for term in pending),
        *others,
    )
    return found


class _NodeSum(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any, coefficients: list[torch.Tensor], activate: bool, *tensors: torch.Tensor
    ) -> torch.Tensor:
        terms = list(zip(tensors, coefficients, strict=False))
        others = [laid_out(each) for each in tensors[len(terms) :]]
        return norms.added(terms, others, activate=activate)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, slope: torch.Tensor) -> tuple[torch.Tensor | None, ...]:
        return None, None, *(slope if asked else None for asked in ctx.needs_input_grad[2:])
