"""What is peculiar to each format of sequences, above all how its files can be malformed."""

import pickle
import struct
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import scipy.io

from lvm_probe import InputError
from lvm_probe.probing.corpora.sequences import is_sequences, open_sequences
from lvm_probe.probing.corpora.sequences.matlab import read_cells
from lvm_probe.probing.corpora.sequences.restricted_pickle import RefusedPickle, loads
from lvm_probe.probing.corpora.sequences.text import sentences
from lvm_probe.probing.corpora.sequences.vocabulary import END, UNKNOWN
from tests.probing import sequence_miniatures as mini

# Piano rolls


def rolls(path: Path) -> dict[str, list[np.ndarray]]:
    corpus = open_sequences(path)
    return {split: [one.values.reshape(-1, 88) for one in corpus.recordings(split)] for split in corpus.splits}


@pytest.mark.parametrize("name", ["mat", "mat_compressed", "songs", "songs_of_python_2", "midi_files"])
def test_formats_of_piano_rolls_agree(name: str, tmp_path: Path) -> None:
    found = rolls(mini.MINIATURES[name].write(tmp_path))
    assert set(found) == set(mini.CHORDS)
    for split, songs in mini.CHORDS.items():
        for song, roll in zip(songs, found[split], strict=True):
            sounding = len(song) if name != "midi_files" or song[-1] else len(song) - 1  # MIDI ends with its last note
            assert np.array_equal(roll, mini.roll(song[:sounding]))


def test_matlab_agrees_with_scipy(tmp_path: Path) -> None:
    draw = np.random.default_rng(0)
    songs = [draw.integers(0, 2, (n, 88)).astype(kind) for n, kind in ((3, np.uint8), (1, np.float64), (5, np.int32))]
    path = mini.save_mat(tmp_path / "a.mat", {"train": songs})
    cells = read_cells(path, ["traindata", "validdata"])
    assert set(cells) == {"traindata"}
    for ours, theirs in zip(cells["traindata"], scipy.io.loadmat(path)["traindata"].flat, strict=True):
        assert np.array_equal(ours, theirs)


def test_matlab_in_the_other_byte_order(tmp_path: Path) -> None:
    def element(kind: int, data: bytes) -> bytes:
        return struct.pack(">II", kind, len(data)) + data + bytes(-len(data) % 8)

    def matrix(kind: int, shape: tuple[int, int], name: bytes, content: bytes) -> bytes:
        head = element(6, struct.pack(">II", kind, 0)) + element(5, struct.pack(">ii", *shape)) + element(1, name)
        return element(14, head + content)

    song = mini.roll([(60,), (21, 108)])
    cell = matrix(9, song.shape, b"", element(2, song.tobytes("F")))
    path = tmp_path / "a.mat"
    header = b"MATLAB".ljust(124) + struct.pack(">H", 0x0100) + b"MI"
    path.write_bytes(header + matrix(1, (1, 1), b"traindata", cell))
    assert np.array_equal(rolls(path)["train"][0], song)
    assert open_sequences(path).notices == ("the file has no validdata", "the file has no testdata")


@pytest.mark.parametrize(
    ("cells", "message"),
    [
        ({"traindata": np.zeros((3, 88))}, "traindata is no cell array"),
        ({"traindata": mini.objects([np.zeros((3, 87))])}, "no matrix of steps x 88 zeros and ones"),
        ({"traindata": mini.objects([np.full((3, 88), 2.0)])}, "no matrix of steps x 88 zeros and ones"),
        ({"traindata": mini.objects([np.full((3, 88), np.nan)])}, "no matrix of steps x 88 zeros and ones"),
        ({"traindata": mini.objects(["song"])}, "a cell is no matrix of numbers"),
        ({"traindata": mini.objects([np.full((1, 88), 1j)])}, "complex numbers"),
        ({"songs": np.zeros((3, 88))}, "holds none of the variables traindata, validdata, testdata"),
    ],
)
def test_matlab_files_of_something_else(cells: dict[str, Any], message: str, tmp_path: Path) -> None:
    scipy.io.savemat(str(tmp_path / "a.mat"), cells)
    with pytest.raises(InputError, match=f"a.mat: .*{message}"):
        open_sequences(tmp_path / "a.mat")


