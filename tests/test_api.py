"""The Python API: values in place of names, resumption, results; and that it is light and typed."""

import json
import subprocess
import sys
import textwrap
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from typer.testing import CliRunner

import autospace
from autospace import api
from autospace.arguments import compare_config, configured, search_config
from autospace.cli.main import app
from autospace.compute.pool import InProcess
from autospace.data.errors import DataError
from autospace.data.examples import DataSet
from autospace.exporters.targets import TARGETS
from autospace.report import report_text
from autospace.runs.errors import ConfigError, RunError
from autospace.searchers.settings import SearchConfig
from autospace.spaces import SpaceError, load, load_architecture, to_json
from autospace.spaces.files.families import family_space
from tests.evolution.runs import SETTINGS as EVOLVE
from tests.searchers.problems import SETTINGS as SEARCH
from tests.searchers.problems import SKELETON
from tests.slow import slowly

LABELS = np.arange(96) % 4
PIXELS = np.random.default_rng(1).integers(0, 256, (96, 8, 8), dtype=np.uint8)
IMAGES = autospace.images((PIXELS, LABELS), name="mine")
OTHERS = autospace.images((255 - PIXELS, LABELS), name="mine")
SPACE = family_space("mbconv", SKELETON)
SHORT: dict[str, Any] = {"sampling": {"samples": 4}, "evaluator": {"steps": 2, "batch": 8}}


# The smallest run, without what is passed as values.
TINY = {
    **{name: section for name, section in EVOLVE.items() if name != "data"},
    "evolution": {**EVOLVE["evolution"], "generations": 1},
}


class StopsAt(autospace.Silent):
    """Stops when a phase begins."""

    def __init__(self, phase: str) -> None:
        self.phase = phase

    def tick(self, phase: str, done: int, total: int) -> None:
        if phase == self.phase:
            raise KeyboardInterrupt


@pytest.fixture(scope="module")
def evolved(tmp_path_factory: pytest.TempPathFactory) -> autospace.Evolved:
    """A run on own images and an own skeleton, stopped and resumed with the same images."""
    folder = tmp_path_factory.mktemp("evolved") / "run"
    with pytest.raises(autospace.RunInterrupted) as caught:
        autospace.evolve(
            IMAGES, skeleton=SKELETON, settings=TINY, out=folder, observer=StopsAt("score")
        )
    assert (caught.value.folder, caught.value.resumable) == (folder, True)
    return autospace.evolve(IMAGES, resume=folder)


def test_a_resumed_run_gives_the_space_of_one_that_was_not_stopped(
    evolved: autospace.Evolved, tmp_path: Path
) -> None:
    plain = json.loads(to_json(SKELETON))
    whole = autospace.evolve((PIXELS, LABELS), skeleton=plain, settings=TINY, out=tmp_path / "run")
    assert [layer.candidates for layer in whole.space.layers] == [
        layer.candidates for layer in evolved.space.layers
    ]
    assert evolved.space.provenance["data"]["name"] == "mine"
    assert evolved.space.provenance["config"]["data"]["source"] == "mine"


def test_the_run_says_that_its_images_came_from_python(evolved: autospace.Evolved) -> None:
    assert 'source = "python"' in (evolved.folder / "config.toml").read_text()
    assert "python" in report_text(evolved.folder)
    images = len(IMAGES.train) // 2
    note, few, learned_nothing = evolved.space.provenance["notes"]
    assert few.startswith("3 of 4 classes have fewer than 20 training images")
    assert learned_nothing.startswith("the reference network learned nothing")
    assert f"fitness is measured on {images} images only" in note
    again = autospace.evolve(resume=evolved.folder)  # finished: read only, so without images
    assert again.space == evolved.space


def test_other_images_and_the_command_line_cannot_resume(tmp_path: Path) -> None:
    run = tmp_path / "run"
    with pytest.raises(autospace.RunInterrupted):
        autospace.evolve(
            IMAGES, skeleton=SKELETON, settings=TINY, out=run, observer=StopsAt("warm-up")
        )
    with pytest.raises(RunError, match="the data has changed since this run began"):
        autospace.evolve(OTHERS, resume=run)
    with pytest.raises(DataError, match="passed from Python"):
        autospace.evolve(resume=run)
    with pytest.raises(ConfigError, match="allowed: the images that were passed"):
        autospace.evolve("digits", resume=run)
    ran = CliRunner().invoke(app, ["evolve", "--resume", str(run), "--progress", "none"])
    assert ran.exit_code == 2
    assert "were passed from Python" in ran.stderr
    assert "resume=FOLDER and data=the same images" in ran.stderr
    assert autospace.evolve(IMAGES, resume=run).space.skeleton.name == SKELETON.name


