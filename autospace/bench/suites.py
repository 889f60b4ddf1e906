"""The suites of the bench by name, and a run of some of them as one document.

The suite `cost` is defined here: it compares MAdds and params in closed form with networks that are
built and counted. Torch counts the operations of a forward pass as it dispatches them, on tensors
without data; it counts a multiply-accumulate as two. Any difference is a defect of the closed form
or of a module.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Final

import torch
from torch.utils.flop_counter import FlopCounterMode

from autospace.bench.document import Bench, Entry, Options, Suite
from autospace.bench.ranking import ranking
from autospace.bench.recovery import recovery
from autospace.bench.speed import speed
from autospace.bench.truth import truth
from autospace.compute.machine import this_machine, versions
from autospace.networks.network import Network
from autospace.progress import Message
from autospace.seeds import stream
from autospace.spaces.cells.cell import Cell
from autospace.spaces.cells.operations import DEFAULT_OPERATIONS
from autospace.spaces.cells.variation import CellPrior, random_cell
from autospace.spaces.skeleton import LayerSpec, Skeleton, Stem
from autospace.spaces.space import network_cost

SKELETON: Final = Skeleton(
    "counted", 3, 33, 10, Stem(8, 2, 6), (LayerSpec(6), LayerSpec(9, 2), LayerSpec(9)), 20
)
"""Odd sizes, both strides, a stem block and a head: cases in which a formula may be wrong."""
PRIOR: Final = CellPrior(tuple(name for name in DEFAULT_OPERATIONS if name != "none"))
NETWORKS: Final = 40
QUICK_NETWORKS: Final = 10
Counted = tuple[int, int]


def counted(skeleton: Skeleton, cells: Sequence[Cell]) -> Counted:
    """MAdds of one image and params of a network, by building and running it."""
    with torch.device("meta"):
        network = Network(skeleton, cells).eval()
        side = skeleton.resolution
        images = torch.empty(1, skeleton.in_channels, side, side)
    with torch.no_grad(), FlopCounterMode(display=False) as counter:
        network(images)
    params = sum(parameter.numel() for parameter in network.parameters())
    return counter.get_total_flops() // 2, params


def cost(
    *,
    quick: bool,
    on_message: Message,
    count: Callable[[Skeleton, Sequence[Cell]], Counted] = counted,
) -> list[Entry]:
    """The largest relative differences over random networks; `count` counts a network."""
    networks = QUICK_NETWORKS if quick else NETWORKS
    on_message(f"cost: {networks} networks")
    rng = stream(0, "cost")
    errors: tuple[list[float], list[float]] = ([], [])
    for _ in range(networks):
        cells = [random_cell(PRIOR, rng) for _ in SKELETON.layers]
        pairs = zip(network_cost(SKELETON, cells)[:2], count(SKELETON, cells), strict=True)
        for found, (formula, built) in zip(errors, pairs, strict=True):
            found.append(abs(formula - built) / built)
    return [
        Entry(
            suite="cost",
            metric=metric,
            value=max(found),
            unit="relative error",
            better="lower",
            spread=0.0,
            n=networks,
        )
        for metric, found in zip(("madds_error", "params_error"), errors, strict=True)
    ]


SEEDS: Final = 3
QUICK_SEEDS: Final = 2


@dataclass(frozen=True, slots=True)
class Order:
    """What is measured, and on which device and data.

    Attributes:
        data: where CIFAR-10 is, for the ground truth made on it; None for the generated images.
    """

    quick: bool
    seeds: int
    device: torch.device
    data: str | None = None

    @property
    def options(self) -> Options:
        """The options that have to be equal for two measurements to be comparable."""
        return Options(quick=self.quick, seeds=self.seeds, cifar10=self.data is not None)


SUITES: dict[Suite, Callable[[Order, Message], Iterable[Entry]]] = {
    "speed": lambda order, on_message: speed(
        quick=order.quick, device=order.device, on_message=on_message
    ),
    "recovery": lambda order, on_message: recovery(seeds=order.seeds, on_message=on_message),
    "ranking": lambda order, on_message: ranking(
        seeds=order.seeds, device=order.device, on_message=on_message, source=order.data
    ),
    "truth": lambda order, on_message: truth(quick=order.quick, on_message=on_message),
    "cost": lambda order, on_message: cost(quick=order.quick, on_message=on_message),
}


def begun(order: Order) -> Bench:
    """The document of this machine, its versions and these options, before it has any entry."""
    machine = this_machine(order.device)
    return Bench(machine=machine, versions=versions(), options=order.options, entries=[])


def bench(
    suites: Sequence[Suite],
    order: Order,
    on_message: Message,
    on_found: Callable[[Bench], None] = lambda found: None,
) -> Bench:
    """Measures suites one after another.

    Args:
        suites: their names.
        order: how to measure.
        on_message: receives what is being measured.
        on_found: receives all that is measured so far, whenever there is more of it; it may keep
            it, because the work may be stopped at any time.
    """
    found = begun(order)
    for name in suites:
        for entry in SUITES[name](order, on_message):
            found = found.model_copy(update={"entries": [*found.entries, entry]})
            on_found(found)
    return found
