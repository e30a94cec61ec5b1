"""NumPy's .npz archives, their object arrays included, read without running anything that a file names."""

from __future__ import annotations

import io
import math
import zipfile
from collections.abc import Collection
from pathlib import Path
from typing import Any

import numpy as np
from numpy.lib import format as npy

from lvm_probe.probing.corpora.intake import InvalidFile
from lvm_probe.probing.corpora.sequences.restricted_pickle import RefusedPickle, loads

_MOST_BYTES = 1 << 31  # of one array: all of QuickDraw's largest category have a twentieth of that
_SUFFIX = ".npy"


def names(path: Path) -> frozenset[str]:
    """The names of the arrays in an archive; none if it cannot be read."""
    try:
        with zipfile.ZipFile(path) as archive:
            return frozenset(name.removesuffix(_SUFFIX) for name in archive.namelist())
    except (OSError, zipfile.BadZipFile, ValueError, NotImplementedError):
        return frozenset()


def read_arrays(path: Path, wanted: Collection[str]) -> dict[str, Any]:
    """Read arrays from an archive.

    Args:
        path: the archive.
        wanted: names of arrays; others are not looked at, and those that it lacks are left out.

    Returns:
        By name an array of numbers or text, or for an array of objects a (nested) list of numbers, strings and arrays.

    Raises:
        InvalidFile: the archive is damaged, or one of these arrays holds anything else.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            found = {info.filename.removesuffix(_SUFFIX): info for info in archive.infolist()}
            return {name: _array(path, name, archive, found[name]) for name in wanted if name in found}
    except InvalidFile:
        raise
    except Exception as error:  # zipfile, zlib and NumPy's header each have errors of their own, and damage finds more
        reason = " ".join(str(error).split())[:100] or type(error).__name__
        raise InvalidFile(path, None, f"not an archive of NumPy arrays ({reason}); restore it") from error


def _array(path: Path, name: str, archive: zipfile.ZipFile, info: zipfile.ZipInfo) -> Any:
    if info.file_size > _MOST_BYTES:
        raise InvalidFile(path, None, f"array {name}: {info.file_size:,} bytes are too many; restore the file")
    if info.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
        raise InvalidFile(path, None, f"array {name} is compressed in a way that NumPy does not use; restore the file")
    file = io.BytesIO(archive.read(info))
    readers = {(1, 0): npy.read_array_header_1_0, (2, 0): npy.read_array_header_2_0}
    version = npy.read_magic(file)
    if version not in readers:
        raise InvalidFile(path, None, f"array {name} is of format {version}, which holds no numbers; restore the file")
    shape, fortran, kind = readers[version](file)
    content = file.read()
    if kind.hasobject:
        try:
            return loads(content)
        except RefusedPickle as error:
            raise InvalidFile(path, None, f"array {name}: refused, {error}; give a file of plain arrays") from error
    if kind.kind not in "biufU" or kind.itemsize * math.prod(shape) != len(content):
        raise InvalidFile(path, None, f"array {name} does not hold what it announces; restore the file")
    return np.frombuffer(content, kind).reshape(shape, order="F" if fortran else "C").copy()
