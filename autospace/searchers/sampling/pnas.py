"""PNAS (Liu et al., ECCV 2018): from few chosen layers to all, guided by a predictor.

The paper grows cells block by block. Here each level chooses one more layer, starting at the input,
and later layers have the reference's cell. A level extends the best prefixes so far by all
candidates of its layer, and evaluates the extensions that the predictor ranks first. The predictor
is an ensemble of small networks, whose inputs describe cells, fitted to all evaluated paths.
"""

import math
from collections.abc import Mapping, Sequence
from itertools import islice
from typing import Annotated

import torch
from pydantic import Field
from torch import nn
from torch.nn import functional as F

from autospace.runs.settings import Section
from autospace.searchers.fitness_search import FitnessName, FitnessSearch, make_fitness
from autospace.searchers.problem import SearchProblem
from autospace.seeds import derived_seed, stream
from autospace.spaces.cells.cell import MIXES
from autospace.spaces.cells.family import work
from autospace.spaces.cells.operations import Cost
from autospace.spaces.choices import Choice, Choices
from autospace.spaces.space import Candidate

RATE = 0.01
WEIGHT_DECAY = 1e-4
HELD_OUT = 5
"""Every member is fitted without one in five observations, as in PNAS."""


class Predictor:
    """PNAS's MLP ensemble (Liu et al., ECCV 2018): the mean of the layers' embeddings, then an MLP.

    A candidate is described by its identity (one-hot), operations, mixes, expansion and costs, so
    that knowledge from one layer carries over to similar candidates of layers not yet tried.
    All numbers are float64 and on the CPU, as a hundred paths are little work.

    Args:
        choices: the candidates.
        members: number of networks in the ensemble.
        hidden: units of each of their two inner layers.
        epochs: steps of Adam on all observations at once.
        seed: of initial weights, and of the observations that each member leaves out.
    """

    def __init__(self, choices: Choices, members: int, hidden: int, epochs: int, seed: int) -> None:
        sizes = torch.tensor(choices.sizes)
        self._firsts = sizes.cumsum(0) - sizes
        self._table = _descriptions(choices)
        self._members, self._hidden, self._epochs, self._seed = members, hidden, epochs, seed

    def fitted(self, known: Mapping[Choice, float], paths: Sequence[Choice]) -> list[float]:
        """Predicted accuracies of paths, by an ensemble fitted to at least one known accuracy."""
        targets = torch.tensor(list(known.values()), dtype=torch.float64)
        middle, scale = targets.mean(), targets.std(correction=0).clamp_min(1e-6)
        ensemble = self._trained(self._places(list(known)), (targets - middle) / scale)
        with torch.no_grad():
            found: list[float] = (middle + scale * ensemble(self._places(paths)).mean(0)).tolist()
        return found

    def _places(self, paths: Sequence[Choice]) -> torch.Tensor:
        """Paths as rows of the table of all candidates of all layers: [N, layers]."""
        return torch.tensor(paths) + self._firsts

    def _parts(self, count: int) -> torch.Tensor:
        """The weight of each observation for each member [members, N]; rows sum to one."""
        order = list(range(count))
        stream(self._seed, "predictor", "parts").shuffle(order)
        kept = torch.ones(self._members, count, dtype=torch.float64)
        if count >= HELD_OUT:
            for member in range(self._members):
                kept[member, order[member % HELD_OUT :: HELD_OUT]] = 0
        return kept / kept.sum(1, keepdim=True)

    def _trained(self, places: torch.Tensor, targets: torch.Tensor) -> "_Ensemble":
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(derived_seed(self._seed, "predictor"))
            ensemble = _Ensemble(self._table, self._members, self._hidden)
        weights = self._parts(len(targets))
        optimizer = torch.optim.Adam(ensemble.parameters(), RATE, weight_decay=WEIGHT_DECAY)
        for _ in range(self._epochs):
            optimizer.zero_grad()
            # Members share no weights, so that minimising the sum fits each as if it were alone.
            (weights * (ensemble(places) - targets).abs()).sum().backward()
            optimizer.step()
        return ensemble


class _Ensemble(nn.Module):
    """Rows of a table of candidates [N, layers] -> predictions [members, N], all at once."""

    def __init__(self, table: torch.Tensor, members: int, hidden: int) -> None:
        super().__init__()
        self._table = table
        sizes = ((table.shape[1], hidden), (hidden, hidden), (hidden, 1))
        self._weights = nn.ParameterList(_uniform(members, *size) for size in sizes)
        self._biases = nn.ParameterList(
            nn.Parameter(torch.zeros(members, 1, size, dtype=torch.float64)) for _, size in sizes
        )

    def forward(self, places: torch.Tensor) -> torch.Tensor:
        """Predictions from the summed embeddings of each path.

        Every candidate of the paths is embedded once; a space may have thousands of others.
        """
        used, rows = places.unique(return_inverse=True)
        embedded = F.relu(self._linear(0, self._table[used]))  # [members, candidates, hidden]
        x = embedded[:, rows].sum(2) / math.sqrt(places.shape[1])
        return self._linear(2, F.relu(self._linear(1, x))).squeeze(2)

    def _linear(self, index: int, x: torch.Tensor) -> torch.Tensor:
        found: torch.Tensor = x @ self._weights[index] + self._biases[index]
        return found


def _uniform(members: int, inputs: int, outputs: int) -> nn.Parameter:
    """Initial weights as in `nn.Linear`: uniform within 1 / sqrt(inputs)."""
    bound = 1 / math.sqrt(inputs)
    values = torch.empty(members, inputs, outputs, dtype=torch.float64)
    return nn.Parameter(values.uniform_(-bound, bound))


