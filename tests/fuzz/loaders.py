"""Every file that the program reads: a sound one, and the function that reads it.

A loader gets a folder of its own, writes a sound file there, and returns its path and the function
that reads it. The path is damaged afterwards, again and again.
"""

import json
import random
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any, Final, NamedTuple

import numpy as np
import torch
from torch import nn

from autospace.bench.document import read_bench
from autospace.bench.document import to_json as bench_json
from autospace.comparison.document import read_comparison
from autospace.comparison.folder import ComparisonFolder
from autospace.comparison.settings import CompareConfig
from autospace.data.load import load_data
from autospace.data.readers.arrays import save_images
from autospace.data.readers.image_folder import read_cache, write_cache
from autospace.evaluators.evaluate import EvaluationCache
from autospace.evaluators.evaluator import Evaluation, EvaluationRequest
from autospace.evaluators.tabular import read_table as read_scores
from autospace.evolution.folder import RunFolder
from autospace.evolution.reference import warm_up
from autospace.evolution.settings import Config, WarmUpConfig
from autospace.importers.formats import FORMATS, import_text
from autospace.importers.target import Target
from autospace.latency.table import read_table, to_csv
from autospace.latency.table import to_json as latency_json
from autospace.networks.network import Network
from autospace.networks.weights import load_weights, save_weights
from autospace.report.record import read_run
from autospace.runs.errors import CheckpointError
from autospace.runs.folder import Document, Folder
from autospace.runs.images import image_lines
from autospace.runs.settings import make_settings, read_config, to_toml
from autospace.runs.state import Stateful, restore_from, save_state
from autospace.searchers.folder import RankedDocument, SearchFolder, SearchResult, TrajectoryPoint
from autospace.searchers.settings import SearchConfig
from autospace.spaces import load_architecture, to_json
from autospace.spaces.files.codec import read
from autospace.spaces.files.library import load_skeleton
from autospace.spaces.files.reading import read_text
from autospace.training.folder import (
    TrainingDataDocument,
    TrainingFolder,
    TrainingResult,
    load_session,
    save_session,
)
from autospace.training.settings import TrainConfig
from tests.bench.documents import document as bench_document
from tests.bench.documents import entry
from tests.data.test_cifar import Content, save_archive
from tests.data.test_idx import save as save_idx
from tests.evaluators.test_tabular import document as table_document
from tests.evolution.runs import SKELETON as TOML
from tests.fuzz import mutations
from tests.importers.test_hostile import GOOD, LINES, SPACE, WINNER
from tests.latency.tables import table_for
from tests.report.samples import comparison, write_run
from tests.tiny import SKELETON, finish, plan
from tests.training.test_session import session as training_session

Load = Callable[[], object]
Damage = Callable[[bytes, int, int], Iterator[bytes]]


class Loader(NamedTuple):
    """A reader of files.

    Attributes:
        prepare: writes a sound file into a folder; returns its path and what reads it.
        damage: how to damage it.
        named: whether errors name the file.
        believed: False if a file that was changed in any way is refused, or gives the sound value.
        silent: whether a damaged file is no error, but the same as none.
    """

    prepare: Callable[[Path], tuple[Path, Load]]
    damage: Damage = mutations.damaged
    named: bool = True
    believed: bool = True
    silent: bool = False


def _text(name: str, text: str, load: Callable[[Path], object]) -> Loader:
    def prepare(folder: Path) -> tuple[Path, Load]:
        path = folder / name
        path.write_text(text, encoding="utf-8")
        return path, partial(load, path)

    return Loader(prepare)


def _settings(kind: Any, command: str, **given: Any) -> Loader:
    text = f'command = "{command}"\n{to_toml(kind.model_validate(given))}'

    def load(path: Path) -> object:
        return make_settings(kind, read_config(path, command), path=path)

    return _text("config.toml", text, load)


def _begun(folder: Path) -> tuple[Path, Load]:
    """The record of how a search began; the settings are those of the search."""
    run = _searching(folder)
    run.settle(SPACE, "digest")
    return run.checkpoint / "began.json", lambda: SearchFolder.open(folder).settle(SPACE, "digest")


