"""A network as an ONNX model, and such a model run by ONNX Runtime."""

import logging
import warnings
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, redirect_stdout
from io import StringIO
from typing import TYPE_CHECKING, Final

import torch

from autospace.networks.network import Network

if TYPE_CHECKING:
    from onnx import ModelProto

# The oldest that the exporter writes, and the intermediate representation of its time: together
# they are what most runtimes read, and no operation of ours needs a newer one.
OPSET: Final = 18
IR_VERSION: Final = 8
# A protocol buffer holds less than 2 GiB; the rest of it is small beside the weights.
LARGEST: Final = 2**31 - 2**24
INPUT: Final = "images"
OUTPUT: Final = "logits"


def encoded(network: Network, images: torch.Tensor, metadata: Mapping[str, str]) -> bytes:
    """A model of one file for any number of such images; equal networks give equal bytes."""
    with _quiet():
        program = torch.onnx.export(
            network,
            (images,),
            dynamo=True,
            verbose=False,
            external_data=False,
            opset_version=OPSET,
            input_names=[INPUT],
            output_names=[OUTPUT],
            dynamic_shapes=({0: torch.export.Dim("batch")},),
        )
    if program is None:
        raise RuntimeError("torch.onnx.export returned no program")
    model = program.model_proto
    _forget_source(model)
    model.ir_version = IR_VERSION
    for key in sorted(metadata):
        model.metadata_props.add(key=key, value=metadata[key])
    raw: bytes = model.SerializeToString(deterministic=True)
    return raw


def opened(raw: bytes) -> Callable[[torch.Tensor], torch.Tensor]:
    """The model checked by ONNX's own rules, and as a function from images to logits."""
    import onnx
    import onnxruntime

    onnx.checker.check_model(raw, full_check=True)
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    options.log_severity_level = 3
    session = onnxruntime.InferenceSession(raw, options, providers=["CPUExecutionProvider"])

    def run(images: torch.Tensor) -> torch.Tensor:
        (logits,) = session.run([OUTPUT], {INPUT: images.numpy()})
        return torch.from_numpy(logits)

    return run


def _forget_source(model: "ModelProto") -> None:
    """Removes what the exporter notes about every node: source lines, and the user's folders."""
    graph = model.graph
    for part in (graph, *graph.node, *graph.input, *graph.output, *graph.value_info):
        del part.metadata_props[:]
        part.ClearField("doc_string")
    for weights in graph.initializer:
        del weights.metadata_props[:]


@contextmanager
def _quiet() -> Iterator[None]:
    """Neither log lines of the exporter nor its dependencies' warnings: they are not about us."""
    logger = logging.getLogger("torch.onnx")
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings(), redirect_stdout(StringIO()):
            warnings.simplefilter("ignore")
            yield
    finally:
        logger.setLevel(level)
