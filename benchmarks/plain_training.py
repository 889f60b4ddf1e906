"""Does `autospace train` reach what a plain PyTorch script reaches with the same recipe?

    python benchmarks/plain_training.py --data CIFAR.npz --out FILE.json

Trains the MobileNetV2-like reference of a skeleton on the same images by both, seed by seed. The
plain side shares nothing with autospace: network, augmentation, loop and schedule are written out
here in PyTorch's own parts. Interrupted, it skips what the result file already holds.
"""

import argparse
import json
import os
import platform
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
import scipy.stats
import torch
from torch import nn
from torch.nn import functional as F
from torch.optim.lr_scheduler import CosineAnnealingLR, LinearLR, SequentialLR

from autospace.progress import Silent

ARCHITECTURE = "reference@benchmarks/small.json"
STEM, LAYERS, HEAD, EXPANSION = 16, ((16, 1), (32, 2), (32, 1)), 64, 6
PEAK, MOMENTUM, DECAY, SMOOTHING, PADDING, WARM_UP = 0.1, 0.9, 5e-4, 0.1, 2, 1


def conv(inputs: int, outputs: int, kernel: int, stride: int = 1, groups: int = 1) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(inputs, outputs, kernel, stride, kernel // 2, groups=groups, bias=False),
        nn.BatchNorm2d(outputs),
    )


class InvertedResidual(nn.Module):
    """The block of MobileNetV2 (Sandler et al., CVPR 2018, table 1)."""

    def __init__(self, inputs: int, outputs: int, stride: int) -> None:
        super().__init__()
        inner = inputs * EXPANSION
        self.body = nn.Sequential(
            *(conv(inputs, inner, 1), nn.ReLU6()),
            *(conv(inner, inner, 3, stride, groups=inner), nn.ReLU6()),
            conv(inner, outputs, 1),
        )
        self.shortcut = stride == 1 and inputs == outputs

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x + self.body(x) if self.shortcut else self.body(x)


def plain_network(classes: int) -> nn.Module:
    blocks: list[nn.Module] = []
    width = STEM
    for outputs, stride in LAYERS:
        blocks.append(InvertedResidual(width, outputs, stride))
        width = outputs
    network = nn.Sequential(
        *(conv(3, STEM, 3), nn.ReLU6()),
        *blocks,
        *(conv(width, HEAD, 1), nn.ReLU6()),
        *(nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(HEAD, classes)),
    )
    for module in network.modules():
        if isinstance(module, nn.Conv2d):
            nn.init.kaiming_normal_(module.weight, mode="fan_out")
        elif isinstance(module, nn.Linear):
            nn.init.normal_(module.weight, 0, 0.01)
            nn.init.zeros_(module.bias)
    return network.to(memory_format=torch.channels_last)


def cropped_and_flipped(images: torch.Tensor) -> torch.Tensor:
    side = images.shape[-1]
    padded = F.pad(images, (PADDING,) * 4)
    out = []
    for image in padded:
        top, left = torch.randint(2 * PADDING + 1, (2,)).tolist()
        window = image[:, top : top + side, left : left + side]
        out.append(window.flip(2) if torch.rand(()) < 0.5 else window)
    return torch.stack(out).contiguous(memory_format=torch.channels_last)


def plain_optimizer(
    network: nn.Module, epochs: int, per_epoch: int
) -> tuple[torch.optim.Optimizer, SequentialLR]:
    decayed = [p for p in network.parameters() if p.ndim > 1]
    rest = [p for p in network.parameters() if p.ndim <= 1]
    groups = [{"params": decayed, "weight_decay": DECAY}, {"params": rest, "weight_decay": 0.0}]
    optimizer = torch.optim.SGD(groups, PEAK, momentum=MOMENTUM, nesterov=True)
    rise = WARM_UP * per_epoch
    schedulers = [
        LinearLR(optimizer, 1 / rise, 1.0, rise - 1),
        CosineAnnealingLR(optimizer, epochs * per_epoch - rise),
    ]
    return optimizer, SequentialLR(optimizer, schedulers, [rise])


