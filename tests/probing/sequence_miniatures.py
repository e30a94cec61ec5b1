"""Miniature corpora of sequences that are not speech, a few steps long: one or more for every format.

Each writes what it is into an empty folder and returns the path that `open_sequences` reads.
"""

from __future__ import annotations

import io
import pickle
import zipfile
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import scipy.io

Write = Callable[[Path], Path]


class Miniature(NamedTuple):
    """A format's name, the domain to open it as, and what writes it."""

    format: str
    domain: str
    write: Write


MINIATURES: dict[str, Miniature] = {}


def of_format(format: str, domain: str) -> Callable[[Write], Write]:
    """Make a function a miniature of a format."""

    def register(write: Write) -> Write:
        MINIATURES[write.__name__] = Miniature(format, domain, write)
        return write

    return register


CHORDS: dict[str, list[list[tuple[int, ...]]]] = {
    "train": [[(60, 64, 67), (60,), ()], [(21,), (108,)]],
    "valid": [[(62, 65), (62,)]],
    "test": [[(), (59, 62)]],
}
"""The notes of every step of every song, by their MIDI numbers."""


def roll(song: Sequence[Sequence[int]]) -> np.ndarray:
    """Steps x 88 of zeros and ones."""
    matrix = np.zeros((len(song), 88), np.uint8)
    for step, notes in enumerate(song):
        for note in notes:
            matrix[step, note - 21] = 1
    return matrix


def objects(parts: Sequence[Any]) -> np.ndarray:
    """An array of objects, one for each part."""
    array = np.empty(len(parts), object)
    array[:] = [*parts]
    return array


def save_mat(path: Path, songs: Mapping[str, Sequence[np.ndarray]], *, compressed: bool = False) -> Path:
    """Cell arrays traindata, validdata and testdata."""
    cells = {f"{split}data": objects(part).reshape(1, -1) for split, part in songs.items()}
    scipy.io.savemat(str(path), cells, do_compression=compressed)
    return path


@of_format("pianoroll_mat", "pianoroll")
def mat(root: Path) -> Path:
    """Matrices in the cells of a .mat."""
    return save_mat(root / "songs.mat", {split: [roll(song) for song in songs] for split, songs in CHORDS.items()})


@of_format("pianoroll_mat", "pianoroll")
def mat_compressed(root: Path) -> Path:
    """The same as MATLAB saves it, here of numbers in double precision."""
    songs = {split: [roll(song).astype(float) for song in songs] for split, songs in CHORDS.items()}
    return save_mat(root / "songs.mat", songs, compressed=True)


DRAWINGS = {
    "train": [[(0, 0, 0), (5, 0, 0), (0, 7, 1), (-3, 2, 0), (1, 1, 1)], [(2, 2, 0), (-4, 1, 1)]],
    "valid": [[(1, 0, 0), (0, 1, 1)]],
    "test": [[(3, 3, 0), (1, -8, 1)]],
}
"""Points (dx, dy, pen) of every drawing, in the order of sketch-rnn."""


def save_npz(path: Path, arrays: Mapping[str, Any], protocol: int = 2) -> Path:
    """An archive whose object arrays are pickled in a protocol, as Python 2 did for sketch-rnn's files."""
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, array in arrays.items():
            file = io.BytesIO()
            if array.dtype == object:
                np.lib.format.write_array_header_1_0(file, np.lib.format.header_data_from_array_1_0(array))
                pickle.dump(array, file, protocol=protocol)
            else:
                np.save(file, array)
            archive.writestr(f"{name}.npy", file.getvalue())
    return path


@of_format("stroke_npz", "strokes")
def sketches(root: Path) -> Path:
    """Drawings of int16 in arrays of objects."""
    drawings = {split: objects([np.array(one, np.int16) for one in part]) for split, part in DRAWINGS.items()}
    return save_npz(root / "sketches.npz", drawings)


@of_format("stroke_npz", "strokes")
def sketches_of_python_3(root: Path) -> Path:
    """Drawings of float32, as a present NumPy saves them."""
    drawings = {split: objects([np.array(one, np.float32) for one in part]) for split, part in DRAWINGS.items()}
    np.savez(root / "sketches.npz", **drawings)
    return root / "sketches.npz"


LINES = "".join(f"{'one two' if n % 2 else 'buckle my <unk>'} shoe {n % 3}\n" for n in range(20))


@of_format("text", "words")
def lines(root: Path) -> Path:
    """One sentence a line."""
    path = root / "lines.txt"
    path.write_text(LINES)
    return path


@of_format("text", "characters")
def novel(root: Path) -> Path:
    """Running text with hard line breaks."""
    path = root / "novel.txt"
    path.write_text("\n\n".join(f"Emma — “Ah!” said Mr. Weston,\nand laughed. Part {n}\nended." for n in range(10)))
    return path


@of_format("text", "words")
def treebank(root: Path) -> Path:
    """The Penn Treebank's files, with those of characters beside them."""
    for split, text in (("train", " a b c \n a b \n"), ("valid", " a d \n"), ("test", " c <unk> \n")):
        (root / f"ptb.{split}.txt").write_text(text)
        spelled = " ".join("_" if mark == " " else mark for mark in text.strip())
        (root / f"ptb.char.{split}.txt").write_text(f"{spelled}\n")
    return root
