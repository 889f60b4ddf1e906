"""DNA: its teacher, what it finds, that its front is that of all architectures, and resuming."""

import itertools
import random
from dataclasses import replace
from pathlib import Path as FilePath
from typing import Any

import pytest
import torch
from torch import nn

from autospace.api import search
from autospace.data.batches import Batch, Normaliser
from autospace.networks.network import Network
from autospace.networks.weights import save_weights
from autospace.runs.errors import CheckpointError
from autospace.runs.state import load_state, save_state
from autospace.searchers.dna import Dna
from autospace.searchers.make import make_method
from autospace.spaces import Budget, Candidate, LayerSpec, Skeleton, Stem, mbconv
from autospace.spaces.choices import Choice, Choices, Limit, SearchError
from autospace.spaces.files.families import family_space
from autospace.spaces.space import Architecture
from autospace.supernets.blocks import Features
from tests.evaluators.setups import computed
from tests.searchers.planted import solved
from tests.searchers.problems import NO_LIMITS, SETTINGS, SKELETON, make_problem
from tests.slow import slowly

MBCONV = family_space("mbconv", SKELETON)
SPAN = MBCONV.madds.max - MBCONV.madds.min
PATHS = list(itertools.product(*(range(len(layer.candidates)) for layer in MBCONV.layers)))


def _dna(
    budget: Budget = NO_LIMITS, evaluations: int | None = None, steps: int = 2, **options: Any
) -> Dna:
    chosen = {"teacher_steps": 2, **options}
    changes = {"evaluations": evaluations, "supernet": {"steps": steps}}
    method = make_method(make_problem(MBCONV, budget, method="dna", options=chosen, **changes))
    assert isinstance(method, Dna)
    return method


def _run(method: Dna, start: int = 0) -> Dna:
    for index in range(start, method.steps):
        method.step(index)
    return method


def _rated_at_random(method: Dna, seed: int) -> Dna:
    """Ratings without any training; half of them fall where the cost rises."""
    rng = random.Random(seed)
    for number, paths in enumerate(method._paths):
        for path in paths.rated:
            noise = rng.random()
            method._ratings[number][path] = noise if seed % 2 else 2 - sum(path) / 10 + noise / 10
    return method


def _by_hand(method: Dna) -> set[tuple[float, int]]:
    """Loss and MAdds on the front of all allowed architectures, one by one."""
    choices, first = method.problem.choices, method._ratings
    points = {}
    for path in PATHS:
        if choices.allows(path):
            loss = first[0][path[:1]] + first[1][path[1:]]
            points[path] = (loss, choices.cost(path).madds)
    return {
        (loss, madds)
        for loss, madds in points.values()
        if not any(a <= loss and b <= madds and (a, b) != (loss, madds) for a, b in points.values())
    }


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("kinds", ["", "madds", "params", "madds params"])
def test_the_front_is_that_of_all_allowed_architectures(seed: int, kinds: str) -> None:
    most = {
        "max_madds": int(MBCONV.madds.min + 0.4 * SPAN),
        "max_params": int(MBCONV.params.min + 0.4 * (MBCONV.params.max - MBCONV.params.min)),
    }
    budget = Budget(**{name: v for name, v in most.items() if name.removeprefix("max_") in kinds})
    method = _rated_at_random(_dna(budget), seed)
    choices = method.problem.choices
    found = method.ranked()
    assert {(-each.score, choices.cost(each.path).madds) for each in found} == _by_hand(method)
    assert all(choices.allows(each.path) for each in found)
    told = method.details()
    assert told["exact"]
    assert [each["loss"] for each in told["gallery"]] == [-each.score for each in found]
    for each in told["gallery"]:
        assert sum(each["losses"]) == each["loss"]
        assert MBCONV.cost(each["architecture"]) == (each["madds"], each["params"], 0)


BINARY = family_space("binary", SKELETON)
BINARY = replace(
    BINARY,
    layers=tuple(replace(each, candidates=each.candidates[:4]) for each in BINARY.layers),
    reference={},
)


