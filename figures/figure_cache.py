"""The folder of figures: what it holds, made from what, so that nothing is drawn twice.

Beside the files lies `.figures.json`, which says of each figure or table the digest of all it was made from and the
digests of its files. It is written after every one of them, so that an interruption loses the one at work.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import shutil
from collections.abc import Iterable, Iterator, MutableMapping
from dataclasses import asdict, dataclass
from functools import cache
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa

from lvm_probe import InputError
from lvm_probe.figures.table_format import Table
from lvm_probe.models.io.files import write_atomically, write_json
from lvm_probe.probing.features.token_table import EXTRACTION, TokenTable, part_name
from lvm_probe.probing.questions.question import Question
from lvm_probe.probing.questions.results import Answer

MANIFEST = ".figures.json"
ANSWERS = ".answers"


@dataclass(frozen=True)
class Piece:
    """A figure or table as it lies in the folder, and what the report prints of it.

    `files` are the names of its files with their SHA-256; a table has the cells that it printed, a figure none.
    """

    name: str
    title: str
    caption: str
    files: dict[str, str]
    head: tuple[str, ...] = ()
    rows: tuple[tuple[str, ...], ...] = ()
    text_columns: int = 1

    @classmethod
    def of(cls, name: str, title: str, caption: str, files: Iterable[Path], table: Table | None = None) -> Piece:
        """The piece whose files have just been written."""
        digests = {path.name: _digest(path) for path in files}
        cells = {"head": table.head, "rows": table.rows, "text_columns": table.text_columns} if table else {}
        return cls(name, title, caption, digests, **cells)  # type: ignore[arg-type]


class Folder:
    """The pieces in a folder, each with the key of what it was made from."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._pieces: dict[str, tuple[str, Piece]] = {}
        try:
            said = json.loads((path / MANIFEST).read_text(encoding="utf-8"))
            for name, one in said["pieces"].items():
                self._pieces[name] = str(one.pop("key")), _piece(one)
        except (OSError, ValueError, TypeError, KeyError, AttributeError):
            self._pieces = {}  # none yet, or not ours: everything is drawn

    def current(self, name: str, key: str) -> Piece | None:
        """The piece, if it was made from just this and its files are as they were written."""
        known, piece = self._pieces.get(name, ("", None))
        if piece is None or known != key:
            return None
        same = all(_digest(self.path / file) == digest for file, digest in piece.files.items())
        return piece if same else None

    def keep(self, piece: Piece, key: str) -> None:
        """Note a piece that was written."""
        self._pieces[piece.name] = key, piece
        self._save()

    def drop(self, name: str) -> None:
        """Remove what an earlier run drew of this, from other data: it would be taken for today's."""
        if name in self._pieces:
            _, piece = self._pieces.pop(name)
            for file, digest in piece.files.items():
                if _digest(self.path / file) == digest:
                    (self.path / file).unlink(missing_ok=True)
            self._save()

    def _save(self) -> None:
        pieces = {name: {"key": key, **asdict(piece)} for name, (key, piece) in sorted(self._pieces.items())}
        write_json(self.path / MANIFEST, {"pieces": pieces})


class Answers(MutableMapping[tuple[str, Question], Answer]):
    """Answers by their table's path and question, kept in the folder while it is being drawn.

    Several figures rest on one question, which may take minutes: a run that goes on after an interruption need not ask
    it again. `key` is the digest of the tables. `clear` removes what was kept when all is drawn.
    """

    def __init__(self, folder: Path, key: str) -> None:
        self._path, self._key = folder / ANSWERS, key
        self._here: dict[tuple[str, Question], Answer] = {}

    def __getitem__(self, asked: tuple[str, Question]) -> Answer:
        if asked not in self._here:
            at = self._at(asked)
            try:
                notes = json.loads((at / "notes.json").read_text(encoding="utf-8"))["notes"]
                results, confusion = (pd.read_parquet(at / f"{name}.parquet") for name in ("results", "confusion"))
            except (OSError, ValueError, KeyError, TypeError, pa.ArrowException):
                raise KeyError(asked) from None
            self._here[asked] = Answer(asked[1], results, confusion, tuple(notes))
        return self._here[asked]

    def __setitem__(self, asked: tuple[str, Question], answer: Answer) -> None:
        self._here[asked] = answer
        at = self._at(asked)
        with contextlib.suppress(InputError):  # what cannot be kept is asked again
            for name, frame in (("results", answer.frame), ("confusion", answer.confusion)):
                with write_atomically(at / f"{name}.parquet") as temporary:
                    frame.to_parquet(temporary)
            write_json(at / "notes.json", {"notes": answer.notes})  # last: it says that the others are there

    def __delitem__(self, asked: tuple[str, Question]) -> None:
        self._here.pop(asked, None)
        shutil.rmtree(self._at(asked), ignore_errors=True)

    def __iter__(self) -> Iterator[tuple[str, Question]]:
        return iter(self._here)

    def __len__(self) -> int:
        return len(self._here)

    def clear(self) -> None:
        """Forget all, of other runs too."""
        self._here.clear()
        shutil.rmtree(self._path, ignore_errors=True)

    def _at(self, asked: tuple[str, Question]) -> Path:
        path, question = asked
        return self._path / key([self._key, path, asdict(question)])


def _piece(said: dict[str, Any]) -> Piece:
    """A piece as the manifest has it; file names without folders."""
    if any(Path(file).name != file for file in said["files"]):
        raise ValueError("a file outside the folder")
    rows = tuple(tuple(row) for row in said.pop("rows"))
    return Piece(**{**said, "head": tuple(said["head"]), "rows": rows})


def key(inputs: Any) -> str:
    """The digest of everything (JSON types) that a piece is made from, and of the code that draws it."""
    text = json.dumps([inputs, _code()], sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()


def table_digest(table: TokenTable) -> str:
    """SHA-256 of a token table's files."""
    names = [EXTRACTION, *(part_name(i) for i in range(table.extraction.get("parts", 0)))]
    return hashlib.sha256("".join(f"{name} {_digest(table.path / name)}\n" for name in names).encode()).hexdigest()


@cache
def _code() -> str:
    """SHA-256 of the modules of this folder that draw."""
    about = ("figure_cache.py", "registry.py", "html_report.py", "collection.py", "report_contents.py")
    sources = sorted(path for path in Path(__file__).parent.glob("*.py") if path.name not in about)
    return hashlib.sha256("".join(_digest(path) for path in sources).encode()).hexdigest()


def _digest(path: Path) -> str:
    """SHA-256 of a file; empty where it cannot be read."""
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError:
        return ""
