"""Scorers by name."""

from collections.abc import Callable

from autospace.fitness import Scorer
from autospace.scorers.cost import CostAware
from autospace.scorers.gated import GatedScorer
from autospace.scorers.in_place import InPlaceScorer
from autospace.scorers.local import LocalScorer
from autospace.scorers.mixture import MixtureScorer
from autospace.scorers.probe import ProbeScorer
from autospace.scorers.setting import Setting
from autospace.settings import Method

SCORERS: dict[Method, Callable[[Setting], Scorer]] = {
    "probe": ProbeScorer,
    "local": LocalScorer,
    "in-place": InPlaceScorer,
    "gated": GatedScorer,
    "mixture": MixtureScorer,
}


def make_scorer(setting: Setting) -> Scorer:
    """The scorer that the options name; what it trains for, or its fitness, minds the cost."""
    scorer = SCORERS[setting.options.method](setting)
    inside = isinstance(scorer, MixtureScorer)
    return scorer if inside or not setting.options.cost_weight else CostAware(scorer, setting)