def _given(folder: Path) -> tuple[Path, Load]:
    run = _searching(folder)
    return run.given, lambda: SearchFolder.open(folder).space


def _searching(folder: Path) -> SearchFolder:
    config = SearchConfig.model_validate({"method": "random"})
    return SearchFolder.create(folder, config, given=to_json(SPACE))


def _read_data(folder: Path) -> tuple[Path, Load]:
    run = _searching(folder)
    run.save_data({"lines": ["3 classes", "60 images"]})
    return folder / "data.json", partial(image_lines, run.path)


def _state(folder: Path) -> tuple[Path, Load]:
    write_run(folder, rounds=2)
    return folder / "checkpoint" / "state.json", lambda: RunFolder(folder).load_state(SKELETON)


def _log(folder: Path) -> tuple[Path, Load]:
    write_run(folder, rounds=2)
    return folder / "events.jsonl", lambda: len(read_run(folder).log)


def _scored(folder: Path) -> tuple[Path, Load]:
    """The log, for a run that cannot do without its cells."""
    write_run(folder, rounds=2)
    return folder / "events.jsonl", lambda: RunFolder(folder).scored_cells(2, SKELETON)


def _result(
    kind: type[Folder[Any]], config: Any, result: Document
) -> Callable[[Path], tuple[Path, Load]]:
    def prepare(folder: Path) -> tuple[Path, Load]:
        run: Any = kind.create(folder, config)
        run.save_result(result)
        return folder / run.results[-1], run.load_result

    return prepare


def _search_result() -> SearchResult:
    ranked = RankedDocument(
        architecture=dict(WINNER),
        score=0.5,
        predicted_accuracy=None,
        accuracy=0.5,
        madds=10,
        params=5,
    )
    point = TrajectoryPoint(step=1, evaluations=1, seconds=0.5, score=0.5, accuracy=None)
    return SearchResult(
        method="random",
        space="some",
        best=dict(WINNER),
        accuracy=0.5,
        madds=10,
        params=5,
        evaluations=1,
        seconds=1.0,
        memory_mb=100,
        trajectory=[point],
        finalists=[ranked],
        ranked=[ranked],
        interference=[],
        details={"rate": 0.5},
        config=SearchConfig(),
        versions={"torch": "2"},
    )


def _training_result() -> TrainingResult:
    return TrainingResult(
        architecture="some",
        choices=dict(WINNER),
        madds=10,
        params=5,
        test_accuracy=0.5,
        test_loss=1.0,
        validation_accuracy=None,
        validation_loss=None,
        kept_epoch=1,
        epochs=1,
        steps=10,
        seed=0,
        device="cpu",
        data=TrainingDataDocument(
            name="digits", sha256="0", classes=["a", "b"], train=9, validation=0, test=2
        ),
        recipe={"epochs": 1},
        curve=[],
        versions={},
    )


def _cached(folder: Path) -> tuple[Path, Load]:
    cache = EvaluationCache(folder, {"steps": 3})
    cache.open()
    network = SPACE.sample(random.Random(0))
    task = EvaluationRequest(network, 1)
    cache.put(task, Evaluation(0.75, 1.5))
    (path,) = folder.iterdir()
    return path, lambda: cache.get(task)


class _Work(Stateful):
    """Something of every kind that a state holds."""

    remembered = ("layer", "optimizer", "known", "best", "log")

    def __init__(self) -> None:
        torch.manual_seed(0)
        self.layer = nn.Linear(3, 2)
        self.optimizer = torch.optim.SGD(self.layer.parameters(), 0.1, momentum=0.9)
        self.known = {(0, 1): 0.5, (1, 1): 0.75}
        self.best: tuple[int, ...] | None = (1, 1)
        self.log = [1.0, 2.0]

    def value(self) -> object:
        layer = {name: each.tolist() for name, each in self.layer.state_dict().items()}
        return layer, self.known, self.best, self.log


