"""Whole comparisons: what they leave, how they go on, what they refuse."""

import json
import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from statistics import fmean
from typing import Any

import numpy as np
import pytest
import torch

from autospace.cli.display.comparison_table import print_comparison
from autospace.comparison.compare import compare
from autospace.comparison.document import read_comparison
from autospace.comparison.folder import ComparisonFolder
from autospace.comparison.planning import make_plan
from autospace.comparison.sample_size import PILOT, PLANNED_LEVEL, found_with, level_of
from autospace.comparison.setup import prepare
from autospace.compute.device import threads
from autospace.compute.executor import Executor
from autospace.data.errors import DataError
from autospace.evaluators.evaluate import EvaluationCache
from autospace.progress import no_tick
from autospace.runs.errors import ConfigError, RunError
from autospace.spaces import Candidate, Cell, Layer, Space, SpaceError, load, mbconv, to_json
from autospace.spaces.text import human
from tests.comparison.conftest import DATA, Listener, Start
from tests.comparison.setups import DEAR, SKELETON, space
from tests.slow import slowly
from tests.tiny import fitted_space

Change = Callable[[dict[str, Any]], None]
LONG = replace(SKELETON, name="longer", layers=(*SKELETON.layers, *SKELETON.layers[2:]))


def _run(folder: ComparisonFolder, listener: Listener | None = None, workers: int = 1) -> bytes:
    compare(folder, listener or Listener(), workers=workers)
    return folder.result.read_bytes()


def _evaluations(folder: ComparisonFolder) -> dict[str, int]:
    return {each.name: each.stat().st_mtime_ns for each in folder.evaluations.iterdir()}


def test_the_result_holds_what_was_compared(start: Start, sources: list[str]) -> None:
    folder = start(sampling={"repeats": 2})
    found = json.loads(_run(folder))
    one, two = found["spaces"]
    assert (one["name"], two["name"], found["samples"], found["repeats"]) == ("one", "two", 4, 2)
    for place, column in enumerate((one, two)):
        fitted = fitted_space(load(sources[place]), in_channels=1, resolution=8, classes=3)
        networks = [fitted.architecture(choices) for choices in column["networks"]]
        assert [each.cost.madds for each in networks] == column["madds"]
        assert [each.cost.params for each in networks] == column["params"]
        assert column["errors"] == pytest.approx(np.mean(column["repeats"], axis=1), abs=1e-8)
        assert column["mean"]["value"] == pytest.approx(np.mean(column["errors"]))
        # 40 images are measured, so an error is a multiple of 0.025, of 2.5 points.
        steps = np.ravel(column["repeats"]) / 0.025
        assert steps == pytest.approx(np.round(steps), abs=1e-5)
        assert all(0 <= error <= 1 for error in column["errors"])
        assert column["variance"] is not None
    gap = np.subtract(one["errors"], two["errors"]).mean()
    assert found["difference"] == pytest.approx(gap, abs=1e-7)
    ratio = np.divide(one["madds"], two["madds"])
    assert np.all((ratio < 1.02) & (ratio > 1 / 1.02))
    pairs = {json.dumps(each, sort_keys=True) for x in (one, two) for each in x["networks"]}
    assert len(pairs) <= len(_evaluations(folder)) <= 16


def test_the_overlap_of_a_space_is_the_share_of_its_draws_that_match(start: Start) -> None:
    folder = start()
    found = json.loads(_run(folder))
    spaces = [load(source) for source in folder.config.spaces]
    prepared = prepare(folder.config, spaces, folder.store, "cpu", no_tick)
    shares = prepared.matching.shares
    assert min(shares) < 1
    assert [each["overlap"] for each in found["spaces"]] == pytest.approx(shares, abs=1e-6)
    assert found["matching"]["tuples"] == len(prepared.matching.tuples)


def test_equal_settings_give_equal_bytes(start: Start) -> None:
    assert _run(start("a")) == _run(start("b"))
    one, other = (json.loads(_run(start(f"s{seed}", seed=seed)))["spaces"] for seed in (0, 1))
    assert one[0]["networks"] != other[0]["networks"]


def test_a_comparison_stopped_anywhere_goes_on_to_the_same_bytes(start: Start) -> None:
    whole = Listener()
    wanted = _run(start("whole"), whole)
    for stop in range(1, len(whole.ticks) + 1):
        folder = start(f"stopped-{stop}")
        with pytest.raises(KeyboardInterrupt):
            _run(folder, Listener(stop))
        kept = _evaluations(folder) if folder.evaluations.is_dir() else {}
        assert not folder.finished
        again = ComparisonFolder.open(folder.path)
        assert _run(again) == wanted
        assert kept.items() <= _evaluations(again).items()