def plain_step(
    network: nn.Module,
    optimizer: torch.optim.Optimizer,
    scheduler: SequentialLR,
    images: torch.Tensor,
    labels: torch.Tensor,
) -> torch.Tensor:
    loss = F.cross_entropy(network(images), labels, label_smoothing=SMOOTHING)
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
    scheduler.step()
    return loss.detach()


def train_plainly(arrays: dict[str, np.ndarray], epochs: int, batch: int, seed: int) -> float:
    """Test accuracy of the plain script."""
    torch.manual_seed(seed)
    train, test = (_floats(arrays[f"x_{split}"]) for split in ("train", "test"))
    mean, std = train.mean((0, 2, 3), keepdim=True), train.std((0, 2, 3), keepdim=True)
    train, test = (train - mean) / std, (test - mean) / std
    labels = torch.from_numpy(arrays["y_train"].reshape(-1)).long()
    wanted = torch.from_numpy(arrays["y_test"].reshape(-1)).long()
    network = plain_network(int(labels.max()) + 1)
    per_epoch = len(train) // batch
    optimizer, scheduler = plain_optimizer(network, epochs, per_epoch)
    network.train()
    for _ in range(epochs):
        for chosen in torch.randperm(len(train))[: per_epoch * batch].view(-1, batch):
            images = cropped_and_flipped(train[chosen])
            plain_step(network, optimizer, scheduler, images, labels[chosen])
    network.eval()
    with torch.no_grad():
        right = sum(
            int((network(part).argmax(1) == truth).sum())
            for part, truth in zip(test.split(500), wanted.split(500), strict=True)
        )
    return right / len(test)


def train_with_autospace(images: Path, epochs: int, batch: int, seed: int) -> float:
    """Test accuracy of `autospace train`, all of whose defaults that differ are named."""
    from autospace.runs.settings import make_settings
    from autospace.spaces import load_architecture
    from autospace.training.folder import TrainingFolder
    from autospace.training.full import train_architecture
    from autospace.training.settings import TrainConfig

    settings: dict[str, Any] = {
        "seed": seed,
        "device": "cpu",
        "data": {"source": f"npz:{images}", "validation": 0.0},
        "augment": {"crop": PADDING, "flip": True},
        "optimizer": {
            "learning_rate": PEAK,
            "momentum": MOMENTUM,
            "weight_decay": DECAY,
            "warm_up": float(WARM_UP),
            "clip": 0.0,
        },
        "training": {"epochs": epochs, "batch": batch, "label_smoothing": SMOOTHING},
    }
    with tempfile.TemporaryDirectory() as folder:
        run = TrainingFolder.create(Path(folder) / "run", make_settings(TrainConfig, settings))
        found = train_architecture(run, Printing(), architecture=load_architecture(ARCHITECTURE))
    return found.test_accuracy


class Printing(Silent):
    """An observer that prints messages alone."""

    def message(self, text: str) -> None:
        print(text, file=sys.stderr)


def _floats(images: np.ndarray) -> torch.Tensor:
    pixels = torch.from_numpy(images).float()
    return pixels.permute(0, 3, 1, 2) if pixels.shape[-1] == 3 else pixels


def subset(source: Path, limit: int) -> dict[str, np.ndarray]:
    """So many training images, the same for every seed, and all test images."""
    with np.load(source) as stored:
        names = ("x_train", "y_train", "x_test", "y_test")
        arrays = {name: stored[name] for name in names}
    chosen = np.random.default_rng(0).permutation(len(arrays["y_train"]))[:limit]
    return {name: a[chosen] if name.endswith("train") else a for name, a in arrays.items()}


