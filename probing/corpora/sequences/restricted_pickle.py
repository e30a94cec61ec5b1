"""Pickles that hold containers, numbers and NumPy arrays, read without running anything that they name.

A pickle is a program. Here a short list of its instructions is obeyed, and the few names that NumPy's arrays need lead
to the stand-ins below, which note shape, type and bytes; any other name or instruction is refused. NumPy's own code for
pickles is not run either.
"""

from __future__ import annotations

import io
import math
import pickle
import re
import struct
from typing import Any, ClassVar

import numpy as np


class RefusedPickle(ValueError):
    """The pickle is damaged, or holds something other than containers, numbers and arrays."""


_OPCODES = (
    "PROTO FRAME STOP MARK POP POP_MARK "
    "NONE NEWTRUE NEWFALSE INT BININT BININT1 BININT2 LONG LONG1 LONG4 FLOAT BINFLOAT "
    "STRING BINSTRING SHORT_BINSTRING UNICODE BINUNICODE SHORT_BINUNICODE BINBYTES SHORT_BINBYTES "
    "EMPTY_TUPLE TUPLE TUPLE1 TUPLE2 TUPLE3 EMPTY_LIST LIST APPEND APPENDS EMPTY_DICT DICT SETITEM SETITEMS "
    "PUT BINPUT LONG_BINPUT GET BINGET LONG_BINGET MEMOIZE GLOBAL STACK_GLOBAL REDUCE BUILD"
)


_DEEPEST = 8
_NUMBER_TYPE = re.compile(r"[<>|=](b1|[iu][1248]|f[248])")


class _Type:
    """Stands in for `numpy.dtype`: a plain number type, or that of objects."""

    def __init__(self, name: Any, *_: Any) -> None:
        self.name = name.decode("ascii") if isinstance(name, bytes) else str(name)
        self.order = "="

    def __setstate__(self, state: Any) -> None:
        order = state[1]
        self.order = order.decode("ascii") if isinstance(order, bytes) else str(order)

    def plain(self) -> np.dtype[Any]:
        """The number type. Raises RefusedPickle for any other."""
        if not _NUMBER_TYPE.fullmatch(self.order + self.name):
            raise RefusedPickle(f"an array of type {self.name[:20]!r}")
        return np.dtype(self.order + self.name)


class _Array:
    """Stands in for `numpy.ndarray`."""

    def __init__(self, *_: Any) -> None:
        self.content: np.ndarray | list[Any] | None = None

    def __setstate__(self, state: Any) -> None:
        _, shape, kind, fortran, data = state
        if not isinstance(kind, _Type) or not all(type(size) is int and size >= 0 for size in shape):
            raise RefusedPickle("an array of unknown type or shape")
        if isinstance(data, list):
            if kind.name != "O8" or len(data) != math.prod(shape):
                raise RefusedPickle("an array that is not filled as its shape says")
            self.content = data
            return
        flat = _numbers(kind, data)
        if flat.size != math.prod(shape):
            raise RefusedPickle("an array that is not filled as its shape says")
        self.content = flat.reshape(shape, order="F" if fortran else "C")


class _Name:
    """Stands in for the class `numpy.ndarray` where a pickle names it; cannot be called."""


def _reconstruct(*_: Any) -> _Array:
    return _Array()


def _scalar(kind: Any, data: Any) -> Any:
    if not isinstance(kind, _Type):
        raise RefusedPickle("a number of unknown type")
    return _numbers(kind, data).item()


def _encode(text: Any, encoding: Any) -> bytes:
    """Stands in for `_codecs.encode`, by which Python 3 writes bytes in old protocols."""
    if not isinstance(text, str) or encoding != "latin1":
        raise RefusedPickle("bytes in an unknown encoding")
    return text.encode("latin1")


def _no_bytes(*arguments: Any) -> bytes:
    """Stands in for `bytes`, by which Python 3 writes empty bytes in old protocols."""
    if arguments:
        raise RefusedPickle("bytes made of something else")
    return b""


