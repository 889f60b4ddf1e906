"""Reads an architecture from the result of another tool.

Tools put the flat form, `{"layer_03": "cell id"}`, into different places: in an object below
another key, in every record of a list, in columns with a prefix. They also search for more than
cells at a time. So the flat form is looked for wherever it may be, by the names that the layers
of the space have; what lies beside it is noted, and what is ambiguous is refused.
"""

import math
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Final

from autospace.importers.result_files import parse_result
from autospace.importers.target import Target
from autospace.spaces import Architecture, Space, SpaceError
from autospace.spaces.errors import join_path, located, shown
from autospace.spaces.files.reading import parse_json
from autospace.spaces.text import plural

WRAPPERS: Final[dict[str, tuple[str, ...]]] = {
    "flat": ("architecture", "choices"),
    "optuna": ("params", "best_params"),
    "nni": ("parameters", "parameter"),
    "configspace": ("config",),
    "ray": ("config",),
}
"""Tool -> the keys under which its results usually hold the flat form.

* `flat`: what `autospace sample` and `autospace show` print.
* `optuna`: `best_params`, or what `optuna best-trial -f json` prints, or `trials_dataframe()`.
* `nni`: a sample, `parameter.cfg` of a trial, or what `nnictl experiment export` writes.
* `configspace`: `dict(configuration)` as JSON or YAML; SMAC and neps hand on the same.
* `ray`: `params.json` or `result.json` of a trial, or a result with its `config`.
"""
_PREFIX: Final = r"(?P<prefix>|.*[/.]|params_|config_)"
_ANY_LAYER: Final = re.compile(_PREFIX + r"(?P<layer>(?:layer|edge|node)_\d+\w*)")
"""Keys of the flat form where no space says how its layers are named."""

_STATES: Final = ("state", "status", "trial_status")
_STATES_OF: Final = {
    "Optuna": "PRUNED FAIL RUNNING WAITING",
    "NNI": "WAITING RUNNING FAILED USER_CANCELED SYS_CANCELED EARLY_STOPPED",
    "Ray": "PENDING RUNNING PAUSED ERROR",
    "Weights & Biases": "crashed failed killed pending preempted preempting running",
    "neps": "pending submitted evaluating failed crashed corrupted",
    "SMAC": "RUNNING CRASHED TIMEOUT MEMORYOUT",
    "Syne Tune": "InProgress Failed Paused Stopping Stopped",
    "Ax": "CANDIDATE STAGED RUNNING FAILED ABANDONED EARLY_STOPPED",
}
"""Tool -> what it calls trials that did not run to their end."""
_IDS: Final = (
    "trialJobId",
    "trial_id",
    "number",
    "trial_number",
    "config_id",
    "id",
    "parameter_id",
)
_VALUES: Final = ("value", "values", "values_0", "best_value", "reward", "objective", "cost")
_MAX_DEPTH: Final = 8
_SHOWN: Final = 6


def _plain_word(state: str) -> str:
    """A state in small letters only; Python prints `TrialState.PRUNED` for Optuna's `PRUNED`."""
    return re.sub(r"[\s_-]", "", state.rpartition(".")[2]).lower()


_UNFINISHED: Final = frozenset(
    _plain_word(state) for states in _STATES_OF.values() for state in states.split()
)


@dataclass(frozen=True, slots=True)
class Found:
    """The flat form in a file.

    Attributes:
        path: where it is.
        choices: layer -> what stands for its cell.
        others: keys beside the layers that the tool searched along.
        about: numbers and texts of the objects around it, the nearest first.
        state: what the tool says about the trial, such as `COMPLETE`. None if nothing
            yet; empty if nothing, and if what is said farther out is not said about it.
    """

    path: str
    choices: Mapping[str, object]
    others: tuple[str, ...]
    about: Mapping[str, object]
    state: str | None = None

    @property
    def unfinished(self) -> bool:
        """Whether the tool says that this trial did not run to its end; no for unknown words."""
        return _plain_word(self.state or "") in _UNFINISHED

    @property
    def identity(self) -> str:
        """What the tool calls this trial; else its number or, in the end, name in its path."""
        named = [str(self.about[key]) for key in _IDS if key in self.about]
        parts = [part for part in re.split(r"[.\[\]]+", self.path) if part]
        numbers = [part for part in parts if part.isdecimal()]
        return (named or numbers[-1:] or parts[-1:] or [""])[0]

    def value(self, key: str) -> float | None:
        """The number under a key; None if there is none, or if it is not finite."""
        found = self.about.get(key)
        if isinstance(found, list) and len(found) == 1:
            found = found[0]
        if isinstance(found, dict):
            found = found.get("default")
        try:
            number = float(found) if isinstance(found, str | int | float) else math.nan
        except (ValueError, OverflowError):
            return None
        return number if math.isfinite(number) else None


def reader(tool: str) -> Callable[[str, Target], Architecture]:
    """The function that reads the results of a tool in `WRAPPERS`."""
    return partial(chosen, wrappers=WRAPPERS[tool])


