"""Runs that are killed anywhere go on to the bytes of a run that was not."""

import json
import os
import random
import signal
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from autospace.evolution.folder import state_from_json
from autospace.scorers.predicted import IGNORANT
from autospace.spaces.files.library import load_skeleton
from tests.evolution.runs import ROUNDS, Server, settings
from tests.slow import slowly

# Places in an uninterrupted run: reading, warm-up, initial population, evolution, confirmation.
TICKS = (0.0, 0.05, 0.1, 0.2, 0.3, 0.45, 0.6, 0.7, 0.85, 1.0)
WRITES = (0.0, 0.05, 0.1, 0.15, 0.2, 0.25, 0.3, 0.5, 0.7, 0.9, 0.95, 1.0)


class Whole(NamedTuple):
    """What an uninterrupted run left."""

    settings: dict[str, Any]
    files: dict[str, bytes]
    phases: list[str]
    writes: int
    seconds: float


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    running = Server()
    yield running
    running.close()


@pytest.fixture(scope="module")
def whole(server: Server, tmp_path_factory: pytest.TempPathFactory) -> Whole:
    folder = tmp_path_factory.mktemp("whole")
    chosen = settings(folder)
    found = server.run(folder / "run", settings=chosen)
    files = _lasting(folder / "run")
    return Whole(chosen, files, found["phases"], found["writes"], found["seconds"])


def _lasting(run: Path) -> dict[str, bytes]:
    """All files of a run but the log, which holds seconds."""
    return {
        each.relative_to(run).as_posix(): each.read_bytes()
        for each in sorted(run.rglob("*"))
        if each.is_file() and each.name not in {"events.jsonl", ".lock"}
    }


def _check_sound(run: Path) -> None:
    """Whatever moment it was: what is there is whole."""
    state = run / "checkpoint" / "state.json"
    if state.exists():
        skeleton = load_skeleton(str(run / "checkpoint" / "skeleton.json"))
        state_from_json(state.read_text(), skeleton)


def _check_equal(run: Path, whole: Whole) -> None:
    assert _lasting(run) == whole.files
    events = [json.loads(line) for line in (run / "events.jsonl").read_text().splitlines()]
    assert [event["round"] for event in events] == list(range(ROUNDS))
    assert all(event["seconds"] >= 0 for event in events)


def _place(share: float, count: int) -> int:
    """The first of so many at a share of 0, the last at 1."""
    return 1 + round(share * (count - 1))


def _killed_then_resumed(server: Server, run: Path, whole: Whole, **kill: int) -> None:
    found = server.run(run, settings=whole.settings, **kill)
    assert found["code"] == -signal.SIGKILL
    _check_sound(run)
    assert server.run(run, settings=whole.settings)["code"] == 0
    _check_equal(run, whole)


def test_the_uninterrupted_run_is_as_long_as_the_kills_assume(whole: Whole) -> None:
    assert set(whole.files) == {
        "config.toml",
        "data.json",
        "reference.json",
        "space.json",
        "checkpoint/began.json",
        "checkpoint/data.sha256",
        "checkpoint/reference.safetensors",
        "checkpoint/skeleton.json",
        "checkpoint/state.json",
    }
    phases = {whole.phases[_place(share, len(whole.phases)) - 1] for share in TICKS}
    assert phases == {"data", "warm-up", "score"}
    assert whole.writes > 30


@pytest.mark.parametrize("share", [*TICKS[1::3], *slowly(*TICKS[::3], *TICKS[2::3])])
def test_killed_in_any_phase_a_run_resumes_to_the_same_bytes(
    server: Server, whole: Whole, tmp_path: Path, share: float
) -> None:
    tick = _place(share, len(whole.phases))
    _killed_then_resumed(server, tmp_path / "run", whole, tick=tick)


@pytest.mark.parametrize("share", [*WRITES[::3], *slowly(*WRITES[1::3], *WRITES[2::3])])
def test_killed_while_it_writes_a_run_resumes_to_the_same_bytes(
    server: Server, whole: Whole, tmp_path: Path, share: float
) -> None:
    write = _place(share, whole.writes)
    _killed_then_resumed(server, tmp_path / "run", whole, write=write)