def test_a_comparison_goes_on_with_the_spaces_it_began_with(
    start: Start, sources: list[str]
) -> None:
    wanted = _run(start("whole"))
    folder = start()
    with pytest.raises(KeyboardInterrupt):
        _run(folder, Listener(4))
    Path(sources[0]).write_text(to_json(space([mbconv(7, 6)], "other")))
    Path(sources[1]).unlink()
    assert _run(ComparisonFolder.open(folder.path)) == wanted


def test_more_samples_only_add_to_what_is_known(start: Start, tmp_path: Path) -> None:
    shared = str(tmp_path / "shared")
    small = start("small", cache=shared)
    _run(small)
    known = _evaluations(small)
    large = start("large", cache=shared, sampling={"samples": 6})
    _run(large)
    assert known.items() <= _evaluations(large).items()
    first, more = (json.loads(each.result.read_text())["spaces"] for each in (small, large))
    assert more[0]["errors"][:4] == first[0]["errors"]


@pytest.mark.parametrize("method", ["train", *slowly("supernet")])
def test_evaluations_in_two_precisions_are_never_mixed(
    method: str, start: Start, tmp_path: Path
) -> None:
    settings = {"cache": str(tmp_path / "shared")}
    plain = start("plain", **settings, evaluator={"method": method})
    known = json.loads(_run(plain)), _evaluations(plain)
    half = start("half", **settings, evaluator={"method": method, "precision": "bfloat16"})
    found = json.loads(_run(half))
    assert len(_evaluations(half)) == 2 * len(known[1])
    assert known[1].items() <= _evaluations(half).items()
    assert found["spaces"][0]["networks"] == known[0]["spaces"][0]["networks"]
    assert "evaluator.precision=bfloat16" in found["command"]
    assert "precision" not in known[0]["command"]
    assert found["evaluator"]["settings"]["precision"] == "bfloat16"


def test_the_order_of_the_spaces_mirrors_the_result(start: Start, sources: list[str]) -> None:
    there = json.loads(_run(start("there")))
    back = json.loads(_run(start("back", spaces=sources[::-1])))
    assert back["difference"] == pytest.approx(-there["difference"])
    assert back["interval"] == pytest.approx([-each for each in there["interval"][::-1]])
    for one, other in zip(there["spaces"], back["spaces"][::-1], strict=True):
        assert one["networks"] == other["networks"]
        assert one["errors"] == other["errors"]


def test_a_space_can_be_compared_with_itself(start: Start, sources: list[str]) -> None:
    found = json.loads(_run(start(spaces=[sources[0]] * 2)))
    assert [each["label"] for each in found["spaces"]] == ["one (A)", "one (B)"]
    assert found["spaces"][0]["networks"] != found["spaces"][1]["networks"]


def test_three_spaces_are_held_against_the_first(start: Start, sources: list[str]) -> None:
    found = json.loads(_run(start(spaces=[*sources, sources[0]])))
    assert [(pair["a"], pair["b"]) for pair in found["pairs"]] == [(0, 1), (0, 2)]
    first = found["pairs"][0]
    assert (found["verdict"], found["interval"]) == (first["verdict"], first["interval"])
    assert found["level"] == first["level"]
    # Holm tests the first of two pairs at the level that Bonferroni would.
    power, level = found["power"], level_of(2)
    told = found_with(found["samples"], power["spread"], level, paired=True)
    assert power["detectable"] == pytest.approx(told, rel=1e-4)


def test_a_network_drawn_again_gets_another_seed(start: Start, tmp_path: Path) -> None:
    alone = tmp_path / "alone.json"
    alone.write_text(to_json(space([mbconv(3, 1)], "alone")))
    folder = start(spaces=[str(alone)] * 2, sampling={"samples": 5})
    found = json.loads(_run(folder))
    assert len(set(found["spaces"][0]["errors"])) > 1
    assert len(_evaluations(folder)) == 5
    assert any("5 draws gave 1 different network;" in note for note in found["notes"])
    # Both sides are the same networks under the same seeds.
    assert (found["difference"], found["verdict"]) == (0, "none")


