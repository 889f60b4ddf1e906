"""Finite differences for gradient-based methods, in float64."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import torch
from torch import nn
from torch.nn import functional as F

from autospace.searchers.gradient.search import GradientSearch
from autospace.searchers.make import make_method
from autospace.searchers.problem import SearchProblem
from autospace.spaces import Layer, Space
from autospace.spaces.choices import Choice
from autospace.spaces.files.families import family_space
from autospace.supernets.supernet import Supernet
from tests.searchers.problems import SKELETON, make_problem

STEP = 1e-6
# Nothing with a wide kernel: the backward pass of those is most of the time.
CHEAP = ("dw_conv_3x3", "none")
Rows = list[torch.Tensor]
Batch = tuple[torch.Tensor, torch.Tensor]


def cheap_space() -> Space:
    """The tiny mbconv space without its wide kernels."""
    space = family_space("mbconv", SKELETON)
    layers = (
        Layer(layer.shape, tuple(c for c in layer.candidates if {*c.cell.operations} <= {*CHEAP}))
        for layer in space.layers
    )
    return replace(space, layers=tuple(layers), reference={})


SMALL = cheap_space()


class DoubleBatches:
    """The first images of a problem's validation or training batches, in float64."""

    def __init__(self, source: Any, size: int = 12) -> None:
        self._source, self._size = source, size

    def batch(self, step: int) -> Batch:
        images, labels = self._source.batch(step)
        return images[: self._size].double(), labels[: self._size]


def double_method(name: str, alpha_scale: float = 1.0, **changes: Any) -> GradientSearch:
    """A method whose weights and images are float64, with alphas spread at random."""
    problem = make_problem(SMALL, method=name, **changes)
    for batches in ("training", "validation"):
        problem.__dict__[batches] = DoubleBatches(getattr(problem, batches))
    method = make_method(problem)
    if not isinstance(method, GradientSearch):
        raise TypeError(f"{name} is a {type(method).__name__}")
    method.weights.supernet.double()
    generator = torch.Generator().manual_seed(1)
    for alpha in method.alphas.values:
        noise = torch.rand(len(alpha), generator=generator, dtype=torch.float64)
        alpha.detach().copy_(alpha_scale * noise)
    return method


def smoothen(network: nn.Module) -> None:
    """Swaps activations for differentiable ones: a kink within a difference spoils it."""
    for module in list(network.modules()):
        for name, child in module.named_children():
            if isinstance(child, nn.ReLU6):
                setattr(module, name, nn.SiLU())


def one_hot(problem: SearchProblem, path: Choice) -> Rows:
    rows = [torch.zeros(size, dtype=torch.float64) for size in problem.choices.sizes]
    for row, index in zip(rows, path, strict=True):
        row[index] = 1
    return rows


def slopes(function: Callable[[Rows], torch.Tensor], rows: Sequence[torch.Tensor]) -> Rows:
    """Central differences of a scalar function of some rows, one entry at a time."""
    found = [torch.zeros_like(row) for row in rows]
    for layer, row in enumerate(rows):
        for index in range(len(row)):
            values = []
            for sign in (1, -1):
                moved = [each.detach().clone() for each in rows]
                moved[layer][index] += sign * STEP
                values.append(float(function(moved).detach()))
            found[layer][index] = (values[0] - values[1]) / (2 * STEP)
    return found


def gate_slopes(method: GradientSearch, batch: Batch, path: Choice) -> Rows:
    """dL/dg at one-hot gates of a path, by differences of the mixture's loss."""
    return gate_slopes_of(method.weights.supernet, method.problem, batch, path)


def gate_slopes_of(supernet: Supernet, problem: SearchProblem, batch: Batch, path: Choice) -> Rows:
    """The same for any supernet."""
    images, labels = batch

    @torch.no_grad()
    def loss(gates: Rows) -> torch.Tensor:
        return F.cross_entropy(supernet.mixture(images, gates), labels)

    return slopes(loss, one_hot(problem, path))
