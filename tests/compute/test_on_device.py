"""What has to hold on any CUDA device: nothing mixes devices, and nothing waits where it must not.

Without a GPU, `test_host_device.py` runs these on the host device, which also counts.
"""

import copy
import math
import os
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from itertools import pairwise
from pathlib import Path
from typing import Any, NamedTuple
from unittest.mock import Mock

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from autospace.compute.cuda_graphs import NO_GRAPHS, Graphs, make_graphs
from autospace.compute.device import make_execution
from autospace.compute.execution import Execution
from autospace.compute.narrow_weights import OwnWeights
from autospace.data.batches import Augment, Batches, Normaliser
from autospace.data.images import Images
from autospace.evaluators import stand_alone
from autospace.evaluators.make import make_evaluator
from autospace.latency.timing import stopwatch_of
from autospace.networks.cells import CellModule
from autospace.networks.darts import FactorisedReduction
from autospace.networks.dense import ActivatedConvolution
from autospace.networks.network import Network, placed
from autospace.networks.operations import Gate, SqueezeExcite, build_operation
from autospace.scorers import independent
from autospace.scorers.context import ScoringContext, freeze
from autospace.scorers.make import SCORERS, make_scorer
from autospace.scorers.pooled import INDEPENDENT
from autospace.scorers.probe import Probe
from autospace.scorers.scorer import ScoringConfig, ScoringMethod
from autospace.searchers.driver import run_search
from autospace.searchers.few_shot import Gm
from autospace.searchers.folder import SearchFolder
from autospace.searchers.make import METHODS, make_method
from autospace.spaces import LayerShape, mbconv
from autospace.spaces.cells.operations import OPERATIONS
from autospace.spaces.files.families import family_space
from autospace.supernets.shared_weights import recalibrate
from autospace.training.folder import TrainingFolder, load_session, save_session
from autospace.training.full import train_architecture
from autospace.training.session import Session
from autospace.training.short import measure
from tests.evaluators import setups
from tests.scorers.conftest import SKELETON, examples
from tests.searchers import problems
from tests.searchers.test_every_method import QUICKER
from tests.slow import slowly
from tests.training import runs

pytestmark = pytest.mark.gpu
SLOW_SCORERS = slowly(*(method for method in SCORERS if method != "probe"))
CUDA = torch.device("cuda")


@pytest.fixture
def waits() -> Callable[[], int]:
    """How often the host has waited so far; only the host device counts."""
    if "AUTOSPACE_HOST_DEVICE" not in os.environ:
        pytest.skip("only the host device counts")
    count: Callable[[], int] = sys.modules["cuda"].waits
    return count


@pytest.fixture(autouse=True)
def _exact(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.backends.cudnn, "allow_tf32", False)


@contextmanager
def _waiting_is_an_error() -> Iterator[None]:
    torch.cuda.set_sync_debug_mode("error")
    try:
        yield
    finally:
        torch.cuda.set_sync_debug_mode("default")


def test_the_device_keeps_apart_what_a_gpu_keeps_apart() -> None:
    x = torch.ones(4, 3, device=CUDA)
    assert (x * torch.tensor(2.0)).sum().item() == 24
    assert F.mse_loss(x, 3 * x).item() == 4
    with pytest.raises(RuntimeError, match="same device"):
        x.add(torch.ones(4, 3))
    with pytest.raises(RuntimeError, match="same device"):
        F.cross_entropy(x, torch.zeros(4, dtype=torch.long))


SHAPE = LayerShape("layer_00", 6, 6, 1, 8)
PARTS: dict[str, Callable[[int], nn.Module]] = {
    **{
        name: partial(build_operation, name, 6)
        for name, operation in OPERATIONS.items()
        if operation.kind in ("skip", "depthwise", "average_pool", "max_pool")
    },
    "gate": lambda _: Gate(),
    "se": lambda _: SqueezeExcite(6, 2),
    "dense": lambda stride: ActivatedConvolution(6, 6, 3, stride),
    "reduction": lambda _: FactorisedReduction(6, 6),
    "probe": lambda _: Probe(CellModule(mbconv(3, 1), SHAPE), SHAPE, 3, 4),
}


