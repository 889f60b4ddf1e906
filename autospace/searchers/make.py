"""From the name of a method to the method."""

from typing import Final

from autospace.runs.settings import ConfigError, make_settings
from autospace.searchers.catalogue import CATALOGUE
from autospace.searchers.few_shot import Gm, NasLid
from autospace.searchers.gradient.darts import Darts
from autospace.searchers.gradient.gdas import Gdas
from autospace.searchers.gradient.nasp import Nasp
from autospace.searchers.gradient.proxyless import Proxyless
from autospace.searchers.method import Method
from autospace.searchers.petridish import Petridish
from autospace.searchers.sampling.enas import Enas
from autospace.searchers.sampling.pnas import Pnas
from autospace.searchers.sampling.random_search import RandomSearch, RandomWeightSharing
from autospace.searchers.sampling.regularised_evolution import Evolution
from autospace.searchers.sampling.spos import Spos
from autospace.searchers.sampling.zero_cost import ZeroCost
from autospace.spaces.choices import SearchError
from autospace.spaces.errors import shown
from autospace.supernets.problem import Problem

METHODS: Final[dict[str, type[Method]]] = {
    "random": RandomSearch,
    "random-ws": RandomWeightSharing,
    "evolution": Evolution,
    "spos": Spos,
    "proxyless": Proxyless,
    "darts": Darts,
    "nasp": Nasp,
    "gdas": Gdas,
    "enas": Enas,
    "pnas": Pnas,
    "zero-cost": ZeroCost,
    "magic-t": Spos,
    "magic-a": Spos,
    "magic-at": Spos,
    "gm": Gm,
    "nas-lid": NasLid,
    "petridish": Petridish,
}


def make_method(problem: Problem) -> Method:
    """The method that the settings name, with its options.

    Raises:
        SearchError: no such method.
        ConfigError: an option that the method does not have, or a value that it does not take.
    """
    name = problem.config.method
    if name not in METHODS:
        raise SearchError(f"method {shown(name)}: unknown; allowed: {', '.join(CATALOGUE)}")
    kind = METHODS[name]
    try:
        options = make_settings(kind.options_type, problem.config.options)
    except ConfigError as error:
        raise ConfigError(f"options.{error}") from None
    return kind(problem, options)
