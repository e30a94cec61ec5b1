"""Miniature corpora of sequences that are not speech, a few steps long: one or more for every format.

Each writes what it is into an empty folder and returns the path that `open_sequences` reads.
"""

from __future__ import annotations

import io
import pickle
import struct
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


@of_format("pianoroll_pickle", "pianoroll")
def songs_of_python_2(root: Path) -> Path:
    """Notes in tuples, in the text form of pickles that Python 2 writes."""
    path = root / "songs.pickle"
    path.write_bytes(pickle.dumps(CHORDS, protocol=0))
    return path


@of_format("pianoroll_pickle", "pianoroll")
def songs(root: Path) -> Path:
    """Notes in arrays and in NumPy's integers."""
    arrays = {
        split: [
            [np.array(step) if split == "train" else [np.int64(note) for note in step] for step in song]
            for song in songs
        ]
        for split, songs in CHORDS.items()
    }
    path = root / "songs.pkl"
    path.write_bytes(pickle.dumps(arrays))
    return path


def midi_bytes(song: Sequence[Sequence[int]], *, ticks: int = 480, channel: int = 0) -> bytes:
    """A MIDI file of type 0 in which every step is an eighth note, written by hand."""
    track = bytearray()
    waited = 0

    def event(*content: int) -> None:
        nonlocal waited
        track.extend(variable_length(waited))
        track.extend(content)
        waited = 0

    for notes in song:
        for note in notes:
            event(0x90 | channel, note, 64)
        waited += ticks // 2
        for note in notes:
            event(0x80 | channel, note, 0)
    event(0xFF, 0x2F, 0)
    header = struct.pack(">4sIHHH", b"MThd", 6, 0, 1, ticks)
    return header + struct.pack(">4sI", b"MTrk", len(track)) + bytes(track)


def variable_length(number: int) -> bytes:
    """A number as MIDI writes it, seven bits a byte."""
    groups = [number & 0x7F]
    while number := number >> 7:
        groups.append(0x80 | number & 0x7F)
    return bytes(reversed(groups))


@of_format("midi", "pianoroll")
def midi_files(root: Path) -> Path:
    """A folder for every split."""
    for split, songs in CHORDS.items():
        (root / split).mkdir()
        for number, song in enumerate(songs):
            (root / split / f"{number}.mid").write_bytes(midi_bytes(song))
    return root


@of_format("midi", "pianoroll")
def midi_file(root: Path) -> Path:
    """A single song."""
    path = root / "song.midi"
    path.write_bytes(midi_bytes(CHORDS["train"][0], ticks=96, channel=3))
    return path


DRAWINGS = {
    "train": [[(0, 0, 0), (5, 0, 0), (0, 7, 1), (-3, 2, 0), (1, 1, 1)], [(2, 2, 0), (-4, 1, 1)]],
    "valid": [[(1, 0, 0), (0, 1, 1)]],
    "test": [[(3, 3, 0), (1, -8, 1)]],
}
"""Rows (dx, dy, pen) of the positions of every drawing, in the order of sketch-rnn."""


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


def deepwriting_arrays(drawings: Sequence[Sequence[tuple[int, int, int]]]) -> dict[str, np.ndarray]:
    """Scaled, relative and standardised, as the published files are; the first offsets are 0."""
    low, high = np.array([-2.0, -4.0, 0.0]), np.array([8.0, 16.0, 1.0])
    mean, std = np.array([0.25, -0.5, 0.1]), np.array([0.5, 0.25, 0.3])
    standardised = []
    for drawing in drawings:
        points = np.array([(0, 0, 0), *drawing], float)
        points[:, :2] = (points[:, :2] / (high - low)[:2] - mean[:2]) / std[:2]
        standardised.append(points.astype(np.float32))
    done = np.array(["scale", "origin_translation", "relative_representation", "normalization"])
    texts = objects(["text"] * len(standardised))
    statistics = {"mean": mean, "std": std, "min": low, "max": high}
    return {"strokes": objects(standardised), "texts": texts, "preprocessing": done, **statistics}


@of_format("deepwriting", "strokes")
def handwriting(root: Path) -> Path:
    """The two files."""
    save_npz(root / "deepwriting_training.npz", deepwriting_arrays(DRAWINGS["train"]), protocol=3)
    save_npz(root / "deepwriting_validation.npz", deepwriting_arrays(DRAWINGS["valid"]), protocol=3)
    return root


@of_format("deepwriting", "strokes")
def handwriting_positions(root: Path) -> Path:
    """One file of positions, without preprocessing."""
    samples = [np.cumsum([(0, 0, 0), *one], axis=0) for one in DRAWINGS["train"]]
    for points, one in zip(samples, DRAWINGS["train"], strict=True):
        points[1:, 2] = [pen for _, _, pen in one]
    return save_npz(root / "eth.npz", {"samples": objects([points.astype(float) for points in samples])})


def line_xml(strokes: Sequence[Sequence[tuple[int, int]]]) -> str:
    """A line of IAM-OnDB."""
    body = "".join(
        '    <Stroke colour="black" start_time="7.1" end_time="7.4">\n'
        + "".join(f'      <Point x="{x}" y="{y}" time="7.2"/>\n' for x, y in stroke)
        + "    </Stroke>\n"
        for stroke in strokes
    )
    return (
        '<?xml version="1.0" encoding="ISO-8859-1"?>\n<WhiteboardCaptureSession>\n'
        '  <WhiteboardDescription>\n    <SensorLocation corner="top_left"/>\n  </WhiteboardDescription>\n'
        f"  <StrokeSet>\n{body}  </StrokeSet>\n</WhiteboardCaptureSession>\n"
    )


IAM_STROKES = [[(10, 20), (15, 20), (15, 27)], [(12, 29), (13, 30)]]


@of_format("iam_ondb", "strokes")
def whiteboard(root: Path) -> Path:
    """Two lines without lists of forms."""
    folder = root / "lineStrokes" / "a01" / "a01-000"
    folder.mkdir(parents=True)
    for number in (1, 2):
        (folder / f"a01-000u-{number:02}.xml").write_text(line_xml(IAM_STROKES))
    return root


@of_format("iam_ondb", "strokes")
def whiteboard_divided(root: Path) -> Path:
    """A form for each list of Chung et al., beside the transcripts."""
    whiteboard(root)
    folder = root / "lineStrokes" / "b02" / "b02-045"
    folder.mkdir(parents=True)
    (folder / "b02-045-01.xml").write_text(line_xml(IAM_STROKES[:1]))
    (root / "ascii").mkdir()
    (root / "ascii" / "a01-000u.txt").write_text("OCR:\n\nA MOVE\n")
    (root / "train.txt").write_text(" a01-000u\n")
    (root / "valid.txt").write_text(" b02-045\n")
    return root


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
        spelled = [" ".join(line.strip().replace(" ", "_")) for line in (*text.splitlines(), "cab")]
        (root / f"ptb.char.{split}.txt").write_text("".join(f"{line} \n" for line in spelled))
    return root
