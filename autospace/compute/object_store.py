"""The files of a job in Ray's object store, from which every node fetches them once.

They are put there in pieces, so that neither this process nor a worker holds more than one. What
the store has no memory for, Ray keeps on the disk.
"""

import hashlib
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Final, NamedTuple

import numpy as np

from autospace.compute.pool import Job
from autospace.compute.ray_session import ClusterError, first_line
from autospace.compute.worker import announced, encoded
from autospace.runs.files import check_room_for

PIECE: Final = 256 * 2**20
"""Bytes of a file that travel as one value of Ray."""


class Stored(NamedTuple):
    """What a worker begins a job with; see `autospace.compute.node.RemoteWorker.begin`.

    Attributes:
        header: the job, the names of its files with their bytes, and their digest.
        contents: per file, references of Ray to its pieces.
    """

    header: bytes
    contents: list[list[Any]]


def stored(ray: Any, job: Job, folder: Path, before_each: Callable[[], None]) -> Stored:
    """Packs a job, and puts its files into the store.

    Args:
        ray: the module, connected.
        job: what workers are to begin.
        folder: for its files; what is in it is removed before.
        before_each: called before every piece; may raise to stop.

    Raises:
        ClusterError: Ray has no room for the files.
        RoomError: the disk of this machine is too small for what the store does not take.
    """
    shutil.rmtree(folder, ignore_errors=True)
    packed = job.pack(folder, whole=True)
    paths = sorted(folder.iterdir()) if folder.is_dir() else []
    digest = hashlib.sha256()
    for path in paths:
        with path.open("rb") as stream:
            digest.update(hashlib.file_digest(stream, "sha256").digest())
    header = {
        "job": announced(job, packed),
        "files": {path.name: path.stat().st_size for path in paths},
        "digest": digest.hexdigest()[:32],
    }
    check_store(ray, sum(path.stat().st_size for path in paths))

    def reference(piece: np.ndarray) -> Any:
        before_each()
        return put(ray, piece)

    return Stored(encoded(header), [list(map(reference, pieces(path))) for path in paths])


def pieces(path: Path) -> Iterator[np.ndarray]:
    """The bytes of a file, uint8, at most `PIECE` of them at a time."""
    for start in range(0, path.stat().st_size, PIECE):
        yield np.fromfile(path, np.uint8, PIECE, offset=start)


def put(ray: Any, piece: np.ndarray) -> Any:
    """A reference of Ray to a piece, which is in the store.

    Raises:
        ClusterError: Ray has no room for it.
    """
    try:
        return ray.put(piece)
    except ray.exceptions.RayError as error:
        problem = f"Ray has no room for the files of the work: {first_line(error)}"
        raise ClusterError(f"cluster: {problem}; allowed: less data, or more room") from None


def check_store(ray: Any, size: int) -> None:
    """Refuses what neither Ray's store on this machine nor the disk that it spills to can take.

    Args:
        ray: the module, connected.
        size: bytes.

    Raises:
        RoomError: the disk is too small.
    """
    here = ray.get_runtime_context().get_node_id()
    stores = [each["Resources"] for each in ray.nodes() if each["NodeID"] == here]
    spilled = size - int(sum(each.get("object_store_memory", 0) for each in stores))
    node = getattr(ray._private.worker, "_global_node", None)
    if spilled > 0 and node is not None:
        check_room_for(spilled, Path(node.get_session_dir_path()))
