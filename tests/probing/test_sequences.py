"""The contract of every format of sequences, and the registry that opens them."""

import pickle
import shutil
from pathlib import Path

import numpy as np
import pytest

from lvm_probe import InputError
from lvm_probe.models.batches import Recording
from lvm_probe.probing.corpora.demo import CORPUS
from lvm_probe.probing.corpora.sequences import SequenceCorpus, SequenceRecording, is_sequences, open_sequences
from lvm_probe.probing.corpora.sequences.registry import FORMATS
from lvm_probe.probing.corpora.sequences.sequence_corpus import DTYPES, STEPS, TEXT
from tests.conftest import SHARED_DATA
from tests.probing.miniature import MINIATURES as SPEECH
from tests.probing.sequence_miniatures import MINIATURES, Miniature, objects, save_npz


@pytest.fixture(params=MINIATURES, ids=str)
def miniature(request: pytest.FixtureRequest) -> Miniature:
    return MINIATURES[request.param]


def test_every_format_has_a_miniature() -> None:
    assert {one.format for one in MINIATURES.values()} == set(FORMATS)


def test_contract(miniature: Miniature, tmp_path: Path) -> None:
    path = miniature.write(tmp_path)
    assert is_sequences(path)
    corpus = open_sequences(path, miniature.domain)
    assert corpus.domain == miniature.domain
    assert set(corpus.splits) in ({"train", "valid", "test"}, {"train", "valid"}, {"everything"})
    recordings = [one for split in corpus.splits for one in corpus.recordings(split)]
    assert len({one.name for one in recordings}) == len(recordings)
    for recording in recordings:
        assert isinstance(recording, Recording)
        values = recording.read(0, recording.samples)
        assert values.dtype == DTYPES[corpus.domain]
        assert values.shape == (recording.samples,)
        assert len(values) % STEPS[corpus.domain] == 0
        assert np.array_equal(recording.read(1, 3), values[1:3])
        assert values.flags.writeable  # torch.from_numpy warns of others
    assert sum(corpus.steps(split) * corpus.step for split in corpus.splits) == sum(one.samples for one in recordings)
    assert bool(corpus.vocabulary) == (corpus.domain in TEXT)
    assert all("\n" not in notice for notice in corpus.notices)


