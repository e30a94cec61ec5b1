"""What is computed once and kept: in memory while the server runs, or in the user's cache folder."""

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

Made = TypeVar("Made")


class Memory:
    """The last things computed, by what they were made of; what is being computed makes others wait for it."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._made: OrderedDict[Hashable, object] = OrderedDict()
        self._turn = threading.RLock()

    def get(self, key: Hashable, make: Callable[[], Made]) -> Made:
        """What was made under this key, or `make()`; an error is not kept."""
        with self._turn:
            if key not in self._made:
                self._made[key] = make()
                while len(self._made) > self._most:
                    self._made.popitem(last=False)
            self._made.move_to_end(key)
            return self._made[key]  # type: ignore[return-value]

    def __contains__(self, key: Hashable) -> bool:
        return key in self._made


def cache_folder() -> Path:
    """`$XDG_CACHE_HOME/lvm-probe`, by default `~/.cache/lvm-probe`; it need not exist."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "lvm-probe"


def digest(*parts: object) -> str:
    """A short name for these parts: arrays by their values, paths by their file's bytes, all else by its text."""
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


def kept_array(path: Path, compute: Callable[[], np.ndarray]) -> np.ndarray:
    """The array in this file, computed and written when there is none that can be read."""
    try:
        return np.load(path, allow_pickle=False)
    except (OSError, ValueError, EOFError):
        made = compute()
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with write_atomically(path) as temporary, temporary.open("wb") as file:
            np.save(file, made, allow_pickle=False)
    except (OSError, ValueError):
        pass  # a cache that cannot be written only costs time
    return made
