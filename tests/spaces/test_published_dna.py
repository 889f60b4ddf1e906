"""The four networks of DNA (Li et al., CVPR 2020): their params, to the digits published.

Their cells are MBConv with squeeze-and-excitation, also in the first layer. Swish has no weights.
"""

import pytest

from autospace.spaces import Cell, LayerSpec, Skeleton, Stem
from autospace.spaces.space import network_cost

# Per stage: channels, stride, and kernel and expansion of each layer.
Stage = tuple[int, int, str]
FIRST: Stage = (16, 1, "31")
LAST: Stage = (320, 1, "36")
NETWORKS: dict[str, tuple[list[Stage], float, float]] = {
    "DNA-a": (
        [
            (24, 2, "53 33 36"),
            (40, 2, "33 33 53 36"),
            (80, 2, "76 33 53 36"),
            (96, 1, "56 53 53 56"),
            (160, 2, "56 53 53 53 56"),
        ],
        4.243,
        335.1,
    ),
    "DNA-b": (
        [
            (24, 2, "33 53 76"),
            (40, 2, "76 53 76"),
            (80, 2, "56 53 53 36"),
            (96, 1, "56 53 53 56"),
            (192, 2, "76 53 53 53 76"),
        ],
        4.918,
        392.5,
    ),
    "DNA-c": (
        [
            (24, 2, "56 36"),
            (40, 2, "56 56 36 56"),
            (80, 2, "56 36 56 56"),
            (112, 1, "36 56 56 53"),
            (192, 2, "56 53 56 56"),
        ],
        5.274,
        450.1,
    ),
    "DNA-d": (
        [
            (24, 2, "76 56 76"),
            (40, 2, "76 76 76 76"),
            (80, 2, "76 56 56 76"),
            (112, 1, "76 56 76 56"),
            (192, 2, "76 56 56 56 76"),
        ],
        6.409,
        592.8,
    ),
}


def _cell(kernel: str, expansion: str) -> Cell:
    edge = (0, 1, f"dw_conv_{kernel}x{kernel}")
    return Cell.from_edges([edge], nodes=2, expansion=int(expansion), mix=("se",))


@pytest.mark.parametrize("name", NETWORKS)
def test_params_are_those_published(name: str) -> None:
    stages, params, madds = NETWORKS[name]
    layers, cells = [], []
    for channels, stride, words in (FIRST, *stages, LAST):
        for number, word in enumerate(words.split()):
            layers.append(LayerSpec(channels, stride if number == 0 else 1))
            cells.append(_cell(word[0], word[1]))
    skeleton = Skeleton("dna", 3, 224, 1000, Stem(32, 2), tuple(layers), head=1280)
    cost = network_cost(skeleton, cells)
    assert round(cost.params / 1e6, 3) == params
    assert round(cost.madds / 1e6, 1) == pytest.approx(madds, abs=0.11)
