"""Weighed sums by the kernels against PyTorch's own."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from autospace.networks.fused import added, weighted_sum
from autospace.spaces import LayerSpec, Skeleton, Stem
from autospace.spaces.files.families import family_space
from autospace.supernets.supernet import space_supernet
from tests.networks.kernels.tools import needs_kernels, plainly

pytestmark = needs_kernels


@given(
    st.integers(1, 5),
    st.integers(1, 3),
    st.integers(1, 19),
    st.integers(1, 6),
    st.lists(st.booleans(), min_size=6, max_size=6),
)
@settings(max_examples=60, deadline=None)
def test_values_and_gradients_are_the_plain_ones(
    count: int, images: int, channels: int, side: int, asked: list[bool]
) -> None:
    generator = torch.Generator().manual_seed(count)
    drawn = torch.randn(
        count + 1, images, channels, side, side, generator=generator, dtype=torch.float64
    )
    slope, *values = drawn
    terms = [value.requires_grad_(ask) for value, ask in zip(values, asked, strict=False)]
    weights = torch.randn(count, generator=generator, dtype=torch.float64).requires_grad_(asked[-1])
    found = weighted_sum(terms, weights, training=True)
    wanted = added(weight * term for weight, term in zip(weights, terms, strict=True))
    torch.testing.assert_close(found, wanted)
    sources = [each for each in (weights, *terms) if each.requires_grad]
    if sources:
        slopes = torch.autograd.grad(found, sources, slope)
        torch.testing.assert_close(slopes, torch.autograd.grad(wanted, sources, slope))


@pytest.mark.parametrize("training", [True, False])
def test_a_supernet_mixes_as_it_does_plainly(training: bool) -> None:
    skeleton = Skeleton("two", 3, 8, 3, Stem(4, 1), (LayerSpec(4), LayerSpec(6, 2)))
    supernet = space_supernet(family_space("mbconv", skeleton), 0, "cpu").double().train(training)
    alphas = [
        torch.randn(len(cells), dtype=torch.float64).requires_grad_() for cells in supernet.choices
    ]
    images = torch.randn(4, 3, 8, 8, dtype=torch.float64)

    def slopes() -> tuple[torch.Tensor, ...]:
        logits = supernet.mixture(images, [alpha.softmax(0) for alpha in alphas])
        return torch.autograd.grad(logits.square().sum(), alphas)

    fused = slopes()
    with plainly():
        torch.testing.assert_close(fused, slopes())