def _from_buffer(buffer: Any, kind: Any, shape: Any, order: Any) -> _Array:
    """Stands in for the function by which NumPy writes arrays in protocol 5."""
    array = _Array()
    array.__setstate__((1, shape, kind, order == "F", buffer))
    return array


def _load_bytes(unpickler: Any) -> None:
    """A writable array's bytes in protocol 5; Python's own method reserves as much memory as the file asks for."""
    (size,) = struct.unpack("<Q", unpickler.read(8))
    unpickler.append(bytes(unpickler.read(size)))


def _numbers(kind: _Type, data: Any) -> np.ndarray:
    raw = data.encode("latin1") if isinstance(data, str) else data
    if not isinstance(raw, bytes):
        raise RefusedPickle("an array without bytes")
    return np.frombuffer(raw, kind.plain()).copy()


_NAMES: dict[tuple[str, str], Any] = {
    ("numpy", "ndarray"): _Name(),
    ("numpy", "dtype"): _Type,
    ("_codecs", "encode"): _encode,
    ("__builtin__", "bytes"): _no_bytes,
}
for _core in ("numpy.core", "numpy._core"):
    _NAMES[f"{_core}.multiarray", "_reconstruct"] = _reconstruct
    _NAMES[f"{_core}.multiarray", "scalar"] = _scalar
    _NAMES[f"{_core}.numeric", "_frombuffer"] = _from_buffer


class _Unpickler(pickle._Unpickler):
    """The unpickler in Python: unlike that in C, it reserves no memory because a number in the file says so."""

    dispatch: ClassVar[dict[int, Any]] = {
        **{code: pickle._Unpickler.dispatch[code] for code in (getattr(pickle, name)[0] for name in _OPCODES.split())},
        pickle.BYTEARRAY8[0]: _load_bytes,
    }

    def find_class(self, module: str, name: str) -> Any:
        """A stand-in; raises RefusedPickle for any name but those of arrays."""
        try:
            return _NAMES[module, name]
        except (KeyError, TypeError):
            raise RefusedPickle(f"names {f'{module}.{name}'[:80]!r}, which is not executed") from None


def loads(content: bytes) -> Any:
    """What a pickle holds.

    Args:
        content: the pickle, of any protocol. Strings of Python 2 are taken for Latin-1.

    Returns:
        Numbers, strings, tuples, lists and dicts, NumPy arrays of numbers, and for arrays of objects lists.

    Raises:
        RefusedPickle: it is damaged or holds anything else.

    Example:
        >>> loads(pickle.dumps({"train": [[(60, 64), ()]]}))
        {'train': [[(60, 64), ()]]}
        >>> loads(b"cos\\nsystem\\n.")
        Traceback (most recent call last):
        lvm_probe.probing.corpora.sequences.restricted_pickle.RefusedPickle: names 'os.system', which is not executed
    """
    try:
        return _Plain(len(content))(_Unpickler(io.BytesIO(content), encoding="latin1").load())
    except RefusedPickle:
        raise
    except Exception as error:  # a damaged program may fail anywhere
        raise RefusedPickle(f"damaged ({type(error).__name__})") from error


class _Plain:
    """Puts arrays in place of their stand-ins.

    A pickle can refer to one list many times, also from within lists that it refers to many times, and so seem to hold
    far more than it could; more than is plausible for its size is refused.
    """

    def __init__(self, size: int) -> None:
        self._left = 1000 + 20 * size

    def __call__(self, value: Any, depth: int = 0) -> Any:
        self._left -= 1
        if depth > _DEEPEST or self._left < 0:
            raise RefusedPickle("containers within containers without end")
        if isinstance(value, _Array):
            value = value.content
        match value:
            case list() | tuple():
                return type(value)(self(part, depth + 1) for part in value)
            case dict():
                return {self(key, depth + 1): self(part, depth + 1) for key, part in value.items()}
            case None | bool() | int() | float() | str() | bytes() | np.ndarray():
                return value
            case _:
                raise RefusedPickle(f"holds a {type(value).__name__}")
