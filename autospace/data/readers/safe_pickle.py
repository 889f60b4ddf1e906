"""Reads the pickles of CIFAR's python layout without running anything that they name.

A pickle is a program: it may import any function and call it. The files of CIFAR need three
functions of numpy and one of `_codecs`; pickled anew with protocol 5, they need one more of numpy.
Here those names stand for harmless methods of the reader itself. Every other name is refused, and
so is every opcode that such files do not need. An array is passed to numpy only after its type,
shape and length have been checked.
"""

import io
import math
import pickle
import pickletools
from typing import Any

import numpy as np

from autospace.data.errors import DataError
from autospace.spaces.errors import named

_OPCODES = frozenset({
    "PROTO", "FRAME", "STOP", "POP", "MARK", "GLOBAL", "STACK_GLOBAL", "REDUCE", "BUILD",
    "NONE", "NEWTRUE", "NEWFALSE", "INT", "BININT", "BININT1", "BININT2", "LONG", "LONG1",
    "FLOAT", "BINFLOAT", "STRING", "BINSTRING", "SHORT_BINSTRING", "UNICODE", "BINUNICODE",
    "SHORT_BINUNICODE", "BINBYTES", "SHORT_BINBYTES", "BYTEARRAY8", "EMPTY_TUPLE", "TUPLE",
    "TUPLE1", "TUPLE2", "TUPLE3", "EMPTY_LIST", "LIST", "APPEND", "APPENDS", "EMPTY_DICT", "DICT",
    "SETITEM", "SETITEMS", "PUT", "BINPUT", "LONG_BINPUT", "MEMOIZE", "GET", "BINGET",
    "LONG_BINGET",
})  # fmt: skip
_PUTS = frozenset({"PUT", "BINPUT", "LONG_BINPUT"})
_MOST_OPCODES = 2_000_000
_MOST_ENCODED_BYTES = 512 * 2**20


def read_pickle(where: str, content: bytes) -> dict[str, Any]:
    """Reads a pickled dictionary of numbers, strings, lists and uint8 arrays.

    Args:
        where: The file to name in messages.
        content: The whole pickle, protocol 0 to 5.

    Returns:
        The dictionary, its keys as text; arrays are uint8.

    Raises:
        DataError: The pickle is damaged, or holds anything else.
    """
    try:
        _check_opcodes(where, content)
        value = _Reader(where, io.BytesIO(content)).load()
    except DataError:
        raise
    except Exception as error:  # A damaged pickle can make the interpreter fail in any way.
        raise DataError(
            f"{where}: is not a readable pickle ({type(error).__name__}); "
            "allowed: a file of the official archive"
        ) from error
    if not isinstance(value, dict):
        raise DataError(f"{where}: holds {named(type(value).__name__)}; allowed: a dictionary")
    return {_text(key): _plain(where, item) for key, item in value.items()}


def _check_opcodes(where: str, content: bytes) -> None:
    for count, (opcode, argument, _) in enumerate(pickletools.genops(content)):
        if opcode.name not in _OPCODES:
            raise DataError(f"{where}: pickle opcode {opcode.name} is not allowed in this file")
        # The interpreter allocates its memo up to the largest index, whatever the file's size.
        if count > _MOST_OPCODES or _memo_index(opcode, argument) > _MOST_OPCODES:
            raise DataError(
                f"{where}: the pickle has more than the {_MOST_OPCODES} steps that are allowed"
            )


def _memo_index(opcode: pickletools.OpcodeInfo, argument: object) -> int:
    return argument if opcode.name in _PUTS and isinstance(argument, int) else 0


class _Array:
    """Stands for a numpy array while its pickle is read."""

    __slots__ = ("state",)

    state: object

    def __setstate__(self, state: object) -> None:
        self.state = state

    def build(self, where: str) -> np.ndarray:
        match self.state:
            case (int(), tuple() as shape, _Type(name="u1"), order, bytes() as values):
                pass
            case _:
                raise DataError(f"{where}: holds an array of another type; allowed: uint8")
        # Checked before anything is computed or printed: extents may be huge, or no numbers.
        if len(shape) > 4 or not all(type(n) is int and 0 <= n <= len(values) for n in shape):
            raise DataError(f"{where}: the shape of an array does not fit its {len(values)} bytes")
        if math.prod(shape) != len(values):
            raise DataError(
                f"{where}: an array of shape {shape} has {len(values)} bytes; "
                f"allowed: {math.prod(shape)}"
            )
        flat = np.frombuffer(values, dtype=np.uint8)
        return flat.reshape(shape, order="F" if order else "C")


class _Type:
    """Stands for a numpy dtype while its pickle is read."""

    __slots__ = ("name",)

    def __init__(self, name: str) -> None:
        self.name = name

    def __setstate__(self, state: object) -> None:
        """Ignores byte order and alignment: one byte has neither."""


class _Reader(pickle.Unpickler):
    """An unpickler whose only callables are its own methods."""

    def __init__(self, where: str, content: io.BytesIO) -> None:
        # Strings of Python 2 become bytes: that is what array contents are.
        super().__init__(content, encoding="bytes")
        self._where = where
        self._encoded = 0

    def find_class(self, module: str, name: str) -> object:
        # Bound methods, because a pickle may try to set attributes of what it gets here.
        known: dict[tuple[str, str], object] = {
            ("numpy.core.multiarray", "_reconstruct"): self._make_array,
            ("numpy._core.multiarray", "_reconstruct"): self._make_array,
            ("numpy", "ndarray"): "ndarray",
            ("numpy", "dtype"): self._make_type,
            ("numpy.core.numeric", "_frombuffer"): self._from_buffer,
            ("numpy._core.numeric", "_frombuffer"): self._from_buffer,
            ("_codecs", "encode"): self._encode,
        }
        if (module, name) not in known:
            asked = f"{module}.{name}"[:80]
            raise DataError(
                f"{self._where}: the pickle asks for {asked}, which is not allowed; "
                "nothing was executed"
            )
        return known[module, name]

    def _make_array(self, *_: object) -> _Array:
        return _Array()

    def _from_buffer(
        self, values: object, kind: object, shape: object, order: object, *_: object
    ) -> _Array:
        content = bytes(values) if isinstance(values, bytes | bytearray) else values
        array = _Array()
        array.state = (1, shape, kind, _text(order) == "F", content)
        return array

    def _make_type(self, name: object, *_: object) -> _Type:
        return _Type(_text(name))

    def _encode(self, text: object, encoding: object) -> bytes:
        if not isinstance(text, str) or _text(encoding) != "latin1":
            raise DataError(f"{self._where}: the pickle encodes something other than array bytes")
        self._encoded += len(text)
        if self._encoded > _MOST_ENCODED_BYTES:
            raise DataError(f"{self._where}: the pickle holds more than 512 MiB")
        return text.encode("latin1")


def _text(value: object) -> str:
    if isinstance(value, bytes):
        return value.decode("utf-8", "replace")
    return value if isinstance(value, str) else repr(type(value))


def _plain(where: str, value: object) -> object:
    return value.build(where) if isinstance(value, _Array) else value
