"""Files appear whole or not at all."""

from __future__ import annotations

import contextlib
import errno
import fcntl
import json
import os
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lvm_probe import InputError

if TYPE_CHECKING:
    import pandas as pd

UNFINISHED = ".unfinished"
"""How the name of a file ends, after a dot before it, while it is being written."""

_FULL = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EIO, errno.EROFS})


@contextlib.contextmanager
def write_atomically(path: Path) -> Iterator[Path]:
    """A temporary path beside `path` that takes its name only when the block ends without an error.

    Folders are made. An OSError, in the block too, becomes an InputError that names `path`. The file is on the disk
    before it takes its name, so that a disk which says only then that it is full, or a machine that loses power, leaves
    no file cut short either.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, name = tempfile.mkstemp(prefix=f".{path.name}.", suffix=UNFINISHED, dir=path.parent)
    except OSError as error:
        raise InputError(f"{path}: cannot write here ({error.strerror}); choose another folder") from None
    temporary = Path(name)
    try:
        with contextlib.suppress(OSError):  # where there are no locks, what is unfinished is never cleared away
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        with reporting_write_errors(path):
            yield temporary
            os.fsync(handle)
            temporary.chmod(0o644)
            temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)
        os.close(handle)


@contextlib.contextmanager
def reporting_write_errors(path: Path) -> Iterator[None]:
    """An OSError in the block becomes an InputError that names `path`, which could not be written.

    So does what a library makes of a full disk when it stumbles over it a second time, in closing the file.
    """
    try:
        yield
    except InputError:
        raise
    except Exception as error:
        found: BaseException | None = error
        while not (found is None or (isinstance(found, OSError) and (found is error or found.errno in _FULL))):
            found = found.__context__
        if found is None:
            raise
        why = found.strerror or found
        raise InputError(f"{path}: cannot write ({why}); free some space or choose another folder") from None


def remove_unfinished(folder: Path) -> None:
    """Remove from a folder what `write_atomically` was at when its process was killed.

    Whoever is still writing holds a lock on the file, which is then left alone.
    """
    for path in folder.glob(f".*{UNFINISHED}"):
        with contextlib.suppress(OSError):
            handle = os.open(path, os.O_RDWR | os.O_NOFOLLOW)
            try:
                fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
                path.unlink()
            finally:
                os.close(handle)


def check_writable(folder: Path) -> None:
    """Raise InputError when a folder can neither be written to nor be made; makes nothing."""
    nearest = next(path for path in (folder.absolute(), *folder.absolute().parents) if path.exists())
    if not nearest.is_dir() or not os.access(nearest, os.W_OK):
        why = "may not be written to" if nearest.is_dir() else "is a file"
        raise InputError(f"{folder}: cannot write here ({nearest} {why}); choose another folder")


def write_json(path: Path, document: dict[str, Any]) -> None:
    """Write a JSON document, whole or not at all."""
    text = json.dumps(document, indent=2, ensure_ascii=False) + "\n"
    with write_atomically(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


def write_csv(path: Path, frame: pd.DataFrame) -> None:
    """Write a CSV file, whole or not at all."""
    with write_atomically(path) as temporary:
        frame.to_csv(temporary, index=False)
