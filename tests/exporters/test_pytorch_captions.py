"""Networks for captions leave as files that compute what ours compute."""

import random
from pathlib import Path
from typing import Any

import pytest
import torch

from autospace.exporters.targets import TARGETS
from autospace.networks.captions import START, CaptionModel, packed
from autospace.networks.deploy import deploy, encoder_path
from autospace.networks.weights import load_weights, save_weights
from autospace.spaces import Architecture, SpaceError
from autospace.spaces.captions import CaptionSkeleton
from autospace.spaces.files.families import family_space

OF_IMAGES = (
    "autospace-iccv2021", "darts-genotype", "huggingface", "nasbench201", "nni-python",
    "proxylessnas", "timm", "timm-arch",
)  # fmt: skip


def _architecture(seed: int = 1) -> Architecture:
    own = CaptionSkeleton.of("tiny", 9, 6, 2, depth=3, resolution=9, encoder=(4, 5))
    return family_space("autocaption", own).sample(random.Random(seed))


def _model(architecture: Architecture) -> Any:
    torch.manual_seed(0)
    model = CaptionModel(architecture.skeleton, architecture.cells)
    with torch.no_grad():
        for weight in model.parameters():
            weight.normal_(0, 0.5)
    return model.eval()


@pytest.mark.parametrize("seed", range(3))
def test_a_python_file_computes_the_same(seed: int) -> None:
    architecture = _architecture(seed)
    export = TARGETS["pytorch"].architecture
    assert export is not None
    text = export(architecture)
    module: dict[str, Any] = {"__name__": "exported"}
    exec(compile(text, "exported.py", "exec"), module)
    ours, theirs = _model(architecture), module["build"]().eval()
    theirs.load_state_dict(ours.state_dict())
    images, tokens = torch.randn(2, 1, 9, 9), torch.tensor([[START, 5, 6], [START, 7, 4]])
    found = ours(packed(images, tokens, judged=True))
    torch.testing.assert_close(theirs(images, tokens), found.logits)
    assert torch.equal(theirs.write(images, 3), found.tokens)
    exec(compile(text, "exported.py", "exec"), {"__name__": "__main__"})


@pytest.mark.slow
@pytest.mark.parametrize("target", ["onnx", "pt2"])
def test_deployed_files_write_token_after_token(target: Any, tmp_path: Path) -> None:
    architecture = _architecture()
    ours, path = _model(architecture), tmp_path / f"m.{target}"
    save_weights(tmp_path / "w.safetensors", ours, architecture, {"vocabulary": "[]"})
    kept, tensors = load_weights(tmp_path / "w.safetensors")
    assert kept == architecture
    assert {*tensors} == {*ours.state_dict()}
    if target == "onnx":
        pytest.importorskip("onnxruntime")
        pytest.importorskip("onnxscript")
    deploy(architecture, target, path, weights=tmp_path / "w.safetensors")
    images, tokens = torch.randn(2, 1, 9, 9), torch.tensor([[START, 5, 6], [START, 7, 4]])
    wanted = ours(packed(images, tokens)).detach()
    encode, step = (_opened(target, each) for each in (encoder_path(path), path))
    (feature,) = encode(images)
    state = feature[:, None].expand(-1, 3, -1).contiguous()
    for place, row in enumerate(tokens.T.contiguous()):
        logits, state = step(row, feature, state)
        torch.testing.assert_close(logits, wanted[:, place], rtol=1e-4, atol=1e-5)


def _opened(target: str, path: Path) -> Any:
    if target == "pt2":
        module = torch.export.load(path).module()

        def run(*given: torch.Tensor) -> Any:
            found = module(*given)
            return found if isinstance(found, tuple) else (found,)

        return run
    import onnxruntime

    session = onnxruntime.InferenceSession(path.read_bytes())
    names = [each.name for each in session.get_inputs()]

    def run_onnx(*given: torch.Tensor) -> Any:
        values = {name: each.numpy() for name, each in zip(names, given, strict=True)}
        return [torch.from_numpy(each) for each in session.run(None, values)]

    return run_onnx


@pytest.mark.parametrize("name", sorted(TARGETS))
def test_every_target_writes_it_or_says_why_not(name: str) -> None:
    architecture = _architecture()
    space = family_space("autocaption", architecture.skeleton)
    target = TARGETS[name]
    both: Any = ((target.space, space), (target.architecture, architecture))
    for export, value in both:
        if export is None:
            continue
        if name in OF_IMAGES:
            with pytest.raises(SpaceError, match=r"recurrent|reads captions") as found:
                export(value)
            assert "\n" not in str(found.value)
            continue
        assert export(value)
