"""Cell arrays of numeric matrices in MATLAB files of version 5 (`save -v6`, `-v7`).

The format: MathWorks, "MAT-File Format", level 5. A file is a header and data elements; an element is a tag (type,
number of bytes) and its data, which for a matrix are elements again. SciPy reads these files too, but damaged ones can
crash it.
"""

from __future__ import annotations

import math
import struct
import zlib
from collections.abc import Collection, Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np

from lvm_probe.probing.corpora.intake import InvalidFile, read_bytes

_MOST_BYTES = 1 << 30
_HEADER = 128
_MATRIX, _COMPRESSED, _CELL = 14, 15, 1
_NUMERIC_CLASSES = range(6, 16)  # double, single, and integers of 8 to 64 bits
_COMPLEX = 0x0800
_TYPES = {1: "i1", 2: "u1", 3: "i2", 4: "u2", 5: "i4", 6: "u4", 7: "f4", 9: "f8", 12: "i8", 13: "u8"}


class _Damaged(ValueError):
    """Something in the file is not as the format has it."""


class _Element(NamedTuple):
    kind: int
    data: memoryview


class _Matrix(NamedTuple):
    """A matrix whose content is not read yet."""

    name: str
    kind: int
    shape: tuple[int, ...]
    content: list[_Element]


def read_cells(path: Path, wanted: Collection[str]) -> dict[str, list[np.ndarray]]:
    """Read variables that are cell arrays of numeric matrices.

    Args:
        path: the file.
        wanted: names of variables; others are not read.

    Returns:
        By name the matrices in the order of the cells, columns first; names that the file lacks are left out.

    Raises:
        InvalidFile: the file is damaged, of another version, or one of the variables is something else.
    """
    content = read_bytes(path, _MOST_BYTES)
    try:
        order = _byte_order(content)
        found: dict[str, list[np.ndarray]] = {}
        for element in _expanded(memoryview(content)[_HEADER:], order):
            if element.kind == _MATRIX:
                matrix = _matrix(element, order)
                if matrix.name in wanted:
                    found[matrix.name] = _cells(matrix, order)
        return found
    except (_Damaged, struct.error, zlib.error, UnicodeDecodeError) as error:
        raise InvalidFile(path, None, f"not a MATLAB file of cell arrays ({error}); restore it") from error


def _byte_order(content: bytes) -> str:
    if len(content) < _HEADER or content[126:128] not in (b"IM", b"MI"):
        raise _Damaged("its header is not that of version 5")
    order = "<" if content[126:128] == b"IM" else ">"
    (version,) = struct.unpack(f"{order}H", content[124:126])
    if version != 0x0100:
        raise _Damaged(f"version {version:#06x}, which is not read: save it with -v7")
    return order


def _elements(data: memoryview, order: str) -> Iterator[_Element]:
    """The elements that follow each other."""
    at = 0
    while len(data) - at >= 8:
        kind, size = struct.unpack(f"{order}II", data[at : at + 8])
        if kind >> 16:  # a small element: its size in the upper half, its data in place of the size
            kind, size, start, end = kind & 0xFFFF, kind >> 16, at + 4, at + 8
            if size > 4:
                raise _Damaged(f"a small element of {size} bytes")
        else:
            start = at + 8
            end = start + size if kind == _COMPRESSED else start + -(-size // 8) * 8
        if start + size > len(data):
            raise _Damaged("it ends within an element")
        at = end
        yield _Element(kind, data[start : start + size])


def _expanded(data: memoryview, order: str) -> Iterator[_Element]:
    """The elements of a file, with those in compressed ones."""
    for element in _elements(data, order):
        if element.kind != _COMPRESSED:
            yield element
            continue
        unpack = zlib.decompressobj()
        whole = unpack.decompress(element.data, _MOST_BYTES)
        if not unpack.eof:
            raise _Damaged("a compressed element is cut off or too large")
        yield from _elements(memoryview(whole), order)


def _matrix(element: _Element, order: str) -> _Matrix:
    """Flags, dimensions and name of a matrix."""
    match list(_elements(element.data, order)):
        case [flags, dimensions, name, *content] if len(flags.data) == 8 and dimensions.kind == 5:
            (flag, _) = struct.unpack(f"{order}II", flags.data)
            if len(dimensions.data) % 4:
                raise _Damaged("a matrix without whole dimensions")
            if flag & _COMPLEX:
                raise _Damaged("it holds complex numbers")
            shape = tuple(int(size) for size in np.frombuffer(dimensions.data, f"{order}i4"))
            return _Matrix(bytes(name.data).decode("ascii"), flag & 0xFF, shape, content)
        case _:
            raise _Damaged("a matrix without flags, dimensions and name")


def _cells(matrix: _Matrix, order: str) -> list[np.ndarray]:
    if matrix.kind != _CELL:
        raise _Damaged(f"{matrix.name} is no cell array")
    if len(matrix.content) != math.prod(matrix.shape) or any(cell.kind != _MATRIX for cell in matrix.content):
        raise _Damaged(f"{matrix.name} does not hold the cells that it announces")
    return [_numbers(_matrix(cell, order), order) for cell in matrix.content]


def _numbers(matrix: _Matrix, order: str) -> np.ndarray:
    if matrix.kind not in _NUMERIC_CLASSES or len(matrix.content) != 1 or matrix.content[0].kind not in _TYPES:
        raise _Damaged("a cell is no matrix of numbers")
    (element,) = matrix.content
    dtype = np.dtype(order + _TYPES[element.kind])
    if len(element.data) != math.prod(matrix.shape) * dtype.itemsize:
        raise _Damaged("a matrix does not hold the numbers that it announces")
    return np.frombuffer(element.data, dtype).reshape(matrix.shape, order="F")
