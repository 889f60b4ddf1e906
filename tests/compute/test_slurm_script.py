"""The scripts for Slurm in the guide, run by bash with programs in place of Slurm's and of Ray."""

import os
import signal
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path

import pytest

from tests.training.ranked import ROOT, free_port

GUIDE = (ROOT / "docs/guide/cluster.md").read_text("utf-8")
PROGRAMS = {
    # Options, then a command, which srun runs on every node; here on one.
    "srun": 'while [[ $1 == --* ]]; do shift; done; exec "$@"',
    "scontrol": ":",
    "scancel": 'kill -TERM "$(cat torchrun.pid)"',
    "openssl": "echo 0123",
    "ray": """for each; do [[ $each != --port=* ]] || port=${each#--port=}; done
        exec "$PYTHON" -c "import socket, sys
listening = socket.create_server(('localhost', int(sys.argv[1])))
while True:
    listening.accept()" "$port\"""",
    # Both write what can be resumed, and stop at a signal; a second run finishes.
    "autospace": """mkdir -p runs/cifar; touch runs/cifar/config.toml
        [[ $* != *--resume* ]] || exit 0
        trap "exit 130" TERM; echo ready >> log; sleep 60 & wait $!""",
    "torchrun": """mkdir -p runs/net; touch runs/net/config.toml; echo $$ > torchrun.pid
        [[ $* != *--resume* ]] || exit 0
        trap "exit 1" TERM; echo ready >> log; sleep 60 & wait $!""",
}


def _scripts() -> list[str]:
    blocks = [each.partition("\n```")[0] for each in GUIDE.split("```sh\n")[1:]]
    return [each for each in blocks if "#SBATCH" in each]


def _run(script: str, place: Path, *, stop: bool) -> tuple[int, list[str]]:
    """The exit code, and the calls of all programs."""
    log, port = place / "log", free_port()
    log.write_text("")
    environment = {
        "PATH": f"{place / 'bin'}:{os.environ['PATH']}",
        "PYTHON": sys.executable,
        "SLURM_JOB_ID": str(port - 20_000),
        "SLURMD_NODENAME": "localhost",
        "SLURM_CPUS_PER_TASK": "2",
        "SLURM_NNODES": "1",
        "TMPDIR": str(place / "node"),
    }
    running = subprocess.Popen(
        # What the script removes is below the folder of the test.
        ["bash", "-c", script.replace("/tmp/ray-", f"{place}/ray-")],
        env=environment,
        cwd=place,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    try:
        end = time.monotonic() + 60
        while stop and "ready" not in log.read_text().splitlines():
            assert time.monotonic() < end, log.read_text()
            assert running.poll() is None, log.read_text()
            time.sleep(0.05)
        if stop:
            running.send_signal(signal.SIGTERM)  # to the script alone
        return running.wait(timeout=60), log.read_text().splitlines()
    finally:
        with suppress(ProcessLookupError):
            os.killpg(running.pid, signal.SIGKILL)
        running.wait()


@pytest.mark.skipif(sys.platform != "linux", reason="Slurm and Ray clusters are made of Linux")
@pytest.mark.parametrize(("number", "program", "code"), [(0, "autospace", 130), (1, "torchrun", 1)])
def test_a_job_that_is_stopped_goes_back_into_the_queue_and_resumes(
    tmp_path: Path, number: int, program: str, code: int
) -> None:
    script = _scripts()[number]
    assert script.startswith("#!/bin/bash\n")
    (tmp_path / "bin").mkdir()
    for name, text in PROGRAMS.items():
        path = tmp_path / "bin" / name
        path.write_text(f'#!/bin/bash\necho "{name} $*" >> log\n{text}\n')
        path.chmod(0o755)
    node = tmp_path / "node" / f"autospace-{os.getuid()}"
    for stop in (True, False):
        (node / "pool").mkdir(parents=True, exist_ok=True)  # of a command that was killed
        found, calls = _run(script, tmp_path, stop=stop)
        assert found == (code if stop else 0), calls
        assert any(each.startswith("scontrol requeue") for each in calls) == stop, calls
        (own,) = [each for each in calls if each.startswith(f"{program} ")]
        assert ("--resume runs/" in own) == (not stop), own
        assert ("--out runs/" in own) == stop, own
        left = sorted(each.name for each in tmp_path.iterdir() if each.is_dir())
        assert left == ["bin", "node", "runs"], left
        assert not list((tmp_path / "node").iterdir()) or program == "torchrun"


def test_there_are_two_scripts() -> None:
    assert len(_scripts()) == 2
