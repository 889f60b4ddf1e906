"""The evaluator `table`: published scores of networks in place of training; with its file format.

A table holds scores of all networks of a space, under one or more seeds, as others trained them.
"""

import hashlib
import json
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cache, cached_property
from importlib import resources
from math import prod
from pathlib import Path
from typing import Annotated, Any, Final, Literal

import numpy as np
from pydantic import AfterValidator, BaseModel, ConfigDict, FailFast, Field

from autospace.evaluators.evaluator import Evaluation, EvaluationError, skeleton_key
from autospace.spaces.cells.family import cell_key
from autospace.spaces.checks import MAX_DESCRIPTION, MAX_NAME, MAX_VALUES
from autospace.spaces.choices import Choice, Choices
from autospace.spaces.errors import SpaceError, located, offered, shown
from autospace.spaces.files.codec import decoded
from autospace.spaces.files.document import SCHEMA_DIALECT
from autospace.spaces.files.reading import parse_document, parse_json, read_text, validated
from autospace.spaces.skeleton import Skeleton
from autospace.spaces.space import Architecture, Layer, Space

FORMAT: Final = "autospace.table"
ORIGIN: Final = "a table of accuracies, as autospace schema table describes it"
TABLE_NAMES: Final = ("nasbench-macro", "nasbench201-12epochs", "nasbench201-200epochs")
MOST_SEEDS: Final = 1000
DECIMALS: Final = 10
MOST_IDS: Final = 8


def _printable(text: str) -> str:
    if not text.isprintable():
        raise ValueError("allowed: printable characters only")
    return text


_Name = Annotated[str, Field(min_length=1, max_length=MAX_NAME), AfterValidator(_printable)]
_Text = Annotated[str, Field(max_length=MAX_DESCRIPTION), AfterValidator(_printable)]
_Score = Annotated[int, Field(ge=0, le=10**9)] | None


