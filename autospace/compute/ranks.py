"""Several processes that train one network together, each on its part of every batch.

Torchrun starts them, and DistributedDataParallel gives all of them the mean of their gradients.
Together they compute what one process computes with the whole batch, up to the rounding of float32
sums: batch normalisation takes its statistics from all parts, too. Their weights, averages and
records are equal to the bit at any time, so that process 0 can write for all.

Outside of `Ranks.together` process 0 works, and the others wait for its word.
"""

import atexit
import gc
import inspect
import os
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from datetime import timedelta
from functools import cache
from importlib import import_module
from itertools import zip_longest
from typing import Any, Final, TypeVar

import torch
from torch import distributed, nn
from torch.nn.parallel import DistributedDataParallel

from autospace.runs.errors import ConfigError, RunError
from autospace.spaces.errors import AutospaceError

PATIENCE: Final = timedelta(days=30)
"""How long a process waits for process 0, which may read images for hours; a process that is gone
is noticed at once."""
_GO, _END = 1, 0
_LOST: Final = ("gloo", "Connection closed by peer", "Connection reset by peer", "Broken pipe")

_SYNC_BUFFERS: Final = next(
    name
    for name in ("forward_sync_buffers", "broadcast_buffers")
    if name in inspect.signature(DistributedDataParallel).parameters
)
"""What the option is called: by its old name, torch 2.13 says that it is deprecated."""

Told = TypeVar("Told")


class DismissedError(AutospaceError):
    """Process 0 has ended the training; it says why."""


class LostError(AutospaceError):
    """Another process of the training is gone."""


