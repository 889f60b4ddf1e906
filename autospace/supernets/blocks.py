"""Blocks of a network that imitate those of a teacher, and the rating of their paths.

Blockwise distillation (DNA, Li et al., CVPR 2020) cuts teacher and supernet at the same places.
A block of the supernet is given the teacher's features where it begins, and is trained to give the
teacher's features where it ends, one uniformly drawn path a step. The blocks are independent. A
path is rated by how far its output is from that of the teacher, in batch statistics.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final, Literal

import torch
from torch import nn
from torch.nn import functional as F

from autospace.networks.cells import initialise
from autospace.networks.encoder import filled
from autospace.networks.network import placed
from autospace.runs.state import Stateful
from autospace.seeds import derived_seed
from autospace.spaces.cells.bert import BlockShape
from autospace.spaces.choices import Choice, SearchError
from autospace.spaces.skeleton import Skeleton
from autospace.supernets.shared_weights import Problem, SharedWeights
from autospace.supernets.supernet import Supernet
from autospace.training.short import make_optimizer, set_rate

LEAST: Final = 1e-12
"""In place of the spread of a feature that is the same everywhere."""
WORST: Final = 1e6
"""The rating of an output that is not finite, of a path that diverged."""

RatingName = Literal["cl", "mse", "relative-mse", "relative-l1"]
Rating = Callable[[torch.Tensor, torch.Tensor], torch.Tensor]
"""(output, target) [N, C, H, W] -> how far they are apart, a scalar."""
Features = Sequence[Any]
"""Of one batch: what the stem of a network gives, and what each of its layers gives.

Of images these are tensors, of sentences `autospace.networks.encoder.Tokens`, which are compared
with zeros in place of padding.
"""


def cl(output: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
    """Mean absolute difference over the standard deviation of the target: DNA's rating."""
    return F.l1_loss(output, target) / target.std(correction=0).clamp_min(LEAST)


