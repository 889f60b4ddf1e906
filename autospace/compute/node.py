"""A worker of a cluster, which runs on one of its nodes."""

import json
from collections.abc import Sequence
from typing import Any

from autospace.compute.device import available_bytes
from autospace.compute.node_files import SECONDS_TO_END, NodeFiles
from autospace.compute.ray_session import fetched
from autospace.compute.worker import Plain, Worker, encoded, found


class RemoteWorker:
    """A worker of a cluster; its methods take and give JSON, and fetch files in pieces."""

    def __init__(self, name: str, thread_count: int, kind: str) -> None:
        """Prepares this process.

        Args:
            name: of the pool and the node.
            thread_count: threads of torch.
            kind: `cuda` for the GPU that Ray lets this process see; `cpu`.

        Raises:
            RunError: there is no GPU.
        """
        self._kind = kind
        self._worker = Worker(thread_count, None if kind == "cpu" else kind)
        self._files = NodeFiles(name)

    def hello(self, module: str, function: str) -> bytes:
        """What decides the last digits here, and the memory that is available."""
        rounding = found(module, function)(self._kind)
        return encoded({"rounding": rounding, "memory": available_bytes(self._kind)})

    def begin(self, header: bytes, contents: Sequence[Sequence[Any]]) -> None:
        """Begins a job.

        Args:
            header: the job, the names of its files with their bytes, and their digest.
            contents: per file, references of Ray to its pieces. These are not arguments of their
                own, which Ray would bring to the node all at the same time, whether or not the
                node has the files.
        """
        given = json.loads(header)
        sizes, digest = given["files"], given["digest"]
        files = {name: fetched(pieces) for name, pieces in zip(sizes, contents, strict=True)}
        self._worker.begin(given["job"], lambda: self._files.folder(digest, files, sizes))

    def reply(self, request: bytes) -> bytes:
        """The result of a request or its error, and the messages about it."""
        messages: list[Plain] = []
        reply = self._worker.reply(json.loads(request), messages.append)
        return encoded({**reply, "messages": messages})

    def leave(self) -> None:
        """Removes the files of the jobs, unless other workers of the node need them.

        Those that have been killed just now may take a moment to end.
        """
        self._files.leave(SECONDS_TO_END)
