"""The evaluator `supernet`: a proxy that measures networks with weights that they share."""

from collections.abc import Sequence
from dataclasses import replace

from autospace.data.images import Images
from autospace.evaluators.evaluator import (
    Evaluation,
    EvaluationError,
    EvaluatorConfig,
    skeleton_key,
)
from autospace.evaluators.stand_alone import execution_of, from_measured
from autospace.progress import Tick, no_tick
from autospace.seeds import derived_seed, stream
from autospace.spaces.cells.family import FAMILIES, cell_key
from autospace.spaces.choices import Choice, Choices
from autospace.spaces.cost import Budget
from autospace.spaces.space import Architecture, Candidate, Layer, Space
from autospace.supernets.settings import MagicConfig, SupernetConfig
from autospace.supernets.shared_weights import Problem, SharedWeights, Uniform, evaluate_path
from autospace.supernets.supernet import Supernet
from autospace.training.stages import FIRST, in_stage
from autospace.training.task import Classification


class SharedWeightsEvaluator:
    """Measures paths of one trained supernet, and recalibrates batch statistics for each path."""

    def __init__(
        self, supernet: Supernet, space: Space, images: Images, config: EvaluatorConfig
    ) -> None:
        """Takes a supernet over the candidates of `space`; evaluations change the supernet."""
        self._supernet = supernet.requires_grad_(False)
        self._images, self._config = images, config
        self._indices = _indices(space)

    def evaluate(self, architecture: Architecture, seed: int) -> Evaluation:
        """Accuracy with shared weights; see `autospace.evaluators.evaluator.Evaluator`."""
        batches = self._images.plain_batches(self._config.batch, seed)
        images = (batches.batch(step)[0] for step in range(self._config.recalibration))
        measured = self._images.measured_batches().evaluation_batches()
        path = self._choices(architecture)
        return from_measured(evaluate_path(self._supernet, path, images, measured))

    def _choices(self, architecture: Architecture) -> list[int]:
        path = []
        # Of each choice, which is a node or an edge where these are chosen, not a whole cell.
        pairs = zip(architecture.skeleton.shapes, architecture.candidates, strict=True)
        for (shape, candidate), indices in zip(pairs, self._indices, strict=True):
            key = cell_key(candidate.cell, shape)
            if key not in indices:
                problem = "the supernet does not hold this cell"
                raise EvaluationError(f"{shape.name}: {problem}; allowed: the cells of its spaces")
            path.append(indices[key])
        return path


class InTurn(Uniform):
    """One path per step, drawn uniformly from one of several spaces, which take turns."""

    def __init__(self, weights: SharedWeights, spaces: Sequence[Space]) -> None:
        """Takes weights over the union of the spaces."""
        super().__init__(weights)
        union = _indices(weights.problem.choices.space)
        self._spaces = [(Choices(space), _places(space, union)) for space in spaces]

    def paths(self, index: int) -> list[Choice]:
        """The path of a step."""
        choices, places = self._spaces[index % len(self._spaces)]
        drawn = choices.draw(stream(self.weights.problem.seed, "supernet path", index))
        return [tuple(row[k] for row, k in zip(places, drawn, strict=True))]


def check_families(spaces: Sequence[Space]) -> None:
    """Refuses spaces that no single supernet can hold.

    Raises:
        EvaluationError: their cells are of different families.
    """
    first = spaces[0]
    for space in spaces[1:]:
        if space.kind != first.kind:
            problem = f"cells of {first.name} are {first.kind}, those of {space.name} {space.kind}"
            raise EvaluationError(
                f"{problem}; a supernet needs one family; use the evaluator train"
            )


def union_of(spaces: Sequence[Space]) -> Space:
    """One space with the cells of all spaces, each function once per layer.

    Raises:
        EvaluationError: the spaces stand on different skeletons, or differ in their cells' family.
    """
    check_families(spaces)
    first = spaces[0]
    for space in spaces[1:]:
        if skeleton_key(space.skeleton) != skeleton_key(first.skeleton):
            problem = f"the skeletons of {first.name} and {space.name} differ"
            raise EvaluationError(
                f"{problem}; a supernet needs one skeleton; use the evaluator train"
            )
    layers = []
    for index, layer in enumerate(first.layers):
        cells = {
            key: each.cell
            for same in (space.layers[index] for space in spaces)
            for key, each in zip(same.keys, same.candidates, strict=True)
        }
        offered = (Candidate(f"c{number}", cell) for number, cell in enumerate(cells.values()))
        layers.append(Layer(layer.shape, tuple(offered)))
    names = {name: None for space in spaces for name in space.operations}
    return replace(
        first,
        operations=tuple(names),
        layers=tuple(layers),
        reference={},
        budget=Budget(),
        provenance={},
    )


def to_trained_stage(supernet: Supernet, config: EvaluatorConfig) -> None:
    """Says of weights that were read which stage of precision they were trained in."""
    in_stage(supernet, config.precision_stage or FIRST)


def train_supernet(
    spaces: Sequence[Space],
    images: Images,
    config: EvaluatorConfig,
    seed: int,
    tick: Tick = no_tick,
) -> Supernet:
    """A supernet over the union of the spaces, one path per step, from scratch.

    Raises:
        EvaluationError: a stage of precision is set, but no operation is binary.
    """
    if config.precision_stage is not None and not FAMILIES[spaces[0].kind].binary:
        why = "but no operation is binary; allowed: leave it out"
        raise EvaluationError(f"evaluator.precision_stage: {config.precision_stage}, {why}")
    settings = SupernetConfig(
        steps=config.steps,
        batch=config.batch,
        learning_rate=config.learning_rate,
        weight_decay=config.weight_decay,
        recalibration=config.recalibration,
        precision_stage=config.precision_stage,
    )
    problem = Problem(Choices(union_of(spaces)), images, settings, MagicConfig(), seed)
    task, execution = Classification(config.label_smoothing), execution_of(config, images.device)
    weights = SharedWeights(problem, task=task, execution=execution)
    training = InTurn(weights, spaces)
    batches = images.batches(config.batch, derived_seed(seed, "supernet"))
    for step in range(config.steps):
        losses = [weights.loss_of(path) for path in training.paths(step)]
        weights.step(step, losses, batch=batches.batch(step))
        tick(step + 1, config.steps)
    return weights.supernet


def _places(space: Space, union: list[dict[str, int]]) -> list[Choice]:
    """Per layer of a space, the indices of its candidates in the union."""
    return [
        tuple(known[key] for key in layer.keys)
        for layer, known in zip(space.layers, union, strict=True)
    ]


def _indices(space: Space) -> list[dict[str, int]]:
    return [{key: number for number, key in enumerate(layer.keys)} for layer in space.layers]
