"""Searches on a table: what they report is really in the table, and nothing else is possible."""

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from autospace import api
from autospace.evaluators.tabular import TABLE_NAMES, Table, read_table, table_from
from autospace.runs.errors import ConfigError
from autospace.runs.settings import merged
from autospace.searchers.catalogue import ON_TABLES
from autospace.searchers.driver import run_search
from autospace.searchers.folder import SearchFolder
from autospace.searchers.make import METHODS, make_method
from autospace.searchers.problem import SearchProblem
from autospace.searchers.settings import SearchConfig
from autospace.seeds import derived_seed
from autospace.spaces import LayerSpec, Skeleton, Space, Stem, load
from autospace.spaces.choices import Choices, SearchError
from tests.comparison.setups import space as same_cells
from tests.comparison.test_tables import without
from tests.evaluators.test_tabular import CELLS, document
from tests.searchers.test_every_method import Stopping, _timeless

TABLE = read_table("nasbench-macro")
SPACE = load("nasbench-macro@nasbench-macro")
OPTIONS: dict[str, dict[str, Any]] = {
    "zero-cost": {"score": "madds"},
    "pnas": {"epochs": 5},
    "enas": {"samples": 4},
}
SEED = 3
COLUMN = derived_seed(SEED, "trial") % 2**31 % 3
"""Of the scores: the one that a search of this seed sees."""


def config(method: str, **changes: Any) -> SearchConfig:
    plain = {
        "method": method,
        "seed": SEED,
        "evaluations": 30,
        "evaluator": {"method": "table", "table": "nasbench-macro"},
        "options": OPTIONS.get(method, {}),
    }
    return SearchConfig.model_validate({**plain, **changes})


def searched(path: Path, method: str, space: Space = SPACE, **changes: Any) -> dict[str, Any]:
    folder = SearchFolder.create(path, config(method, **changes))
    return run_search(folder, space, Stopping()).model_dump(mode="json")


def score(choices: dict[str, str]) -> float:
    return float(TABLE.scores[int("".join(choices.values()), 3), COLUMN])


@pytest.mark.parametrize("method", ON_TABLES)
def test_every_accuracy_is_the_tables(method: str, tmp_path: Path) -> None:
    result = searched(tmp_path / "run", method)
    assert result["accuracy"] == score(result["best"])
    assert result["accuracy"] == max(each["accuracy"] for each in result["finalists"])
    for each in result["finalists"]:
        assert each["accuracy"] == score(each["architecture"])
    if method == "zero-cost":
        assert [each["score"] for each in result["ranked"]] == [
            each["madds"] for each in result["ranked"]
        ]
        return
    for each in result["ranked"]:
        assert each["score"] == score(each["architecture"])
    # The best of all that was looked up.
    assert result["trajectory"][-1]["score"] == result["accuracy"]
    assert 20 <= result["evaluations"] <= 30


@pytest.mark.parametrize("method", ON_TABLES)
def test_limits_hold_and_a_part_of_the_tables_space_is_enough(method: str, tmp_path: Path) -> None:
    space, most = without("1"), 40_000_000
    result = searched(tmp_path / "run", method, space, budget={"max_madds": most})
    assert all("1" not in each["architecture"].values() for each in result["ranked"])
    assert max(each["madds"] for each in result["ranked"]) <= most
    assert result["accuracy"] == score(result["best"])


@pytest.mark.parametrize("method", ON_TABLES)
def test_a_stopped_search_goes_on_to_the_same_result(method: str, tmp_path: Path) -> None:
    whole = searched(tmp_path / "whole", method)
    folder = SearchFolder.create(tmp_path / "parts", config(method))
    space: Space | None = SPACE
    for after in (1, 3, 2):
        with pytest.raises(KeyboardInterrupt):
            run_search(folder, space, Stopping(after))
        folder, space = SearchFolder.open(tmp_path / "parts"), None
    parts = run_search(folder, None, Stopping()).model_dump(mode="json")
    assert _timeless(parts) == _timeless(whole)
    for name in ("best.json", "config.toml", "checkpoint/space.json"):
        assert (tmp_path / "parts" / name).read_bytes() == (tmp_path / "whole" / name).read_bytes()


