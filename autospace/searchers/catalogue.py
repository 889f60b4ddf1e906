"""The search methods by name, each with summary, source and cost; without torch."""

from dataclasses import dataclass
from typing import Final


@dataclass(frozen=True, slots=True)
class CatalogueEntry:
    """A line of the list of methods.

    Attributes:
        summary: what it does.
        source: the paper.
        cost: what it trains, in a few words.
    """

    summary: str
    source: str
    cost: str


ON_TABLES: Final = ("random", "random-ws", "evolution", "spos", "enas", "pnas", "zero-cost", "bnas")
"""The methods that can look architectures up in place of training."""
ONE_SUPERNET: Final = "one supernet"
MAGIC: Final = "Xu et al., ICML 2022"

CATALOGUE: Final[dict[str, CatalogueEntry]] = {
    "random": CatalogueEntry(
        "trains random architectures alone for a short time",
        "the baseline of every search",
        "one short training per architecture",
    ),
    "random-ws": CatalogueEntry(
        "evaluates random architectures with the shared weights of a supernet",
        "Li and Talwalkar, UAI 2019",
        ONE_SUPERNET,
    ),
    "evolution": CatalogueEntry(
        "regularised evolution: mutants join a queue, and the oldest architecture leaves it",
        "Real et al., AAAI 2019",
        "one supernet, or every architecture",
    ),
    "spos": CatalogueEntry(
        "evolves the paths of a supernet that is trained path by path",
        "Guo et al., ECCV 2020",
        ONE_SUPERNET,
    ),
    "proxyless": CatalogueEntry(
        "learns binary gates over single paths, with the expected cost in the loss",
        "Cai et al., ICLR 2019",
        ONE_SUPERNET,
    ),
    "darts": CatalogueEntry(
        "learns a softmax mixture of all candidates, by first or second order",
        "Liu et al., ICLR 2019",
        "one supernet, all candidates at once",
    ),
    "nasp": CatalogueEntry(
        "proximal iterations: trains the weights of one path, and learns alpha from all gates",
        "Yao et al., AAAI 2020",
        ONE_SUPERNET,
    ),
    "gdas": CatalogueEntry(
        "samples paths by Gumbel-softmax and trains them with a straight-through estimator",
        "Dong and Yang, CVPR 2019",
        ONE_SUPERNET,
    ),
    "enas": CatalogueEntry(
        "trains a controller by REINFORCE to draw paths of a supernet",
        "Pham et al., ICML 2018",
        ONE_SUPERNET,
    ),
    "pnas": CatalogueEntry(
        "chooses layer by layer; a predictor picks the extensions to evaluate",
        "Liu et al., ECCV 2018",
        "one supernet, or every architecture",
    ),
    "zero-cost": CatalogueEntry(
        "ranks random architectures by a score of their untrained networks",
        "Mellor et al., ICML 2021",
        "nothing",
    ),
    "magic-t": CatalogueEntry(
        "spos on a supernet whose successive paths differ in one layer",
        MAGIC,
        ONE_SUPERNET,
    ),
    "magic-a": CatalogueEntry(
        "spos on a supernet whose layers give similar outputs on all paths",
        MAGIC,
        ONE_SUPERNET,
    ),
    "magic-at": CatalogueEntry(
        "spos on a supernet trained with the paths of magic-t and the loss of magic-a",
        MAGIC,
        ONE_SUPERNET,
    ),
    "gm": CatalogueEntry(
        "spos on supernets that are split where the gradients of candidates disagree",
        "Hu et al., ICLR 2022",
        "one supernet, then two, four, ...",
    ),
    "nas-lid": CatalogueEntry(
        "spos on supernets that are split where the features of candidates differ in dimension",
        "He et al., AAAI 2023",
        "one supernet, then two, four, ...",
    ),
    "petridish": CatalogueEntry(
        "grows networks from one another; the result is a front of MAdds and accuracy",
        "Hu et al., NeurIPS 2019",
        "one network after another, from the weights of its parent",
    ),
    "dna": CatalogueEntry(
        "distils a teacher block by block and combines the best paths; the result is a front",
        "Li et al., CVPR 2020",
        "the teacher, then the blocks of one supernet",
    ),
    "bnas": CatalogueEntry(
        "draws every candidate equally often, and drops the worst ones until one a layer is left",
        "Chen et al., AAAI 2020",
        ONE_SUPERNET,
    ),
}


def check_table(method: str) -> None:
    """Refuses a method of this list that needs images, which a search on a table does not have.

    Raises:
        ValueError: it needs them.
    """
    if method in CATALOGUE and method not in ON_TABLES:
        allowed = f"with a table: {', '.join(ON_TABLES)}"
        raise ValueError(f"method {method}: trains on images, a table has none; allowed {allowed}")