@pytest.mark.slow
def test_killed_at_every_tick_and_every_write_a_run_resumes_to_the_same_bytes(
    server: Server, whole: Whole, tmp_path: Path
) -> None:
    for tick in range(1, len(whole.phases) + 1):
        _killed_then_resumed(server, tmp_path / f"tick{tick}", whole, tick=tick)
    for write in range(1, whole.writes + 1):
        _killed_then_resumed(server, tmp_path / f"write{write}", whole, write=write)


def _killed_at_random(server: Server, run: Path, whole: Whole, kills: int, seed: int) -> int:
    """Kills a run after random delays, up to so many times, then lets it end; returns how often."""
    rng = random.Random(seed)
    hits = 0
    for _ in range(kills):
        process = server.start(run, settings=whole.settings)
        # In shares of a whole run: on a fast machine, a fixed delay comes after its end.
        time.sleep(rng.uniform(0.0, whole.seconds / 4))
        with suppress(ProcessLookupError):
            os.kill(process, signal.SIGKILL)
        code = server.wait()["code"]
        assert code in {0, -signal.SIGKILL}
        _check_sound(run)
        hits += code != 0
    assert server.run(run, settings=whole.settings)["code"] == 0
    _check_equal(run, whole)
    return hits


def test_killed_again_and_again_at_random_moments_a_run_ends_with_the_same_bytes(
    server: Server, whole: Whole, tmp_path: Path
) -> None:
    hits = _killed_at_random(server, tmp_path / "run", whole, 6, seed=0)
    assert hits > 0


@pytest.mark.slow
def test_sixty_kills_at_random_moments_change_no_byte(
    server: Server, whole: Whole, tmp_path: Path
) -> None:
    hits = sum(
        _killed_at_random(server, tmp_path / f"run{seed}", whole, 4, seed) for seed in range(15)
    )
    assert hits >= 20


@pytest.mark.parametrize("method", ["local", "gated", *slowly("in-place", "distilled", "mixture")])
def test_every_scorer_resumes_to_the_same_bytes(
    server: Server, tmp_path: Path, method: str
) -> None:
    chosen = settings(tmp_path, scoring={"method": method})
    found = server.run(tmp_path / "whole", settings=chosen)
    assert found["code"] == 0
    # Not before the second round, so that something is carried over.
    stop = len(found["phases"]) * 2 // 3
    assert server.run(tmp_path / "parts", settings=chosen, tick=stop)["code"] < 0
    assert (tmp_path / "parts" / "checkpoint" / "state.json").exists()
    assert server.run(tmp_path / "parts")["code"] == 0
    assert _lasting(tmp_path / "parts") == _lasting(tmp_path / "whole")


def test_networks_that_are_trained_once_are_kept(server: Server, tmp_path: Path) -> None:
    few = {"method": "predicted", "networks": 8, "network_steps": 4}
    chosen = settings(tmp_path, scoring=few)
    found = server.run(tmp_path / "whole", settings=chosen)
    assert found["code"] == 0
    ticks = len(found["phases"])
    provenance = json.loads((tmp_path / "whole" / "space.json").read_text())["provenance"]
    known = provenance["networks"]
    trained = json.loads((tmp_path / "whole" / "checkpoint" / "networks.json").read_text())
    assert known["trained"] == len(trained["networks"]) > 8
    assert -2 < known["explained"] < 1
    assert (IGNORANT in provenance.get("notes", [])) == (known["explained"] <= 0)
    # Among the first networks, among the generations, and among those that confirm.
    for share in (0.4, 0.75, 0.95):
        parts = tmp_path / f"parts-{share}"
        tick = _place(share, ticks)
        assert server.run(parts, settings=chosen, tick=tick)["code"] < 0
        networks = parts / "checkpoint" / "networks.json"
        sound = networks.read_bytes()
        networks.write_bytes(sound.replace(b"error", b"terror", 1))
        refused = server.run(parts)
        assert refused["code"] == 2
        assert "networks.json: damaged: " in refused["error"]
        networks.write_bytes(sound)
        again = server.run(parts)
        assert again["code"] == 0
        assert len(again["phases"]) < ticks
        assert _lasting(parts) == _lasting(tmp_path / "whole")


