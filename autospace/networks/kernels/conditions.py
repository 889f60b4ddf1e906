"""When the kernels may stand in for PyTorch's modules: only where nobody can tell but by time."""

import torch
from torch import nn
from torch.nn.modules import module as torch_module

from autospace.networks.kernels.native import asked_for, kernels

_HOOKS = ("_forward_hooks", "_forward_pre_hooks", "_backward_hooks", "_backward_pre_hooks")
_KERNEL_SIDES = (1, 3, 5, 7)
_ACTIVATED = [nn.Conv2d, nn.BatchNorm2d, nn.ReLU6]


def takes(x: torch.Tensor) -> bool:
    """Whether a tensor [N, C, H, W] is one for the kernels, and nothing watches the operations.

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


def replaceable(part: nn.Sequential, x: torch.Tensor) -> bool:
    """Whether convolution, batch normalisation and ReLU6 may be computed by the kernels.

    They have to be these very classes, in training mode, of the number type of x, and without
    hooks.
    """
    convolution, norm = part[0], part[1]
    if [type(each) for each in part] not in (_ACTIVATED, _ACTIVATED[:2]):
        return False
    if not (part.training and norm.training and norm.affine and norm.track_running_stats):
        return False
    if torch_module._has_any_global_hook() or any(map(_hooked, (part, *part))):
        return False
    held = (convolution.weight, norm.weight, norm.bias, norm.running_mean, norm.running_var)
    return all(
        each is not None and each.dtype == x.dtype and each.device == x.device for each in held
    )


def reweighable(attention: nn.Module, x: torch.Tensor) -> bool:
    """Whether channel attention may be computed by the kernels: in training, without hooks."""
    return (
        attention.training
        and takes(x)
        and not torch_module._has_any_global_hook()
        and not any(map(_hooked, attention.modules()))
        and all(
            each.dtype == x.dtype and each.device == x.device for each in attention.parameters()
        )
    )


def depthwise(convolution: nn.Conv2d) -> bool:
    """Whether there are kernels for a convolution: one filter per channel, and "same" padding."""
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


def pointwise(convolution: nn.Conv2d) -> bool:
    """Whether there are kernels for a convolution: one pixel of all channels, and no bias."""
    return (
        convolution.kernel_size == convolution.stride == (1, 1)
        and convolution.padding == (0, 0)
        and convolution.groups == 1
        and convolution.bias is None
    )


def transparent(module: nn.Module) -> bool:
    """Whether a module passes on what it is given, and nobody watches."""
    return (
        type(module) is nn.Identity
        and not torch_module._has_any_global_hook()
        and not _hooked(module)
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
