"""The suites by name, and a run of some of them as one document."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final

import torch

from autospace.bench.cost_check import cost
from autospace.bench.document import Bench, Entry, Options, Suite
from autospace.bench.ranking import ranking
from autospace.bench.recovery import recovery
from autospace.bench.speed import speed
from autospace.compute.machine import this_machine, versions

SEEDS: Final = 3
QUICK_SEEDS: Final = 2

Say = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class Order:
    """What is to be measured, and on what.

    Attributes:
        data: where CIFAR-10 is, for the ground truth made on it; None for the generated images.
    """

    quick: bool
    seeds: int
    device: torch.device
    data: str | None = None

    @property
    def options(self) -> Options:
        """What has to be equal for two measurements to be comparable."""
        return Options(quick=self.quick, seeds=self.seeds, cifar10=self.data is not None)


SUITES: dict[Suite, Callable[[Order, Say], list[Entry]]] = {
    "speed": lambda order, say: speed(quick=order.quick, device=order.device, say=say),
    "recovery": lambda order, say: recovery(seeds=order.seeds, say=say),
    "ranking": lambda order, say: ranking(
        seeds=order.seeds, device=order.device, say=say, source=order.data
    ),
    "cost": lambda order, say: cost(quick=order.quick, say=say),
}


def bench(suites: Sequence[Suite], order: Order, say: Say) -> Bench:
    """Measures suites one after another; `say` is told what is being measured."""
    machine = this_machine(order.device)
    entries = [entry for name in suites for entry in SUITES[name](order, say)]
    return Bench(machine=machine, versions=versions(), options=order.options, entries=entries)
