"""Kaldi's data folders and CTM alignments, and the ways in which they can be wrong."""

import re
from pathlib import Path

import numpy as np
import pytest

from lvm_probe import InputError
from lvm_probe.probing.corpora import open_corpus
from lvm_probe.probing.corpora.audio import read_audio
from lvm_probe.probing.corpora.corpus import Corpus, Segment, Speaker
from tests.probing import miniature
from tests.probing.miniature import KALDI_PHONES, RATE, SAMPLES, ctm_rows, tone


@pytest.fixture
def kaldi(tmp_path: Path) -> Path:
    return miniature.kaldi(tmp_path / "train")


@pytest.fixture
def ctm(tmp_path: Path) -> Path:
    return miniature.ctm(tmp_path / "corpus")


def messages(corpus: Corpus, severity: str) -> list[str]:
    return [str(problem) for problem in corpus.problems if problem.severity == severity]


def edit(path: Path, old: str, new: str) -> None:
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new))


# --- data folders -------------------------------------------------------------------------------------


def test_a_data_folder(kaldi: Path) -> None:
    corpus = open_corpus(kaldi)
    utterance = corpus.utterances[0]
    assert (utterance.id, utterance.split, utterance.text, utterance.prompt) == ("anna-s1", "train", "SHE", "SHE")
    assert corpus.speakers == (Speaker("anna", "F", age=33.0), Speaker("bert", "M", age=7.0))
    assert utterance.words == (Segment("SHE", 1000, 6000),)
    assert [s.label for s in utterance.phonemes] == ["h#", "SH", "IY1", "h#"]
    assert [(s.start, s.end) for s in utterance.phonemes] == [(start, end) for start, end, _ in KALDI_PHONES]


def test_without_alignments_there_are_utterances_without_tokens(kaldi: Path) -> None:
    for name in ("words.ctm", "phones.ctm", "spk2age"):
        (kaldi / name).unlink()
    corpus = open_corpus(kaldi)
    assert corpus.problems == ()
    assert [(u.text, u.phonemes, u.words) for u in corpus.utterances] == [("SHE", (), ())] * 4
    assert corpus.speakers[0] == Speaker("anna", "F")


@pytest.mark.parametrize("opened", ["data/train", "data", "."])
def test_paths_are_found_where_the_recipe_runs(tmp_path: Path, opened: str) -> None:
    for name in ("data/train", "data/test_clean"):
        folder = tmp_path / name
        folder.mkdir(parents=True)
        id = folder.name
        tone(tmp_path / "wav" / f"{id}.wav")
        (folder / "wav.scp").write_text(f"{id} wav/{id}.wav\n")
        (folder / "utt2spk").write_text(f"{id} anna\n")
    corpus = open_corpus(tmp_path / opened)
    notices = messages(corpus, "notice")
    assert any(f"the paths of its audio are relative to {tmp_path}" in notice for notice in notices)
    assert corpus.splits == (("train",) if opened == "data/train" else ("test_clean", "train"))
    if opened == ".":
        tone(tmp_path / "wav" / "other.wav")
        (notice,) = [text for text in messages(open_corpus(tmp_path), "notice") if "not read" in text]
        assert notice.endswith("audio that belongs to no usable utterance of a wav.scp is not read: wav/other.wav")


