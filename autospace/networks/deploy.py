"""Writes an architecture as a file that runs without autospace: ONNX, or PyTorch's own pt2."""

import errno
import json
import logging
import os
import warnings
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, redirect_stdout
from dataclasses import dataclass
from importlib.util import find_spec
from io import BytesIO, StringIO
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Literal, NamedTuple

import torch
from torch import nn

from autospace.networks.binary import has_signs
from autospace.networks.captions import CaptionModel, Encoder, OneWord
from autospace.networks.encoder import EncoderNetwork
from autospace.networks.network import build_network
from autospace.networks.recurrent import LanguageModel, OneToken
from autospace.networks.weights import ARCHITECTURE, WeightsError, load_metadata, load_weights
from autospace.runs.files import write_output
from autospace.seeds import derived_seed
from autospace.spaces.captions import CaptionSkeleton
from autospace.spaces.encoder import EncoderSkeleton
from autospace.spaces.errors import AutospaceError, offered, shown
from autospace.spaces.files.codec import to_json
from autospace.spaces.sequence import SequenceSkeleton
from autospace.spaces.skeleton import Skeleton
from autospace.spaces.space import Architecture

if TYPE_CHECKING:
    from onnx import ModelProto


# The oldest that the exporter writes, and the intermediate representation of its time: together
# they are what most runtimes read, and no operation of ours needs a newer one.
OPSET: Final = 18
IR_VERSION: Final = 8
# A protocol buffer holds less than 2 GiB; the rest of it is small beside the weights.
LARGEST: Final = 2**31 - 2**24


class Ends(NamedTuple):
    """What goes into a network and comes out of it, by name; all have the batch first."""

    inputs: tuple[str, ...]
    outputs: tuple[str, ...]


OF_IMAGES: Final = Ends(("images",), ("logits",))
OF_TEXT: Final = Ends(("tokens", "state"), ("logits", "next_state"))
"""One token of every column, with the state before it."""
OF_SENTENCES: Final = Ends(("sentences",), ("logits",))
OF_CAPTIONS: Final = Ends(("tokens", "feature", "state"), ("logits", "next_state"))
"""One token of the caption of every image, with the image's feature and the states before it."""
ENDS: Final[dict[type[nn.Module], Ends]] = {
    OneToken: OF_TEXT,
    OneWord: OF_CAPTIONS,
    EncoderNetwork: OF_SENTENCES,
    Encoder: Ends(("images",), ("feature",)),
}
"""Those of networks that do not give classes of images."""
Inputs = tuple[torch.Tensor, ...]
Program = Callable[..., Any]
"""From inputs to outputs: one tensor, or several."""