def test_matlab_of_other_versions(tmp_path: Path) -> None:
    path = tmp_path / "a.mat"
    path.write_bytes(b"MATLAB 7.3 MAT-file".ljust(124) + struct.pack("<H", 0x0200) + b"IM")
    with pytest.raises(InputError, match="version 0x0200, which is not read: save it with -v7"):
        open_sequences(path)
    scipy.io.savemat(str(path), {"traindata": 1}, format="4")
    with pytest.raises(InputError, match="not that of version 5"):
        open_sequences(path)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ({"train": [[(20,)]]}, r"note 20 in train is no MIDI number from 21 \(A0\) to 108 \(C8\)"),
        ({"train": [[(109,)]]}, "note 109"),
        ({"train": [[(60.0,)]]}, "note 60.0"),
        ({"train": [[(True,)]]}, "note True"),
        ({"train": [[60]]}, "a step of train is a int where a list belongs"),
        ({"train": [{}]}, "a song of train is a dict"),
        ({"train": "song"}, "train is a str"),
        ({"songs": []}, "no dictionary of train, valid and test"),
        ([[(60,)]], "no dictionary of train, valid and test"),
        ({"train": [], "valid": []}, "holds no sequences"),
        ({"train": [[{60}]]}, "refused, damaged"),  # an instruction that is not obeyed
        ({"train": print}, "refused, names 'builtins.print', which is not executed"),
    ],
)
def test_pickles_of_something_else(content: Any, message: str, tmp_path: Path) -> None:
    path = tmp_path / "a.pickle"
    path.write_bytes(pickle.dumps(content))
    with pytest.raises(InputError, match=message):
        open_sequences(path)


def test_empty_songs_are_left_out_with_a_notice(tmp_path: Path) -> None:
    path = tmp_path / "a.pickle"
    path.write_bytes(pickle.dumps({"train": [[(60,)], [], [()]], "valid": [[(60,)]], "test": [[(60,)]]}))
    corpus = open_sequences(path)
    assert [one.name for one in corpus.recordings("train")] == ["train/1", "train/3"]
    assert corpus.notices == ("left out 1 empty sequences of train: 2",)


ARRAYS = [
    np.arange(6, dtype=np.int16).reshape(2, 3),
    np.asfortranarray(np.arange(6.0).reshape(2, 3)),
    np.arange(3, dtype=">f4"),
    np.zeros((0, 3), np.uint8),
    np.array(True),
]


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
def test_pickled_arrays_of_every_protocol(protocol: int) -> None:
    for array in ARRAYS:
        found = loads(pickle.dumps(array, protocol))
        assert np.array_equal(found, array)
        assert found.shape == array.shape
    assert loads(pickle.dumps([np.float32(0.5), np.int8(3)], protocol)) == [0.5, 3]
    nested = loads(pickle.dumps(mini.objects([ARRAYS[0], [1, (2.5, "a", b"b", None)]]), protocol))
    assert np.array_equal(nested[0], ARRAYS[0])
    assert nested[1] == [1, (2.5, "a", b"b", None)]


def test_pickles_do_not_grow_without_end() -> None:
    repeated: list[Any] = [1] * 10
    for _ in range(6):
        repeated = [repeated] * 10  # ten million numbers in a few bytes
    with pytest.raises(RefusedPickle, match="without end"):
        loads(pickle.dumps(repeated))
    deep: list[Any] = []
    for _ in range(5000):
        deep = [deep]
    with pytest.raises(RefusedPickle):
        loads(b"]" * 5000 + b"a" * 4999 + b".")
    itself: list[Any] = []
    itself.append(itself)
    with pytest.raises(RefusedPickle, match="without end"):
        loads(pickle.dumps(itself))
    with pytest.raises(RefusedPickle, match="array of type 'O8'"):
        loads(pickle.dumps(np.zeros(1), 2).replace(b"f8", b"O8"))


def test_midi_is_sampled_at_the_beginning_of_eighth_notes(tmp_path: Path) -> None:
    """Of 100 ticks: a note from 40 to 160 sounds at 100 only, one from 100 to 200 too, one from 10 to 90 never."""

    def event(wait: int, *content: int) -> bytes:
        return mini.variable_length(wait) + bytes(content)

    track = event(10, 0x90, 60, 64) + event(30, 0x90, 62, 64) + event(50, 0x80, 60, 0) + event(10, 0x90, 64, 64)
    track += event(0, 0x99, 40, 64) + event(0, 0x90, 10, 64)  # percussion, and below the lowest key
    track += event(60, 0x90, 62, 0) + event(40, 0x80, 64, 0) + event(0, 0x80, 10, 0) + event(0, 0x89, 40, 0)
    track += event(0, 0xFF, 0x2F, 0)
    path = tmp_path / "a.mid"
    path.write_bytes(struct.pack(">4sIHHH4sI", b"MThd", 6, 0, 1, 200, b"MTrk", len(track)) + track)
    corpus = open_sequences(path)
    assert np.array_equal(rolls(path)["everything"][0], mini.roll([(), (62, 64)]))
    assert corpus.notices == (
        "sampled at eighth notes (2 steps a beat)",
        "left out 1 notes beyond the 88 keys",
        "left out 1 notes of percussion",
        "left out 1 notes that end before a step begins",
    )


