"""How certain an accuracy is that was measured on a number of images."""

from math import sqrt
from statistics import NormalDist
from typing import Final

LEVEL: Final = 0.95


def wilson(share: float, count: int, level: float = LEVEL) -> tuple[float, float]:
    """The Wilson score interval of an accuracy.

    It says how far the accuracy on all images of this kind may be from that on these images; the
    chance of another training is not in it. Wilson 1927, "Probable inference, the law of
    succession, and statistical inference", J. Am. Stat. Assoc. 22.

    Args:
        share: the accuracy, from 0 to 1.
        count: the images that it was measured on.
        level: of the interval, from 0 to 1.

    Returns:
        Its ends, from 0 to 1; 0 and 1 without any image.
    """
    if count < 1:
        return 0.0, 1.0
    z = NormalDist().inv_cdf((1 + level) / 2)
    shrunk = 1 + z * z / count
    middle = (share + z * z / (2 * count)) / shrunk
    half = z / shrunk * sqrt(share * (1 - share) / count + z * z / (4 * count * count))
    return max(0.0, middle - half), min(1.0, middle + half)