def onnx_encoded(
    network: nn.Module,
    images: torch.Tensor | Inputs,
    metadata: Mapping[str, str],
) -> bytes:
    """The bytes of an ONNX file that takes any number of such images, or of other inputs.

    Equal networks give equal bytes.
    """
    given = (images,) if isinstance(images, torch.Tensor) else images
    ends = ENDS.get(type(network), OF_IMAGES)
    with _quiet():
        program = torch.onnx.export(
            network,
            given,
            dynamo=True,
            verbose=False,
            external_data=False,
            opset_version=OPSET,
            input_names=[*ends.inputs],
            output_names=[*ends.outputs],
            dynamic_shapes=_batched(given),
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


def _batched(given: Inputs) -> tuple[dict[int, Any], ...]:
    """All inputs have the batch first, and the batch may have any size."""
    batch = torch.export.Dim("batch")
    return tuple({0: batch} for _ in given)


def onnx_opened(raw: bytes) -> Program:
    """The model as a function from images to logits, after ONNX's own checks."""
    import onnx
    import onnxruntime

    onnx.checker.check_model(raw, full_check=True)
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    options.log_severity_level = 3
    session = onnxruntime.InferenceSession(raw, options, providers=["CPUExecutionProvider"])

    names = [each.name for each in session.get_inputs()]

    def run(*given: torch.Tensor) -> Any:
        values = {name: each.numpy() for name, each in zip(names, given, strict=True)}
        found = [torch.from_numpy(each) for each in session.run(None, values)]
        return found[0] if len(found) == 1 else tuple(found)

    return run


def _forget_source(model: "ModelProto") -> None:
    """Removes the exporter's notes on every node: source lines and the user's folders."""
    graph = model.graph
    for part in (graph, *graph.node, *graph.input, *graph.output, *graph.value_info):
        del part.metadata_props[:]
        part.ClearField("doc_string")
    for weights in graph.initializer:
        del weights.metadata_props[:]


@contextmanager
def _quiet() -> Iterator[None]:
    """Silences the log of the exporter and the warnings of its dependencies."""
    logger = logging.getLogger("torch.onnx")
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings(), redirect_stdout(StringIO()):
            warnings.simplefilter("ignore")
            yield
    finally:
        logger.setLevel(level)


# The entry of the archive that holds what is said about the network.
EXTRA: Final = "autospace.json"
# What is noted about every node of the program: source lines, and the user's folders.
_NOTES: Final = ("stack_trace", "nn_module_stack", "source_fn_stack", "torch_fn", "from_node")


def pt2_encoded(
    network: nn.Module,
    images: torch.Tensor | Inputs,
    metadata: Mapping[str, str],
) -> bytes:
    """The bytes of a pt2 file that takes any number of such images, or of other inputs.

    Equal networks give equal bytes.
    """
    given = (images,) if isinstance(images, torch.Tensor) else images
    program = torch.export.export(network, given, dynamic_shapes=_batched(given))
    for node in program.graph.nodes:
        for note in _NOTES:
            node.meta.pop(note, None)
    stream = BytesIO()
    said = json.dumps(dict(metadata), sort_keys=True)
    torch.export.save(program, stream, extra_files={EXTRA: said})
    return stream.getvalue()


def pt2_opened(raw: bytes) -> Program:
    """The program as a function from images to logits."""
    with warnings.catch_warnings():
        # torch 2.11 reads weights from bytes that cannot be written to, and remarks on that.
        warnings.filterwarnings("ignore", "The given buffer is not writable")
        module = torch.export.load(BytesIO(raw)).module()

    def run(*given: torch.Tensor) -> Any:
        return module(*given)

    return run


TRAINED: Final = "trained"
FRESH: Final = "not trained: fresh, of seed 0"
# One image, and another number than that with which the network is traced.
_BATCHES: Final = (1, 3)


class DeployError(AutospaceError):
    """A network that cannot be written, or whose file would not compute the same."""


@dataclass(frozen=True, slots=True)
class Deployed:
    """A file that was written.

    Attributes:
        path: the file.
        target: its format.
        bytes: its size.
        trained: whether its weights came from a file; otherwise they are fresh.
        difference: largest difference between a logit of the file and of the network, as a share
            of the largest logit; None where nothing was verified.
    """

    path: Path
    target: str
    bytes: int
    trained: bool
    difference: float | None


class _Format(NamedTuple):
    """How files are written and run, how far their logits may deviate, and what is required."""

    encoded: Callable[[nn.Module, torch.Tensor | Inputs, Mapping[str, str]], bytes]
    opened: Callable[[bytes], Program]
    tolerance: float
    largest: int
    packages: tuple[str, ...] = ()


_FORMATS: Final = {
    "onnx": _Format(
        onnx_encoded,
        onnx_opened,
        1e-5,
        LARGEST,
        ("onnx", "onnxscript", "onnxruntime"),
    ),
    "pt2": _Format(pt2_encoded, pt2_opened, 0.0, 2**63),
}


def deploy(
    architecture: Architecture,
    target: Literal["onnx", "pt2"],
    path: Path,
    *,
    weights: Path | None = None,
    verify: bool = True,
) -> Deployed:
    """Writes a network for inference, whole or not at all.

    The file takes normalised float32 images [N, C, H, W], any N, and gives logits [N, classes]. Of
    text it takes the numbers of tokens [N] and states [N, H], and gives logits [N, vocabulary] of
    the tokens that follow, and the next states. Of sentences it takes the numbers of tokens [N, T],
    0 where a sentence is padded, and gives logits [N, classes]. Of captions there are two files:
    the encoder, see `encoder_path`, takes images and gives features [N, H], and a step of the
    decoder takes tokens [N], features and states [N, L, H], all of which are the feature at first.
    Its metadata has, as strings, the architecture, MAdds, params and the metadata of the weights
    file, such as the normalisation of the images.

    Args:
        architecture: what to write. With weights, the number of classes and the size of the
            images are those with which they were trained.
        target: the format.
        path: the file; an earlier one is replaced.
        weights: a file of `save_weights`; None for fresh weights, the same in every call.
        verify: whether to run the file before it is written, with the program that reads such
            files.

    Raises:
        WeightsError: the weights are damaged, or belong to other cells.
        DeployError: a package is missing, or the file would not compute what the network does.
        OSError: the folder cannot be written.
    """
    form = _format(target)
    if not path.parent.is_dir():
        raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), str(path.parent))
    architecture, network, metadata = _source(architecture, weights)
    if 4 * architecture.cost.params > form.largest:
        found = f"{architecture.cost.params:,} params"
        raise DeployError(f"{path}: {found}; allowed: 2 GB of weights for {target}; use pt2")
    programs: list[tuple[nn.Module, Path]] = [(network, path)]
    if isinstance(network, OneWord):
        programs.insert(0, (network.model.encoder, encoder_path(path)))
    written, differences = [], []
    for program, place in programs:
        example = _example(program, architecture.skeleton, 2)
        raw = form.encoded(program, example if len(example) > 1 else example[0], metadata)
        written.append((place, raw))
        if verify:
            differences.append(_verified(form, raw, program, architecture.skeleton, place))
    # Only now: of two files, an earlier pair stays together if one of them cannot be made.
    for place, raw in written:
        try:
            write_output(place, raw)
        except OSError as error:
            # The caller knows the file by its own name, not by the temporary one.
            raise OSError(error.errno, error.strerror, str(place)) from None
    size, difference = sum(len(raw) for _, raw in written), max(differences, default=None)
    return Deployed(path, target, size, weights is not None, difference)


