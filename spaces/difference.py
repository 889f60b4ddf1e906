"""Compares two spaces layer by layer: what they share, and what only one of them has.

Cells are compared by their functions (`cell_key`), not by their ids: two runs may give the same
cell different ids, and different cells the same id.
"""

from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, fields
from typing import Final

from autospace.spaces.cells.family import used
from autospace.spaces.skeleton import Skeleton
from autospace.spaces.space import Candidate, Layer, Space

Pair = tuple[Candidate, Candidate]


@dataclass(frozen=True, slots=True)
class LayerDifference:
    """A layer of two spaces; None where one of them has no such layer.

    Attributes:
        only_first: candidates whose function the second space does not offer here.
        only_second: candidates whose function the first space does not offer here.
        both: pairs of candidates that compute the same; a candidate may be in several where one
            of the spaces offers its function more often.
    """

    first: Layer | None
    second: Layer | None
    only_first: tuple[Candidate, ...]
    only_second: tuple[Candidate, ...]
    both: tuple[Pair, ...]

    @property
    def name(self) -> str:
        """Name of the layer."""
        layer = self.first or self.second
        return layer.shape.name if layer is not None else ""

    @property
    def rescored(self) -> tuple[Pair, ...]:
        """Pairs that compute the same and differ in fitness."""
        return tuple(pair for pair in self.both if pair[0].fitness != pair[1].fitness)

    @property
    def repeated(self) -> tuple[tuple[list[Candidate], list[Candidate]], ...]:
        """Per function that both offer, but one of them more often: its candidates in each."""
        here, there = _by_key(self.first), _by_key(self.second)
        found = ((here[key], there[key]) for key in here if key in there)
        return tuple((one, other) for one, other in found if len(one) != len(other))

    @property
    def equal(self) -> bool:
        """Whether both have this layer, in one shape, with the same functions equally fit.

        A function that one of them offers more often is a difference: it is drawn more often.
        """
        if self.first is None or self.second is None or self.first.shape != self.second.shape:
            return False
        return Counter(self.first.keys) == Counter(self.second.keys) and not self.rescored


@dataclass(frozen=True, slots=True)
class SpaceDifference:
    """Two spaces side by side.

    Attributes:
        skeleton: names of the parts of the skeletons that differ, the name of the skeleton and
            its description left out.
        layers: one entry per layer that either space has.
        reference: whether the references compute different functions.
        budget: whether the budgets differ.
    """

    skeleton: tuple[str, ...]
    layers: tuple[LayerDifference, ...]
    reference: bool
    budget: bool

    @property
    def equal(self) -> bool:
        """Whether no difference was found; names, ids and provenance do not count."""
        layers = all(layer.equal for layer in self.layers)
        return layers and not (self.skeleton or self.reference or self.budget)


def difference(first: Space, second: Space) -> SpaceDifference:
    """What changes from the first space to the second; layers of one name are compared."""
    here, there = ({layer.shape.name: layer for layer in each.layers} for each in (first, second))
    names = dict.fromkeys((*here, *there))
    layers = (_layer_difference(here.get(name), there.get(name)) for name in names)
    return SpaceDifference(
        tuple(_skeleton_parts(first.skeleton, second.skeleton)),
        tuple(layers),
        _reference_keys(first) != _reference_keys(second),
        first.budget != second.budget,
    )


def operation_shares(layers: Iterable[Layer]) -> dict[str, float]:
    """Share of every operation among those that all candidates use, the commonest first."""
    counts: Counter[str] = Counter()
    for candidate in (each for layer in layers for each in layer.candidates):
        counts.update(used(candidate.cell))
    edges = counts.total()
    ordered = sorted(counts.items(), key=lambda item: (-item[1], item[0]))
    return {name: count / edges for name, count in ordered}


def _layer_difference(first: Layer | None, second: Layer | None) -> LayerDifference:
    here, there = _by_key(first), _by_key(second)
    return LayerDifference(
        first,
        second,
        tuple(_missing(here, there)),
        tuple(_missing(there, here)),
        tuple(pair for key in here if key in there for pair in _paired(here[key], there[key])),
    )


def _by_key(layer: Layer | None) -> dict[str, list[Candidate]]:
    found: dict[str, list[Candidate]] = {}
    if layer is not None:
        for key, candidate in zip(layer.keys, layer.candidates, strict=True):
            found.setdefault(key, []).append(candidate)
    return found


def _missing(
    here: dict[str, list[Candidate]], there: dict[str, list[Candidate]]
) -> Iterator[Candidate]:
    """Candidates whose function is not offered there."""
    return (each for key, equal in here.items() if key not in there for each in equal)


def _paired(here: list[Candidate], there: list[Candidate]) -> list[Pair]:
    """Equal functions side by side: of the same id if there are, else as fit, else in order.

    Where one side has more of them, the others stand beside one that has its pair already.
    """
    pairs: list[Pair] = []
    left, right = list(here), list(there)
    for key in _ALIKE:
        for one in tuple(left):
            other = next((each for each in right if key(each) == key(one)), None)
            if other is not None:
                left.remove(one)
                right.remove(other)
                pairs.append((one, other))
    pairs += [(one, _as_fit(one, there)) for one in left]
    pairs += [(_as_fit(other, here), other) for other in right]
    return sorted(pairs, key=lambda pair: here.index(pair[0]))


_ALIKE: Final[tuple[Callable[[Candidate], object], ...]] = (
    lambda each: each.id,
    lambda each: each.fitness,
    lambda each: None,
)
"""In what two candidates of one function are alike, the strongest first."""


def _as_fit(candidate: Candidate, others: list[Candidate]) -> Candidate:
    """The first of the others that is as fit, or the first."""
    return next((each for each in others if each.fitness == candidate.fitness), others[0])


def _skeleton_parts(first: Skeleton, second: Skeleton) -> Iterator[str]:
    """Parts in the order of their declaration; those that only one kind of skeleton has, too."""
    if first.reads != second.reads:
        yield "reads"
    for part in dict.fromkeys(each.name for one in (first, second) for each in fields(one)):
        if part in ("name", "description"):
            continue
        if getattr(first, part, None) != getattr(second, part, None):
            yield _CALLED.get((first.reads, part), part)


_CALLED: Final = {
    ("text", "classes"): "vocabulary",
    ("captions", "classes"): "vocabulary",
    ("text", "stem"): "width",
    ("captions", "stem"): "width",
    ("sentences", "stem"): "width",
    ("sentences", "resolution"): "length",
}
"""Parts that stand for something else where networks do not read images."""


def _reference_keys(space: Space) -> list[str]:
    """Per layer the function of its reference; empty if the space has none."""
    return [*space.architecture(space.reference).keys] if space.reference else []
