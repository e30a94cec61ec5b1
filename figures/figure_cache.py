"""The folder of figures and what each was made from, so that nothing up to date is drawn again.

Next to the files lies `.figures.json`, with the digest of everything that each figure or table was made from, and the
digests of its files. It is written after each of them, so that an interruption loses only the one at work.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import shutil
from collections.abc import Iterable
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

_NOT_DRAWING = ("collection.py", "figure_cache.py", "html_report.py", "registry.py", "report_contents.py")


@dataclass(frozen=True)
class ReportItem:
    """A figure or table in the folder, and what the report prints of it.

    `files` are the names of its files with their SHA-256; a table has the cells that it prints, a figure none.
    """

    name: str
    title: str
    caption: str
    files: dict[str, str]
    head: tuple[str, ...] = ()
    rows: tuple[tuple[str, ...], ...] = ()
    text_columns: int = 1

    @classmethod
    def of(cls, name: str, title: str, caption: str, files: Iterable[Path], table: Table | None = None) -> ReportItem:
        """The item whose files have just been written."""
        digests = {path.name: _file_digest(path) for path in files}
        if table is None:
            return cls(name, title, caption, digests)
        return cls(name, title, caption, digests, table.head, table.rows, table.text_columns)


class FigureFolder:
    """The items in a folder, each with the digest of what it was made from."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._items: dict[str, tuple[str, ReportItem]] = {}
        try:
            manifest = json.loads((path / MANIFEST).read_text(encoding="utf-8"))
            self._items = {name: (str(item.pop("key")), _item(item)) for name, item in manifest["items"].items()}
        except (OSError, ValueError, TypeError, KeyError, AttributeError):
            pass  # there is no manifest, or another program's: everything is drawn

    def current(self, name: str, key: str) -> ReportItem | None:
        """The item, if it was made from what this key is the digest of, and its files are unchanged."""
        known, item = self._items.get(name, ("", None))
        if item is None or known != key:
            return None
        same = all(_file_digest(self.path / file) == digest for file, digest in item.files.items())
        return item if same else None

    def add(self, item: ReportItem, key: str) -> None:
        """Note an item that was written."""
        self._items[item.name] = key, item
        self._save()

    def remove(self, name: str) -> None:
        """Delete the files of an item that an earlier run drew from other data; those that were changed stay."""
        if name in self._items:
            _, item = self._items.pop(name)
            for file, digest in item.files.items():
                if _file_digest(self.path / file) == digest:
                    (self.path / file).unlink(missing_ok=True)
            self._save()

    def _save(self) -> None:
        items = {name: {"key": key, **asdict(item)} for name, (key, item) in sorted(self._items.items())}
        write_json(self.path / MANIFEST, {"items": items})


class AnswerCache(dict[tuple[str, Question], Answer]):
    """Answers by their table's path and question, kept on disk until all figures are drawn.

    Several figures share a question that may take minutes: after an interruption it need not be asked again. `key` is
    the digest of the tables.
    """

    def __init__(self, folder: Path, key: str) -> None:
        self._path, self._key = folder / ANSWERS, key

    def __missing__(self, asked: tuple[str, Question]) -> Answer:
        folder = self._folder(asked)
        try:
            notes = json.loads((folder / "notes.json").read_text(encoding="utf-8"))["notes"]
            results, confusion = (pd.read_parquet(folder / f"{name}.parquet") for name in ("results", "confusion"))
        except (OSError, ValueError, KeyError, TypeError, pa.ArrowException):
            raise KeyError(asked) from None
        answer = Answer(asked[1], results, confusion, tuple(notes))
        super().__setitem__(asked, answer)
        return answer

    def __setitem__(self, asked: tuple[str, Question], answer: Answer) -> None:
        super().__setitem__(asked, answer)
        folder = self._folder(asked)
        with contextlib.suppress(InputError):  # if it cannot be written, it is asked again
            for name, frame in (("results", answer.frame), ("confusion", answer.confusion)):
                with write_atomically(folder / f"{name}.parquet") as temporary:
                    frame.to_parquet(temporary)
            write_json(folder / "notes.json", {"notes": answer.notes})  # last: it shows that the others are complete

    def clear(self) -> None:
        """Forget all answers, of other runs too."""
        super().clear()
        shutil.rmtree(self._path, ignore_errors=True)

    def _folder(self, asked: tuple[str, Question]) -> Path:
        path, question = asked
        return self._path / digest([self._key, path, asdict(question)])


def _item(fields: dict[str, Any]) -> ReportItem:
    """An item from the manifest; file names must not have folders."""
    if any(Path(file).name != file for file in fields["files"]):
        raise ValueError("a file outside the folder")
    rows = tuple(tuple(row) for row in fields.pop("rows"))
    return ReportItem(**{**fields, "head": tuple(fields["head"]), "rows": rows})


def digest(made_from: Any) -> str:
    """SHA-256 of what an item is made from (JSON types), and of the code that draws."""
    text = json.dumps([made_from, _code_digest()], sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()


def table_digest(table: TokenTable) -> str:
    """SHA-256 of a token table's files."""
    names = [EXTRACTION, *(part_name(i) for i in range(table.extraction.get("parts", 0)))]
    text = "".join(f"{name} {_file_digest(table.path / name)}\n" for name in names)
    return hashlib.sha256(text.encode()).hexdigest()


@cache
def _code_digest() -> str:
    """SHA-256 of the modules of this folder that draw."""
    sources = sorted(path for path in Path(__file__).parent.glob("*.py") if path.name not in _NOT_DRAWING)
    return hashlib.sha256("".join(map(_file_digest, sources)).encode()).hexdigest()


def _file_digest(path: Path) -> str:
    """SHA-256 of a file; empty if it cannot be read."""
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError:
        return ""
