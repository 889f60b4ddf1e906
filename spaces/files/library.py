"""Loads built-in skeletons and spaces, and makes spaces and architectures of names and paths."""

import os
from collections.abc import Sequence
from dataclasses import replace
from functools import cache
from importlib import resources
from pathlib import Path
from typing import Any, Final, NamedTuple

from autospace.spaces.captions import captioning
from autospace.spaces.cells.bats import BATS_USUAL, BNAS_USUAL, BatsCell
from autospace.spaces.cells.bert import SKIPPED, BertCell
from autospace.spaces.cells.darts_cell import NODES, USUAL, DartsCell, all_nodes, choices_of
from autospace.spaces.cells.family import FAMILIES
from autospace.spaces.cells.recurrent import DecisionShape, choices_at
from autospace.spaces.cells.recurrent_cell import RecurrentCell
from autospace.spaces.checks import MAX_NAME
from autospace.spaces.encoder import EncoderSkeleton, encoder
from autospace.spaces.errors import SpaceError, offered, shown
from autospace.spaces.files import document as doc
from autospace.spaces.files.codec import read, said_of, skeleton_from
from autospace.spaces.files.foreign import own_elsewhere, refuse_foreign
from autospace.spaces.files.reading import header_of, parse_json, read_text, validated
from autospace.spaces.sequence import SequenceSkeleton, sequence
from autospace.spaces.skeleton import Skeleton
from autospace.spaces.space import Architecture, Candidate, Layer, Origin, Space

FAMILY_NAMES = ("mbconv", "mnasnet", "nasbench-macro", "reference", "binary")
SKELETON_NAMES = ("digits", "cifar", "nasbench-macro", "mobile", "mobilenetv2")
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
OWN_SKELETON_NAMES: Final = tuple(
    dict.fromkeys(name for names in OWN_SKELETONS.values() for name in names)
)
ALL_SKELETONS: Final = (*SKELETON_NAMES, *OWN_SKELETON_NAMES)
FILE_SUFFIXES: Final = (".json", ".toml")
SPACE_FILE = "space.json"
SKIP_ID = "skip"
NO_SPACE = "these cell ids need their space; name it with --space (space= in Python)"


def builtin_names() -> tuple[str, ...]:
    """Every built-in space, as `NAME@SKELETON`."""
    pairs = tuple(f"{family}@{skeleton}" for family in FAMILY_NAMES for skeleton in SKELETON_NAMES)
    own = (f"{family}@{name}" for family, names in OWN_SKELETONS.items() for name in names)
    return (*pairs, *own)


def load_builtin(name: str) -> Space:
    """A built-in family on a skeleton, `mbconv@cifar` or `mbconv@runs/first` for example.

    Raises:
        SpaceError: no built-in space of this name.
    """
    family, _, skeleton = name.partition("@")
    names = (*FAMILY_NAMES, *OWN_NAMES)
    if family not in names:
        words = f"NAME@SKELETON with NAME one of {', '.join(names)}"
        known = offered(family, names, words)
        raise SpaceError(name or '""', f"unknown space; {known}")
    fitting = OWN_SKELETONS.get(family, SKELETON_NAMES)
    if not skeleton:
        raise SpaceError(name, f"no skeleton after the @; allowed: {', '.join(fitting)}")
    return family_space(family, skeleton_of(skeleton, fitting))


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
    described, kind = _family(family)
    cell_family = FAMILIES[kind]
    decoded = [(each, cell_family.decoded(each)) for each in described.candidates]
    layers = []
    for shape in skeleton.shapes:
        choices = [
            (each.id, cell)
            for each, cell in decoded
            if each.shortcut in (None, shape.shortcut)
            and (cell.edge, cell.node) == (shape.edge, shape.node)
        ]
        paired = shape.before is None or shape.paired_kind == kind
        if not choices or not paired or (kind != "ofa" and shape.activation):
            fitting = shape.paired_kind if shape.before is not None else OWN_NAMES[0]
            fitting = "ofa" if shape.activation else fitting
            own = family if family in OWN_NAMES else fitting
            allowed = " or ".join(f"{own}@{name}" for name in OWN_SKELETONS[own])
            problem = f"no cell of {family} fits {shape.name} of the skeleton {skeleton.name}"
            raise SpaceError(f"{family}@{skeleton.name}", f"{problem}; allowed: {allowed}")
        if described.skip_where_legal and (shape.skippable if shape.staged else shape.shortcut):
            choices.append((SKIP_ID, cell_family.skipped))
        candidates = tuple(
            Candidate(identity, cell, 0.0 if identity == described.reference else None)
            if family != "reference"
            else Candidate(identity, cell, 0.0, Origin("reference"))
            for identity, cell in choices
        )
        layers.append(Layer(shape, candidates))
    return Space(
        f"{family}@{skeleton.name}"[:MAX_NAME],
        skeleton,
        NODE_FAMILIES[family].operations if family in NODE_FAMILIES else tuple(cell_family.usual),
        tuple(layers),
        {shape.name: described.reference for shape in skeleton.shapes},
        provenance={"source": described.description},
    )


