"""The built-in families of cells, and the space that each makes on a skeleton."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import cache
from importlib import resources
from typing import Any, Final, NamedTuple

from autospace.spaces.captions import captioning
from autospace.spaces.cells.bats import BATS_USUAL, BNAS_USUAL, BatsCell
from autospace.spaces.cells.bert import SKIPPED, BertCell
from autospace.spaces.cells.cell import LayerShape
from autospace.spaces.cells.darts_cell import NODES, USUAL, DartsCell, all_nodes, choices_of
from autospace.spaces.cells.family import FAMILIES
from autospace.spaces.cells.recurrent import DecisionShape, choices_at
from autospace.spaces.cells.recurrent_cell import RecurrentCell
from autospace.spaces.checks import MAX_NAME
from autospace.spaces.encoder import EncoderSkeleton, encoder
from autospace.spaces.errors import SpaceError, offered
from autospace.spaces.files import document as doc
from autospace.spaces.files.reading import header_of, parse_json, validated
from autospace.spaces.sequence import SequenceSkeleton, sequence
from autospace.spaces.skeleton import Skeleton
from autospace.spaces.space import Candidate, Layer, Origin, Space

FAMILY_NAMES = ("mbconv", "mnasnet", "nasbench-macro", "reference", "binary")
OWN_SKELETONS: Final = {
    "nasbench201": ("nasbench201",),
    "conv": ("resnet20", "resnet50"),
    "darts": ("darts", "darts-imagenet", "darts-small"),
    "bats": ("bats", "bats-c48", "bats-small"),
    "bnas": ("bats", "bats-c48", "bats-small"),
    "ofa": ("ofa-mbv3", "ofa-proxyless", "ofa-small"),
    "enas-rnn": ("enas-rnn", "enas-rnn-paper", "rnn-small"),
    "darts-rnn": ("darts-rnn", "rnn-small"),
    "nas-bert": ("nas-bert", "bert-small"),
    "autocaption": ("autocaption", "captions-small"),
}
"""Families with skeletons of their own and no other ones: layers share cells, or have stages."""
AUTOCAPTION: Final = "autocaption"
RECURRENT: Final = {
    "enas-rnn": "recurrent cells of ENAS (Pham et al., ICML 2018): per node one of the nodes "
    "before it, and one of four functions",
    "darts-rnn": "the same cells in the language model of DARTS (Liu et al., ICLR 2019), whose "
    "decoder has a bias",
    AUTOCAPTION: "decoders of captions in the sense of AutoCaption (Zhu et al., 2020): layers of "
    "ENAS's recurrent cells, each with the earlier layers that it reads",
}
"""Families of cells that read tokens, with what they are."""


class NodeFamily(NamedTuple):
    """A family that offers all that each node of a cell with two inputs may be.

    Attributes:
        cells: what makes a cell.
        operations: of the edges; the reference has the one named `reference` alone.
        about: what the cells are.
    """

    cells: type[DartsCell]
    operations: tuple[str, ...]
    reference: str
    about: str


NODE_FAMILIES: Final = {
    "darts": NodeFamily(
        DartsCell, USUAL, "sep_conv_3x3", "the cells of DARTS (Liu et al., ICLR 2019)"
    ),
    "bats": NodeFamily(
        BatsCell,
        BATS_USUAL,
        "bin_conv_3x3",
        "the binary cells of BATS (Bulat et al., ECCV 2020), whose convolutions are grouped",
    ),
    "bnas": NodeFamily(
        BatsCell,
        BNAS_USUAL,
        "bin_sep_conv_3x3",
        "the binary cells of BNAS (Chen et al., AAAI 2020) and CP-NAS (Zhuo et al., IJCAI 2020), "
        "whose convolutions are separable",
    ),
}
"""Built-in families of cells with two inputs."""
BERT: Final = (
    "the layers of NAS-BERT (Xu et al., KDD 2021): attention, feed-forward and separable "
    "convolutions; all layers of a block have one hidden size, and only its last ones are skipped"
)
OWN_NAMES: Final = tuple(OWN_SKELETONS)
SKIP_ID = "skip"


def family_space(family: str, skeleton: Skeleton) -> Space:
    """The candidates of a built-in family at every layer of a skeleton.

    Raises:
        SpaceError: no built-in family of this name.
    """
    if family not in (*FAMILY_NAMES, *OWN_NAMES):
        known = offered(family, (*FAMILY_NAMES, *OWN_NAMES))
        raise SpaceError(family or '""', f"unknown family; {known}")
    if family in RECURRENT:
        return _recurrent_space(family, _fitting(family, skeleton))
    if family == BertCell.kind:
        return _bert_space(family, encoder(skeleton, f"{family} reads sentences"))
    if skeleton.reads != "images":
        reads = f"which reads {skeleton.reads}"
        problem = f"no cell of {family} fits the skeleton {skeleton.name}, {reads}"
        captions = skeleton.reads == "captions"
        wanted = [name for name in RECURRENT if (name == AUTOCAPTION) == captions]
        allowed = BertCell.kind if skeleton.reads == "sentences" else " or ".join(wanted)
        raise SpaceError(f"{family}@{skeleton.name}", f"{problem}; allowed: {allowed}")
    return _image_space(family, skeleton)


def _image_space(family: str, skeleton: Skeleton) -> Space:
    """The cells of a family that fit each layer, and its skip where a layer may be left out."""
    described, kind = _family(family)
    cells = FAMILIES[kind]
    decoded = [(each, cells.decoded(each)) for each in described.candidates]
    origin = "reference" if family == "reference" else "builtin"
    layers = []
    for shape in skeleton.shapes:
        offers = {
            each.id: cell
            for each, cell in decoded
            if each.shortcut in (None, shape.shortcut)
            and (cell.edge, cell.node) == (shape.edge, shape.node)
        }
        if not offers or not _at_home(kind, shape):
            raise _fits_nowhere(family, skeleton, shape)
        if described.skip_where_legal and (shape.skippable if shape.staged else shape.shortcut):
            offers[SKIP_ID] = cells.skipped
        layers.append(_layer(shape, offers, described.reference, origin))
    operations = NODE_FAMILIES[family].operations if family in NODE_FAMILIES else cells.usual
    return _space(family, skeleton, operations, layers, described.description)


def _at_home(kind: str, shape: Any) -> bool:
    """Whether cells of a kind may stand in layers such as this one."""
    paired = shape.before is None or shape.paired_kind == kind
    return paired and (kind == "ofa" or not shape.activation)


def _fits_nowhere(family: str, skeleton: Skeleton, shape: Any) -> SpaceError:
    """The error of a layer for which a family has no cell; it names those that have one."""
    own = family
    if family not in OWN_NAMES:
        own = shape.paired_kind if shape.before is not None else OWN_NAMES[0]
        own = "ofa" if shape.activation else own
    allowed = " or ".join(f"{own}@{name}" for name in OWN_SKELETONS[own])
    problem = f"no cell of {family} fits {shape.name} of the skeleton {skeleton.name}"
    return SpaceError(f"{family}@{skeleton.name}", f"{problem}; allowed: {allowed}")


def _fitting(family: str, skeleton: Skeleton) -> SequenceSkeleton:
    """The skeleton, if cells of a recurrent family fit it."""
    if family == AUTOCAPTION:
        return replace(captioning(skeleton, f"{family} describes images"), whole=False)
    own = sequence(skeleton, f"{family} reads text")
    return replace(own, bias=family == "darts-rnn", whole=False)


def _recurrent_space(family: str, own: SequenceSkeleton) -> Space:
    """All choices at every node; the reference is a chain of tanh, and a chain of layers."""
    layers = []
    for shape in own.shapes:
        choices = choices_at(shape) if isinstance(shape, DecisionShape) else []
        usual = choices[0][0]
        if shape.name.endswith("input"):
            usual = choices[-1][0]
        elif shape.name.endswith("links"):
            usual = f"l{shape.depth - 1}"  # type: ignore[attr-defined]
        layers.append(_layer(shape, dict(choices), usual))
    operations = FAMILIES[RecurrentCell.kind].usual
    return _space(family, own, operations, layers, RECURRENT[family])


def _bert_space(family: str, skeleton: EncoderSkeleton) -> Space:
    """Every kind of layer at every hidden size; the reference is BERT's layers at the largest."""
    widths = skeleton.widths
    kinds = FAMILIES[BertCell.kind].usual
    cells = {f"{kind}_{width}": BertCell(kind, width) for width in widths for kind in kinds}
    layers = []
    for index, shape in enumerate(skeleton.shapes):
        usual = f"{('attention', 'feed_forward')[index % 2]}_{widths[-1]}"
        offers = {**cells, **({SKIP_ID: SKIPPED} if shape.skippable else {})}
        layers.append(_layer(shape, offers, usual))
    return _space(family, skeleton, kinds, layers, BERT)


