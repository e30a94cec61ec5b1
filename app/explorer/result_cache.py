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
    """The latest results by their keys. While one is computed, only threads that want the same one wait.

    For what takes a moment; `background` is for what takes long.
    """

    def __init__(self, size: int) -> None:
        self._size = size
        self._results: OrderedDict[Hashable, object] = OrderedDict()
        self._lock = threading.Lock()
        self._locks: dict[Hashable, threading.Lock] = {}

    def get(self, key: Hashable, compute: Callable[[], Result]) -> Result:
        """The result under this key, computed if there is none; an error is not kept.

        `compute` must not draw on the page: Streamlit ends a session's script there, in the middle of the computation.
        """
        with self._lock:
            own = self._locks.setdefault(key, threading.Lock())
        with own:
            with self._lock:
                if key in self._results:
                    self._results.move_to_end(key)
                    return self._results[key]  # type: ignore[return-value]
            result = compute()
            with self._lock:
                self._results[key] = result
                while len(self._results) > self._size:
                    self._locks.pop(self._results.popitem(last=False)[0], None)
            return result

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