def _fitting(family: str, skeleton: Skeleton) -> SequenceSkeleton:
    """The skeleton, if cells of a recurrent family fit it."""
    if family == AUTOCAPTION:
        return replace(captioning(skeleton, f"{family} describes images"), whole=False)
    own = sequence(skeleton, f"{family} reads text")
    return replace(own, bias=family == "darts-rnn", whole=False)


def _recurrent_space(family: str, own: SequenceSkeleton) -> Space:
    """All choices at every node; the reference is a chain of tanh, and a chain of layers."""
    layers, reference = [], {}
    for shape in own.shapes:
        choices = choices_at(shape) if isinstance(shape, DecisionShape) else []
        usual = choices[0][0]
        if shape.name.endswith("input"):
            usual = choices[-1][0]
        elif shape.name.endswith("links"):
            usual = f"l{shape.depth - 1}"  # type: ignore[attr-defined]
        reference[shape.name] = usual
        candidates = tuple(
            Candidate(name, cell, 0.0 if name == usual else None)  # type: ignore[arg-type]
            for name, cell in choices
        )
        layers.append(Layer(shape, candidates))
    return Space(
        f"{family}@{own.name}"[:MAX_NAME],
        own,
        tuple(FAMILIES[RecurrentCell.kind].usual),
        tuple(layers),
        reference,
        provenance={"source": RECURRENT[family]},
    )


def _bert_space(family: str, skeleton: EncoderSkeleton) -> Space:
    """Every kind of layer at every hidden size; the reference is BERT's layers at the largest."""
    widths = skeleton.widths
    kinds = FAMILIES[BertCell.kind].usual
    cells = {f"{kind}_{width}": BertCell(kind, width) for width in widths for kind in kinds}
    layers, reference = [], {}
    for index, shape in enumerate(skeleton.shapes):
        usual = f"{('attention', 'feed_forward')[index % 2]}_{widths[-1]}"
        reference[shape.name] = usual
        offered = {**cells, **({SKIP_ID: SKIPPED} if shape.skippable else {})}
        candidates = tuple(
            Candidate(name, cell, 0.0 if name == usual else None)  # type: ignore[arg-type]
            for name, cell in offered.items()
        )
        layers.append(Layer(shape, candidates))
    return Space(
        f"{family}@{skeleton.name}"[:MAX_NAME],
        skeleton,
        tuple(kinds),
        tuple(layers),
        reference,
        provenance={"source": BERT},
    )


def load_skeleton(name: str) -> Skeleton:
    """A built-in skeleton by name, or one from a JSON or TOML file.

    Raises:
        SpaceError: the skeleton does not exist, or the file does not hold a valid one.
    """
    if name in ALL_SKELETONS:
        return _skeleton(name)
    path = Path(name)
    if path.suffix not in FILE_SUFFIXES:
        raise _no_skeleton(name, ALL_SKELETONS, "a .json or .toml file")
    value = read(path)
    if not isinstance(value, Skeleton):
        raise SpaceError(name, f"does not hold a skeleton; allowed: format {doc.SKELETON_FORMAT}")
    return value


def _no_skeleton(name: str, names: Sequence[str], others: str) -> SpaceError:
    """The error of a name or path that is no skeleton."""
    if os.path.lexists(name):
        known = "a name of one, a .json or .toml file, or a run folder"
        return SpaceError(name, f"holds no skeleton; allowed: {known}")
    missing = "no such file or folder" if os.sep in name else "unknown skeleton"
    known = offered(name, names, f"{', '.join(names)}, or {others}")
    return SpaceError(name or '""', f"{missing}; {known}")


def skeleton_of(source: str, names: Sequence[str] = ALL_SKELETONS) -> Skeleton:
    """A skeleton by its name or file, or that of a space, architecture or run.

    Args:
        source: the name or path.
        names: the built-in skeletons that an error offers.

    Raises:
        SpaceError: it does not exist or is not valid.
    """
    there = os.path.lexists(source)
    if source in ALL_SKELETONS or (not there and Path(source).suffix in FILE_SUFFIXES):
        return load_skeleton(source)
    if not there:
        raise _no_skeleton(source, names, "a file or a run folder")
    if os.path.isfile(source):
        value = read(Path(source))
        return value if isinstance(value, Skeleton) else value.skeleton
    return load_any(source).skeleton


