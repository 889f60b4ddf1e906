"""DNA (Li et al., CVPR 2020): blocks imitate those of a teacher, and the best ones are combined.

The supernet is cut into blocks where resolution or width changes. Each block learns to give the
teacher's features from those before it, path by path (`autospace.supernets.blocks`). Then all paths
of a block are rated by how far they are from the teacher. The loss of an architecture is the sum
over its blocks. Its costs are sums too, so merging the fronts of the blocks gives the front of all
architectures, and the best within a limit, without looking at them one by one.
"""

from collections.abc import Iterator, Sequence
from functools import cached_property
from pathlib import Path
from typing import Annotated, Any, ClassVar, Final

from pydantic import Field

from autospace.runs.settings import Section
from autospace.searchers.method import Ranked, SearchMethod, stated_work
from autospace.searchers.problem import SearchProblem
from autospace.searchers.teacher import given_teacher, new_teacher
from autospace.seeds import stream
from autospace.spaces.cells.family import summable_work, work_unit
from autospace.spaces.choices import Choice
from autospace.spaces.fronts import Front, Partial, merged, undominated
from autospace.spaces.sampling import Feasible
from autospace.spaces.stages import least_of
from autospace.supernets.blocks import (
    WORST,
    Block,
    BlockWeights,
    Features,
    RatingName,
    blocks_of,
)

MOST_PATHS: Final = 20_000
"""Paths of a block that are rated by default; of a larger block, so many are drawn."""
PATHS_PER_STEP: Final = 64
MOST_FRONT: Final = 20_000
"""Architectures that are kept while fronts are merged."""


class DnaOptions(Section):
    """The teacher, and how paths are compared with it."""

    teacher: (
        Annotated[str, Field(min_length=1, max_length=4096, description="a folder or a file")]
        | None
    ) = None
    teacher_steps: Annotated[int, Field(ge=1, le=10**7, description="if it is trained here")] = 1000
    rating: RatingName = "cl"


class BlockPaths:
    """The paths of a block that some allowed architecture has, in the order of a dictionary.

    Attributes:
        rated: all of them, or as many as may be rated, drawn uniformly.
        drawn: whether there are more.
    """

    def __init__(self, problem: SearchProblem, block: Block, most: int) -> None:
        choices, layers = problem.choices, block.layers
        parts = [own for part in choices.parts if (own := part.within(layers)) is not None]
        tables = [[limit.costs[layer] for layer in layers] for limit in choices.limits]
        rooms = [
            limit.room - least_of(choices.parts, limit.costs) + least_of(parts, table)
            for limit, table in zip(choices.limits, tables, strict=True)
        ]
        self._feasible = Feasible.of(parts, tables, rooms)
        listed = self._feasible.listed(most)
        self.drawn = listed is None
        if listed is None:
            # With a part of one allowed architecture in every block, something can be combined.
            sure = choices.draw(stream(problem.seed, "dna sure"))
            found = {sure[layers.start : layers.stop]: None}
            rng = stream(problem.seed, "dna paths", layers.start)
            while len(found) < most and (path := self._feasible.drawn(rng, found)) is not None:
                found[path] = None
            listed = list(found)
        self.rated = sorted(listed)

    def draw(self, seed: int, index: int, number: int) -> Choice:
        """The path that a step trains: uniform over all, whether they are rated or not."""
        rng = stream(seed, "dna path", number, index)
        path = self._feasible.drawn(rng) if self.drawn else None
        return path if path is not None else rng.choice(self.rated)