def test_midi_of_other_kinds(tmp_path: Path) -> None:
    path = tmp_path / "a.mid"
    song = mini.midi_bytes([(60,)])
    for content, message in (
        (song[:12] + struct.pack(">h", -6360) + song[14:], "counts time in seconds"),
        (song[:8] + struct.pack(">H", 2) + song[10:], "type 2"),
        (song[:30], "is no MIDI file"),
        (mini.midi_bytes([()]), "none of its MIDI files can be read; left out: .*a.mid: no notes"),
        (mini.midi_bytes([(60,), *[()] * 200_000, (60,)]), "lasts 200,002 eighth notes"),
    ):
        path.write_bytes(content)
        with pytest.raises(InputError, match=message):
            open_sequences(path)


def test_a_folder_of_midi_leaves_out_what_is_damaged(tmp_path: Path) -> None:
    mini.midi_files(tmp_path)
    (tmp_path / "train" / "0.mid").write_bytes(b"MThd")
    corpus = open_sequences(tmp_path)
    assert [one.name for one in corpus.recordings("train")] == ["train/1"]
    assert "left out: " in corpus.notices[1]
    assert "0.mid" in corpus.notices[1]
    (tmp_path / "other.mid").write_bytes(mini.midi_bytes([(60,)]))
    with pytest.raises(InputError, match="other is in none of the folders train, valid and test, but others are"):
        open_sequences(tmp_path)


# Pen strokes


def points(path: Path) -> dict[str, list[list[tuple[float, ...]]]]:
    corpus = open_sequences(path)
    return {
        split: [[tuple(row) for row in one.values.reshape(-1, 3).tolist()] for one in corpus.recordings(split)]
        for split in corpus.splits
    }


def test_sketches_have_the_pen_first(tmp_path: Path) -> None:
    found = points(mini.sketches(tmp_path))
    assert found["train"][0] == [(pen, dx, dy) for dx, dy, pen in mini.DRAWINGS["train"][0][1:]]


def test_dots_that_come_first_are_left_out(tmp_path: Path) -> None:
    rows = [(9, 9, 1), (1, 1, 1), (2, 2, 0), (3, 3, 1), (4, 4, 1)]
    drawings = [np.array(rows), np.array(rows[2:]), np.array(rows[:2])]
    corpus = open_sequences(mini.save_npz(tmp_path / "a.npz", {"train": mini.objects(drawings)}))
    assert [one.values.tolist() for one in corpus.recordings("train")] == [[1, 3, 3, 1, 4, 4]] * 2
    assert corpus.notices == (
        "left out 1 empty sequences of train: 3",
        "left out 4 strokes of a single position that come first in a drawing",
    )


@pytest.mark.parametrize("name", ["handwriting", "handwriting_positions"])
def test_preprocessing_of_deepwriting_is_undone(name: str, tmp_path: Path) -> None:
    found = points(mini.MINIATURES[name].write(tmp_path))
    expected = [[(pen, dx, dy) for dx, dy, pen in one] for one in mini.DRAWINGS["train"]]
    drawings = found.get("train") or found["everything"]
    for drawing, known in zip(drawings, expected, strict=True):
        assert np.allclose(drawing, known, atol=1e-5)  # float32 in the file


def test_whiteboard_lines(tmp_path: Path) -> None:
    found = points(mini.whiteboard_divided(tmp_path))
    assert found["train"] == [[(0, 5, 0), (1, 0, 7), (0, -3, 2), (1, 1, 1)]] * 2
    assert found["valid"] == [[(0, 5, 0), (1, 0, 7)]]