def test_synflow_is_refused_for_binary_cells(start: Start) -> None:
    folder = start(spaces=["binary@digits"] * 2, evaluator={"method": "synflow"})
    with pytest.raises(SpaceError, match=r"synflow, but binary .*; allowed: train, supernet, nas"):
        _run(folder)


@pytest.mark.parametrize("method", ["naswot", "synflow", "supernet"])
def test_proxies_are_called_proxies(start: Start, method: str) -> None:
    found = json.loads(_run(start(evaluator={"method": method, "recalibration": 1})))
    assert found["evaluator"]["proxy"] is True
    assert found["sentence"].startswith(f"evaluated by the proxy {method}")
    assert found["unit"] == ("share" if method == "supernet" else "dominance")
    assert any("is a proxy" in note for note in found["notes"])
    unused = "evaluator.steps, evaluator.batch, evaluator.recalibration without effect: "
    said = f"{unused}{method} is a score of untrained networks"
    assert (said in found["notes"]) == (method != "supernet")


def test_an_effect_in_points_is_said_to_be_without_effect_on_scores(start: Start) -> None:
    found = json.loads(_run(start(sampling={"effect": 0.1}, evaluator={"method": "naswot"})))
    unused = "evaluator.steps, evaluator.batch, sampling.effect without effect"
    assert any(note.startswith(unused) for note in found["notes"])