def chosen(text: str, target: Target, wrappers: Sequence[str] = ()) -> Architecture:
    """The architecture of the space that the flat form in a file names.

    Args:
        text: what `parse_result` reads: the flat form, an object that has it somewhere, or a list
            of such values.
        target: has the space, and which trial is meant if there are several.
        wrappers: keys under which the tool puts the flat form, for messages.

    Raises:
        SpaceError: not such a file, no space given, an unknown layer or cell, a missing layer, or
            several architectures of which none was chosen.
    """
    value, one_trial = parse_result(text, target.note)
    # Layers of other spaces are looked for only to name them in the error.
    forms = (_layers_of(target.space), _ANY_LAYER) if target.space else (_ANY_LAYER,)
    tries = (list(_all_found(value, "", {}, _MAX_DEPTH, form)) for form in forms)
    found: list[Found] = next(filter(None, tries), [])
    if not found:
        return _plain(value, target, wrappers)
    picked = _picked(found, target, as_list=isinstance(value, list) and not one_trial)
    if picked.others:
        rest = len(picked.others) - _SHOWN
        more = f" and {rest} more" if rest > 0 else ""
        target.note(f"left out, no layers: {', '.join(map(shown, picked.others[:_SHOWN]))}{more}")
    return _architecture(picked, target)


def _layers_of(space: Space) -> re.Pattern[str]:
    """What the keys of a space's layers look like.

    Numbers may be others than those of the space. So `layer_77` is a layer that the space does
    not have, which is an error, and no hyperparameter, which would be left out.
    """
    names = (layer.shape.name for layer in space.layers)
    forms = {r"\d+".join(map(re.escape, re.split(r"\d+", name))) for name in names}
    return re.compile(f"{_PREFIX}(?P<layer>{'|'.join(sorted(forms))})")


def _architecture(found: Found, target: Target) -> Architecture:
    space = target.given_space
    with located(found.path):
        return space.architecture(dict(found.choices))  # type: ignore[arg-type]


def _plain(value: object, target: Target, wrappers: Sequence[str]) -> Architecture:
    """The error of a file without any layer, which says where they were expected."""
    path = ""
    if isinstance(value, list):
        if len(value) != 1:
            raise SpaceError("", _of_several(len(value)))
        value, path = value[0], "[0]"
    for key in wrappers:
        if isinstance(value, dict) and isinstance(value.get(key), dict):
            value, path = value[key], join_path(path, key)
            break
    if not isinstance(value, dict):
        raise SpaceError(path, f"{shown(value)}; allowed: an object of layers and cell ids")
    with located(path):
        return target.given_space.architecture(value)


def _all_found(
    value: object, path: str, about: Mapping[str, object], depth: int, form: re.Pattern[str]
) -> Iterator[Found]:
    """Every object that has layers of this form for keys, in the order of the file."""
    if depth == 0 or not isinstance(value, dict | list):
        return
    if isinstance(value, list):
        for index, each in enumerate(value):
            for found in _all_found(each, f"{path}[{index}]", about, depth - 1, form):
                # What an object says about the list that it has is not said about the trial.
                yield replace(found, state=found.state or "")
        return
    layers = {key: match for key in value if (match := form.fullmatch(key))}
    about = {**about, **_facts(value, layers)}
    if layers:
        yield _found(value, layers, path, about)
        return
    within: list[Found] = []
    for key, each in value.items():
        within += _all_found(each, join_path(path, key), about, depth - 1, form)
    yield from _with_state(within, _state(value))


def _state(value: Mapping[str, object]) -> str | None:
    """The state that an object states."""
    stated = (each for key, each in value.items() if key.lower() in _STATES)
    return next((each for each in stated if isinstance(each, str)), None)


def _with_state(found: list[Found], state: str | None) -> list[Found]:
    """What was found in an object, with its state where nothing nearer states one.

    An object that has several architectures is no trial: its state is that of the whole search.
    """
    if state is None or any(each.choices != found[0].choices for each in found):
        return found
    return [replace(each, state=state) if each.state is None else each for each in found]


def _facts(value: Mapping[str, object], layers: Mapping[str, object]) -> dict[str, object]:
    """The scalars of an object, those in `metrics` included."""
    metrics = value.get("metrics")
    within = metrics if isinstance(metrics, dict) else {}
    both = {**within, **{key: each for key, each in value.items() if key not in layers}}
    return {key: each for key, each in both.items() if not isinstance(each, dict) or key in _VALUES}


def _found(
    value: Mapping[str, object], layers: Mapping[str, re.Match[str]], path: str,
    about: Mapping[str, object],
) -> Found:  # fmt: skip
    prefixes = {each["prefix"] for each in layers.values()}
    if len(prefixes) > 1:
        problem = f"layers under {' and '.join(sorted(map(shown, prefixes)))}; allowed: one of them"
        raise SpaceError(path, problem)
    prefix = prefixes.pop()
    choices = {each["layer"]: _unwrapped(value[key]) for key, each in layers.items()}
    beside = (key for key in value if key not in layers and key.startswith(prefix))
    names = (key.removeprefix(prefix) for key in beside)
    known = (*_IDS, *_VALUES, "madds", "params")
    others = tuple(name for name in names if name not in known and name.lower() not in _STATES)
    return Found(path, choices, others, about, _state(value))