def _descriptions(choices: Choices) -> torch.Tensor:
    """A row for every candidate of every layer: its identity, and its scaled properties."""
    space = choices.space
    rows = [
        _described(candidate, cost, space.operations)
        for layer in space.layers
        for candidate, cost in zip(layer.candidates, layer.costs, strict=True)
    ]
    likeness = torch.tensor(rows, dtype=torch.float64)
    spread = likeness.std(0, correction=0)
    scaled = (likeness - likeness.mean(0)) / torch.where(spread > 0, spread, 1.0)
    return torch.cat([torch.eye(len(rows), dtype=torch.float64), scaled], 1)


def _described(candidate: Candidate, cost: Cost, operations: Sequence[str]) -> list[float]:
    """The number of times of each operation and mix, the expansion, and the log of the costs.

    Of binary cells, OPs stand for MAdds, which are alike for all.
    """
    cell = candidate.cell.pruned()
    return [
        *(float(cell.operations.count(name)) for name in operations),
        *(float(cell.mix.count(name)) for name in MIXES),
        float(cell.expansion),
        math.log1p(work(candidate.cell.kind, cost)),
        math.log1p(cost.params),
    ]


class PnasOptions(Section):
    """The kind of fitness, and the predictor."""

    fitness: FitnessName = "supernet"
    members: Annotated[int, Field(ge=1, le=100, description="networks of the ensemble")] = 5
    hidden: Annotated[int, Field(ge=1, le=1000, description="units per inner layer")] = 32
    epochs: Annotated[int, Field(ge=1, le=100_000, description="epochs of each fit")] = 100


class Pnas(FitnessSearch):
    """Searches level by level; every level has about the same number of evaluations.

    The first level evaluates all its extensions if the number of evaluations allows, and the other
    levels share the rest. Extensions that cannot be completed within the limits are left out.
    """

    remembered = ("planned",)
    options_type = PnasOptions

    def __init__(self, problem: SearchProblem, options: PnasOptions) -> None:
        super().__init__(problem, options, make_fitness(problem, options.fitness))
        seed = derived_seed(problem.seed, "pnas")
        self.predictor = Predictor(
            problem.choices, options.members, options.hidden, options.epochs, seed
        )
        self.planned: list[Choice] = []
        self._starts = _level_starts(problem.choices, self.most_evaluations)
        self._fallbacks = _fallbacks(problem.choices)

    def search(self, index: int) -> None:
        """Evaluates the next architecture of a level; the first step of a level plans them all."""
        level = max(each for each, start in enumerate(self._starts) if start <= index)
        place = index - self._starts[level]
        if place == 0:
            end = (*self._starts, self.most_evaluations)[level + 1]
            self.planned = self.plan(level, end - index)
        if place < len(self.planned):
            self.ahead(iter(self.planned[place:]))
            self.evaluated(self.planned[place])

    def plan(self, level: int, count: int) -> list[Choice]:
        """At most `count` extensions of the best prefixes by a layer, the most promising first."""
        known = self.fitness.known
        best = sorted(known, key=lambda path: -known[path])
        prefixes = dict.fromkeys(path[:level] for path in best) or {(): None}
        extended = (
            self.completed((*prefix, index))
            for prefix in islice(prefixes, count)
            for index in range(self.problem.choices.sizes[level])
        )
        paths = [*dict.fromkeys(path for path in extended if path and path not in known)]
        if not known:
            stream(self.problem.seed, "pnas").shuffle(paths)
            return paths[:count] or [self.problem.choices.draw(stream(self.problem.seed, "pnas"))]
        if not paths:
            return []
        predicted = dict(zip(paths, self.predictor.fitted(known, paths), strict=True))
        return sorted(paths, key=lambda path: -predicted[path])[:count]

    def completed(self, prefix: Choice) -> Choice | None:
        """A prefix followed by reference cells, from the end replaced by cheaper ones if needed.

        None if the prefix exceeds a limit even with the cheapest candidates after it.
        """
        references, cheapest = self._fallbacks
        for kept in range(len(references), len(prefix) - 1, -1):
            path = (*prefix, *references[len(prefix) : kept], *cheapest[kept:])
            path = self.problem.choices.continued(path, len(prefix))
            if self.problem.choices.allows(path):
                return path
        return None

    def rated(self, paths: Sequence[Choice]) -> list[float]:
        """Predictions of the predictor, fitted to all evaluated architectures."""
        return self.predictor.fitted(self.fitness.known, paths)


def _level_starts(choices: Choices, evaluations: int) -> list[int]:
    """Per layer, the search step at which its level starts."""
    layers = len(choices.sizes)
    first = min(choices.sizes[0], max(1, evaluations // layers))
    rest, others = evaluations - first, max(1, layers - 1)
    return [0, *(first + rest * level // others for level in range(layers - 1))]


def _fallbacks(choices: Choices) -> tuple[Choice, Choice]:
    """Per layer the reference, or else the first candidate; and the cheapest under the limits."""
    references, cheapest = [], []
    for number, layer in enumerate(choices.space.layers):
        names = [candidate.id for candidate in layer.candidates]
        wanted = choices.space.reference.get(layer.shape.name)
        references.append(names.index(wanted) if wanted in names else 0)
        shares = [
            sum(limit.table[number][index] / limit.most for limit in choices.limits)
            for index in range(len(names))
        ]
        cheapest.append(shares.index(min(shares)))
    return tuple(references), tuple(cheapest)
