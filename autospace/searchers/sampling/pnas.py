"""PNAS (Liu et al., ECCV 2018): from few layers chosen to all, a predictor picking what is judged.

The paper grows cells block by block; here a level chooses one layer more, from the input on, and
the layers behind it hold the reference. Every level extends the best prefixes so far by all
candidates of its layer, and judges those extensions that a predictor, fitted to all that has been
judged, puts first.
"""

from collections.abc import Sequence
from itertools import islice
from typing import Annotated

from pydantic import Field

from autospace.runs.state import State
from autospace.searchers.fitness import FITNESSES, FitnessName
from autospace.searchers.fitness_search import FitnessSearch
from autospace.searchers.sampling.predictor import Predictor
from autospace.searchers.settings import Section
from autospace.seeds import derived_seed, stream
from autospace.spaces.choices import Choices, Path
from autospace.supernets.problem import Problem


class PnasOptions(Section):
    """What fitness is, and the predictor."""

    fitness: FitnessName = "supernet"
    members: Annotated[int, Field(ge=1, le=100, description="of the ensemble")] = 5
    hidden: Annotated[int, Field(ge=1, le=1000, description="units per inner layer")] = 32
    epochs: Annotated[int, Field(ge=1, le=100_000, description="of each fit")] = 100


class Pnas(FitnessSearch):
    """The evaluations are divided evenly among the levels: as many prefixes are extended by each.

    The first level judges all its extensions, if that many may be judged; of what it leaves, the
    others have equal parts. Extensions that no rest keeps within the limits are left out.
    """

    options_type = PnasOptions

    def __init__(self, problem: Problem, options: PnasOptions) -> None:
        super().__init__(problem, options, FITNESSES[options.fitness](problem))
        seed = derived_seed(problem.seed, "pnas")
        self.predictor = Predictor(
            problem.choices, options.members, options.hidden, options.epochs, seed
        )
        self.planned: list[Path] = []
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

    def plan(self, level: int, count: int) -> list[Path]:
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

    def completed(self, prefix: Path) -> Path | None:
        """A prefix with the reference behind it; where that is over a limit, cheaper from the end.

        None if the prefix leaves too little for the cheapest rest.
        """
        references, cheapest = self._fallbacks
        for kept in range(len(references), len(prefix) - 1, -1):
            path = (*prefix, *references[len(prefix) : kept], *cheapest[kept:])
            if self.problem.choices.allows(path):
                return path
        return None

    def rated(self, paths: Sequence[Path]) -> list[float]:
        """By the predictor, fitted to all that was judged."""
        return self.predictor.fitted(self.fitness.known, paths)

    def state(self) -> State:
        """Fitness, the best so far, and what the level has planned."""
        planned = [list(path) for path in self.planned]
        return super().state().joined(State(plain={"planned": planned}))

    def restore(self, state: State) -> None:
        """Takes up all of these."""
        super().restore(state)
        self.planned = [tuple(path) for path in state.plain["planned"]]


def _level_starts(choices: Choices, evaluations: int) -> list[int]:
    """Per layer, the search step at which its level starts."""
    layers = len(choices.sizes)
    first = min(choices.sizes[0], max(1, evaluations // layers))
    rest, others = evaluations - first, max(1, layers - 1)
    return [0, *(first + rest * level // others for level in range(layers - 1))]


def _fallbacks(choices: Choices) -> tuple[Path, Path]:
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