@pytest.mark.parametrize("limited", [False, True])
def test_of_binary_cells_the_front_is_that_of_ops(limited: bool) -> None:
    # All of them have the same MAdds, so that a front of MAdds would be a single network.
    most = (BINARY.ops.min + BINARY.ops.max) // 2
    budget = Budget(max_ops=most) if limited else NO_LIMITS
    chosen = {"teacher_steps": 2}
    problem = make_problem(BINARY, budget, method="dna", options=chosen, evaluations=None)
    method = make_method(problem)
    assert isinstance(method, Dna)
    choices = method.problem.choices
    # Without a reference the teacher is the most expensive architecture.
    assert -(-method._teacher.architecture.cost.whole("ops") // 64) == BINARY.ops.max
    rng = random.Random(3)
    for number, paths in enumerate(method._paths):
        for path in paths.rated:
            method._ratings[number][path] = rng.random()
    every = itertools.product(*map(range, choices.sizes))
    first = method._ratings
    points = [
        (first[0][path[:1]] + first[1][path[1:]], choices.cost(path).whole("ops"))
        for path in every
        if choices.allows(path) and path[:1] in first[0] and path[1:] in first[1]
    ]
    wanted = {
        (a, b)
        for a, b in points
        if not any(c <= a and d <= b and (c, d) != (a, b) for c, d in points)
    }
    found = method.ranked()
    assert {(-each.score, choices.cost(each.path).whole("ops")) for each in found} == wanted
    assert limited or len(wanted) > 1
    assert [each["ops"] for each in method.details()["gallery"]] == [
        -(-choices.cost(each.path).whole("ops") // 64) for each in found
    ]


def test_a_limit_on_latency_holds_exactly() -> None:
    rng = random.Random(5)
    table = tuple(tuple(rng.random() for _ in layer.candidates) for layer in MBCONV.layers)
    choices = Choices(MBCONV, (Limit("max_latency_ms", 1.1, 0.25, table),))
    problem = make_problem(MBCONV, method="dna", options={"teacher_steps": 2}, evaluations=None)
    method = make_method(replace(problem, choices=choices))
    assert isinstance(method, Dna)
    _rated_at_random(method, 1)
    found = method.ranked()
    assert all(choices.allows(each.path) for each in found)
    assert 0 < sum(map(choices.allows, PATHS)) < len(PATHS)
    # Paths that no allowed architecture has are not rated.
    assert any(len(each.rated) < n for each, n in zip(method._paths, (7, 42), strict=True))
    assert {(-each.score, choices.cost(each.path).madds) for each in found} == _by_hand(method)


def _norms(network: nn.Module) -> list[nn.BatchNorm2d]:
    return [each for each in network.modules() if isinstance(each, nn.BatchNorm2d)]


def _with_statistics_of(network: Network, images: torch.Tensor) -> None:
    """Its running statistics become exactly those of one batch."""
    counts: dict[nn.Module, int] = {}

    def count(norm: nn.Module, inputs: tuple[torch.Tensor, ...]) -> None:
        counts[norm] = inputs[0].numel() // inputs[0].shape[1]

    hooks = [norm.register_forward_pre_hook(count) for norm in _norms(network)]
    for norm in _norms(network):
        norm.momentum = 1.0
    with torch.no_grad():
        network.train()(images)
        for each, size in counts.items():
            # The running variance has n - 1 in its denominator, that of a batch has n.
            each.get_buffer("running_var").mul_((size - 1) / size)
    for hook in hooks:
        hook.remove()


def test_a_path_with_the_weights_of_the_teacher_rates_zero_and_is_the_best(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    method = _dna()
    network = method._teacher.network.double()
    supernet = method._blocks.supernet.double()
    path = method.problem.choices.path(method._teacher.architecture)
    images = method.problem.validation.batch(0)[0].double()
    _with_statistics_of(network, images)
    for layer, index in enumerate(path):
        supernet.cells(layer)[index].load_state_dict(network.cell(layer).state_dict())
    features: Features = method._teacher.features(images)
    monkeypatch.setattr(method, "_measured", lambda: iter([features]))
    for portion in method._portions:
        method._rate(*portion)
    assert method.ranked()[0].path == path
    losses = dict(zip(PATHS, method.rated(PATHS), strict=True))
    assert -losses.pop(path) < 1e-9
    assert max(losses.values()) < -1e-3


def test_the_teacher_is_trained_as_a_network_alone_and_then_rests(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    method = _dna(steps=3)
    network = method._teacher.network
    first = {name: value.clone() for name, value in network.state_dict().items()}
    for index in range(2):
        method.step(index)
    trained = {name: value.clone() for name, value in network.state_dict().items()}
    assert any(not torch.equal(value, first[name]) for name, value in trained.items())
    asked: list[int] = []
    batch = method._shown.validation.batch

    def noted(step: int) -> Batch:
        asked.append(step)
        return batch(step)

    monkeypatch.setattr(method._shown.validation, "batch", noted)
    _run(method, 2)
    for name, value in network.state_dict().items():
        assert torch.equal(value, trained[name]), name
    assert not any(module.training for module in network.modules())
    # As many rating batches as the settings say, the same for every portion of paths.
    assert asked == [0, 1] * len(method._portions)


@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
def test_the_teacher_is_trained_in_the_precision_and_gives_features_in_float32(
    precision: str,
) -> None:
    chosen: dict[str, Any] = {"evaluator": {"precision": precision}}
    chosen["options"] = {"teacher_steps": 2}
    method = make_method(make_problem(MBCONV, method="dna", **chosen))
    assert isinstance(method, Dna)
    with computed() as found:
        method.step(0)
    assert found == {(True, getattr(torch, precision))}
    features = method._teacher.features(method.problem.training.batch(0)[0])
    assert {each.dtype for each in features} == {torch.float32}


def test_features_of_an_image_do_not_depend_on_its_company() -> None:
    method = _dna()
    images, _ = method.problem.validation.batch(0)
    both, alone = (method._teacher.features(each) for each in (images[:4], images[:1]))
    for ours, theirs in zip(alone, both, strict=True):
        torch.testing.assert_close(ours, theirs[:1])


@pytest.mark.parametrize("budget", [NO_LIMITS, Budget(max_madds=int(MBCONV.madds.min + SPAN / 5))])
def test_a_large_block_is_sampled_and_says_so(budget: Budget) -> None:
    method = _run(_dna(budget, evaluations=16))
    told = method.details()
    assert [each["drawn"] for each in told["blocks"]] == [False, True]
    assert [each["rated"] for each in told["blocks"]] == [len(method._paths[0].rated), 8]
    assert method.evaluations == sum(each["rated"] for each in told["blocks"]) <= 16
    assert not told["exact"]
    assert any("layer_01 to layer_02: more paths than are rated; 8" in e for e in method.notes)
    assert all(method.problem.choices.allows(each.path) for each in method.ranked())
    assert _dna().notes == [
        "teacher: the reference, trained for 2 steps; 2 blocks, 49 paths to rate"
    ]


def test_the_tightest_limit_leaves_the_cheapest_architecture() -> None:
    method = _run(_dna(Budget(max_madds=MBCONV.madds.min), evaluations=2))
    assert [method.problem.choices.cost(e.path).madds for e in method.ranked()] == [
        MBCONV.madds.min
    ]


def test_architectures_that_were_not_rated_can_be() -> None:
    method = _run(_dna(evaluations=4))
    first, second = method.rated([(0, 0, 0), (5, 5, 5)])
    known = method._ratings
    assert first == -(known[0][0,] + known[1][0, 0])
    assert second == -(known[0][5,] + known[1][5, 5])


@pytest.fixture(scope="module")
def saved(tmp_path_factory: pytest.TempPathFactory) -> tuple[Dna, FilePath]:
    """A whole search, and a folder with its state after every step."""
    whole, folder = _dna(), tmp_path_factory.mktemp("states")
    assert whole.steps == 2 + 2 + 2
    for index in range(whole.steps):
        whole.step(index)
        save_state(folder / str(index), whole.state())
    return whole, folder


@pytest.mark.parametrize("stop", [2, *slowly(0, 1, 3, 4)])
def test_a_state_holds_all_that_later_steps_depend_on(
    stop: int, saved: tuple[Dna, FilePath]
) -> None:
    (whole, folder), parts = saved, _dna()
    parts.restore(load_state(folder / str(stop), parts.problem.device))
    _run(parts, stop + 1)
    assert parts.ranked() == whole.ranked()
    assert parts.details() == whole.details()
    assert (parts.incumbent, parts.evaluations) == (whole.incumbent, whole.evaluations)
    for name, value in parts.state().tensors.items():
        assert torch.equal(value, whole.state().tensors[name]), name


def _saved(path: FilePath, skeleton: Skeleton, seed: int = 0, **metadata: str) -> FilePath:
    torch.manual_seed(seed)
    cells = [mbconv(3, 3)] * len(skeleton.layers)
    candidates = tuple(Candidate("mbconv", cell) for cell in cells)
    save_weights(path, Network(skeleton, cells), Architecture(skeleton, candidates), metadata)
    return path


WIDER = Skeleton("wider", 1, 8, 7, Stem(5, 1), (LayerSpec(7), LayerSpec(9, 2), LayerSpec(12)))


@pytest.mark.parametrize("skeleton", [SKELETON, WIDER])
def test_any_trained_network_can_teach(skeleton: Skeleton, tmp_path: FilePath) -> None:
    (tmp_path / "run").mkdir()
    file = _saved(
        tmp_path / "run" / "model.safetensors", skeleton, normalisation='{"mean":[9],"std":[4]}'
    )
    by_folder, by_file = (_dna(teacher=str(path)) for path in (file.parent, file))
    assert by_folder.steps == 2 + 2  # no training of the teacher
    assert by_folder._shown.images.normaliser == Normaliser((9.0,), (4.0,))
    assert by_folder.problem.images.normaliser != Normaliser((9.0,), (4.0,))
    assert _run(by_folder).ranked() == _run(by_file).ranked()
    assert by_folder.details()["teacher"]["sha256"] == by_file.details()["teacher"]["sha256"]
    assert any(True for _ in by_file._blocks.adaptors.parameters()) == (skeleton is WIDER)


def test_what_cannot_teach_is_one_line(tmp_path: FilePath) -> None:
    other = Skeleton("other", 3, 8, 3, Stem(4, 1), (LayerSpec(4), LayerSpec(6, 2)))
    files = {
        "no such file; allowed: a .safetensors file": tmp_path / "none",
        "model.safetensors: no such file": tmp_path,
        "for 8x8x3 images; allowed: 8x8x1": _saved(tmp_path / "a.safetensors", other),
        "not a mean and std per channel": _saved(
            tmp_path / "b.safetensors", SKELETON, normalisation='{"mean": 3}'
        ),
        "no layers from 8 to 8 pixels": _saved(
            tmp_path / "c.safetensors",
            Skeleton("flat", 1, 8, 3, Stem(4, 1), (LayerSpec(6, 2),)),
        ),
    }
    for problem, path in files.items():
        with pytest.raises(SearchError, match=problem) as caught:
            _dna(teacher=str(path))
        assert str(caught.value).startswith("options.teacher: ")
        assert "\n" not in str(caught.value)


def test_a_search_goes_on_with_the_teacher_it_began_with(tmp_path: FilePath) -> None:
    file = _saved(tmp_path / "t.safetensors", SKELETON)
    method = _dna(teacher=str(file))
    method.step(0)
    save_state(tmp_path / "state", method.state())
    state = load_state(tmp_path / "state", method.problem.device)
    _dna(teacher=str(file)).restore(state)
    _saved(file, SKELETON, seed=1)
    with pytest.raises(CheckpointError, match="are not those with which the search began"):
        _dna(teacher=str(file)).restore(state)


def test_the_whole_front_is_in_the_result(tmp_path: FilePath) -> None:
    settings = {k: v for k, v in SETTINGS.items() if k not in ("data", "evaluations")}
    settings["options"] = {"teacher_steps": 2}
    data = SETTINGS["data"]["source"]
    found = search(MBCONV, data, method="dna", settings=settings, out=tmp_path / "run").result
    gallery = found.details["gallery"]
    assert [each["madds"] for each in gallery] == sorted(
        (e["madds"] for e in gallery), reverse=True
    )
    assert [each["loss"] for each in gallery] == sorted(each["loss"] for each in gallery)
    assert gallery[0]["architecture"] == found.ranked[0].architecture
    assert found.evaluations == 49


def test_the_planted_candidates_are_found() -> None:
    found = solved("dna", 1, 150, evaluations=18, layers=6, teacher_steps=60)
    assert found.share >= 0.8
    assert found.chance < 0.1


def test_blocks_draw_their_paths_apart() -> None:
    method = _dna()
    drawn: list[Choice] = [
        method._paths[0].draw(0, index, 0) + method._paths[1].draw(0, index, 1)
        for index in range(300)
    ]
    assert {path[:1] for path in drawn} == {(index,) for index in range(7)}
    assert {path[1:] for path in drawn} == set(itertools.product(range(6), range(7)))
