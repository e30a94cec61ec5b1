"""Pen strokes as sketch-rnn's .npz files: Omniglot, Kanji, the Sheep Market, QuickDraw.

D. Ha, D. Eck, "A neural representation of sketch drawings", ICLR 2018. Files:
https://github.com/hardmaru/sketch-rnn-datasets (Omniglot MIT; Kanji from KanjiVG, CC BY-SA 3.0), and QuickDraw's
(CC BY 4.0). Arrays of objects `train`, `valid` and `test`; a drawing is a matrix of points x (dx, dy, pen), where pen
is 1 if the pen is lifted after the point, and y grows downwards. Only the columns are reordered here, to pen, dx, dy.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from lvm_probe.probing.corpora.intake import InvalidFile
from lvm_probe.probing.corpora.sequences import npz
from lvm_probe.probing.corpora.sequences.registry import Options
from lvm_probe.probing.corpora.sequences.sequence_corpus import SequenceCorpus, SequenceRecording, numbered

DOMAINS = ("strokes",)

_SPLITS = ("train", "valid", "test")


def recognises(path: Path) -> bool:
    """A file that ends in .npz."""
    return path.suffix.lower() == ".npz" and not path.is_dir()


def read(path: Path, options: Options) -> SequenceCorpus:
    """Every drawing of the file."""
    arrays = npz.read_arrays(path, _SPLITS)
    if not arrays:
        found = ", ".join(sorted(npz.names(path))[:5]) or "nothing"
        raise InvalidFile(path, None, f"has no arrays train, valid or test, but {found}; give a file of sketch-rnn")
    notices: list[str] = []
    splits: dict[str, tuple[SequenceRecording, ...]] = {}
    for split, drawings in arrays.items():
        points = [point_matrix(path, split, drawing) for drawing in drawings]
        splits[split] = numbered(split, [pen_first(path, split, one) for one in points], notices)
    return SequenceCorpus(path, "strokes", splits, notices=tuple(notices))


def point_matrix(path: Path, what: str, drawing: Any) -> np.ndarray:
    """A drawing as a matrix of points x 3; raises InvalidFile for anything else."""
    if not isinstance(drawing, np.ndarray) or drawing.ndim != 2 or drawing.shape[1] != 3:
        found = f"shape {drawing.shape}" if isinstance(drawing, np.ndarray) else f"a {type(drawing).__name__}"
        raise InvalidFile(path, None, f"a drawing of {what} is {found}, not a matrix of points x 3; fix the file")
    return drawing


def pen_first(path: Path, what: str, points: np.ndarray) -> np.ndarray:
    """The elements of a drawing that is given as rows of dx, dy, pen; raises InvalidFile for values out of range."""
    with np.errstate(over="ignore"):  # what float32 cannot hold is refused here
        values = points[:, (2, 0, 1)].astype(np.float32)
    if not np.isfinite(values).all():
        raise InvalidFile(path, None, f"a drawing of {what} has points that are no finite numbers; fix the file")
    if not np.isin(values[:, 0], (0, 1)).all():
        raise InvalidFile(path, None, f"a drawing of {what} has pen states other than 0 and 1; fix the file")
    return values.ravel()
