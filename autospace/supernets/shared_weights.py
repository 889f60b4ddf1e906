"""Weights that the architectures of a space share, and how good an architecture is with them."""

from collections.abc import Callable, Iterable, Sequence

import torch
from torch import nn
from torch.nn import functional as F

from autospace.networks.cells import recompute_cells
from autospace.runs.state import State
from autospace.spaces.choices import Choice
from autospace.supernets.problem import Problem
from autospace.supernets.supernet import Supernet, space_supernet
from autospace.training.short import Recipe, make_optimizer


@torch.no_grad()
def recalibrate(
    parts: Iterable[nn.Module],
    network: Callable[[torch.Tensor], object],
    batches: Iterable[torch.Tensor],
) -> None:
    """Sets running statistics to the mean over some training batches, in place; weights stay.

    What the batch normalisation of shared weights has seen belongs to all networks and to none (Yu
    and Huang, ICCV 2019; SPOS, Guo et al., ECCV 2020). The parts are evaluating afterwards.

    Args:
        parts: what the network is made of.
        network: runs it on images [N, C, H, W].
        batches: images, batch by batch.
    """
    used = list(parts)
    norms = [each for part in used for each in part.modules() if isinstance(each, nn.BatchNorm2d)]
    kept = [norm.momentum for norm in norms]
    for norm in norms:
        norm.reset_running_stats()
        norm.momentum = None  # the plain mean over all batches to come
    for part in used:
        part.train()
    for images in batches:
        network(images)
    for norm, momentum in zip(norms, kept, strict=True):
        norm.momentum = momentum
    for part in used:
        part.eval()


Loss = Callable[[torch.Tensor, torch.Tensor], torch.Tensor]
_MOMENTUM = "momentum"


class SharedWeights:
    """A supernet over the whole space, trained by SGD with a cosine over a number of steps."""

    def __init__(self, problem: Problem, steps: int | None = None) -> None:
        options = problem.supernet
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

    def task(self, path: Choice) -> Loss:
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


class Judge:
    """Validation accuracy of paths with the weights as they are; every path is judged once."""

    def __init__(self, problem: Problem, supernet: Supernet) -> None:
        self._problem, self._supernet = problem, supernet
        self.known: dict[Choice, float] = {}

    @torch.no_grad()
    def accuracy(self, path: Choice) -> float:
        """Share of validation images that a path labels rightly, from 0 to 1."""
        if path not in self.known:
            options = self._problem.supernet
            # The same images for every path, from behind those that trained the weights.
            first = options.steps
            batches = (
                self._problem.training.batch(first + i)[0] for i in range(options.recalibration)
            )
            supernet = self._supernet
            recalibrate(
                supernet.parts(path), lambda images: supernet.single_path(images, path), batches
            )
            supernet.eval()
            right = images = 0
            for step in range(options.validation_batches):
                inputs, labels = self._problem.validation.batch(step)
                logits = supernet.single_path(inputs, path)
                right += int((logits.argmax(1) == labels).sum())
                images += len(labels)
            self.known[path] = right / images
        return self.known[path]

    def state(self) -> State:
        """What has been judged."""
        return State(plain={"known": [[list(path), v] for path, v in self.known.items()]})

    def restore(self, state: State) -> None:
        """Takes up what has been judged."""
        self.known = {tuple(path): value for path, value in state.plain["known"]}
