"""The same space for other images."""

from dataclasses import replace

from autospace.spaces.space import Budget, Layer, Space


def fitted_space(space: Space, *, in_channels: int, resolution: int, classes: int) -> Space:
    """The space for images of this size and so many classes.

    Layers, cells and ids stay. Where something changes, the budget is dropped: its numbers were
    for other images.
    """
    skeleton = space.skeleton.fitted(
        in_channels=in_channels, resolution=resolution, classes=classes
    )
    if skeleton == space.skeleton:
        return space
    layers = tuple(
        Layer(shape, layer.candidates)
        for shape, layer in zip(skeleton.shapes, space.layers, strict=True)
    )
    return replace(space, skeleton=skeleton, layers=layers, budget=Budget())
