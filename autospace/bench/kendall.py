"""Rank correlation without scipy, whose import takes longer than most uses of it here."""

from collections.abc import Sequence


def kendall(first: Sequence[float], second: Sequence[float]) -> float:
    """Kendall's tau-b: 1 for the same order, -1 for the reverse; ties count half as much."""
    agree, ties = 0, [0, 0]
    for i in range(len(first)):
        for j in range(i):
            one = (first[i] > first[j]) - (first[i] < first[j])
            other = (second[i] > second[j]) - (second[i] < second[j])
            agree += one * other
            ties[0] += one != 0
            ties[1] += other != 0
    return float(agree / (ties[0] * ties[1]) ** 0.5) if all(ties) else 0.0