def _unwrapped(choice: object) -> object:
    """The choice itself, which Weights & Biases writes as `{"value": ...}`."""
    return choice["value"] if isinstance(choice, dict) and "value" in choice else choice


def _picked(found: list[Found], target: Target, *, as_list: bool) -> Found:
    """The one that is meant.

    Raises:
        SpaceError: several are there, and the trial of the target chooses none or more than one.
    """
    if target.trial is not None:
        return _by_trial(found, target.trial, target.note)
    different = [each for each in found if each.choices != found[0].choices]
    if len(found) > 1 and (different or as_list):
        names = f"{_of_several(len(found))}, or --trial with max, min or one of {_names(found)}"
        raise SpaceError("", names)
    return found[-1]


def _names(found: Sequence[Found]) -> str:
    """What the first trials are called, each once."""
    names = list(dict.fromkeys(each.identity for each in found))
    more = ", ..." if len(names) > _SHOWN else ""
    return f"{', '.join(map(shown, names[:_SHOWN]))}{more}"


def _of_several(count: int) -> str:
    return f"a list of {count} values; allowed: a list of one architecture"


def _by_trial(found: list[Found], trial: str, note: Callable[[str], None]) -> Found:
    direction, _, key = trial.partition(":")
    if direction in ("max", "min"):
        return _extreme(found, direction, key, note)
    named = [each for each in found if each.identity == trial]
    if not named or any(each.choices != named[0].choices for each in named):
        problem = "no such trial" if not named else f"{len(named)} different trials have this id"
        raise SpaceError("trial", f"{shown(trial)}: {problem}; allowed: max, min, {_names(found)}")
    return named[-1]


def _unfinished(trials: Sequence[Found]) -> str:
    """The number of trials that did not finish, and their states."""
    states = list(dict.fromkeys(each.state or "" for each in trials))
    return f"{len(trials)} not finished ({', '.join(map(shown, states[:_SHOWN]))})"


def _extreme(trials: list[Found], direction: str, key: str, note: Callable[[str], None]) -> Found:
    """The finished trial with the largest or smallest value.

    Those that did not finish, and those without a finite value, are counted in a note.
    """
    found = [each for each in trials if not each.unfinished]
    left = [each for each in trials if each.unfinished]
    if not found:
        problem = f"no finished trial, {_unfinished(left)}"
        raise SpaceError("trial", f"{problem}; allowed: one of {_names(left)}")
    key = key or next((each for each in _VALUES if any(each in one.about for one in found)), "")
    valued = [(value, each) for each in found if (value := each.value(key)) is not None]
    if not valued:
        numbers = {name for each in found for name in each.about if each.value(name) is not None}
        seen = ", ".join(sorted(numbers)[:_SHOWN]) or "no numbers"
        what = f"no finite {shown(key)}" if key else "no value"
        raise SpaceError("trial", f"{what} in any trial; allowed: {direction}:KEY of {seen}")
    best = (max if direction == "max" else min)(valued, key=lambda pair: pair[0])
    # Several trials may be of one architecture: its text, as choices may hold lists.
    texts = (str(sorted(each.choices.items())) for value, each in valued if value == best[0])
    same = len(set(texts)) - 1
    valueless = len(found) - len(valued)
    parts = [f"{direction} {key} {best[0]:g} of {len(valued)}: trial {shown(best[1].identity)}"]
    parts += [f"as good: {plural(same, 'other architecture')}"] if same else []
    parts += [f"passed over: {_unfinished(left)}"] if left else []
    parts += [f"passed over: {valueless} without a finite value"] if valueless else []
    note("; ".join(parts))
    return best[1]


def read_pyglove(text: str, target: Target) -> Architecture:
    """The architecture that a list of indices, a DNA of pyglove, or the value of one names.

    Raises:
        SpaceError: not such a point, an index out of range, or a missing layer; see also `chosen`.
    """
    value = parse_json(text)
    if isinstance(value, dict) and str(value.get("_type", "")).endswith("DNA"):
        value = value.get("value")
        # A space of one layer has a bare number for its DNA.
        value = value if isinstance(value, list) else [value]
    if not isinstance(value, list):
        return chosen(text, target)
    layers = target.given_space.layers
    if len(value) != len(layers):
        raise SpaceError(
            "", f"{len(value)} indices; allowed: {len(layers)}, one per layer of the space"
        )
    choices = {}
    for layer, index in zip(layers, value, strict=True):
        last = len(layer.candidates) - 1
        if type(index) is not int or not 0 <= index <= last:
            raise SpaceError(layer.shape.name, f"index {shown(index)}; allowed: 0 to {last}")
        choices[layer.shape.name] = layer.candidates[index].id
    return target.given_space.architecture(choices)
