"""Gradient checkpointing: a part keeps its input alone and is computed again on the way back.

Chen et al., "Training deep nets with sublinear memory cost", 2016: memory for about a third more
time. Batch normalisation must not count the same batch twice, which plain checkpointing lets it do.
"""

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext

import torch
from torch import nn
from torch.utils.checkpoint import checkpoint


def recomputed(
    part: nn.Module, function: Callable[[torch.Tensor], torch.Tensor], x: torch.Tensor
) -> torch.Tensor:
    """`function(x)`; its batch normalisations are in `part`. Gradients are equal to the bit."""

    def contexts() -> tuple[AbstractContextManager[None], AbstractContextManager[None]]:
        return nullcontext(), _statistics_at_rest(part)

    # Nothing in a cell is random, so there is no state of a generator to keep.
    found: torch.Tensor = checkpoint(
        function, x, use_reentrant=False, preserve_rng_state=False, context_fn=contexts
    )
    return found


@contextmanager
def _statistics_at_rest(part: nn.Module) -> Iterator[None]:
    """As long as it lasts, batches leave no trace in running statistics.

    The norms stay in training mode with statistics of their own: they have to keep exactly the
    tensors that they kept the first time.
    """
    norms = [each for each in part.modules() if isinstance(each, nn.BatchNorm2d)]
    held = [(norm.momentum, norm.num_batches_tracked) for norm in norms]
    for norm in norms:
        norm.momentum = 0.0
        if norm.num_batches_tracked is not None:
            norm.num_batches_tracked = norm.num_batches_tracked.clone()
    try:
        yield
    finally:
        for norm, (momentum, count) in zip(norms, held, strict=True):
            norm.momentum, norm.num_batches_tracked = momentum, count
