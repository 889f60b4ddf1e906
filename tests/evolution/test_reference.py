"""The reference network's training, and its checkpoint."""

import json
import struct
from pathlib import Path

import pytest
import torch
from safetensors import safe_open

from autospace.evolution import reference as module
from autospace.evolution.reference import WEIGHTS, new_reference, warm_up
from autospace.evolution.settings import WarmUpConfig
from autospace.networks.network import Network
from autospace.progress import no_tick
from autospace.runs.errors import CheckpointError, ConfigError
from autospace.spaces import mbconv
from tests.tiny import SKELETON

OPTIONS = WarmUpConfig(steps=6, batch=8, learning_rate=0.1)


class Noise:
    def batch(self, step: int) -> tuple[torch.Tensor, torch.Tensor]:
        generator = torch.Generator().manual_seed(step)
        images = torch.randn(8, 1, 8, 8, generator=generator)
        return images.to(memory_format=torch.channels_last), torch.arange(8) % 4


class StopError(Exception):
    pass


def _network(seed: int = 0) -> Network:
    return new_reference(SKELETON, [mbconv(3, 3)] * 2, seed, torch.device("cpu"))


def _trained(folder: Path, options: WarmUpConfig = OPTIONS) -> Network:
    network = _network()
    warm_up(network, Noise(), options, folder, no_tick)
    return network


def _same(one: Network, other: Network) -> bool:
    first, second = one.state_dict(), other.state_dict()
    return first.keys() == second.keys() and all(torch.equal(first[k], second[k]) for k in first)


def _stopped(folder: Path, stop: int) -> None:
    def tick(done: int, _total: int) -> None:
        if done == stop:
            raise StopError

    with pytest.raises(StopError):
        warm_up(_network(), Noise(), OPTIONS, folder, tick)


def test_a_reference_starts_the_same_for_equal_seeds_and_disturbs_nobody() -> None:
    torch.manual_seed(3)
    before = torch.get_rng_state()
    assert _same(_network(0), _network(0))
    assert not _same(_network(0), _network(1))
    assert torch.equal(torch.get_rng_state(), before)


@pytest.mark.parametrize("stop", [1, 2, 5, 6])
def test_a_warm_up_stopped_after_any_step_goes_on_to_the_same_bits(
    tmp_path: Path, stop: int
) -> None:
    whole, parts = tmp_path / "whole", tmp_path / "parts"
    whole.mkdir()
    parts.mkdir()
    expected = _trained(whole)
    _stopped(parts, stop)
    with safe_open(parts / WEIGHTS, "pt") as stream:
        kept = json.loads(stream.metadata()["state"])
    assert kept["step"] == str(stop)
    network = _trained(parts)
    # Running means and counters of the norms are part of the state, and so is the momentum.
    assert any("running_mean" in name for name in network.state_dict())
    assert _same(network, expected)
    assert (parts / WEIGHTS).read_bytes() == (whole / WEIGHTS).read_bytes()


def test_every_step_is_reported(tmp_path: Path) -> None:
    seen: list[tuple[int, int]] = []
    warm_up(_network(), Noise(), OPTIONS, tmp_path, lambda *each: seen.append(each))
    assert seen == [(step, 6) for step in range(1, 7)]


def test_a_finished_warm_up_is_only_read(tmp_path: Path) -> None:
    expected = _trained(tmp_path)

    class Nothing:
        def batch(self, step: int) -> tuple[torch.Tensor, torch.Tensor]:
            raise AssertionError(f"step {step} was trained again")

    network = _network(7)
    warm_up(network, Nothing(), OPTIONS, tmp_path, no_tick)
    assert _same(network, expected)


def test_a_long_warm_up_is_saved_now_and_then(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "SECONDS_BETWEEN_CHECKPOINTS", 0.0)
    steps: list[str] = []

    def look(done: int, _total: int) -> None:
        if done > 1:
            with safe_open(tmp_path / WEIGHTS, "pt") as stream:
                steps.append(json.loads(stream.metadata()["state"])["step"])

    warm_up(_network(), Noise(), OPTIONS, tmp_path, look)
    assert steps == ["1", "2", "3", "4", "5"]


def _header(raw: bytes, change: dict[str, str]) -> bytes:
    """The same file with other entries in its record."""
    (size,) = struct.unpack("<Q", raw[:8])
    header = json.loads(raw[8 : 8 + size])
    record = json.loads(header["__metadata__"]["state"])
    header["__metadata__"]["state"] = json.dumps({"sha256": record["sha256"], **change})
    text = json.dumps(header).encode()
    return struct.pack("<Q", len(text)) + text + raw[8 + size :]


@pytest.mark.parametrize(
    "damage",
    [
        lambda raw: b"",
        lambda raw: b"\x00" * 100,
        lambda raw: b"\xff" * 100,
        lambda raw: raw[: len(raw) // 2],
        lambda raw: raw[:-1],
        lambda raw: raw + b"x",
        lambda raw: raw[:8] + b"x" + raw[9:],
        lambda raw: _header(raw, {}),
        lambda raw: _header(raw, {"step": "one\nline"}),
        lambda raw: _header(raw, {"step": "0"}),
        lambda raw: _header(raw, {"step": "7"}),
        lambda raw: _header(raw, {"step": "-1"}),
        lambda raw: raw.replace(b"stem.0", b"stem.9"),
        lambda raw: raw.replace(b"momentum.stem.0", b"momentum.stem.9"),
    ],
)
def test_a_damaged_checkpoint_is_one_line_that_names_the_file(
    tmp_path: Path, damage: object
) -> None:
    _stopped(tmp_path, 3)
    path = tmp_path / WEIGHTS
    raw = path.read_bytes()
    if not callable(damage):
        raise TypeError
    path.write_bytes(damage(raw))
    with pytest.raises(CheckpointError) as caught:
        warm_up(_network(), Noise(), OPTIONS, tmp_path, no_tick)
    assert str(caught.value).startswith(f"{path}: damaged")
    assert "\n" not in str(caught.value)


def test_a_checkpoint_of_another_network_is_refused(tmp_path: Path) -> None:
    _stopped(tmp_path, 3)
    other = new_reference(SKELETON, [mbconv(5, 1)] * 2, 0, torch.device("cpu"))
    with pytest.raises(CheckpointError, match="damaged, or of another run"):
        warm_up(other, Noise(), OPTIONS, tmp_path, no_tick)


def test_a_reference_that_diverges_is_an_error_that_says_what_to_change(tmp_path: Path) -> None:
    class Hostile(Noise):
        def batch(self, step: int) -> tuple[torch.Tensor, torch.Tensor]:
            images, labels = super().batch(step)
            return images * float("inf" if step == 3 else 1), labels

    with pytest.raises(ConfigError, match=r"warm_up.learning_rate: 0.1; the reference .* diverged"):
        warm_up(_network(), Hostile(), OPTIONS, tmp_path, no_tick)
    assert not (tmp_path / WEIGHTS).exists()
