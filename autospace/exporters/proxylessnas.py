"""Writes an architecture as a net.config of ProxylessNAS (mit-han-lab), which MCUNet reads too."""

from typing import Any, Final

from autospace.spaces import (
    Architecture,
    Candidate,
    Cell,
    LayerShape,
    Skeleton,
    SpaceError,
    canonical_key,
    mbconv,
)
from autospace.spaces.cells.cell import MAX_EXPANSION
from autospace.spaces.cells.family import check_kind, notation
from autospace.spaces.text import json_text

KERNELS: Final = (3, 5, 7)
# What PyTorch's batch normalisation has, and our networks keep.
_BATCH_NORM: Final = {"momentum": 0.1, "eps": 1e-5}


def export_architecture(architecture: Architecture) -> str:
    """The configuration from which `ProxylessNASNets.build_from_config` makes the network.

    Raises:
        SpaceError: a cell is neither an MBConv nor zero; the message names the layer.
    """
    check_kind(architecture.kind, "networks of ProxylessNAS")
    skeleton = architecture.skeleton
    pairs = zip(skeleton.shapes, architecture.candidates, strict=True)
    blocks = [_block(candidate, shape) for shape, candidate in pairs]
    width = skeleton.shapes[-1].out_channels
    return json_text(
        {
            "name": "ProxylessNASNets",
            "bn": _BATCH_NORM,
            "resolution": skeleton.resolution,
            "first_conv": _convolution(
                skeleton.in_channels, skeleton.stem.channels, 3, skeleton.stem.stride
            ),
            "blocks": [*_stem_block(skeleton), *blocks],
            "feature_mix_layer": _convolution(width, skeleton.head, 1) if skeleton.head else None,
            "classifier": _classifier(skeleton.head or width, skeleton.classes),
        }
    )


def _stem_block(skeleton: Skeleton) -> list[dict[str, Any]]:
    stem = skeleton.stem
    if stem.block is None:
        return []
    shape = LayerShape("stem", stem.channels, stem.block, 1, skeleton.stem_resolution)
    return [_residual(_inverted(shape, 3, 1), None)]


def _block(candidate: Candidate, shape: LayerShape) -> dict[str, Any]:
    shortcut = _identity(shape) if shape.shortcut else None
    if candidate.cell.is_zero:
        return _residual({"name": "ZeroLayer", "stride": shape.stride}, shortcut)
    found = _kernel_and_expansion(candidate.cell, shape.stride)
    if found is None:
        problem = f"cell {candidate.id!r} ({notation(candidate.cell)}) is not an MBConv"
        raise SpaceError(
            shape.name, f"{problem}; allowed: an MBConv of kernel 3, 5 or 7 without SE"
        )
    return _residual(_inverted(shape, *found), shortcut)


def _kernel_and_expansion(cell: Cell, stride: int) -> tuple[int, int] | None:
    """The kernel and expansion of the MBConv that is equal to the cell, if there is one."""
    key = canonical_key(cell, stride)
    for kernel in KERNELS:
        for expansion in range(1, MAX_EXPANSION + 1):
            if canonical_key(mbconv(kernel, expansion), stride) == key:
                return kernel, expansion
    return None


def _residual(convolution: dict[str, Any], shortcut: dict[str, Any] | None) -> dict[str, Any]:
    return {
        "name": "MobileInvertedResidualBlock",
        "mobile_inverted_conv": convolution,
        "shortcut": shortcut,
    }


def _inverted(shape: LayerShape, kernel: int, expansion: int) -> dict[str, Any]:
    return {
        "name": "MBInvertedConvLayer",
        "in_channels": shape.in_channels,
        "out_channels": shape.out_channels,
        "kernel_size": kernel,
        "stride": shape.stride,
        "expand_ratio": expansion,
    }


def _convolution(
    in_channels: int, out_channels: int, kernel: int, stride: int = 1
) -> dict[str, Any]:
    return {
        "name": "ConvLayer",
        "in_channels": in_channels,
        "out_channels": out_channels,
        "kernel_size": kernel,
        "stride": stride,
        "dilation": 1,
        "groups": 1,
        "bias": False,
        "has_shuffle": False,
        "use_bn": True,
        "act_func": "relu6",
        "dropout_rate": 0,
        "ops_order": "weight_bn_act",
    }


def _identity(shape: LayerShape) -> dict[str, Any]:
    return {
        "name": "IdentityLayer",
        "in_channels": shape.in_channels,
        "out_channels": shape.out_channels,
        "use_bn": False,
        "act_func": None,
        "dropout_rate": 0,
        "ops_order": "weight_bn_act",
    }


def _classifier(features: int, classes: int) -> dict[str, Any]:
    return {
        "name": "LinearLayer",
        "in_features": features,
        "out_features": classes,
        "bias": True,
        "use_bn": False,
        "act_func": None,
        "dropout_rate": 0,
        "ops_order": "weight_bn_act",
    }
