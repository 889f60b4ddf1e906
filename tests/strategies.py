"""Hypothesis strategies for cells, skeletons, spaces and architectures."""

from collections.abc import Sequence

from hypothesis import strategies as st

from autospace.spaces import (
    DEFAULT_OPERATIONS,
    OPERATIONS,
    Architecture,
    Budget,
    Candidate,
    Cell,
    Layer,
    LayerShape,
    LayerSpec,
    Origin,
    Skeleton,
    Space,
    Stem,
)
from autospace.spaces.cells.cell import EXPANSIONS, MIXES
from autospace.spaces.space import ORIGIN_KINDS

ALL_OPERATIONS = tuple(OPERATIONS)

# Names that a file may hold and that a careless reader, shell, terminal or browser trips over.
HOSTILE_NAMES = (
    "../../etc/passwd",
    "a'; DROP TABLE cells; --",
    "<script>alert(1)</script>",
    "${HOME} $(id) `id` %s {0}",
    "[bold red]markup[/]",
    '"quoted" \\ back',
    "名前 ñandú 🧬",
    "-rf",
    "null",
    "layer_00",
)


def names(most: int = 20) -> st.SearchStrategy[str]:
    """Printable names: plain, hostile, and from all of Unicode."""
    printable = st.characters(exclude_categories=("C", "Z"))
    return st.sampled_from(HOSTILE_NAMES) | st.text(printable, min_size=1, max_size=most)


@st.composite
def cells(
    draw: st.DrawFn,
    *,
    nodes: int | None = None,
    most_nodes: int = 5,
    operations: Sequence[str] = ALL_OPERATIONS,
    mixes: Sequence[str] = MIXES,
    expansions: Sequence[int] = EXPANSIONS,
    zero: bool = True,
) -> Cell:
    """Cells of the given vocabulary; with `zero=False` always with a path from end to end."""
    size = nodes or draw(st.integers(2, most_nodes))
    slots = size * (size - 1) // 2
    drawn = [draw(st.sampled_from(operations)) for _ in range(slots)]
    mix = tuple(draw(st.sampled_from(mixes)) for _ in range(size - 1))
    cell = Cell(tuple(drawn), mix, draw(st.sampled_from(expansions)))
    if zero or not cell.is_zero:
        return cell
    # The first slot of the last node is the edge from the input.
    present = [name for name in operations if name != "none"]
    drawn[-(size - 1)] = draw(st.sampled_from(present))
    return Cell(tuple(drawn), mix, cell.expansion)


def shapes(*, most_channels: int = 9, most_resolution: int = 9) -> st.SearchStrategy[LayerShape]:
    """Small layers of both strides, odd resolutions and a single pixel included."""
    channels = st.integers(1, most_channels)
    return st.builds(
        LayerShape,
        st.just("layer_00"),
        channels,
        channels,
        st.integers(1, 2),
        st.integers(1, most_resolution),
    )


def skeletons(*, most_layers: int = 4, most_resolution: int = 17) -> st.SearchStrategy[Skeleton]:
    """Small skeletons: odd resolutions, with and without stem block and head."""
    channels = st.integers(1, 8)
    layers = st.lists(
        st.builds(LayerSpec, channels, st.integers(1, 2)), min_size=1, max_size=most_layers
    )
    return st.builds(
        Skeleton,
        name=names(),
        in_channels=st.integers(1, 3),
        resolution=st.integers(1, most_resolution),
        classes=st.integers(2, 5),
        stem=st.builds(Stem, channels, st.integers(1, 2), st.none() | channels),
        layers=layers.map(tuple),
        head=st.just(0) | st.integers(1, 8),
        description=st.just("") | names(),
    )


def origins() -> st.SearchStrategy[Origin]:
    """Origins of every kind."""
    parents = st.lists(names(), max_size=2).map(tuple)
    return st.builds(Origin, st.sampled_from(ORIGIN_KINDS), st.integers(0, 99), parents)


def fitnesses() -> st.SearchStrategy[float | None]:
    """No fitness, or any finite one."""
    return st.none() | st.floats(allow_nan=False, allow_infinity=False)


def uncertainties() -> st.SearchStrategy[float | None]:
    """No uncertainty, or any finite one."""
    return st.none() | st.floats(min_value=0, allow_nan=False, allow_infinity=False)


@st.composite
def candidates(
    draw: st.DrawFn,
    shape: LayerShape,
    *,
    identity: st.SearchStrategy[str] | None = None,
    operations: Sequence[str] = ALL_OPERATIONS,
) -> Candidate:
    """Candidates that fit a layer: without a path only where there is a shortcut."""
    cell = draw(cells(most_nodes=4, operations=operations, zero=shape.shortcut))
    identity = names() if identity is None else identity
    fitness = draw(fitnesses())
    spread = None if fitness is None else draw(uncertainties())
    return Candidate(draw(identity), cell, fitness, draw(origins()), spread)


@st.composite
def architectures(draw: st.DrawFn) -> Architecture:
    """Architectures on small skeletons."""
    skeleton = draw(skeletons(most_layers=3))
    return Architecture(skeleton, tuple(draw(candidates(shape)) for shape in skeleton.shapes))


def json_values() -> st.SearchStrategy[object]:
    """Values for `provenance`."""
    leaves = (
        st.none()
        | st.booleans()
        | st.integers(-(2**63), 2**63)
        | st.floats(allow_nan=False, allow_infinity=False)
        | st.text(st.characters(codec="utf-8"), max_size=8)
    )
    keys = st.text(st.characters(codec="utf-8"), max_size=8)
    return st.recursive(
        leaves,
        lambda inner: st.lists(inner, max_size=2) | st.dictionaries(keys, inner, max_size=2),
        max_leaves=4,
    )


@st.composite
def spaces(draw: st.DrawFn, *, most_layers: int = 3, most_candidates: int = 3) -> Space:
    """Spaces with references, budgets that hold, origins, provenance and awkward names."""
    skeleton = draw(skeletons(most_layers=most_layers))
    vocabulary = tuple(draw(st.permutations(DEFAULT_OPERATIONS)))[: draw(st.integers(2, 9))]
    layers = []
    for shape in skeleton.shapes:
        ids = draw(st.lists(names(), min_size=1, max_size=most_candidates, unique=True))
        offered = [
            draw(candidates(shape, identity=st.just(each), operations=("none", *vocabulary)))
            for each in ids
        ]
        layers.append(Layer(shape, tuple(offered)))
    reference = {}
    if draw(st.booleans()):
        reference = {
            layer.shape.name: draw(st.sampled_from(sorted(layer.by_id))) for layer in layers
        }
    open_space = Space(draw(names()), skeleton, vocabulary, tuple(layers), reference)
    slack = st.none() | st.integers(0, 10**6)
    madds, params = draw(slack), draw(slack)
    budget = Budget(
        None if madds is None else open_space.most_expensive.madds + madds,
        None if params is None else open_space.most_expensive.params + params,
    )
    provenance = draw(st.dictionaries(names(), json_values(), max_size=3))
    return Space(
        open_space.name, skeleton, vocabulary, tuple(layers), reference, budget, provenance
    )