class Ranks:
    """The processes that train one network; alone, every method does nothing.

    Attributes:
        rank: number of this process, from 0.
        count: of all processes.
    """

    def __init__(self, rank: int = 0, count: int = 1) -> None:
        """Makes the processes of a training.

        Args:
            rank: number of this process.
            count: of all processes.
        """
        self.rank, self.count = rank, count
        self._others_wait = True

    def __deepcopy__(self, _: dict[int, Any]) -> "Ranks":
        # Copies of a network belong to the same processes.
        return self

    @property
    def follows(self) -> bool:
        """Whether this is another process than process 0."""
        return self.rank > 0

    def device(self, chosen: torch.device) -> torch.device:
        """The device of this process: one GPU each, by the number that torchrun gave.

        Raises:
            RunError: a GPU by its number, or fewer GPUs than processes.
        """
        if self.count == 1 or chosen.type != "cuda":
            return chosen
        here, found = int(os.environ.get("LOCAL_WORLD_SIZE", 1)), torch.cuda.device_count()
        if chosen.index is not None:
            problem = f"{here} processes on this machine take one GPU each"
            raise RunError(f"device {str(chosen)!r}: {problem}; allowed: auto, cuda or cpu")
        if here > found:
            problem = f"{here} processes on a machine with {found} GPUs"
            advice = f"torchrun --nproc-per-node {found}, or --device cpu"
            raise RunError(f"device {str(chosen)!r}: {problem}; allowed: {advice}")
        own = torch.device("cuda", int(os.environ.get("LOCAL_RANK", 0)))
        torch.cuda.set_device(own)
        return own

    def check_batch(self, batch: int, images: int) -> None:
        """Checks that a batch has equal parts.

        Args:
            batch: the images of a batch.
            images: all that there are; if they are fewer, they are the batch.

        Raises:
            ConfigError: it has not.
        """
        if batch % self.count or min(batch, images) % self.count:
            shared = f"which {self.count} processes cannot share equally"
            problem = f"{batch} images, {shared}; allowed: a multiple of {self.count}"
            if batch % self.count == 0:
                most = images - images % self.count
                fewer = f"{batch}, but there are only {images} images to train on, {shared}"
                problem = f"{fewer}; allowed: up to {most}, in multiples of {self.count}"
            raise ConfigError(f"training.batch: {problem}")

    def part(self, images: int) -> slice:
        """The rows of a batch of so many images that this process computes with."""
        each = images // self.count
        return slice(self.rank * each, (self.rank + 1) * each)

    @contextmanager
    def together(self) -> Iterator[None]:
        """Within the block all processes do the same; process 0 begins it.

        Raises:
            DismissedError: in the other processes, if process 0 ended the training instead.
            LostError: another process is gone.
        """
        if self.count == 1:
            yield
            return
        with _losses():
            self._say(_GO)
            self._others_wait = False
            yield
        self._others_wait = True

    def told(self, value: Told) -> Told:
        """What process 0 passes, in all processes.

        Raises:
            DismissedError, LostError: see `together`.
        """
        if self.count == 1:
            return value
        held = [value]
        with self.together():
            distributed.broadcast_object_list(held, 0, self._group)
        return held[0]

    def dismiss(self) -> None:
        """Ends the training in the other processes, if they wait for a word of this one."""
        if self.count > 1 and not self.follows and self._others_wait:
            self._others_wait = False
            with suppress(RuntimeError):
                self._say(_END)

    def agree(self, value: str, problem: str | None) -> None:
        """Within `together`: checks that no process has a problem, and that all have one value.

        Raises:
            RunError: in process 0; the message says of which process.
            DismissedError: in the others.
        """
        if self.count == 1:
            return
        found: list[Any] = [None] * self.count
        distributed.all_gather_object(found, (value, problem), self._group)
        for rank, (other, trouble) in enumerate(found):
            if trouble is None and other == found[0][0]:
                continue
            if self.follows:
                raise DismissedError("process 0 says what is wrong")
            wrong = trouble or f"reads {other[:80]}, but process 0 reads {value[:80]}"
            raise RunError(f"process {rank} of {self.count}: {wrong}")

    def mean(self, value: torch.Tensor) -> torch.Tensor:
        """The mean of a tensor over all processes, equal in all of them to the bit."""
        if self.count == 1:
            return value
        total = value.clone()
        distributed.all_reduce(total, group=self._group_of(value))
        return total / self.count

    def interleaved(self, rows: list[list[float]]) -> list[list[float]]:
        """Rows of numbers of all processes, the first of each, then the second of each."""
        if self.count == 1:
            return rows
        found: list[Any] = [None] * self.count
        distributed.all_gather_object(found, rows, self._group)
        return [row for turn in zip_longest(*found) for row in turn if row is not None]

    def normalised(self, network: "_Module") -> "_Module":
        """The network, whose batch normalisations take their statistics from all parts."""
        if self.count == 1:
            return network
        if any(each.is_cuda for each in network.parameters()):
            found: _Module = nn.SyncBatchNorm.convert_sync_batchnorm(network)
            return found
        for part in network.modules():
            if type(part) is nn.BatchNorm2d:
                norm: Any = part
                norm.__class__, norm.ranks = SharedNorm, self
        return network

    def joined(
        self, network: nn.Module, forward: "Forward", example: Callable[[], Sequence[torch.Tensor]]
    ) -> "Forward":
        """The forward pass; the backward pass then gives weights the mean of all gradients.

        Args:
            network: holds the weights.
            forward: computes with them.
            example: makes what it may be given.
        """
        if self.count == 1:
            return forward
        # Of convolutions whose weights lie channels last; it costs a copy, and no bit.
        warnings.filterwarnings("ignore", "Grad strides do not match bucket view strides")
        training = network.training
        # The running statistics stay as they are.
        network.eval()
        given = example()
        unused = _backward(network, forward, given)
        keeps_buffers: dict[str, Any] = {_SYNC_BUFFERS: False}
        shared = DistributedDataParallel(
            _Passes(network, forward),
            process_group=self._group_of(next(network.parameters())),
            find_unused_parameters=unused,
            **keeps_buffers,
        )
        if not unused:
            # After the first pass gradients are arranged in the order in which they come. That
            # order decides how sums are rounded, and a resumed training has to have it, too.
            _backward(network, shared, given)
        network.train(training)
        return shared

    def gathered(self, value: torch.Tensor) -> torch.Tensor:
        """The tensors of all processes, [ranks, ...]; without a graph."""
        found = [torch.empty_like(value) for _ in range(self.count)]
        distributed.all_gather(found, value.contiguous(), group=self._group_of(value))
        return torch.stack(found)

    def summed(self, value: torch.Tensor) -> torch.Tensor:
        """The sum over all processes; without a graph."""
        total = value.clone(memory_format=torch.contiguous_format)
        distributed.all_reduce(total, group=self._group_of(value))
        return total

    @property
    def _group(self) -> Any:
        """Connects the processes for what lies in the memory of the CPU; see `_part`."""
        return _connected()

    def _group_of(self, value: torch.Tensor) -> Any:
        return distributed.group.WORLD if value.is_cuda else self._group

    def _say(self, word: int) -> None:
        held = torch.tensor([word])
        distributed.broadcast(held, 0, self._group)
        if int(held) == _END and self.follows:
            raise DismissedError("process 0 has ended the training, and says why")


ALONE: Final = Ranks()
_Module = TypeVar("_Module", bound=nn.Module)
Forward = Callable[..., torch.Tensor]


class _Passes(nn.Module):
    """The forward pass of a network as a module, as DistributedDataParallel wants it."""

    def __init__(self, network: nn.Module, forward: Forward) -> None:
        super().__init__()
        self.network, self._pass = network, forward

    def forward(self, *given: torch.Tensor) -> torch.Tensor:
        return self._pass(*given)