def test_segments_cut_utterances_from_recordings(kaldi: Path) -> None:
    whole = {u.id: read_audio(u, RATE) for u in open_corpus(kaldi).utterances}
    (kaldi / "segments").write_text("b anna-s1 0.25 0.4375\na anna-s1 0 0.25\nc anna-s2 0.1 -1\nd bert-s1 0.25 0.75\n")
    (kaldi / "utt2spk").write_text("a anna\nb anna\nc anna\nd bert\n")
    (kaldi / "text").write_text("a A\nb B\nc C\nd D\n")
    ctm_rows(
        kaldi / "words.ctm",
        ["anna-s1"],
        [(1000, 2000, "one"), (4000, 5000, "two"), (5000, 6500, "three"), (7000, 7500, "x")],
    )
    (kaldi / "phones.ctm").unlink()
    corpus = open_corpus(kaldi)
    assert [(u.id, u.offset, u.samples, u.prompt) for u in corpus.utterances] == [
        ("a", 0, 4000, "A"), ("b", 4000, 3000, "B"), ("c", 1600, 6400, "C"), ("d", 4000, 4000, "D"),
    ]  # fmt: skip
    assert corpus.utterances[0].words == (Segment("one", 1000, 2000),)
    assert corpus.utterances[1].words == (Segment("two", 0, 1000), Segment("three", 1000, 2500))
    for id, recording, span in (("b", "anna-s1", slice(4000, 7000)), ("c", "anna-s2", slice(1600, 8000))):
        (utterance,) = [u for u in corpus.utterances if u.id == id]
        np.testing.assert_array_equal(read_audio(utterance, RATE), whole[recording][span])
        assert len(read_audio(utterance, 8000)) == utterance.samples // 2
    (notice,) = [text for text in messages(corpus, "notice") if "clipped" in text]
    assert "segments:4: d ends 4000 samples after its recording and is clipped" in notice
    lost = "words.ctm: rows outside the utterances of segments are not read: 1"
    assert any(lost in text for text in messages(corpus, "notice"))
    moved = open_corpus(kaldi).fingerprint()
    edit(kaldi / "segments", "c anna-s2 0.1 -1", "c anna-s2 0.1 0.5")
    assert open_corpus(kaldi).fingerprint() == moved
    edit(kaldi / "segments", "a anna-s1 0 0.25", "a anna-s1 0.1 0.35")
    (kaldi / "words.ctm").unlink()
    assert open_corpus(kaldi).fingerprint() != moved


def test_words_may_be_named_by_utterance_within_a_recording_too(kaldi: Path) -> None:
    (kaldi / "segments").write_text("a anna-s1 0.25 0.5\n")
    (kaldi / "utt2spk").write_text("a anna\n")
    ctm_rows(kaldi / "words.ctm", ["a"], [(1000, 2000, "one")])
    assert open_corpus(kaldi).utterances[0].words == (Segment("one", 1000, 2000),)
    ctm_rows(kaldi / "words.ctm", ["anna-s1"], [(3000, 5000, "one")])
    with pytest.raises(InputError, match=r"words.ctm:1: 'one' crosses the border of an utterance"):
        open_corpus(kaldi)


@pytest.mark.parametrize(
    ("name", "old", "new", "message"),
    [
        (
            "wav.scp",
            "anna-s1 wav/anna-s1.wav",
            "anna-s1 sph2pipe -f wav a.sph |",
            "wav.scp:1: anna-s1 is made by the command 'sph2pipe .* |', which is not run",
        ),
        (
            "wav.scp",
            "anna-s1 wav/anna-s1.wav",
            "anna-s1 raw.ark:12",
            "wav.scp:1: anna-s1 is in the archive 'raw.ark:12'; write it",
        ),
        (
            "wav.scp",
            "wav/anna-s1.wav",
            "wav/nobody.wav",
            "wav.scp:1: anna-s1: no such audio file: 'wav/nobody.wav', seen",
        ),
        (
            "utt2spk",
            "anna-s1 anna",
            "anna-s9 anna",
            "utt2spk: has no row of anna-s1, which is in wav.scp or segments; add",
        ),
        (
            "words.ctm",
            "anna-s1 1 0.0625",
            "anna-s1 2 0.0625",
            "words.ctm:1: 'anna-s1 2 0.0625 0.3125 SHE' is of channel 2",
        ),
        (
            "words.ctm",
            "anna-s1 1 0.0625",
            "anna-s1 1 x",
            "words.ctm:1: 'anna-s1 1 x 0.3125 SHE': start and duration are",
        ),
        (
            "words.ctm",
            "anna-s1 1 0.0625 0.3125 SHE",
            "anna-s1 1",
            "words.ctm:1: 'anna-s1 1' is not a row `recording cha",
        ),
        ("words.ctm", "0.3125 SHE\nanna-s2", "9 SHE\nanna-s2", "words.ctm:1: 'SHE' at samples 1000 to 145000 ends"),
        ("words.ctm", "0.3125 SHE\nanna-s2", "0.3 <ALT_BEGIN>\nanna-s2", "words.ctm:1: .*alternatives are not read"),
    ],
)
def test_one_bad_row_leaves_one_utterance_out(kaldi: Path, name: str, old: str, new: str, message: str) -> None:
    edit(kaldi / name, old, new)
    corpus = open_corpus(kaldi)
    assert [utterance.id for utterance in corpus.utterances] == ["anna-s2", "bert-s1", "bert-s2"]
    (error,) = messages(corpus, "error")
    assert re.search(message, error)


