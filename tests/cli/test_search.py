"""`autospace search`: the contract, errors, and what is told."""

import json
from pathlib import Path
from typing import Any

import pytest

from autospace.evaluators.evaluator import Evaluation
from autospace.evaluators.stand_alone import StandAloneEvaluator
from autospace.searchers.catalogue import CATALOGUE
from autospace.spaces import load_architecture, to_json
from autospace.spaces.files.families import family_space
from autospace.supernets.blocks import WORST, BlockWeights
from autospace.supernets.shared_weights import SharedWeights
from tests.cli.conftest import Run
from tests.searchers.problems import SKELETON

SPACE = family_space("mbconv", SKELETON)

SMALL = (
    "--data",
    "synthetic:classes=3,train=120,test=12",
    "--steps",
    "3",
    "--evaluations",
    "3",
    "--set",
    "trial.steps=2",
)
TAUGHT = (*SMALL, "--set", "options.teacher_steps=2")


@pytest.fixture
def space(tmp_path: Path) -> Path:
    path = tmp_path / "mbconv.json"
    path.write_text(to_json(SPACE), encoding="utf-8")
    return path


def test_a_search_leaves_result_and_best(run: Run, space: Path, tmp_path: Path) -> None:
    out = tmp_path / "run"
    ran = run("search", space, "--method", "random-ws", *SMALL, "--seed", 3, "--out", out)
    assert ran.code == 0
    result = json.loads((out / "result.json").read_text())
    assert set(result) >= {
        "best",
        "accuracy",
        "madds",
        "params",
        "evaluations",
        "seconds",
        "trajectory",
    }
    assert result["evaluations"] == 3
    assert load_architecture(out / "best.json").choices == result["best"]
    assert f"autospace export {out / 'best.json'} --to onnx" in ran.out
    assert "They are not accuracies of trained" in " ".join(ran.out.split())
    told, _, _ = ran.out.partition("Written")
    assert max(map(len, told.splitlines())) <= 80
    again = run("search", "--resume", out, "--format", "json")
    images = json.loads((out / "data.json").read_text())
    assert json.loads(again.out) == {**result, "images": images}
    assert "finished already" in again.err


def test_settings_of_shared_weights_that_a_method_has_not_are_named(
    run: Run, space: Path, tmp_path: Path
) -> None:
    tried = ("--method", "random", *SMALL, "--supernet-training", "fair")
    ran = run("search", space, *tried, "--out", tmp_path / "run")
    assert ran.code == 0
    why = "random trains each network alone, for trial.steps = 2 steps"
    assert f"supernet.training, supernet.steps without effect: {why}\n" in ran.err
    unused = run("search", space, "--method", "random-ws", *SMALL, "--out", tmp_path / "shared")
    assert "without effect" not in unused.err


def test_strict_fairness_says_that_it_trains_beyond_limits(
    run: Run, space: Path, tmp_path: Path
) -> None:
    tried = ("--method", "random-ws", *SMALL, "--supernet-training", "fair", "--max-madds", "2M")
    ran = run("search", space, *tried, "--out", tmp_path / "run")
    assert ran.code == 0, ran.err
    assert "fair also trains architectures beyond max_madds; returns none\n" in ran.err


def test_a_search_on_a_table_trains_nothing(run: Run, tmp_path: Path) -> None:
    out = tmp_path / "run"
    by_table = ("--evaluator", "table", "--table", "nasbench-macro", "--evaluations", 9)
    ran = run("search", "nasbench-macro@nasbench-macro", *by_table, "--out", out, "--workers", 2)
    assert ran.code == 0
    assert "a table is looked up by one process: 2 workers are not used\n" in ran.err
    assert "Finalists, the best first:" in ran.out
    assert "Accuracy is that of table nasbench-macro, not of a network trained here." in ran.out
    assert "trained on its own" not in ran.out
    assert "accuracies of trained" not in ran.out
    assert "accuracies are those of table nasbench-macro (Su et al." in ran.err
    result = json.loads((out / "result.json").read_text())
    table = {"method": "table", "table": "nasbench-macro", "precision": "float32"}
    assert result["config"]["evaluator"] == table
    again = run("search", "--resume", out, "--format", "json")
    assert json.loads(again.out) == {**result, "images": None}
    refused = run("search", "mbconv@digits", *by_table, "--out", tmp_path / "other")
    assert refused.code == 2
    assert 'error: skeleton "digits": not that of table nasbench-macro; allowed' in refused.err


