"""Which device does the work."""

import re

import torch

from autospace.folder import RunError
from autospace.settings import DEVICES
from autospace.spaces.errors import shown


def resolve_device(name: str) -> torch.device:
    """`auto` is the GPU if there is one.

    Raises:
        RunError: no such device, or a GPU that is not there.
    """
    if not re.match(DEVICES, name):
        raise RunError(f"device {shown(name)}: unknown; allowed: auto, cpu or cuda[:n]")
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    device = torch.device(name)
    if device.type == "cuda" and (device.index or 0) >= torch.cuda.device_count():
        found = torch.cuda.device_count()
        raise RunError(f"device {name!r}: this machine has {found} CUDA devices; use --device cpu")
    return device
