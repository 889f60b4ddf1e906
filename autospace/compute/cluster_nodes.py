"""The nodes of a cluster: the room that each has, and whether all give equal results."""

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final

from autospace.compute.ray_session import ClusterError, Said

WITH_THE_OWNER: Final = ("autospace", "torch", "python", "kernels")
"""What the nodes must have in common with the owner, because results name the owner's."""
NO_GPU: Final = "none"
_KIND: Final = "accelerator_type:"


@dataclass(frozen=True)
class Node:
    """A machine of the cluster.

    Attributes:
        id: of Ray.
        name: its address; with the beginning of the id if other nodes have the same.
        slots: workers that it has room for.
    """

    id: str
    name: str
    slots: int


def nodes_of(ray: Any, thread_count: int, kind: str = "cpu") -> dict[str, Node]:
    """The living nodes that have room for a worker, by their ids.

    Args:
        ray: the module, connected.
        thread_count: cores of a worker.
        kind: `cuda` if each worker has a GPU of its node; `cpu`.
    """
    nodes = {}
    for name, number, resources in _living(ray):
        slots = int(resources.get("CPU", 0) // thread_count)
        if kind != "cpu":
            slots = min(slots, _gpu_count(resources))
        if slots:
            nodes[number] = Node(number, name, slots)
    return nodes


def gpus_of(ray: Any) -> dict[str, str]:
    """The GPUs of every living node, by its name: how many, and their kind if Ray knows it."""
    found = {}
    for name, _, resources in _living(ray):
        kinds = [each.partition(":")[2] for each in sorted(resources) if each.startswith(_KIND)]
        count = _gpu_count(resources)
        found[name] = " ".join([str(count), *kinds]) if count else NO_GPU
    return found


def _living(ray: Any) -> Iterator[tuple[str, str, Mapping[str, float]]]:
    """Name, id and resources of the nodes that are alive."""
    found = [node for node in ray.nodes() if node["Alive"]]
    same = Counter(node["NodeManagerAddress"] for node in found)
    for node in sorted(found, key=lambda each: (each["NodeManagerAddress"], each["NodeID"])):
        number, address = node["NodeID"], node["NodeManagerAddress"]
        name = address if same[address] == 1 else f"{address}#{number[:6]}"
        yield name, number, node["Resources"]


def _gpu_count(resources: Mapping[str, float]) -> int:
    return int(resources.get("GPU", 0))


def differences(one: Mapping[str, str], other: Mapping[str, str]) -> list[str]:
    """What differs, with both values."""
    names = dict.fromkeys((*one, *other))
    pairs = ((name, one.get(name, "none"), other.get(name, "none")) for name in names)
    return [f"{name} {a} and {b}" for name, a, b in pairs if a != b]


def agreed(
    roundings: Mapping[str, Mapping[str, str]], own: Mapping[str, str], on_message: Said
) -> Mapping[str, str]:
    """What decides the last digits, the same on all nodes.

    Args:
        roundings: what each node says, by its name; at least one.
        own: the same of this machine.
        on_message: called with what may differ, but does.

    Raises:
        ClusterError: it differs between nodes, or in software from this machine.
    """
    (first, found), *others = roundings.items()
    for name, other in others:
        unlike = ", ".join(differences(found, other))
        if unlike:
            problem = f"nodes {first} and {name} would give other bytes: {unlike}"
            raise ClusterError(f"cluster: {problem}; allowed: nodes that agree")
    there = {name: found[name] for name in own if name in found}
    unlike = ", ".join(_unlike_software(own, there, on_gpus="gpu" in found))
    if unlike:
        problem = f"this machine and node {first} differ: {unlike}"
        raise ClusterError(f"cluster: {problem}; allowed: the same software")
    different = differences(own, there)
    if different:
        on_message(
            f"this machine rounds differently from the nodes ({', '.join(different)}): equal "
            "bytes need the same kinds of both"
        )
    return found


def _unlike_software(
    own: Mapping[str, str], other: Mapping[str, str], *, on_gpus: bool
) -> list[str]:
    """What differs of versions and, on CPUs, of kernels, whatever instructions these are for."""
    names = [name for name in WITH_THE_OWNER if name in own and not (on_gpus and name == "kernels")]
    kinds = [{name: each.get(name, "none").partition(",")[0] for name in names}
             for each in (own, other)]  # fmt: skip
    return differences(*kinds)
