"""Write files so that they appear whole or not at all."""

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
"""The ending of a file's name while it is being written; a dot precedes the name."""

_DISK_ERRORS = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EIO, errno.EROFS})


@contextlib.contextmanager
def write_atomically(path: Path) -> Iterator[Path]:
    """A temporary file beside `path` that is renamed to `path` if the block ends without an error.

    Missing folders are made. The data are on the disk before the renaming, so that neither a full disk nor a power
    failure leaves a truncated file.

    Args:
        path: of the file.

    Yields:
        Path of the temporary file, which exists and is empty.

    Raises:
        InputError: in place of an OSError, also of one inside the block; it names `path`.

    Example:
        >>> import tempfile
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     with write_atomically(Path(folder) / "new" / "a.txt") as temporary:
        ...         _ = temporary.write_text("text")
        ...     (Path(folder) / "new" / "a.txt").read_text()
        'text'
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, name = tempfile.mkstemp(prefix=f".{path.name}.", suffix=UNFINISHED, dir=path.parent)
    except OSError as error:
        raise InputError(f"{path}: cannot write here ({error.strerror}); choose another folder") from None
    temporary = Path(name)
    try:
        with contextlib.suppress(OSError):  # without locks, `remove_unfinished` removes nothing
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
    """Turn an OSError in the block into an InputError that names `path`.

    Also other errors that a full disk led to, as when a library fails again while it closes the file.
    """
    try:
        yield
    except InputError:
        raise
    except Exception as error:
        cause: BaseException | None = error
        while not (cause is None or (isinstance(cause, OSError) and (cause is error or cause.errno in _DISK_ERRORS))):
            cause = cause.__context__
        if cause is None:
            raise
        why = cause.strerror or cause
        raise InputError(f"{path}: cannot write ({why}); free some space or choose another folder") from None


def remove_unfinished(folder: Path) -> None:
    """Remove the temporary files of killed processes; those still being written hold a lock and stay."""
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


def holds_data(folder: Path) -> bool:
    """Whether a folder holds files or folders; hidden ones, such as a run's lock, are not data."""
    return folder.is_dir() and any(not path.name.startswith(".") for path in folder.iterdir())


def write_json(path: Path, document: dict[str, Any]) -> None:
    """Write a JSON document, whole or not at all."""
    text = json.dumps(document, indent=2, ensure_ascii=False) + "\n"
    with write_atomically(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


def write_csv(path: Path, frame: pd.DataFrame) -> None:
    """Write a CSV file, whole or not at all."""
    with write_atomically(path) as temporary:
        frame.to_csv(temporary, index=False)
