"""Curves of a training for TensorBoard, which is an extra."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from autospace.training.session import Epoch

CURVES = {
    "learning_rate": "learning rate",
    "train_loss": "loss/train",
    "validation_loss": "loss/validation",
    "validation_accuracy": "accuracy/validation",
}


class Board:
    """Writes one point per epoch and curve; what a resumed training does again is written over."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._writer: Any = None

    def epoch(self, epoch: "Epoch") -> None:
        """Adds the points of an epoch."""
        if self._writer is None:
            from torch.utils.tensorboard import SummaryWriter

            self._writer = SummaryWriter(str(self._folder), purge_step=epoch.epoch)
        for name, curve in CURVES.items():
            value = getattr(epoch, name)
            if value is not None:
                self._writer.add_scalar(curve, value, epoch.epoch)
        self._writer.flush()

    def close(self) -> None:
        """Ends the file."""
        if self._writer is not None:
            self._writer.close()
