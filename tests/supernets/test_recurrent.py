"""The supernet of recurrent cells: indexed weights, mixtures, and alpha by finite differences."""

import random
from typing import Any

import torch

from autospace.networks.recurrent import LanguageModel
from autospace.spaces import Candidate, Layer, Space
from autospace.spaces.cells.recurrent_cell import FUNCTIONS, RecurrentCell
from autospace.spaces.files.families import family_space
from autospace.spaces.sequence import SequenceSkeleton
from autospace.supernets.families import supernet_over
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


def _whole() -> Space:
    """A space of three whole cells, two of which begin alike."""
    skeleton = SequenceSkeleton.of("tiny", 7, 5, 2, root=None, whole=True)
    cells = [
        RecurrentCell.of([(0, "tanh"), (1, "relu")]),
        RecurrentCell.of([(0, "tanh"), (0, "sigmoid")]),
        RecurrentCell.of([(0, "identity"), (1, "relu")], "relu"),
    ]
    layer = Layer(skeleton.shapes[0], tuple(Candidate(f"c{i}", c) for i, c in enumerate(cells)))  # type: ignore[arg-type]
    return Space("whole", skeleton, tuple(FUNCTIONS), (layer,))


def test_whole_cells_share_the_matrices_in_which_they_agree() -> None:
    space = _whole()
    supernet, (inputs, _) = _supernet(space), _segment()
    wanted = {"0_0_tanh", "0_0_relu", "1_0_tanh", "1_0_identity", "2_1_relu", "2_0_sigmoid"}
    assert set(supernet.matrices) == wanted
    for index, candidate in enumerate(space.layers[0].candidates):
        cell: Any = candidate.cell
        network = LanguageModel(space.skeleton, [cell]).double()
        with torch.no_grad():
            network.embedding.copy_(supernet.get_parameter("network.embedding"))
            network.cell.root.copy_(supernet.matrices[f"0_0_{cell.functions[0]}"])
            for node, (source, name) in enumerate(cell.pairs, 1):
                network.cell.nodes[node - 1].copy_(supernet.matrices[f"{node}_{source}_{name}"])
        found = supernet.single_path(inputs, [index])
        torch.testing.assert_close(found, network(inputs))
        alone = torch.eye(3, dtype=torch.float64)[index]
        torch.testing.assert_close(supernet.mixture(inputs, [alone]), found)


def test_a_mixture_of_whole_cells_weighs_what_they_have_in_common_together() -> None:
    supernet, (inputs, _) = _supernet(_whole()), _segment()
    weights = torch.tensor([0.5, 0.3, 0.2], dtype=torch.float64)
    x = supernet.get_parameter("network.embedding")[inputs[1:]]
    state = torch.zeros(x.shape[1], 5, dtype=torch.float64)
    m, outputs = supernet.matrices, []

    def node(read: torch.Tensor, given: torch.Tensor, key: str, function: Any) -> torch.Tensor:
        candidate, gate = (given @ m[key]).chunk(2, -1)
        found: torch.Tensor = function(candidate)
        return read + torch.sigmoid(gate) * (found - read)

    for token in x:
        given = torch.cat([token, state], -1)
        root = 0.8 * node(state, given, "0_0_tanh", torch.tanh)
        root = root + 0.2 * node(state, given, "0_0_relu", torch.relu)
        one = 0.8 * node(root, root, "1_0_tanh", torch.tanh)
        one = one + 0.2 * node(root, root, "1_0_identity", lambda value: value)
        two = 0.7 * node(one, one, "2_1_relu", torch.relu)
        two = two + 0.3 * node(root, root, "2_0_sigmoid", torch.sigmoid)
        state = (one + two) / 2
        outputs.append(state)
    logits = torch.cat(outputs) @ supernet.get_parameter("network.embedding").T
    torch.testing.assert_close(supernet.mixture(inputs, [weights]), logits)


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