def test_without_predictions_nothing_is_said_of_them(run: Run, space: Path, tmp_path: Path) -> None:
    ran = run("search", space, "--method", "zero-cost", *SMALL, "--out", tmp_path / "run")
    assert ran.code == 0
    finalists = json.loads((tmp_path / "run" / "result.json").read_text())["finalists"]
    assert {each["predicted_accuracy"] for each in finalists} == {None}
    assert "accuracies of trained" not in ran.out


def test_gradients_are_compared_on_request(run: Run, space: Path, tmp_path: Path) -> None:
    out = tmp_path / "run"
    ran = run("search", space, "--method", "magic-at", *SMALL, "--interference", 2, "--out", out)
    assert ran.code == 0
    result = json.loads((out / "result.json").read_text())
    assert result["config"]["supernet"]["training"] == "magic-at"
    points = result["interference"]
    assert [each["differing"] for each in points] == [0, 1, 2]
    assert points[0]["cosine"] == pytest.approx(1)
    assert "    0  cosine  1.00 ± 0.00  " + 30 * "█" in ran.out


def test_a_folder_is_not_overwritten_unless_asked(run: Run, space: Path, tmp_path: Path) -> None:
    out = tmp_path / "run"
    assert run("search", space, *SMALL, "--out", out).code == 0
    before = (out / "result.json").read_bytes()
    ran = run("search", space, *SMALL, "--out", out)
    assert ran.code == 2
    assert "--force" in ran.err
    assert (out / "result.json").read_bytes() == before
    assert run("search", space, *SMALL, "--out", out, "--force", "--seed", 5).code == 0
    assert (out / "result.json").read_bytes() != before


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        (["--method", "nope"], 'method "nope": unknown; allowed: random, '),
        (["--set", "options.nope=1"], "options.nope: unknown setting; allowed: none"),
        (["--method", "spos", "--set", "options.population=1"], "options.population: 1"),
        (["--max-madds", "1k"], "max_madds: the limit is 1,000, but the cheapest"),
        (["--max-madds", "many"], "--max-madds 'many': expected a number such as 5M"),
        (["--supernet-training", "nope"], "supernet.training"),
        (["--progress", "loud"], "--progress 'loud'"),
        (["--evaluations", "0"], "evaluations: 0"),
        (
            ["--method", "random", "--interference", "2"],
            "supernet.interference: 2; allowed: 0",
        ),
        (
            ["--method", "magic-t", "--supernet-training", "fair"],
            "supernet.training: fair; method magic-t allows only magic-t",
        ),
    ],
)
def test_bad_input_is_one_line_and_leaves_nothing(
    run: Run, space: Path, tmp_path: Path, arguments: list[str], complaint: str
) -> None:
    out = tmp_path / "run"
    ran = run("search", space, *SMALL, *arguments, "--out", out)
    assert ran.code == 2
    assert complaint in ran.err.splitlines()[-1]
    assert not out.exists()


