"""PNAS (Liu et al., ECCV 2018): from few chosen layers to all, guided by a predictor.

The paper grows cells block by block; here a level chooses one layer more, from the input on, and
the layers after it have the reference. Every level extends the best prefixes so far by all
candidates of its layer, and evaluates the extensions that the predictor ranks first. The predictor
is an ensemble of small networks on descriptions of the cells, fitted to all evaluated paths.
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
from autospace.searchers.fitness_search import FITNESSES, FitnessName, FitnessSearch
from autospace.searchers.method import SearchProblem
from autospace.seeds import derived_seed, stream
from autospace.spaces.cells.cell import MIXES
from autospace.spaces.cells.cost import Cost
from autospace.spaces.choices import Choice, Choices
from autospace.spaces.space import Candidate

RATE = 0.01
WEIGHT_DECAY = 1e-4
HELD_OUT = 5
"""Every member is fitted without one in so many of the observations, as in PNAS."""


class Predictor:
    """PNAS's MLP ensemble (Liu et al., ECCV 2018): the mean of the layers' embeddings, then an MLP.

    A candidate is described by which it is, and by its operations, mixes, expansion and costs, so
    that what is learned at one layer says something of its likes at layers not yet tried.
    All is float64 and on the CPU: a hundred paths are little.

    Args:
        choices: the candidates.
        members: networks in the ensemble.
        hidden: units of each of their two inner layers.
        epochs: steps of Adam on all observations at once.
        seed: of initial weights, and of what each member does not see.
    """

    def __init__(self, choices: Choices, members: int, hidden: int, epochs: int, seed: int) -> None:
        sizes = torch.tensor(choices.sizes)
        self._firsts = sizes.cumsum(0) - sizes
        self._table = _descriptions(choices)
        self._members, self._hidden, self._epochs, self._seed = members, hidden, epochs, seed

    def fitted(self, known: Mapping[Choice, float], paths: Sequence[Choice]) -> list[float]:
        """Accuracies predicted for paths, by an ensemble fitted to what is known; at least one."""
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
        """Which observations each member is fitted to, as weights [members, N] that sum to one."""
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
            # A sum over members, whose weights are their own: each is fitted as if it were alone.
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
        """What the heads make of the layers' embeddings; every candidate is embedded once."""
        embedded = F.relu(self._linear(0, self._table))  # [members, candidates, hidden]
        x = embedded[:, places].sum(2) / math.sqrt(places.shape[1])
        return self._linear(2, F.relu(self._linear(1, x))).squeeze(2)

    def _linear(self, index: int, x: torch.Tensor) -> torch.Tensor:
        found: torch.Tensor = x @ self._weights[index] + self._biases[index]
        return found


def _uniform(members: int, inputs: int, outputs: int) -> nn.Parameter:
    """As `nn.Linear` begins: within one over the root of the inputs."""
    bound = 1 / math.sqrt(inputs)
    values = torch.empty(members, inputs, outputs, dtype=torch.float64)
    return nn.Parameter(values.uniform_(-bound, bound))


def _descriptions(choices: Choices) -> torch.Tensor:
    """A row for every candidate of every layer: which it is, and what it is like, scaled."""
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
    """How often each operation and mix occurs, the expansion, and the log of the costs."""
    cell = candidate.cell.pruned()
    return [
        *(float(cell.operations.count(name)) for name in operations),
        *(float(cell.mix.count(name)) for name in MIXES),
        float(cell.expansion),
        math.log1p(cost.madds),
        math.log1p(cost.params),
    ]


class PnasOptions(Section):
    """What fitness is, and the predictor."""

    fitness: FitnessName = "supernet"
    members: Annotated[int, Field(ge=1, le=100, description="networks of the ensemble")] = 5
    hidden: Annotated[int, Field(ge=1, le=1000, description="units per inner layer")] = 32
    epochs: Annotated[int, Field(ge=1, le=100_000, description="epochs of each fit")] = 100


class Pnas(FitnessSearch):
    """The evaluations are divided evenly among the levels: as many prefixes are extended by each.

    The first level judges all its extensions, if that many may be judged; of what it leaves, the
    others have equal parts. Extensions that no rest keeps within the limits are left out.
    """

    remembered = ("planned",)
    options_type = PnasOptions

    def __init__(self, problem: SearchProblem, options: PnasOptions) -> None:
        super().__init__(problem, options, FITNESSES[options.fitness](problem))
        seed = derived_seed(problem.seed, "pnas")
        self.predictor = Predictor(
            problem.choices, options.members, options.hidden, options.epochs, seed
        )
        self.planned: list[Choice] = []
        self._starts = _level_starts(problem.choices, self.most_evaluations)
        self._fallbacks = _fallbacks(problem.choices)

    def search(self, index: int) -> None:
        """Judges the next architecture of a level, of which the first step plans all."""
        level = max(each for each, start in enumerate(self._starts) if start <= index)
        place = index - self._starts[level]
        if place == 0:
            end = (*self._starts, self.most_evaluations)[level + 1]
            self.planned = self.plan(level, end - index)
        if place < len(self.planned):
            self.judged(self.planned[place])

    def plan(self, level: int, count: int) -> list[Choice]:
        """So many extensions of the best prefixes that end ahead of a layer, best first."""
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
        """A prefix with the reference behind it; where that is over a limit, cheaper from the end.

        None if the prefix leaves too little for the cheapest rest.
        """
        references, cheapest = self._fallbacks
        for kept in range(len(references), len(prefix) - 1, -1):
            path = (*prefix, *references[len(prefix) : kept], *cheapest[kept:])
            if self.problem.choices.allows(path):
                return path
        return None

    def rated(self, paths: Sequence[Choice]) -> list[float]:
        """By the predictor, fitted to all that was judged."""
        return self.predictor.fitted(self.fitness.known, paths)


def _level_starts(choices: Choices, evaluations: int) -> list[int]:
    """Per layer, the search step at which its level starts."""
    layers = len(choices.sizes)
    first = min(choices.sizes[0], max(1, evaluations // layers))
    rest, others = evaluations - first, max(1, layers - 1)
    return [0, *(first + rest * level // others for level in range(layers - 1))]


def _fallbacks(choices: Choices) -> tuple[Choice, Choice]:
    """Per layer the reference, or else the first candidate; and the cheapest for the limits."""
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