class TableFile(BaseModel):
    """Scores of all networks of a space."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)

    format: Literal["autospace.table"]
    version: Literal[1]
    name: _Name
    description: _Text = ""
    source: Annotated[_Text, Field(description="who trained the networks: a citation or URL")] = ""
    license: _Text = ""
    space: Annotated[dict[str, Any], Field(description="a file of format autospace.space")]
    unit: Annotated[float, Field(gt=0, le=1, description="a score of 1, as a share")]
    seeds: Annotated[int, Field(ge=1, le=MOST_SEEDS, description="scores per network")]
    scores: Annotated[
        list[_Score],
        Field(
            min_length=1,
            max_length=MAX_VALUES,
            description="per network and seed; the last layer's candidate changes first, and the "
            "seed before it; null where there is none",
        ),
        FailFast(),
    ]


@dataclass(frozen=True, eq=False)
class Table:
    """Scores of all networks of a space.

    Attributes:
        source: who trained the networks.
        choices: the space as indices, without limits.
        scores: shares (0 to 1), [networks, seeds]; NaN where there is none. The candidate of the
            last layer changes first.
        digest: shared by exactly the tables of equal content.
    """

    name: str
    source: str
    license: str
    choices: Choices
    scores: np.ndarray[tuple[int, int], np.dtype[np.float64]]
    digest: str

    @property
    def space(self) -> Space:
        """The space whose networks have scores."""
        return self.choices.space

    @property
    def fewest_scores(self) -> int:
        """The smallest number of scores of a network that has any."""
        known = (~np.isnan(self.scores)).sum(axis=1)
        return int(known[known > 0].min(initial=self.scores.shape[1]))

    @property
    def notes(self) -> tuple[str, ...]:
        """What a reader of results has to know."""
        return (f"accuracies are those of table {self.cited}, not of networks trained here",)

    @property
    def lines(self) -> tuple[str, ...]:
        """The notes: no images were read."""
        return self.notes

    @property
    def cited(self) -> str:
        """Its name and source."""
        return f"{self.name} ({self.source})" if self.source else self.name

    def fitted(self, space: Space) -> Space:
        """The same space, all of whose networks the table holds.

        Raises:
            EvaluationError: its skeleton, or a cell, is not in the table.
        """
        self._check_skeleton(space.skeleton)
        for place, layer in enumerate(space.layers):
            for named in self._named(layer):
                self._candidate(place, *named)
        return space

    def path(self, architecture: Architecture) -> Choice:
        """The path in the table's space of an architecture of any space with these cells.

        Raises:
            EvaluationError: the skeleton, or the cell of a layer, is not in the table.
        """
        self._check_skeleton(architecture.skeleton)
        pairs = zip(architecture.skeleton.shapes, architecture.candidates, strict=True)
        return tuple(
            self._candidate(place, cell_key(candidate.cell, shape), candidate.id)
            for place, (shape, candidate) in enumerate(pairs)
        )

    def index(self, architecture: Architecture) -> int:
        """The row of an architecture; see `path`."""
        return self._row(self.path(architecture))

    def score(self, architecture: Architecture, seed: int) -> float:
        """The score of seed `seed` modulo the number of scores that the architecture has.

        Raises:
            EvaluationError: the architecture is not in the table, or has no score there.
        """
        row = self.scores[self.index(architecture)]
        known = row[~np.isnan(row)]
        if not len(known):
            problem = f"table {self.name} has no score of the architecture"
            raise EvaluationError(f"{problem} {', '.join(architecture.choices.values())}")
        return float(known[seed % len(known)])

    def has_score(self, architecture: Architecture) -> bool:
        """Whether an architecture of the table has a score under any seed; see `path`."""
        return not bool(np.isnan(self.scores[self.index(architecture)]).all())

    def mean(self, path: Choice) -> float:
        """The mean score over the seeds, of a path of the table's space; NaN if it has none."""
        row = self.scores[self._row(path)]
        known = row[~np.isnan(row)]
        return float(known.mean()) if len(known) else float("nan")

    def unscored(self, space: Space) -> int:
        """How many networks of a space have no score under any seed.

        Raises:
            EvaluationError: its skeleton, or a cell, is not in the table.
        """
        self._check_skeleton(space.skeleton)
        kept = [
            [self._candidate(place, *named) for named in self._named(layer)]
            for place, layer in enumerate(space.layers)
        ]
        empty = np.asarray(np.isnan(self.scores).all(axis=1))
        rows = np.zeros(1, dtype=np.int64)  # of all paths; arrays have fewer dimensions than layers
        for size, places in zip(self.choices.sizes, kept, strict=True):
            rows = (rows[:, None] * size + np.asarray(places)).ravel()
        missing = np.flatnonzero(empty[rows])
        if not space.skeleton.stages:
            return len(missing)
        # Of a space with stages, a table has rows for paths that are no networks as well.
        sizes = [len(places) for places in kept]
        paths = [_path_at(int(place), sizes) for place in missing]
        return sum(all(part.holds(path) for part in space.parts) for path in paths)

    def _check_skeleton(self, skeleton: Skeleton) -> None:
        if skeleton_key(skeleton) != self._skeleton:
            problem = f"skeleton {shown(skeleton.name)}: not that of table {self.name}"
            allowed = shown(self.space.skeleton.name)
            if skeleton.name == self.space.skeleton.name:
                problem, allowed = f"{problem} ({_images(skeleton)})", _images(self.space.skeleton)
            raise EvaluationError(f"{problem}; allowed: {allowed}")

    @staticmethod
    def _named(layer: Layer) -> Iterator[tuple[str, str]]:
        """Key and id of every candidate."""
        ids = (candidate.id for candidate in layer.candidates)
        return zip(layer.keys, ids, strict=True)

    def _candidate(self, place: int, key: str, name: str) -> int:
        """The index of a layer's candidate of this function."""
        index = self._indices[place].get(key)
        if index is None:
            layer = self.space.layers[place]
            ids = ", ".join(each.id for each in layer.candidates[:MOST_IDS])
            problem = f"{layer.shape.name}: table {self.name} does not hold the cell {name}"
            raise EvaluationError(f"{problem}; allowed: the cells of its space, such as {ids}")
        return index

    def _row(self, path: Sequence[int]) -> int:
        row = 0
        for size, index in zip(self.choices.sizes, path, strict=True):
            row = row * size + index
        return row

    @cached_property
    def _skeleton(self) -> str:
        return skeleton_key(self.space.skeleton)

    @cached_property
    def _indices(self) -> list[dict[str, int]]:
        layers = self.space.layers
        return [{key: index for index, key in enumerate(layer.keys)} for layer in layers]


