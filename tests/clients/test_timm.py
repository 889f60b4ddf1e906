"""timm knows the network that we export, and builds the same from our strings, and we from its."""

import importlib
import json
import random
import re
import sys
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from autospace.exporters.targets import TARGETS
from autospace.importers.formats import import_text
from autospace.importers.target import Target
from autospace.networks.network import build_network
from autospace.spaces import Architecture, load
from tests.clients.networks import images, module_of, small_network

torch = pytest.importorskip("torch")


def _torchvision() -> None:
    """Gives torchvision's operators names that do nothing, where its build does not fit PyTorch's.

    Builds for CPU and for CUDA differ, and timm imports torchvision for the sake of images only.
    """
    library = torch.library.Library("torchvision", "FRAGMENT")
    _KEPT.append(library)
    for _ in range(50):
        try:
            importlib.import_module("torchvision")
        except RuntimeError as error:
            missing = re.search(r"operator torchvision::(\w+) does not exist", str(error))
            if missing is None:
                raise
            library.define(f"{missing[1]}(Tensor none) -> Tensor")
            for name in [each for each in sys.modules if each.startswith("torchvision")]:
                del sys.modules[name]
        except ImportError:
            return
        else:
            return


_KEPT: list[Any] = []
_torchvision()
timm = pytest.importorskip("timm", reason="make test-clients has it")
pytestmark = pytest.mark.slow
NAME = "autospace_network"


@pytest.fixture(scope="module")
def exported(tmp_path_factory: pytest.TempPathFactory) -> Any:
    return module_of("timm", small_network(), tmp_path_factory.mktemp("timm"))


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


def test_options_are_taken_or_refused(exported: Any) -> None:
    model = timm.create_model(NAME, num_classes=0, in_chans=exported.IMAGE[0]).eval()
    whole = exported.build().eval()
    model.load_state_dict(whole.state_dict(), strict=False)
    with torch.no_grad():
        features = model(images())
        assert torch.equal(whole.classifier(features), whole(images()))
    assert model.num_classes == 0
    with pytest.raises(ValueError, match="in_chans: this network reads images of"):
        timm.create_model(NAME, in_chans=7)
    with pytest.raises(TypeError, match="does not have: drop_rate, nonsense"):
        timm.create_model(NAME, drop_rate=0.1, nonsense=3)


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


def _strings(architecture: Architecture) -> str:
    made = TARGETS["timm-arch"].architecture
    assert made is not None
    return made(architecture)


def _built(text: str, architecture: Architecture) -> Any:
    """timm's network of these strings, with our stem and head around them."""
    from timm.models._efficientnet_blocks import SqueezeExcite
    from timm.models._efficientnet_builder import decode_arch_def
    from timm.models.efficientnet import EfficientNet

    skeleton = architecture.skeleton
    return EfficientNet(
        decode_arch_def(json.loads(text)),
        num_classes=skeleton.classes,
        num_features=skeleton.head,
        in_chans=skeleton.in_channels,
        stem_size=skeleton.stem.channels,
        fix_stem=True,
        act_layer=torch.nn.ReLU6,
        # It would have ReLU6 inside as well.
        se_layer=partial(SqueezeExcite, force_act_layer=torch.nn.ReLU),
    )


def _madds(network: Any, side: int) -> int:
    """Multiply-adds of convolutions and linear layers, counted as they run."""
    found = []

    def count(module: Any, given: Any, output: Any) -> None:
        del given
        found.append(module.weight[0].numel() * output[0].numel())

    for module in network.modules():
        if isinstance(module, torch.nn.Conv2d | torch.nn.Linear):
            module.register_forward_hook(count)
    with torch.no_grad():
        network.eval()(torch.zeros(1, 3, side, side))
    return sum(found)


@pytest.mark.parametrize("name", ["mbconv@mobilenetv2", "mnasnet@mobilenetv2"])
@pytest.mark.parametrize("seed", range(3))
def test_timm_builds_our_networks_from_our_strings(name: str, seed: int) -> None:
    architecture = load(name).sample(random.Random(seed))
    network = _built(_strings(architecture), architecture)
    assert sum(each.numel() for each in network.parameters()) == architecture.cost.params
    assert _madds(network, architecture.skeleton.resolution) == architecture.cost.madds


@pytest.mark.parametrize("name", ["mbconv@mobilenetv2", "mnasnet@mobilenetv2"])
def test_theirs_computes_what_ours_does(name: str) -> None:
    architecture = load(name).sample(random.Random(4))
    torch.manual_seed(0)
    ours = build_network(architecture.skeleton, architecture.cells)
    theirs = _built(_strings(architecture), architecture)
    # Equal layers in equal order; some are drawn so large that activations reach their bounds.
    own, other = ours.state_dict(), theirs.state_dict()
    weights = [torch.randn_like(each) / each[0].numel() ** 0.5 * 20 if each.dim() > 1 else each
               for each in own.values()]  # fmt: skip
    ours.load_state_dict(dict(zip(own, weights, strict=True)))
    theirs.load_state_dict(dict(zip(other, weights, strict=True)))
    x = torch.randn(2, 3, 224, 224, dtype=torch.float64)
    with torch.no_grad():
        torch.testing.assert_close(theirs.double().train()(x), ours.double().train()(x))


@pytest.mark.parametrize("name", ["mobilenetv2_100", "efficientnet_b0"])
def test_we_build_their_networks_from_their_strings(name: str) -> None:
    strings = {
        "mobilenetv2_100": [
            *("ds_r1_k3_s1_c16", "ir_r2_k3_s2_e6_c24", "ir_r3_k3_s2_e6_c32"),
            *("ir_r4_k3_s2_e6_c64", "ir_r3_k3_s1_e6_c96", "ir_r3_k3_s2_e6_c160"),
            "ir_r1_k3_s1_e6_c320",
        ],
        "efficientnet_b0": [
            *("ds_r1_k3_s1_e1_c16_se0.25", "ir_r2_k3_s2_e6_c24_se0.25"),
            *("ir_r2_k5_s2_e6_c40_se0.25", "ir_r3_k3_s2_e6_c80_se0.25"),
            *("ir_r3_k5_s1_e6_c112_se0.25", "ir_r4_k5_s2_e6_c192_se0.25"),
            "ir_r1_k3_s1_e6_c320_se0.25",
        ],
    }[name]
    text = json.dumps([[each] for each in strings])
    architecture = import_text("timm-arch", text, Target(note=lambda _: None))
    assert isinstance(architecture, Architecture)
    theirs = timm.create_model(name)
    assert sum(each.numel() for each in theirs.parameters()) == architecture.cost.params
    assert _madds(theirs, 224) == architecture.cost.madds
