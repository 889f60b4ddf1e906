"""A whole training of a language model: text, network, epochs and one test; resumable."""

import json
import math
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from importlib import metadata
from typing import Final

import torch

from autospace.compute.device import resolve_device
from autospace.compute.ranks import ALONE, Ranks
from autospace.data.errors import DataError
from autospace.data.examples import DataSet
from autospace.networks.weights import save_weights
from autospace.progress import Observer, Planned
from autospace.runs.errors import ConfigError
from autospace.spaces.sequence import sequence
from autospace.spaces.space import Architecture
from autospace.spaces.text import human
from autospace.text.corpus import Corpus, load_text
from autospace.text.folder import (
    TextDataDocument,
    TextEpochDocument,
    TextFolder,
    TextResult,
    load_text_session,
    save_text_session,
)
from autospace.text.session import TextSession
from autospace.text.settings import TextTrainConfig
from autospace.text.source import FORM, is_text
from autospace.training.folder import WEIGHTS
from autospace.training.full import SECONDS_BETWEEN_CHECKPOINTS, EpochEvent
from autospace.training.short import Measured
from autospace.training.task import bits_per_character, perplexity

PARTS: Final = 1000
"""Parts of an epoch that progress is shown in: the number of its segments may vary."""


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
    with folder.locked():
        if folder.finished:
            ranks.told(None)
            return folder.load_result()
        folder.check_unchanged()
        try:
            if ranks.count > 1:
                problem = f"{ranks.count} processes, but one trains a language model"
                raise ConfigError(f"torchrun: {problem}; allowed: autospace train alone")
            given = architecture or folder.architecture
            chosen = resolve_device(device or folder.config.device)
            corpus = _text(folder.config, given, images)
            own = fitted(given, corpus)
        except BaseException:
            folder.abandon()
            raise
        folder.settle(own, f"{corpus.digest}-{corpus.source.bptt}")
        folder.save_data(corpus.record)
        for line in corpus.lines:
            observer.message(line)
        session = TextSession(own, corpus, folder.config, chosen)
        if folder.session.exists():
            load_text_session(folder.session, session)
        folder.mend_log(session.history)
        if not session.steps:
            observer.planned(_plan(session, own))
        _train(session, folder, observer)
        return _finish(session, own, folder)


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
        f"plan: {config.epochs:,} epochs of {about}{steps:,} steps of {columns} x {length} tokens",
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


def _train(session: TextSession, folder: TextFolder, observer: Observer) -> None:
    epochs = session.config.training.epochs
    tokens = session.segments.columns * sum(length for _, length in session.pass_of)
    saved = started = time.monotonic()
    while session.epoch < epochs:
        session.advance()
        late = time.monotonic() - saved > SECONDS_BETWEEN_CHECKPOINTS
        if session.number == len(session.pass_of):
            record = session.close_epoch()
            seconds, started = time.monotonic() - started, time.monotonic()
            folder.log(record, seconds, tokens)
            late = late or session.epoch == epochs
            with _saved_if_stopped(folder, session):
                observer.event(TextEpochEvent(seconds, record, epochs, folder.path))
        if late:
            save_text_session(folder.session, session)
            saved = time.monotonic()
        with _saved_if_stopped(folder, session):
            observer.tick("train", round(PARTS * epochs * session.done), PARTS * epochs)


@contextmanager
def _saved_if_stopped(folder: TextFolder, session: TextSession) -> Iterator[None]:
    """Saves the session if the observer raises."""
    try:
        yield
    except BaseException:
        save_text_session(folder.session, session)
        raise


def _finish(session: TextSession, architecture: Architecture, folder: TextFolder) -> TextResult:
    """Looks at the test text, for the first and only time, and writes weights and result."""
    tested = session.tested()
    result = _result(session, architecture, tested)
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
    config, corpus, kept = session.config, session.corpus, session.kept
    loss = 0.0 if kept is None or kept.validation_loss is None else kept.validation_loss
    recipe = config.model_dump(mode="json", exclude={"seed", "device", "architecture"})
    # Where the text lies belongs to a machine, not to the result.
    recipe["data"]["source"] = replace(corpus.source, path=None).text
    versions = {name: metadata.version(name) for name in ("autospace", "torch", "numpy")}
    sizes = {name: len(split) for name, split in corpus.splits.items()}
    test = corpus.test
    return TextResult(
        architecture=config.architecture,
        choices=architecture.choices,
        madds=architecture.cost.madds,
        params=architecture.cost.params,
        test_accuracy=tested.accuracy,
        test_loss=tested.loss,
        test_perplexity=perplexity(tested.loss),
        test_bits_per_character=bits_per_character(tested.loss, len(test), test.characters),
        validation_loss=loss,
        validation_perplexity=perplexity(loss),
        kept_epoch=kept.epoch if kept else 0,
        averaged=bool(kept and kept.averaged),
        epochs=len(session.history),
        steps=session.steps,
        measured=tested.images,
        seed=config.seed,
        device=session.device.type,
        data=TextDataDocument(
            name=corpus.name,
            sha256=corpus.digest,
            tokens=corpus.source.tokens,
            vocabulary=len(corpus.vocabulary),
            **sizes,
        ),
        recipe=recipe,
        curve=[TextEpochDocument(**asdict(each)) for each in session.history],
        versions={**versions, "python": ".".join(map(str, sys.version_info[:3]))},
    )
