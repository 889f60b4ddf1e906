"""Language models leave as files that compute what ours compute."""

import random
from pathlib import Path
from typing import Any

import pytest
import torch

from autospace.exporters.hubs import to_huggingface, to_timm
from autospace.exporters.targets import TARGETS
from autospace.networks.deploy import deploy
from autospace.networks.recurrent import LanguageModel, weights_of
from autospace.networks.weights import load_weights, save_weights
from autospace.spaces import Architecture, SpaceError
from autospace.spaces.files.families import family_space
from autospace.spaces.sequence import SequenceSkeleton


def _architecture(name: str, root: str | None = "tanh") -> Architecture:
    return family_space(name, SequenceSkeleton.of("tiny", 9, 6, 4, root=root)).sample(
        random.Random(1)
    )


def _model(architecture: Architecture) -> LanguageModel:
    torch.manual_seed(0)
    model = LanguageModel(architecture.skeleton, architecture.cells)
    with torch.no_grad():
        for weight in model.parameters():
            weight.normal_(0, 0.5)
    return model.eval()


def _module(text: str) -> dict[str, Any]:
    space: dict[str, Any] = {"__name__": "exported"}
    exec(compile(text, "exported.py", "exec"), space)
    return space


@pytest.mark.parametrize(
    ("name", "root"), [("enas-rnn", "tanh"), ("darts-rnn", "tanh"), ("enas-rnn", None)]
)
def test_a_python_file_computes_the_same(name: str, root: str | None) -> None:
    architecture = _architecture(name, root)
    export = TARGETS["pytorch"].architecture
    assert export is not None
    exported, ours = _module(export(architecture)), _model(architecture)
    theirs = exported["build"]()
    theirs.load_state_dict(weights_of(ours))
    tokens, state = torch.randint(0, 9, (7, 3)), torch.randn(3, 6)
    found = ours.run(tokens, state, ours.cell)
    logits, last = theirs(tokens, state)
    assert torch.equal(logits.flatten(0, 1), found.logits)
    assert torch.equal(last, found.states[-1])


@pytest.mark.parametrize("target", ["onnx", "pt2"])
def test_a_deployed_file_reads_token_after_token(target: Any, tmp_path: Path) -> None:
    architecture = _architecture("darts-rnn")
    ours, path = _model(architecture), tmp_path / f"m.{target}"
    save_weights(tmp_path / "w.safetensors", ours, architecture, {"vocabulary": "[]"})
    kept, tensors = load_weights(tmp_path / "w.safetensors")
    assert kept == architecture
    assert {*tensors} == {name for name, _ in ours.named_parameters()}
    deploy(architecture, target, path, weights=tmp_path / "w.safetensors")
    tokens, state = torch.randint(0, 9, (5, 2)), torch.zeros(2, 6)
    wanted = ours.run(tokens, state, ours.cell).logits.detach().unflatten(0, (5, 2))
    if target == "onnx":
        onnxruntime = pytest.importorskip("onnxruntime")
        session = onnxruntime.InferenceSession(path.read_bytes())

        def step(row: torch.Tensor, before: torch.Tensor) -> Any:
            given = {"tokens": row.numpy(), "state": before.numpy()}
            return [torch.from_numpy(each) for each in session.run(None, given)]
    else:
        step = torch.export.load(path).module()
    for row, logits in zip(tokens, wanted, strict=True):
        found, state = step(row, state)
        torch.testing.assert_close(found, logits, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("export", [to_huggingface, to_timm])
def test_hubs_of_images_refuse_text(export: Any) -> None:
    with pytest.raises(SpaceError, match="reads text, and the export to"):
        export(_architecture("enas-rnn"))
