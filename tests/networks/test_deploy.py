"""What deploying refuses, verifies and leaves alone; `test_deployed_files.py` reads the files."""

import json
import random
import zipfile
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from autospace.networks.deploy import (
    _FORMATS,
    EXTRA,
    Deployed,
    DeployError,
    deploy,
    encoder_path,
)
from autospace.networks.weights import WeightsError, save_weights
from autospace.spaces import Architecture, Candidate, load, mbconv
from tests.networks.samples import lived_in
from tests.tiny import SKELETON

TINY = Architecture(SKELETON, (Candidate("a", mbconv(3, 1)), Candidate("b", mbconv(3, 1))))


def test_without_weights_the_file_says_so_and_equals_the_next_one(tmp_path: Path) -> None:
    first = deploy(TINY, "pt2", tmp_path / "first.pt2")
    assert first == Deployed(first.path, "pt2", first.path.stat().st_size, False, 0.0)
    torch.manual_seed(5)
    state = torch.random.get_rng_state()
    second = deploy(TINY, "pt2", tmp_path / "second.pt2", verify=False)
    assert torch.equal(torch.random.get_rng_state(), state), "nobody else's numbers moved"
    assert second.difference is None
    assert first.path.read_bytes() == second.path.read_bytes()
    with zipfile.ZipFile(first.path) as archive:
        (name,) = (each for each in archive.namelist() if each.endswith(EXTRA))
        assert json.loads(archive.read(name))["weights"] == "not trained: fresh, of seed 0"


Fake = Callable[..., list[torch.Tensor]]


@pytest.fixture
def fake(monkeypatch: pytest.MonkeyPatch) -> Fake:
    """Puts a format in the place of pt2 that computes the network's logits, plus `wrong`.

    Gives a list that will hold the images with which the network was traced.
    """

    def put(wrong: float = 0.0, **changes: Any) -> list[torch.Tensor]:
        networks, seen = [], []

        def encoded(network: Any, images: Any, metadata: Mapping[str, str]) -> bytes:
            networks.append(network)
            seen.append(images)
            return b"written"

        def opened(raw: bytes) -> Callable[[torch.Tensor], torch.Tensor]:
            assert raw == b"written"
            return lambda images: networks[-1](images) + wrong

        made = _FORMATS["pt2"]._replace(encoded=encoded, opened=opened, **changes)
        monkeypatch.setattr("autospace.networks.deploy._FORMATS", {"pt2": made})
        return seen

    return put


def test_the_images_and_classes_are_those_of_the_weights(tmp_path: Path, fake: Fake) -> None:
    seen = fake()
    fitted = replace(SKELETON, in_channels=3, resolution=6, classes=7, name="fitted")
    trained = replace(TINY, skeleton=fitted)
    weights = tmp_path / "net.safetensors"
    save_weights(weights, lived_in(trained), trained)
    assert deploy(TINY, "pt2", tmp_path / "net.pt2", weights=weights).trained
    assert [images.shape for images in seen] == [(2, 3, 6, 6)]


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        (1.0, "not written: its logits differ from PyTorch's by .* of the largest; allowed: 1e-05"),
        (float("nan"), "not written: its logits differ from PyTorch's by nan"),
    ],
)
def test_a_file_that_computes_something_else_is_not_written(
    tmp_path: Path, fake: Fake, wrong: float, message: str
) -> None:
    fake(wrong, tolerance=1e-5)
    path = tmp_path / "net.pt2"
    path.write_text("earlier")
    with pytest.raises(DeployError, match=message):
        deploy(TINY, "pt2", path)
    assert path.read_text() == "earlier"
    assert deploy(TINY, "pt2", path, verify=False).difference is None
    assert path.read_text() == "written"


def test_why_signs_differ_is_said_where_there_are_signs(tmp_path: Path, fake: Fake) -> None:
    fake(1.0, tolerance=1e-5)
    binary = load("binary@digits").sample(random.Random(0))
    for architecture, hint in ((TINY, ""), (binary, "; rounding decides signs of sums near 0")):
        with pytest.raises(DeployError) as caught:
            deploy(architecture, "pt2", tmp_path / "net.pt2")
        said = str(caught.value).partition("; allowed: 1e-05")[2]
        assert said.startswith(hint)
        assert bool(said) == bool(hint)


