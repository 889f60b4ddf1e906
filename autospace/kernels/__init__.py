"""Training of cells on a CPU in few passes over memory: compiled kernels, and when they serve."""

from autospace.kernels.attention import reweighed
from autospace.kernels.conditions import depthwise, replaceable, reweighable, takes
from autospace.kernels.functions import Depthwise, depthwise_sum, norm_act
from autospace.kernels.mixing import weighed_sum
from autospace.kernels.native import described

__all__ = [
    "Depthwise",
    "depthwise",
    "depthwise_sum",
    "described",
    "norm_act",
    "replaceable",
    "reweighable",
    "reweighed",
    "takes",
    "weighed_sum",
]