def test_exactly_the_other_methods_are_refused() -> None:
    for method in METHODS:
        if method in ON_TABLES:
            continue
        with pytest.raises(ValueError, match=f"method {method}: trains on images, a table has non"):
            config(method)
        # What the settings refuse could not have worked.
        problem = SearchProblem.of(Choices(SPACE), TABLE, config("random"))
        object.__setattr__(problem, "config", problem.config.model_copy(update={"method": method}))
        if not method.startswith("magic"):
            with pytest.raises(SearchError, match="no images to train on"):
                train(problem)


def train(problem: SearchProblem) -> None:
    method = make_method(problem)
    for index in range(method.steps):
        method.step(index)


@pytest.mark.parametrize(
    ("changes", "problem"),
    [
        ({"method": "darts"}, "method darts: trains on images, a table has none; allowed with a"),
        ({"supernet": {"steps": 5}}, "supernet: settings of a training, but a table trains nothin"),
        ({"trial": {"steps": 5}}, "trial: settings of a training"),
        ({"data": {"source": "digits"}}, "data: settings of images"),
        ({"evaluator": {"method": "table"}}, 'evaluator: method is "table" and table is null; '),
        ({"evaluator": {"precision": "bfloat16"}}, 'evaluator: precision is "bfloat16", but a tab'),
        ({"evaluator": {"precision": "half"}}, 'evaluator.precision: "half"; allowed: float32 or'),
        ({"evaluator": {"method": "supernet"}}, 'evaluator.method: "supernet"; allowed: train or'),
    ],
)
def test_settings_that_a_table_does_not_have_are_refused(
    changes: dict[str, Any], problem: str, tmp_path: Path
) -> None:
    named = {} if changes.get("evaluator", {}).get("method") else {"table": "nasbench-macro"}
    by_table = {"evaluator": {"method": "table", **named}}
    with pytest.raises(ConfigError, match=f"^{problem}"):
        api.search(SPACE, settings=merged(by_table, changes), out=tmp_path / "out")
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("method", "options"),
    [("zero-cost", {"score": "naswot"}), ("zero-cost", {}), ("evolution", {"start": "synflow"})],
)
def test_scores_that_need_images_are_refused(
    method: str, options: dict[str, Any], tmp_path: Path
) -> None:
    with pytest.raises(SearchError, match=r"needs images, .* allowed: params, madds$"):
        searched(tmp_path / "run", method, options=options)
    assert not (tmp_path / "run").exists()


def test_evolution_starts_from_the_dearest_if_asked(tmp_path: Path) -> None:
    options = {"start": "madds", "start_pool": 200, "population": 5}
    result = searched(tmp_path / "run", "evolution", evaluations=5, options=options)
    assert min(each["madds"] for each in result["ranked"]) > 80_000_000


def test_another_seed_may_see_another_column(tmp_path: Path) -> None:
    columns = {derived_seed(seed, "trial") % 2**31 % 3 for seed in range(20)}
    assert columns == {0, 1, 2}
    for seed in range(3):
        result = searched(tmp_path / f"{seed}", "random", seed=seed)
        row = TABLE.scores[int("".join(result["best"].values()), 3)]
        assert result["accuracy"] == row[derived_seed(seed, "trial") % 2**31 % 3]


def test_a_search_of_all_networks_of_a_small_table_finds_the_best(tmp_path: Path) -> None:
    small: Table = table_from(json.dumps(document(columns=1)))
    path = tmp_path / "mine.json"
    path.write_text(json.dumps(document(columns=1)))
    settings = {"evaluator": {"method": "table", "table": str(path)}, "evaluations": 9}
    found = api.search(small.space, method="random", settings=settings, out=tmp_path / "out")
    assert found.accuracy == small.scores.max()
    assert found.best.choices == {"layer_00": "cell_2", "layer_01": "cell_2"}
    assert found.result.config.evaluator.table == "mine"
    assert str(tmp_path) not in (found.folder / "result.json").read_text()


def test_the_controller_learns_from_the_table(tmp_path: Path) -> None:
    options = {"samples": 10, "learning_rate": 0.03}
    result = searched(tmp_path / "run", "enas", evaluations=600, options=options)
    # A controller that has learned draws the same networks again and again.
    drawn = searched(tmp_path / "random", "random-ws", evaluations=600)
    assert result["evaluations"] < 0.8 * drawn["evaluations"]
    assert result["accuracy"] > 0.925


