"""Weights files: what was saved comes back, and nothing else is taken for it."""

import json
import struct
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.torch import load_file, save, save_file

from autospace.networks.network import Network
from autospace.networks.weights import (
    NORMALISATION,
    WeightsError,
    load_metadata,
    load_weights,
    save_weights,
)
from autospace.spaces import Architecture, Candidate, mbconv, to_json
from tests.strategies import architectures
from tests.tiny import SKELETON

ARCHITECTURE = Architecture(
    SKELETON, (Candidate("mbconv_k3_e3", mbconv(3, 3)), Candidate("k5", mbconv(5, 1, se=True)))
)
ABOUT = {NORMALISATION: '{"mean": [1.5], "std": [2]}', "data": "naïve \n data", "z": "", "a": "1"}


def _network(architecture: Architecture = ARCHITECTURE) -> Network:
    torch.manual_seed(0)
    return Network(architecture.skeleton, architecture.cells)


@pytest.fixture
def saved(tmp_path: Path) -> Path:
    path = tmp_path / "net.safetensors"
    save_weights(path, _network(), ARCHITECTURE, ABOUT)
    return path


@given(architectures())
@settings(max_examples=20)
def test_architecture_and_weights_come_back(
    tmp_path_factory: pytest.TempPathFactory, architecture: Architecture
) -> None:
    path = tmp_path_factory.mktemp("weights") / "net"
    network = _network(architecture)
    save_weights(path, network, architecture)
    back, tensors = load_weights(path)
    assert back == architecture
    values = network.state_dict()
    assert tensors.keys() == values.keys()
    assert all(torch.equal(tensors[name], value) for name, value in values.items())


def test_metadata_comes_back(saved: Path) -> None:
    assert load_metadata(saved) == {**ABOUT, "architecture": to_json(ARCHITECTURE)}


def test_any_reader_of_safetensors_reads_the_weights(saved: Path) -> None:
    values = _network().state_dict()
    assert all(torch.equal(value, values[name]) for name, value in load_file(saved).items())
    with saved.open("rb") as stream:
        (size,) = struct.unpack("<Q", stream.read(8))
        header = stream.read(size)
    # The format wants the numbers aligned, and the header to begin with a brace.
    assert size % 8 == 0
    assert header.startswith(b"{")


@pytest.mark.slow
def test_equal_weights_give_equal_bytes_in_every_process(saved: Path, tmp_path: Path) -> None:
    # The library's own order of the metadata differs from process to process.
    again = tmp_path / "again"
    program = (
        "import sys; from pathlib import Path; from tests.networks.test_weights import *; "
        "from tests.networks.test_weights import _network; "
        "save_weights(Path(sys.argv[1]), _network(), ARCHITECTURE, ABOUT)"
    )
    root = Path(__file__).resolve().parents[2]
    subprocess.run([sys.executable, "-c", program, str(again)], cwd=root, check=True)
    assert again.read_bytes() == saved.read_bytes()


def test_weights_in_another_memory_format_are_the_same_weights(saved: Path, tmp_path: Path) -> None:
    network = _network().to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    save_weights(tmp_path / "last", network, ARCHITECTURE, ABOUT)
    assert (tmp_path / "last").read_bytes() == saved.read_bytes()


def test_reading_weights_disturbs_no_random_numbers(saved: Path) -> None:
    torch.manual_seed(3)
    wanted = torch.rand(1)
    torch.manual_seed(3)
    load_weights(saved)
    assert torch.equal(torch.rand(1), wanted)


def test_a_file_that_exists_survives_a_failed_save(saved: Path) -> None:
    before = saved.read_bytes()
    other = replace(SKELETON, classes=3)
    with pytest.raises(WeightsError, match=r"classifier.bias: floats \[4\]; allowed: floats \[3\]"):
        save_weights(saved, _network(), Architecture(other, ARCHITECTURE.candidates))
    assert saved.read_bytes() == before
    assert [each.name for each in saved.parent.iterdir()] == [saved.name]


def _saved(path: Path, changes: dict[str, torch.Tensor | None], about: dict[str, str]) -> Path:
    tensors = {**_network().state_dict(), **changes}
    save_file({name: each for name, each in tensors.items() if each is not None}, path, about)
    return path


RIGHT = {"architecture": to_json(ARCHITECTURE)}


@pytest.mark.parametrize(
    ("changes", "about", "message"),
    [
        ({}, {}, "has no architecture in its metadata; allowed: a file that autospace saved"),
        ({}, {"architecture": "{"}, "architecture: "),
        ({}, {"architecture": to_json(SKELETON)}, "architecture: a skeleton; allowed: an"),
        ({"classifier.bias": None}, RIGHT, "classifier.bias: missing"),
        ({"x\n": torch.zeros(1)}, RIGHT, r'"x\\n": not a weight of its architecture'),
        ({"classifier.bias": torch.zeros(5)}, RIGHT, r"classifier.bias: floats \[5\]; allowed"),
        ({"classifier.bias": torch.zeros(4, dtype=torch.int32)}, RIGHT, r"bias: integers \[4\]; "),
    ],
)
def test_a_foreign_file_is_an_error_that_says_what_is_wrong(
    tmp_path: Path, changes: dict[str, torch.Tensor | None], about: dict[str, str], message: str
) -> None:
    path = _saved(tmp_path / "net", changes, about)
    with pytest.raises(WeightsError, match=message) as caught:
        load_weights(path)
    assert str(caught.value).startswith(f"{path}: ")
    assert str(caught.value).isprintable()


def test_a_small_file_that_names_a_huge_network_costs_nothing(tmp_path: Path) -> None:
    huge = json.loads(to_json(ARCHITECTURE))
    wide = replace(SKELETON, head=8192, classes=100_000)
    huge["skeleton"] = json.loads(to_json(wide))
    for key in ("format", "version"):
        huge["skeleton"].pop(key)
    path = tmp_path / "net"
    path.write_bytes(save({"a": torch.zeros(3)}, {"architecture": json.dumps(huge)}))
    with pytest.raises(WeightsError, match=r"3 numbers; allowed: the 8\d{8} weights of its"):
        load_weights(path)


def test_a_path_without_a_file_is_an_error(tmp_path: Path) -> None:
    for path, problem in ((tmp_path / "none", "no such file"), (tmp_path, "is a folder")):
        with pytest.raises(WeightsError, match=problem):
            load_weights(path)


@given(st.data())
@settings(max_examples=60)
def test_a_damaged_file_is_never_more_than_a_weights_error(
    tmp_path_factory: pytest.TempPathFactory, data: st.DataObject
) -> None:
    path = tmp_path_factory.mktemp("weights") / "net"
    save_weights(path, _network(), ARCHITECTURE)
    raw = bytearray(path.read_bytes())
    if data.draw(st.booleans()):
        del raw[data.draw(st.integers(0, len(raw) - 1)) :]
    else:
        # In the header, mostly: elsewhere a changed byte is only another weight.
        place = data.draw(st.integers(0, 3000))
        raw[place] = data.draw(st.integers(0, 255))
    path.write_bytes(bytes(raw))
    problem = ""
    try:
        architecture, tensors = load_weights(path)
    except WeightsError as error:
        problem = str(error)
    if problem:
        assert problem.startswith(f"{path}: ")
        assert "\n" not in problem
    else:
        Network(architecture.skeleton, architecture.cells).load_state_dict(tensors)
