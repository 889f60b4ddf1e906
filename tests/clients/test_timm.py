"""timm knows the network that we export."""

from pathlib import Path
from typing import Any

import pytest

from tests.clients.networks import images, module_of, small_network

timm = pytest.importorskip("timm", reason="make test-clients has it")
torch = pytest.importorskip("torch")
pytestmark = pytest.mark.slow
NAME = "autospace_network"


@pytest.fixture
def exported(tmp_path: Path) -> Any:
    return module_of("timm", small_network(), tmp_path)


def test_the_network_is_in_the_list_of_models(exported: Any) -> None:
    assert NAME in timm.list_models()
    model = timm.create_model(NAME)
    assert isinstance(model, exported.Network)
    assert sum(each.numel() for each in model.parameters()) == small_network().cost.params


def test_the_number_of_classes_is_passed_on(exported: Any) -> None:
    model = timm.create_model(NAME, num_classes=7).eval()
    assert model(images()).shape == (2, 7)
    assert model.num_classes == 7
    assert exported.CLASSES != 7


def test_a_checkpoint_is_loaded(exported: Any, tmp_path: Path) -> None:
    from safetensors.torch import save_file

    network = exported.build().eval()
    save_file(network.state_dict(), tmp_path / "model.safetensors")
    path = str(tmp_path / "model.safetensors")
    loaded = timm.create_model(NAME, checkpoint_path=path).eval()
    with torch.no_grad():
        assert torch.equal(loaded(images()), network(images()))


def test_pretrained_weights_are_not_pretended(exported: Any) -> None:
    with pytest.raises(ValueError, match="checkpoint_path"):
        timm.create_model(NAME, pretrained=True)
    assert exported.build is not None
