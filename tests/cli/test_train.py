"""`autospace train`: options, errors, interruption, resumption, what it prints."""

import importlib.util
import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from autospace.cli.display import outcomes
from autospace.cli.progress.base import Phase, Reporter
from autospace.runs.settings import make_settings, read_config
from autospace.spaces import load, load_architecture
from autospace.training.folder import EpochDocument, TrainingDataDocument, TrainingResult
from autospace.training.settings import TrainConfig
from tests.cli.conftest import Ran, Run
from tests.evolution.runs import SKELETON

Golden = Callable[[str, str], None]
Train = Callable[..., Ran]

IMAGES = "synthetic:classes=3,train=60,test=12"


READ = (
    "synthetic:gratings: 60 training and 12 test images, 3 classes, 8x8 pixels, grey\n"
    "classes (training+test): gratings-0 20+4, gratings-1 20+4, gratings-2 20+4\n"
)
PLAN = "plan: 54 images train a network of 40.3k MAdds\nplan: 3 epochs, 18 steps of 8 images\n"


@pytest.fixture
def tiny(tmp_path: Path) -> list[object]:
    """An architecture and options of a training of a fraction of a second."""
    skeleton = tmp_path / "two.toml"
    skeleton.write_text(SKELETON)
    options = ("--data", IMAGES, "--device", "cpu", "--epochs", 3, "--batch", 8)
    return [f"reference@{skeleton}", *options]


