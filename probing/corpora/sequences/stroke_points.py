"""Pen strokes as formats give them, turned into the elements pen, dx, dy.

Readers give a drawing as rows of dx, dy and pen: the way from the point before, y downwards, and 1 where the pen is
lifted after the point. How a drawing lies on the page is not kept: of positions the first point only says where the
others begin, so a drawing of n positions has n - 1 points here, as in Chung et al. (2015).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from lvm_probe.probing.corpora.intake import InvalidFile
from lvm_probe.probing.corpora.sequences.sequence_corpus import SequenceCorpus, SequenceRecording, numbered


def point_matrix(path: Path, what: str, drawing: Any) -> np.ndarray:
    """A drawing as a matrix of points x 3; raises InvalidFile for anything else."""
    if not isinstance(drawing, np.ndarray) or drawing.ndim != 2 or drawing.shape[1] != 3:
        found = f"shape {drawing.shape}" if isinstance(drawing, np.ndarray) else f"a {type(drawing).__name__}"
        raise InvalidFile(path, None, f"a drawing of {what} is {found}, not a matrix of points x 3; fix the file")
    return drawing


def from_positions(positions: np.ndarray) -> np.ndarray:
    """Rows of dx, dy and pen from rows of x, y and pen: one fewer.

    Example:
        >>> from_positions(np.array([[1.0, 1, 0], [3, 1, 1], [3, 5, 1]]))
        array([[2., 0., 1.],
               [0., 4., 1.]])
    """
    return np.column_stack([np.diff(positions[:, :2], axis=0), positions[1:, 2]])


def elements(path: Path, what: str, points: np.ndarray) -> np.ndarray:
    """The elements of a drawing given as rows of dx, dy, pen; raises InvalidFile for values that there cannot be."""
    with np.errstate(over="ignore"):  # what float32 cannot hold is refused here
        values = points[:, (2, 0, 1)].astype(np.float32)
    if not np.isfinite(values).all():
        raise InvalidFile(path, None, f"a drawing of {what} has points that are no finite numbers; fix the file")
    if not np.isin(values[:, 0], (0, 1)).all():
        raise InvalidFile(path, None, f"a drawing of {what} has pen states other than 0 and 1; fix the file")
    return values.ravel()


def corpus_of_points(
    path: Path, drawings: Mapping[str, Sequence[np.ndarray]], notices: Sequence[str] = ()
) -> SequenceCorpus:
    """A corpus of drawings given as rows of dx, dy, pen in splits.

    If all of them begin with a point at 0, 0, as those of Omniglot do, that point is left out, with a notice: a model
    that knows it beforehand would have an unbounded density there.
    """
    noted = list(notices)
    every = [points for part in drawings.values() for points in part if len(points)]
    skip = int(bool(every) and not any(points[0, :2].any() for points in every))
    if skip:
        noted.append("left out the first point of every drawing, which is 0, 0 in all of them")
    splits: dict[str, tuple[SequenceRecording, ...]] = {}
    for split, part in drawings.items():
        splits[split] = numbered(split, [elements(path, split, points[skip:]) for points in part], noted)
    return SequenceCorpus(path, "strokes", splits, notices=tuple(noted))