def relative_mse(output: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
    """Mean squared difference over the variance of the target."""
    return F.mse_loss(output, target) / target.var(correction=0).clamp_min(LEAST)


def relative_l1(output: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
    """Mean absolute difference over the mean absolute value of the target."""
    return F.l1_loss(output, target) / target.abs().mean().clamp_min(LEAST)


RATINGS: Final[dict[RatingName, Rating]] = {
    "cl": cl,
    "mse": F.mse_loss,
    "relative-mse": relative_mse,
    "relative-l1": relative_l1,
}


def block_ranges(skeleton: Skeleton) -> list[range]:
    """Layers up to the next change of resolution or width: the layer of the change begins one.

    Networks that read sentences say themselves where their blocks begin.
    """
    shapes = skeleton.cell_layers
    starts = [
        i
        for i, shape in enumerate(shapes)
        if i == 0 or (shape.first if isinstance(shape, BlockShape) else not shape.shortcut)
    ]
    return [range(a, b) for a, b in zip(starts, [*starts[1:], len(shapes)], strict=True)]


@dataclass(frozen=True, slots=True)
class Block:
    """Layers of a supernet, and the features of a teacher between which they belong.

    Attributes:
        layers: those of the supernet.
        source: index into the teacher's features: what enters the first of the layers.
        target: likewise, what the last of them imitates.
        widths: channels of source and target.
    """

    layers: range
    source: int
    target: int
    widths: tuple[int, int]

    def whole(self, path: Choice, count: int) -> Choice:
        """A path through this block as one through all layers, with first candidates elsewhere."""
        return (0,) * self.layers.start + path + (0,) * (count - self.layers.stop)


def blocks_of(skeleton: Skeleton, teacher: Skeleton) -> list[Block]:
    """The blocks of a skeleton beside a teacher.

    If all layers are alike, blocks end where resolution or width changes. Otherwise they end where
    the resolution changes, which is the only thing that both must have in common.

    Raises:
        SearchError: the teacher has no layers at a resolution of the skeleton.
    """
    widths = [teacher.stem.out_channels, *(shape.out_channels for shape in teacher.shapes)]
    if skeleton.shapes == teacher.shapes:
        return [
            Block(each, each.start, each.stop, (widths[each.start], widths[each.stop]))
            for each in block_ranges(skeleton)
        ]
    sides = [teacher.stem_resolution, *(shape.out_resolution for shape in teacher.shapes)]
    found = []
    for layers in _by_resolution(skeleton):
        first, last = skeleton.shapes[layers.start], skeleton.shapes[layers.stop - 1]
        entering, leaving = first.resolution, last.out_resolution
        places = [[i for i, side in enumerate(sides) if side == e] for e in (entering, leaving)]
        if not all(places) or (entering == leaving and len(places[0]) == 1):
            allowed = ", ".join(map(str, dict.fromkeys(sides)))
            name = first.name if layers.start == layers.stop - 1 else f"{first.name} to {last.name}"
            raise SearchError(
                f"options.teacher: no layers from {entering} to {leaving} pixels a side, as {name} "
                f"of the space; allowed: a teacher with them; this one has layers at {allowed}"
            )
        # Where the side stays the same, the block begins at the first such feature.
        source = places[0][0] if entering == leaving else places[0][-1]
        target = places[1][-1]
        found.append(Block(layers, source, target, (widths[source], widths[target])))
    return found


def _by_resolution(skeleton: Skeleton) -> list[range]:
    starts = [i for i, shape in enumerate(skeleton.shapes) if i == 0 or shape.stride != 1]
    return [range(a, b) for a, b in zip(starts, [*starts[1:], len(skeleton.shapes)], strict=True)]


class Adaptor(nn.Module):
    """1x1 convolutions, without normalisation, where the widths of block and teacher differ."""

    def __init__(self, skeleton: Skeleton, block: Block) -> None:
        super().__init__()
        first, last = (skeleton.shapes[i] for i in (block.layers.start, block.layers.stop - 1))
        self.enter = _between(block.widths[0], first.in_channels)
        self.leave = _between(last.out_channels, block.widths[1])
        initialise(self)


def _between(given: int, wanted: int) -> nn.Module:
    return nn.Identity() if given == wanted else nn.Conv2d(given, wanted, 1)


def outputs_of(
    supernet: Supernet, block: Block, inputs: torch.Tensor, paths: Iterable[Choice]
) -> Iterator[torch.Tensor]:
    """The output of a block along each of its paths.

    The features of the layers that a path has in common with the one before it are kept. In the
    order of a dictionary, every prefix is thus computed once, and memory holds one path. With
    batch statistics an output depends on its prefix alone, so it is that of the path by itself.
    """
    cells = [supernet.cells(layer) for layer in block.layers]
    kept, before = [inputs], Choice()
    for path in paths:
        pairs = enumerate(zip(before, path, strict=False))
        shared = next((depth for depth, (a, b) in pairs if a != b), len(before))
        del kept[shared + 1 :]
        for depth in range(shared, len(path)):
            cell = cells[depth][path[depth]]
            kept += supernet.through(kept[-1], [cell], block.layers.start + depth)
        before = path
        yield kept[-1]


class BlockWeights(Stateful):
    """The weights of all blocks, and their adaptors, each trained on the teacher's features.

    The loss is the mean squared error over the variance of the target, so that one learning rate
    fits all blocks.
    """

    remembered = ("weights", "adaptors", "_optimizer")

    def __init__(self, problem: Problem, blocks: Sequence[Block]) -> None:
        self.blocks = blocks
        self.weights = SharedWeights(problem)
        skeleton = problem.choices.space.skeleton
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(derived_seed(problem.seed, "adaptors"))
            made = nn.ModuleList(Adaptor(skeleton, block) for block in blocks)
        self.adaptors = placed(made, problem.device)
        self._optimizer: torch.optim.SGD | None = None
        if any(True for _ in self.adaptors.parameters()):
            recipe = replace(self.weights.recipe, weight_decay=0.0)
            self._optimizer = make_optimizer(self.adaptors, recipe)

    @property
    def supernet(self) -> Supernet:
        """The cells of all blocks; its stem and head are not used."""
        return self.weights.supernet

    def step(self, index: int, number: int, path: Choice, features: Features) -> None:
        """Trains a path of block `number` on the teacher's features of a batch."""
        block, adaptor = self.blocks[number], self._adaptor(number)
        whole = block.whole(path, len(self.supernet.shapes))
        on_path = self.supernet.active(whole)[block.layers.start : block.layers.stop]
        trained = [each for part in (*on_path, adaptor) for each in part.parameters()]
        if not trained:
            return  # zero cells only
        if self._optimizer is not None:
            self._optimizer.zero_grad(set_to_none=True)

        def imitation(outputs: Sequence[torch.Tensor], target: torch.Tensor) -> torch.Tensor:
            return relative_mse(adaptor.leave(filled(outputs[-1])), filled(target))

        loss = self.weights.path_loss(whole, imitation, block.layers)
        batch = adaptor.enter(features[block.source]), features[block.target]
        self.weights.step(index, [loss], batch=batch)
        if self._optimizer is not None:
            nn.utils.clip_grad_norm_(adaptor.parameters(), self.weights.recipe.clip)
            set_rate(self._optimizer, self.weights.recipe.rate(index))
            self._optimizer.step()

    @torch.no_grad()
    def rated(
        self,
        number: int,
        paths: Sequence[Choice],
        batches: Iterable[Features],
        rating: RatingName = "cl",
    ) -> list[float]:
        """How far the outputs of paths of block `number` are from the teacher's, smaller is better.

        Args:
            number: of the block.
            paths: in the order of a dictionary, which is the fastest.
            batches: the teacher's features, batch by batch: the same ones for all paths.
            rating: the mean over the batches is returned.
        """
        block, adaptor = self.blocks[number], self._adaptor(number)
        self.supernet.train()
        sums = torch.zeros(len(paths), dtype=torch.float64, device=self.weights.problem.device)
        count = 0
        for features in batches:
            count += 1
            target = filled(features[block.target])
            inputs = adaptor.enter(features[block.source])
            for index, output in enumerate(outputs_of(self.supernet, block, inputs, paths)):
                sums[index] += RATINGS[rating](adaptor.leave(filled(output)), target)
        found = torch.nan_to_num(sums / count, nan=WORST, posinf=WORST).clamp_max(WORST)
        ratings: list[float] = found.tolist()
        return ratings

    def _adaptor(self, number: int) -> Adaptor:
        adaptor = self.adaptors[number]
        if not isinstance(adaptor, Adaptor):
            raise TypeError(f"block {number} has a {type(adaptor).__name__}, not an adaptor")
        return adaptor
