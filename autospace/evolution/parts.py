"""The data of a run: one part trains cells, and on another their fitness is measured.

The test split is not touched. What a run has to know of its data is here: images, sentences, text,
images with captions.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final, Protocol

import torch

from autospace.captions.corpus import CaptionSplit
from autospace.captions.passages import CaptionBatches, Captioned
from autospace.data.batches import Augment, Batches, BatchSource, Normaliser
from autospace.data.examples import DataSet, Examples
from autospace.data.images import measured_at_once
from autospace.data.splits import few_measured
from autospace.data.summary import lines_of, noun_of, record, warnings_of
from autospace.evolution.folder import ReferenceDocument
from autospace.evolution.reference import measured, measured_captions, measured_tokens
from autospace.evolution.settings import Config
from autospace.seeds import derived_seed
from autospace.spaces.checks import MAX_ENTRIES
from autospace.text.corpus import Corpus
from autospace.text.passages import COLUMNS
from autospace.text.segments import Segments

VALIDATION_BATCH_FACTOR: Final = 2
RunBatches = tuple[BatchSource, BatchSource, BatchSource]
"""Batches that train candidates, that fitness is measured on, and that warm up the reference."""


class Parts(Protocol):
    """The data of a run."""

    @property
    def unit(self) -> str:
        """What is counted, in the plural."""
        ...

    @property
    def row(self) -> int:
        """How many of them a row of a batch holds: 1 image, or the tokens of a segment."""
        ...

    @property
    def name(self) -> str:
        """What the data are called, wherever they lie."""
        ...

    @property
    def digest(self) -> str:
        """Of everything in the data that the result depends on."""
        ...

    @property
    def record(self) -> dict[str, Any]:
        """What was read, as values that JSON can hold."""
        ...

    @property
    def origin(self) -> dict[str, Any]:
        """What a learned space says of its data."""
        ...

    @property
    def lines(self) -> Sequence[str]:
        """What was read, for people."""
        ...

    @property
    def notes(self) -> tuple[str, ...]:
        """Remarks on how far the result can be trusted; the space keeps them."""
        ...

    @property
    def warnings(self) -> tuple[str, ...]:
        """Why the run is hopeless, as far as the data show; the space keeps them, too."""
        ...

    @property
    def sizes(self) -> tuple[int, int]:
        """How many units train cells, and how many measure their fitness."""
        ...

    def batches(self, config: Config, device: torch.device) -> RunBatches:
        """The batches of a run."""
        ...

    def measured(self, network: Any, seed: int, device: torch.device) -> ReferenceDocument:
        """How good the trained reference network is, which is left in evaluation mode."""
        ...


@dataclass(frozen=True)
class ImageParts:
    """The train split of a data set of images or sentences, divided in two.

    Attributes:
        weights: the part that trains cells.
        fitness: the part that their fitness is measured on.
    """

    data: DataSet
    weights: Examples
    fitness: Examples

    @property
    def unit(self) -> str:
        """Images, or sentences."""
        return noun_of(self.data)

    @property
    def row(self) -> int:
        """1."""
        return 1

    @property
    def name(self) -> str:
        """That of the data set."""
        return self.data.name

    @property
    def digest(self) -> str:
        """Of the images."""
        return self.data.digest

    @property
    def record(self) -> dict[str, Any]:
        """What was read of the images."""
        return record(self.data)

    @property
    def origin(self) -> dict[str, Any]:
        """Name, digest and classes; of sentences, also their length and vocabulary.

        More classes than a list of a space may hold are left out.
        """
        data = self.data
        names = {"classes": list(data.classes)} if len(data.classes) <= MAX_ENTRIES else {}
        found = {"name": self.name, "sha256": self.digest, **names}
        if not data.vocabulary:
            return found
        kinds = {"tokens": data.reading.tokens, "vocabulary": len(data.vocabulary)}
        return {**found, "length": data.train.shape[0], **kinds}

    @property
    def lines(self) -> Sequence[str]:
        """What was read, for people."""
        return lines_of(self.data)

    @property
    def notes(self) -> tuple[str, ...]:
        """A remark, if fitness is measured on few images."""
        return few_measured("fitness is measured", len(self.fitness), self.unit)

    @property
    def warnings(self) -> tuple[str, ...]:
        """What makes the images hopeless."""
        return warnings_of(self.data)

    @property
    def sizes(self) -> tuple[int, int]:
        """Images of both parts."""
        return len(self.weights), len(self.fitness)

    @property
    def normaliser(self) -> Normaliser:
        """Of the part that trains cells."""
        return Normaliser.from_examples(self.weights)

    def batches(self, config: Config, device: torch.device) -> RunBatches:
        """The batches of a run; those that train are augmented."""
        norm = self.normaliser
        augment = Augment(config.data.crop, config.data.flip, config.data.cutout)

        def seed(name: str) -> int:
            return derived_seed(config.seed, "batches", name)

        batch = config.scoring.batch
        judged = VALIDATION_BATCH_FACTOR * batch
        return (
            Batches(self.weights, batch, seed("train"), device, norm, augment),
            Batches(self.fitness, judged, seed("validate"), device, norm),
            Batches(self.weights, config.warm_up.batch, seed("warm-up"), device, norm, augment),
        )

    def measured(self, network: Any, seed: int, device: torch.device) -> ReferenceDocument:
        """The accuracy of the reference on the images that fitness is measured on."""
        found = measured(network, self.fitness, self.normaliser, seed, device)
        return found if self.unit == "images" else found.model_copy(update={"unit": self.unit})


@dataclass(frozen=True)
class CaptionParts:
    """The train and the validation split of images with captions."""

    halves: Captioned

    @property
    def unit(self) -> str:
        """Images."""
        return "images"

    @property
    def row(self) -> int:
        """Tokens of a caption: each is a step of the cells."""
        return self.halves.data.length

    @property
    def name(self) -> str:
        """That of the data."""
        return self.halves.name

    @property
    def digest(self) -> str:
        """Of images and captions."""
        return self.halves.digest

    @property
    def record(self) -> dict[str, Any]:
        """What was read of the images and captions."""
        return self.halves.record

    @property
    def origin(self) -> dict[str, Any]:
        """Name, digest, and what captions are made of."""
        data = self.halves.data
        kinds = {"length": data.length, "vocabulary": len(data.vocabulary)}
        return {"name": self.name, "sha256": self.digest, **kinds}

    @property
    def lines(self) -> Sequence[str]:
        """What was read, for people."""
        return self.halves.data.lines

    @property
    def notes(self) -> tuple[str, ...]:
        """A remark, if fitness is measured on few images."""
        return few_measured("fitness is measured", len(self.halves.measured))

    @property
    def warnings(self) -> tuple[str, ...]:
        """None."""
        return ()

    @property
    def sizes(self) -> tuple[int, int]:
        """Images of both parts."""
        return len(self.halves.training), len(self.halves.measured)

    def batches(self, config: Config, device: torch.device) -> RunBatches:
        """The batches of a run; a caption that is learned is drawn from those of its image."""
        halves, batch = self.halves, config.scoring.batch

        def drawn(split: CaptionSplit, size: int, name: str) -> CaptionBatches:
            augment = None if name == "validate" else halves.augment
            seed = derived_seed(config.seed, "batches", name)
            return CaptionBatches(split, size, seed, device, halves.normaliser, augment=augment)

        return (
            drawn(halves.training, batch, "train"),
            drawn(halves.measured, VALIDATION_BATCH_FACTOR * batch, "validate"),
            drawn(halves.training, config.warm_up.batch, "warm-up"),
        )

    def measured(self, network: Any, seed: int, device: torch.device) -> ReferenceDocument:
        """How often the reference holds the token that follows the most probable one."""
        halves = self.halves
        size = measured_at_once(halves.measured.images)
        judged = CaptionBatches(halves.measured, size, 0, device, halves.normaliser)
        return measured_captions(network, judged)


@dataclass(frozen=True)
class TextParts:
    """The train and the validation text of a corpus."""

    corpus: Corpus

    @property
    def unit(self) -> str:
        """Tokens."""
        return "tokens"

    @property
    def row(self) -> int:
        """Tokens of a segment."""
        return self.corpus.source.bptt

    @property
    def name(self) -> str:
        """That of the text."""
        return self.corpus.name

    @property
    def digest(self) -> str:
        """Of the text, and of how it is cut."""
        return f"{self.corpus.digest}-{self.corpus.source.bptt}"

    @property
    def record(self) -> dict[str, Any]:
        """What was read of the text."""
        return self.corpus.record

    @property
    def origin(self) -> dict[str, Any]:
        """Name, digest and vocabulary."""
        corpus = self.corpus
        kinds = {"tokens": corpus.source.tokens, "vocabulary": len(corpus.vocabulary)}
        return {"name": self.name, "sha256": corpus.digest, "bptt": corpus.source.bptt, **kinds}

    @property
    def lines(self) -> Sequence[str]:
        """What was read, for people."""
        return self.corpus.lines

    @property
    def notes(self) -> tuple[str, ...]:
        """A remark, if fitness is measured on few tokens; those of the corpus are lines."""
        return few_measured("fitness is measured", len(self.corpus.validation), self.unit)

    @property
    def warnings(self) -> tuple[str, ...]:
        """None."""
        return ()

    @property
    def sizes(self) -> tuple[int, int]:
        """Tokens of both parts."""
        return len(self.corpus.train), len(self.corpus.validation)

    def batches(self, config: Config, device: torch.device) -> RunBatches:
        """Segments in columns: `scoring.batch` or `warm_up.batch` of them.

        Cells are trained from the beginning of a segment with the state of the one before.
        """
        train, validation = self.corpus.train.tokens, self.corpus.validation.tokens
        length = self.corpus.source.bptt
        # Few columns where there is little text, so that there are several segments.
        columns = max(1, min(config.scoring.batch, len(validation) // (4 * (length + 1))))
        return (
            Segments(train, config.scoring.batch, length, device),
            Segments(validation, columns, length, device, alone=True),
            Segments(train, config.warm_up.batch, length, device),
        )

    def measured(self, network: Any, seed: int, device: torch.device) -> ReferenceDocument:
        """How often the reference holds the token that follows the most probable one."""
        return measured_tokens(network, self.judged(device), self.corpus.validation.tokens)

    def judged(self, device: torch.device) -> Segments:
        """All of the validation text, with the state carried on."""
        tokens, length = self.corpus.validation.tokens, self.corpus.source.bptt
        return Segments(tokens, COLUMNS, length, device)