def encoder_path(path: Path) -> Path:
    """Where the encoder of a network for captions is written, beside the step of its decoder."""
    return path.with_suffix(f".encoder{path.suffix}")


def _format(target: str) -> _Format:
    if target not in _FORMATS:
        raise DeployError(f"{shown(target)}: no such format; {offered(target, _FORMATS)}")
    form = _FORMATS[target]
    missing = [name for name in form.packages if find_spec(name) is None]
    if missing:
        needs = f"needs {', '.join(missing)}"
        raise DeployError(f"{target}: {needs}; install with: pip install 'autospace[onnx]'")
    return form


def _source(
    architecture: Architecture, weights: Path | None
) -> tuple[Architecture, nn.Module, dict[str, str]]:
    """What is to be written, in evaluation mode, and what is to be said about it."""
    stored, tensors = (architecture, None) if weights is None else load_weights(weights)
    said = {} if weights is None else load_metadata(weights)
    if weights is not None:
        _check_same(architecture, stored, weights)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(derived_seed(0, "deploy"))
        network = build_network(stored.skeleton, stored.cells)
    if tensors is not None:
        network.load_state_dict(tensors)
    if isinstance(network, LanguageModel):
        network = OneToken(network)
    if isinstance(network, CaptionModel):
        network = OneWord(network)
    metadata = {
        **said,
        ARCHITECTURE: to_json(stored),
        "madds": str(stored.cost.madds),
        "params": str(stored.cost.params),
        **({"bops": str(stored.cost.bops)} if stored.cost.bops else {}),
        "weights": FRESH if tensors is None else TRAINED,
    }
    return stored, network.eval().requires_grad_(False), metadata


def _check_same(wanted: Architecture, stored: Architecture, weights: Path) -> None:
    """Refuses weights of other cells; the images and classes may be others."""
    if _plan(wanted.skeleton) != _plan(stored.skeleton):
        names = f"{shown(stored.skeleton.name)}, not {shown(wanted.skeleton.name)}"
        raise WeightsError(f"{weights}: the weights belong to another skeleton: {names}")
    places = zip(wanted.skeleton.shapes, wanted.candidates, stored.candidates, strict=True)
    for shape, mine, theirs in places:
        if mine.cell.pruned() != theirs.cell.pruned():
            names = f"{shown(theirs.id)}, not the cell of {shown(mine.id)}"
            raise WeightsError(
                f"{weights}: the weights belong to another architecture: {shape.name} is {names}"
            )