def load_any(source: str | Path) -> Space | Architecture:
    """A space or architecture: a file, a run folder, or a built-in as `NAME@SKELETON`."""
    if not isinstance(source, str | Path):
        problem = f"{shown(source)}; allowed: a file, a run folder, or a built-in as text"
        raise SpaceError("space", problem)
    # os.path, unlike pathlib, answers False to names that no file system takes.
    if not os.path.lexists(source):
        if "@" in str(source) and os.sep not in str(source).partition("@")[0]:
            return load_builtin(str(source))
        words = f"a file, a run folder, or a built-in such as {builtin_names()[1]}"
        missing = "no such file or folder" if _is_path(source) else "no such space"
        names = () if _is_path(source) else builtin_names()
        raise SpaceError(str(source) or '""', f"{missing}; {offered(str(source), names, words)}")
    path = Path(source)
    if path.is_dir():
        if not (path / SPACE_FILE).exists():
            raise SpaceError(str(path), _without_space(path))
        path = path / SPACE_FILE
    value = read(path)
    if isinstance(value, Skeleton):
        raise SpaceError(str(path), f"a skeleton; allowed: a space, or {FAMILY_NAMES[0]}@{path}")
    return value


def _is_path(source: str | Path) -> bool:
    """Whether it is meant as a file or folder: no built-in has a suffix or a separator."""
    return isinstance(source, Path) or bool(Path(source).suffix) or os.sep in source


def load(source: str | Path) -> Space:
    """A space: a file, a run folder, or a built-in as `NAME@SKELETON`.

    Raises:
        SpaceError: it does not exist or is not a valid space; the message states what and where.
    """
    value = load_any(source)
    if not isinstance(value, Space):
        raise SpaceError(str(source), f"an architecture; allowed: format {doc.SPACE_FORMAT}")
    return value


def _without_space(folder: Path) -> str:
    """The problem of a folder that holds no space."""
    for name, kind, holds in _OTHER_RUNS:
        if (folder / name).exists():
            return f"holds {kind}, not a space; allowed: {folder / name}, {holds}"
    if (folder / _COMPARISON).exists():
        return f"holds a comparison, not a space; autospace report {folder} shows it"
    if (folder / "config.toml").exists():
        return f"the folder has no {SPACE_FILE}; has the run finished?"
    images = f"; images are named by --data folder:{folder}"
    has_folders = any(each.is_dir() for each in folder.iterdir())
    return f"the folder has no {SPACE_FILE} and no run{images if has_folders else ''}"


# A training's folder has no best.json, and a search's has no architecture.json.
_OTHER_RUNS: Final = (
    ("best.json", "a search", "the architecture that it found"),
    ("architecture.json", "a training", "the architecture that it trains"),
)
_COMPARISON: Final = "comparison.json"


@cache
def _skeleton(name: str) -> Skeleton:
    return skeleton_from(_data(f"skeletons/{name}.json")[0])


@cache
def _family(name: str) -> tuple[doc.FamilyFile[Any], str]:
    if name in NODE_FAMILIES:
        return _every_node_choice(name), NODE_FAMILIES[name].cells.kind
    return _data(f"families/{name}.json")


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


def _data(name: str) -> tuple[Any, str]:
    """The document of a built-in file, and the family of its cells."""
    text = (resources.files("autospace.spaces") / "data" / name).read_text("utf-8")
    header = header_of(parse_json(text))
    return validated(doc.file_model(*header), parse_json(text)), header.kind


def load_architecture(source: str | Path, space: Space | None = None) -> Architecture:
    """An architecture: a file of one, a flat `{"layer_03": "cell id"}`, or a space of just one.

    Args:
        source: path of a file, or whatever `load_any` takes.
        space: what the ids of a flat file refer to.

    Raises:
        SpaceError: it does not exist, is not valid or leaves a choice open, or it is a flat file
            without a space.
    """
    if isinstance(source, str | Path) and os.path.isfile(source) and Path(source).suffix != ".toml":
        text = read_text(Path(source))
        try:
            choices = parse_json(text)
            if isinstance(choices, dict) and "format" not in choices:
                refuse_foreign(choices)
                if (elsewhere := own_elsewhere(choices)) is not None:
                    raise SpaceError("", elsewhere)
                return _chosen(choices, space)
        except SpaceError as error:
            raise SpaceError(str(source), said_of(text, error)) from None
    value = load_any(source)
    if isinstance(value, Architecture):
        return value
    if value.size > 1:
        problem = f"a space of {value.size:,} architectures; allowed: one architecture"
        raise SpaceError(str(source), f"{problem} (autospace sample draws one)")
    return value.architecture({layer.shape.name: layer.candidates[0].id for layer in value.layers})


def _chosen(choices: dict[str, str], space: Space | None) -> Architecture:
    if space is None:
        raise SpaceError("", NO_SPACE)
    return space.architecture(choices)
