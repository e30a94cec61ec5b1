"""Handwriting of the DeepWriting data set as .npz: lines of 294 writers, those of IAM-OnDB among them.

E. Aksan, F. Pece, O. Hilliges, "DeepWriting: making digital ink editable via deep generative modeling", CHI 2018.
https://ait.ethz.ch/deepwriting (for research; it extends IAM-OnDB, whose terms hold too). Files:
`deepwriting_training.npz` and `deepwriting_validation.npz`, each with an array of objects `strokes` (or `samples`), an
array of text `preprocessing`, and the statistics that this used. A drawing is a matrix of positions x (x, y, pen);
pen is 1 at the last position of a stroke.

What `preprocessing` names is undone, so that points are in units of the tablet as in other corpora: `normalization`
(by `mean` and `std`), and `scale` (by `min` and `max`). Without `relative_representation` the points are positions.
A folder with both files has the splits train and valid; a single file is the one its name says, else `everything`.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import numpy as np

from lvm_probe.probing.corpora.intake import InvalidFile
from lvm_probe.probing.corpora.sequences import npz
from lvm_probe.probing.corpora.sequences.registry import Options
from lvm_probe.probing.corpora.sequences.sequence_corpus import EVERYTHING, SequenceCorpus
from lvm_probe.probing.corpora.sequences.stroke_points import corpus_of_drawings, from_positions, position_matrices

DOMAINS = ("strokes",)

_DRAWINGS = ("strokes", "samples")
_SPLITS = {"training": "train", "validation": "valid"}
_FILE = re.compile(r".*(training|validation)\.npz", re.IGNORECASE)


def recognises(path: Path) -> bool:
    """A file ending in .npz that holds an array `strokes` or `samples`, or a folder with a training file of these."""
    if path.is_dir():
        return any(split == "train" for split, _ in _files(path))
    return path.suffix.lower() == ".npz" and not npz.names(path).isdisjoint(_DRAWINGS)


def _files(folder: Path) -> list[tuple[str, Path]]:
    """The files of a folder with their splits."""
    named = [(match, path) for path in sorted(folder.glob("*.[nN][pP][zZ]")) if (match := _FILE.fullmatch(path.name))]
    return [(_SPLITS[match[1].lower()], path) for match, path in named if not npz.names(path).isdisjoint(_DRAWINGS)]


def read(path: Path, options: Options) -> SequenceCorpus:
    """Every drawing."""
    if path.is_dir():
        files = _files(path)
        if len({split for split, _ in files}) < len(files):
            names = ", ".join(file.name for _, file in files)
            raise InvalidFile(path, None, f"holds {names}, several of a split; remove those that do not count")
        return corpus_of_drawings(path, {split: _drawings(file) for split, file in files})
    match = _FILE.fullmatch(path.name)
    return corpus_of_drawings(path, {_SPLITS[match[1].lower()] if match else EVERYTHING: _drawings(path)})


def _drawings(path: Path) -> list[np.ndarray]:
    """Rows of dx, dy, pen of every drawing, in units of the tablet."""
    arrays = npz.read_arrays(path, (*_DRAWINGS, "preprocessing", "mean", "std", "min", "max"))
    raw = next(arrays[name] for name in _DRAWINGS if name in arrays)
    named = arrays.get("preprocessing", np.array([], str))
    if not isinstance(named, np.ndarray) or named.dtype.kind != "U":
        raise InvalidFile(path, None, "preprocessing is no array of names; restore the file")
    done = set(named.ravel().tolist())
    drawings = [drawing.astype(np.float64) for drawing in position_matrices(path, "strokes", raw)]
    scale, shift = np.ones(2), np.zeros(2)
    if "normalization" in done:
        scale, shift = _pair(path, arrays, "std"), _pair(path, arrays, "mean")
    if "scale" in done:
        span = _pair(path, arrays, "max") - _pair(path, arrays, "min")
        scale, shift = scale * span, shift * span
    for points in drawings:
        points[:, :2] = points[:, :2] * scale + shift
    return drawings if "relative_representation" in done else [from_positions(points) for points in drawings]


def _pair(path: Path, arrays: dict[str, Any], name: str) -> np.ndarray:
    """The statistics of x and y."""
    values = arrays.get(name)
    if not isinstance(values, np.ndarray) or values.shape != (3,) or not np.isfinite(values).all():
        raise InvalidFile(path, None, f"its preprocessing cannot be undone without three numbers {name}; restore it")
    return values[:2].astype(np.float64)