def summary(runs: dict[str, list[dict[str, float]]]) -> dict[str, Any]:
    """Means, and the difference with its 95 % interval after Welch."""
    ours, plain = ([run["accuracy"] for run in runs[side]] for side in ("autospace", "plain"))
    if min(len(ours), len(plain)) < 2:
        return {}
    test = scipy.stats.ttest_ind(ours, plain, equal_var=False)
    low, high = test.confidence_interval(0.95)
    return {
        "autospace_mean": round(float(np.mean(ours)), 5),
        "plain_mean": round(float(np.mean(plain)), 5),
        "difference": round(float(np.mean(ours) - np.mean(plain)), 5),
        "interval": [round(float(low), 5), round(float(high), 5)],
    }


def about(arguments: argparse.Namespace, arrays: dict[str, np.ndarray]) -> dict[str, Any]:
    from autospace.spaces import load_architecture

    params = sum(p.numel() for p in plain_network(10).parameters())
    if params != load_architecture(ARCHITECTURE).cost.params:
        raise SystemExit(f"the plain network has {params} weights, not those of {ARCHITECTURE}")
    return {
        "architecture": ARCHITECTURE,
        "params": params,
        "images": {
            "name": arguments.data.name,
            "resolution": int(arrays["x_train"].shape[2]),
            "train": len(arrays["x_train"]),
            "test": len(arrays["x_test"]),
        },
        "recipe": {
            "epochs": arguments.epochs,
            "batch": arguments.batch,
            "optimizer": f"SGD, Nesterov {MOMENTUM}",
            "learning_rate": PEAK,
            "schedule": f"linear over {WARM_UP} epoch, then cosine to 0",
            "weight_decay": DECAY,
            "label_smoothing": SMOOTHING,
            "augmentation": f"random crop after {PADDING} pixels of padding, mirror",
        },
        "hardware": f"{platform.machine()} CPU, {torch.get_num_threads()} thread of "
        f"{os.cpu_count()} cores",
        "versions": {"python": platform.python_version(), "torch": torch.__version__},
        "command": "python benchmarks/plain_training.py --data CIFAR.npz "
        f"--limit {arguments.limit} --epochs {arguments.epochs} --batch {arguments.batch} "
        f"--seeds {arguments.seeds} --out benchmarks/results/plain_training.json",
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "--data", type=Path, required=True, help="npz: x_train, y_train, x_test, y_test"
    )
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--limit", type=int, default=10_000)
    parser.add_argument("--epochs", type=int, default=12)
    parser.add_argument("--batch", type=int, default=64)
    parser.add_argument("--seeds", type=int, default=3)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    arrays = subset(arguments.data, arguments.limit)
    known = about(arguments, arrays)
    runs: dict[str, list[dict[str, float]]] = {"autospace": [], "plain": []}
    if arguments.out.is_file():
        found = json.loads(arguments.out.read_text())
        if found["recipe"] != known["recipe"] or found["images"] != known["images"]:
            raise SystemExit(f"{arguments.out}: of another recipe or other images")
        runs = found["runs"]
    with tempfile.TemporaryDirectory() as folder:
        images = Path(folder) / "images.npz"
        np.savez(images, **arrays)
        for seed in range(arguments.seeds):
            for side in ("plain", "autospace"):
                if any(run["seed"] == seed for run in runs[side]):
                    continue
                started = time.process_time()
                options = (arguments.epochs, arguments.batch, seed)
                accuracy = (
                    train_plainly(arrays, *options)
                    if side == "plain"
                    else train_with_autospace(images, *options)
                )
                seconds = round(time.process_time() - started, 1)
                runs[side].append({"seed": seed, "accuracy": accuracy, "cpu_seconds": seconds})
                print(side, runs[side][-1], flush=True)
                text = json.dumps({**known, "runs": runs, "summary": summary(runs)}, indent=1)
                arguments.out.write_text(text + "\n")


if __name__ == "__main__":
    main()