def _backward(network: nn.Module, forward: Forward, example: Sequence[torch.Tensor]) -> bool:
    """Does one pass; returns whether it left a weight without a gradient."""
    forward(*example).sum().backward()
    weights = [each for each in network.parameters() if each.requires_grad]
    unused = any(each.grad is None for each in weights)
    for each in weights:
        each.grad = None
    return unused


class _Gathered(torch.autograd.Function):
    """The tensors of all processes; the gradient is the sum of what all processes have of it."""

    @staticmethod
    def forward(ctx: Any, value: torch.Tensor, ranks: Ranks) -> torch.Tensor:
        ctx.ranks = ranks
        return ranks.gathered(value)

    @staticmethod
    def backward(ctx: Any, *gradients: torch.Tensor) -> tuple[torch.Tensor, None]:
        return ctx.ranks.summed(gradients[0])[ctx.ranks.rank], None


class SharedNorm(nn.BatchNorm2d):
    """Batch normalisation over the parts of all processes, which are equally large.

    Torch has this for GPUs only (`SyncBatchNorm`).
    """

    ranks: Ranks

    def forward(self, input: torch.Tensor) -> torch.Tensor:
        """[N, C, H, W], normalised by the statistics of all parts while it is trained."""
        if not self.training:
            return super().forward(input)
        variance, mean = torch.var_mean(input.float(), (0, 2, 3), correction=0)
        parts: torch.Tensor = _Gathered.apply(torch.stack([mean, variance]), self.ranks)  # type: ignore[no-untyped-call]
        mean = parts[:, 0].mean(0)
        variance = (parts[:, 1] + (parts[:, 0] - mean).square()).mean(0)
        self._remember(mean.detach(), variance.detach(), input[:, 0].numel() * self.ranks.count)
        scale = torch.rsqrt(variance + self.eps)
        if self.affine:
            scale = scale * self.weight
        shift = -mean * scale
        if self.affine:
            shift = shift + self.bias
        return (input * scale[:, None, None] + shift[:, None, None]).to(input.dtype)

    def _remember(self, mean: torch.Tensor, variance: torch.Tensor, pixels: int) -> None:
        if self.running_mean is None or self.running_var is None:
            return
        if self.num_batches_tracked is not None:
            self.num_batches_tracked.add_(1)
        share = self.momentum
        if share is None:
            share = 1 / int(self.num_batches_tracked or 1)
        self.running_mean.lerp_(mean, share)
        self.running_var.lerp_(variance * (pixels / max(1, pixels - 1)), share)


@contextmanager
def _losses() -> Iterator[None]:
    """Says in one line that a process is gone, where torch has a message of its own for it."""
    try:
        yield
    except RuntimeError as error:
        if not (isinstance(error, distributed.DistError) or any(w in str(error) for w in _LOST)):
            raise
        problem = "another process of this training is gone, or cannot be reached"
        raise LostError(f"{problem}; its last checkpoint is kept, --resume goes on") from None


@contextmanager
def ranks_of_torchrun() -> Iterator[Ranks]:
    """The processes that torchrun started, connected; this one alone if it started no others.

    Raises:
        RunError: not all of them can be reached.
    """
    launched = distributed.is_available() and distributed.is_torchelastic_launched()
    if not launched or int(os.environ.get("WORLD_SIZE", 1)) == 1:
        yield ALONE
        return
    try:
        _connected()
    except RuntimeError as error:
        reason = str(error).partition("\n")[0][:160]
        raise RunError(f"torchrun: not all processes can be reached: {reason}") from None
    ranks = Ranks(distributed.get_rank(), distributed.get_world_size())
    try:
        yield ranks
    except BaseException:
        ranks.dismiss()
        raise


@cache
def _connected() -> Any:
    """Connects the processes, once: torch cannot do it again after they have parted."""
    if not distributed.is_initialized():
        # Default values of its functions are the group that there is when it is loaded, and would
        # keep it.
        import_module("torch.distributed.nn")
        distributed.init_process_group(_backend())
        atexit.register(_part)
    return distributed.new_group(backend="gloo", timeout=PATIENCE)


def _part() -> None:
    """Ends torch's threads while Python still runs.

    A thread that lets go of a tensor when Python has ended aborts the process. A group waits for
    its threads when nothing refers to it any more, so nothing keeps one but this module, torch,
    and networks that are joined.
    """
    if distributed.is_initialized():
        with suppress(RuntimeError):
            distributed.destroy_process_group()
    _connected.cache_clear()
    gc.collect()


def _backend() -> str:
    gpus = torch.cuda.is_available() and distributed.is_nccl_available()
    return "cpu:gloo,cuda:nccl" if gpus else "gloo"
