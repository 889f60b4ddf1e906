"""The parts of a network: those that torch runs, no more and no fewer."""

from collections import Counter
from typing import Any

import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from autospace.latency.parts import Part, cell_parts, fixed_parts, parts_of_skeleton, parts_of_space
from autospace.latency.timing import Classifier, LatencyBench, build_part
from autospace.networks.network import Network
from autospace.networks.operations import ConvNorm, Gate, SqueezeExcite
from autospace.spaces import OPERATIONS, Architecture, Cell, LayerShape, Skeleton, Space
from tests.strategies import architectures, skeletons, spaces

POOLS = (nn.AvgPool2d, nn.MaxPool2d)
NAMES: dict[tuple[str, int, int], str] = {
    (each.kind, each.kernel, each.dilation): each.name
    for each in OPERATIONS.values()
    if each.kind != "none"
}


def parts_of(architecture: Architecture) -> list[Part]:
    skeleton = architecture.skeleton
    found = list(fixed_parts(skeleton))
    for cell, shape in zip(architecture.cells, skeleton.shapes, strict=True):
        found.extend(cell_parts(cell, shape))
    return found


def seen_running(architecture: Architecture) -> Counter[Part]:
    """What a forward pass runs, by looking at its modules; sums and the classifier apart."""
    network = Network(architecture.skeleton, architecture.cells).eval()
    seen: Counter[Part] = Counter()
    first = network.stem[0]

    def hook(module: nn.Module, inputs: tuple[torch.Tensor], output: torch.Tensor) -> None:
        seen[_as_part(module, inputs[0], output, stem=module is first)] += 1

    for module in network.modules():
        inside = isinstance(module, (ConvNorm, Gate, SqueezeExcite, *POOLS))
        if inside:
            module.register_forward_hook(hook)
    head = network.head
    if isinstance(head, ConvNorm):
        head.register_forward_hook(lambda *_: seen.update({_HEAD: 1}))
    side = architecture.skeleton.resolution
    with torch.no_grad():
        network(torch.zeros(2, architecture.skeleton.in_channels, side, side))
    return seen


_HEAD = Part("head", 1, 1, 1)


def _as_part(module: Any, x: torch.Tensor, y: torch.Tensor, *, stem: bool) -> Part:
    inputs, outputs, side = x.shape[1], y.shape[1], x.shape[2]
    if isinstance(module, Gate):
        return Part("gate", inputs, outputs, side)
    if isinstance(module, SqueezeExcite):
        return Part("se", inputs, module.reduce.out_channels, side)
    if isinstance(module, nn.MaxPool2d):
        return Part("max_pool_3x3", inputs, outputs, side, _side(module.stride))
    if isinstance(module, nn.AvgPool2d):
        name = "avg_pool_3x3" if module.kernel_size == 3 else "skip_connect"
        return Part(name, inputs, outputs, side, _side(module.stride))
    convolution = module.convolution
    stride = convolution.stride[0]
    if stem:
        return Part("stem", inputs, outputs, side, stride)
    if convolution.kernel_size == (1, 1) and len(module) == 2:
        return Part("project", inputs, outputs, side)
    if convolution.kernel_size == (1, 1) and convolution.groups == 1:
        return Part("expand", inputs, outputs, side, stride)
    kind = ("depthwise", convolution.kernel_size[0], convolution.dilation[0])
    return Part(NAMES[kind], inputs, outputs, side, stride)


def _side(value: int | tuple[int, ...]) -> int:
    return value if isinstance(value, int) else value[0]


@settings(max_examples=40, deadline=None)
@given(architectures())
def test_the_parts_are_the_modules_that_run(architecture: Architecture) -> None:
    predicted = Counter(parts_of(architecture))
    seen = seen_running(architecture)
    # Sums are no modules; the head is a ConvNorm like any expansion; depthwise 1x1 of one channel
    # is the same convolution as an expansion.
    for part in list(predicted):
        if part.name in ("sum", "classifier"):
            del predicted[part]
    kinds = Counter(_kind(part) for part in predicted.elements())
    assert Counter(_kind(part) for part in seen.elements() if part != _HEAD) == kinds
    assert seen[_HEAD] == sum(part.name == "head" for part in predicted)


def _kind(part: Part) -> Part:
    same = {"head": "1x1", "expand": "1x1", "dw_conv_1x1": "1x1"}
    return part._replace(name=same.get(part.name, part.name))


@given(skeletons(), st.data())
def test_every_cell_is_covered_by_the_table_of_its_skeleton(
    skeleton: Skeleton, data: st.DataObject
) -> None:
    from tests.strategies import cells

    known = set(parts_of_skeleton(skeleton))
    for shape in skeleton.shapes:
        cell = data.draw(cells(most_nodes=8))
        assert set(cell_parts(cell, shape)) <= known
    assert set(fixed_parts(skeleton)) <= known


@given(spaces(), st.randoms(use_true_random=False))
def test_every_architecture_is_covered_by_the_table_of_its_space(space: Space, rng: Any) -> None:
    known = parts_of_space(space)
    assert len(set(known)) == len(known)
    assert set(parts_of(space.sample(rng))) <= set(known)


@settings(max_examples=20, deadline=None)
@given(skeletons())
def test_every_part_can_be_built_and_run(skeleton: Skeleton) -> None:
    bench = LatencyBench(torch.device("cpu"), torch.float32, 2)
    for part in parts_of_skeleton(skeleton)[:40]:
        output = bench.part(part)()
        assert isinstance(output, torch.Tensor)
        if part.name == "sum":
            assert output.shape == (2, part.inputs, part.resolution, part.resolution)
        elif part.name == "classifier":
            assert isinstance(build_part(part), Classifier)
            assert output.shape == (2, part.outputs)
        else:
            channels = part.inputs if part.name == "se" else part.outputs
            side = -(-part.resolution // part.stride)
            assert output.shape == (2, channels, side, side)


def test_images_are_in_the_memory_format_of_networks() -> None:
    bench = LatencyBench(torch.device("cpu"), torch.float32, 2)
    for channels, resolution in [(3, 8), (6, 5), (1, 2)]:
        images = bench.images(channels, resolution)
        assert images.shape == (2, channels, resolution, resolution)
        assert images.is_contiguous(memory_format=torch.channels_last)


def test_a_node_adds_up_its_edges_one_by_one() -> None:
    shape = LayerShape("layer_00", 4, 6, 2, 8)
    cell = Cell(("dw_conv_3x3",) * 6, ("sum",) * 3, 3)
    sums = Counter(part for part in cell_parts(cell, shape) if part.name == "sum")
    # Node 2 has two edges, node 3 three, behind the stride; the layer has no shortcut.
    assert sums == {Part("sum", 12, 12, 8): 1, Part("sum", 12, 12, 4): 2}
