"""`--executor` and `--address` of the commands: what cannot be is one line, and leaves nothing."""

from pathlib import Path

import pytest

from tests.cli.conftest import Run

NOBODY = ("--executor", "ray", "--address", "127.0.0.9:1")


@pytest.mark.parametrize(
    "command",
    [
        ("evolve", "--preset", "demo"),
        ("compare", "mbconv@digits", "mnasnet@digits", "--data", "digits"),
        ("search", "mbconv@digits", "--data", "digits"),
    ],
    ids=lambda command: command[0],
)
@pytest.mark.parametrize(
    ("options", "problem"),
    [
        (NOBODY, ("nothing answers there", "needs Ray: pip install 'autospace[cluster]'")),
        (("--executor", "dask"), ("Allowed: here, processes, ray",)),
        (("--executor", "here", "--workers", "2"), ("workers: 2; allowed with executor here: 1",)),
        (("--address", "a:1"), ('address: "a:1" needs executor ray',)),
    ],
)
def test_a_cluster_that_cannot_be_is_one_line_and_leaves_no_folder(
    run: Run,
    tmp_path: Path,
    command: tuple[str, ...],
    options: tuple[str, ...],
    problem: tuple[str, ...],
) -> None:
    ran = run(*command, *options, "--out", tmp_path / "out", "--progress", "none")
    assert (ran.code, ran.err.count("\n")) == (2, 1), ran.err
    assert any(each.lower() in ran.err.lower() for each in problem), ran.err
    assert not (tmp_path / "out").exists()


def test_a_plan_counts_on_the_workers_that_are_asked_for(run: Run) -> None:
    plan = ("evolve", "--preset", "demo", "--dry-run", "--set", "data.limit=64")
    ran = run(*plan, "--executor", "ray", "--workers", 3, "--progress", "plain")
    assert ran.code == 0, ran.err
    assert "no cluster is asked: the plan counts on --workers, which is 3" in ran.err
    assert "3 workers" in ran.out


def test_a_plan_says_what_the_gpus_of_a_cluster_do(run: Run) -> None:
    plan = ("evolve", "--preset", "demo", "--dry-run", "--set", "data.limit=64")
    ran = run(*plan, "--executor", "ray", "--device", "cuda", "--progress", "plain")
    assert ran.code == 0, ran.err
    assert "devices: GPUs of the cluster train cells, one for each worker; this machine" in ran.err
    assert "plan: the GPUs of a cluster share the work; their time is not known" in ran.out


@pytest.mark.parametrize("device", ["cuda:0", "cuda:0,1", "all"])
@pytest.mark.parametrize(
    "command",
    [
        ("evolve", "--preset", "demo"),
        ("compare", "mbconv@digits", "mnasnet@digits", "--data", "digits"),
        ("search", "mbconv@digits", "--data", "digits"),
    ],
    ids=lambda command: command[0],
)
def test_workers_of_a_cluster_cannot_choose_their_gpus(
    run: Run, command: tuple[str, ...], device: str
) -> None:
    ran = run(*command, "--dry-run", "--executor", "ray", "--device", device, "--progress", "none")
    # The line before says that no cluster is asked.
    assert (ran.code, ran.err.count("\n")) == (2, 2), ran.err
    assert f'device: "{device}"; allowed with executor ray: auto, cpu or cuda' in ran.err
