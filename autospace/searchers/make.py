"""Search methods by name."""

from typing import Any, Final

from autospace.runs.errors import ConfigError
from autospace.runs.settings import make_settings
from autospace.searchers.catalogue import CATALOGUE
from autospace.searchers.dna import Dna
from autospace.searchers.few_shot import Gm, NasLid
from autospace.searchers.fitness_search import RandomSearch, RandomWeightSharing
from autospace.searchers.gradient.darts import Darts
from autospace.searchers.gradient.gdas import Gdas
from autospace.searchers.gradient.nasp import Nasp
from autospace.searchers.gradient.proxyless import Proxyless
from autospace.searchers.method import SearchMethod
from autospace.searchers.petridish import Petridish
from autospace.searchers.problem import SearchProblem
from autospace.searchers.sampling.bnas import Bnas
from autospace.searchers.sampling.enas import Enas
from autospace.searchers.sampling.pnas import Pnas
from autospace.searchers.sampling.regularised_evolution import Evolution
from autospace.searchers.sampling.spos import Spos
from autospace.searchers.sampling.zero_cost import ZeroCost
from autospace.searchers.settings import SearchConfig
from autospace.spaces.choices import SearchError
from autospace.spaces.errors import offered, shown
from autospace.supernets.families import check_method

METHODS: Final[dict[str, type[SearchMethod]]] = {
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
    "dna": Dna,
    "bnas": Bnas,
}


def make_method(problem: SearchProblem) -> SearchMethod:
    """The method that the settings name, with its options.

    Raises:
        SearchError: there is no such method.
        ConfigError: the method does not have an option, or does not accept its value.
        SpaceError: the method does not work on the skeleton.
    """
    options = method_options(problem.config)
    check_method(problem.config.method, problem.choices.space.skeleton)
    return METHODS[problem.config.method](problem, options)


def method_options(config: SearchConfig) -> Any:
    """The options of the method that the settings name; see `make_method` for the errors."""
    name = config.method
    if name not in METHODS:
        raise SearchError(f"method {shown(name)}: unknown; {offered(name, CATALOGUE)}")
    try:
        return make_settings(METHODS[name].options_type, config.options)
    except ConfigError as error:
        raise ConfigError(f"options.{error}") from None