@pytest.fixture(scope="module")
def predicted(server: Server, tmp_path_factory: pytest.TempPathFactory) -> Whole:
    folder = tmp_path_factory.mktemp("predicted")
    chosen = settings(folder, evolution={"screen": 3, "shrink": True})
    found = server.run(folder / "run", settings=chosen)
    files = _lasting(folder / "run")
    return Whole(chosen, files, found["phases"], found["writes"], found["seconds"])


@pytest.mark.parametrize("share", [0.7, *slowly(0.3, 0.5, 0.85, 1.0)])
def test_a_predictor_resumes_with_all_that_was_scored(
    server: Server, predicted: Whole, tmp_path: Path, share: float
) -> None:
    space = json.loads(predicted.files["space.json"])
    assert space["provenance"]["predictor"].keys() == {"r2", "tau"}
    assert any("uncertainty" in each for each in space["layers"][0]["candidates"])
    tick = _place(share, len(predicted.phases))
    _killed_then_resumed(server, tmp_path / "tick", predicted, tick=tick)
    write = _place(share, predicted.writes)
    _killed_then_resumed(server, tmp_path / "write", predicted, write=write)


def test_a_predictor_needs_the_log(server: Server, predicted: Whole, tmp_path: Path) -> None:
    run = tmp_path / "run"
    tick = _place(0.7, len(predicted.phases))
    assert server.run(run, settings=predicted.settings, tick=tick)["code"] < 0
    log = run / "events.jsonl"
    sound = log.read_bytes()
    lines = sound.splitlines(keepends=True)
    lines[1] = lines[1].replace(b'"cells"', b'"sells"')
    log.write_bytes(b"".join(lines))
    for missing in (1, 0):
        found = server.run(run)
        assert found["code"] == 2
        assert f"events.jsonl: round {missing}: contains no cells: " in found["error"]
        assert not log.exists() or log.read_bytes() == b"".join(lines)
        needed = "evolution.screen and evolution.shrink need the cells of every round"
        assert found["error"].endswith(needed)
        assert "\n" not in found["error"]
        log.unlink(missing_ok=True)
    log.write_bytes(sound)
    assert server.run(run)["code"] == 0
    _check_equal(run, predicted)


@pytest.mark.parametrize("method", slowly("gated", "mixture"))
def test_kept_weights_go_on_where_they_were(server: Server, tmp_path: Path, method: str) -> None:
    chosen = settings(tmp_path, scoring={"method": method, "weights": "kept"})
    found = server.run(tmp_path / "whole", settings=chosen)
    whole = Whole(chosen, _lasting(tmp_path / "whole"), [], found["writes"], found["seconds"])
    assert not list((tmp_path / "whole").rglob("kept-*"))
    for share in (0.4, 0.7, 0.9):
        run = tmp_path / str(share)
        tick = _place(share, len(found["phases"]))
        assert server.run(run, settings=chosen, tick=tick)["code"] < 0
        (kept,) = (run / "checkpoint").glob("kept-*")
        assert server.run(run)["code"] == 0
        assert _lasting(run) == whole.files
        assert not kept.exists()


