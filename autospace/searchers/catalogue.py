"""The methods by name, with what each is, where it comes from and what it costs; without torch."""

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


ONE_SUPERNET: Final = "one supernet"
MAGIC: Final = "Xu et al., ICML 2022"

CATALOGUE: Final[dict[str, CatalogueEntry]] = {
    "random": CatalogueEntry(
        "random architectures, each trained alone for a short time",
        "the baseline of every search",
        "one short training per architecture",
    ),
    "random-ws": CatalogueEntry(
        "random architectures judged with the shared weights of a supernet",
        "Li and Talwalkar, UAI 2019",
        ONE_SUPERNET,
    ),
    "evolution": CatalogueEntry(
        "mutants of the fittest of a sample join a queue, the oldest leaves",
        "Real et al., AAAI 2019",
        "one supernet, or every architecture",
    ),
    "spos": CatalogueEntry(
        "evolution over the paths of a supernet trained path by path",
        "Guo et al., ECCV 2020",
        ONE_SUPERNET,
    ),
    "proxyless": CatalogueEntry(
        "binary gates over single paths, the expected cost in the loss",
        "Cai et al., ICLR 2019",
        ONE_SUPERNET,
    ),
    "darts": CatalogueEntry(
        "a softmax mixture of all candidates; first or second order, with guards",
        "Liu et al., ICLR 2019",
        "one supernet, all candidates at once",
    ),
    "nasp": CatalogueEntry(
        "proximal iterations: weights on one path, alpha from the gates of all",
        "Yao et al., AAAI 2020",
        ONE_SUPERNET,
    ),
    "gdas": CatalogueEntry(
        "paths sampled by Gumbel-softmax, trained straight through",
        "Dong and Yang, CVPR 2019",
        ONE_SUPERNET,
    ),
    "enas": CatalogueEntry(
        "a controller learns by REINFORCE which paths of a supernet to draw",
        "Pham et al., ICML 2018",
        ONE_SUPERNET,
    ),
    "pnas": CatalogueEntry(
        "layer by layer, a predictor picking which extensions are judged",
        "Liu et al., ECCV 2018",
        "one supernet, or every architecture",
    ),
    "zero-cost": CatalogueEntry(
        "random architectures ranked by a score of their untrained networks",
        "Mellor et al., ICML 2021",
        "nothing",
    ),
    "magic-t": CatalogueEntry(
        "spos on a supernet whose successive paths differ in one layer",
        MAGIC,
        ONE_SUPERNET,
    ),
    "magic-a": CatalogueEntry(
        "spos on a supernet whose layers give alike outputs on all paths",
        MAGIC,
        ONE_SUPERNET,
    ),
    "magic-at": CatalogueEntry(
        "spos on a supernet trained both ways: magic-t's paths, magic-a's loss",
        MAGIC,
        ONE_SUPERNET,
    ),
    "gm": CatalogueEntry(
        "spos on supernets split where candidates' gradients disagree",
        "Hu et al., ICLR 2022",
        "one supernet, then two, four, ...",
    ),
    "nas-lid": CatalogueEntry(
        "spos on supernets split where candidates' features differ in dimension",
        "He et al., AAAI 2023",
        "one supernet, then two, four, ...",
    ),
    "petridish": CatalogueEntry(
        "networks grow by candidates that learn beside them; a front of MAdds and accuracy",
        "Hu et al., NeurIPS 2019",
        "one network after another, on the weights of its parent",
    ),
}
