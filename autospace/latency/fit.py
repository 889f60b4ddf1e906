"""How a network's time follows from the times of its parts, fitted to networks that were timed."""

import statistics
from collections.abc import Sequence
from dataclasses import dataclass

from autospace.bench.kendall import kendall
from autospace.latency.table import Check, Correction


@dataclass(frozen=True, slots=True)
class Sample:
    """A network: the sum over its parts, their number, and its own time; in milliseconds."""

    parts_ms: float
    parts: int
    measured_ms: float

    def predicted_ms(self, correction: Correction) -> float:
        """What the sum says under a correction."""
        return correction.scale * self.parts_ms + correction.overhead_ms * self.parts


def fitted(samples: Sequence[Sample]) -> Correction:
    """Scale and overhead of least squared relative error; neither is negative."""
    x = [sample.parts_ms / sample.measured_ms for sample in samples]
    y = [sample.parts / sample.measured_ms for sample in samples]
    xx, yy, xy = (_dot(*pair) for pair in ((x, x), (y, y), (x, y)))
    sx, sy = sum(x), sum(y)
    determinant = xx * yy - xy * xy
    if determinant > 1e-9 * xx * yy:
        scale = (sx * yy - sy * xy) / determinant
        overhead = (sy * xx - sx * xy) / determinant
        if scale >= 0 and overhead >= 0:
            return Correction(scale=scale, overhead_ms=overhead)
    # On the edge of what is allowed: one of the two alone, whichever leaves less.
    options = [Correction(scale=sx / xx), Correction(scale=0.0, overhead_ms=sy / yy)]
    return min(options, key=lambda each: _squares(samples, each))


def checked(samples: Sequence[Sample], correction: Correction) -> Check:
    """Errors and rank correlation of a prediction."""
    predicted = [sample.predicted_ms(correction) for sample in samples]
    measured = [sample.measured_ms for sample in samples]
    errors = [abs(p - m) / m for p, m in zip(predicted, measured, strict=True)]
    return Check(
        networks=len(samples),
        median_error=statistics.median(errors),
        worst_error=max(errors),
        tau=kendall(predicted, measured),
    )


def _squares(samples: Sequence[Sample], correction: Correction) -> float:
    return sum((s.predicted_ms(correction) / s.measured_ms - 1) ** 2 for s in samples)


def _dot(a: Sequence[float], b: Sequence[float]) -> float:
    return sum(one * other for one, other in zip(a, b, strict=True))