@pytest.mark.slow
def test_killed_at_every_write_around_a_round_kept_weights_are_those_of_its_state(
    server: Server, tmp_path: Path
) -> None:
    chosen = settings(tmp_path, scoring={"method": "mixture", "weights": "kept"})
    found = server.run(tmp_path / "whole", settings=chosen)
    files = _lasting(tmp_path / "whole")
    # A round is nine writes; the last ones end the run.
    writes = [*range(found["writes"] // 2, found["writes"] // 2 + 10), *range(-7, 1)]
    for write in writes:
        stop = write if write > 0 else found["writes"] + write
        run = tmp_path / f"write{write}"
        assert server.run(run, settings=chosen, write=stop)["code"] < 0
        assert server.run(run)["code"] == 0
        assert _lasting(run) == files


@pytest.mark.slow
def test_lost_or_damaged_kept_weights_are_one_line(server: Server, tmp_path: Path) -> None:
    chosen = settings(tmp_path, scoring={"method": "mixture", "weights": "kept"})
    found = server.run(tmp_path / "whole", settings=chosen)
    run = tmp_path / "run"
    assert server.run(run, settings=chosen, tick=_place(0.7, len(found["phases"])))["code"] < 0
    (kept,) = (run / "checkpoint").glob("kept-*")
    sound = kept.read_bytes()
    kept.write_bytes(sound[:100])
    for _ in range(2):
        found = server.run(run)
        assert found["code"] == 2
        assert kept.name in found["error"]
        assert "\n" not in found["error"]
        kept.unlink(missing_ok=True)
    kept.write_bytes(sound)
    assert server.run(run)["code"] == 0


@pytest.mark.parametrize("tick", [2, 5, 16])
def test_interrupted_a_run_keeps_what_it_did_and_resumes_to_the_same_bytes(
    server: Server, whole: Whole, tmp_path: Path, tick: int
) -> None:
    run = tmp_path / "run"
    found = server.run(run, settings=whole.settings, tick=tick, interrupt=True)
    assert found["code"] == 130
    assert not (run / "space.json").exists()
    assert not list(run.rglob(".*.part"))
    # The warm-up is saved in the step in which it was interrupted.
    assert (run / "checkpoint" / "reference.safetensors").exists() == (tick > 2)
    assert server.run(run)["code"] == 0
    _check_equal(run, whole)


def test_the_skeleton_may_change_or_vanish_after_the_start(
    server: Server, whole: Whole, tmp_path: Path
) -> None:
    chosen = settings(tmp_path)
    run, file = tmp_path / "run", Path(chosen["skeleton"])
    assert server.run(run, settings=chosen, tick=12)["code"] < 0
    file.write_text(file.read_text().replace("channels = 4", "channels = 8"))
    assert server.run(run)["code"] == 0
    assert (run / "space.json").read_bytes() == whole.files["space.json"]


def test_a_damaged_checkpoint_is_one_line_and_is_left_as_it_is(
    server: Server, whole: Whole, tmp_path: Path
) -> None:
    run = tmp_path / "run"
    assert server.run(run, settings=whole.settings, tick=20)["code"] < 0
    for name in ("state.json", "reference.safetensors", "skeleton.json"):
        path = run / "checkpoint" / name
        sound = path.read_bytes()
        path.write_bytes(sound[:100])
        found = server.run(run)
        assert found["code"] == 2
        assert name in found["error"]
        assert "\n" not in found["error"]
        assert path.read_bytes() == sound[:100]
        path.unlink()
        path.mkdir()
        before = (run / "events.jsonl").read_bytes()
        found = server.run(run)
        assert (found["code"], name in found["error"]) == (2, True)
        assert (run / "events.jsonl").read_bytes() == before
        path.rmdir()
        path.write_bytes(sound)
    state = run / "checkpoint" / "state.json"
    sound = state.read_bytes()
    state.unlink()
    before = (run / "events.jsonl").read_bytes()
    assert before.count(b"\n") > 1
    found = server.run(run)
    assert found["code"] == 2
    assert "events.jsonl: has " in found["error"]
    assert "checkpoint that they belong to is missing; put it back" in found["error"]
    assert (run / "events.jsonl").read_bytes() == before
    state.write_bytes(sound)
    weights = run / "checkpoint" / "reference.safetensors"
    sound = weights.read_bytes()
    weights.unlink()
    found = server.run(run)
    assert found["code"] == 2
    assert "reference.safetensors: is missing, but" in found["error"]
    assert not weights.exists()
    assert (run / "events.jsonl").read_bytes() == before
    weights.write_bytes(sound)
    assert server.run(run)["code"] == 0
    _check_equal(run, whole)