def test_weights_that_are_no_numbers_are_not_deployed(tmp_path: Path, fake: Fake) -> None:
    network = lived_in(TINY)
    nn.init.constant_(network.classifier.bias, float("nan"))
    weights = tmp_path / "net.safetensors"
    save_weights(weights, network, TINY)
    fake()
    with pytest.raises(DeployError, match="the network computes logits that are not finite"):
        deploy(TINY, "pt2", tmp_path / "net.pt2", weights=weights)


def test_a_network_larger_than_the_format_allows_is_an_error(tmp_path: Path, fake: Fake) -> None:
    fake(largest=100)
    with pytest.raises(DeployError, match=f"{TINY.cost.params} params; allowed: 2 GB of weights"):
        deploy(TINY, "pt2", tmp_path / "net.pt2")


@pytest.mark.parametrize(
    ("other", "message"),
    [
        (replace(TINY, candidates=(TINY.candidates[0], Candidate("c", mbconv(5, 1)))),
         'the weights belong to another architecture: layer_01 is "b", not the cell of "c"'),
        (replace(TINY, skeleton=replace(SKELETON, head=8, name="wide")),
         'the weights belong to another skeleton: "tiny", not "wide"'),
    ],
)  # fmt: skip
def test_weights_of_other_cells_are_refused(
    tmp_path: Path, other: Architecture, message: str
) -> None:
    weights = tmp_path / "net.safetensors"
    save_weights(weights, lived_in(TINY), TINY)
    with pytest.raises(WeightsError, match=message):
        deploy(other, "pt2", tmp_path / "net.pt2", weights=weights)
    assert not (tmp_path / "net.pt2").exists()


def test_a_missing_package_is_one_line_that_says_how_to_get_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("autospace.networks.deploy.find_spec", lambda name: None)
    wanted = "onnx: needs onnx, onnxscript, onnxruntime; install with: pip install .autospace.onnx"
    with pytest.raises(DeployError, match=wanted):
        deploy(TINY, "onnx", tmp_path / "net.onnx")


def test_a_format_that_is_none_is_an_error(tmp_path: Path) -> None:
    name: Any = "tflite"
    with pytest.raises(DeployError, match='"tflite": no such format; allowed: onnx, pt2'):
        deploy(TINY, name, tmp_path / "net")


def test_a_folder_that_is_not_there_is_named_before_any_work(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError) as caught:
        deploy(TINY, "onnx", tmp_path / "gone" / "net.onnx")
    assert caught.value.filename == str(tmp_path / "gone")


def test_a_place_that_cannot_be_written_is_named_as_the_user_named_it(
    tmp_path: Path, fake: Fake
) -> None:
    fake()
    place = tmp_path / "net.pt2"
    place.mkdir()
    with pytest.raises(OSError, match=r"net\.pt2") as caught:
        deploy(TINY, "pt2", place)
    assert caught.value.filename == str(place)


def test_of_two_files_an_earlier_pair_stays_whole_if_one_cannot_be_made(
    tmp_path: Path, fake: Fake, monkeypatch: pytest.MonkeyPatch
) -> None:
    fake()
    path = tmp_path / "net.pt2"
    for each in (path, encoder_path(path)):
        each.write_text("earlier")
    captions = load("autocaption@captions-small").sample(random.Random(0))
    refused: list[Path] = [path]

    def verified(_form: Any, _raw: Any, _program: Any, _skeleton: Any, place: Path) -> float:
        if place in refused:
            raise DeployError(f"{place}: not written")
        return 0.25 if place == path else 0.5

    monkeypatch.setattr("autospace.networks.deploy._verified", verified)
    with pytest.raises(DeployError, match=r"net\.pt2: not written"):
        deploy(captions, "pt2", path)
    assert [each.read_text() for each in (path, encoder_path(path))] == ["earlier"] * 2
    refused.clear()
    made = deploy(captions, "pt2", path)
    assert (made.difference, made.bytes) == (0.5, 2 * len("written"))
    assert [each.read_text() for each in (path, encoder_path(path))] == ["written"] * 2
