"""Pen strokes as formats give them, turned into the elements pen, dx, dy.

Readers give a drawing as rows of dx, dy and pen for its positions: the way from the position before, y downwards, and 1
where the pen is lifted after it. The first position only says where the drawing lies; it is left out, so that n
positions give n - 1 points, as in Chung et al. (2015), and the pen is down at the start. Strokes of a single position
that come first (a dot, as on an i) cannot be told then, and are left out too, with a notice.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from lvm_probe.probing.corpora.intake import InvalidFile
from lvm_probe.probing.corpora.sequences.sequence_corpus import SequenceCorpus, SequenceRecording, numbered


def position_matrix(path: Path, what: str, drawing: Any) -> np.ndarray:
    """A drawing as a matrix of positions x 3; raises InvalidFile for anything else."""
    if not isinstance(drawing, np.ndarray) or drawing.ndim != 2 or drawing.shape[1] != 3:
        found = f"shape {drawing.shape}" if isinstance(drawing, np.ndarray) else f"a {type(drawing).__name__}"
        raise InvalidFile(path, None, f"a drawing of {what} is {found}, not a matrix of positions x 3; fix the file")
    return drawing


def position_matrices(path: Path, what: str, drawings: Any) -> list[np.ndarray]:
    """Each drawing as `position_matrix`; raises InvalidFile for what is no list or array of drawings."""
    if not isinstance(drawings, list | np.ndarray) or (isinstance(drawings, np.ndarray) and drawings.ndim == 0):
        raise InvalidFile(path, None, f"{what} is a single {type(drawings).__name__}, not drawings; fix the file")
    return [position_matrix(path, what, drawing) for drawing in drawings]


def from_positions(positions: np.ndarray) -> np.ndarray:
    """Rows of dx, dy and pen from rows of x, y and pen; the first is from the origin.

    Example:
        >>> from_positions(np.array([[1.0, 1, 0], [3, 1, 1]]))
        array([[1., 1., 0.],
               [2., 0., 1.]])
    """
    return np.column_stack([np.diff(positions[:, :2], axis=0, prepend=0), positions[:, 2]])


def leading_dots(rows: np.ndarray) -> int:
    """How many strokes of a single position come before the first longer one."""
    return next((place for place, pen in enumerate(rows[:, 2]) if not pen), len(rows))


def elements(path: Path, what: str, rows: np.ndarray) -> np.ndarray:
    """The elements of a drawing given as rows of dx, dy, pen; none if all its strokes are dots.

    Raises:
        InvalidFile: values are no finite numbers, or pen states are neither 0 nor 1.

    Example:
        >>> elements(Path("a"), "example", np.array([[7, 7, 0], [2, 1, 1]])).tolist()
        [1.0, 2.0, 1.0]
    """
    with np.errstate(over="ignore"):  # what float32 cannot hold is refused here
        values = rows[:, (2, 0, 1)].astype(np.float32)
    if not np.isfinite(values).all():
        raise InvalidFile(path, None, f"a drawing of {what} has points that are no finite numbers; fix the file")
    if not np.isin(values[:, 0], (0, 1)).all():
        raise InvalidFile(path, None, f"a drawing of {what} has pen states other than 0 and 1; fix the file")
    return values[leading_dots(rows) + 1 :].ravel()


def dots_notice(dots: int) -> list[str]:
    """The notice about dots that were left out, if there were any."""
    return [f"left out {dots:,} strokes of a single position that come first in a drawing"] if dots else []


def corpus_of_drawings(path: Path, drawings: Mapping[str, Sequence[np.ndarray]]) -> SequenceCorpus:
    """A corpus of drawings given as rows of dx, dy, pen in splits."""
    notices: list[str] = []
    splits: dict[str, tuple[SequenceRecording, ...]] = {}
    for split, part in drawings.items():
        splits[split] = numbered(split, [elements(path, split, rows) for rows in part], notices)
    notices += dots_notice(sum(leading_dots(rows) for part in drawings.values() for rows in part))
    return SequenceCorpus(path, "strokes", splits, notices=tuple(notices))