def test_whiteboard_with_lists_of_the_database(tmp_path: Path) -> None:
    mini.whiteboard_divided(tmp_path)
    (tmp_path / "train.txt").rename(tmp_path / "trainset.txt")
    (tmp_path / "valid.txt").rename(tmp_path / "testset_v.txt")
    with pytest.raises(
        InputError, match="needs each of trainset.txt, testset_v.txt, testset_t.txt, testset_f.txt once"
    ):
        open_sequences(tmp_path)
    (tmp_path / "testset_t.txt").touch()
    (tmp_path / "testset_f.txt").touch()
    corpus = open_sequences(tmp_path)
    assert {split: len(corpus.recordings(split)) for split in corpus.splits} == {"train": 2, "valid": 1}
    assert corpus.notices == ("divided by the lists of the database: testset_v is valid, all others train",)
    (tmp_path / "trainset.txt").write_text("")
    assert open_sequences(tmp_path).notices[1:] == ("left out 2 lines of forms that no list names",)
    (tmp_path / "trainset.txt").write_text("b02-045\n")
    with pytest.raises(InputError, match="form b02-045 is in train and in valid; keep one"):
        open_sequences(tmp_path)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("<a>", "is no XML of strokes"),
        ("<Point x='1' y='2'/>", "is no XML of strokes"),
        ("<Stroke><Point x='1'/></Stroke>", "is no XML of strokes"),
        ("<Stroke><Point x='a' y='1'/></Stroke>", "is no XML of strokes"),
        ("<Stroke><Point x='nan' y='1'/><Point x='1' y='1'/></Stroke>", "no finite numbers"),
        ("<Stroke><Point x='1' y='1'/></Stroke>", "no stroke of several positions"),
        ("<StrokeSet/>", "holds no points"),
        ("<!DOCTYPE a [<!ENTITY b 'c'>]><a>&b;</a>", "it defines entities"),
        ("<?xml version='1.0' encoding='klingon'?><a/>", "is no XML of strokes"),
    ],
)
def test_damaged_lines_are_left_out(content: str, message: str, tmp_path: Path) -> None:
    mini.whiteboard(tmp_path)
    path = tmp_path / "lineStrokes" / "a01" / "a01-000" / "a01-000u-01.xml"
    path.write_text(content)
    corpus = open_sequences(tmp_path)
    assert [one.name for one in corpus.recordings("everything")] == ["a01-000u-02"]
    assert message in corpus.notices[0]
    path.with_name("a01-000u-02.xml").unlink()
    with pytest.raises(InputError, match="none of its lines can be read"):
        open_sequences(tmp_path)


@pytest.mark.parametrize(
    ("arrays", "message"),
    [
        ({"drawings": np.zeros(3)}, "has no arrays train, valid or test, but drawings"),
        ({"train": np.zeros(3)}, "a drawing of train is a float64, not a matrix of positions x 3"),
        ({"train": np.zeros((4, 2, 2))}, r"is shape \(2, 2\)"),
        ({"train": mini.objects([np.full((2, 3), 0.5)])}, "pen states other than 0 and 1"),
        ({"train": mini.objects([np.full((2, 3), np.inf)])}, "no finite numbers"),
        ({"train": mini.objects([np.full((2, 3), 1e300)])}, "no finite numbers"),
        ({"train": mini.objects(["a"])}, "a drawing of train is a str"),
        ({"train": mini.objects([3])}, "a drawing of train is a int"),
        ({"strokes": mini.objects([np.zeros((2, 3))]), "preprocessing": np.array(["scale"])}, "three numbers max"),
        (
            {"strokes": mini.objects([np.zeros((2, 3))]), "preprocessing": np.zeros(2)},
            "preprocessing is no array of names",
        ),
        ({"strokes": mini.objects([np.zeros((2, 4))])}, r"shape \(2, 4\)"),
    ],
)
def test_archives_of_something_else(arrays: dict[str, Any], message: str, tmp_path: Path) -> None:
    np.savez(tmp_path / "a.npz", **arrays)
    with pytest.raises(InputError, match=f"a.npz: .*{message}"):
        open_sequences(tmp_path / "a.npz")


# Text


def tokens(path: Path, domain: str, **options: Any) -> dict[str, list[list[str]]]:
    corpus = open_sequences(path, domain, **options)
    return {
        split: [[corpus.vocabulary[number] for number in one.values] for one in corpus.recordings(split)]
        for split in corpus.splits
    }


def test_treebank_words_and_spelled_characters(tmp_path: Path) -> None:
    mini.treebank(tmp_path)
    assert tokens(tmp_path, "words") == {
        "train": [["a", "b", "c", END], ["a", "b", END]],
        "valid": [["a", UNKNOWN, END]],
        "test": [["c", UNKNOWN, END]],
    }
    notices = open_sequences(tmp_path, "words").notices
    assert notices == ("valid: 1 of 3 words (33.33%) are not in the vocabulary and read as <unk>",)
    spelled = tokens(tmp_path, "characters")
    assert spelled["train"] == [[*"a b c", END], [*"a b", END], [*"cab", END]]  # of the characters' own file
    for split in ("train", "valid", "test"):
        (tmp_path / f"ptb.char.{split}.txt").unlink()
    assert tokens(tmp_path, "characters")["train"] == [[*"a b c", END], [*"a b", END]]