@pytest.mark.parametrize(
    ("name", "old", "new", "message"),
    [
        ("spk2gender", "anna f", "anna w", "spk2gender: gender 'w' of speaker anna is not f or m: unknown"),
        ("spk2gender", "anna f\n", "", "spk2gender: has no row of anna: unknown; add it"),
        ("spk2age", "anna 33", "anna young", "spk2age: age 'young' of speaker anna is not a number of years"),
        ("spk2age", "anna 33", "anna 0", "spk2age: age '0' of speaker anna is not a number of years"),
        ("text", "anna-s1 SHE\n", "", "text: has no row of anna-s1: unknown; add it"),
        ("text", "anna-s1 SHE\n", "anna-s1\n", "text:1: 'anna-s1' is alone in its row: unknown; complete the row"),
        ("text", "anna-s1 SHE\n", "anna-s1 SHE\nanna-s1 HE\n", "text:2: anna-s1 is listed twice; the first row counts"),
        (
            "text",
            "anna-s1 SHE\n",
            "anna-s1 SHE\nx SHE\n",
            "text: has rows of utterances that have no audio: x; restore",
        ),
        (
            "words.ctm",
            "anna-s1 1",
            ";; x 7\nx 1 0 1 A\nanna-s1 1",
            "words.ctm: has rows of recordings that are not there: x",
        ),
    ],
)
def test_what_is_unknown_is_a_notice(kaldi: Path, name: str, old: str, new: str, message: str) -> None:
    edit(kaldi / name, old, new)
    corpus = open_corpus(kaldi)
    assert len(corpus.utterances) == 4
    assert messages(corpus, "error") == []
    assert any(message in notice for notice in messages(corpus, "notice"))


@pytest.mark.parametrize("times", ["0 0", "0.4 0.3", "0 1.01", "-0.1 0.3", "0 nan", "0", "0 0.3 0.4"])
def test_bad_times_of_segments_name_the_line(tmp_path: Path, times: str) -> None:
    root = miniature.kaldi_segments(tmp_path / "corpus")
    edit(root / "segments", "anna-s1 anna-s1 0 0.50", f"anna-s1 anna-s1 {times}")
    corpus = open_corpus(root)
    assert len(corpus.utterances) == 3
    (error,) = messages(corpus, "error")
    assert "segments:1: " in error


def test_folders_that_cannot_be_read(kaldi: Path) -> None:
    (kaldi / "utt2spk").unlink()
    with pytest.raises(
        InputError, match=r"wav.scp: no utt2spk or spk2utt beside it, .*taken for kaldi because of wav.scp"
    ):
        open_corpus(kaldi)
    (kaldi / "spk2utt").write_text("anna anna-s1 anna-s2\nbert bert-s1 bert-s2 anna-s1\n")
    with pytest.raises(InputError, match="spk2utt: an utterance has two speakers"):
        open_corpus(kaldi)