def test_fingerprint_depends_on_content_only(miniature: Miniature, tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    first = open_sequences(path := miniature.write(tmp_path / "a"), miniature.domain)
    moved = Path(shutil.move(path, tmp_path / f"b{path.suffix}"))
    assert open_sequences(moved, miniature.domain).fingerprint() == first.fingerprint()
    split = next(iter(first.splits))
    shorter = first.splits[split][:-1] or first.splits[split] * 0
    if shorter:
        fewer = SequenceCorpus(first.root, first.domain, {**first.splits, split: shorter}, first.vocabulary)
        assert fewer.fingerprint() != first.fingerprint()


def test_other_domain_is_refused(miniature: Miniature, tmp_path: Path) -> None:
    path = miniature.write(tmp_path)
    other = "strokes" if miniature.domain != "strokes" else "pianoroll"
    with pytest.raises(InputError, match=f"not {other}; leave --domain out"):
        open_sequences(path, other)


def test_text_needs_a_domain(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="words or characters; choose with --domain"):
        open_sequences(MINIATURES["lines"].write(tmp_path))


def test_unknown_domain_and_format(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="unknown domain 'waveform' of sequences"):
        open_sequences("a.mat", "waveform")
    with pytest.raises(InputError, match="a.doc: in no known format of sequences"):
        open_sequences("a.doc")
    with pytest.raises(InputError, match="a.mat: no such file"):
        open_sequences(tmp_path / "a.mat")
    with pytest.raises(InputError, match="give at least 3"):
        open_sequences("a.txt", "words", most_words=2)


@pytest.mark.parametrize("layout", SPEECH)
def test_speech_is_not_taken_for_sequences(layout: str, tmp_path: Path) -> None:
    assert not is_sequences(SPEECH[layout].write(tmp_path / "corpus"))


def test_other_paths_are_not_taken_for_sequences(tmp_path: Path) -> None:
    assert not is_sequences(CORPUS)
    assert not is_sequences(tmp_path)
    assert not is_sequences(tmp_path / "nothing")
    (tmp_path / "train.txt").write_text("a.wav\n")  # a list of files beside them
    (tmp_path / "wav").mkdir()
    (tmp_path / "wav" / "a.wav").touch()
    assert not is_sequences(tmp_path)


# The corpus itself


def corpus(values: np.ndarray, domain: str, vocabulary: tuple[str, ...] = ()) -> SequenceCorpus:
    return SequenceCorpus(Path("a"), domain, {"train": (SequenceRecording("1", values),)}, vocabulary)


@pytest.mark.parametrize(
    ("values", "domain", "message"),
    [
        (np.full(88, 2, np.uint8), "pianoroll", "2 is neither 0 nor 1"),
        (
            np.zeros(87, np.uint8),
            "pianoroll",
            r"shape \(87,\) of uint8, expected one dimension of uint8 in whole steps",
        ),
        (np.zeros(88, np.int16), "pianoroll", "of int16, expected"),
        (np.zeros((2, 88), np.uint8), "pianoroll", r"shape \(2, 88\)"),
        (np.zeros(0, np.uint8), "pianoroll", r"shape \(0,\)"),
        (np.array([0, np.nan, 0], np.float32), "strokes", "not all finite"),
        (np.array([2, 0, 0], np.float32), "strokes", "the order is pen, dx, dy"),
        (np.zeros(3, np.float32), "speech", "unknown domain"),
    ],
)
def test_values_that_no_domain_has(values: np.ndarray, domain: str, message: str) -> None:
    with pytest.raises(InputError, match=message):
        corpus(values, domain)


def test_tokens_outside_the_vocabulary() -> None:
    with pytest.raises(InputError, match="outside the vocabulary of 2"):
        corpus(np.array([2], np.int32), "words", ("<unk>", "<eos>"))
    with pytest.raises(InputError, match="need a vocabulary, other domains have none"):
        corpus(np.array([0], np.int32), "words")


def test_names_are_unique_and_splits_are_known() -> None:
    one = SequenceRecording("1", np.zeros(88, np.uint8))
    with pytest.raises(InputError, match="two sequences are named 1"):
        SequenceCorpus(Path("a"), "pianoroll", {"train": (one,), "test": (one,)})
    with pytest.raises(InputError, match="holds no sequences"):
        SequenceCorpus(Path("a"), "pianoroll", {"train": ()})
    with pytest.raises(InputError, match="no split 'valid'; it has train"):
        SequenceCorpus(Path("a"), "pianoroll", {"train": (one,), "valid": ()}).recordings("valid")


def test_nothing_in_a_file_is_executed(tmp_path: Path) -> None:
    class Touch:
        def __reduce__(self) -> tuple[object, ...]:
            return (Path.touch, (tmp_path / "touched",))

    path = save_npz(tmp_path / "evil.npz", {"train": objects([Touch()])})
    with pytest.raises(InputError, match="evil.npz: array train: refused, names .*, which is not executed"):
        open_sequences(path)
    assert not (tmp_path / "touched").exists()
    pickle.loads(pickle.dumps(Touch()))  # the same pickle, believed
    assert (tmp_path / "touched").exists()


def test_an_archive_with_something_else_than_drawings(tmp_path: Path) -> None:
    path = save_npz(tmp_path / "single.npz", {"train": np.array(3.0)})
    with pytest.raises(InputError, match=r"single.npz: train is a single ndarray, not drawings; fix the file"):
        open_sequences(path)


# Real data


@pytest.mark.parametrize(
    ("name", "sizes", "steps"),
    [  # as Boulanger-Lewandowski et al. divided them
        ("Nottingham", (694, 173, 170), (176_561, 45_513, 44_463)),
        ("MuseData", (524, 135, 124), (245_202, 82_755, 64_339)),
        ("JSB_Chorales", (229, 76, 77), (13_807, 4_602, 4_725)),
        ("Piano_midi", (87, 12, 25), (75_911, 8_540, 19_036)),
    ],
)
def test_piano_rolls_in_full(name: str, sizes: tuple[int, ...], steps: tuple[int, ...]) -> None:
    path = real(f"pianorolls/{name}.mat")
    rolls = open_sequences(path)
    assert tuple(len(rolls.recordings(split)) for split in ("train", "valid", "test")) == sizes
    assert tuple(rolls.steps(split) for split in ("train", "valid", "test")) == steps


@pytest.mark.parametrize(("name", "sizes"), [("omniglot", (30_000, 1_000, 1_000)), ("short_kanji", (10_000, 600, 500))])
def test_strokes_in_full(name: str, sizes: tuple[int, ...]) -> None:
    path = real(f"strokes/{name}.npz")
    drawings = open_sequences(path)
    assert tuple(len(drawings.recordings(split)) for split in ("train", "valid", "test")) == sizes
    believed = np.load(path, allow_pickle=True, encoding="latin1")["test"]  # this file may be unpickled
    for recording, rows in zip(drawings.recordings("test"), believed, strict=True):
        start = np.argmin(rows[:, 2])  # the first position that is no dot
        assert np.array_equal(recording.values.reshape(-1, 3), rows[start + 1 :, [2, 0, 1]])


def test_novels_in_full() -> None:
    words = open_sequences(real("text"), "words")
    assert len(words.vocabulary) < 10_000
    assert min(one.samples for one in words.recordings("train")) > 1
    characters = open_sequences(real("text"), "characters", vocabulary=("<unk>", "<eos>", "e"))
    train = np.concatenate([one.values for one in characters.recordings("train")])
    assert 0.08 < (train == 2).mean() < 0.12  # the letter e in English


def real(name: str) -> Path:
    path = SHARED_DATA / name
    if not path.exists():
        pytest.skip(f"needs {name} at ../shared/data/{name}")
    return path
