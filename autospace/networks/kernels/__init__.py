"""Training of cells on a CPU in few passes over memory: compiled kernels, and when they serve."""

from autospace.networks.kernels.conditions import (
    depthwise,
    pointwise,
    replaceable,
    reweighable,
    takes,
    transparent,
)
from autospace.networks.kernels.convolutions import depthwise_convolution, pointwise_convolution
from autospace.networks.kernels.native import described
from autospace.networks.kernels.nodes import reweighed, weighed_sum
from autospace.networks.kernels.norms import Pending, node_sum, norm_act

__all__ = [
    "Pending",
    "depthwise",
    "depthwise_convolution",
    "described",
    "node_sum",
    "norm_act",
    "pointwise",
    "pointwise_convolution",
    "replaceable",
    "reweighable",
    "reweighed",
    "takes",
    "transparent",
    "weighed_sum",
]