@pytest.fixture
def train(run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Train:
    """Runs `train` in a folder of its own."""
    work = tmp_path / "work"
    work.mkdir()
    monkeypatch.chdir(work)
    return lambda *arguments: run("train", *arguments)


@pytest.fixture
def stopped(monkeypatch: pytest.MonkeyPatch) -> None:
    """Stops every training before it begins."""

    def stop(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("autospace.training.full.train_architecture", stop)


def _config(path: Path) -> TrainConfig:
    return make_settings(TrainConfig, read_config(path / "config.toml"))


def _names(path: Path) -> set[str]:
    return {each.relative_to(path).as_posix() for each in path.rglob("*") if each.is_file()}


def test_help(run: Run, golden: Golden) -> None:
    ran = run("train", "--help")
    assert ran.code == 0
    assert max(map(len, ran.out.splitlines())) <= 80
    golden("help-train.txt", ran.out)


def test_a_network_is_trained_and_the_outcome_told(
    train: Train, tiny: list[object], tmp_path: Path
) -> None:
    ran = train(*tiny, "--progress", "none")
    assert (ran.code, ran.err) == (0, READ + PLAN)
    run = tmp_path / "work/runs/train-reference@two-seed0"
    result = json.loads((run / "result.json").read_text())
    lines = ran.out.splitlines()
    assert max(map(len, lines)) <= 80
    assert lines[0].startswith("Trained reference@two: ")
    assert lines[1] == "synthetic:gratings: 54 images, 3 epochs, 6 held out for validation."
    accuracy = f"{result['test_accuracy']:.2%}"
    text = " ".join(ran.out.split())
    assert f"Test accuracy {accuracy} (95 % interval " in text
    assert " on 12 images, which were used only this once." in text
    assert "  autospace show runs/train-reference@two-seed0/architecture.json" in ran.out
    assert lines[-1].startswith("  autospace train --resume runs/train-reference@two-seed0 --onnx")
    assert load_architecture(run / "architecture.json").skeleton.classes == 3


@pytest.mark.slow
def test_the_commands_that_it_names_work(train: Train, tiny: list[object], run: Run) -> None:
    pytest.importorskip("onnxruntime")
    pytest.importorskip("onnxscript")
    out = train(*tiny, "--out", "a b", "--progress", "none").out
    assert "autospace train --resume 'a b' --onnx" in out
    assert run("show", "a b/architecture.json").code == 0
    ran = run("train", "--resume", "a b", "--onnx", "--progress", "none")
    assert (ran.code, Path("a b/model.onnx").is_file()) == (0, True)
    assert "wrote a b/model.onnx" in ran.err
    assert "--onnx" not in ran.out


def test_the_onnx_file_computes_what_the_weights_do(train: Train, tiny: list[object]) -> None:
    onnxruntime = pytest.importorskip("onnxruntime")
    pytest.importorskip("onnxscript")
    import torch

    from autospace.networks.network import Network
    from autospace.networks.weights import load_weights

    assert train(*tiny, "--out", "run", "--onnx", "--progress", "none").code == 0
    own, weights = load_weights(Path("run/model.safetensors"))
    network = Network(own.skeleton, own.cells).eval()
    network.load_state_dict(weights)
    images = torch.randn(4, 1, 8, 8, generator=torch.Generator().manual_seed(0))
    session = onnxruntime.InferenceSession("run/model.onnx")
    (found,) = session.run(None, {session.get_inputs()[0].name: images.numpy()})
    with torch.no_grad():
        torch.testing.assert_close(torch.from_numpy(found), network(images), rtol=1e-3, atol=1e-4)


def test_options_win_over_set_over_recipe(
    train: Train, tiny: list[object], stopped: None, tmp_path: Path
) -> None:
    (tmp_path / "a.toml").write_text("seed = 1\n[training]\nepochs = 9\nbatch = 9\naverage = 0.5\n")
    ran = train(
        *(tiny[0], "--recipe", tmp_path / "a.toml", "--set", "training.batch=10"),
        *("--set", "training.epochs=10", "--epochs", 11, "--seed", 7, "--lr", 0.3),
        *("--no-validation", "--set", "optimizer.method=adamw", "--data", IMAGES, "--out", "run"),
    )
    assert ran.code == 130
    config = _config(tmp_path / "work/run")
    assert (config.seed, config.architecture) == (7, "reference@two")
    assert (config.training.epochs, config.training.batch) == (11, 10)
    assert (config.training.average, config.data.validation) == (0.5, 0.0)
    optimizer = config.optimizer
    assert (optimizer.learning_rate, optimizer.weight_decay) == (0.3, 0.05)


@pytest.mark.parametrize(
    ("options", "name"), [([], "reference@two"), (["--set", "architecture=mine"], "mine")]
)
def test_the_name_is_that_of_the_file_unless_set(
    train: Train, tiny: list[object], stopped: None, tmp_path: Path, options: list[str], name: str
) -> None:
    (tmp_path / "earlier.toml").write_text('architecture = "earlier"\n')
    ran = train(*tiny, "--recipe", tmp_path / "earlier.toml", *options, "--out", "run")
    assert ran.code == 130
    assert _config(tmp_path / "work/run").architecture == name


@pytest.mark.parametrize(
    ("options", "epochs"),
    [
        ([], 40),
        (["--recipe", "cifar"], 200),
        (["--set", "data.resolution=32"], 200),
        (["--set", "data.resolution=160"], 150),
    ],
)
def test_the_recipe_goes_with_the_skeleton_unless_named(
    train: Train, stopped: None, tmp_path: Path, options: list[str], epochs: int
) -> None:
    train("reference@digits", "--data", "digits", "--out", "run", *options)
    assert _config(tmp_path / "work/run").training.epochs == epochs


def test_a_run_is_its_own_recipe(train: Train, tiny: list[object], tmp_path: Path) -> None:
    assert train(*tiny, "--seed", 3, "--out", "a", "--progress", "none").code == 0
    ran = train(tiny[0], "--recipe", "a/config.toml", "--out", "b", "--progress", "none")
    assert ran.code == 0
    work = tmp_path / "work"
    assert (work / "a/result.json").read_bytes() == (work / "b/result.json").read_bytes()
    weights = "model.safetensors"
    assert (work / "a" / weights).read_bytes() == (work / "b" / weights).read_bytes()


def test_a_flat_file_needs_its_space(
    train: Train, space_file: Path, stopped: None, tmp_path: Path
) -> None:
    space = load(space_file)
    choices = {layer.shape.name: layer.candidates[0].id for layer in space.layers}
    (tmp_path / "flat.json").write_text(json.dumps(choices))
    options = (tmp_path / "flat.json", "--data", "digits", "--out", "run")
    ran = train(*options)
    assert ran.code == 2
    assert "these cell ids need their space; name it with --space" in ran.err
    assert train(*options, "--space", space_file).code == 130
    assert _config(tmp_path / "work/run").architecture == "flat"


def test_paths_are_kept_so_that_a_training_resumes_from_any_folder(
    train: Train, stopped: None, tmp_path: Path
) -> None:
    train("reference@digits", "--data", "folder:../pets", "--out", "run")
    assert _config(tmp_path / "work/run").data.source == f"folder:{tmp_path}/work/../pets"


BAD: list[tuple[list[str], str]] = [
    (["/no/such.json", "--data", "digits"], "/no/such.json: no such file or folder"),
    (["reference@tower", "--data", "digits"], "tower: unknown skeleton"),
    (["mbconv@digits", "--data", "digits"], "allowed: one architecture"),
    (["--data", "digits"], "ARCH: name an architecture"),
    (["", "--data", "digits"], "ARCH: name an architecture"),
    (["reference@digits"], "data: name the images, such as digits"),
    (["reference@digits", "--data", "folder:/no/such"], "/no/such"),
    (["reference@digits", "--data", "folder:~no-such-user/x"], "home folder that does not exist"),
    (["reference@digits", "--data", "photos"], "is not a data source"),
    (
        ["reference@digits", "--data", "digits", "--space", "/no.json"],
        "/no.json: no such file or folder",
    ),
    (["reference@digits", "--data", "digits", "--recipe", "best"], 'recipe "best": unknown'),
    (["reference@digits", "--data", "digits", "--recipe", "/no.toml"], "/no.toml: no such file"),
    (["reference@digits", "--data", "digits", "--epochs", "0"], "training.epochs: 0; allowed:"),
    (["reference@digits", "--data", "digits", "--batch", "1"], "training.batch: 1; allowed:"),
    (["reference@digits", "--data", "digits", "--lr", "0"], "optimizer.learning_rate: 0.0;"),
    (["reference@digits", "--data", "digits", "--lr", "nan"], "optimizer.learning_rate: "),
    (["reference@digits", "--data", "digits", "--seed", "-1"], "seed: -1; allowed:"),
    (
        ["reference@digits", "--data", "digits", "--device", "gpu"],
        'device: "gpu"; did you mean cuda?',
    ),
    (
        ["reference@digits", "--data", "digits", "--device", "cuda:0,1"],
        'device: "cuda:0,1"; did you mean cuda? Allowed: auto, cpu or cuda[:n]',
    ),
    (["reference@digits", "--data", "digits", "--device", "cuda:98"], "device 'cuda:98': this"),
    (["reference@digits", "--data", "digits", "--set", "training"], "allowed: section.name=value"),
    (["reference@digits", "--data", "digits", "--set", "training.x=1"], "training.x: unknown"),
    (["reference@digits", "--data", "digits", "--set", "data=1"], "data: 1; allowed: a section"),
    (["reference@digits", "--data", "digits", "--progress", "loud"], "--progress 'loud': allowed"),
    (["reference@digits", "--data", "digits", "--out", "/dev/null"], "/dev/null: is a file"),
    (["--resume", "/no/such/run"], "/no/such/run: there is no run to resume"),
    (["--resume", "x", "--force"], "--resume: keeps the settings of the run"),
    (["--resume", "x", "--seed", "0"], "--resume: keeps the settings of the run"),
    (["reference@digits", "--resume", "x"], "--resume: keeps the settings of the run"),
]


@pytest.mark.parametrize(("options", "problem"), BAD, ids=[" ".join(each) for each, _ in BAD])
def test_bad_input_is_one_line_and_leaves_nothing_behind(
    train: Train, tmp_path: Path, options: list[str], problem: str
) -> None:
    ran = train(*options)
    assert (ran.code, ran.out) == (2, "")
    (line,) = ran.err.splitlines()
    assert line.startswith("error: ")
    assert problem in line
    assert _names(tmp_path / "work") == set()


@pytest.mark.parametrize(
    ("option", "missing", "problem"),
    [
        ("--onnx", "onnxscript", "--onnx: needs the package onnxscript: "),
        ("--tensorboard", "tensorboard", "--tensorboard: needs the package tensorboard: "),
    ],
)
def test_a_missing_extra_is_one_line_before_anything_begins(
    train: Train,
    tiny: list[object],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    option: str,
    missing: str,
    problem: str,
) -> None:
    def find_spec(name: str) -> Any:
        return None if name == missing else importlib.util.find_spec("json")

    monkeypatch.setattr("autospace.cli.options.find_spec", find_spec)
    ran = train(*tiny, option)
    extra = option.removeprefix("--")
    assert (ran.code, ran.out) == (2, "")
    assert ran.err == f"error: {problem}pip install 'autospace[{extra}]'\n"
    assert _names(tmp_path / "work") == set()


def test_curves_are_written_for_tensorboard(train: Train, tiny: list[object]) -> None:
    reading = "tensorboard.backend.event_processing.event_accumulator"
    accumulator = pytest.importorskip(reading)
    assert train(*tiny, "--out", "run", "--tensorboard", "--progress", "none").code == 0
    found = accumulator.EventAccumulator("run/tensorboard")
    found.Reload()
    curve = json.loads(Path("run/result.json").read_text())["curve"]
    for name, key in (("loss/train", "train_loss"), ("accuracy/validation", "validation_accuracy")):
        points = [(each.step, each.value) for each in found.Scalars(name)]
        assert points == [(each["epoch"], pytest.approx(each[key])) for each in curve]


def test_a_training_is_not_overwritten_unless_forced(
    train: Train, tiny: list[object], tmp_path: Path
) -> None:
    options = (*tiny, "--out", "run", "--progress", "none")
    weights = tmp_path / "work/run/model.safetensors"
    assert train(*options).code == 0
    first = weights.read_bytes()
    ran = train(*options, "--seed", 5)
    assert (ran.code, ran.out) == (2, "")
    assert "already holds a run; continue it with --resume run" in ran.err
    assert train(*options, "--seed", 5, "--data", "folder:/no", "--force").code == 2
    assert weights.read_bytes() == first
    assert train(*options, "--seed", 5, "--force").code == 0
    assert weights.read_bytes() != first


def test_a_finished_training_says_so_and_stays_as_it_is(
    train: Train, tiny: list[object], tmp_path: Path
) -> None:
    first = train(*tiny, "--out", "run", "--progress", "none")
    before = {each: each.stat().st_mtime_ns for each in tmp_path.rglob("*.*") if each.is_file()}
    ran = train("--resume", "run", "--progress", "plain")
    assert (ran.code, ran.out) == (0, first.out)
    assert ran.err == "run: the training is finished already\n"
    after = {each: each.stat().st_mtime_ns for each in tmp_path.rglob("*.*") if each.is_file()}
    lock = tmp_path / "work/run/.lock"
    assert {**after, lock: 0} == {**before, lock: 0}


def test_changed_settings_are_refused_before_images_are_read(
    train: Train, tiny: list[object], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert train(*tiny, "--out", "net", "--progress", "none").code == 0
    folder = tmp_path / "work/net"
    (folder / "result.json").unlink()
    config = folder / "config.toml"
    config.write_text(config.read_text().replace("epochs = 3", "epochs = 4"))
    monkeypatch.setattr("autospace.training.full.load_data", None)
    ran = train("--resume", "net")
    assert (ran.code, ran.err.count("\n")) == (2, 1)
    assert "training.epochs" in ran.err


def test_the_record_of_what_was_read_is_in_the_json(
    train: Train, tiny: list[object], tmp_path: Path
) -> None:
    found = json.loads(train(*tiny, "--out", "net", "--format", "json").out)
    assert found["images"] == json.loads((tmp_path / "work/net/data.json").read_text())
    assert [each["train"] for each in found["images"]["classes"]] == [20, 20, 20]


def _interrupting(wanted: str, step: int) -> Callable[..., None]:
    def show_tick(self: Reporter, _: Phase) -> None:
        phase, done, _total = self.now
        if phase == wanted and done >= step and not self.stopping:
            signal.raise_signal(signal.SIGINT)

    return show_tick


@pytest.mark.parametrize("name", ["run", "a b"])
def test_ctrl_c_finishes_the_step_and_says_how_to_go_on(
    train: Train,
    tiny: list[object],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    name: str,
) -> None:
    # Not always Python's own handler: a shell's background job ignores the signal.
    before = signal.getsignal(signal.SIGINT)
    assert train(*tiny, "--out", "whole", "--progress", "none").code == 0
    with monkeypatch.context() as patched:
        patched.setattr(Reporter, "show_tick", _interrupting("train", 4))
        ran = train(*tiny, "--out", name, "--progress", "none")
    assert (ran.code, ran.out) == (130, "")
    quoted = f"'{name}'" if " " in name else name
    assert ran.err == (
        f"{READ}{PLAN}"
        "stopping after this step; press Ctrl-C again to stop at once\n"
        f"interrupted; nothing is lost: autospace train --resume {quoted}\n"
    )
    assert train("--resume", name, "--progress", "none").code == 0
    for each in ("model.safetensors", "result.json"):
        files = [(tmp_path / "work" / run / each).read_bytes() for run in (name, "whole")]
        assert files[0] == files[1]
    assert signal.getsignal(signal.SIGINT) is before


def test_ctrl_c_before_the_beginning_leaves_things_as_they_were(
    train: Train, tiny: list[object], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    interrupting = _interrupting("data", 0)
    with monkeypatch.context() as patched:
        patched.setattr(Reporter, "show_tick", interrupting)
        ran = train(*tiny, "--out", "run", "--progress", "none")
    assert ran.code == 130
    assert ran.err.endswith("interrupted before the training began; nothing was written\n")
    assert _names(tmp_path / "work") == set()
    assert train(*tiny, "--out", "run", "--progress", "none").code == 0
    weights = (tmp_path / "work/run/model.safetensors").read_bytes()
    with monkeypatch.context() as patched:
        patched.setattr(Reporter, "show_tick", interrupting)
        ran = train(*tiny, "--out", "run", "--progress", "none", "--seed", 4, "--force")
    assert ran.code == 130
    assert ran.err.endswith(
        "interrupted before the new training began; the earlier one is untouched\n"
    )
    assert (tmp_path / "work/run/model.safetensors").read_bytes() == weights


@pytest.mark.slow
def test_a_real_ctrl_c_in_a_real_process(tiny: list[object], tmp_path: Path) -> None:
    code = "import sys; from autospace.cli.main import app; sys.argv[0] = 'autospace'; app()"
    command = [sys.executable, "-c", code, "train", *map(str, tiny), "--epochs", "4000"]
    command += ["--out", str(tmp_path / "run"), "--progress", "json"]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True, env=environment) as process:
        if process.stderr is None:
            raise RuntimeError
        events = []
        for line in process.stderr:
            events.append(json.loads(line))
            if events[-1].get("epoch") == 2:
                process.send_signal(signal.SIGINT)
    assert process.returncode == 130
    assert [each["text"] for each in events if each["event"] == "message"][-1] == (
        f"interrupted; nothing is lost: autospace train --resume {tmp_path / 'run'}"
    )
    log = (tmp_path / "run/events.jsonl").read_text().splitlines()
    assert len(log) >= 2
    assert (tmp_path / "run/checkpoint/session.safetensors").is_file()


def test_a_diverging_training_is_one_line(train: Train, tiny: list[object], tmp_path: Path) -> None:
    ran = train(
        *(*tiny, "--out", "run", "--progress", "none", "--lr", "100"),
        *("--set", "optimizer.clip=0", "--set", "optimizer.warm_up=0", "--epochs", "60"),
        *("--set", "optimizer.weight_decay=10"),
    )
    assert (ran.code, ran.out) == (2, "")
    assert ran.err.startswith(READ)
    *plan, line = ran.err.removeprefix(READ).splitlines()
    assert len(plan) == 3
    assert "not finite at step" in line
    assert "try a lower rate" in line
    assert not (tmp_path / "work/run/result.json").exists()


def _epochs(losses: list[float], accuracies: list[float | None]) -> list[EpochDocument]:
    return [
        EpochDocument(
            epoch=number,
            learning_rate=0.1,
            train_loss=loss,
            validation_loss=None,
            validation_accuracy=accuracy,
        )
        for number, (loss, accuracy) in enumerate(zip(losses, accuracies, strict=True), start=1)
    ]


def _result(validation: int = 100, **changes: Any) -> TrainingResult:
    curve = _epochs([2.0 - 0.1 * i for i in range(20)], [0.1 + 0.04 * i for i in range(20)])
    data = TrainingDataDocument(
        name="folder:pets", sha256="", classes=[], train=900, validation=validation, test=250
    )
    known: dict[str, Any] = {
        "architecture": "net",
        "choices": {},
        "madds": 43_530_752,
        "params": 271_674,
        "test_accuracy": 0.8125,
        "test_loss": 0.5,
        "validation_accuracy": None,
        "validation_loss": None,
        "kept_epoch": 20,
        "epochs": 20,
        "steps": 200,
        "seed": 0,
        "device": "cpu",
        "data": data,
        "recipe": {},
        "curve": curve,
        "versions": {},
    }
    return TrainingResult(**{**known, **changes})


def test_the_outcome_is_told_with_its_curves(golden: Golden) -> None:
    lines = outcomes.train_outcome(Path("runs/net"), _result())
    assert max(map(len, lines)) <= 80
    golden("outcome-train.txt", "\n".join(lines) + "\n")


def test_hostile_names_are_spelled_out_and_a_poor_terminal_gets_plain_curves() -> None:
    lines = outcomes.train_outcome(Path("a"), _result(architecture="\x1b[2Jx\ny"), "ascii")
    text = "\n".join(lines)
    assert text.isascii()
    assert "\x1b" not in text
    assert lines[0].startswith(r"Trained \x1b[2Jx\ny: ")


def test_one_epoch_has_no_curve_and_no_validation_no_row() -> None:
    one = _result(curve=_epochs([2.0], [None]), epochs=1)
    text = "\n".join(outcomes.train_outcome(Path("a"), one))
    assert "1 epoch, 100 held out" in text
    assert "loss" not in text
    none = _result(0, curve=_epochs([2.0, 1.0, 0.0], [None] * 3))
    text = "\n".join(outcomes.train_outcome(Path("a"), none))
    assert "loss" in text
    assert "validation" not in text
    assert "held out" not in text
