"""A network as a program of `torch.export`, and such a program run."""

import json
from collections.abc import Callable, Mapping
from io import BytesIO
from typing import Final

import torch

from autospace.networks.network import Network

# The entry of the archive that holds what is said about the network.
EXTRA: Final = "autospace.json"
# What is noted about every node of the program: source lines, and the user's folders.
_NOTES: Final = ("stack_trace", "nn_module_stack", "source_fn_stack", "torch_fn", "from_node")


def encoded(network: Network, images: torch.Tensor, metadata: Mapping[str, str]) -> bytes:
    """A program of one file for any number of such images; equal networks give equal bytes."""
    shapes = ({0: torch.export.Dim("batch")},)
    program = torch.export.export(network, (images,), dynamic_shapes=shapes)
    for node in program.graph.nodes:
        for note in _NOTES:
            node.meta.pop(note, None)
    stream = BytesIO()
    said = json.dumps(dict(metadata), sort_keys=True)
    torch.export.save(program, stream, extra_files={EXTRA: said})
    return stream.getvalue()


def opened(raw: bytes) -> Callable[[torch.Tensor], torch.Tensor]:
    """The program, as a function from images to logits."""
    module = torch.export.load(BytesIO(raw)).module()

    def run(images: torch.Tensor) -> torch.Tensor:
        logits: torch.Tensor = module(images)
        return logits

    return run
