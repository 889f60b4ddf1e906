"""What stands before and after the layers of a network, in words."""

from autospace.spaces import Skeleton


def stem_facts(skeleton: Skeleton) -> tuple[str, ...]:
    """The image and the fixed convolutions before the first layer."""
    stem, side = skeleton.stem, skeleton.resolution
    stride = f" /{stem.stride}" if stem.stride != 1 else ""
    block = [f"MBConv k3, {stem.block} channels"] if stem.block is not None else []
    image = f"{skeleton.in_channels}x{side}x{side} image"
    return (image, f"conv 3x3{stride}, {stem.channels} channels", *block)


def head_facts(skeleton: Skeleton) -> tuple[str, ...]:
    """What makes class scores of the last layer's output."""
    last = [f"conv 1x1, {skeleton.head} channels"] if skeleton.head else []
    return (*last, "global average pool", f"{skeleton.classes} classes")
