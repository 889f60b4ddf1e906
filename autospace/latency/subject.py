"""What a profile is of: any cell on a skeleton, or the candidates of a space."""

import random

from autospace.latency.parts import parts_of_skeleton, parts_of_space
from autospace.latency.profile import Subject
from autospace.spaces.cells.operations import DEFAULT_OPERATIONS
from autospace.spaces.cells.variation import CellPrior, random_cell
from autospace.spaces.skeleton import Skeleton
from autospace.spaces.space import Space

PRIOR = CellPrior(tuple(name for name in DEFAULT_OPERATIONS if name != "none"))


def of_skeleton(skeleton: Skeleton, rng: random.Random) -> Subject:
    """Every part that any cell may need, and networks of random cells."""
    return Subject(
        skeleton.name,
        skeleton,
        parts_of_skeleton(skeleton),
        lambda: [random_cell(PRIOR, rng) for _ in skeleton.layers],
    )


def of_space(space: Space, rng: random.Random) -> Subject:
    """The parts of a space's candidates, and architectures drawn from it."""
    return Subject(
        space.name, space.skeleton, parts_of_space(space), lambda: space.sample(rng).cells
    )