class Dna(SearchMethod):
    """First the teacher's training, if it has none; then that of the blocks; then the ratings."""

    remembered = ("_teacher", "_blocks", "_ratings")
    options_type: ClassVar[type[Section]] = DnaOptions

    def __init__(self, problem: SearchProblem, options: DnaOptions) -> None:
        super().__init__(problem, options)
        self._rating: RatingName = options.rating
        self._shown = problem
        if options.teacher is None:
            self._teacher = new_teacher(problem, options.teacher_steps)
        else:
            self._teacher, self._shown = given_teacher(problem, Path(options.teacher))
        skeleton = problem.choices.space.skeleton
        blocks = blocks_of(skeleton, self._teacher.architecture.skeleton)
        self._blocks = BlockWeights(self._shown, blocks)
        most = max(1, (problem.config.evaluations or MOST_PATHS * len(blocks)) // len(blocks))
        self._paths = [BlockPaths(problem, block, most) for block in blocks]
        self._ratings: list[dict[Choice, float]] = [{} for _ in blocks]

    @property
    def notes(self) -> list[str]:
        """The teacher, and the blocks of which not all paths are rated."""
        teacher, count = self._teacher, len(self._paths)
        trained = f", trained for {teacher.steps:,} steps" if teacher.steps else ""
        rated = sum(len(each.rated) for each in self._paths)
        found = [f"teacher: {teacher.name}{trained}; {count} blocks, {rated:,} paths to rate"]
        for block, paths in zip(self._blocks.blocks, self._paths, strict=True):
            if paths.drawn:
                names = self._names(block)
                problem = f"{names[0]} to {names[-1]}: more paths than are rated"
                found.append(f"{problem}; {len(paths.rated):,} of them are drawn: not exact")
        return found

    @property
    def steps(self) -> int:
        """Training steps of the teacher and of the blocks, then some paths at a time."""
        return self._teacher.steps + self.problem.supernet.steps + len(self._portions)

    @cached_property
    def _portions(self) -> list[tuple[int, Sequence[Choice]]]:
        """What each rating step rates: a block, and some of its paths."""
        return [
            (number, each.rated[start : start + PATHS_PER_STEP])
            for number, each in enumerate(self._paths)
            for start in range(0, len(each.rated), PATHS_PER_STEP)
        ]

    def step(self, index: int) -> None:
        """One step of the teacher, or of all blocks on one batch, or the rating of some paths."""
        teacher, training = self._teacher.steps, self.problem.supernet.steps
        if index < teacher:
            self._teacher.step(index)
        elif index < teacher + training:
            self._train(index - teacher)
        else:
            self._rate(*self._portions[index - teacher - training])
            if index == self.steps - 1:
                best = self.ranked()[0]
                self.offer(best)

    def _train(self, index: int) -> None:
        images, _ = self._shown.training.batch(index)
        features = self._teacher.features(images)
        for number, paths in enumerate(self._paths):
            path = paths.draw(self.problem.seed, index, number)
            self._blocks.step(index, number, path, features)

    def _rate(self, number: int, paths: Sequence[Choice]) -> None:
        found = self._blocks.rated(number, paths, self._measured(), self._rating)
        self._ratings[number] |= dict(zip(paths, found, strict=True))
        self.evaluations = sum(map(len, self._ratings))

    def _measured(self) -> Iterator[Features]:
        """The teacher's features of the batches on which every path of every block is rated."""
        for step in range(self.problem.supernet.validation_batches):
            yield self._teacher.features(self._shown.validation.batch(step)[0])

    @cached_property
    def _front(self) -> Front:
        """All architectures that no other one beats in loss at no more work, the best first.

        Work is MAdds, or OPs where some are binary: MAdds do not tell binary cells apart.
        """
        limits = {limit.name: limit for limit in self.problem.choices.limits}
        space = self.problem.choices.space
        own = limits.pop(f"max_{work_unit(space.kind).lower()}", None)
        rows_of_work = [[summable_work(space.kind, c) for c in each.costs] for each in space.layers]
        tables: list[Sequence[Sequence[int]]] = [own.costs if own else rows_of_work]
        tables += [limit.costs for limit in limits.values()]
        rooms = [own.room if own else None, *(limit.room for limit in limits.values())]
        parts = []
        for block, ratings in zip(self._blocks.blocks, self._ratings, strict=True):
            rows = [[table[layer] for layer in block.layers] for table in tables]
            part = [
                Partial(-loss, tuple(_total(row, path) for row in rows), path)
                for path, loss in sorted(ratings.items())
            ]
            parts.append(undominated(part))
        found, exact = merged(parts, rooms, MOST_FRONT)
        flat = undominated([each._replace(costs=each.costs[:1]) for each in found])
        return Front(flat, exact and not any(each.drawn for each in self._paths))

    @property
    def diverged(self) -> bool:
        """Whether some block has no path with finite features, or the teacher has none."""
        return any(min(each.values(), default=0.0) >= WORST for each in self._ratings)

    def ranked(self) -> list[Ranked]:
        """The front, the smallest loss first."""
        return [Ranked(each.path, each.score) for each in self._front.partials]

    def rated(self, paths: Sequence[Choice]) -> list[float]:
        """Minus the losses."""
        for number, block in enumerate(self._blocks.blocks):
            parts = {path[block.layers.start : block.layers.stop] for path in paths}
            missing = sorted(parts - self._ratings[number].keys())
            if missing:
                self._rate(number, missing)
        return [-sum(self._losses(path)) for path in paths]

    def _losses(self, path: Choice) -> list[float]:
        """Of the blocks along a path."""
        pairs = zip(self._blocks.blocks, self._ratings, strict=True)
        return [known[path[block.layers.start : block.layers.stop]] for block, known in pairs]

    def _names(self, block: Block) -> list[str]:
        return [self.problem.choices.space.layers[layer].shape.name for layer in block.layers]

    def details(self) -> dict[str, Any]:
        """The teacher, the blocks, and the whole front."""
        choices, teacher = self.problem.choices, self._teacher
        return {
            "teacher": {
                "name": teacher.name,
                "architecture": teacher.architecture.choices,
                "sha256": teacher.digest or None,
            },
            "rating": self._rating,
            "blocks": [
                {"layers": self._names(block), "rated": len(paths.rated), "drawn": paths.drawn}
                for block, paths in zip(self._blocks.blocks, self._paths, strict=True)
            ],
            "exact": self._front.exact,
            "gallery": [
                {
                    "architecture": choices.architecture(each.path).choices,
                    "loss": -each.score,
                    "losses": self._losses(each.path),
                    **stated_work(choices, each.path),
                    "params": choices.cost(each.path).params,
                }
                for each in self._front.partials
            ],
        }


def _total(rows: Sequence[Sequence[int]], path: Choice) -> int:
    return sum(row[index] for row, index in zip(rows, path, strict=True))