def test_without_a_number_as_many_are_compared_as_the_effect_needs(start: Start) -> None:
    listener = Listener()
    found = json.loads(_run(start(sampling={"samples": None, "effect": 40.0}), listener))
    assert found["power"]["effect"] == 0.4
    assert found["power"]["pilot"] == PILOT
    assert found["level"] == PLANNED_LEVEL
    assert found["samples"] >= max(PILOT, found["power"]["samples"] // 2)
    assert any(
        "a pilot measures the standard deviation first" in said for said in listener.messages
    )
    # The assumed spread asks for fewer, but no plan has fewer than its pilot.
    assert any(said.startswith(f"plan: {PILOT} networks per") for said in listener.messages)


def test_steps_are_timed_with_the_threads_that_train(
    start: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen = []

    def seconds_of(*_: object) -> float:
        seen.append(torch.get_num_threads())
        return 1.0

    monkeypatch.setattr("autospace.comparison.planning.FEW_STEPS", 1)
    monkeypatch.setattr("autospace.comparison.planning.seconds_of", seconds_of)
    with threads(2):
        _run(start("run"))
    assert seen == [1]


def test_workers_share_the_time_of_a_plan(
    start: Start, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr("autospace.comparison.planning.FEW_STEPS", 1)
    monkeypatch.setattr("autospace.comparison.planning.seconds_of", lambda *_: 10.0)
    folder = start()
    spaces = [load(source) for source in folder.config.spaces]
    prepared = prepare(folder.config, spaces, folder.store, "cpu", no_tick)
    cache = EvaluationCache(tmp_path / "empty", {})
    count = make_plan(prepared, cache, Executor.of(1)).record["evaluations"]
    seconds = [
        make_plan(prepared, cache, Executor.of(workers)).record["estimate"]["seconds"]
        for workers in (1, 2)
    ]
    assert seconds == [10.0 * count, 5.0 * count]


def test_the_plan_is_told_once_and_its_timed_steps_leave_no_trace(
    start: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    results, told = [], []
    for name, few in (("timed", 1), ("untimed", 10**9)):
        monkeypatch.setattr("autospace.comparison.planning.FEW_STEPS", few)
        listener = Listener()
        results.append(_run(start(name, sampling={"repeats": 2}), listener))
        told.append([each for each in listener.messages if each.startswith("plan: ")])
    assert results[0] == results[1]
    (work, time), (same,) = told
    assert work == same
    assert re.fullmatch(r"plan: about \d+ s on cpu with 1 worker, by timed steps", time)
    listener = Listener()
    folder = start("again", sampling={"repeats": 2})
    _run(folder, listener)
    # Two spaces, four networks each, two seeds; a network that both spaces drew is trained once.
    count = len(list(folder.evaluations.iterdir()))
    assert 8 < count <= 16
    assert work == f"plan: 4 networks per space, 2 seeds each: {count} to train for 2 steps"
    folder.result.unlink()
    again = Listener()
    _run(folder, again)
    assert [each for each in again.messages if each.startswith("plan: ")] == [
        f"{work}, {count} known"
    ]


def test_spaces_without_a_common_cost_give_a_result_that_says_so(
    start: Start, sources: list[str], tmp_path: Path
) -> None:
    dear = tmp_path / "dear.json"
    dear.write_text(to_json(space([mbconv(7, 6)], "dear")))
    found = json.loads(_run(start(spaces=[sources[0], str(dear)])))
    assert (found["comparable"], found["verdict"]) == (False, "none")
    assert (found["pairs"], found["interval"], found["difference"]) == ([], None, None)
    assert "one has 9.49k to 94.9k MAdds; dear has 187k MAdds" in found["sentence"]
    assert found["spaces"][0]["errors"] == []


def test_unmatched_spaces_can_be_compared_on_request(
    start: Start, sources: list[str], tmp_path: Path
) -> None:
    dear = tmp_path / "dear.json"
    dear.write_text(to_json(space([mbconv(7, 6)], "dear")))
    found = json.loads(_run(start(spaces=[sources[0], str(dear)], sampling={"match": "none"})))
    assert found["pairs"][0]["test"] == "Welch t"
    assert any("not matched" in note for note in found["notes"])


@pytest.mark.parametrize(
    ("changes", "error", "message"),
    [
        ({"data": {"source": "folder:/nowhere"}}, DataError, "/nowhere"),
        ({"spaces": ["mbconv@digits", "/nowhere.json"]}, SpaceError, "/nowhere.json"),
        ({"spaces": ["mbconv@digits", "mbconv@cifar"]}, SpaceError, "mbconv@cifar has 32"),
        ({"device": "cuda:99"}, RunError, "CUDA devices"),
    ],
)  # fmt: skip
def test_what_cannot_be_leaves_no_trace(
    start: Start, changes: dict[str, Any], error: type[Exception], message: str
) -> None:
    folder = start("deep/er", **changes)
    with pytest.raises(error, match=message):
        _run(folder)
    assert not folder.path.parent.exists()


def test_more_samples_than_match_are_refused(
    start: Start, sources: list[str], tmp_path: Path
) -> None:
    dear = tmp_path / "dear.json"
    dear.write_text(to_json(space(DEAR, "dear")))
    folder = start(spaces=[sources[0], str(dear)], sampling={"samples": 10_000})
    with pytest.raises(ConfigError, match=r"samples: 10000; allowed: up to \d+, the number"):
        _run(folder)
    assert not folder.path.exists()


def test_other_images_are_refused_on_the_way(start: Start) -> None:
    folder = start()
    with pytest.raises(KeyboardInterrupt):
        _run(folder, Listener(3))
    config = folder.path / "config.toml"
    config.write_text(config.read_text().replace("train=60", "train=61"))
    with pytest.raises(RunError, match="the data has changed"):
        _run(ComparisonFolder.open(folder.path))


def test_a_replacement_keeps_the_evaluations(start: Start) -> None:
    folder = start()
    first = _run(folder)
    known = _evaluations(folder)
    with pytest.raises(RunError, match="already holds a run"):
        start()
    again = start(force=True)
    assert not again.finished
    assert _run(again) == first
    assert _evaluations(again) == known


def test_spaces_on_other_skeletons_are_compared_at_equal_images(
    start: Start, sources: list[str]
) -> None:
    found = json.loads(
        _run(start(spaces=[sources[0], "mbconv@digits"], sampling={"match": "none"}))
    )
    assert any("different skeletons (digits, small)" in note for note in found["notes"])


def test_nothing_is_compared_at_the_few_costs_in_common_of_spaces_that_hardly_overlap(
    start: Start,
) -> None:
    spaces = ["mbconv@digits", "nasbench-macro@nasbench-macro"]
    found = json.loads(_run(start(spaces=spaces, data={"resolution": 8})))
    assert 0 < found["matching"]["tuples"] < 200  # of 20,000 draws, 1 % would be enough
    assert (found["comparable"], found["matching"]["range"]) == (False, None)
    assert not any("verdict is about" in note for note in found["notes"])


@pytest.mark.slow
def test_the_number_of_workers_does_not_matter(start: Start) -> None:
    assert _run(start("one"), workers=1) == _run(start("two"), workers=2)


def test_nothing_of_this_machine_stands_in_the_result(start: Start, tmp_path: Path) -> None:
    text = _run(start()).decode()
    assert str(tmp_path) not in text
    assert json.loads(text)["command"].startswith("autospace compare one.json two.json --data ")
    assert DATA.partition(":")[0] in json.loads(text)["data"]["name"]


@pytest.mark.parametrize("match", ["ops", "none"])
def test_where_one_space_is_binary_all_are_shown_by_ops(
    start: Start, match: str, capsys: pytest.CaptureFixture[str]
) -> None:
    spaces = ["binary@digits", "mbconv@digits"]
    folder = start(spaces=spaces, sampling={"match": match}, evaluator={"method": "naswot"})
    found = json.loads(_run(folder))
    assert found["spaces"][1]["ops"] == found["spaces"][1]["madds"]
    assert found["spaces"][1]["drawn"]["ops"] == found["spaces"][1]["drawn"]["madds"]
    assert found["spaces"][0]["drawn"]["ops"]["min"] > found["spaces"][0]["drawn"]["madds"]["min"]
    print_comparison(read_comparison(folder.result), folder.result, folder.result)
    out = capsys.readouterr().out
    spans = [each["drawn"]["ops"] for each in found["spaces"]]
    told = ", ".join(f"{human(each['min'])} to {human(each['max'])}" for each in spans)
    assert f"drawn: {told}" in out
    assert " OPs\n" in out
    assert "MAdds" not in out


def _with_skips(share: int, name: str) -> Space:
    """A space whose layers with a shortcut are skipped by `share` of four candidates."""
    cells = [mbconv(3, 1), mbconv(3, 3), mbconv(5, 1), mbconv(5, 3)]
    skip, plain = Cell.from_edges([]), space(cells, name)
    layers = [
        Layer(
            layer.shape,
            tuple(
                Candidate(
                    f"cell_{place}",
                    skip if shortcut and place < share else each.cell,
                )
                for place, each in enumerate(layer.candidates)
            ),
        )
        for layer in plain.layers
        for shortcut in [layer.shape.shortcut]
    ]
    return replace(plain, layers=tuple(layers))


@pytest.mark.parametrize(("share", "told"), [(0, False), (1, False), (3, True)])
def test_networks_of_another_depth_are_told(
    tmp_path: Path, start: Start, share: int, told: bool
) -> None:
    files = []
    for name, count in (("deep", 0), ("flat", share)):
        files.append(tmp_path / f"{name}.json")
        files[-1].write_text(to_json(_with_skips(count, name)))
    sampling = {"samples": 8, "match": "none"}
    folder = start(spaces=[str(each) for each in files], sampling=sampling)
    found = json.loads(_run(folder))
    notes = [note for note in found["notes"] if "skip" in note]
    assert len(notes) == told
    if told:
        ids = {f"cell_{place}" for place in range(share)}
        chosen = [
            sum(net[f"layer_{at:02}"] in ids for at in (0, 2, 3))
            for net in found["spaces"][1]["networks"]
        ]
        assert notes == [
            "networks of deep have 4.0 layers that are not skipped, on average, those of flat "
            f"{4 - fmean(chosen):.1f}: which depth is best may depend on evaluator.steps"
        ]


def test_depth_is_that_of_the_skeleton_less_what_is_skipped(tmp_path: Path, start: Start) -> None:
    files = []
    for name, skeleton in (("short", SKELETON), ("long", LONG)):
        files.append(tmp_path / f"{name}.json")
        files[-1].write_text(to_json(space([mbconv(3, 1), mbconv(3, 3)], name, skeleton)))
    sampling = {"samples": 4, "match": "none"}
    folder = start(spaces=[str(each) for each in files], sampling=sampling)
    (note,) = [each for each in json.loads(_run(folder))["notes"] if "skipped" in each]
    assert note.startswith("networks of short have 4.0 layers that are not skipped, on average, ")
    assert ", those of long 6.0: " in note


@pytest.mark.parametrize(("steps", "told"), [(2, "0.27"), *slowly((37, "4.9"), (38, None))])
def test_trainings_of_less_than_five_epochs_are_told(
    start: Start, steps: int, told: str | None
) -> None:
    # 60 images, eight a step: 7.5 steps are an epoch, and 37.5 five of them.
    found = json.loads(_run(start(evaluator={"steps": steps, "batch": 8})))
    assert [note for note in found["notes"] if "times" in note] == [
        f"{steps} steps show a network each of 60 images {times} times: after longer trainings "
        "(evaluator.steps) the verdict may be another one"
        for times in [told]
        if times is not None
    ]
