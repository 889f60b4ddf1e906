"""Copies of weights in the precision of autocast, all made by one operation.

Autocast casts every weight by itself, and every gradient back: small kernels, which take a GPU as
long to start as to run. Modules whose weights are narrow already need no casts. The numbers are
the same, as long as a batch is one part: a gradient is computed in the narrow type in both cases.
"""

from collections.abc import Iterable, Sequence
from typing import Protocol

import torch
from torch import nn

from autospace.compute.execution import Execution

_CAST = (nn.Conv2d, nn.Linear)
_NAMES = ("weight", "bias")
"""Of these modules autocast casts these parameters; normalisation stays float32."""


class Weights(Protocol):
    """The float32 weights that an optimiser changes, and what modules compute with."""

    def wide(self, weights: Iterable[nn.Parameter]) -> list[nn.Parameter]:
        """The float32 weights behind the weights of modules."""
        ...

    def renew(self) -> None:
        """Brings what modules compute with up to date; they have no gradients afterwards."""
        ...

    def collect(self) -> None:
        """Gives the float32 weights the gradients that the backward passes have left."""
        ...


class OwnWeights:
    """Modules compute with the float32 weights themselves."""

    def wide(self, weights: Iterable[nn.Parameter]) -> list[nn.Parameter]:
        """The same weights."""
        return list(weights)

    def renew(self) -> None:
        """Nothing is to be done."""

    def collect(self) -> None:
        """Nothing is to be done."""


class NarrowWeights:
    """Modules compute with narrow copies, which take the place of their parameters."""

    def __init__(self, modules: Iterable[nn.Module], precision: torch.dtype) -> None:
        self._pairs: list[tuple[nn.Parameter, nn.Parameter]] = []
        for part in (each for module in modules for each in module.modules()):
            if isinstance(part, _CAST):
                own = dict(part.named_parameters(recurse=False))
                for name, weight in ((each, own[each]) for each in _NAMES if each in own):
                    narrow = nn.Parameter(weight.detach().to(precision), weight.requires_grad)
                    setattr(part, name, narrow)
                    self._pairs.append((narrow, weight))
        self._wide = {id(narrow): weight for narrow, weight in self._pairs}
        # Made here and not in a step: there they would need memory when a batch takes the most.
        self._gradients = [torch.zeros_like(weight) for _, weight in self._pairs]

    def wide(self, weights: Iterable[nn.Parameter]) -> list[nn.Parameter]:
        """See `Weights`; those that are not narrow stand for themselves."""
        return [self._wide.get(id(each), each) for each in weights]

    @torch.no_grad()
    def renew(self) -> None:
        """See `Weights`."""
        for narrow, _ in self._pairs:
            narrow.grad = None
        if self._pairs:
            _copy(*zip(*self._pairs, strict=True))

    @torch.no_grad()
    def collect(self) -> None:
        """See `Weights`."""
        known = [
            (place, narrow.grad, weight)
            for place, (narrow, weight) in zip(self._gradients, self._pairs, strict=True)
            if narrow.grad is not None
        ]
        if not known:
            return
        places, gradients, weights = zip(*known, strict=True)
        _copy(places, gradients)
        for weight, gradient in zip(weights, places, strict=True):
            weight.grad = gradient


def _copy(places: Sequence[torch.Tensor], values: Sequence[torch.Tensor]) -> None:
    torch._foreach_copy_(list(places), list(values))


def weights_of(modules: Iterable[nn.Module], execution: Execution) -> Weights:
    """Narrow weights where a GPU computes with autocast; otherwise the modules' own."""
    if execution.device.type == "cpu" or execution.precision == torch.float32:
        return OwnWeights()
    return NarrowWeights(modules, execution.precision)