def test_folders_with_splits_that_cannot_be_read(tmp_path: Path) -> None:
    (tmp_path / "ptb.valid.txt").write_text("a\n")
    with pytest.raises(InputError, match="has ptb.valid.txt but no train; add it"):
        open_sequences(tmp_path, "words")
    (tmp_path / "train.txt").write_text("a\n")
    assert open_sequences(tmp_path, "words").notices == ("no file is named test",)
    (tmp_path / "wiki.train.tokens").write_text("a\n")
    with pytest.raises(InputError, match="train.txt could be train too; remove one"):
        open_sequences(tmp_path, "words")


def test_a_text_is_divided_by_its_lines(tmp_path: Path) -> None:
    found = tokens(mini.lines(tmp_path), "words")
    assert {split: len(part) for split, part in found.items()} == {"train": 16, "valid": 2, "test": 2}
    assert found["train"][0] == ["buckle", "my", UNKNOWN, "shoe", "0", END]
    assert found["test"][1] == ["one", "two", "shoe", "1", END]


def test_running_text(tmp_path: Path) -> None:
    path = mini.novel(tmp_path)
    first = "Emma — “ Ah ! ” said Mr . Weston , and laughed ."
    assert tokens(path, "words")["train"][0] == [*first.split(), END]
    characters = tokens(path, "characters")["train"]
    joined = ["".join("\n" if mark == END else mark for mark in part) for part in characters]
    assert {len(part) for part in joined[:-1]} <= {500}
    assert "".join(joined).startswith("Emma — “Ah!” said Mr. Weston, and laughed. Part 0 ended.\nEmma")


def test_sentences() -> None:
    assert sentences("One. Two? “Three!” Four... 5. end") == ["One.", "Two?", "“Three!”", "Four...", "5. end"]
    assert sentences("It was I. He saw Mr. A. B. Knight. (Yes.) no") == [
        "It was I.",
        "He saw Mr. A. B. Knight.",
        "(Yes.) no",
    ]


def test_vocabularies(tmp_path: Path) -> None:
    path = tmp_path / "a.txt"
    path.write_text("b a\nc a\nd\n")
    assert open_sequences(path, "words", most_words=4).vocabulary == (UNKNOWN, END, "a", "b")
    corpus = open_sequences(path, "words", vocabulary=["a", END, UNKNOWN])
    assert corpus.vocabulary == ("a", END, UNKNOWN)
    assert [one.values.tolist() for one in corpus.recordings("everything")] == [[2, 0, 1], [2, 0, 1], [2, 1]]
    assert corpus.notices == (
        "fewer than 10 lines: not divided",
        "everything: 3 of 8 words (37.50%) are not in the vocabulary and read as <unk>",
    )
    for vocabulary, message in (([END, "a"], "lacks <unk>"), ([END, UNKNOWN, "a", "a"], "holds 'a' twice")):
        with pytest.raises(InputError, match=message):
            open_sequences(path, "words", vocabulary=vocabulary)
    with pytest.raises(InputError, match="pianoroll have no vocabulary"):
        open_sequences(mini.mat(tmp_path), vocabulary=(UNKNOWN, END))


def test_text_that_cannot_be_read(tmp_path: Path) -> None:
    path = tmp_path / "a.txt"
    for content, message in (
        (b"\xff\n", "a.txt:1: is not UTF-8"),
        (b"a\0", "NUL bytes"),
        (b"", "holds no text"),
        (b"\n \n", "holds no text"),
    ):
        path.write_bytes(content)
        with pytest.raises(InputError, match=message):
            open_sequences(path, "words")


def test_folders_of_texts(tmp_path: Path) -> None:
    mini.lines(tmp_path)
    mini.novel(tmp_path)
    corpus = open_sequences(tmp_path, "words")
    assert corpus.notices[:2] == (
        "divided by lines: the last tenth of each file is test, the tenth before valid",
        "blank lines separate paragraphs in 1 of 2 files: running text, read as sentences",
    )
    (tmp_path / "README.md").touch()
    assert not is_sequences(tmp_path)