def _images(skeleton: Skeleton) -> str:
    side = skeleton.resolution
    return f"{skeleton.in_channels}x{side}x{side} images of {skeleton.classes} classes"


class TableEvaluator:
    """Looks architectures up; nothing is trained."""

    def __init__(self, table: Table) -> None:
        self._table = table

    def evaluate(self, architecture: Architecture, seed: int) -> Evaluation:
        """The score of the table; see `autospace.evaluators.evaluator.Evaluator`."""
        return Evaluation(self._table.score(architecture, seed))


def read_table(source: str) -> Table:
    """A built-in table by name, or that of a file.

    Raises:
        SpaceError: the file is missing or holds no valid table; the message names file and value.
    """
    if source in TABLE_NAMES and not os.path.lexists(source):
        return _built_in(source)
    try:
        text = read_text(Path(source))
    except SpaceError as error:
        known = offered(source, TABLE_NAMES, f"a file, or {', '.join(TABLE_NAMES)}")
        raise SpaceError(error.path, f"{error.problem}; {known}") from None
    try:
        return table_from(text)
    except SpaceError as error:
        raise SpaceError(source, str(error)) from None


def table_from(text: str) -> Table:
    """The table that the text of a file describes.

    Raises:
        SpaceError: naming the path of the first wrong value, the value, and what is allowed.
    """
    plain = parse_document(text, FORMAT, ORIGIN, entries=MAX_VALUES)
    document = validated(TableFile, plain)
    with located("space"):
        space = decoded(document.space)
        if not isinstance(space, Space):
            raise SpaceError("", "not a space; allowed: format autospace.space")
        _check_different(space)
    choices = Choices(space)
    content = json.dumps(plain, sort_keys=True, separators=(",", ":"))
    return Table(
        document.name,
        document.source,
        document.license,
        choices,
        _shares(document, prod(choices.sizes)),
        hashlib.sha256(content.encode()).hexdigest(),
    )


def table_schema() -> dict[str, Any]:
    """JSON Schema (draft 2020-12) of a table's file; that of its space is a schema of its own."""
    schema = TableFile.model_json_schema()
    return {"$schema": SCHEMA_DIALECT, "$id": FORMAT, **schema}


def is_table(path: Path) -> bool:
    """Whether a file says that it holds a table; it may still be no valid one."""
    try:
        plain = parse_json(read_text(path), entries=MAX_VALUES)
    except SpaceError:
        return False
    return isinstance(plain, dict) and plain.get("format") == FORMAT


@cache
def _built_in(name: str) -> Table:
    folder = resources.files("autospace.evaluators") / "data"
    return table_from((folder / f"{name}.json").read_text("utf-8"))


def _path_at(place: int, sizes: Sequence[int]) -> Choice:
    """The path at a place, where the last layer changes first."""
    path = []
    for size in reversed(sizes):
        place, index = divmod(place, size)
        path.append(index)
    return tuple(reversed(path))


def _check_different(space: Space) -> None:
    for place, layer in enumerate(space.layers):
        first: dict[str, str] = {}
        for key, candidate in zip(layer.keys, layer.candidates, strict=True):
            if key in first:
                problem = f"{first[key]} and {candidate.id} compute the same function"
                raise SpaceError(
                    f"layers[{place}]", f"{problem}; allowed: each function once per layer"
                )
            first[key] = candidate.id


def _shares(
    document: TableFile, networks: int
) -> np.ndarray[tuple[int, int], np.dtype[np.float64]]:
    """The scores as shares, [networks, seeds]."""
    count = len(document.scores)
    if count != networks * document.seeds:
        wanted = f"{shown(networks)} networks with {document.seeds} each"
        raise SpaceError("scores", f"{count} scores; allowed: those of {wanted}")
    # float() makes None NaN.
    steps = np.array(document.scores, dtype=np.float64).reshape(networks, document.seeds)
    shares = np.round(steps * document.unit, DECIMALS)
    if np.isnan(shares).all():
        raise SpaceError("scores", "all are null; allowed: at least one number")
    if np.nanmax(shares) > 1:
        most = shown(float(np.nanmax(shares)))
        raise SpaceError("scores", f"the largest times unit is {most}; allowed: up to 1, a share")
    shares.flags.writeable = False
    return shares
