"""Weights that the architectures of a space share: a supernet, its optimiser, its schedule."""

from collections.abc import Callable, Sequence

import torch
from torch import nn
from torch.nn import functional as F

from autospace.networks.cells import recompute_cells
from autospace.runs.state import State
from autospace.spaces.choices import Path
from autospace.supernets.problem import Problem
from autospace.supernets.supernet import Supernet, space_supernet
from autospace.training.short import Recipe, make_optimizer

Loss = Callable[[torch.Tensor, torch.Tensor], torch.Tensor]
_MOMENTUM = "momentum"


class SharedWeights:
    """A supernet over the whole space, trained by SGD with a cosine over a number of steps."""

    def __init__(self, problem: Problem, steps: int | None = None) -> None:
        options = problem.config.supernet
        self.problem = problem
        self.supernet: Supernet = space_supernet(
            problem.choices.space, problem.seed, problem.device
        )
        if options.recompute:
            recompute_cells(self.supernet)
        self.recipe = Recipe(
            steps or options.steps, options.learning_rate, weight_decay=options.weight_decay
        )
        self.optimizer = make_optimizer(self.supernet, self.recipe)

    def step(self, index: int, losses: Sequence[Loss], rate: float | None = None) -> None:
        """One step of the weights on the training batch of step `index`.

        The rate is that of the schedule unless one is given.
        Gradients of several losses are added up and their mean is applied at once (FairNAS, Chu
        et al., ICCV 2021). Weights off all paths keep no gradient: neither momentum nor decay
        moves them (as in SPOS's published code).
        """
        self.supernet.train()
        for group in self.optimizer.param_groups:
            group["lr"] = self.recipe.rate(index) if rate is None else rate
        images, labels = self.problem.training.batch(index)
        self.optimizer.zero_grad(set_to_none=True)
        for loss in losses:
            (loss(images, labels) / len(losses)).backward()
        nn.utils.clip_grad_norm_(self.supernet.parameters(), self.recipe.clip)
        self.optimizer.step()

    def task(self, path: Path) -> Loss:
        """The loss of one path on a batch."""
        return lambda images, labels: F.cross_entropy(
            self.supernet.single_path(images, path), labels
        )

    def inherit(self, other: "SharedWeights", rows: Sequence[Sequence[int]]) -> None:
        """Takes up another's weights and momentum: per layer, the other's index of each cell."""
        pairs: list[tuple[nn.Module, nn.Module]] = [(self.supernet.network, other.supernet.network)]
        layers = zip(self.supernet.choices, other.supernet.choices, rows, strict=True)
        for modules, others, row in layers:
            pairs += zip(modules, (others[index] for index in row), strict=True)
        for ours, theirs in pairs:
            ours.load_state_dict(theirs.state_dict())
            for weight, source in zip(ours.parameters(), theirs.parameters(), strict=True):
                momentum = other.optimizer.state[source].get("momentum_buffer")
                if momentum is not None:
                    self.optimizer.state[weight]["momentum_buffer"] = momentum.clone()

    def state(self) -> State:
        """Weights, running statistics and momentum."""
        momentum = {
            name: self.optimizer.state[parameter]["momentum_buffer"]
            for name, parameter in self.supernet.named_parameters()
            if self.optimizer.state.get(parameter, {}).get("momentum_buffer") is not None
        }
        return State(self.supernet.state_dict()).joined(State(momentum).under(_MOMENTUM))

    def restore(self, state: State) -> None:
        """Takes up weights, running statistics and momentum."""
        momentum = state.part(_MOMENTUM).tensors
        start = f"{_MOMENTUM}."
        weights = {k: v for k, v in state.tensors.items() if not k.startswith(start)}
        self.supernet.load_state_dict(weights)
        for name, parameter in self.supernet.named_parameters():
            if name in momentum:
                buffer = torch.empty_like(parameter).copy_(momentum[name])
                self.optimizer.state[parameter]["momentum_buffer"] = buffer
