"""How autograd functions call the kernels: layouts, addresses, threads."""

import ctypes

import torch

from autospace.networks.kernels.native import Kernel, kernels, shared_out

LANES_BYTES = 32


def laid_out(tensor: torch.Tensor) -> torch.Tensor:
    """The tensor [N, C, H, W] as the kernels read it: channels last."""
    return tensor.contiguous(memory_format=torch.channels_last)


def kernel(tensor: torch.Tensor, name: str) -> Kernel:
    """The kernel for the tensor's type of numbers."""
    found = kernels(tensor.dtype)
    if found is None:
        raise RuntimeError(f"no kernels for {tensor.dtype}")
    return found[name]


def on_images(name: str, tensor: torch.Tensor, *arguments: object) -> None:
    """Runs a kernel on images [N, C, H, W], shared out among threads; it is told H W and C."""
    count, channels, height, width = tensor.shape
    work = kernel(tensor, name)
    shared_out(work, count, tensor.numel(), height * width, channels, *arguments)


def on_channels(name: str, tensor: torch.Tensor, *arguments: object) -> None:
    """Runs a kernel on blocks of channels, shared out among threads."""
    blocks = -(-tensor.shape[1] * tensor.element_size() // LANES_BYTES)
    shared_out(kernel(tensor, name), blocks, tensor.numel(), *arguments)


def on_groups(name: str, tensor: torch.Tensor, groups: int, *arguments: object) -> None:
    """Runs a kernel on groups of images, shared out among threads."""
    shared_out(kernel(tensor, name), groups, tensor.numel(), *arguments)


def at(*tensors: torch.Tensor) -> tuple[int, ...]:
    """Where tensors lie. Whoever calls a kernel keeps them until it returns."""
    return tuple(tensor.data_ptr() for tensor in tensors)


def place(tensor: torch.Tensor | None) -> int | None:
    """Where a tensor lies, if there is one."""
    return None if tensor is None else tensor.data_ptr()


def pointers(*tensors: torch.Tensor) -> ctypes.Array[ctypes.c_void_p]:
    """Where tensors lie, as an array in memory."""
    return (ctypes.c_void_p * len(tensors))(*at(*tensors))


def image_sums(a: torch.Tensor, b: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Sums [N, C] over the pixels of every image: of a, and of a times b."""
    images, channels = a.shape[:2]
    sums, products = a.new_empty(2, images, channels)
    # The kernel of batch normalisation's gradients, with averages of 0.
    nothing = a.new_zeros(3, channels)
    on_images("slope_sums", a, *at(a, b, nothing), False, *at(sums, products))
    return sums, products


def scaled(x: torch.Tensor, scale: torch.Tensor, shift: torch.Tensor | None = None) -> torch.Tensor:
    """Weighs channels by scale [N, C], and adds a shift to each."""
    out = torch.empty_like(x)
    on_images("scaled", x, *at(x, scale), place(shift), out.data_ptr())
    return out
