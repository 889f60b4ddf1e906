"""Recognises files of other programs by what they hold, so that an error can say what to do.

A file is recognised only to word an error: nothing is read from it here.
"""

import json
import re
from collections.abc import Mapping
from typing import Any, Final, NamedTuple

from autospace.spaces.errors import SpaceError

RESULTS: Final = ("best_params", "params", "parameters", "parameter", "config")
IMPORT_LIST: Final = "autospace import --list shows what can be imported"


class Foreign(NamedTuple):
    """A kind of file: what it is, and the format of `autospace import` that reads it, or none."""

    what: str
    format: str = ""

    @property
    def option(self) -> str:
        """The option of `autospace import` for it, to be added to its name."""
        return "" if not self.format or self.format in _OURS else f": --from {self.format}"

    @property
    def hint(self) -> str:
        """What to do with it, in one line."""
        if not self.format:
            return f"{self.what}, no file of autospace; {IMPORT_LIST}"
        space = " --space SPACE" if self.format in _NEED_SPACE else ""
        command = f"autospace import FILE --from {self.format}{space}"
        return f"{self.what}, no file of autospace; import it first: {command}"


_NEED_SPACE: Final = ("optuna", "nni", "ray", "configspace", "pyglove", "flat")
_LONGEST_LINE: Final = 10**6
_OURS: Final = {
    "autospace.space": "a space of autospace",
    "autospace.architecture": "an architecture of autospace",
    "autospace.skeleton": "a skeleton of autospace",
    "autospace.latency": "a latency table of autospace",
}
_OF_RESULT: Final = {
    "best_params": "optuna",
    "params": "optuna",
    "parameters": "nni",
    "parameter": "nni",
    "config": "ray",
}


_ELSEWHERE: Final = {
    "autospace.comparison": "a comparison; autospace report FOLDER shows it",
    "autospace.search": "the result of a search; what it found is best.json beside it",
    "autospace.training": "the result of a training; its network is architecture.json beside it",
    "autospace.latency": "a latency table; it is for --latency-table of evolve and search",
    "autospace.table": "a table of accuracies; it is for --table of compare and search",
    "autospace.reference": "the reference of a run; name the folder of the run",
    "autospace.bench": "numbers of autospace bench; they are for --baseline there",
}
"""Files of ours that other commands and options read, by their format."""
_TABLE: Final = "part,inputs,outputs,"
"""How a latency table begins as CSV."""
_CHOSEN: Final = re.compile(
    r"(?:[ \t]*(?:#.*)?\n)*[\"']?(?:layer|edge|node)_\w+[\"']?[ \t]*:[ \t]*\S"
)
"""How a configuration begins that a tuner wrote as YAML."""
_TRIALS: Final = re.compile(r"(?=[^\n:{]*[,;\t])(?:[^\n:{]*[,;\t/._])?[\"']?(?:layer|edge|node)_\d")
"""How a table of trials begins: with the names of its columns."""
_CHOICE: Final = re.compile(r"(?:layer|edge|node)_\w+")
_TIMM: Final = re.compile(r"\b(?:ds|ir)_r\d+_k\d")


def foreign_text(text: str) -> Foreign | None:
    """The kind of a text that is not JSON, if it is one that people have."""
    if "Genotype(" in text:
        return Foreign("a genotype of DARTS", "darts-genotype")
    if text.lstrip().startswith("|") and "~" in text:
        return Foreign("a string of NAS-Bench-201", "nasbench201")
    if _TIMM.search(text):
        return Foreign("architecture strings of timm", "timm-arch")
    if _CHOSEN.match(text):
        return Foreign("a result of a tuner", "configspace")
    if _TRIALS.match(text):
        return Foreign("a table of trials", "optuna")
    return None


def own_elsewhere(plain: Any) -> str | None:
    """What to say of a file of ours that has its place elsewhere, if it is one.

    Args:
        plain: the values of the file, or its text if that is neither JSON nor TOML.
    """
    if isinstance(plain, str):
        if plain.startswith(_TABLE):
            return _ELSEWHERE["autospace.latency"]
        return _of_run(first_line(plain))
    if not isinstance(plain, dict):
        return None
    if (what := _of_run(plain)) is not None:
        return what
    if "format" in plain:
        named = plain["format"]
        return _ELSEWHERE.get(named) if isinstance(named, str) else None
    if isinstance(plain.get("command"), str):
        return f"settings of autospace {plain['command'][:20]}; name the folder of the run"
    if isinstance(plain.get("evolution"), dict):
        return "settings of autospace evolve; they are for its --config"
    return None


