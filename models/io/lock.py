"""Let one run at a time write to a folder."""

from __future__ import annotations

import contextlib
import fcntl
import os
import socket
import warnings
from collections.abc import Iterator
from pathlib import Path

from lvm_probe import InputError
from lvm_probe.models.io.files import remove_unfinished

LOCK = ".lock"
"""The file that a run holds locked. Files whose name begins with a dot are not data."""


@contextlib.contextmanager
def locked(folder: Path) -> Iterator[None]:
    """Hold an exclusive lock on a folder until the block ends.

    Missing folders are made, and removed again if they stay empty. Unfinished files of killed runs are removed. The
    kernel releases the lock of a process that dies, so no lock is ever stale. On a file system without locks there is a
    warning.

    Args:
        folder: to write to.

    Raises:
        InputError: if another run holds the folder, or it cannot be written.
    """
    created = _missing(folder)
    handle = _acquire(folder)
    try:
        remove_unfinished(folder)
        yield
    finally:
        if _is_same_file(folder / LOCK, handle):
            (folder / LOCK).unlink(missing_ok=True)
        os.close(handle)
        for path in created:
            with contextlib.suppress(OSError):  # not empty
                path.rmdir()


def _missing(folder: Path) -> list[Path]:
    """The folder and its parents as far as they do not exist, innermost first."""
    try:
        return [path for path in (folder, *folder.parents) if not path.exists()]
    except OSError as error:
        raise InputError(f"{folder}: cannot write here ({error.strerror}); choose another folder") from None


def _acquire(folder: Path) -> int:
    """The descriptor of the folder's lock file, locked."""
    path = folder / LOCK
    while True:
        try:
            folder.mkdir(parents=True, exist_ok=True)
            handle = os.open(path, os.O_RDWR | os.O_CREAT, 0o644)
        except FileNotFoundError:  # the run that held the folder has just removed it
            continue
        except OSError as error:
            raise InputError(f"{folder}: cannot write here ({error.strerror}); choose another folder") from None
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except (BlockingIOError, PermissionError):
            owner = _owner(handle)
            os.close(handle)
            raise InputError(
                f"{folder}: another run{owner} is writing here; wait until it ends, or choose another folder"
            ) from None
        except OSError as error:
            why = f"{folder}: cannot be locked ({error.strerror}); make sure that no other run writes to it"
            warnings.warn(why, stacklevel=4)
            return handle
        if _is_same_file(path, handle):
            with contextlib.suppress(OSError):  # a full disk is reported where data are written
                os.ftruncate(handle, 0)
                os.pwrite(handle, f"process {os.getpid()} on {socket.gethostname()}".encode(), 0)
            return handle
        os.close(handle)  # its owner removed the file after we opened it and before we locked it


def _owner(handle: int) -> str:
    """Who holds the lock, in brackets; empty if the file does not tell."""
    with contextlib.suppress(OSError):
        owner = os.pread(handle, 200, 0).decode(errors="replace")
        return f" ({owner})" if owner.isprintable() and owner else ""
    return ""


def _is_same_file(path: Path, handle: int) -> bool:
    """Whether the path leads to the open file."""
    try:
        there, ours = path.stat(), os.fstat(handle)
    except OSError:
        return False
    return (there.st_dev, there.st_ino) == (ours.st_dev, ours.st_ino)
