"""The result of a command, what is printed while it works, and the folder it writes to."""

from __future__ import annotations

import argparse
import contextlib
import functools
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lvm_probe import InputError
from lvm_probe.models.io.files import check_writable
from lvm_probe.models.io.lock import locked
from lvm_probe.probing.progress import bar

if TYPE_CHECKING:
    import pandas as pd

    from lvm_probe.probing.corpora.corpus import Corpus

SHOWN_FILES = 20


@dataclass(frozen=True)
class Output:
    """The result of a command: with `--json` the document is printed, else the text."""

    document: dict[str, Any]
    text: str


def exclusive_output_folder(run: Callable[[argparse.Namespace], Output]) -> Callable[[argparse.Namespace], Output]:
    """Hold an exclusive lock on the `--out` folder while the command runs; a second command there is refused.

    Of several processes that train together (`--devices`) the first holds the lock for all.
    """

    @functools.wraps(run)
    def with_lock(args: argparse.Namespace) -> Output:

        if getattr(args, "devices", 1) > 1:
            from lvm_probe.models.training.distributed import is_secondary_process

            if is_secondary_process():
                return run(args)
        check_writable(Path(args.out))
        with locked(Path(args.out)):
            return run(args)

    return with_lock


def csv_file(name: str | Path) -> Path:
    """The `--out` file of a table of results; raises InputError where it cannot be written."""

    path = Path(name)
    check_writable(path.parent)
    if path.is_dir():
        raise InputError(f"{path}: a folder; give --out the name of a CSV file")
    check_outside_tables(path)
    return path


def check_outside_tables(path: Path, option: str = "") -> None:
    """Raise InputError where a file or folder to be written lies in a token table, or is one."""
    from lvm_probe.probing.features.token_table import EXTRACTION

    place = path.resolve()
    if any((folder / EXTRACTION).exists() for folder in (place, *place.parents)):
        raise InputError(f"{option}{path}: inside a token table, where all files are its parts; choose another folder")


def print_left_out(reasons: Sequence[str]) -> None:
    """Name on standard error what had to be left out, one line each."""
    for reason in reasons:
        print(f"left out: {reason}", file=sys.stderr)


def print_changed_files(corpus: Corpus, left_out: Sequence[str] = ()) -> list[str]:
    """Name on standard error the corpus files that changed during the command, except those already left out."""
    changed = [line for line in corpus.changed() if not any(reason.startswith(line) for reason in left_out)]
    for line in changed[:SHOWN_FILES]:
        print(f"notice: {line}; the result describes its earlier content", file=sys.stderr)
    if len(changed) > SHOWN_FILES:
        print(f"notice: ... and {len(changed) - SHOWN_FILES} files more", file=sys.stderr)
    return changed


def rows_as_json(frame: pd.DataFrame) -> list[dict[str, Any]]:
    """The rows of a data frame, null where a number is not known."""
    columns = [
        [None if isinstance(value, float) and value != value else value for value in frame[name].tolist()]
        for name in frame
    ]
    names = [str(name) for name in frame]
    return [dict(zip(names, row, strict=True)) for row in zip(*columns, strict=True)]


@contextlib.contextmanager
def runs_bar(name: str, delay: float = 0) -> Iterator[Callable[[int, int], None]]:
    """A progress bar for `ask`, which reports the number of runs done and of all runs."""
    with bar(1, name, unit="", delay=delay) as advance:
        yield lambda done, of: advance(1 / of)


def plural(count: int, noun: str) -> str:
    """`1 speaker`, `2 speakers`."""
    return f"{count:,} {noun}{'' if count == 1 else 's'}"


def in_columns(rows: Sequence[Sequence[str]], left: int = 0) -> list[str]:
    """Lines of a table: the first `left` columns flush left, the others flush right."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return [
        "  ".join(
            cell.ljust(w) if i < left else cell.rjust(w) for i, (cell, w) in enumerate(zip(row, widths, strict=True))
        ).rstrip()
        for row in rows
    ]
