"""Settings of cells that have no effect on a family: an error, unless nobody asked for them."""

from pathlib import Path
from typing import Any

import pytest

from autospace.evolution.families import (
    check_effect,
    check_mobile,
    prior_on,
    references_on,
)
from autospace.evolution.folder import RunFolder
from autospace.evolution.preparation import _named_skeleton
from autospace.evolution.settings import PRESETS, make_config
from autospace.runs.errors import ConfigError
from autospace.spaces import load_skeleton

FAMILIES = (
    ("nasbench201", "auto"),
    ("darts-small", "auto"),
    ("bats-small", "auto"),
    ("bats-small", "bnas"),
    ("digits", "binary"),
    ("resnet20", "auto"),
    ("resnet20", "resnet"),
    ("ofa-small", "auto"),
    ("rnn-small", "auto"),
    ("digits", "auto"),
)
OTHERS: dict[str, Any] = {
    "nodes": 3,
    "none_probability": 0.3,
    "window": 1,
    "reference_kernels": [3],
    "reference_expansion": 4,
    "mixes": ["sum", "se"],
}


@pytest.mark.parametrize("preset", [{}, *PRESETS.values()], ids=["none", *PRESETS])
@pytest.mark.parametrize(("skeleton", "family"), FAMILIES)
def test_defaults_and_presets_are_taken_on_every_family(
    skeleton: str, family: str, preset: dict[str, Any]
) -> None:
    config = make_config(preset, {"cells": {"family": family}})
    check_effect(load_skeleton(skeleton), config.cells)
    # As a run folder has them: every setting by its name.
    written = make_config(config.model_dump(mode="json"))
    check_effect(load_skeleton(skeleton), written.cells)


@pytest.mark.parametrize(("name", "value"), OTHERS.items())
@pytest.mark.parametrize(("skeleton", "family"), FAMILIES)
def test_a_setting_is_refused_exactly_where_it_changes_nothing(
    skeleton: str, family: str, name: str, value: Any
) -> None:
    own = load_skeleton(skeleton)
    plain = make_config({"cells": {"family": family}}).cells
    changed = make_config({"cells": {"family": family, name: value}}).cells
    before, after = ((prior_on(own, each), references_on(own, each)) for each in (plain, changed))
    if before != after:
        check_effect(own, changed)
        return
    with pytest.raises(ConfigError, match=rf"^cells\.{name}: .*, which has no effect on \w+ cells"):
        check_effect(own, changed)


@pytest.mark.parametrize("skeleton", ["darts-small", "ofa-small", "rnn-small", "nasbench201"])
def test_operations_that_a_family_does_not_read_are_refused(skeleton: str) -> None:
    names = ["dw_conv_3x3", "dw_conv_5x5", "dw_conv_7x7"]
    cells = make_config({"cells": {"operations": names}}).cells
    with pytest.raises(ConfigError, match=r"^cells\.operations: dw_conv_3x3, dw_conv_5x5, "):
        check_effect(load_skeleton(skeleton), cells)


@pytest.mark.parametrize(
    ("cells", "problem"),
    [
        ({"nodes": 2}, "cells.nodes: 2; a mutation redraws up to 2 edges, and these nodes have 1; "
         "allowed: 3 or more, or also cells.window=1"),
        ({"nodes": 3, "window": 4}, "cells.window: 4; 3 nodes (cells.nodes) have 3 edges; allowed: "
         "1 to 3"),
        ({"operations": ["dw_conv_5x5"]}, "cells.operations: the reference of kernel size 3 "
         "(reference_kernels) requires dw_conv_3x3 among them"),
    ],
)  # fmt: skip
def test_settings_of_mobile_cells_that_contradict_speak_of_what_was_written(
    cells: dict[str, Any], problem: str
) -> None:
    found = make_config({"cells": cells}).cells
    with pytest.raises(ConfigError) as caught:
        check_mobile(load_skeleton("digits"), found)
    assert str(caught.value) == problem
    # On other cells they are no contradiction, but have no effect.
    for name in ("rnn-small", "captions-small", "bert-small", "darts-small"):
        check_mobile(load_skeleton(name), found)
        with pytest.raises(ConfigError, match=f"^cells.{next(iter(cells))}: .*has no effect on"):
            check_effect(load_skeleton(name), found)


def test_two_nodes_and_a_window_of_one_are_cells() -> None:
    found = make_config({"cells": {"nodes": 2, "window": 1}}).cells
    check_mobile(load_skeleton("digits"), found)


@pytest.mark.parametrize("kind", ["text", "sentences", "captions"])
def test_data_that_are_no_images_need_a_skeleton_that_reads_them(tmp_path: Path, kind: str) -> None:
    config = make_config({"data": {"source": kind}})
    with pytest.raises(ConfigError) as caught:
        _named_skeleton(config, RunFolder.create(tmp_path / "run", config))
    name = PRESETS[kind]["skeleton"]
    assert load_skeleton(name).reads == kind
    assert str(caught.value).endswith(f"reads them, such as {name}, or the preset {kind}")
