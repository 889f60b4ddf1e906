"""An operation of a user's own: checked when it is registered, and then as good as any other."""

import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from autospace.evolution.folder import RunFolder
from autospace.evolution.learn import learn
from autospace.evolution.settings import make_config
from autospace.exporters.targets import TARGETS, Target
from autospace.latency.parts import FIXED, INNER
from autospace.networks import operations
from autospace.networks.cells import CellModule
from autospace.networks.operations import build_operation, register_operation
from autospace.runs.errors import ConfigError
from autospace.spaces import (
    OPERATIONS,
    Cell,
    Cost,
    LayerShape,
    Space,
    SpaceError,
    canonical_key,
    cell_cost,
    from_json,
    json_schema,
    to_json,
)
from autospace.spaces.cells.cell import MIXES
from autospace.spaces.cells.operations import RESERVED, own_operation
from tests.evolution.runs import ROOT, Counting, settings


class Blur(nn.Module):
    """A fixed 3x3 blur, then a learned scale per channel."""

    def __init__(self, channels: int, stride: int) -> None:
        super().__init__()
        self.stride = stride
        self.scale = nn.Parameter(torch.ones(channels, 1, 1))
        self.kernel: torch.Tensor
        self.register_buffer("kernel", torch.full((channels, 1, 3, 3), 1 / 9))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        groups = len(self.kernel)
        return self.scale * nn.functional.conv2d(
            x, self.kernel, stride=self.stride, padding=1, groups=groups
        )


class Then(Blur):
    """A blur, then a function of the result."""

    def __init__(
        self, channels: int, stride: int, last: Callable[[torch.Tensor], torch.Tensor]
    ) -> None:
        super().__init__(channels, stride)
        self.last = last

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.last(super().forward(x))


def blur_cost(channels: int, pixels: int) -> Cost:
    return Cost(9 * channels * pixels, channels)


@pytest.fixture
def vocabulary() -> Iterator[None]:
    """Other tests do not see what a test registers."""
    tables: list[dict[str, Any]] = [OPERATIONS, operations._BUILDERS]
    before = [dict(table) for table in tables]
    yield
    for table, old in zip(tables, before, strict=True):
        table.clear()
        table.update(old)


@pytest.fixture
def blur(vocabulary: None) -> None:
    register_operation("blur", cost=blur_cost, build=Blur, symbol="bl")


@pytest.mark.usefixtures("blur")
@pytest.mark.parametrize("stride", [1, 2])
def test_a_cell_that_uses_it_costs_what_torch_counts(stride: int) -> None:
    cell = Cell.from_edges([(0, 1, "blur"), (1, 3, "blur"), (0, 3, "dw_conv_3x3")], expansion=3)
    shape = LayerShape("layer_00", 4, 6, stride, 9)
    module = CellModule(cell, shape).eval()
    with FlopCounterMode(display=False) as counter:
        module(torch.zeros(1, 4, 9, 9))
    cost = cell_cost(cell, shape)
    assert cost.madds == counter.get_total_flops() // 2
    assert cost.params == sum(parameter.numel() for parameter in module.parameters())


@pytest.mark.usefixtures("blur")
def test_two_of_them_are_never_the_same_function() -> None:
    one = Cell.from_edges([(0, 1, "blur"), (1, 3, "skip_connect")])
    assert canonical_key(one) == canonical_key(Cell.from_edges([(0, 3, "blur")]))
    once = Cell.from_edges([(0, 1, "blur"), (1, 2, "skip_connect"), (1, 3, "skip_connect"),
                            (2, 3, "skip_connect")])  # fmt: skip
    twice = Cell.from_edges([(0, 1, "blur"), (0, 2, "blur"), (1, 3, "skip_connect"),
                             (2, 3, "skip_connect")])  # fmt: skip
    assert canonical_key(once) != canonical_key(twice)


def _evolve(folder: Path, workers: int = 1) -> Any:
    cells = {"operations": ["none", "dw_conv_3x3", "blur"], "reference_kernels": [3]}
    chosen = settings(folder, cells=cells)
    return learn(RunFolder.create(folder / "run", make_config(chosen)), Counting(), workers=workers)


