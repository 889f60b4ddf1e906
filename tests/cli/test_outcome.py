"""The summary after a run."""

import json
import shlex
from dataclasses import replace
from pathlib import Path

import pytest

from autospace.cli.display.outcomes import beats_hand_made, evolve_record, front_of, measured_by
from autospace.cli.display.outcomes import evolve_outcome as outcome
from autospace.cli.display.outcomes import print_evolve_outcome as tell_outcome
from autospace.exporters.targets import TARGETS
from autospace.searchers.folder import SearchResult
from autospace.spaces import Budget, Layer, load
from autospace.spaces.text import human
from tests.cli.samples import learned_space

SPACE = learned_space()


def test_large_networks_are_counted_in_large_units() -> None:
    large = replace(load("conv@resnet50"), budget=Budget(200_000_000_000))
    text = "\n".join(outcome(Path("runs/large"), large))
    assert "383M to 153G MAdds; no architecture exceeds the budget of 200G." in text


def test_the_summary_counts_by_hand() -> None:
    text = "\n".join(outcome(Path("runs/demo"), SPACE))
    assert "a space of 4 layers with 9 cells each: 6,561 architectures," in text
    best = max(
        (each for layer in SPACE.layers for each in layer.candidates[:6]),
        key=lambda each: each.fitness or 0,
    )
    assert f"a fitness of {best.fitness:+.4f} and arose" in text
    assert f"{human(SPACE.madds.min)} to {human(SPACE.madds.max)} MAdds" in text
    better = sum(
        max(each.fitness or 0 for each in layer.candidates[:6])
        > max(0, *(each.fitness or 0 for each in layer.candidates[6:]))
        for layer in SPACE.layers
    )
    assert f"In {better} of 4 layers" in text
    assert "is fitter than every hand-made cell." in " ".join(text.split())


def test_a_cell_counts_only_if_it_is_fitter_than_every_hand_made_one() -> None:
    layer = SPACE.layers[0]
    evolved = replace(layer.candidates[0], fitness=0.2)
    for by_hand, expected in ((0.1, True), (0.2, False), (0.3, False)):
        rivals = [replace(layer.candidates[6], fitness=0.0)]
        rivals += [replace(layer.candidates[7], fitness=by_hand)]
        assert beats_hand_made(replace(layer, candidates=(evolved, *rivals))) is expected
    assert not beats_hand_made(
        replace(layer, candidates=(replace(evolved, fitness=-0.1), layer.candidates[6]))
    )


@pytest.mark.parametrize("run", ["r", "a rather long name of a run / of somebody", "x" * 90])
def test_lines_fit_80_columns_and_next_commands_are_commands(run: str) -> None:
    lines = outcome(Path(run), SPACE)
    start = next(index for index, line in enumerate(lines) if line.endswith("Next:"))
    for line in lines[:start]:
        assert len(line) <= 80
    for line in lines[start + 1 :]:
        words = shlex.split(line, comments=True)
        assert words[0] == "autospace"
        assert any(run in word for word in words)
        assert len(line) <= 80 or "#" not in line


@pytest.mark.parametrize(
    "name",
    ["enas-rnn@rnn-small", "autocaption@captions-small", "nas-bert@nas-bert", "mbconv@digits"],
)
def test_the_tool_that_is_named_next_can_hold_the_space(name: str) -> None:
    space = load(name)
    line = next(line for line in outcome(Path("run"), space) if "export" in line)
    words = shlex.split(line, comments=True)
    assert TARGETS[words[words.index("--to") + 1]].text(space)


def test_programs_get_the_same_facts() -> None:
    record = evolve_record(Path("runs/demo"), SPACE)
    text = " ".join("\n".join(outcome(Path("runs/demo"), SPACE)).split())
    assert f"In {record['layers_fitter_than_hand_made']} of {record['layers']} layers" in text
    assert record["best"]["cell"] in text
    assert all(command in text for command in record["next"])
    assert json.loads(json.dumps(record)) == record


def test_the_limit_is_named_where_there_is_one() -> None:
    limited = replace(SPACE, budget=Budget(SPACE.madds.max))
    assert f"exceeds the budget of {SPACE.madds.max / 1e6:.3g}M." in "\n".join(
        outcome(Path("run"), limited)
    )


def test_the_next_commands_can_be_pasted() -> None:
    assert "  autospace report 'my run'" in "\n".join(outcome(Path("my run"), SPACE))


def test_a_space_of_references_alone_has_no_best(capsys: pytest.CaptureFixture[str]) -> None:
    layers = tuple(Layer(layer.shape, layer.candidates[6:]) for layer in SPACE.layers)
    tell_outcome(Path("run"), replace(SPACE, layers=layers))
    out = capsys.readouterr().out
    assert "In 0 of 4 layers" in out
    assert "The best" not in out
    assert "Operations in the evolved cells: none." in out


def test_a_remark_on_the_result_follows_what_it_is_about() -> None:
    noted = replace(SPACE, provenance={"notes": ["fitness is measured on 6 images only"]})
    lines = outcome(Path("run"), noted)
    assert lines[3] == "  Note: fitness is measured on 6 images only."
    assert "  Note" not in "".join(outcome(Path("run"), SPACE))


def test_uneven_layers_and_huge_spaces_are_said_shortly() -> None:
    first = SPACE.layers[0]
    shorter = Layer(first.shape, first.candidates[2:])
    text = "\n".join(outcome(Path("run"), replace(SPACE, layers=(shorter, *SPACE.layers[1:]))))
    assert "with 7 to 9 cells each: 5,103 architectures" in text


def test_a_search_for_a_front_says_how_long_it_is_and_whether_it_is_exact() -> None:
    gallery = [{"madds": 2_500_000}, {"madds": 104_000}]
    lines = [
        " ".join(front_of(SearchResult.model_construct(details=details)))
        for details in (
            {"exact": True, "gallery": gallery},
            {"exact": False, "gallery": gallery[:1]},
            {"gallery": gallery},
        )
    ]
    of_signs = {"exact": True, "gallery": [{"madds": 9, "ops": 104_000}]}
    binary = " ".join(front_of(SearchResult.model_construct(details=of_signs, ops=104_000)))
    place = "(details.gallery in result.json)."
    assert " ".join(binary.split()) == f"Front: 1 network, 104k to 104k OPs {place}"
    assert [" ".join(line.split()) for line in lines] == [
        f"Front: 2 networks, 104k to 2.50M MAdds {place}",
        f"Front: 1 network, 2.50M to 2.50M MAdds, of the paths that were drawn {place}",
        "",
    ]


@pytest.mark.parametrize(
    ("source", "words"),
    [
        ("digits", "Accuracy is measured on validation images (digits) after a short"),
        ("sentences:a{b}.csv", "measured on validation sentences (sentences:a{b}.csv) after"),
        ("text:a.txt", "Accuracy is 1 / perplexity on text:a.txt, validation, after a short"),
        ("captions", "the mean n-gram F of captions (captions), validation, after a short"),
    ],
)
def test_a_search_says_what_its_accuracy_is(source: str, words: str) -> None:
    assert words in measured_by(source)
