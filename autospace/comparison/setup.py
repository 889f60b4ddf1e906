"""Before anything is evaluated: spaces, images, draws and their matching."""

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from autospace.comparison.matching import Matching, match, unmatched
from autospace.comparison.pool import Pool, draw, space_digest
from autospace.comparison.settings import CompareConfig
from autospace.comparison.sources import common_resolution, labels_of
from autospace.compute.device import resolve_device
from autospace.data.images import Images
from autospace.evaluators.make import Setup
from autospace.runs.settings import ConfigError
from autospace.spaces.space import Space
from autospace.spaces.views import fitted_space

Tick = Callable[[str, int, int], None]


@dataclass(frozen=True, eq=False)
class Prepared:
    """All that a comparison is made of before anything is evaluated.

    Attributes:
        spaces: fitted to the images.
        labels: their names, told apart.
        pools: networks drawn from each.
    """

    config: CompareConfig
    spaces: tuple[Space, ...]
    labels: tuple[str, ...]
    images: Images
    setup: Setup
    pools: tuple[Pool, ...]
    matching: Matching

    @property
    def paired(self) -> bool:
        """Whether the i-th networks of all spaces belong together."""
        return self.config.sampling.match != "none"


def prepare(
    config: CompareConfig, loaded: Sequence[Space], cache: Path, device: str | None, tick: Tick
) -> Prepared:
    """Reads the images, fits the spaces to them, draws and matches networks.

    Args:
        config: the settings.
        loaded: the spaces, as their files have them.
        cache: folder for decoded images and the weights of a supernet.
        device: in place of the one in the settings.
        tick: told how far reading is.

    Raises:
        DataError, SpaceError, ConfigError, RunError: what the settings ask for cannot be.
    """
    place = str(resolve_device(device or config.device))
    resolution = config.data.resolution or common_resolution(loaded)
    data = config.data.model_copy(update={"resolution": resolution})
    images = Setup(config.evaluator, data, (), config.seed, place, cache).images(
        lambda _message, done, total: tick("data", done, total)
    )
    spaces = tuple(
        fitted_space(
            space,
            in_channels=images.training.images.shape[1],
            resolution=resolution,
            classes=len(images.data.classes),
        )
        for space in loaded
    )
    held = spaces if config.evaluator.method == "supernet" else ()
    setup = Setup(config.evaluator, data, held, config.seed, place, cache)
    pools = _drawn(spaces, config.seed)
    return Prepared(
        config, spaces, labels_of(spaces), images, setup, pools, _matched(pools, config)
    )


def _drawn(spaces: Sequence[Space], seed: int) -> tuple[Pool, ...]:
    seen: Counter[str] = Counter()
    pools = []
    for space in spaces:
        digest = space_digest(space)
        pools.append(draw(space, seed, seen[digest]))
        seen[digest] += 1
    return tuple(pools)


def _matched(pools: Sequence[Pool], config: CompareConfig) -> Matching:
    costs = [pool.cost(config.sampling.match) for pool in pools]
    found = unmatched(costs) if config.sampling.match == "none" else match(costs, config.seed)
    if found.comparable and (config.sampling.samples or 0) > len(found.tuples):
        problem = f"{config.sampling.samples}; allowed: up to {len(found.tuples)}"
        raise ConfigError(f"samples: {problem}, for so many networks match at equal cost")
    return found
