"""The formats that can be imported, by name."""

from collections.abc import Callable
from typing import Final, NamedTuple

from autospace.importers import (
    autospace_iccv2021,
    client_results,
    graph_strings,
    once_for_all,
    recurrent_arcs,
    timm_strings,
)
from autospace.importers.target import Target
from autospace.spaces import Architecture, Space, SpaceError
from autospace.spaces.errors import offered, shown
from autospace.spaces.files.reading import recognised


class ImportFormat(NamedTuple):
    """The purpose of a format, and the function that reads its text.

    Attributes:
        gives: `space`, `architecture`, or both.
        needs: `skeleton` if its cells are put into one (a default one if none is given), `space` if
            its ids refer to one.
        about: a description in one line.
        read: makes the value from a text and a target.
    """

    gives: str
    needs: str
    about: str
    read: Callable[[str, Target], Space | Architecture]


FORMATS: Final[dict[str, ImportFormat]] = {
    "autospace-iccv2021": ImportFormat(
        "space or architecture",
        "skeleton",
        "the matrices that the authors of AutoSpace published, or one of their networks",
        autospace_iccv2021.read,
    ),
    "proxylessnas": ImportFormat(
        "architecture", "skeleton", "net.config of ProxylessNAS", once_for_all.read_network
    ),
    "once-for-all": ImportFormat(
        "architecture",
        "skeleton",
        "ks, e and d of a sub-network of OFAProxylessNASNets",
        once_for_all.read_once_for_all,
    ),
    "timm-arch": ImportFormat(
        "architecture",
        "skeleton",
        "strings of timm, such as ir_r2_k5_s2_e6_c40",
        timm_strings.read_timm,
    ),
    "darts-genotype": ImportFormat(
        "architecture",
        "skeleton",
        "Genotype(...) of DARTS, PC-DARTS, P-DARTS and others",
        graph_strings.read_darts_genotype,
    ),
    "bats-genotype": ImportFormat(
        "architecture",
        "skeleton",
        "Genotype(...) of BATS: grouped binary convolutions",
        graph_strings.binary_genotype("bats"),
    ),
    "bnas-genotype": ImportFormat(
        "architecture",
        "skeleton",
        "Genotype(...) of BNAS and CP-NAS: separable binary ones",
        graph_strings.binary_genotype("bnas"),
    ),
    "nasbench201": ImportFormat(
        "architecture",
        "skeleton",
        "a string of NAS-Bench-201",
        graph_strings.read_nasbench201,
    ),
    "enas-arc": ImportFormat(
        "architecture",
        "skeleton",
        "an arc of ENAS's recurrent cells, such as 0 2 1 0 2 1",
        recurrent_arcs.read_enas_arc,
    ),
    "darts-recurrent": ImportFormat(
        "architecture",
        "skeleton",
        "Genotype(recurrent=..., concat=...) of DARTS",
        recurrent_arcs.read_darts_recurrent,
    ),
    "flat": ImportFormat(
        "architecture", "space", "{layer: cell id}", client_results.reader("flat")
    ),
    "optuna": ImportFormat(
        "architecture",
        "space",
        "best_params, trials as JSON or a table",
        client_results.reader("optuna"),
    ),
    "nni": ImportFormat(
        "architecture",
        "space",
        "a sample, parameter.cfg, or an export",
        client_results.reader("nni"),
    ),
    "configspace": ImportFormat(
        "architecture",
        "space",
        "a configuration as JSON or YAML",
        client_results.reader("configspace"),
    ),
    "ray": ImportFormat(
        "architecture",
        "space",
        "params.json or result.json of a trial",
        client_results.reader("ray"),
    ),
    "pyglove": ImportFormat(
        "architecture", "space", "indices, a DNA, or its value", client_results.read_pyglove
    ),
}


# AutoSpace's authors published networks in the words of ProxylessNAS, too.
# Those of BATS and CP-NAS kept the words of DARTS.
_SHARES: Final = {
    "autospace-iccv2021": "proxylessnas",
    "bats-genotype": "darts-genotype",
    "bnas-genotype": "darts-genotype",
}


def import_text(name: str, text: str, target: Target) -> Space | Architecture:
    """The space or architecture that a text of another program describes.

    Raises:
        SpaceError: the format is unknown, or the text is not in it or cannot be expressed here.
    """
    if name not in FORMATS:
        raise SpaceError("", f"unknown format {shown(name)}; {offered(name, FORMATS)}")
    # PowerShell and Notepad put a byte order mark before UTF-8.
    text = text.removeprefix("\ufeff")
    try:
        return FORMATS[name].read(text, target)
    except SpaceError as error:
        other = recognised(text)
        if other is None or other.format in ("", name, _SHARES.get(name)):
            raise
        if {FORMATS[name].needs, FORMATS.get(other.format, FORMATS[name]).needs} == {"space"}:
            raise  # Whatever tool is named, results of all of them are read.
        raise SpaceError("", f"{error} (the file looks like {other.what}{other.option})") from None