def test_mistakes_show_before_images_are_read(
    run: Run, space: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = tmp_path / "run"
    assert run("search", space, "--method", "random-ws", *SMALL, "--out", out).code == 0
    (out / "result.json").unlink()
    config = out / "config.toml"
    config.write_text(config.read_text().replace("finalists = 3", "finalists = 2"))
    monkeypatch.setattr("autospace.searchers.problem.load_halves", None)
    ran = run("search", "--resume", out)
    assert (ran.code, ran.err.count("\n")) == (2, 1)
    assert "finalists" in ran.err
    other = tmp_path / "other"
    for method, options, problem in (
        ("spoz", (), "spos"),
        ("evolution", ("--set", "options.age=3"), "options.age"),
    ):
        ran = run("search", space, "--method", method, *SMALL, *options, "--out", other)
        assert (ran.code, ran.err.count("\n")) == (2, 1)
        assert problem in ran.err
        assert not other.exists()


def test_what_is_missing_is_named(run: Run, space: Path, tmp_path: Path) -> None:
    assert "data: name the images" in run("search", space, "--out", tmp_path / "run").err
    assert "SPACE" in run("search", *SMALL, "--out", tmp_path / "run").err
    assert "no run to resume" in run("search", "--resume", tmp_path / "nowhere").err
    assert "keeps the settings of the run" in run("search", space, "--resume", tmp_path).err


def test_the_list_says_what_each_method_is(run: Run) -> None:
    listed = json.loads(run("search", "--list", "--format", "json").out)
    assert [each["method"] for each in listed] == list(CATALOGUE)
    table = run("search", "--list")
    assert table.code == 0
    assert max(map(len, table.out.splitlines())) <= 80
    for name in CATALOGUE:
        assert name in table.out


@pytest.mark.parametrize("method", ["random-ws", "darts", "petridish"])
def test_shared_weights_that_diverged_for_all_are_one_line(
    run: Run, space: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, method: str
) -> None:
    trained = SharedWeights.step

    def step(self: SharedWeights, index: int, *rest: Any, **more: Any) -> None:
        trained(self, index, *rest, **more)
        # As after a loss that is no number: every weight that took part is none either.
        for weight in self.supernet.network.parameters():
            weight.data.fill_(float("nan"))

    monkeypatch.setattr(SharedWeights, "step", step)
    out = tmp_path / "run"
    ran = run("search", space, "--method", method, *SMALL, "--out", out, "--progress", "none")
    if method == "petridish":  # earlier networks may have been better than the last
        assert ran.code == 0
        return
    line = "error: supernet.learning_rate: 0.1; all shared weights diverged at this rate; try a "
    assert (ran.code, ran.out) == (2, "")
    assert ran.err.splitlines()[-1].startswith(line)
    assert not (out / "result.json").exists()
    again = run("search", "--resume", out)
    assert again.err.splitlines()[-1].startswith(line)


@pytest.mark.parametrize(
    ("method", "lost"),
    [("random-ws", "all"), ("random-ws", "best"), ("random", "best"), ("dna", "all")],
)
def test_finalists_that_diverged_are_never_the_winner(
    run: Run,
    space: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    method: str,
    lost: str,
) -> None:
    scores = iter((0.9, *(0.1 * place for place in range(8, 0, -1))))
    trained: list[Evaluation] = []

    def evaluate(self: StandAloneEvaluator, architecture: Any, seed: int) -> Evaluation:
        diverged = lost == "all" or not trained
        trained.append(Evaluation(next(scores), None if diverged else 1.5))
        return trained[-1]

    monkeypatch.setattr(StandAloneEvaluator, "evaluate", evaluate)
    out = tmp_path / "run"
    brief = TAUGHT if method == "dna" else SMALL
    ran = run("search", space, "--method", method, *brief, "--out", out, "--progress", "plain")
    if lost == "best":
        assert ran.code == 0
        assert "1 of 3 finalists diverged" in ran.err
        assert json.loads((out / "result.json").read_text())["accuracy"] == pytest.approx(0.8)
        return
    line = "error: trial.learning_rate: 0.1; all finalists diverged at this rate; try a lower rate"
    assert (ran.code, ran.out) == (2, "")
    assert ran.err.splitlines()[-1].startswith(line)
    assert not (out / "best.json").exists()
    again = run("search", "--resume", out)
    assert (again.code, again.out) == (2, "")
    assert again.err.splitlines()[-1].startswith(line)


def test_blocks_that_diverged_end_a_search_by_dna(
    run: Run, space: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def rated(self: BlockWeights, number: int, paths: Any, *rest: Any) -> list[float]:
        return [WORST if number else 0.5 for _ in paths]

    monkeypatch.setattr(BlockWeights, "rated", rated)
    ran = run("search", space, "--method", "dna", *TAUGHT, "--out", tmp_path / "run")
    assert (ran.code, ran.out) == (2, "")
    assert "error: supernet.learning_rate: 0.1; all shared weights diverged" in ran.err