def _checkpoint(folder: Path) -> tuple[Path, Load]:
    path, work = folder / "search.safetensors", _Work()
    work.optimizer.zero_grad()
    work.layer(torch.ones(1, 3)).sum().backward()
    work.optimizer.step()
    save_state(path, work.state())

    def load() -> object:
        restore_from(path, torch.device("cpu"), work)
        return work.value()

    return path, load


def _session(folder: Path) -> tuple[Path, Load]:
    path, some = folder / "session.safetensors", training_session(folder)
    some.advance()
    save_session(path, some)

    def load() -> object:
        load_session(path, some)
        return some.step

    return path, load


def _reference(folder: Path) -> tuple[Path, Load]:
    """The warm-up of a reference network that has done all its steps."""
    path = folder / "reference.safetensors"
    network = Network(SKELETON, [plan().references[0][1]] * 2)
    options = WarmUpConfig(steps=1, batch=2)

    class Batches:
        def batch(self, step: int) -> tuple[torch.Tensor, torch.Tensor]:
            del step
            return torch.zeros(2, 1, 8, 8), torch.tensor([0, 1])

    def load() -> object:
        # A file that is not there would be trained anew.
        if not path.is_file():
            raise CheckpointError(f"{path}: not there")
        warm_up(network, Batches(), options, folder, lambda done, total: None)
        return [each.sum().item() for each in network.state_dict().values()]

    warm_up(network, Batches(), options, folder, lambda done, total: None)
    return path, load


def _weights(folder: Path) -> tuple[Path, Load]:
    path = folder / "model.safetensors"
    architecture = finish_space().sample(random.Random(0))
    save_weights(path, Network(architecture.skeleton, architecture.cells), architecture)
    return path, lambda: load_weights(path)[0]


def finish_space() -> Any:
    from autospace.evolution.loop import learned_space
    from autospace.spaces import Budget

    some = plan()
    return learned_space(some, finish(some), name="learned@tiny", budget=Budget(), provenance={})


def _of_client(name: str, text: str, trial: str | None = None) -> Loader:
    needs_space = FORMATS[name].needs == "space"
    target = Target(space=SPACE if needs_space else None, trial=trial, note=lambda _: None)

    def load(path: Path) -> object:
        return import_text(name, read_text(path), target)

    return _text(f"{name}.txt", text, load)._replace(named=False)


def _of_clients() -> Iterator[tuple[str, Loader]]:
    for name in FORMATS:
        text = LINES[name] if name in LINES else json.dumps(GOOD[name])
        yield f"import {name}", _of_client(name, text)
    rows = [{**WINNER, "value": each} for each in (0.25, 0.75)]
    columns = list(rows[0])
    table = [",".join(columns), *(",".join(str(row[key]) for key in columns) for row in rows)]
    yield "import optuna as CSV", _of_client("optuna", "\n".join(table) + "\n", "max")
    lines = (
        "\n".join(json.dumps({"config": row, "reward": index}) for index, row in enumerate(rows))
        + "\n"
    )
    yield "import ray as JSON lines", _of_client("ray", lines)
    yaml = "config:\n" + "".join(f"  {key}: {value}\n" for key, value in WINNER.items())
    yield "import configspace as YAML", _of_client("configspace", yaml)
    yield "import optuna as Python", _of_client("optuna", repr({"params": dict(WINNER)}))


def _flat(path: Path) -> object:
    return load_architecture(path, SPACE)


def _spaces(folder: Path) -> tuple[Path, Load]:
    config = CompareConfig.model_validate({"spaces": ["a", "b"]})
    run = ComparisonFolder.create(folder, config)
    run.settle([SPACE, SPACE], "digest")
    return run.checkpoint / "space_00.json", run.spaces


def _images(name: str, path: Path) -> object:
    found = load_data(f"{name}:{path}", resolution=4)
    return found.digest, found.classes


def _npz(folder: Path) -> tuple[Path, Load]:
    path = folder / "set.npz"
    images = np.random.default_rng(0).integers(0, 256, (6, 5, 5), dtype=np.uint8)
    labels = np.arange(6) % 2
    np.savez(path, x_train=images, y_train=labels, x_test=images[:2], y_test=labels[:2])
    return path, partial(_images, "npz", path)