@pytest.mark.parametrize("stride", [1, 2])
@pytest.mark.parametrize("name", PARTS)
def test_every_part_has_the_gradients_of_the_cpu(name: str, stride: int) -> None:
    torch.manual_seed(0)
    part = PARTS[name](stride).train()
    there, shape = placed(copy.deepcopy(part), CUDA), (3, 6, 8, 8)
    x = torch.randn(shape).to(memory_format=torch.channels_last)
    found = []
    for module, device in ((part.double(), "cpu"), (there, "cuda")):
        given = x.to(device, dtype=torch.float64 if device == "cpu" else torch.float32)
        given.requires_grad_()
        output = module(given)
        weights = [each for each in module.parameters() if each.requires_grad]
        drawn = torch.randn(output.shape, generator=torch.Generator().manual_seed(1))
        gradients = torch.autograd.grad((output * drawn.to(output)).sum(), [given, *weights])
        found.append([output, *gradients])
    for exact, value in zip(*found, strict=True):
        torch.testing.assert_close(value.cpu().double(), exact, rtol=1e-4, atol=1e-5)


def test_waiting_is_an_error_where_it_is_forbidden() -> None:
    x = torch.ones(3, device=CUDA)
    torch.cuda.set_sync_debug_mode("error")
    try:
        torch.ones(3).to(CUDA, non_blocking=True)
        looks: list[Callable[[], object]] = [x.sum().item, x.cpu, x.nonzero]
        for waiting in looks:
            with pytest.raises(RuntimeError, match="synchronizing"):
                waiting()
    finally:
        torch.cuda.set_sync_debug_mode("default")


@pytest.mark.skipif(torch.cuda.device_count() < 2, reason="needs a second device")
def test_the_stopwatch_times_the_device_it_was_made_for(monkeypatch: pytest.MonkeyPatch) -> None:
    used = []
    record = torch.cuda.Event.record

    def noted(event: torch.cuda.Event) -> None:
        used.append(torch.cuda.current_device())
        record(event)

    monkeypatch.setattr(torch.cuda.Event, "record", noted)
    seconds = stopwatch_of(torch.device("cuda", 1), 1).seconds(
        lambda: used.append(torch.cuda.current_device()), 1
    )
    assert seconds >= 0
    assert used == [1, 1, 1]
    assert torch.cuda.current_device() == 0


def test_a_network_is_placed_without_a_wait_per_weight() -> None:
    torch.manual_seed(0)
    network = Network(setups.SKELETON, [mbconv(3, 3)] * 2)
    expected = {name: value.clone() for name, value in network.state_dict().items()}
    with _waiting_is_an_error():
        placed(network, CUDA)
    for name, value in network.state_dict().items():
        assert value.device.type == "cuda"
        assert torch.equal(value.cpu(), expected[name])


def scoring(method: ScoringMethod, execution: Execution, **options: Any) -> ScoringContext:
    """A reference that is not trained, and images, on the device of the execution."""
    torch.manual_seed(0)
    device, norm = execution.device, Normaliser.from_examples(examples(64, 1))
    return ScoringContext(
        freeze(placed(Network(SKELETON, [mbconv(3, 1)] * 3), device)),
        Batches(examples(64, 1), 8, 1, device, norm, Augment(crop=1, flip=True, cutout=2)),
        Batches(examples(64, 2), 8, 2, device, norm),
        ScoringConfig(
            method=method,
            batch=8,
            cost_weight=0.1,
            **{"networks": 8, "network_steps": 3, **options},
        ),
        seed=5,
        execution=execution,
    )


