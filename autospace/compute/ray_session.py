"""The connection to a Ray cluster: one that is there, or one of this machine for a while.

Ray reads the token of a cluster once in the life of a process, when it is loaded, and a process
with a token cannot work with a cluster without one. So it is decided before that whether a cluster
of our own is needed, which has a token. If a program has loaded Ray before, what it set counts.
"""

import os
import secrets
import shutil
import signal
import socket
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Final

from autospace.spaces.errors import AutospaceError, shown
from autospace.spaces.text import plural

Said = Callable[[str], None]
SECONDS_TO_CONNECT: Final = 5.0
SETTINGS: Final = {
    "RAY_USAGE_STATS_ENABLED": "0",
    "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0",
    "RAY_worker_niceness": "0",
}
"""No telemetry, no warning about GPUs, and workers as quick as processes.

Keep-alive pings of the owner alone would end connections.
"""
SEVERAL: Final = "ENABLE_RAY_CLUSTER"
"""A constant of `ray._private.ray_constants`.

If it is false, as on macOS and Windows, a cluster that Ray starts is of one machine, and its
servers listen on 127.0.0.1 only.
"""
STDERR: Final = 2
REFUSED: Final = "InvalidAuthToken"
CURRENT: Final = "ray_current_cluster"
"""A file of Ray's, which holds the address of the latest cluster that was started."""
PRINTS: Final = "print_to_stdstream"
"""What Ray calls, in `ray._private.worker`, to print errors of nodes to the standard output."""


class ClusterError(AutospaceError):
    """A cluster that is not there, or whose nodes would not give equal results."""


@contextmanager
def ray_session(address: str | None, slots: int, on_message: Said) -> Iterator[Any]:
    """The module `ray`, connected to a cluster for the block.

    Args:
        address: see `autospace.compute.cluster.open_cluster`.
        slots: cores that a cluster of its own has for workers.
        on_message: called with what the user should know about the cluster.

    Raises:
        ClusterError: Ray is not installed, or there is no such cluster.
    """
    check_address(address)
    named = address or os.environ.get("RAY_ADDRESS") or _running_here() or "local"
    protected = "RAY_AUTH_MODE" in os.environ
    loaded = "ray" in sys.modules and not own_token.cache_info().currsize
    token = {}
    if named == "local" and not (protected or loaded):
        token = {"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN": own_token()}
    with _environment({**SETTINGS, **token}):
        import ray
        import ray.util.scheduling_strategies

        try:
            with _silence(ray):
                if named == "local":
                    with _own_cluster(ray, slots):
                        problem = "no Ray cluster is named or runs here"
                        on_message(f"{problem}: one of {plural(slots, 'core')} is started")
                        yield ray
                else:
                    _connect(ray, named)
                    if not protected:
                        _warn_without_token(ray, on_message)
                    yield ray
        finally:
            ray.shutdown()


def fetched(references: Sequence[Any]) -> Iterator[Any]:
    """The values that references mean, brought here one at a time, as they are asked for."""
    import ray

    return map(ray.get, references)


@cache
def own_token() -> str:
    """The token of this process, for clusters of its own."""
    return secrets.token_hex(32)


@contextmanager
def _environment(defaults: Mapping[str, str]) -> Iterator[None]:
    """Sets variables for the block, unless they are set."""
    missing = {name: value for name, value in defaults.items() if name not in os.environ}
    os.environ.update(missing)
    try:
        yield
    finally:
        for name in missing:
            os.environ.pop(name, None)


@contextmanager
def _silence(ray: Any) -> Iterator[None]:
    """Keeps Ray from printing to the standard output, which is for results alone.

    The pool says itself which nodes and workers are gone.
    """
    with _replaced(ray._private.worker, PRINTS, lambda *_, **__: None):
        yield


@contextmanager
def _replaced(module: Any, name: str, value: Any) -> Iterator[None]:
    before = getattr(module, name, None)
    setattr(module, name, value)
    try:
        yield
    finally:
        setattr(module, name, before)


@contextmanager
def _own_termination() -> Iterator[None]:
    """Keeps the handler of SIGTERM, if this process has one.

    That of Ray prints a trace of compiled code and aborts the process.
    """
    before = signal.getsignal(signal.SIGTERM)
    try:
        yield
    finally:
        if callable(before):
            with suppress(ValueError):  # in another thread than the main one
                signal.signal(signal.SIGTERM, before)


