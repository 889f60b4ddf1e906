"""From fitness to the odds with which a client draws a candidate."""

import math
from collections.abc import Sequence
from typing import Final

# In units of the layer's spread of fitness: a candidate one standard deviation above another is
# drawn e times as often. Low enough to prefer what scored well, and high enough that no candidate
# disappears: among nine, even the least likely one gets at least half a percent of the draws.
TEMPERATURE: Final = 1.0


def odds(fitnesses: Sequence[float | None]) -> list[float]:
    """Positive weights that rise with fitness, the largest 1; all 1 where nothing tells.

    A softmax of fitness over its standard deviation within the layer. Scorers measure fitness in
    different units (a fall of the loss, log-odds), and no linear change of unit changes the odds.
    A candidate without fitness weighs as much as one of mean fitness.
    """
    known = [fitness for fitness in fitnesses if fitness is not None]
    scale = max(map(abs, known), default=0.0)
    if scale == 0:
        return [1.0] * len(fitnesses)
    # Fitness may be as large as floats go: scaled first, so that sums and squares stay finite.
    scaled = [fitness / scale for fitness in known]
    mean = math.fsum(scaled) / len(scaled)
    spread = math.sqrt(math.fsum((each - mean) ** 2 for each in scaled) / len(scaled))
    if spread == 0:
        return [1.0] * len(fitnesses)
    filled = [mean if each is None else each / scale for each in fitnesses]
    top = max(filled)
    # Six digits: the last bits of exp differ between platforms, and files should not.
    return [float(f"{math.exp((each - top) / spread / TEMPERATURE):.6g}") for each in filled]
