"""What is written of sequences: pictures, music and text."""

from pathlib import Path
from xml.etree import ElementTree

import matplotlib.image
import numpy as np
import pytest
import soundfile

from lvm_probe import InputError
from lvm_probe.probing.corpora.sequences import open_sequences
from lvm_probe.probing.corpora.sequences.pianoroll_writer import (
    SAMPLE_RATE,
    SECONDS_PER_STEP,
    held_notes,
    synthesise,
)
from lvm_probe.probing.corpora.sequences.stroke_writer import polylines
from lvm_probe.probing.corpora.sequences.writers import as_text, write_sequence
from tests.probing.sequence_miniatures import roll


def test_midi_reads_back_as_written(tmp_path: Path) -> None:
    draw = np.random.default_rng(0)
    values = draw.random((50, 88)) < 0.1
    values[-1, 3] = True  # a file ends with its last note
    write_sequence(tmp_path / "a.mid", "pianoroll", values.ravel().astype(np.uint8))
    (again,) = open_sequences(tmp_path / "a.mid").recordings("everything")
    assert np.array_equal(again.values, values.ravel())


def test_notes_are_held_over_steps() -> None:
    assert held_notes(roll([(60,), (60, 64), (), (60,)]).ravel()) == [(0, 2, 60), (1, 2, 64), (3, 4, 60)]


def test_tones_have_their_pitch(tmp_path: Path) -> None:
    for number in (21, 69, 108):
        sound = synthesise(roll([(number,)] * 4).ravel())
        spectrum = np.abs(np.fft.rfft(sound * np.hanning(len(sound))))
        hertz = np.fft.rfftfreq(len(sound), 1 / SAMPLE_RATE)[spectrum.argmax()]
        assert abs(hertz - 440 * 2 ** ((number - 69) / 12)) < 1.5  # the resolution of a second is 1 Hz
    song = roll([(69,), (), (60, 64)]).ravel()
    write_sequence(tmp_path / "a.wav", "pianoroll", song)
    sound, rate = soundfile.read(str(tmp_path / "a.wav"))
    step = round(SECONDS_PER_STEP * rate)
    assert 0.89 < np.abs(sound).max() < 0.901
    assert np.abs(sound[int(1.4 * step) : 2 * step]).max() == 0  # the rest, after the first note's release
    assert not synthesise(np.zeros(88, np.uint8)).any()


DRAWING = np.array([0, 10, 0, 1, 0, 4, 1, 5, 0, 0, 1, 1], np.float32)
"""An angle, a dot and a line whose pen is not lifted at the end."""


def test_polylines() -> None:
    lines = [line.tolist() for line in polylines(DRAWING)]
    assert lines == [[[0, 0], [10, 0], [10, 4]], [[15, 4]], [[16, 5]]]


def test_pictures(tmp_path: Path) -> None:
    write_sequence(tmp_path / "a.svg", "strokes", DRAWING)
    root = ElementTree.parse(tmp_path / "a.svg").getroot()
    points = [one.attrib["points"] for one in root.iter("{http://www.w3.org/2000/svg}polyline")]
    assert points == ["0,0 10,0 10,4", "15,4 15,4", "16,5 16,5"]
    left, top, width, height = (float(number) for number in root.attrib["viewBox"].split())
    assert left < 0 < 16 < left + width
    assert top < 0 < 5 < top + height
    write_sequence(tmp_path / "a.png", "strokes", DRAWING)
    ink = matplotlib.image.imread(tmp_path / "a.png")[:, :, 0] < 0.5
    assert ink.shape[1] == 1200
    scale = 1200 / width

    def inked(x: float, y: float) -> bool:
        return bool(ink[round((y - top) * scale), round((x - left) * scale)])

    assert inked(5, 0)  # y grows downwards
    assert inked(10, 3)
    assert inked(15, 4)  # a dot
    assert not inked(12, 4)  # the pen was lifted
    assert not inked(5, 3)


def test_text(tmp_path: Path) -> None:
    vocabulary = ("<unk>", "<eos>", "a", "b")
    assert as_text(np.array([2, 0, 1, 3, 1]), "words", vocabulary) == "a <unk>\nb\n"
    assert as_text(np.array([2, 0, 1, 3]), "characters", vocabulary) == "a\N{REPLACEMENT CHARACTER}\nb"
    write_sequence(tmp_path / "a.txt", "characters", np.array([2, 3]), vocabulary)
    assert (tmp_path / "a.txt").read_text() == "ab\n"


@pytest.mark.parametrize(
    ("name", "domain", "values", "message"),
    [
        ("a.mp3", "pianoroll", np.zeros(88), "pianoroll are written as .mid or .wav"),
        ("a.png", "words", np.zeros(1, int), "words are written as .txt"),
        ("a.txt", "waveform", np.zeros(1), "waveform are written as no such file"),
        ("a.txt", "words", np.array([4]), "outside the vocabulary of 2"),
        ("a.mid", "pianoroll", np.zeros(87), "whole steps of 88"),
        ("a.wav", "pianoroll", np.full(88, 0.5), "zeros and ones"),
        ("a.svg", "strokes", np.zeros(0), "at least one point"),
        ("a.png", "strokes", np.full(3, np.nan), "finite numbers only"),
    ],
)
def test_what_cannot_be_written(name: str, domain: str, values: np.ndarray, message: str, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=message):
        write_sequence(tmp_path / name, domain, values, ("<unk>", "<eos>") if domain == "words" else ())
    assert not (tmp_path / name).exists()
