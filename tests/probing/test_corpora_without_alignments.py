"""Corpora that one can only train on: VCTK, Libri-Light, and any folder of audio."""

from pathlib import Path

import pytest

from lvm_probe import InputError
from lvm_probe.probing.corpora.corpus import Speaker
from lvm_probe.probing.corpora.registry import open_corpus
from tests.probing import miniature
from tests.probing.miniature import tone


def test_vctk(tmp_path: Path) -> None:
    corpus = open_corpus(miniature.vctk(tmp_path / "VCTK"))
    assert corpus.speakers == (Speaker("p225", "F", None, "English", 23), Speaker("s5", "M"))
    first = corpus.utterances[0]
    assert (first.id, first.text, first.split) == ("p225_001", "Please call Stella 001.", None)
    assert not first.phonemes
    assert corpus.select(speakers=["s5"]).seconds == 1


def test_vctk_has_two_microphones(tmp_path: Path) -> None:
    root = miniature.vctk(tmp_path / "VCTK")
    folder = root / "wav48_silence_trimmed" / "s5"
    tone(folder / "s5_001_mic2.flac")
    (folder / "s5_002_mic1.flac").rename(folder / "s5_002_mic2.flac")
    corpus = open_corpus(root)
    assert [path.audio.name for path in corpus.utterances[2:]] == ["s5_001_mic1.flac", "s5_002_mic2.flac"]
    assert [problem.message for problem in corpus.problems] == ["1 recordings of the second microphone are not read"]


def test_vctk_of_version_0_80(tmp_path: Path) -> None:
    """Names without microphones; the table's ids lack the p, and it lacks a speaker."""
    root = tmp_path / "VCTK"
    for speaker in ("p225", "p280"):
        tone(root / "wav48" / speaker / f"{speaker}_001.wav", rate=48_000)
    (root / "speaker-info.txt").write_text("ID  AGE  GENDER  ACCENTS  REGION\n225  23  F  English  Surrey\nnonsense\n")
    corpus = open_corpus(root)
    assert corpus.speakers == (Speaker("p225", "F", None, "English", 23), Speaker("p280"))
    messages = [problem.message for problem in corpus.problems]
    assert "'nonsense' is not a row `ID AGE GENDER ACCENTS REGION`; fix it" in messages
    assert "speaker p280 is not in speaker-info.txt: gender, age and dialect unknown" in messages
    assert len(messages) == 3  # and that audio is resampled
    (root / "speaker-info.txt").unlink()
    assert any("no speaker-info.txt here" in problem.message for problem in open_corpus(root).problems)
    tone(root / "wav48" / "p225" / "other.wav")
    assert any("is not named speaker_number" in str(problem) for problem in open_corpus(root).problems)


def test_textgrids_of_vctk_are_read(tmp_path: Path) -> None:
    root = miniature.vctk(tmp_path / "VCTK")
    for audio in sorted(root.rglob("*.flac")):
        miniature.text_grid(audio.with_suffix(".TextGrid"), phones=[(0, 0.5, "s")], words=[(0, 0.5, "so")])
    assert open_corpus(root).name == "textgrid"


def test_libri_light(tmp_path: Path) -> None:
    corpus = open_corpus(miniature.librilight(tmp_path / "unlab"))
    assert [speaker.id for speaker in corpus.speakers] == ["100", "7"]
    assert corpus.splits == ("small",)
    assert corpus.utterances[0].id == "100_sea_fairies_0812_librivox_64kb_mp3_01_sea_64kb"
    below = open_corpus(tmp_path / "unlab" / "small" / "100")  # the speaker is above the folder
    assert [speaker.id for speaker in below.speakers] == ["100"]


def test_libri_light_cut_by_voice_activity(tmp_path: Path) -> None:
    for speaker, chapter in (("100", "01_sea_0000"), ("100", "01_sea_0001"), ("7", "02_sea_0000")):
        tone(tmp_path / "out" / speaker / "422" / f"{chapter}.wav", voice=speaker)
    corpus = open_corpus(tmp_path / "out")
    assert (corpus.name, len(corpus.utterances), corpus.splits) == ("librilight", 3, ())
    tone(tmp_path / "out" / "stray.wav")
    (problem,) = open_corpus(tmp_path / "out").problems
    assert "no speaker's number, as in 100/BOOK/name.flac" in problem.message


def test_the_ten_hours_of_libri_light_are_laid_out_as_librispeech_is(tmp_path: Path) -> None:
    tone(tmp_path / "1h" / "0" / "clean" / "3526" / "175658" / "3526-175658-0000.flac")
    assert open_corpus(tmp_path).name == "librispeech"


def test_any_folder_without_annotations(tmp_path: Path) -> None:
    for book in ("BB", "MP"):
        tone(tmp_path / "segmented" / "train" / f"CA-{book}-01-01.wav")
    with pytest.raises(InputError, match="in no known layout"):
        open_corpus(tmp_path)
    corpus = open_corpus(tmp_path, layout="unaligned", speaker_from="(CA)-")
    assert [speaker.id for speaker in corpus.speakers] == ["CA"]
    assert [utterance.id for utterance in corpus.utterances] == ["CA-BB-01-01", "CA-MP-01-01"]
    assert corpus.splits == ("train",)
    books = open_corpus(tmp_path, layout="unaligned", speaker_from="(CA-[A-Z]+)-")  # to hold out whole books
    split = books.split_speakers(0.5, 0, seed=0)
    assert {part.speakers[0].id for part in split[:2]} == {"CA-BB", "CA-MP"}
    (tmp_path / "speakers.csv").write_text("speaker,gender\nCA,F\n")
    assert open_corpus(tmp_path, speaker_from="(CA)-").speakers == (Speaker("CA", "F"),)
