"""One run at a time in a folder."""

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
"""The file that a run holds in its folder. Names that begin with a dot are nobody's data."""


@contextlib.contextmanager
def locked(folder: Path) -> Iterator[None]:
    """Hold a folder until the block ends; InputError, naming the folder, while another run holds it.

    Folders are made, and go again if nothing was put there. What a killed run left unfinished is cleared away. The
    kernel frees the lock of a process that dies, however it dies, so that none is ever stale. Where the file system
    knows no locks there is a warning.
    """
    made = _missing(folder)
    handle = _taken(folder)
    try:
        remove_unfinished(folder)
        yield
    finally:
        if _is(folder / LOCK, handle):
            (folder / LOCK).unlink(missing_ok=True)
        os.close(handle)
        for path in made:
            with contextlib.suppress(OSError):  # not empty
                path.rmdir()


def _missing(folder: Path) -> list[Path]:
    """The folder and those around it that are not there, the innermost first."""
    try:
        return [path for path in (folder, *folder.parents) if not path.exists()]
    except OSError as error:
        raise InputError(f"{folder}: cannot write here ({error.strerror}); choose another folder") from None


def _taken(folder: Path) -> int:
    """The open lock file of the folder, locked."""
    path = folder / LOCK
    while True:
        try:
            folder.mkdir(parents=True, exist_ok=True)
            handle = os.open(path, os.O_RDWR | os.O_CREAT, 0o644)
        except FileNotFoundError:  # whoever had the folder has just removed it, empty
            continue
        except OSError as error:
            raise InputError(f"{folder}: cannot write here ({error.strerror}); choose another folder") from None
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except (BlockingIOError, PermissionError):
            who = _owner(handle)
            os.close(handle)
            raise InputError(
                f"{folder}: another run{who} is writing here; wait for its end, or choose another folder"
            ) from None
        except OSError as error:
            why = f"{folder}: cannot be locked ({error.strerror}); see to it that no other run writes to it"
            warnings.warn(why, stacklevel=4)
            return handle
        if _is(path, handle):
            with contextlib.suppress(OSError):  # a full disk is told of where it matters
                os.ftruncate(handle, 0)
                os.pwrite(handle, f"process {os.getpid()} on {socket.gethostname()}".encode(), 0)
            return handle
        os.close(handle)  # removed by the one who had it, between our opening and locking it


def _owner(handle: int) -> str:
    """Who holds the lock, in brackets, as far as it says so."""
    with contextlib.suppress(OSError):
        said = os.pread(handle, 200, 0).decode(errors="replace")
        return f" ({said})" if said.isprintable() and said else ""
    return ""


def _is(path: Path, handle: int) -> bool:
    """Whether the path still leads to the open file."""
    try:
        there, ours = path.stat(), os.fstat(handle)
    except OSError:
        return False
    return (there.st_dev, there.st_ino) == (ours.st_dev, ours.st_ino)