def test_what_is_said_of_many_rows_is_one_line(kaldi: Path) -> None:
    (kaldi / "text").write_text("anna-s1\nanna-s2\nbert-s1 A\nbert-s1 B\nbert-s1 C\n")
    for path in kaldi.rglob("*.wav"):
        tone(path, SAMPLES - 20)
    found = sorted(text.removeprefix(f"{kaldi}/") for text in messages(open_corpus(kaldi), "notice"))
    assert found == [
        "phones.ctm:4: segments that end at most 10 ms after the audio are clipped to it (4 times)",
        "text: has no row of anna-s1, anna-s2, bert-s2: unknown; add it",
        "text:1: rows with nothing after their key are ignored (2 times)",
        "text:4: keys are listed twice; the first row counts (2 times)",
    ]


def test_parts_of_a_data_folder_are_not_read_twice(kaldi: Path) -> None:
    part = kaldi / "split2" / "1"
    part.mkdir(parents=True)
    (part / "wav.scp").write_text("anna-s1 wav/anna-s1.wav\n")
    corpus = open_corpus(kaldi)
    assert len(corpus.utterances) == 4
    assert "data folders in other data folders are not read: split2/1" in messages(corpus, "notice")[0]


def test_a_data_folder_beside_other_annotations_is_noticed(tmp_path: Path) -> None:
    root = miniature.grids(tmp_path / "corpus")
    (root / "wav.scp").write_text("a anna/s1.wav\n")
    ctm_rows(root / "words.ctm", ["anna/s1"], [(0, 100, "a")])
    notices = messages(open_corpus(root), "notice")
    assert any(
        "wav.scp files are not read as layout textgrid: wav.scp; --layout kaldi reads them" in n for n in notices
    )
    assert any(".ctm files are not read as layout textgrid: words.ctm; --layout ctm reads them" in n for n in notices)


# --- CTM files ----------------------------------------------------------------------------------------


def test_a_folder_with_ctm_files(ctm: Path) -> None:
    edit(ctm / "words.ctm", "anna/s1", ";; a comment\nanna_s1")
    corpus = open_corpus(ctm)
    assert corpus.problems == ()
    assert corpus.speakers == (Speaker("anna", "F", age=33.0), Speaker("bert", "M", age=7.5))
    utterance = corpus.utterances[0]
    assert (utterance.id, utterance.text, utterance.words) == ("anna_s1", "SHE", (Segment("SHE", 1000, 6000),))
    assert open_corpus(ctm, speaker_from="1").speakers == corpus.speakers


def test_positions_of_phones_in_their_words_are_removed(ctm: Path) -> None:
    wanted = open_corpus(ctm).utterances
    edit(ctm / "phones.ctm", "SH\n", "SH_B\n")
    edit(ctm / "phones.ctm", "IY1", "IY1_E")
    edit(ctm / "phones.ctm", "SIL", "SIL_S")
    corpus = open_corpus(ctm)
    assert [u.phonemes for u in corpus.utterances] == [u.phonemes for u in wanted]
    (notice,) = messages(corpus, "notice")
    assert notice.endswith("phones.ctm: positions in the word (_B, _I, _E, _S) removed from 16 phone labels")
    ctm_rows(ctm / "words.ctm", ["anna/s1"], [(0, 1000, "PLAN_B")])
    assert open_corpus(ctm).utterances[0].words == (Segment("PLAN_B", 0, 1000),)


@pytest.mark.parametrize("name", ["ali.ctm", "words-phones.ctm"])
def test_the_unit_of_a_ctm_file_is_refused_unless_it_is_clear(ctm: Path, name: str) -> None:
    (ctm / "words.ctm").unlink()
    (ctm / "phones.ctm").rename(ctm / name)
    corpus = open_corpus(ctm)
    (error,) = messages(corpus, "error")
    assert error.endswith(
        f"{name}: holds words or phones, which its name does not say; rename it to words.ctm or phones.ctm, "
        f"or give --word-tier {name} or --phoneme-tier {name}"
    )
    for pattern in (name, "*.ctm"):
        corpus = open_corpus(ctm, phoneme_tier=pattern)
        assert corpus.problems == ()
        assert [s.label for s in corpus.utterances[0].phonemes] == ["h#", "SH", "IY1", "h#"]


