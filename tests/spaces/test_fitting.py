"""The same space for other images."""

from hypothesis import given
from hypothesis import strategies as st

from autospace.spaces import Budget, Space, network_cost
from tests.strategies import spaces
from tests.tiny import fitted_space


@given(spaces(), st.integers(1, 4), st.integers(1, 20), st.integers(2, 9))
def test_a_fitted_space_offers_the_same_cells_for_other_images(
    space: Space, channels: int, side: int, classes: int
) -> None:
    found = fitted_space(space, in_channels=channels, resolution=side, classes=classes)
    skeleton = found.skeleton
    assert (skeleton.in_channels, skeleton.resolution, skeleton.classes) == (
        channels,
        side,
        classes,
    )
    assert [layer.candidates for layer in found.layers] == [
        layer.candidates for layer in space.layers
    ]
    assert (found.name, found.reference, found.operations) == (
        space.name,
        space.reference,
        space.operations,
    )
    cheapest = [min(layer.costs) for layer in found.layers]
    cells = [
        layer.candidates[layer.costs.index(cost)].cell
        for layer, cost in zip(found.layers, cheapest, strict=True)
    ]
    assert found.madds.min == network_cost(skeleton, cells).madds


@given(spaces())
def test_a_space_that_fits_is_left_alone_and_a_budget_is_for_its_images(space: Space) -> None:
    skeleton = space.skeleton
    same = fitted_space(
        space,
        in_channels=skeleton.in_channels,
        resolution=skeleton.resolution,
        classes=skeleton.classes,
    )
    assert same is space
    other = fitted_space(
        space,
        in_channels=skeleton.in_channels,
        resolution=skeleton.resolution,
        classes=skeleton.classes + 1,
    )
    assert other.budget == Budget()