class AtOnce(autospace.Silent):
    """Stops before the run has begun."""

    def message(self, text: str) -> None:
        raise KeyboardInterrupt


def test_a_run_on_values_leaves_nothing_until_it_has_begun(tmp_path: Path) -> None:
    run = tmp_path / "run"
    calls: list[Callable[[], object]] = [
        lambda: autospace.evolve(
            IMAGES, skeleton=SKELETON, settings=TINY, out=run, observer=AtOnce()
        ),
        lambda: autospace.compare(
            [SPACE, SPACE], "synthetic", settings=SHORT, out=run, observer=StopsAt("data")
        ),
    ]
    for call in calls:
        with pytest.raises(autospace.RunInterrupted) as caught:
            call()
        assert not caught.value.resumable
        assert list(tmp_path.iterdir()) == []


KILLED = """
    import os
    import autospace

    class Killed(autospace.Silent):
        def tick(self, phase, done, total):
            os._exit(0)

    SPACE = autospace.load("mbconv@digits")
    print(autospace.{call}, data="synthetic", out={out!r}, observer=Killed()))
"""


@pytest.mark.parametrize(
    ("call", "value"),
    [
        ("evolve(skeleton=SPACE.skeleton", "skeleton, which was passed from Python"),
        *slowly(("compare([SPACE, SPACE]", "space mbconv@digits, which was passed from Python")),
    ],
)
def test_a_run_that_was_killed_before_it_kept_its_values_says_how_to_go_on(
    tmp_path: Path, call: str, value: str
) -> None:
    command, run = call.partition("(")[0], tmp_path / "run"
    assert _fresh_python(KILLED.format(call=call, out=str(run))) == ""
    expected = (
        f"{run}: was stopped before it had saved its {value}; "
        "start it again with --force (force=True in Python)"
    )
    with pytest.raises(RunError) as caught:
        getattr(autospace, command)(resume=run)
    assert str(caught.value) == expected
    ran = CliRunner().invoke(app, [command, "--resume", str(run), "--progress", "none"])
    assert (ran.exit_code, ran.stderr) == (2, f"error: {expected}\n")


def test_a_new_run_cannot_name_values(tmp_path: Path) -> None:
    with pytest.raises(SpaceError, match="python: unknown skeleton"):
        autospace.evolve("digits", skeleton="python", settings=TINY, out=tmp_path / "run")
    with pytest.raises(SpaceError, match="python:mine"):
        autospace.compare(["python:mine", SPACE], "digits", out=tmp_path / "run")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("workers", [1, *slowly(2)])
def test_spaces_and_images_of_a_comparison_may_be_values(
    evolved: autospace.Evolved, tmp_path: Path, workers: int
) -> None:
    found = autospace.compare(
        [evolved.space, SPACE], IMAGES, settings=SHORT, workers=workers, out=tmp_path / "run"
    )
    means = [list(each.errors) for each in found.comparison.spaces]
    one = autospace.compare([evolved.space, SPACE], IMAGES, settings=SHORT, out=tmp_path / "one")
    assert means == [list(each.errors) for each in one.comparison.spaces]
    assert found.report.is_file()
    measured = found.comparison.data.measured_images
    note = f"errors were measured on {measured} images only"
    assert measured < 100
    assert any(each.startswith(note) for each in found.comparison.notes)
    assert not (found.folder / "checkpoint" / "images.safetensors").exists()
    assert autospace.compare(resume=found.folder).comparison == found.comparison


class Nodes(autospace.Silent):
    """Remembers what nodes have done, and in which phase that was told."""

    def __init__(self) -> None:
        self.told: list[dict[str, int]] = []
        self.phases: list[str] = []

    def nodes(self, done: Mapping[str, int]) -> None:
        self.told.append(dict(done))

    def tick(self, phase: str, done: int, total: int) -> None:
        if self.told and phase not in self.phases:
            self.phases.append(phase)


