"""What supernets have in common whose choices are made once for a group of layers."""

from collections.abc import Sequence
from typing import TypeVar

from autospace.networks.network import Network
from autospace.spaces.space import Space
from autospace.supernets.supernet import Supernet

Value = TypeVar("Value")


class GroupedSupernet(Supernet):
    """A supernet whose layers make choices together; each layer has weights of its own.

    The choices of a group follow one another. Their number may be above or below that of layers.

    Attributes:
        groups: the group of each layer, counted from 0.
        size: how many choices a group makes.
    """

    def __init__(self, network: Network, space: Space) -> None:
        super().__init__(network, [])
        self.groups, self.size = space.skeleton.groups, space.skeleton.choices_per_cell

    def first_layer(self, choice: int) -> int:
        """The first layer of the group that makes a choice."""
        return self.groups.index(choice // self.size)

    def of_group(self, values: Sequence[Value], group: int) -> Sequence[Value]:
        """Of one value per choice, those of a group's choices."""
        return values[group * self.size : (group + 1) * self.size]