def unscored(tmp_path: Path, keep: Callable[[int], bool]) -> tuple[Space, dict[str, Any]]:
    """A table of 81 networks that has scores of some of them, and the settings that name it."""
    skeleton = Skeleton("four", 1, 8, 3, Stem(4, 1), (LayerSpec(4), LayerSpec(6, 2)) * 2)
    space = same_cells(CELLS, "eighty-one", skeleton)
    rows = [500 + (37 * row) % 81 if keep(row) else None for row in range(81)]
    path = tmp_path / "mine.json"
    path.write_text(json.dumps(document(of=space, columns=1, scores=rows)))
    return space, {"evaluator": {"method": "table", "table": str(path)}}


class Messages(Stopping):
    def __init__(self) -> None:
        super().__init__()
        self.heard: list[str] = []

    def message(self, text: str) -> None:
        self.heard.append(text)


@pytest.mark.parametrize("method", ON_TABLES)
def test_networks_without_a_score_never_win(method: str, tmp_path: Path) -> None:
    # Every second row: each method meets networks of both kinds.
    space, settings = unscored(tmp_path, lambda row: row % 2 == 0)
    listener = Messages()
    folder = SearchFolder.create(tmp_path / "run", config(method, **settings, finalists=12))
    result = run_search(folder, space, listener).model_dump(mode="json")
    table = read_table(settings["evaluator"]["table"])
    said = [each for each in listener.heard if "has no score" in each]
    assert said[0] == (
        "table mine has no score of 40 of the 81 networks: they count as accuracy 0, and are never "
        "the result"
    )
    places = dict(zip((each.id for each in space.layers[0].candidates), range(3), strict=True))
    rows = [
        table.scores[int("".join(str(places[name]) for name in each["architecture"].values()), 3)]
        for each in result["finalists"]
    ]
    assert [each["accuracy"] for each in result["finalists"]] == [row[0] for row in rows]
    assert result["accuracy"] == max(row[0] for row in rows)
    if method != "zero-cost":
        assert all(each["score"] >= 0.5 for each in result["ranked"])


def test_a_resumed_ranking_is_that_of_a_search_that_was_not_stopped(tmp_path: Path) -> None:
    space, settings = unscored(tmp_path, lambda row: row % 3 == 0)
    chosen = config("zero-cost", **settings, finalists=4, options={"score": "params"})
    watched = Stopping()
    whole = run_search(SearchFolder.create(tmp_path / "whole", chosen), space, watched)
    assert len(whole.finalists) == 4
    # The last ticks are those of the finalists.
    for stop in range(watched.ticks - 2, watched.ticks + 1):
        folder = SearchFolder.create(tmp_path / f"stopped-{stop}", chosen)
        with pytest.raises(KeyboardInterrupt):
            run_search(folder, space, Stopping(stop))
        found = run_search(SearchFolder.open(folder.path), None, Stopping())
        assert found.finalists == whole.finalists
        assert found.best == whole.best


def test_a_search_that_finds_no_score_says_so(tmp_path: Path) -> None:
    space, settings = unscored(tmp_path, lambda row: row == 0)
    folder = SearchFolder.create(tmp_path / "run", config("random", **settings, seed=1))
    with pytest.raises(SearchError, match="has no score of any of the 3 finalists; evaluate more"):
        run_search(folder, space, Stopping())


def test_a_space_without_any_score_is_refused_before_the_search(tmp_path: Path) -> None:
    whole, settings = unscored(tmp_path, lambda row: row == 0)
    rest = same_cells(CELLS[1:], "rest", whole.skeleton)
    with pytest.raises(SearchError, match=r"^table mine has no score of any network of rest$"):
        api.search(rest, settings=settings, out=tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_the_guide_names_the_methods_that_search_tables() -> None:
    text = Path("docs/guide/searching.md").read_text("utf-8")
    (line,) = re.findall(r"These methods run on a table: (.*?)\. The others", text, re.DOTALL)
    assert set(re.findall(r"`([\w-]+)`", line)) == {*ON_TABLES, "params", "madds"}


def test_the_help_names_the_built_in_tables() -> None:
    text = Path("cli/options.py").read_text("utf-8")
    assert all(name in text for name in TABLE_NAMES)
