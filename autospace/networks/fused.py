"""Chooses the backend that computes a part of a network; no other module chooses one.

Each module defines in plain PyTorch what it computes. Where a faster backend gives the same result
and nothing could observe the difference, an entry of `BACKENDS` computes the module instead. This
is the only module that imports the kernels.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Final, Protocol

import torch
from torch import nn
from torch.nn.modules import module as torch_module

from autospace.networks.kernels import gpu, native
from autospace.networks.kernels.convolutions import depthwise_convolution, pointwise_convolution
from autospace.networks.kernels.native import asked_for, kernels
from autospace.networks.kernels.nodes import reweighted
from autospace.networks.kernels.nodes import weighted_sum as _weighted_by_kernels
from autospace.networks.kernels.norms import Pending, node_sum, norm_act

_HOOKS: Final = ("_forward_hooks", "_forward_pre_hooks", "_backward_hooks", "_backward_pre_hooks")
_KERNEL_SIDES: Final = (1, 3, 5, 7)
_ACTIVATED: Final = [nn.Conv2d, nn.BatchNorm2d, nn.ReLU6]

Value = torch.Tensor | Pending
"""A tensor [N, C, H, W], or the output of a convolution that each reader normalises itself."""


@dataclass(slots=True)
class Node:
    """The value of a node of a cell."""

    value: Value

    @property
    def tensor(self) -> torch.Tensor:
        """The tensor whose type, shape and device decide which backend may compute with it."""
        return self.value.z if isinstance(self.value, Pending) else self.value

    def finished(self) -> torch.Tensor:
        """The value as a tensor; later readers get the same tensor."""
        if isinstance(self.value, Pending):
            self.value = self.value.finished()
        return self.value


class Fusible(nn.Module):
    """A module that a backend may compute in another way than `plain` does."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """What `plain` gives."""
        return Node(_backend(self, x).compute(self, Node(x))).finished()

    def plain(self, x: torch.Tensor) -> torch.Tensor:
        """[N, C, H, W] -> [N, C', H', W'], computed by PyTorch."""
        raise NotImplementedError


class FusibleConvolution(Fusible, nn.Sequential):
    """Convolution, batch normalisation and maybe ReLU6, in this order."""

    def plain(self, x: torch.Tensor) -> torch.Tensor:
        """One part after the other."""
        for part in self:
            x = part(x)
        return x


class FusibleAttention(Fusible):
    """x times the weights that its channels get from their averages."""

    def weights(self, averages: torch.Tensor) -> torch.Tensor:
        """From averages [N, C] to weights [N, C]."""
        raise NotImplementedError


class Backend(Protocol):
    """A way to compute fusible modules and sums."""

    def takes(self, x: torch.Tensor) -> bool:
        """Whether it computes with this tensor [N, C, H, W], here and now."""

    def replaces(self, module: Fusible, x: torch.Tensor) -> bool:
        """Whether it computes this module, in its present state, on a tensor that it takes."""

    def compute(self, module: Fusible, node: Node) -> Value:
        """What the module makes of a node."""

    def weighted_sum(self, terms: Sequence[torch.Tensor], weights: torch.Tensor) -> torch.Tensor:
        """Sum [N, C, H, W] of terms, each times its weight, of weights [K]."""


class Plain:
    """PyTorch computes modules as they are written, always."""

    def takes(self, x: torch.Tensor) -> bool:
        """Every tensor."""
        return True

    def replaces(self, module: Fusible, x: torch.Tensor) -> bool:
        """Every module."""
        return True

    def compute(self, module: Fusible, node: Node) -> Value:
        """What `plain` gives."""
        return module.plain(node.finished())

    def weighted_sum(self, terms: Sequence[torch.Tensor], weights: torch.Tensor) -> torch.Tensor:
        """One term after the other."""
        return added(weight * term for weight, term in zip(weights, terms, strict=True))


class CpuKernels:
    """The compiled kernels, in training: only where nothing but time shows the difference."""

    def takes(self, x: torch.Tensor) -> bool:
        """Tensors on the CPU, unless something watches PyTorch's operations.

        Tracing, autocast, functional transforms and dispatch modes have to see PyTorch's own.
        """
        return (
            type(x) is torch.Tensor
            and x.device.type == "cpu"
            and x.dim() == 4
            and x.shape[0] * x.shape[2] * x.shape[3] > 1
            and asked_for()
            and kernels(x.dtype) is not None
            and not torch.is_autocast_enabled("cpu")
            and not _watched()
        )

    def replaces(self, module: Fusible, x: torch.Tensor) -> bool:
        """Modules in training mode, without hooks, whose numbers are of the type of x."""
        if not module.training or torch_module._has_any_global_hook():
            return False
        if isinstance(module, FusibleConvolution):
            return _is_known_sequence(module, x)
        return (
            isinstance(module, FusibleAttention)
            and not any(map(_hooked, module.modules()))
            and _all_like(module.parameters(), x)
        )

    def compute(self, module: Fusible, node: Node) -> Value:
        """A convolution for which there is a kernel leaves its normalisation to the readers."""
        if isinstance(module, FusibleAttention):
            return reweighted(node.finished(), module.weights, *module.parameters())
        convolution, norm, *activation = module.children()
        if not (isinstance(convolution, nn.Conv2d) and isinstance(norm, nn.BatchNorm2d)):
            raise TypeError(f"there is no kernel for a {type(module).__name__}")
        activate = bool(activation)
        if _is_pointwise(convolution):
            return pointwise_convolution(node.value, convolution, norm, activate=activate)
        if activate and _is_depthwise(convolution):
            return depthwise_convolution(node.value, convolution, norm)
        return norm_act(convolution(node.finished()), norm, activate=activate)

    def weighted_sum(self, terms: Sequence[torch.Tensor], weights: torch.Tensor) -> torch.Tensor:
        """All terms in one pass over memory."""
        return _weighted_by_kernels(terms, weights)


class GpuKernels:
    """The Triton kernels, in training: for batch normalisation, and for dilated convolutions."""

    def takes(self, x: torch.Tensor) -> bool:
        """Tensors on a GPU, unless something watches PyTorch's operations."""
        return (
            type(x) is torch.Tensor
            and x.device.type == "cuda"
            and x.dim() == 4
            and x.shape[0] * x.shape[2] * x.shape[3] > 1
            and x.dtype in (torch.float32, torch.bfloat16)
            and x.numel() < gpu.MOST_NUMBERS
            and not _watched()
            and gpu.usable(x.device)
        )

    def replaces(self, module: Fusible, x: torch.Tensor) -> bool:
        """Convolutions in training mode, without hooks; their weights are float32."""
        if not module.training or torch_module._has_any_global_hook():
            return False
        if not isinstance(module, FusibleConvolution) or not _is_sequence(module):
            return False
        norm = module[1]
        return bool(
            norm.training
            and norm.affine
            and (norm.momentum is not None or not norm.track_running_stats)
            and norm.weight.dtype == torch.float32
            and norm.weight.device == x.device
        )

    def compute(self, module: Fusible, node: Node) -> Value:
        """A dilated depthwise convolution with its normalisation; else the normalisation alone."""
        convolution, norm, *activation = module.children()
        if not (isinstance(convolution, nn.Conv2d) and isinstance(norm, nn.BatchNorm2d)):
            raise TypeError(f"there is no kernel for a {type(module).__name__}")
        x, activate = node.finished(), bool(activation)
        if _is_depthwise(convolution) and convolution.dilation[0] > 1:
            if torch.is_autocast_enabled("cuda"):
                x = x.to(torch.get_autocast_dtype("cuda"))
            return gpu.depthwise_norm_act(x, convolution, norm, activate=activate)
        z: torch.Tensor = convolution(x)
        if z.numel() < gpu.MOST_NUMBERS:
            return gpu.norm_act(z, norm, activate=activate)
        for part in (norm, *activation):
            z = part(z)
        return z

    def weighted_sum(self, terms: Sequence[torch.Tensor], weights: torch.Tensor) -> torch.Tensor:
        """As PyTorch does it."""
        return PLAIN.weighted_sum(terms, weights)


PLAIN: Final = Plain()
BACKENDS: Final[tuple[Backend, ...]] = (CpuKernels(), GpuKernels(), PLAIN)
"""In order of preference; the last one takes everything."""


def _is_known_sequence(module: FusibleConvolution, x: torch.Tensor) -> bool:
    """Whether its parts are these very classes, in training mode, without hooks."""
    if not _is_sequence(module):
        return False
    convolution, norm = module[0], module[1]
    if not (norm.training and norm.affine and norm.track_running_stats):
        return False
    held = (convolution.weight, norm.weight, norm.bias, norm.running_mean, norm.running_var)
    return _all_like(held, x)


def _is_sequence(module: FusibleConvolution) -> bool:
    """Whether its parts are these very classes, without hooks."""
    known = [type(each) for each in module] in (_ACTIVATED, _ACTIVATED[:2])
    return known and not any(map(_hooked, (module, *module)))


def _is_depthwise(convolution: nn.Conv2d) -> bool:
    """Whether there are kernels for it: one filter per channel, and "same" padding."""
    (side, other), (dilation, _) = convolution.kernel_size, convolution.dilation
    return (
        side == other
        and side in _KERNEL_SIDES
        and convolution.in_channels == convolution.out_channels == convolution.groups
        and convolution.dilation == (dilation, dilation)
        and convolution.padding == (dilation * (side - 1) // 2,) * 2
        and convolution.stride[0] == convolution.stride[1]
        and convolution.bias is None
    )


def _is_pointwise(convolution: nn.Conv2d) -> bool:
    """Whether there are kernels for it: one pixel of all channels, and no bias."""
    return (
        convolution.kernel_size == convolution.stride == (1, 1)
        and convolution.padding == (0, 0)
        and convolution.groups == 1
        and convolution.bias is None
    )


def _is_transparent(module: nn.Module) -> bool:
    """Whether a module returns its input, and nothing watches."""
    return (
        type(module) is nn.Identity
        and not torch_module._has_any_global_hook()
        and not _hooked(module)
    )


def _all_like(tensors: Iterable[Any], x: torch.Tensor) -> bool:
    return all(
        each is not None and each.dtype == x.dtype and each.device == x.device for each in tensors
    )


def _hooked(module: nn.Module) -> bool:
    return any(getattr(module, name) for name in _HOOKS)


def _watched() -> bool:
    return bool(
        torch.compiler.is_compiling()
        or torch._C._get_tracing_state() is not None
        or torch._C._are_functorch_transforms_active()
        or torch._C._len_torch_dispatch_stack()
    )


def _backend(module: Fusible, x: torch.Tensor) -> Backend:
    return next(each for each in BACKENDS if each.takes(x) and each.replaces(module, x))


def applied(module: nn.Module, node: Node) -> Node:
    """What a module makes of a node: finished only if its backend cannot leave that to readers.

    A node that has to be finished for this reader stays finished for the readers to come.
    """
    if _is_transparent(module):
        return Node(node.value)
    if isinstance(module, Fusible) and type(module).forward is Fusible.forward:
        backend = _backend(module, node.tensor)
        if backend is not PLAIN:
            return Node(backend.compute(module, node))
    # Not `plain`, because hooks have to run.
    return Node(module(node.finished()))


def summed(nodes: Sequence[Node]) -> Node:
    """The sum of at least one node."""
    if len(nodes) == 1:
        return nodes[0]
    values = [node.value for node in nodes]
    if any(isinstance(value, Pending) for value in values):
        return Node(node_sum(values))
    return Node(added(node.finished() for node in nodes))


def weighted_sum(
    terms: Sequence[torch.Tensor], weights: torch.Tensor, *, training: bool
) -> torch.Tensor:
    """Sum [N, C, H, W] of terms, each times its weight, of weights [K]; fast only in training."""
    fits = training and weights.dtype == terms[0].dtype
    allowed = BACKENDS if fits else (PLAIN,)
    backend = next(each for each in allowed if all(map(each.takes, terms)))
    return backend.weighted_sum(terms, weights)


def added(values: Iterable[torch.Tensor]) -> torch.Tensor:
    """Sum of at least one tensor, without a copy of the first."""
    total: torch.Tensor | None = None
    for value in values:
        total = value if total is None else total + value
    if total is None:
        raise ValueError("nothing to add: at least one tensor is needed")
    return total


def described() -> str:
    """Which kernels train cells on the CPU, and why no others."""
    return native.described()


def hindrance() -> str:
    """Why the environment's choice of kernels on the CPU has no effect, or nothing."""
    return native.ignored()


def turned_off() -> bool:
    """Whether the environment keeps the kernels on the CPU from being used."""
    return not asked_for()


def described_on(device: torch.device) -> str:
    """Whose kernels train cells on a GPU."""
    return "CUDA's and Triton's" if gpu.usable(device) else "CUDA's"