def test_names_of_folders_tell_the_unit_and_kaldis_ctm_holds_words(ctm: Path, kaldi: Path) -> None:
    (ctm / "words").mkdir()
    (ctm / "words.ctm").rename(ctm / "words" / "all.ctm")
    assert open_corpus(ctm).utterances[0].words == (Segment("SHE", 1000, 6000),)
    (kaldi / "words.ctm").rename(kaldi / "ctm")
    corpus = open_corpus(kaldi)
    assert corpus.utterances[0].words == (Segment("SHE", 1000, 6000),)
    assert messages(corpus, "notice") == [f"{kaldi}/ctm: its labels are taken for words; --phoneme-tier ctm if not"]


def test_two_ctm_files_of_one_recording_are_refused(ctm: Path) -> None:
    ctm_rows(ctm / "more-words.ctm", ["anna/s1"], [(0, 100, "A")])
    corpus = open_corpus(ctm)
    assert len(corpus.utterances) == 3
    (error,) = messages(corpus, "error")
    assert f"words.ctm:1: anna/s1 has words here and in {ctm}/more-words.ctm; remove one of them" in error


def test_recordings_of_one_name_need_their_folders_in_the_ctm(ctm: Path) -> None:
    edit(ctm / "words.ctm", "anna/s1", "s1")
    errors = messages(open_corpus(ctm), "error")
    assert len(errors) == 2
    assert all("several recordings are called s1; name them in the CTM files with their folders" in e for e in errors)


def test_recordings_without_rows_are_unaligned(ctm: Path) -> None:
    tone(ctm / "anna" / "s3.wav")
    notices = messages(open_corpus(ctm), "notice")
    assert any("aligned 4 of 5 utterances; no phones or words: anna_s3" in notice for notice in notices)


def test_rows_are_rounded_to_samples_and_then_compared(ctm: Path) -> None:
    (ctm / "phones.ctm").unlink()
    lines = [
        "anna/s1 1 0.1000 0.10001 a",
        "anna/s1 1 0.2 0.00001 b",
        "anna/s1 1 0.2 0.1 c 0.9",
        "anna/s1 1 0.4 0.105 d",
    ]
    (ctm / "words.ctm").write_text("\n".join(lines))
    corpus = open_corpus(ctm)
    assert corpus.utterances[0].words == (
        Segment("a", 1600, 3200),
        Segment("c", 3200, 4800),
        Segment("d", 6400, SAMPLES),
    )
    notices = "\n".join(messages(corpus, "notice"))
    assert "words.ctm:2: 'b' holds no sample and is dropped; 1 such in all" in notices
    assert "words.ctm:4: 'd' at samples 6400 to 8080 clipped to the audio's end at 8000" in notices


@pytest.mark.parametrize("rate", [8000, 44100])
def test_times_hold_at_any_rate(ctm: Path, rate: int) -> None:
    for path in ctm.rglob("*.wav"):
        tone(path, SAMPLES * rate // RATE, rate)
    (word,) = open_corpus(ctm).utterances[0].words
    assert (word.start, word.end) == (1000 * rate // RATE, 6000 * rate // RATE) if rate == 8000 else (2756, 16538)


def test_phones_of_timit_survive_as_a_data_folder(timit_sample: Path, tmp_path: Path) -> None:
    timit = open_corpus(timit_sample).utterances
    tables: dict[str, list[str]] = {"wav.scp": [], "utt2spk": [], "text": [], "phones.ctm": []}
    for u in timit:
        tables["wav.scp"].append(f"{u.id} {u.audio.absolute()}")
        tables["utt2spk"].append(f"{u.id} {u.speaker.id}")
        tables["text"].append(f"{u.id} {u.text}")
        tables["phones.ctm"] += [f"{u.id} 1 {s.start / RATE} {s.samples / RATE:.6f} {s.label}" for s in u.phonemes]
    for name, lines in tables.items():
        (tmp_path / name).write_text("\n".join(lines))
    corpus = open_corpus(tmp_path, strict=True)
    assert [(u.id, u.phonemes, u.text) for u in corpus.utterances] == [(u.id, u.phonemes, u.text) for u in timit]