def _running_here() -> str | None:
    """The address of the cluster that this user has begun on this machine, if it answers."""
    place = Path(os.environ.get("RAY_TMPDIR") or tempfile.gettempdir()) / "ray" / CURRENT
    try:
        if os.name == "posix" and place.stat().st_uid != os.getuid():
            return None
        address = place.read_text("utf-8").strip()
        check_address(address)
    except (OSError, UnicodeDecodeError, ClusterError):
        return None
    return address or None


def _connect(ray: Any, address: str) -> None:
    said: list[str] = []
    try:
        with _captured(said), _own_termination():
            ray.init(address=address, log_to_driver=False, logging_level="ERROR")
    except ConnectionError as error:
        problem = f"no Ray cluster answers: {first_line(error)}"
        if REFUSED in said[0]:
            problem = "the cluster has another token; allowed: its RAY_AUTH_MODE and RAY_AUTH_TOKEN"
        raise ClusterError(f"address {shown(address)}: {problem}") from None
    except (RuntimeError, ValueError, OSError, ray.exceptions.RayError) as error:
        raise ClusterError(f"address {shown(address)}: {first_line(error)}") from None


@contextmanager
def _captured(said: list[str]) -> Iterator[None]:
    """Keeps what Ray's library writes to stderr, many lines each second, and adds it at the end."""
    with tempfile.TemporaryFile() as sink:
        before = os.dup(STDERR)
        os.dup2(sink.fileno(), STDERR)
        try:
            yield
        finally:
            os.dup2(before, STDERR)
            os.close(before)
            sink.seek(0)
            said.append(sink.read().decode("utf-8", "replace"))


def check_address(address: str | None) -> None:
    """Refuses what does not answer: Ray would end this process after a minute.

    Args:
        address: see `autospace.compute.cluster.open_cluster`.

    Raises:
        ClusterError: Ray is not installed, or there is no such cluster.
    """
    if sys.modules.get("ray", ...) is None or find_spec("ray") is None:
        raise ClusterError("executor ray: needs Ray: pip install 'autospace[cluster]'")
    named = address or os.environ.get("RAY_ADDRESS") or "auto"
    if named in ("auto", "local"):
        return
    host, _, port = named.rpartition(":")
    if not host or not port.isdecimal() or not 0 < int(port) < 2**16:
        raise ClusterError(f"address {shown(named)}; allowed: HOST:PORT of a Ray head, or auto")
    try:
        socket.create_connection((host, int(port)), SECONDS_TO_CONNECT).close()
    except (OSError, UnicodeError) as error:  # a UnicodeError: no host can have this name
        problem = getattr(error, "strerror", None) or str(error)
        raise ClusterError(f"address {shown(named)}: nothing answers there: {problem}") from None


@contextmanager
def _own_cluster(ray: Any, slots: int) -> Iterator[None]:
    """A cluster of this machine alone, behind a token, which leaves nothing behind."""
    # The paths of sockets must be short.
    folder = tempfile.mkdtemp(prefix="ray-", dir="/tmp" if sys.platform != "win32" else None)
    try:
        try:
            with _replaced(ray._private.ray_constants, SEVERAL, False), _own_termination():
                ray.init(
                    address="local", num_cpus=slots, include_dashboard=False,
                    log_to_driver=False, logging_level="ERROR", _temp_dir=folder,
                )  # fmt: skip
        except (RuntimeError, ValueError, OSError, ray.exceptions.RayError) as error:
            problem = f"Ray does not start on this machine: {first_line(error)}"
            raise ClusterError(f"executor ray: {problem}") from None
        yield
    finally:
        ray.shutdown()
        shutil.rmtree(folder, ignore_errors=True)


def _warn_without_token(ray: Any, on_message: Said) -> None:
    addresses = {node["NodeManagerAddress"] for node in ray.nodes()}
    if any(not each.startswith("127.") for each in addresses):
        on_message(
            "this Ray cluster has no token: whoever reaches its ports can run programs on it; "
            "docs/guide/cluster.md says how to set one"
        )


def first_line(error: BaseException) -> str:
    """The last line of an error that says something, for a message of one line."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return (lines[-1] if lines else type(error).__name__)[:200]