def _plan(skeleton: Skeleton) -> tuple[object, ...]:
    if isinstance(skeleton, EncoderSkeleton):
        return (skeleton.width, skeleton.blocks, skeleton.heads)
    if isinstance(skeleton, CaptionSkeleton):
        return (skeleton.width, skeleton.nodes, skeleton.root, skeleton.depth, skeleton.encoder)
    if isinstance(skeleton, SequenceSkeleton):
        return (skeleton.width, skeleton.nodes, skeleton.root, skeleton.bias)
    staged = (skeleton.stages, skeleton.activation, skeleton.last)
    return (
        skeleton.stem,
        skeleton.layers,
        skeleton.head,
        skeleton.chain,
        skeleton.concat,
        skeleton.binary_groups,
        staged,
    )


def _example(network: nn.Module, skeleton: Skeleton, count: int) -> Inputs:
    """Inputs of a network for so many images, sentences, or columns of text."""
    if isinstance(skeleton, EncoderSkeleton):
        return (_sentences(skeleton, count),)
    if not isinstance(network, OneToken | OneWord) or not isinstance(skeleton, SequenceSkeleton):
        return (_images(skeleton, count),)
    generator = torch.Generator().manual_seed(derived_seed(0, "deploy", "tokens", count))
    tokens = torch.randint(0, skeleton.vocabulary, (count,), generator=generator)
    state = torch.randn(count, skeleton.width, generator=generator)
    if isinstance(skeleton, CaptionSkeleton):
        states = torch.randn(count, skeleton.depth, skeleton.width, generator=generator)
        return tokens, state, states
    return tokens, state


def _sentences(skeleton: EncoderSkeleton, count: int) -> torch.Tensor:
    """Tokens of sentences of different lengths, 0 where they are padded."""
    generator = torch.Generator().manual_seed(derived_seed(0, "deploy", "sentences", count))
    shape = (count, skeleton.length)
    tokens = torch.randint(1, skeleton.vocabulary, shape, generator=generator)
    lengths = torch.randint(1, skeleton.length + 1, (count, 1), generator=generator)
    return torch.where(torch.arange(skeleton.length) < lengths, tokens, 0)


def _images(skeleton: Skeleton, count: int) -> torch.Tensor:
    generator = torch.Generator().manual_seed(derived_seed(0, "deploy", "images", count))
    side = skeleton.resolution
    return torch.randn(count, skeleton.in_channels, side, side, generator=generator)


@torch.no_grad()
def _verified(
    form: _Format, raw: bytes, network: nn.Module, skeleton: Skeleton, path: Path
) -> float:
    """The largest difference between the file's logits and the network's."""
    run = form.opened(raw)
    largest = 0.0
    for count in _BATCHES:
        given = _example(network, skeleton, count)
        wanted = _whole(network(*given))
        if not wanted.isfinite().all():
            raise DeployError(
                f"{path}: not written: the network computes logits that are not finite"
            )
        found = _whole(run(*given))
        off, scale = (found - wanted).abs().max().item(), wanted.abs().max().item()
        # Of equal logits, even of zeros, the share is zero.
        share = off / scale if off else 0.0
        if not share <= form.tolerance:
            problem = f"its logits differ from PyTorch's by {share:.1e} of the largest"
            allowed = f"{form.tolerance:.0e}"
            if has_signs(network):
                # Fresh networks have many sums of signs that are 0 but for rounding.
                allowed += "; rounding decides signs of sums near 0, rare in trained networks"
            raise DeployError(f"{path}: not written: {problem}; allowed: {allowed}")
        largest = max(largest, share)
    return largest


def _whole(outputs: torch.Tensor | Inputs) -> torch.Tensor:
    """The outputs of a program side by side, where there are several."""
    if isinstance(outputs, torch.Tensor):
        return outputs
    return torch.cat([each.flatten(1) for each in outputs], -1)
