"""Evolution on a skeleton with stages: kernels and expansions are learned, depth stays open."""

from pathlib import Path

from autospace.evolution.folder import RunFolder
from autospace.evolution.learn import learn
from autospace.evolution.settings import make_config
from autospace.spaces import load, to_json
from tests.evolution.runs import Counting, settings
from tests.spaces.ofa.spaces import SKELETON


def test_a_learned_space_has_cells_of_stages_and_offers_skips_where_they_may_be(
    tmp_path: Path,
) -> None:
    path = tmp_path / "staged.json"
    path.write_text(to_json(SKELETON))
    chosen = settings(tmp_path, skeleton=str(path), cells={"reference_expansion": 6})
    run = RunFolder.create(tmp_path / "run", make_config(chosen))
    learn(run, Counting())
    space = load(tmp_path / "run")
    assert space.kind == "ofa"
    assert space.skeleton.stages == SKELETON.stages
    offered = ["skip" in layer.by_id for layer in space.layers]
    assert offered == [shape.skippable for shape in SKELETON.shapes]
    for layer in space.layers:
        assert sum(candidate.origin.kind != "builtin" for candidate in layer.candidates) >= 2
    assert set(space.reference.values()) == {"ofa_k3_e6"}
