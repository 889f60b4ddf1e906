"""Runs exported files as a user without autospace would; started by `test_pytorch.py`.

python -I pytorch_client.py FOLDER: for every NAME.py, with the inputs of NAME.in, writes NAME.out.
"""

import importlib.util
import json
import random
import sys
from pathlib import Path
from types import ModuleType

import torch
from safetensors.torch import load_file, save_file
from torch import nn

Tensors = dict[str, torch.Tensor]


def forget_autospace() -> None:
    # An editable install hangs a finder of its own in here; -I has taken care of the rest.
    sys.meta_path[:] = [each for each in sys.meta_path if "editable" not in repr(each)]
    sys.path[:] = [each for each in sys.path if "site-packages" in each or "python3" in each]
    if importlib.util.find_spec("autospace") is not None:
        sys.exit("autospace can be imported: this would prove nothing")


def imported(path: Path) -> ModuleType:
    spec = importlib.util.spec_from_file_location(path.stem, path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@torch.no_grad()
def logits_of(network: nn.Module, images: torch.Tensor, *rest: object) -> Tensors:
    # Training mode last: it moves the running statistics.
    modes = {"eval": False, "train": True}
    return {name: network.train(mode)(images, *rest) for name, mode in modes.items()}


def run_architecture(module: ModuleType, given: Tensors) -> tuple[Tensors, nn.Module]:
    """The logits with the given weights."""
    images = given.pop("images")
    network = module.build().double()
    network.load_state_dict(given, strict=True)
    return logits_of(network, images), network


def run_space(module: ModuleType, given: Tensors) -> tuple[Tensors, nn.Module]:
    """The logits of the supernet, and the weights of the architecture that they came by."""
    torch.manual_seed(0)
    supernet = module.Supernet().double()
    for part in supernet.modules():
        if isinstance(part, nn.BatchNorm2d):
            nn.init.normal_(part.running_mean)  # type: ignore[arg-type]
            nn.init.uniform_(part.running_var, 0.5, 2)  # type: ignore[arg-type]
    chosen = module.sample(random.Random(0))
    network = supernet.extract(chosen)
    weights = {f"weights.{name}": value.clone() for name, value in network.state_dict().items()}
    assert not {id(p) for p in network.parameters()} & {id(p) for p in supernet.parameters()}
    logits = logits_of(supernet, given["images"], chosen)
    return logits | weights, network


def main(folder: Path) -> None:
    forget_autospace()
    torch.set_num_threads(1)
    told = {}
    for path in sorted(folder.glob("*.py")):
        module = imported(path)
        run = run_space if hasattr(module, "Supernet") else run_architecture
        tensors, network = run(module, load_file(path.with_suffix(".in")))
        save_file(tensors, path.with_suffix(".out"))
        told[path.stem] = sum(each.numel() for each in network.parameters())
    print(json.dumps(told))


main(Path(sys.argv[1]))