@pytest.mark.parametrize(
    ("command", "phases"),
    [
        ("evolve", ["warm-up", "score"]),
        ("compare", ["evaluate"]),
        ("search", ["search", "finalists"]),
    ],
)
def test_every_command_tells_what_the_nodes_of_a_cluster_have_done(
    command: str, phases: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shares = {"127.0.0.2": 1}
    monkeypatch.setattr(InProcess, "shares", shares)
    seen, out = Nodes(), tmp_path / "run"
    if command == "evolve":
        autospace.evolve(IMAGES, skeleton=SKELETON, settings=TINY, observer=seen, out=out)
    elif command == "compare":
        autospace.compare([SPACE, SPACE], IMAGES, settings=SHORT, observer=seen, out=out)
    else:
        short = {k: v for k, v in SEARCH.items() if k != "data"}
        autospace.search(SPACE, IMAGES, settings=short, observer=seen, out=out)
    assert seen.phases == phases
    # They have not done more in the meantime.
    assert seen.told == [shares]


def test_the_winner_of_a_search_is_trained_and_exported(
    evolved: autospace.Evolved, tmp_path: Path
) -> None:
    short = {k: v for k, v in SEARCH.items() if k != "data"}
    found = autospace.search(evolved.space, IMAGES, settings=short, out=tmp_path / "search")
    epochs = {"training": {"epochs": 2}, "architecture": "winner"}
    trained = autospace.train(found.best, IMAGES, settings=epochs, out=tmp_path / "train")
    assert trained.architecture.choices == found.best.choices
    assert trained.accuracy == trained.result.test_accuracy
    assert trained.result.architecture == "winner"
    assert trained.result.data.test == len(IMAGES.test)
    assert autospace.train(resume=trained.folder) == trained
    path = autospace.export(
        trained.architecture, "onnx", tmp_path / "net.onnx", weights=trained.weights
    )
    assert path.stat().st_size > 1000


def test_exports_are_those_of_the_exporters(tmp_path: Path) -> None:
    as_text = TARGETS["optuna"].space
    assert as_text is not None
    assert autospace.export(SPACE, "optuna") == as_text(SPACE)
    file = autospace.export("mbconv@digits", "csv", tmp_path / "space.csv")
    assert file.read_text("utf-8") == autospace.export(autospace.load("mbconv@digits"), "csv")
    only = load_architecture("reference@digits")
    assert autospace.export("reference@digits", "flat") == autospace.export(only, "flat")


def wrong(name: str) -> Any:
    """A function of the API, as a program without types sees it."""
    return getattr(autospace, name)


class Partly:
    """An observer of an earlier version, which would fail on a cluster only."""

    message = planned = tick = event = print


def _evolve(**changes: Any) -> Any:
    return wrong("evolve")(**{"data": IMAGES, "settings": TINY, "out": "run", **changes})


def _images(**changes: Any) -> Any:
    return autospace.images((PIXELS, LABELS), **changes)


@pytest.mark.parametrize(
    ("call", "complaint"),
    [
        (lambda: autospace.export(SPACE, "tensorflow"), "to 'tensorflow': unknown target; allowed"),
        (lambda: autospace.export(SPACE, "flat"), "is a space, but flat takes one architecture"),
        (lambda: autospace.export("reference@digits", "onnx"), "onnx is a binary file"),
        (
            lambda: autospace.export(load_architecture("reference@digits"), "optuna"),
            "optuna takes a space",
        ),
        (
            lambda: autospace.export(SPACE, "csv", "x.csv", weights="w"),
            "files of csv hold no weights",
        ),
        (lambda: autospace.compare([SPACE], IMAGES), "1 space; allowed: 2 to 26"),
        (lambda: autospace.compare([SPACE, SPACE]), "data: name the images"),
        (lambda: autospace.train("reference@digits"), "data: name the images"),
        (lambda: autospace.train(data="digits"), "architecture: name an architecture"),
        (lambda: autospace.train("reference@digits", "digits", recipe="x"), 'recipe "x": unknown'),
        (lambda: autospace.evolve(preset="cifar"), "preset cifar: needs your images"),
        (lambda: autospace.evolve(preset="demo", resume="x"), "resume: goes on with the settings"),
        (lambda: autospace.evolve(force=True, resume="x"), "resume: goes on with the settings"),
        (lambda: _evolve(workers=0), "workers: 0; allowed: a whole number of at least 1, None, or"),
        (lambda: _evolve(workers="2"), 'workers: "2"; allowed: a whole number'),
        (lambda: _evolve(settings=[1]), "settings: a list; allowed: a dictionary of settings"),
        (lambda: _evolve(observer=print), "observer: a builtin_function_or_method; allowed: an"),
        (lambda: _evolve(observer=Partly()), "observer: a Partly; allowed: an object that derives"),
        (lambda: _evolve(out=5), "out: 5; allowed: the path of a folder"),
        (lambda: _evolve(force="no"), 'force: "no"; allowed: True or False'),
        (lambda: _evolve(skeleton=3), "skeleton: 3; allowed: a skeleton"),
        (lambda: wrong("evolve")(resume=3), "resume: 3; allowed: the path of a folder"),
        (lambda: wrong("train")(SPACE, IMAGES), "architecture: a Space; allowed: an architecture"),
        (lambda: wrong("search")(3, IMAGES), "space: 3; allowed: a space, a file"),
        (lambda: wrong("compare")(None, IMAGES), "spaces: null; allowed: a list of two or more"),
        (lambda: wrong("compare")([1, 2], IMAGES), "spaces: a list; allowed: a list of two or"),
        (lambda: wrong("compare")((x for x in [SPACE]), IMAGES), "spaces: a generator; allowed"),
        (lambda: wrong("compare")("mbconv@digits", IMAGES), 'spaces: "mbconv@digits"; allowed'),
        (lambda: wrong("export")(None, "csv"), "value: null; allowed: a space, an architecture"),
        (lambda: wrong("export")(SPACE, None), "to: null; allowed: a text"),
        (lambda: autospace.export(SPACE, "csv", "."), r"out: \.: .*; allowed: a file in a folder"),
        (lambda: autospace.export(SPACE, "csv", "no/x"), "out: no/x: no such file or directory; a"),
        (lambda: wrong("load")(None), "space: null; allowed: a file, a run folder"),
        (lambda: wrong("load")(b"x"), "space: a bytes; allowed: a file, a run folder"),
        (lambda: _images(name=5), "images: name: 5; allowed: 1 to 100 printable characters"),
        (lambda: _images(classes=["a", "a", "b", "c"]), 'classes: "a" occurs twice; allowed: dis'),
        (lambda: _images(classes=[1, 2, 3, 4]), "classes: 1; allowed: a list of names"),
        (lambda: _images(classes="abcd"), 'classes: "abcd"; allowed: a list of names'),
    ],
)
def test_wrong_calls_are_explained(
    call: Any, complaint: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(autospace.AutospaceError, match=complaint):
        call()
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("skeleton", "complaint"),
    [
        ({"format": "autospace.skeleton"}, "skeleton: "),
        ({"format": object()}, "skeleton: "),
        ("nowhere", "nowhere: unknown skeleton"),
    ],
)
def test_a_wrong_skeleton_is_explained(skeleton: Any, complaint: str, tmp_path: Path) -> None:
    with pytest.raises(SpaceError, match=complaint):
        autospace.evolve(IMAGES, skeleton=skeleton, settings=TINY, out=tmp_path / "run")
    assert list(tmp_path.iterdir()) == []


def test_paths_in_a_run_hold_from_everywhere(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    np.savez(tmp_path / "mine.npz", images=PIXELS, labels=LABELS)
    (tmp_path / "own.json").write_text(to_json(SKELETON))
    with pytest.raises(autospace.RunInterrupted):
        autospace.evolve(
            "npz:mine.npz", skeleton="own.json", settings=TINY, observer=StopsAt("warm-up")
        )
    text = (tmp_path / "runs" / "evolve-seed0" / "config.toml").read_text()
    assert f'source = "npz:{tmp_path}/mine.npz"' in text
    assert f'skeleton = "{tmp_path}/own.json"' in text


def test_the_path_of_a_teacher_holds_from_everywhere(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    given = {"method": "dna", "data": {"source": "digits"}, "options": {"teacher": "net"}}
    assert configured(SearchConfig, given).options["teacher"] == str(tmp_path / "net")


# Light to import, and typed for its users.


def _fresh_python(code: str) -> str:
    command = [sys.executable, "-P", "-c", textwrap.dedent(code)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def test_importing_loads_nothing_heavy() -> None:
    out = _fresh_python("""
        import sys, autospace
        names = dir(autospace)
        print(sorted(set(sys.modules) & {"torch", "numpy", "pydantic", "deap"}), "evolve" in names)
        autospace.load("mbconv@digits")
        print("torch" in sys.modules)
    """)
    assert out.splitlines() == ["[] True", "False"]


def test_every_name_is_there_and_no_other() -> None:
    for name in autospace.__all__:
        assert getattr(autospace, name).__doc__, name
    assert autospace.evolve is api.evolve
    assert isinstance(IMAGES, DataSet)
    with pytest.raises(AttributeError, match="no attribute 'evolution_'"):
        _ = autospace.evolution_


USE = """
import numpy as np
import torch
from pathlib import Path
import autospace

class Printing(autospace.Silent):
    def event(self, event: autospace.Event) -> None:
        print(event.seconds)

pairs = torch.utils.data.TensorDataset(torch.zeros(4, 1, 8, 8), torch.zeros(4))
data = autospace.images((np.zeros((4, 8, 8)), [0, 1, 0, 1]), pairs, classes=["a", "b"])
run = autospace.evolve(data, preset="demo", observer=Printing(), workers=None)
autospace.evolve(pairs, resume=run.folder)
found = autospace.search(run.space, data, method="spos")
trained = autospace.train(found.best, data)
accuracy: float = trained.accuracy
text: str = autospace.export(run.space, "optuna")
path: Path = autospace.export(found.best, "onnx", "net.onnx", weights=trained.weights)
sentence: str = autospace.compare([run.space, "mbconv@digits"], data).comparison.verdict
layers: int = len(autospace.load("mbconv@digits").layers)
"""


@pytest.mark.slow
def test_mypy_knows_the_types(tmp_path: Path) -> None:
    """Strict mypy accepts a user's program, and refuses the same with errors in it."""
    root = Path(__file__).resolve().parent.parent
    program = tmp_path / "program.py"
    wrong = USE.replace("text: str =", "text: int =").replace('preset="demo"', "preset=3")
    for text, errors in ((USE, 0), (wrong, 2)):
        program.write_text(text)
        command = [
            sys.executable,
            "-m",
            "mypy",
            "--strict",
            "--explicit-package-bases",
            str(program),
        ]
        environment = {"MYPYPATH": f"{root / '.types'}:{root}", "PATH": "/usr/bin:/bin"}
        done = subprocess.run(
            command, capture_output=True, text=True, cwd=tmp_path, env=environment, check=False
        )
        found = [line for line in done.stdout.splitlines() if line.startswith("program.py")]
        assert len(found) == errors, done.stdout


@pytest.mark.parametrize(
    ("name", "shared", "alone"),
    [
        ("enas-rnn@rnn-small", 0.5, 1.0),
        ("autocaption@captions-small", 0.1, 0.3),
        ("nas-bert@bert-small", 0.03, 0.03),
        ("mbconv@digits", 0.1, 0.1),
    ],
)
def test_learning_rates_are_usual_for_what_networks_read(
    name: str, shared: float, alone: float
) -> None:
    space = load(name)
    source = {"data": {"source": space.skeleton.reads.replace("images", "digits")}}
    config = search_config(space, [source])
    assert (config.supernet.learning_rate, config.trial.learning_rate) == (shared, alone)
    own = search_config(space, [source, {"trial": {"learning_rate": 0.7}}])
    assert (own.supernet.learning_rate, own.trial.learning_rate) == (shared, 0.7)
    assert compare_config([name, name], [source]).evaluator.learning_rate == alone
    assert compare_config([space, space], [source]).evaluator.learning_rate == alone
    given = {"evaluator": {"learning_rate": 0.7}}
    assert compare_config([space, space], [source, given]).evaluator.learning_rate == 0.7


def test_no_rate_is_usual_for_a_table() -> None:
    space = load("nas-bert@bert-small")
    table = {"evaluator": {"method": "table", "table": "nasbench-macro"}}
    assert compare_config([space, space], [table]).evaluator.table == "nasbench-macro"
    with pytest.raises(ConfigError, match="a table needs none"):
        compare_config([space, space], [table, {"data": {"source": "text"}}])


def test_the_rate_of_a_comparison_follows_its_spaces_whatever_the_data_are_called() -> None:
    passed = {"data": {"source": "python"}}
    names = ["nas-bert@bert-small", "nas-bert@bert-small"]
    assert compare_config(names, [passed]).evaluator.learning_rate == 0.03
    missing = compare_config(["nowhere.json", "neither.json"], [passed])
    assert missing.evaluator.learning_rate == 0.1