def _layer(
    shape: LayerShape, offers: Mapping[str, Any], usual: str, origin: str = "builtin"
) -> Layer:
    """A layer that offers cells by id; the one of the reference has the fitness 0."""
    return Layer(
        shape,
        tuple(
            Candidate(name, cell, 0.0 if name == usual else None, Origin(origin))
            for name, cell in offers.items()
        ),
    )


def _space(
    family: str,
    skeleton: Skeleton,
    operations: Sequence[str],
    layers: Sequence[Layer],
    source: str,
) -> Space:
    return Space(
        f"{family}@{skeleton.name}"[:MAX_NAME],
        skeleton,
        tuple(operations),
        tuple(layers),
        {layer.shape.name: _usual(layer) for layer in layers},
        provenance={"source": source},
    )


def _usual(layer: Layer) -> str:
    """The id of the reference's cell, which alone has a fitness here."""
    return next(each.id for each in layer.candidates if each.fitness is not None)


@cache
def _family(name: str) -> tuple[doc.FamilyFile[Any], str]:
    if name in NODE_FAMILIES:
        return _every_node_choice(name), NODE_FAMILIES[name].cells.kind
    return builtin_document(f"families/{name}.json")


def _every_node_choice(name: str) -> Any:
    """A family with all that each node of a cell may be, which would fill a long file."""
    family = NODE_FAMILIES[name]
    kind = family.cells.kind
    cells = [
        {"id": choice.name, **FAMILIES[kind].encoded(family.cells.on(choice))}
        for node in all_nodes(NODES)
        for choice in choices_of(node, family.operations)
    ]
    plain = {
        "format": doc.FAMILY_FORMAT,
        "version": doc.VERSION,
        "kind": kind,
        "name": name,
        "description": f"{family.about}: two edges into each of four "
        "nodes, one of seven operations on each; one cell for all layers of a stride",
        "skip_where_legal": False,
        "reference": f"{family.reference}~0+{family.reference}~1",
        "candidates": cells,
    }
    return validated(doc.file_model(doc.FAMILY_FORMAT, kind=kind), plain)


def builtin_document(name: str) -> tuple[Any, str]:
    """The document of a built-in file, and the family of its cells."""
    text = (resources.files("autospace.spaces") / "data" / name).read_text("utf-8")
    header = header_of(parse_json(text))
    return validated(doc.file_model(*header), parse_json(text)), header.kind
