"""`autospace doctor`."""

import json
from importlib import metadata

import pytest
import torch

from autospace.cli.commands import doctor
from tests.cli.conftest import Run


def test_everything_that_is_installed_is_listed(run: Run) -> None:
    ran = run("doctor")
    assert (ran.code, ran.err) == (0, "")
    for name in doctor.REQUIRED:
        assert any(line.split() == [name, metadata.version(name)] for line in ran.out.splitlines())
    assert "threads" in ran.out


def test_all_advice_is_in_80_columns(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(doctor, "_kernels", lambda: "PyTorch's")
    monkeypatch.setattr("autospace.networks.fused.described", lambda: "PyTorch's")
    nothing = dict.fromkeys((*doctor.REQUIRED, *doctor.OPTIONAL))
    advice = doctor._advice({**nothing, "torch": "2"})
    assert any("C compiler" in line for line in advice)
    for built_for in ("12.8", None):
        monkeypatch.setattr(torch.version, "cuda", built_for)
        lines = [*advice, *doctor._advice({**nothing, "torch": "2"})]
        assert [line for line in lines if len(line) > 80] == []


def test_kernels_that_the_environment_turns_off_are_not_advised(
    run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AUTOSPACE_NATIVE", "0")
    found = json.loads(run("doctor", "--format", "json").out)
    assert found["kernels"] == "PyTorch's: AUTOSPACE_NATIVE=0"
    assert not any("compiler" in line for line in found["advice"])


@pytest.mark.parametrize("value", ["off", "AVX2"])
def test_a_choice_of_kernels_that_has_no_effect_is_shown(
    value: str, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AUTOSPACE_NATIVE", value)
    line = f'AUTOSPACE_NATIVE: "{value}" has no effect; allowed: 0, 1, avx512, avx2, base'
    assert line in run("doctor").out.splitlines()
    assert len(line) <= 80


def test_an_executor_without_nodes_says_that_there_is_nothing_to_test(run: Run) -> None:
    ran = run("doctor", "--executor", "processes")
    assert ran.code == 0
    assert ran.err == (
        "--executor processes: there are no nodes to test; --executor ray tests those\n"
    )


def test_programs_get_json(run: Run) -> None:
    ran = run("doctor", "--format", "json")
    found = json.loads(ran.out)
    assert ran.code == 0
    assert found["missing"] == []
    assert found["autospace"] == metadata.version("autospace")
    assert found["packages"]["torch"] == metadata.version("torch")
    assert len(found["devices"]) == 1 + torch.cuda.device_count()


def test_something_missing_is_a_failed_check(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(doctor, "REQUIRED", (*doctor.REQUIRED, "no-such-package"))
    ran = run("doctor")
    assert ran.code == 1
    assert "no-such-package MISSING" in ran.out
    found = json.loads(run("doctor", "--format", "json").out)
    assert found["missing"] == ["no-such-package"]


def test_something_optional_is_no_failure(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(doctor, "OPTIONAL", {"no-such-package": "nothing"})
    ran = run("doctor")
    assert ran.code == 0
    assert "no-such-package missing; needed for nothing" in ran.out


def test_an_unknown_format_is_bad_input(run: Run) -> None:
    assert run("doctor", "--format", "xml").code == 2
