"""Files of other programs where one of ours belongs: the error says what to do with them."""

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given

from autospace.exporters.targets import TARGETS
from autospace.importers.formats import import_text
from autospace.importers.target import Target
from autospace.spaces import (
    SpaceError,
    load,
    load_any,
    load_architecture,
    load_skeleton,
    to_json,
)
from autospace.spaces.files.foreign import foreign
from tests.strategies import json_values

SPACE = load("mbconv@digits")
CHOICES = SPACE.architecture(
    {layer.shape.name: layer.candidates[0].id for layer in SPACE.layers}
).choices
NODES = {"node_00_function": "tanh", "node_01_input": "0"}
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
    ({"best_params": NODES}, "a result of a tuner", "--from optuna --space SPACE"),
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


@pytest.mark.parametrize("name", ["layer_00", "edge_0_1", "node_01_input", "layer_02_node_2"])
def test_tables_and_settings_of_tuners_are_known_by_any_name_of_a_choice(
    tmp_path: Path, name: str
) -> None:
    for text in (f"number,value,params_{name}\n0,0.5,x\n", f"{name}: x\n"):
        file = tmp_path / "trials.txt"
        file.write_text(text, encoding="utf-8")
        with pytest.raises(SpaceError, match=r"(table of trials|result of a tuner), no file of"):
            load_any(file)


def test_cell_ids_alone_are_to_be_imported_where_no_space_is_named(tmp_path: Path) -> None:
    file = tmp_path / "best.json"
    file.write_text(json.dumps(CHOICES), encoding="utf-8")
    with pytest.raises(SpaceError, match=r"cell ids by layer, .* --from flat --space SPACE"):
        load_any(file)
    assert load_architecture(file, SPACE).choices == CHOICES


def test_results_of_another_tool_are_no_reason_to_doubt_its_name() -> None:
    text = json.dumps({"config": {**CHOICES, "layer_00": "x"}})
    with pytest.raises(SpaceError) as caught:
        import_text("optuna", text, Target(space=SPACE))
    assert "looks like" not in str(caught.value)


@pytest.mark.parametrize("read", [load_any, load_architecture])
def test_an_error_names_the_file_once(tmp_path: Path, read: Any) -> None:
    file = tmp_path / "model.pt"
    file.write_bytes(b"\x80\x04\x95\xff")
    with pytest.raises(SpaceError) as caught:
        read(file)
    assert str(caught.value).count(str(file)) == 1


def test_a_file_that_is_there_is_not_called_missing(tmp_path: Path) -> None:
    file = tmp_path / "net.config"
    file.write_text("{}")
    with pytest.raises(SpaceError, match="holds no skeleton; allowed: a name of one, "):
        load_skeleton(str(file))


def test_own_files_and_flat_ones_are_not_taken_for_foreign() -> None:
    assert foreign(CHOICES) is None
    assert foreign({"format": "autospace.run"}) is None
    assert foreign({"architecture": CHOICES, "madds": 1}) is None


@given(json_values())
def test_any_value_is_a_kind_or_none(plain: Any) -> None:
    kind = foreign(plain)
    assert kind is None or kind.hint.isprintable()


ELSEWHERE = [
    ("c.json", '{"format": "autospace.comparison"}', "autospace report FOLDER shows it"),
    ("r.json", '{"format": "autospace.search"}', "best.json beside it"),
    ("t.json", '{"format": "autospace.training"}', "architecture.json beside it"),
    ("l.json", '{"format": "autospace.latency"}', "--latency-table of evolve and search"),
    ("l.csv", "part,inputs,outputs,resolution\nstem,1,2,8\n", "--latency-table of evolve"),
    ("a.json", '{"format": "autospace.table"}', "--table of compare and search"),
    ("b.json", '{"format": "autospace.bench"}', "--baseline"),
    (
        "config.toml",
        'command = "search"\nseed = 0\n',
        "settings of autospace search; name the folder",
    ),
    ("x.toml", "seed = 0\n[evolution]\nkeep = 1\n", "they are for its --config"),
    ("w.yaml", "# best\nlayer_00: a\nlayer_01: b\n", "--from configspace --space SPACE"),
    ("bom.json", "\ufeff" + json.dumps({"best_params": CHOICES}), "--from optuna --space SPACE"),
    ("g.py", "X = Genotype(normal=[])", "--from darts-genotype"),
    (
        "e.jsonl",
        '{"phase": "initial", "seconds": 1.0}\n' * 2,
        "the events of a run; name the folder",
    ),
    ("d.json", '{"sha256": "a", "lines": [], "notes": []}', "what a run has read; name the folder"),
    ("r.json", '{"format": "autospace.reference"}', "the reference of a run; name the folder"),
    ("t.csv", "number,value,params_layer_00\n0,0.5,a\n", "--from optuna --space SPACE"),
    ("r.jsonl", (json.dumps({"config": CHOICES}) + "\n") * 2, "--from ray --space SPACE"),
]


@pytest.mark.parametrize(("name", "text", "hint"), ELSEWHERE)
@pytest.mark.parametrize("read", [load_any, load_architecture])
def test_what_has_its_place_elsewhere_is_sent_there(
    tmp_path: Path, name: str, text: str, hint: str, read: Any
) -> None:
    file = tmp_path / name
    file.write_text(text, encoding="utf-8")
    with pytest.raises(SpaceError) as caught:
        read(file)
    assert str(caught.value).startswith(f"{file}: ")
    assert hint in str(caught.value)
    assert "did you mean" not in str(caught.value)


@pytest.mark.parametrize(
    ("raw", "hint"),
    [
        (b"PK\x03\x04" + b"\xff" * 20 + b"x.npy", "--data npz:FILE"),
        (b"\x40\0\0\0\0\0\0\0{" + b"\xff" * 9, "name the architecture.json beside them"),
        (b"\x1f\x8b\x08\xff", "an archive"),
        (b"\x80\x04\x95\xff", "a pickle, which is never opened here"),
        (b"\xff\xfe", "it is UTF-16; allowed: UTF-8"),
        ("{}".encode("utf-16"), "it is UTF-16; allowed: UTF-8"),
        (b"SQLite format 3\0" + bytes(84), "a study of Optuna: save study.best_params as JSON"),
        (b"SQLite format 3\0\xff", "a study of Optuna: save study.best_params as JSON"),
        (b"PAR1\x15\0", "save the table as CSV"),
        (b"\x89PNG\r\n", "it is an image"),
        (b"{}\0", "character 3 is zero"),
        ("{}".encode("utf-16-le"), "character 2 is zero"),
    ],
)
def test_bytes_that_are_no_text_are_recognised(tmp_path: Path, raw: bytes, hint: str) -> None:
    file = tmp_path / "found"
    file.write_bytes(raw)
    with pytest.raises(SpaceError, match=r"not UTF-8 at byte |no text: character ") as caught:
        load_any(file)
    assert hint in str(caught.value)


@pytest.mark.parametrize("text", ["", " \n\n"])
def test_an_empty_file_is_called_so(tmp_path: Path, text: str) -> None:
    file = tmp_path / "found.json"
    file.write_text(text)
    with pytest.raises(SpaceError, match="empty; allowed: JSON"):
        load_any(file)


def test_a_folder_of_images_is_no_run(tmp_path: Path) -> None:
    (tmp_path / "cat").mkdir()
    with pytest.raises(SpaceError) as caught:
        load_any(tmp_path)
    assert str(caught.value).endswith(f"; images are named by --data folder:{tmp_path}")
