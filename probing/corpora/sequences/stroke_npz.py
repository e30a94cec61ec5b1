"""Pen strokes as sketch-rnn's .npz files: Omniglot, Kanji, the Sheep Market, QuickDraw.

D. Ha, D. Eck, "A neural representation of sketch drawings", ICLR 2018. Files:
https://github.com/hardmaru/sketch-rnn-datasets (Omniglot MIT; Kanji from KanjiVG, CC BY-SA 3.0), and QuickDraw's
(CC BY 4.0). Arrays of objects `train`, `valid` and `test`; a drawing is a matrix of positions x (dx, dy, pen), where
pen is 1 if the pen is lifted after the position, and y grows downwards.
"""

from __future__ import annotations

from pathlib import Path

from lvm_probe.probing.corpora.intake import InvalidFile
from lvm_probe.probing.corpora.sequences import npz
from lvm_probe.probing.corpora.sequences.registry import Options
from lvm_probe.probing.corpora.sequences.sequence_corpus import SequenceCorpus
from lvm_probe.probing.corpora.sequences.stroke_points import corpus_of_drawings, position_matrices

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
    drawings = {split: position_matrices(path, split, part) for split, part in arrays.items()}
    return corpus_of_drawings(path, drawings)
