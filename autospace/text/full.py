"""A whole training of a language model."""

import json
import math
import sys
from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import asdict, dataclass, replace
from typing import Any, ClassVar

import torch

from autospace.compute.device import resolve_device, threads, threads_for
from autospace.compute.ranks import ALONE, Ranks
from autospace.data.errors import DataError
from autospace.data.examples import DataSet
from autospace.networks.weights import save_weights
from autospace.progress import Message, Observer, Planned
from autospace.runs.errors import ConfigError
from autospace.spaces.sequence import sequence
from autospace.spaces.space import Architecture
from autospace.spaces.text import human, plural
from autospace.text.corpus import Corpus, load_text
from autospace.text.folder import TextDataDocument, TextEpochDocument, TextFolder, TextResult
from autospace.text.session import TextSession
from autospace.text.settings import TextTrainConfig
from autospace.text.source import FORM, is_text
from autospace.training.folder import WEIGHTS
from autospace.training.life import EpochEvent, described, live
from autospace.training.short import Measured
from autospace.training.task import bits_per_character, perplexity


@dataclass(frozen=True)
class TextEpochEvent(EpochEvent):
    """An epoch of a language model is complete and logged."""

    @property
    def measured(self) -> str:
        """The perplexity, for people."""
        return f"validation perplexity {perplexity(self.epoch.validation_loss or 0.0):.2f}"

    def numbers(self) -> Mapping[str, float]:
        """The curves of the training."""
        found = perplexity(self.epoch.validation_loss or 0.0)
        more = {"perplexity/validation": found} if math.isfinite(found) else {}
        return {**super().numbers(), **more}


@dataclass(frozen=True)
class PreparedText:
    """Everything that the training of a language model needs before it begins."""

    config: TextTrainConfig
    architecture: Architecture
    corpus: Corpus
    device: torch.device
    event: ClassVar[type[EpochEvent]] = TextEpochEvent

    @property
    def epochs(self) -> int:
        """The number of all passes."""
        return self.config.training.epochs

    @property
    def digest(self) -> str:
        """Of the text, and of how it is cut."""
        return f"{self.corpus.digest}-{self.corpus.source.bptt}"

    @property
    def data_record(self) -> Mapping[str, Any]:
        """What was read of the text."""
        return self.corpus.record

    def session(self, on_message: Message) -> TextSession:
        """The training before its first step."""
        return TextSession(self.architecture, self.corpus, self.config, self.device)

    def plan(self, session: TextSession) -> Planned:
        """What the training will do."""
        return _plan(session, self.architecture)

    def finish(self, session: TextSession, folder: TextFolder) -> TextResult:
        """Looks at the test text, for the first and only time; writes weights and result."""
        return _finish(session, self.architecture, folder)


def train_language_model(
    folder: TextFolder,
    observer: Observer,
    *,
    architecture: Architecture | None = None,
    device: str | None = None,
    images: DataSet | None = None,
    ranks: Ranks = ALONE,
) -> TextResult:
    """Trains the language model of a folder, from where it stopped, and returns the result.

    A finished training is only read. One that cannot start leaves the folder as it was.

    Args:
        folder: new, or of a training that was stopped.
        observer: receives its progress; nothing is lost if its `tick` raises.
        architecture: what to train, if the training is new.
        device: overrides that of the configuration.
        images: what a program passed; a language model reads none.
        ranks: the processes that train together; a language model is trained by one.

    Raises:
        DataError, SpaceError, ConfigError, RunError: the request is invalid, or the training
            diverged.
        CheckpointError: the folder was damaged.
    """
    scope = ExitStack()

    def begin() -> PreparedText:
        if ranks.count > 1:
            problem = f"{ranks.count} processes, but one trains a language model"
            raise ConfigError(f"torchrun: {problem}; allowed: autospace train alone")
        given = architecture or folder.architecture
        chosen = resolve_device(device or folder.config.device)
        corpus = _text(folder.config, given, images)
        own = fitted(given, corpus)
        for line in corpus.lines:
            observer.message(line)
        skeleton = sequence(own.skeleton, "the data are a text")
        product = skeleton.product(folder.config.training.batch)
        scope.enter_context(threads(threads_for(product)))
        return PreparedText(folder.config, own, corpus, chosen)

    with scope:
        found: TextResult = live(folder, observer, begin, ranks)
    return found


