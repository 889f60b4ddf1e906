"""The teacher of a blockwise search: a trained network whose features others imitate.

It is in evaluation mode whenever it gives features, so that these do not depend on the company of
an image in its batch, and its batch-norm statistics do not move.
"""

import hashlib
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch

from autospace.data.batches import Normaliser
from autospace.evaluators.evaluator import EvaluatorConfig, skeleton_key
from autospace.evaluators.stand_alone import execution_of, recipe_of, untrained
from autospace.networks.network import placed
from autospace.networks.weights import NORMALISATION, load_metadata, load_weights
from autospace.runs.errors import FORCE, CheckpointError
from autospace.runs.state import State, Stateful
from autospace.searchers.problem import SearchProblem
from autospace.seeds import derived_seed
from autospace.spaces.cells.family import summable_work
from autospace.spaces.choices import SearchError
from autospace.spaces.errors import AutospaceError
from autospace.spaces.space import Architecture
from autospace.supernets.blocks import Features
from autospace.training.folder import WEIGHTS
from autospace.training.short import make_optimizer, train


class Teacher(Stateful):
    """A network that was trained before, or that is trained in the first steps of the search.

    Attributes:
        name: what it is, for people.
        architecture: of the network.
        steps: training steps that come before its first features.
        digest: SHA-256 of the weights it was given; empty if it is trained here.
    """

    remembered = ("digest", "network", "_optimizer")

    def __init__(
        self, problem: SearchProblem, architecture: Architecture, name: str, steps: int
    ) -> None:
        trial = problem.config.trial
        config = EvaluatorConfig(
            steps=max(1, steps),
            batch=trial.batch,
            learning_rate=trial.learning_rate,
            precision=problem.config.evaluator.precision,
        )
        seed = derived_seed(problem.seed, "teacher") % 2**31
        self.name, self.architecture, self.steps, self.digest = name, architecture, steps, ""
        self.network: Any = untrained(architecture, seed, problem.device)
        self._recipe = recipe_of(config)
        self._execution = execution_of(config, problem.device)
        self._batches = problem.images.batches(config.batch, seed)
        self._optimizer = make_optimizer(self.network, self._recipe)

    def step(self, index: int) -> None:
        """Training step `index` of an evaluation, as of a network that is trained alone."""
        train(
            self.network,
            self._batches,
            self._recipe,
            optimizer=self._optimizer,
            start=index,
            stop=index + 1,
            execution=self._execution,
        )

    @torch.no_grad()
    def features(self, images: torch.Tensor) -> Features:
        """The output of the stem, and that of every layer; from images or sentences."""
        found: Features = self.network.eval().features(images)
        return found

    def restore(self, state: State) -> None:
        """Restores this state.

        Raises:
            CheckpointError: the search began with another teacher.
        """
        if state.plain["digest"] != self.digest:
            raise CheckpointError(
                f"options.teacher: {self.name}: its weights are not those with which the search "
                f"began; allowed: those, or begin again with {FORCE}"
            )
        super().restore(state)


def new_teacher(problem: SearchProblem, steps: int) -> Teacher:
    """The reference of the space, untrained; the most expensive architecture if there is none."""
    space = problem.choices.space
    if space.reference:
        return Teacher(problem, space.architecture(space.reference), "the reference", steps)
    dearest = [
        max(
            zip(layer.costs, layer.candidates, strict=True),
            key=lambda each: summable_work(space.kind, each[0]),
        )[1]
        for layer in space.layers
    ]
    architecture = Architecture(space.skeleton, tuple(dearest))
    return Teacher(problem, architecture, "the most expensive architecture", steps)


def given_teacher(problem: SearchProblem, path: Path) -> tuple[Teacher, SearchProblem]:
    """A network that was trained before, and the problem with images normalised as it saw them.

    Args:
        problem: whose images the features are of.
        path: a file of weights with their architecture, or the folder of a finished training.

    Raises:
        SearchError: there is no such network, or it is for other images.
    """
    file = path / WEIGHTS if path.is_dir() else path
    try:
        architecture, weights = load_weights(file)
        metadata = load_metadata(file)
    except AutospaceError as error:
        raise SearchError(f"options.teacher: {error}") from None
    skeleton, own = architecture.skeleton, problem.choices.space.skeleton
    if "sentences" in (skeleton.reads, own.reads) and skeleton_key(skeleton) != skeleton_key(own):
        found = f"{skeleton.name} is not {own.name} for the same tokens and classes"
        raise SearchError(f"options.teacher: {file}: {found}; allowed: a network of the space")
    if (skeleton.in_channels, skeleton.resolution) != (own.in_channels, own.resolution):
        found, wanted = (
            f"{each.resolution}x{each.resolution}x{each.in_channels}" for each in (skeleton, own)
        )
        raise SearchError(f"options.teacher: {file}: for {found} images; allowed: {wanted}")
    teacher = Teacher(problem, architecture, path.name, 0)
    teacher.network.load_state_dict(weights)
    placed(teacher.network, problem.device)
    teacher.digest = _digest(weights)
    if NORMALISATION not in metadata:
        return teacher, problem
    images = replace(problem.images, normaliser=_normaliser(file, metadata[NORMALISATION]))
    return teacher, replace(problem, halves=images)


def _normaliser(file: Path, text: str) -> Normaliser:
    try:
        kept = json.loads(text)
        return Normaliser(*(tuple(map(float, kept[name])) for name in ("mean", "std")))
    except (ValueError, TypeError, LookupError):
        problem = f"options.teacher: {file}: {NORMALISATION}: not a mean and std per channel"
        raise SearchError(f"{problem}; allowed: a file of autospace train") from None


def _digest(weights: dict[str, torch.Tensor]) -> str:
    digest = hashlib.sha256()
    for name, value in sorted(weights.items()):
        digest.update(name.encode())
        digest.update(value.contiguous().reshape(-1).view(torch.uint8).numpy().data)
    return digest.hexdigest()
