"""The supernet of recurrent cells: indexed weights, mixtures, and alpha by finite differences."""

import random

import torch

from autospace.networks.recurrent import LanguageModel
from autospace.spaces import Space
from autospace.spaces.files.library import family_space
from autospace.spaces.sequence import SequenceSkeleton
from autospace.supernets.nodes import supernet_over
from autospace.supernets.recurrent import RecurrentSupernet
from autospace.text.segments import Segments

CPU = torch.device("cpu")


def _space(root: str | None = "tanh") -> Space:
    return family_space("enas-rnn", SequenceSkeleton.of("tiny", 7, 5, 3, root=root))


def _supernet(space: Space) -> RecurrentSupernet:
    found = supernet_over(space, 0, "cpu")
    assert isinstance(found, RecurrentSupernet)
    return found.double()


def _segment() -> tuple[torch.Tensor, torch.Tensor]:
    torch.manual_seed(1)
    return Segments(torch.randint(0, 7, (40,)), 2, 6, CPU, alone=True).batch(0)


def test_a_path_is_the_network_with_the_matrices_of_its_choices() -> None:
    for root in ("tanh", None):
        space = _space(root)
        supernet, (inputs, _) = _supernet(space), _segment()
        for seed in range(4):
            architecture = space.sample(random.Random(seed))
            path = [
                layer.candidates.index(candidate)
                for layer, candidate in zip(space.layers, architecture.candidates, strict=True)
            ]
            network = LanguageModel(space.skeleton, architecture.cells).double()
            (cell,) = architecture.cells
            with torch.no_grad():
                network.embedding.copy_(supernet.get_parameter("network.embedding"))
                network.cell.root.copy_(supernet.matrices[f"0_0_{cell.functions[0]}"])  # type: ignore[attr-defined]
                for node, (source, name) in enumerate(cell.pairs, 1):  # type: ignore[attr-defined]
                    weight = supernet.matrices[f"{node}_{source}_{name}"]
                    network.cell.nodes[node - 1].copy_(weight)
            torch.testing.assert_close(supernet.single_path(inputs, path), network(inputs))


def test_a_mixture_with_all_weight_on_one_choice_is_that_path() -> None:
    space = _space()
    supernet, (inputs, _) = _supernet(space), _segment()
    path = [len(layer.candidates) - 1 for layer in space.layers]
    weights = [torch.eye(len(layer.candidates), dtype=torch.float64)[-1] for layer in space.layers]
    found = supernet.mixture(inputs, weights)
    torch.testing.assert_close(found, supernet.single_path(inputs, path))


def test_gradients_of_alpha_are_finite_differences() -> None:
    space = _space()
    supernet, (inputs, targets) = _supernet(space), _segment()
    torch.manual_seed(2)
    alphas = [torch.randn(len(layer.candidates), dtype=torch.float64) for layer in space.layers]

    def loss(values: list[torch.Tensor]) -> torch.Tensor:
        mixed = supernet.mixture(inputs, [value.softmax(0) for value in values])
        return torch.nn.functional.cross_entropy(mixed, targets)

    wanted = torch.autograd.grad(loss([a.requires_grad_() for a in alphas]), alphas)
    step = 1e-6
    for place, gradient in enumerate(wanted):
        for index in range(len(gradient)):
            ends = []
            for sign in (1, -1):
                moved = [alpha.detach().clone() for alpha in alphas]
                moved[place][index] += sign * step
                ends.append(float(loss(moved).detach()))
            slope = (ends[0] - ends[1]) / (2 * step)
            assert abs(slope - float(gradient[index])) < 1e-7


def test_weights_off_the_path_have_no_gradient() -> None:
    space = _space()
    supernet, (inputs, targets) = _supernet(space), _segment()
    logits = supernet.single_path(inputs, [0] * len(space.layers))
    torch.nn.functional.cross_entropy(logits, targets).backward()
    used = {name for name, each in supernet.matrices.items() if each.grad is not None}
    assert used == {"0_0_tanh", "1_0_tanh", "2_0_tanh", "3_0_tanh"}