def _text(config: TextTrainConfig, architecture: Architecture, images: DataSet | None) -> Corpus:
    source = config.data.source
    if images is not None or not is_text(source):
        name = architecture.skeleton.name
        raise DataError(f"data: {source[:80]}, but {name} reads text; allowed: {FORM}")
    return load_text(source, config.data.limit)


def fitted(architecture: Architecture, corpus: Corpus) -> Architecture:
    """The same cell on a skeleton that has the vocabulary of a text.

    Raises:
        SpaceError: it reads images.
    """
    skeleton = sequence(architecture.skeleton, "the data are a text")
    return replace(architecture, skeleton=skeleton.for_vocabulary(len(corpus.vocabulary)))


def _plan(session: TextSession, architecture: Architecture) -> Planned:
    """What a training that begins will do."""
    cost, config, corpus = architecture.cost, session.config.training, session.corpus
    tokens = f"{len(corpus.train):,} {corpus.source.tokens}"
    columns, length, steps = session.segments.columns, session.segments.length, len(session.pass_of)
    about = "about " if config.varied else ""
    lines = (
        f"plan: {tokens} train a network of {human(cost.params)} params",
        f"plan: {plural(config.epochs, 'epoch')} of {about}{steps:,} steps of "
        f"{columns} x {length} tokens",
    )
    values = {
        "text": corpus.record,
        "network": {"madds": cost.madds, "params": cost.params},
        "epochs": config.epochs,
        "steps_per_epoch": steps,
        "columns": columns,
        "segment": length,
        "estimate": None,
    }
    return Planned(lines, values)


def _finish(session: TextSession, architecture: Architecture, folder: TextFolder) -> TextResult:
    result = _result(session, architecture, session.tested())
    with torch.no_grad():
        session.network.load_state_dict(session.best, strict=False)
    about = {
        "vocabulary": json.dumps(session.corpus.vocabulary),
        "tokens": session.corpus.source.tokens,
        "data": session.corpus.name,
        "test_perplexity": str(result.test_perplexity),
    }
    save_weights(folder.path / WEIGHTS, session.network, architecture, about)
    folder.save_result(result)
    return result


def _result(session: TextSession, architecture: Architecture, tested: Measured) -> TextResult:
    corpus, kept = session.corpus, session.kept
    loss = 0.0 if kept is None or kept.validation_loss is None else kept.validation_loss
    source = replace(corpus.source, path=None).text
    sizes = {name: len(split) for name, split in corpus.splits.items()}
    found = described(session.config, architecture, session, source)
    # The embedded text belongs to a version of Python.
    found["versions"]["python"] = ".".join(map(str, sys.version_info[:3]))
    return TextResult(
        **found,
        test_accuracy=tested.accuracy,
        test_loss=tested.loss,
        test_perplexity=perplexity(tested.loss),
        test_bits_per_character=bits_per_character(
            tested.loss, len(corpus.test), corpus.test.characters
        ),
        validation_loss=loss,
        validation_perplexity=perplexity(loss),
        kept_epoch=kept.epoch if kept else 0,
        averaged=bool(kept and kept.averaged),
        measured=tested.images,
        data=TextDataDocument(
            name=corpus.name,
            sha256=corpus.digest,
            tokens=corpus.source.tokens,
            vocabulary=len(corpus.vocabulary),
            **sizes,
        ),
        curve=[TextEpochDocument(**asdict(each)) for each in session.history],
    )
