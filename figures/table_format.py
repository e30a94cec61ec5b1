"""A table of results as text, LaTeX and CSV."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from textwrap import wrap
from typing import Any

import pandas as pd

from lvm_probe.figures import style
from lvm_probe.models.io.files import write_atomically, write_csv

Column = tuple[str, Callable[[dict[Any, Any]], str]]
"""The head of a printed column, and its cell for a row of numbers."""

_LINE = 110  # letters in a line of a caption

_LATEX = {
    "\\": r"\textbackslash{}", "&": r"\&", "%": r"\%", "_": r"\_", "#": r"\#", "$": r"\$", "{": r"\{", "}": r"\}",
    "~": r"\textasciitilde{}", "^": r"\textasciicircum{}", "≤": r"$\leq$", "≥": r"$\geq$", "≈": r"$\approx$",
    "<": r"$<$", ">": r"$>$", "−": r"$-$", "–": "--",
}  # fmt: skip


@dataclass(frozen=True)
class Table:
    """A table to print, and its numbers.

    Attributes:
        title: its heading in the report.
        head: names of the printed columns.
        rows: the printed cells.
        caption: what was measured, and on what.
        frame: the same rows as numbers, in full precision.
        text_columns: number of leading columns that hold text and are aligned left; the others are aligned right.
    """

    title: str
    head: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    caption: str
    frame: pd.DataFrame
    text_columns: int = 1

    @classmethod
    def of(
        cls, title: str, frame: pd.DataFrame, columns: Sequence[Column], caption: str, text_columns: int = 1
    ) -> Table:
        """The table whose cells are made from the rows of numbers."""
        head = tuple(name for name, _ in columns)
        rows = tuple(tuple(cell(row) for _, cell in columns) for row in frame.to_dict("records"))
        return cls(title, head, rows, caption, frame, text_columns)

    def as_text(self) -> str:
        """Title, columns and caption."""
        cells = [self.head, *self.rows]
        widths = [max(len(row[i]) for row in cells) for i in range(len(self.head))]
        lines = [
            "  ".join(
                cell.ljust(w) if i < self.text_columns else cell.rjust(w)
                for i, (cell, w) in enumerate(zip(row, widths, strict=True))
            ).rstrip()
            for row in cells
        ]
        return "\n".join([self.title, "", *lines, "", *wrap(self.caption, _LINE), ""])

    def as_latex(self) -> str:
        """A tabular with the rules of booktabs; the caption precedes it as a comment."""
        columns = "l" * self.text_columns + "r" * (len(self.head) - self.text_columns)
        return "\n".join([
            *wrap(f"{self.title}. {self.caption}", _LINE, initial_indent="% ", subsequent_indent="% "),
            rf"\begin{{tabular}}{{{columns}}}", r"\toprule", _latex_line(self.head), r"\midrule",
            *map(_latex_line, self.rows), r"\bottomrule", r"\end{tabular}", "",
        ])  # fmt: skip

    def write(self, path_stem: Path) -> list[Path]:
        """Write `path_stem`.txt, .csv and .tex, each completely or not at all.

        Raises:
            InputError: the folder cannot be written to.
        """
        text, numbers, latex = (style.beside(path_stem, kind) for kind in ("txt", "csv", "tex"))
        for path, content in ((text, self.as_text()), (latex, self.as_latex())):
            with write_atomically(path) as temporary:
                temporary.write_text(content, encoding="utf-8")
        write_csv(numbers, self.frame)
        return [text, numbers, latex]


def _latex_line(cells: Sequence[str]) -> str:
    return " & ".join("".join(_LATEX.get(c, c) for c in cell) for cell in cells) + r" \\"


def number(value: float | None, form: str) -> str:
    """The number in this format, or nothing where it is unknown."""
    return "" if value is None or pd.isna(value) else format(value, form)
