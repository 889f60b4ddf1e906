"""Statistics of a path's own: the means over its batches, and nothing else moves."""

import torch
from torch import nn

from autospace.spaces import LayerSpec, Skeleton, Stem
from autospace.spaces.files.families import family_space
from autospace.supernets.shared_weights import recalibrate
from autospace.supernets.supernet import Supernet, space_supernet

SPACE = family_space("mbconv", Skeleton("two", 3, 8, 3, Stem(4, 1), (LayerSpec(4), LayerSpec(6))))
PATH = (1, 2)


def _outputs(part: nn.Module) -> list[torch.Tensor]:
    seen: list[torch.Tensor] = []
    part.register_forward_hook(lambda _module, inputs, _output: seen.append(inputs[0]))
    return seen


def _recalibrated(supernet: Supernet, batches: list[torch.Tensor]) -> None:
    recalibrate(
        supernet.parts(PATH), lambda images: supernet.single_path(images, PATH), iter(batches)
    )


def test_running_statistics_are_the_means_over_the_batches() -> None:
    supernet = space_supernet(SPACE, 0, "cpu").double()
    parts = supernet.parts(PATH)
    norms = [
        [m for m in part.modules() if isinstance(m, nn.BatchNorm2d)][-1]
        for part in (parts[0], parts[-1])
    ]
    seen = [_outputs(norm) for norm in norms]
    batches = list(torch.randn(3, 5, 3, 8, 8, dtype=torch.float64))
    _recalibrated(supernet, batches)
    for norm, inputs in zip(norms, seen, strict=True):
        means = torch.stack([x.mean(dim=(0, 2, 3)) for x in inputs]).mean(0)
        variances = torch.stack([x.var(dim=(0, 2, 3)) for x in inputs]).mean(0)
        assert norm.running_mean is not None
        assert norm.running_var is not None
        torch.testing.assert_close(norm.running_mean, means)
        torch.testing.assert_close(norm.running_var, variances)
        assert norm.momentum == 0.1
        assert not norm.training


def test_nothing_else_moves() -> None:
    supernet = space_supernet(SPACE, 0, "cpu")
    before = {name: value.clone() for name, value in supernet.state_dict().items()}
    weights = {name for name, _ in supernet.named_parameters()}
    _recalibrated(supernet, [torch.randn(4, 3, 8, 8)])
    moved = {
        name
        for name, value in supernet.state_dict().items()
        if not torch.equal(value, before[name])
    }
    assert moved
    assert not moved & weights
    used = {f"candidates.{layer}.{choice}." for layer, choice in enumerate(PATH)}
    cells = {".".join(name.split(".")[:3]) + "." for name in moved if name.startswith("candidates")}
    assert cells == used
