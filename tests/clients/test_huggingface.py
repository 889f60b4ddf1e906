"""Hugging Face's hub saves and loads the network that we export."""

import json
from pathlib import Path
from typing import Any

import pytest

from tests.clients.networks import images, module_of, small_network

hub = pytest.importorskip("huggingface_hub", reason="make test-clients has it")
torch = pytest.importorskip("torch")
pytestmark = pytest.mark.slow


@pytest.fixture
def exported(tmp_path: Path) -> Any:
    return module_of("huggingface", small_network(), tmp_path)


def test_a_saved_network_loads_with_its_weights(exported: Any, tmp_path: Path) -> None:
    network = exported.build().eval()
    network.save_pretrained(tmp_path / "saved")
    names = {each.name for each in (tmp_path / "saved").iterdir()}
    assert names >= {"config.json", "model.safetensors", "README.md"}
    loaded = exported.Network.from_pretrained(str(tmp_path / "saved")).eval()
    with torch.no_grad():
        assert torch.equal(loaded(images()), network(images()))


def test_the_config_keeps_the_number_of_classes(exported: Any, tmp_path: Path) -> None:
    exported.Network(classes=7).save_pretrained(tmp_path / "seven")
    assert json.loads((tmp_path / "seven" / "config.json").read_text())["classes"] == 7
    loaded = exported.Network.from_pretrained(str(tmp_path / "seven"))
    assert loaded.classifier.out_features == 7


def test_the_model_card_is_one_that_the_hub_reads(exported: Any, tmp_path: Path) -> None:
    exported.build().save_pretrained(tmp_path / "card")
    card = hub.ModelCard.load(tmp_path / "card" / "README.md")
    assert card.data.pipeline_tag == "image-classification"
    assert "autospace" in card.data.tags


def test_weights_of_the_plain_export_fit(exported: Any, tmp_path: Path) -> None:
    plain = module_of("pytorch", small_network(), tmp_path).build()
    missing = exported.build().load_state_dict(plain.state_dict())
    assert not missing.missing_keys
    assert not missing.unexpected_keys
    assert sum(each.numel() for each in plain.parameters()) == small_network().cost.params
