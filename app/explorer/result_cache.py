"""Results that are computed once: in memory while the server runs, or in the user's cache folder."""

from __future__ import annotations

import hashlib
import os
import threading
from collections import OrderedDict
from collections.abc import Callable, Hashable
from pathlib import Path
from typing import TypeVar

import numpy as np

from lvm_probe.models.io.files import write_atomically

Result = TypeVar("Result")


class ResultCache:
    """The latest results by their keys. While one is computed, other threads wait for it."""

    def __init__(self, size: int) -> None:
        self._size = size
        self._results: OrderedDict[Hashable, object] = OrderedDict()
        self._lock = threading.RLock()

    def get(self, key: Hashable, compute: Callable[[], Result]) -> Result:
        """The result under this key, computed if there is none; an error is not kept."""
        with self._lock:
            if key not in self._results:
                self._results[key] = compute()
                while len(self._results) > self._size:
                    self._results.popitem(last=False)
            self._results.move_to_end(key)
            return self._results[key]  # type: ignore[return-value]

    def __contains__(self, key: Hashable) -> bool:
        return key in self._results


def cache_folder() -> Path:
    """`$XDG_CACHE_HOME/lvm-probe`, by default `~/.cache/lvm-probe`; it need not exist."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "lvm-probe"


def digest(*parts: object) -> str:
    """A short hash of these parts: arrays by their values, paths by their file's bytes, anything else by its text."""
    total = hashlib.sha256()
    for part in parts:
        match part:
            case np.ndarray():
                total.update(f"{part.shape} {part.dtype} ".encode() + np.ascontiguousarray(part).tobytes())
            case Path():
                total.update(part.read_bytes())
            case _:
                total.update(repr(part).encode())
        total.update(b"\0")
    return total.hexdigest()[:20]


def cached_array(path: Path, compute: Callable[[], np.ndarray]) -> np.ndarray:
    """The array in this file; if it cannot be read, it is computed and written."""
    try:
        return np.load(path, allow_pickle=False)
    except (OSError, ValueError, EOFError):
        array = compute()
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with write_atomically(path) as temporary, temporary.open("wb") as file:
            np.save(file, array, allow_pickle=False)
    except (OSError, ValueError):
        pass  # without a cache it only takes longer next time
    return array
