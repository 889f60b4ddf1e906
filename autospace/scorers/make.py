"""Scorers by name."""

from collections.abc import Callable
from typing import Any, Final

from autospace.evolution.settings import Method
from autospace.scorers.alone import LoneScorer
from autospace.scorers.context import Setting
from autospace.scorers.cost_aware import CostAware
from autospace.scorers.crew import Crew
from autospace.scorers.gated import GatedScorer
from autospace.scorers.in_place import InPlaceScorer
from autospace.scorers.local import LocalScorer
from autospace.scorers.mixture import MixtureScorer
from autospace.scorers.parallel import ParallelScorer
from autospace.scorers.probe import ProbeScorer
from autospace.scorers.scorer import Scorer

LONE: Final[dict[Method, type[LoneScorer[Any]]]] = {
    "probe": ProbeScorer,
    "local": LocalScorer,
    "in-place": InPlaceScorer,
}
"""Those whose candidates do not meet, so that several processes can share the work."""
SCORERS: Final[dict[Method, Callable[[Setting], Scorer]]] = {
    **LONE,
    "gated": GatedScorer,
    "mixture": MixtureScorer,
}


def make_scorer(setting: Setting, crew: Crew | None = None) -> Scorer:
    """The scorer that the options name; what it trains for, or its fitness, minds the cost.

    Args:
        setting: what it works with.
        crew: processes that train candidates; used by the scorers in `LONE`.
    """
    method = setting.options.method
    if crew is not None and method in LONE:
        scorer: Scorer = ParallelScorer(LONE[method], setting, crew)
    else:
        scorer = SCORERS[method](setting)
    inside = isinstance(scorer, MixtureScorer)
    return scorer if inside or not setting.options.cost_weight else CostAware(scorer, setting)