_BYTES: Final = {
    b"SQLite format 3": "a data base, such as a study of Optuna: save study.best_params as JSON",
    b"PAR1": "Parquet: save the table as CSV",
    b"\x89PNG": "an image",
    b"\xff\xd8\xff": "an image",
    b"%PDF-": "a PDF",
}


def _of_run(plain: Any) -> str | None:
    keys = plain.keys() if isinstance(plain, dict) else set()
    if "seconds" in keys and keys & {"phase", "epoch", "step"}:
        return "the events of a run; name the folder of the run"
    if {"sha256", "lines", "notes"} <= keys:
        return "what a run has read; name the folder of the run"
    return None


def first_line(text: str) -> Any:
    """The value of the first line of a text with one JSON value a line; else None."""
    line, end, _ = text.lstrip().partition("\n")
    if not end or not line.startswith("{") or len(line) > _LONGEST_LINE:
        return None
    try:
        return json.loads(line)
    except (ValueError, RecursionError):
        return None


def of_cell_ids(plain: Any) -> bool:
    """Whether a value is the flat form of an architecture: cell ids by layer or edge."""
    names = isinstance(plain, dict) and all(_CHOICE.fullmatch(key) for key in plain)
    return bool(names and plain and all(isinstance(each, str) for each in plain.values()))


FLAT: Final = Foreign("cell ids by layer", "flat")


def foreign_bytes(raw: bytes) -> str:
    """What bytes that are no text seem to be, in a clause to be added; empty if not known."""
    if raw.startswith(b"PK") and b".npy" in raw[:200]:
        return "; it is .npz, which --data npz:FILE reads"
    if raw[8:9] == b"{" and not any(raw[5:8]):
        return "; it holds weights: name the architecture.json beside them"
    if raw.startswith((b"PK", b"\x1f\x8b")):
        return "; it is an archive, or weights of PyTorch"
    if raw.startswith(b"\x80"):
        return "; it is a pickle, which is never opened here"
    what = next((what for mark, what in _BYTES.items() if raw.startswith(mark)), None)
    return f"; it is {what}" if what else ""


def foreign(plain: Any) -> Foreign | None:
    """The kind of a parsed JSON file, if it is one that people have.

    Args:
        plain: the values of the file.
    """
    if isinstance(plain, list):
        return foreign(plain[0]) if plain else None
    if not isinstance(plain, dict) or not plain:
        return None
    if "blocks" in plain:
        matrices = "first_conv" not in plain
        return Foreign(
            "matrices of AutoSpace's authors" if matrices else "a net.config of ProxylessNAS",
            "autospace-iccv2021" if matrices else "proxylessnas",
        )
    if {"ks", "e", "d"} <= plain.keys():
        return Foreign("a sub-network of Once-for-all", "once-for-all")
    if str(plain.get("_type", "")).endswith("DNA"):
        return Foreign("a DNA of pyglove", "pyglove")
    return _own(plain) or _of_result(plain) or _of_space(plain)


def _own(plain: Mapping[str, Any]) -> Foreign | None:
    named = plain.get("format")
    known = isinstance(named, str) and named in _OURS
    return Foreign(_OURS[str(named)], str(named)) if known else None


def _of_result(plain: Mapping[str, Any]) -> Foreign | None:
    for key in RESULTS:
        held = plain.get(key)
        if isinstance(held, dict) and any(map(_CHOICE.match, held)):
            return Foreign("a result of a tuner", _OF_RESULT[key])
    return None


def _of_space(plain: Mapping[str, Any]) -> Foreign | None:
    """The kind of a search space of a tuner, from which nothing can be imported."""
    if isinstance(plain.get("hyperparameters"), list):
        return Foreign("a search space of ConfigSpace")
    values = list(plain.values())
    if all(isinstance(each, dict) for each in values):
        for key, what in (("_type", "NNI"), ("grid_search", "Ray Tune"), ("attributes", "Optuna")):
            if all(key in each for each in values):
                return Foreign(f"a search space of {what}")
    return None


def refuse_foreign(plain: Any) -> None:
    """Refuses a file of another program with what to do with it.

    Raises:
        SpaceError: the file is of a kind that is known, and not ours.
    """
    kind = foreign(plain)
    if kind is not None and kind.format not in _OURS:
        raise SpaceError("", kind.hint)