def _idx(folder: Path) -> tuple[Path, Load]:
    save_idx(folder)
    path = folder / "train-images-idx3-ubyte"
    assert path.is_file()
    return path, partial(_images, "idx", folder)


def _cifar(folder: Path) -> tuple[Path, Load]:
    """A batch in a folder of the python layout."""
    for name, content in Content().py2().items():
        (folder / name).write_bytes(content)
    return folder / "data_batch_2", partial(_images, "cifar10", folder)


def _cifar_archive(folder: Path) -> tuple[Path, Load]:
    path = save_archive(folder / "c.tar.gz", Content().binary())
    return path, partial(_images, "cifar10", path)


def _passed(folder: Path) -> tuple[Path, Load]:
    """Images that a program passed, as workers get them."""
    path = folder / "images.safetensors"
    save_images(path, load_data("synthetic:classes=2,train=4,test=2", resolution=4))
    return path, partial(_images, "python", path)


def _decoded(folder: Path) -> tuple[Path, Load]:
    """The cache of decoded images, whose content has to have its digest."""
    some = load_data("synthetic:classes=2,train=4,test=2", resolution=4)
    write_cache(folder, "key", some)
    (path,) = folder.iterdir()

    def load() -> object:
        found = read_cache(folder, "key", some.name)
        if found is not None and found.digest != some.digest:
            raise ValueError("believed")
        return None if found is None else found.digest

    return path, load


_ARCHITECTURE: Final = to_json(SPACE.sample(random.Random(0)))
LOADERS: Final[dict[str, Loader]] = {
    "space": _text("space.json", to_json(finish_space()), read),
    "architecture": _text("architecture.json", _ARCHITECTURE, read),
    "skeleton": _text("skeleton.json", to_json(SKELETON), read),
    "skeleton as TOML": _text("skeleton.toml", TOML, read),
    "skeleton by name": _text("skeleton.toml", TOML, lambda path: load_skeleton(str(path))),
    "choices": _text("choices.json", json.dumps(dict(WINNER)), _flat),
    "settings of evolve": _settings(Config, "evolve"),
    "settings of search": _settings(SearchConfig, "search"),
    "settings of train": _settings(TrainConfig, "train"),
    "settings of compare": _settings(CompareConfig, "compare", spaces=["a", "b"]),
    "table": _text("table.json", json.dumps(table_document()), lambda p: read_scores(str(p))),
    "latency": _text("latency.json", latency_json(table_for(SKELETON)), read_table),
    "latency as CSV": _text("latency.csv", to_csv(table_for(SKELETON)), read_table),
    "bench": _text("bench.json", bench_json(bench_document(entry())), read_bench),
    "comparison": _text("comparison.json", json.dumps(comparison()), read_comparison),
    "spaces of a comparison": Loader(_spaces),
    "result of a search": Loader(_result(SearchFolder, SearchConfig(), _search_result())),
    "result of a training": Loader(_result(TrainingFolder, TrainConfig(), _training_result())),
    "began": Loader(_begun, believed=False),
    "began, sealed anew": Loader(_begun, mutations.resealed, named=False),
    "given": Loader(_given),
    "data": Loader(_read_data, silent=True),
    "state": Loader(_state, believed=False),
    "state, sealed anew": Loader(_state, mutations.resealed),
    "log": Loader(_log, silent=True),
    "log with cells": Loader(_scored),
    "evaluation": Loader(_cached, silent=True),
    "state of a search": Loader(_checkpoint, mutations.safetensors, believed=False),
    "state of a training": Loader(_session, mutations.safetensors, believed=False),
    "reference network": Loader(_reference, mutations.safetensors, believed=False),
    "weights": Loader(_weights, mutations.safetensors),
    "npz": Loader(_npz),
    "idx": Loader(_idx),
    "cifar batch": Loader(_cifar),
    "cifar archive": Loader(_cifar_archive),
    "images of a program": Loader(_passed, mutations.safetensors),
    "cached images": Loader(_decoded, mutations.safetensors, silent=True),
    **dict(_of_clients()),
}