@pytest.mark.parametrize("graphs", [False, True])
@pytest.mark.parametrize("method", [pytest.param("probe"), *SLOW_SCORERS])
def test_weights_that_are_narrow_already_give_the_numbers_of_autocast(
    method: ScoringMethod, graphs: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    cells = [[mbconv(3, 1), mbconv(5, 3)]] * 3
    execution = make_execution("bfloat16", graphs, CUDA, pytest.fail)
    narrow = make_scorer(scoring(method, execution, steps=5)).score(cells, 0)
    made = Mock(return_value=OwnWeights())
    monkeypatch.setattr(independent, "weights_of", made)
    execution = make_execution("bfloat16", graphs, CUDA, pytest.fail)
    cast = make_scorer(scoring(method, execution, steps=5)).score(cells, 0)
    assert narrow == cast
    # Whole networks keep their weights as they are.
    assert made.called == (method in INDEPENDENT and method != "predicted")


@pytest.mark.parametrize("graphs", [False, True])
@pytest.mark.parametrize("method", [pytest.param("probe"), *SLOW_SCORERS])
def test_no_step_of_a_scorer_waits_recorded_or_called(
    method: ScoringMethod, graphs: bool, waits: Callable[[], int]
) -> None:
    steps = 8
    execution = make_execution("float32", graphs, CUDA, pytest.fail)
    seen: list[int] = []
    context = scoring(method, execution, steps=steps, network_steps=steps, validation_batches=2)
    context = replace(context, tick=lambda done, total: seen.append(waits()))
    make_scorer(context).score([[mbconv(5, 1)], [mbconv(3, 1)], [mbconv(3, 3)]], 0)
    # Optimisers and orders of images are made in the first step, results read after the last.
    between = [after - before for before, after in pairwise(seen)][1 : steps - 1]
    assert len(between) >= steps - 2
    assert set(between) == {0}


def test_recalibration_does_not_wait(tmp_path: Path) -> None:
    images = setups.setup(tmp_path).images()
    drawn = images.plain_batches(16, 0)
    found = []
    for device in ("cpu", "cuda"):
        torch.manual_seed(0)
        network = placed(Network(setups.SKELETON, [mbconv(3, 3)] * 2), device)
        batches = [drawn.batch(step)[0].to(device) for step in range(3)]
        with _waiting_is_an_error():
            recalibrate([network], network, batches)
        found.append(network.state_dict())
    for name, value in found[0].items():
        torch.testing.assert_close(found[1][name].cpu(), value, rtol=1e-4, atol=1e-5)


def test_a_measurement_is_looked_at_once(tmp_path: Path, waits: Callable[[], int]) -> None:
    images = replace(setups.setup(tmp_path).images(), device=CUDA)
    torch.manual_seed(0)
    network = placed(Network(setups.SKELETON, [mbconv(3, 3)] * 2), CUDA)
    batches = [images.batches(16, 0).batch(step) for step in range(3)]
    before = waits()
    measure(network, batches)
    assert waits() - before == 1


class Waiting(NamedTuple):
    """How often a step of a search waits, whatever the number of its layers and candidates.

    Attributes:
        method: of the search.
        waits: of the step.
        settings: of the search; options of a gradient method move alpha in every step.
        step: that is counted; those before it are not.
    """

    method: str
    waits: int
    settings: Mapping[str, Any] = {}
    step: int = 1


ALPHA = {"warm_up": 0.0, "alpha_every": 1, "judgements": 1}
GROWING = {"options": {"growths": 2}}
SEARCHES = {
    "random-ws": Waiting("random-ws", 0),
    "spos": Waiting("spos", 0),
    "magic-t": Waiting("magic-t", 0),
    # Whether a path becomes the anchor depends on both accuracies, which are looked at together.
    "magic-a": Waiting("magic-a", 1, {"magic": {"warm_up": 0.0, "anchor_every": 1}}),
    "bnas": Waiting("bnas", 0),
    "dna": Waiting("dna", 0, {"options": {"teacher_steps": 1}}, step=3),
    "darts": Waiting("darts", 0, {"options": ALPHA}),
    "darts, second order": Waiting("darts", 0, {"options": {**ALPHA, "order": 2}}),
    # Whether alpha moves again depends on alpha.
    "darts, a limit": Waiting("darts", 1, {"options": {**ALPHA, "weight_free_limit": 1.0}}),
    # Which mixture is trained next depends on the losses without each candidate.
    "darts, perturbation": Waiting(
        "darts", 1, {"options": {**ALPHA, "selection": "perturbation", "tuning": 3}}, step=25
    ),
    # What path is drawn depends on alpha: once for the weights and once for alpha.
    "gdas": Waiting("gdas", 2, {"options": ALPHA}),
    "gdas, active": Waiting("gdas", 2, {"options": {**ALPHA, "gates": "active"}}),
    "nasp": Waiting("nasp", 2, {"options": ALPHA}),
    "proxyless": Waiting("proxyless", 2, {"options": ALPHA}),
    "proxyless, full": Waiting("proxyless", 2, {"options": {**ALPHA, "gates": "full"}}),
    # The controller is on the CPU; it learns from the accuracies of all paths that it has drawn.
    "enas": Waiting("enas", 1, {"options": {"warm_up": 0.0, "controller_every": 1, "samples": 4}}),
    "petridish, insertions begin": Waiting("petridish", 0, GROWING, step=5),
    "petridish, insertions": Waiting("petridish", 0, GROWING, step=6),
    # What network is trained depends on alpha.
    "petridish, a selection": Waiting("petridish", 1, GROWING, step=9),
}


@pytest.mark.parametrize("name", SEARCHES)
def test_a_search_step_waits_as_often_for_any_number_of_layers(
    name: str, waits: Callable[[], int]
) -> None:
    case = SEARCHES[name]
    given = {"supernet": {"steps": 24}, **case.settings}
    problem = problems.make_problem(method=case.method, device="cuda", **given)
    problem = replace(problem, halves=replace(problem.images, device=CUDA))
    search = make_method(problem)
    for step in range(case.step):
        search.step(step)
    before = waits()
    search.step(case.step)
    assert waits() - before == case.waits


@pytest.mark.parametrize("method", ["gm", "nas-lid"])
def test_a_cut_of_a_layer_waits_once_for_any_number_of_repeats(
    method: str, waits: Callable[[], int]
) -> None:
    problem = problems.make_problem(method=method, device="cuda", options={"repeats": 3})
    problem = replace(problem, halves=replace(problem.images, device=CUDA))
    search = make_method(problem)
    assert isinstance(search, Gm)
    (part,) = search.split.parts
    search.split.cut(part, 0, 0)
    before = waits()
    search.split.cut(part, 1, 0)
    # The groups are found on the CPU.
    assert waits() - before == 1


def _session(folder: Path, graphs: Graphs, device: torch.device = CUDA, **more: Any) -> Session:
    config = runs.config({"training": {"keep": "last"}, **more})
    data = setups.setup(folder).images()
    found = Images(**{**vars(data), "device": device})
    architecture = replace(
        runs.architecture(folder),
        skeleton=runs.architecture(folder).skeleton.fitted(in_channels=1, resolution=8, classes=3),
    )
    return Session(
        architecture,
        found.batches(8, 0),
        None,
        config,
        device,
        Execution(device, graphs=graphs),
    )


@pytest.mark.parametrize("method", ["sgd", "adamw"])
def test_recorded_training_is_called_training_and_neither_waits(
    method: str, tmp_path: Path
) -> None:
    found = []
    recording = make_graphs(CUDA, pytest.fail)
    for graphs in (NO_GRAPHS, recording):
        session = _session(tmp_path, graphs, optimizer={"method": method})
        for step in range(8):
            if step == 2:  # in the first steps, optimisers and orders of images are made
                torch.cuda.set_sync_debug_mode("error")
            if step == 3:  # recording copies what it is given
                torch.cuda.set_sync_debug_mode("default")
            if step == 4:
                torch.cuda.set_sync_debug_mode("error")
            session.advance()
        torch.cuda.set_sync_debug_mode("default")
        session.check()
        found.append((float(session.loss_sum), session.deployed.state_dict()))
    assert recording.forget()  # there was one
    (loss, plain), (again, recorded) = found
    assert math.isclose(loss, again, rel_tol=1e-3)
    for name, value in plain.items():
        torch.testing.assert_close(recorded[name], value, rtol=0.05, atol=0.01)


@pytest.mark.slow
@pytest.mark.parametrize("method", ["sgd", "adamw"])
def test_a_recorded_training_goes_on_from_its_checkpoint(method: str, tmp_path: Path) -> None:
    optimizer = {"method": method}
    whole = _session(tmp_path, make_graphs(CUDA, pytest.fail), optimizer=optimizer)
    for _ in range(7):
        whole.advance()
    save_session(tmp_path / "session", whole)
    later = _session(tmp_path, make_graphs(CUDA, pytest.fail), optimizer=optimizer)
    load_session(tmp_path / "session", later)
    for session in (whole, later):
        for _ in range(6):
            session.advance()
    for name, value in whole.deployed.state_dict().items():
        torch.testing.assert_close(later.deployed.state_dict()[name], value, rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
def test_an_evaluation_is_recorded_and_counts_what_the_called_one_counts(
    precision: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    setup = setups.setup(tmp_path, steps=6, precision=precision)
    images = replace(setup.images(), device=CUDA)
    recorded = make_evaluator(setup, images).evaluate(setups.architecture(0, 2), 1)
    monkeypatch.setattr(stand_alone, "make_graphs", lambda *_: NO_GRAPHS)
    called = make_evaluator(setup, images).evaluate(setups.architecture(0, 2), 1)
    assert recorded.loss == pytest.approx(called.loss, rel=0.01)
    assert recorded.score == pytest.approx(called.score, abs=0.05)


@pytest.mark.slow
@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
@pytest.mark.parametrize("method", ["train", "supernet", "naswot", "synflow"])
def test_every_evaluator_agrees_with_the_cpu(method: str, precision: str, tmp_path: Path) -> None:
    found = []
    for device in ("cpu", "cuda"):
        folder = tmp_path / device
        folder.mkdir()
        given: dict[str, Any] = {"method": method, "precision": precision, "steps": 6}
        setup = replace(setups.setup(folder, setups.space(), **given), device=device)
        found.append(make_evaluator(setup, setup.images()).evaluate(setups.architecture(0, 2), 1))
    assert found[1].score == pytest.approx(found[0].score, rel=0.1, abs=0.1)


@pytest.mark.slow
@pytest.mark.parametrize("method", METHODS)
def test_every_search_method_runs_to_its_end(method: str, tmp_path: Path) -> None:
    settings = problems.settings(
        method=method,
        options=QUICKER.get(method, {}),
        device="cuda",
        supernet={"interference": int(method in ("darts", "spos"))},
    )
    folder = SearchFolder.create(tmp_path / "run", settings)
    result = run_search(folder, family_space("mbconv", problems.SKELETON), runs.Watcher())
    assert 0 <= result.accuracy <= 1


@pytest.mark.slow
@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
def test_a_whole_training_runs_to_its_end(precision: str, tmp_path: Path) -> None:
    config = runs.config({"device": "cuda", "training": {"precision": precision}})
    folder = TrainingFolder.create(tmp_path / "run", config)
    said: list[str] = []

    class Heard(runs.Watcher):
        def message(self, text: str) -> None:
            said.append(text)

    result = train_architecture(folder, Heard(), architecture=runs.architecture(tmp_path))
    assert result.device == "cuda"
    assert 0 <= result.test_accuracy <= 1
    assert not [text for text in said if "CUDA graphs" in text]