def _refusal(target: Target, space: Space) -> str:
    """Why a space cannot be exported, or nothing."""
    try:
        if target.space is not None:
            target.space(space)
    except SpaceError as error:
        return str(error)
    return ""


@pytest.mark.usefixtures("blur")
def test_it_evolves_and_its_file_is_read_where_it_is_registered(tmp_path: Path) -> None:
    space = _evolve(tmp_path)
    text = to_json(space)
    used = {name for layer in space.layers for each in layer.candidates
            for name in each.cell.operations}  # fmt: skip
    assert "blur" in used
    assert from_json(text) == space
    assert to_json(from_json((tmp_path / "run" / "space.json").read_text())) == text
    refusals = {name: _refusal(target, space) for name, target in TARGETS.items()}
    refused = {name for name, message in refusals.items() if message}
    assert refused == {"autospace-iccv2021", "nni-python", "pytorch"}
    assert all("blur" in refusals[name] for name in refused)
    del OPERATIONS["blur"]
    with pytest.raises(SpaceError, match=r'unknown operation "blur"; .*register_operation'):
        from_json(text)


def test_settings_that_name_it_too_early_say_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"operations.*register_operation"):
        make_config({"cells": {"operations": ["blur"]}})


@pytest.mark.slow
@pytest.mark.usefixtures("blur")
def test_a_worker_process_that_does_not_know_it_says_what_to_do(tmp_path: Path) -> None:
    # Worker processes import the main script, which is pytest's here.
    with pytest.raises(SpaceError, match=r'unknown operation "blur".*in each process'):
        _evolve(tmp_path, workers=2)


SCRIPT = """
import sys
from pathlib import Path
from autospace.networks.operations import register_operation
from tests.networks import test_own_operations as own

register_operation("blur", cost=own.blur_cost, build=own.Blur)

if __name__ == "__main__":
    folder = Path(sys.argv[1])
    own._evolve(folder, workers=2)
"""


