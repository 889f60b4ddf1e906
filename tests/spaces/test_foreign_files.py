"""Files of other programs where one of ours belongs: the error says what to do with them."""

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given

from autospace.exporters.targets import TARGETS
from autospace.importers.formats import import_text
from autospace.importers.target import Target
from autospace.spaces import SpaceError, load, load_any, load_architecture, to_json
from autospace.spaces.files.foreign import foreign
from tests.strategies import json_values

SPACE = load("mbconv@digits")
CHOICES = SPACE.architecture(
    {layer.shape.name: layer.candidates[0].id for layer in SPACE.layers}
).choices
NETWORK = {"name": "ProxylessNASNets", "first_conv": {}, "blocks": []}


def exported(target: str) -> Any:
    made = TARGETS[target].space
    assert made is not None
    return json.loads(made(SPACE))


CASES = [
    (NETWORK, "a net.config of ProxylessNAS", "--from proxylessnas"),
    ({"name": "x", "blocks": [[]]}, "matrices of AutoSpace's authors", "--from autospace-iccv2021"),
    ({"ks": [3], "e": [4], "d": [2], "r": 176}, "a sub-network of Once-for", "--from once-for-all"),
    ({"best_params": CHOICES}, "a result of a tuner", "--from optuna --space SPACE"),
    ({"parameter_id": 1, "parameters": CHOICES}, "a result of a tuner", "--from nni --space SPACE"),
    ({"loss": 1.0, "config": CHOICES}, "a result of a tuner", "--from ray --space SPACE"),
    ({"_type": "geno.DNA", "value": [0]}, "a DNA of pyglove", "--from pyglove --space SPACE"),
    ({"lr": {"_type": "uniform", "_value": [0, 1]}}, "a search space of NNI", "import --list"),
    ({"lr": {"grid_search": [0, 1]}}, "a search space of Ray Tune", "import --list"),
    (exported("optuna"), "a search space of Optuna", "import --list"),
    (exported("configspace"), "a search space of ConfigSpace", "import --list"),
]


@pytest.mark.parametrize(("plain", "what", "command"), CASES)
@pytest.mark.parametrize("read", [load_any, load_architecture])
def test_the_error_says_what_it_is_and_what_to_do(
    tmp_path: Path, plain: Any, what: str, command: str, read: Any
) -> None:
    file = tmp_path / "foreign.json"
    file.write_text(json.dumps(plain), encoding="utf-8")
    with pytest.raises(SpaceError) as caught:
        read(file)
    assert str(caught.value).startswith(f"{file}: {what}")
    assert command in str(caught.value)


def test_text_is_recognised_too(tmp_path: Path) -> None:
    for text, name in (("X = Genotype(normal=[])", "darts-genotype"), ("|none~0|", "nasbench201")):
        file = tmp_path / "found.txt"
        file.write_text(text, encoding="utf-8")
        with pytest.raises(SpaceError, match=f"import it first: .* --from {name}"):
            load_any(file)


@pytest.mark.parametrize(
    ("name", "text", "end"),
    [
        ("once-for-all", json.dumps(NETWORK), "a net.config of ProxylessNAS: --from proxylessnas)"),
        ("proxylessnas", "# a\nGenotype(normal=[])", "genotype of DARTS: --from darts-genotype)"),
        ("proxylessnas", to_json(SPACE), "(the file looks like a space of autospace)"),
    ],
)
def test_a_wrong_format_of_import_is_put_right(name: str, text: str, end: str) -> None:
    with pytest.raises(SpaceError) as caught:
        import_text(name, text, Target())
    assert str(caught.value).endswith(end)


def test_own_files_and_flat_ones_are_not_taken_for_foreign() -> None:
    assert foreign(CHOICES) is None
    assert foreign({"format": "autospace.run"}) is None
    assert foreign({"architecture": CHOICES, "madds": 1}) is None


@given(json_values())
def test_any_value_is_a_kind_or_none(plain: Any) -> None:
    kind = foreign(plain)
    assert kind is None or kind.hint.isprintable()
