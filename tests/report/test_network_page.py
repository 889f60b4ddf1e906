"""Reports of searches and trainings."""

import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from autospace import api
from autospace.report import figures, report_json, report_text
from autospace.report.network_page import curves_figure
from autospace.runs.errors import RunError
from autospace.spaces import load, load_architecture
from autospace.spaces.cells.family import notation
from autospace.spaces.space import drawn_layers
from tests.report.pages import Node, parsed
from tests.training.runs import trained


def _section(page: Node, name: str) -> Node:
    (found,) = (node for node in page.all("section") if node.attributes["id"] == name)
    return found


@pytest.fixture(scope="module")
def search(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A search of NAS-Bench-201 on its table: edges are chosen, and nothing is trained."""
    out = tmp_path_factory.mktemp("search") / "found"
    table = {"method": "table", "table": "nasbench201-200epochs"}
    settings = {"evaluator": table, "evaluations": 30}
    api.search("nasbench201@nasbench201", method="evolution", settings=settings, out=out)
    return out


def test_a_search_shows_its_best_network_its_finalists_and_its_course(search: Path) -> None:
    result: dict[str, Any] = json.loads((search / "result.json").read_text())
    page = parsed(report_text(search))
    assert f"{result['accuracy']:.1%}" in page.whole
    assert "nothing was trained" in page.whole
    table = _section(page, "finalists").all("table")[0]
    assert len(table.all("tbody")[0].all("tr")) == len(result["finalists"])
    assert {each.name for each in figures(search)} == {"trajectory", "ranked"}
    assert [each["score"] for each in result["trajectory"]]


def test_a_search_that_notes_ops_shows_them(search: Path, tmp_path: Path) -> None:
    binary = tmp_path / "binary"
    shutil.copytree(search, binary)
    result = json.loads((binary / "result.json").read_text())
    result["ops"] = 7
    for number, each in enumerate((*result["ranked"], *result["finalists"])):
        each["ops"] = 1_000 * (number + 1)
    (binary / "result.json").write_text(json.dumps(result))
    (ranked,) = (each for each in figures(binary) if each.name == "ranked")
    (panel,) = ranked.panels
    assert panel.x.label == "OPs"
    table = _section(parsed(report_text(binary)), "finalists").all("table")[0]
    assert "OPs" in [each.whole for each in table.all("th")]
    assert "OPs" not in _section(parsed(report_text(search)), "finalists").whole


def test_a_network_whose_edges_are_chosen_is_drawn_as_its_cell(search: Path) -> None:
    network = load_architecture(search / "best.json")
    (layer,) = drawn_layers(network)
    cell = notation(layer.candidates[0].cell)
    titles = {node.whole for node in _section(parsed(report_text(search)), "network").all("title")}
    assert titles == {cell}
    (told,) = json.loads(report_json(search))["network"]
    assert told["cell"] == cell
    assert report_text(search) == report_text(search)


def test_a_training_shows_its_curves_and_its_test_accuracy(tmp_path: Path) -> None:
    result = trained(tmp_path / "run")
    page = parsed(report_text(tmp_path / "run"))
    assert f"{result['test_accuracy']:.2%}" in page.whole
    panels = [panel.title for each in figures(tmp_path / "run") for panel in each.panels]
    assert panels == ["loss", "learning rate", "validation accuracy"]
    rows = _section(page, "curves").all("tbody")[0].all("tr")
    assert len(rows) == len(result["curve"])
    found = json.loads(report_json(tmp_path / "run"))
    assert found["result"] == result
    assert found["kind"] == "train"
    assert len(found["network"]) == 2


def test_a_training_of_a_text_shows_its_perplexity(tmp_path: Path) -> None:
    text = tmp_path / "t.txt"
    text.write_text("abacabad" * 300)
    space = load("enas-rnn@rnn-small")
    api.train(
        space.architecture(space.reference),
        data=f"text:bptt=8:{text}",
        out=tmp_path / "run",
        settings={"training": {"epochs": 2, "batch": 4}},
    )
    result = json.loads((tmp_path / "run" / "result.json").read_text())
    page = report_text(tmp_path / "run")
    assert f"test perplexity of {result['test_perplexity']:.2f}" in page
    assert str(tmp_path) not in page


def test_what_has_not_finished_is_refused_in_one_line(tmp_path: Path) -> None:
    for command in ("search", "train"):
        (tmp_path / "config.toml").write_text(f'command = "{command}"\n')
        problem = f"the {command} has not finished; autospace {command} --resume continues it"
        for report in (report_text, report_json, figures):
            with pytest.raises(RunError, match=problem):
                report(tmp_path)


def test_what_files_of_captions_call_accuracy_has_names_of_its_own() -> None:
    from autospace.captions.full import CaptionEpochDocument

    epochs = [
        CaptionEpochDocument(
            epoch=number,
            learning_rate=0.1,
            train_loss=2.0,
            validation_loss=1.0,
            validation_accuracy=0.5,
            validation_exact=0.25,
        )
        for number in (1, 2)
    ]
    drawn = curves_figure(epochs, "captions")
    assert drawn is not None
    titles = [panel.title for panel in drawn.panels]
    assert titles[-2:] == ["validation n-gram F", "validation exact match"]