@pytest.mark.slow
def test_worker_processes_register_it_as_the_main_script_does(tmp_path: Path) -> None:
    script = tmp_path / "script.py"
    script.write_text(SCRIPT)
    command = [sys.executable, str(script), str(tmp_path)]
    done = subprocess.run(
        command, env={"PYTHONPATH": str(ROOT), "PATH": ""}, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    assert '"blur"' in (tmp_path / "run" / "space.json").read_text()


def test_the_published_schema_knows_the_built_in_operations_alone(vocabulary: None) -> None:
    before = json_schema()
    register_operation("blur", cost=blur_cost, build=Blur)
    assert json_schema() == before


def test_names_of_other_parts_are_reserved() -> None:
    assert {*MIXES, *FIXED, *INNER, "input", "output"} == RESERVED


def _register(**changes: Any) -> Callable[[], object]:
    given = {"name": "blur", "cost": blur_cost, "build": Blur, **changes}
    return lambda: register_operation(given.pop("name"), **given)


@pytest.mark.usefixtures("vocabulary")
@pytest.mark.parametrize(
    ("register", "message"),
    [
        (_register(name="a/2"), 'name: "a/2"; allowed: letters, digits and _'),
        (_register(name=""), 'name: ""; allowed: 1 to 128 printable'),
        (_register(name="ñ"), "allowed: letters, digits and _"),
        (_register(name="dw_conv_3x3"), 'name: "dw_conv_3x3" is in use'),
        (_register(name="gate"), 'name: "gate" is in use'),
        (_register(symbol="dw3"), 'symbol: "dw3" is in use'),
        (_register(cost=lambda channels, pixels: 3), r"cost: 3; allowed: Cost\(madds, params\)"),
        (
            _register(cost=lambda channels, pixels: Cost(1.5, 0)),  # type: ignore[arg-type]
            "cost.madds: 1.5; allowed: 0 to",
        ),
        (_register(cost=lambda channels, pixels: Cost(0, -1)), "cost.params: -1; allowed: 0 to"),
        (
            _register(cost=lambda channels, pixels: Cost(0, 9 * channels)),
            "blur.cost: 54 params with 6 channels and stride 1; allowed: 6",
        ),
        (_register(build=lambda channels, stride: None), "blur.build: a NoneType"),
        (
            _register(build=lambda channels, stride: Blur(channels, 1)),
            r"blur.build: with 6 channels and stride 2, \[2, 6, 7, 7\] becomes \[2, 6, 7, 7\]; "
            r"allowed: \[2, 6, 4, 4\]",
        ),
        (
            _register(
                cost=lambda channels, pixels: Cost(0, 0),
                build=lambda channels, stride: nn.Sequential(nn.Dropout(), nn.MaxPool2d(1, stride)),
            ),
            "two outputs for one input differ",
        ),
        (_register(name="class"), 'name: "class"; allowed: .* no keyword of Python'),
        (_register(name="dw3", symbol="blur"), 'name: "dw3" is in use'),
        (_register(symbol="a>b, |"), 'symbol: "a>b, |"; allowed: letters, digits and _'),
        (_register(symbol="max_pool_3x3"), 'symbol: "max_pool_3x3" is in use'),
        (_register(symbol="se"), 'symbol: "se" is in use'),
        (_register(cost=5), r"blur.cost: with 6 channels and 16 pixels, raises TypeError: .*; all"),
        (_register(cost=lambda channels, pixels: 1 // 0), "raises ZeroDivisionError: integer div"),
        (
            _register(cost=lambda channels, pixels: (9 * channels * pixels, channels)),
            r"blur.cost: a tuple; allowed: Cost\(madds, params\)",
        ),
        (
            _register(cost=lambda channels, pixels: Cost(channels * pixels, channels)),
            "blur.cost: 294 MAdds with 6 channels and stride 1; allowed: 2646, as the module has",
        ),
        (
            _register(cost=lambda channels, pixels: Cost(9 * channels * pixels, channels * pixels)),
            "blur.cost.params: 96 with 16 pixels, 294 with 49; allowed: the same",
        ),
        (
            _register(build=lambda channels: None),
            "blur.build: with 6 channels and stride 1, raises TypeError: .* 2 were given; allowed:",
        ),
        (_register(build=lambda channels, stride: nn.Linear(1, 1)), "raises RuntimeError: mat1"),
        (
            _register(build=lambda c, stride: nn.MaxPool2d(1, stride, return_indices=True)),
            "blur.build: with 6 channels and stride 1, the output is a tuple; allowed: a tensor",
        ),
        (
            _register(build=lambda channels, stride: Then(channels, stride, torch.Tensor.double)),
            "torch.float32 becomes torch.float64; allowed: the type of the input",
        ),
        (
            _register(build=lambda channels, stride: Then(channels, stride, lambda x: x / 0)),
            "the output is not finite; allowed: finite numbers",
        ),
        (
            _register(build=lambda channels, stride: nn.ReLU(inplace=True)),
            "blur.build: with 6 channels and stride 1, it changes its input; allowed: a new output",
        ),
        (
            # It writes, but no number of the test's input is large enough to change.
            _register(build=lambda channels, stride: nn.Hardtanh(-99, 99, inplace=True)),
            "it changes its input",
        ),
    ],
)
def test_what_is_not_valid_is_refused_and_not_added(
    register: Callable[[], object], message: str
) -> None:
    before = set(OPERATIONS)
    with pytest.raises(SpaceError, match=message):
        register()
    assert set(OPERATIONS) == before


@pytest.mark.usefixtures("vocabulary")
def test_registering_leaves_the_random_numbers_alone() -> None:
    torch.manual_seed(0)
    wanted = torch.rand(1)
    torch.manual_seed(0)
    register_operation("blur", cost=blur_cost, build=Blur)
    assert torch.equal(torch.rand(1), wanted)
    with pytest.raises(SpaceError, match="in use"):
        register_operation("blur", cost=blur_cost, build=Blur)


@pytest.mark.usefixtures("vocabulary")
def test_the_name_alone_is_enough_to_read_files() -> None:
    OPERATIONS["blur"] = own_operation("blur", cost=blur_cost)
    assert Cell.from_edges([(0, 3, "blur")]).edges[0].operation == "blur"
    with pytest.raises(ValueError, match="no module"):
        build_operation("blur", 4, 1)
    del OPERATIONS["blur"]
    with pytest.raises(SpaceError, match="register_operation"):
        build_operation("blur", 4, 1)
