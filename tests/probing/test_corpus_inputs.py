"""Corpora that could be read in two ways: read as their owners mean them, with a notice, or refused by name."""

import shutil
import unicodedata
from pathlib import Path

import numpy as np
import pytest

from lvm_probe import InputError
from lvm_probe.probing.corpora import open_corpus
from lvm_probe.probing.corpora.audio import read_audio, read_audio_header
from lvm_probe.probing.corpora.corpus import Corpus, Segment
from tests.probing.miniature import (
    PHONES,
    RATE,
    SAMPLES,
    WORDS,
    festival_labels,
    grids,
    htk,
    librispeech,
    rows,
    text_grid,
    timit_nltk,
    tone,
)

CASES = Path(__file__).resolve().parents[3] / "shared" / "cases"


def notices(corpus: Corpus) -> list[str]:
    return [str(problem) for problem in corpus.problems if problem.severity == "notice"]


def case(name: str) -> Path:
    if not (CASES / name).is_dir():
        pytest.skip(f"{CASES / name} is not there")
    return CASES / name


# --- alignments that do not fit their audio -----------------------------------------------------------


@pytest.mark.parametrize("rate", [8000, 11025, 22050, 44100, 48000])
def test_labels_of_timit_are_scaled_to_resampled_audio(tmp_path: Path, rate: int) -> None:
    root = timit_nltk(tmp_path / "corpus")
    for path in root.rglob("*.wav"):
        tone(path, -(-SAMPLES * rate // 16000), rate, voice=path.parent.name)
    corpus = open_corpus(root)
    for utterance in corpus.utterances:
        for found, wanted in ((utterance.phonemes, PHONES), (utterance.words, WORDS)):
            for segment, (start, end, label) in zip(found, wanted, strict=True):
                assert segment.label == label
                assert abs(segment.start - start * rate / 16000) <= 0.5
                assert abs(segment.end - end * rate / 16000) <= 0.5
    scaled, resampled = sorted(notices(corpus))
    assert f"labels in samples of 16000 Hz, scaled to the {rate} Hz of the audio (4 files: " in scaled
    assert f"resampled from {rate} to 16000 Hz (4 files: dr1-fvmh0/sa1.wav, dr1-fvmh0/sx116.wav, " in resampled


def test_labels_of_timit_in_the_samples_of_resampled_audio(tmp_path: Path) -> None:
    root = timit_nltk(tmp_path / "corpus")
    path = tone(root / "dr1-fvmh0" / "sa1.wav", 3 * SAMPLES, 48000)
    for suffix, table in ((".phn", PHONES), (".wrd", WORDS)):
        rows(path.with_suffix(suffix), [(3 * start, 3 * end, label) for start, end, label in table])
    corpus = open_corpus(root)
    assert corpus.utterances[0].phonemes[1] == Segment("sh", 3000, 7200)
    assert any("labels taken as samples of the audio's 48000 Hz" in text for text in notices(corpus))


def test_labels_of_timit_that_fit_resampled_audio_in_no_rate_are_refused(tmp_path: Path) -> None:
    root = timit_nltk(tmp_path / "corpus")
    path = tone(root / "dr1-fvmh0" / "sa1.wav", 3 * SAMPLES, 48000)
    rows(path.with_suffix(".phn"), PHONES[:2])
    with pytest.raises(
        InputError,
        match="its phones end at 0.15 s in samples of 16000 Hz, as TIMIT writes them, and at 0.05 s in samples of the "
        "audio's 48000 Hz, but the audio lasts 0.50 s",
    ):
        open_corpus(root, strict=True)


def test_alignments_that_stop_long_before_the_audio_are_noticed_in_every_layout(tmp_path: Path) -> None:
    root = timit_nltk(tmp_path / "timit")
    for speaker in ("fvmh0", "mcpm0"):
        rows(root / f"dr1-{speaker}" / "sa1.phn", PHONES[:2])
        rows(root / f"dr1-{speaker}" / "sa1.wrd", WORDS[:0])
    rows(root / "dr1-fvmh0" / "sx116.wrd", [(1000, 2400, "she")])
    short, words = sorted(notices(open_corpus(root)), key=len, reverse=True)
    assert short.startswith(f"{root}: phones end more than 200 ms before the audio; ")
    assert short.endswith("(2 files: dr1-fvmh0/sa1.wav, dr1-mcpm0/sa1.wav)")
    assert "sx116.wav: its words end 225 ms before the last phone" in words

    festival_labels(tone(tmp_path / "lab" / "a_1.wav").with_suffix(".lab"), PHONES[:2])
    assert any(
        "a_1.wav: its phones end 350 ms before the audio" in text for text in notices(open_corpus(tmp_path / "lab"))
    )

    tone(tmp_path / "grid" / "a_1.wav", 4 * 16000)
    text_grid(tmp_path / "grid" / "a_1.TextGrid", words=[(0, 1, "a"), (1, 4, "")])
    text = "\n".join(notices(open_corpus(tmp_path / "grid")))
    assert "a_1.wav: its words end 3000 ms before the audio" in text


def test_the_alignment_may_end_in_a_short_unlabelled_pause(tmp_path: Path) -> None:
    root = timit_nltk(tmp_path / "corpus")
    rows(root / "dr1-fvmh0" / "sa1.phn", PHONES[:-1])  # ends 125 ms before the audio
    assert open_corpus(root).problems == ()


def test_case_timit_resampled() -> None:
    corpus = open_corpus(case("timit-resampled-48k"))
    assert corpus.utterances[0].phonemes[-1] == Segment("h#", 3 * 51465, 3 * 54682)
    assert any("scaled to the 48000 Hz" in text for text in notices(corpus))


# --- the layout ---------------------------------------------------------------------------------------


def test_a_stray_file_of_another_layout_changes_nothing_but_is_noticed(tmp_path: Path) -> None:
    root = grids(tmp_path / "grids")
    (root / "notes.phn").write_text("see the minutes of 3 May\n")
    (root / "anna" / "s1.phn").write_text("0 8000 h#\n")
    corpus = open_corpus(root)
    assert (corpus.name, len(corpus.utterances)) == ("textgrid", 4)
    assert notices(corpus) == [
        f"{root}: .phn files are not read as layout textgrid: anna/s1.phn, notes.phn; --layout timit reads them"
    ]
    root = timit_nltk(tmp_path / "timit")
    text_grid(root / "dr1-fvmh0" / "sa1.TextGrid", phones=[(0, 0.5, "a")])
    corpus = open_corpus(root)
    assert (corpus.name, len(corpus.utterances)) == ("timit", 4)
    assert ".textgrid files are not read as layout timit: dr1-fvmh0/sa1.TextGrid; --layout" in notices(corpus)[0]
    root = htk(tmp_path / "lab")
    text_grid(root / "anna" / "s1.TextGrid", phones=[(0, 0.5, "a")])
    assert (open_corpus(root).name, len(open_corpus(root).utterances)) == ("lab", 4)


def test_a_folder_that_is_unusable_in_its_layout_names_the_file_and_the_option(tmp_path: Path) -> None:
    tone(tmp_path / "TEST" / "DR1" / "F3080" / "one.flac")
    rows(tmp_path / "TEST" / "DR1" / "F3080" / "one.PHN", PHONES)
    with pytest.raises(
        InputError,
        match=r"not in the folder of a TIMIT speaker.*; the layout was taken for timit because of "
        r"TEST/DR1/F3080/one\.PHN, choose another with --layout librispeech\|lab\|textgrid",
    ):
        open_corpus(tmp_path)


def test_librispeech_in_folders_like_those_of_timit(tmp_path: Path) -> None:
    audio = tone(tmp_path / "TEST" / "DR1" / "F3080" / "3080-5032-0000.flac")
    rows(audio.with_suffix(".PHN"), PHONES)
    corpus = open_corpus(tmp_path)
    assert (corpus.name, corpus.speakers[0].id) == ("librispeech", "3080")
    assert any(".phn files are not read as layout librispeech" in text for text in notices(corpus))


# --- which files belong together ----------------------------------------------------------------------


@pytest.mark.parametrize("layout", ["lab", "textgrid"])
@pytest.mark.parametrize(("audio", "annotation"), [("NFD", "NFC"), ("NFC", "NFD")])
def test_names_in_either_unicode_form_pair(tmp_path: Path, layout: str, audio: str, annotation: str) -> None:
    name = "anna_étude"
    tone(tmp_path / "wav" / unicodedata.normalize(audio, "élodie") / f"{unicodedata.normalize(audio, name)}.wav")
    path = tmp_path / "lab" / unicodedata.normalize(annotation, "élodie") / unicodedata.normalize(annotation, name)
    if layout == "lab":
        festival_labels(path.with_suffix(".lab"), PHONES)
    else:
        text_grid(path.with_suffix(".TextGrid"), phones=[(0, 0.5, "a")], words=[(0, 0.5, "a")])
    (tmp_path / "speakers.csv").write_text(f"speaker,gender\n{unicodedata.normalize(annotation, 'élodie')},F\n")
    corpus = open_corpus(tmp_path, strict=True)
    assert corpus.problems == ()
    (utterance,) = corpus.utterances
    assert (utterance.id, utterance.speaker.id, utterance.speaker.gender) == ("élodie_anna_étude", "élodie", "F")


def test_a_table_of_speakers_with_semicolons(tmp_path: Path) -> None:
    root = grids(tmp_path / "corpus")
    (root / "speakers.csv").write_text("speaker;gender;height_cm\nanna;F;165.1\nbert;M;1.65\n")
    corpus = open_corpus(root)
    (problem,) = corpus.problems
    assert [(s.id, s.gender, s.height_cm) for s in corpus.speakers] == [("anna", "F", 165.1), ("bert", None, None)]
    assert str(problem).startswith(f"{root}/speakers.csv:3: speaker bert: 1.65 cm is not a person's height; give ")


def test_an_annotation_in_the_folder_of_another_speaker_is_not_taken(tmp_path: Path) -> None:
    root = grids(tmp_path / "corpus")
    tone(root / "anna" / "s9.wav")
    grid = text_grid(root / "bert" / "s9.TextGrid", phones=[(0, 0.5, "b")], words=[(0, 0.5, "b")])
    (problem,) = open_corpus(root).problems
    reason = f"its annotation may be {grid}, in another folder; move that beside it, or remove one of them"
    assert str(problem) == f"{root}/anna/s9.wav: {reason}"


@pytest.mark.parametrize(
    ("names", "notice"),
    [
        (("Satz1.wav", "Satz2.wav"), "are taken for speakers, each of one recording: Satz1, Satz2; if that"),
        (("haus_1-anna.wav", "haus_2-bert.wav"), "whose names begin with haus are taken for one person; if they are"),
        (("anna_1.wav", "anna_2.wav", "bert_1.wav"), None),
        (("anna/anna_1.wav", "anna/anna_2.wav"), None),
    ],
)
def test_doubtful_speakers_are_named(tmp_path: Path, names: tuple[str, ...], notice: str | None) -> None:
    for name in names:
        text_grid(tone(tmp_path / name).with_suffix(".TextGrid"), phones=[(0, 0.5, "a")], words=[(0, 0.5, "a")])
    told = [text for text in notices(open_corpus(tmp_path)) if "speaker-from" in text]
    assert [notice in text for text in told] == ([True] if notice else [])


def test_two_annotations_of_one_recording_are_refused_or_named(tmp_path: Path) -> None:
    root = grids(tmp_path / "beside")
    tone(root / "anna" / "s9.wav")
    text_grid(root / "anna" / "s9.TextGrid", phones=[(0, 0.5, "b")], words=[(0, 0.5, "b")])
    other = text_grid(root / "TextGrid" / "anna" / "s9.TextGrid", phones=[(0, 0.5, "a")])
    corpus = open_corpus(root)
    assert corpus.utterances[2].phonemes == (Segment("b", 0, SAMPLES),)
    assert notices(corpus) == [
        f"{other}: ignored: {root}/anna/s9.wav is read with {root}/anna/s9.TextGrid; remove one of the two annotations"
    ]
    moved = other.rename(root / "s9.TextGrid")
    (problem,) = open_corpus(root).problems
    reason = f"no audio of this name beside it or in a parallel folder ({root}/anna/s9.wav has another annotation)"
    assert str(problem).startswith(f"{moved}: {reason}")

    root = tmp_path / "same"
    tone(root / "a_1.wav")
    for name in ("a_1.TextGrid", "A_1.textgrid"):
        text_grid(root / name, phones=[(0, 0.5, name)], words=[(0, 0.5, "b")])
    with pytest.raises(InputError, match=r"a_1.wav: several annotations could belong to it \(.*; keep one of them"):
        open_corpus(root)


@pytest.mark.parametrize("suffix", [".phn", ".wrd", ".txt"])
def test_two_annotations_of_timit_that_differ_in_case_are_refused(tmp_path: Path, suffix: str) -> None:
    root = timit_nltk(tmp_path / "corpus")
    rows(root / "dr1-fvmh0" / f"SA1{suffix.upper()}", PHONES)
    with pytest.raises(
        InputError, match=f"sa1.wav: SA1{suffix.upper()} and sa1{suffix} could both belong to it; remove one of them"
    ):
        open_corpus(root, strict=True)


def test_copies_of_recordings_are_noticed(tmp_path: Path) -> None:
    root = grids(tmp_path / "corpus")
    shutil.copy(root / "anna" / "s1.wav", root / "bert" / "s2.wav")
    message = "1 recordings are copies of others, which makes accuracies too high: bert_s2 = anna_s1; remove the copies"
    assert notices(open_corpus(root)) == [f"{root}: {message}"]


@pytest.mark.parametrize("name", ["a_1.mp3", "a_1.wav", "a_1.flac"])
def test_resource_forks_of_macos_are_ignored(tmp_path: Path, name: str) -> None:
    audio = tone(tmp_path / name)
    text_grid(tmp_path / "a_1.TextGrid", phones=[(0, 0.5, "a")], words=[(0, 0.5, "a")])
    for other in (name, "a_1.TextGrid"):
        (tmp_path / f"._{other}").write_bytes(b"\0\5\x16\7\0\2\0\0Mac OS X" + bytes(100))
    (utterance,) = open_corpus(tmp_path, strict=True).utterances
    assert utterance.audio == audio
    assert len(read_audio(utterance, RATE)) == utterance.samples


def with_sizes(path: Path, riff: int, data: int, after: bytes = b"") -> Path:
    """A WAV with other sizes in its header, and other bytes after its audio."""
    content = path.read_bytes()
    at = content.index(b"data") + 4
    sizes = [size.to_bytes(4, "little") for size in (riff, data)]
    path.write_bytes(content[:4] + sizes[0] + content[8:at] + sizes[1] + content[at + 4 :] + after)
    return path


@pytest.mark.parametrize(("riff", "data"), [(0, 0), (36, 0), (2**32 - 1, 2**32 - 1), (0x7FFFF024, 0x7FFFF000)])
def test_a_wav_from_a_pipe_is_read_to_its_end(tmp_path: Path, riff: int, data: int) -> None:
    root = grids(tmp_path / "corpus")
    wanted = [read_audio(utterance, RATE) for utterance in open_corpus(root).utterances]
    first, second, *_ = sorted(root.rglob("*.wav"))
    with_sizes(first, riff, data)
    with_sizes(second, riff, data, after=b"\0")  # half a sample, as where the pipe broke
    corpus = open_corpus(root, strict=True)
    for utterance, wave in zip(corpus.utterances, wanted, strict=True):
        np.testing.assert_array_equal(read_audio(utterance, RATE), wave)
    (notice,) = notices(corpus)
    assert "header does not say how long it is" in notice
    assert notice.endswith("read to the end (2 files: anna/s1.wav, anna/s2.wav)")


def test_an_empty_wav_is_not_taken_for_one_from_a_pipe(tmp_path: Path) -> None:
    for name, after in (("a.wav", b""), ("b.wav", b"LIST\x04\0\0\0INFO"), ("c.wav", b"id3 \x02\0\0\0ID")):
        path = tone(tmp_path / name, 1)
        path.write_bytes(path.read_bytes()[:-2])
        with pytest.raises(InputError, match=f"{name}: contains no samples"):
            read_audio_header(with_sizes(path, 36 + len(after), 0, after))


def test_case_stray_phn() -> None:
    corpus = open_corpus(case("stray-phn-turns-layout"))
    assert corpus.name == "textgrid"
    assert any("notes.phn; --layout timit reads them" in text for text in notices(corpus))


def test_case_unicode_names() -> None:
    assert len(open_corpus(case("nfd-nfc-names"), strict=True).utterances) == 2


# --- utterances without rows --------------------------------------------------------------------------


def test_case_partly_aligned() -> None:
    corpus = open_corpus(case("libri-partly-aligned"))
    assert any("aligned 1 of 3 utterances; no phones or words: 12-33-0000, 13-44-0000" in t for t in notices(corpus))


def test_condensed_alignments_of_librispeech_are_words(tmp_path: Path) -> None:
    root = librispeech(tmp_path / "corpus")
    alignments = root / "dev-clean" / "103" / "1240" / "103-1240.alignment.txt"
    alignments.write_text(
        '103-1240-0000 ",SHE,HAD," "0.05,0.2,0.4,0.5"\n103-1240-0001 "SHE,,HAD" "0.1,0.2,0.45"\nnonsense\n'
    )
    corpus = open_corpus(root)
    assert corpus.utterances[0].words == (Segment("SHE", 800, 3200), Segment("HAD", 3200, 6400))
    assert corpus.utterances[1].words == (Segment("SHE", 0, 1600), Segment("HAD", 3200, 7200))
    malformed, aligned = sorted(notices(corpus))
    assert aligned == f"{root}: aligned 2 of 4 utterances; no phones or words: 1034-7-0000, 1034-7-0001"
    assert malformed.startswith(f"{alignments}:3: 'nonsense' is not a row")

    text_grid(root / "103-1240-0000.TextGrid", phones=[(0, 0.5, "a")], words=[(0, 0.5, "b")])
    corpus = open_corpus(root)
    assert corpus.utterances[0].words == (Segment("b", 0, SAMPLES),)
    assert any(f"{alignments}:1: alignment of 103-1240-0000 ignored: {root}/103" in text for text in notices(corpus))

    text_grid(root / "corrected" / "103-1240-0000.TextGrid", phones=[(0, 0.5, "a")], words=[(0, 0.5, "b")])
    with pytest.raises(InputError, match=r"103-1240-0000.flac: .* could both belong to it; remove one of them"):
        open_corpus(root, strict=True)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ('",SHE" "0.1"', r"2 words \(pauses among them\) but 1 times"),
        ('",SHE" "0.1,x"', "'x' is not a time in seconds"),
        ('",SHE" "0.2,0.1"', "'SHE' ends at 0.1 s, before the word above it"),
        ('",SHE" "0.2,0.9"', "ends 6400 samples after the audio"),
        ("SHE 0.1", "is not a list of words and one of times"),
    ],
)
def test_bad_condensed_alignments_name_the_line(tmp_path: Path, content: str, message: str) -> None:
    audio = tone(tmp_path / "103-1240-0000.flac")
    path = tmp_path / "103-1240.alignment.txt"
    path.write_text(f"\n103-1240-0000 {content}\n")
    with pytest.raises(InputError, match=message) as refusal:
        open_corpus(audio.parent)
    assert str(refusal.value).startswith(f"{path}:2: ")


def test_case_condensed_alignments() -> None:
    (utterance,) = open_corpus(case("libri-alignment-txt")).utterances
    assert utterance.words == (Segment("ONE", 8000, 14400), Segment("TWO", 14400, 19200))


# --- speakers -----------------------------------------------------------------------------------------


def sessions(root: Path) -> Path:
    for speaker in ("anna", "bert"):
        for session in ("session1", "session2"):
            audio = tone(root / speaker / session / "wav" / "u1.wav", voice=speaker + session)
            text_grid(audio.with_suffix(".TextGrid"), phones=[(0, 0.5, "a")], words=[(0, 0.5, "a")])
    (root / "speakers.csv").write_text("speaker,gender\nanna,F\nbert,M\nsession1,\nsession2,\n")
    return root


def test_folders_of_one_name_below_different_folders_are_noticed(tmp_path: Path) -> None:
    root = sessions(tmp_path)
    corpus = open_corpus(root)
    assert [speaker.id for speaker in corpus.speakers] == ["session1", "session2"]
    assert len(corpus.utterances) == 4
    assert notices(corpus) == [
        f"{root}: speaker session1, session2: folders of one name below different folders (anna/session1, "
        "bert/session1) are taken for one person; if the folders above them are the speakers, give --speaker-from 1"
    ]


def test_the_same_person_in_training_and_test_is_no_notice(tmp_path: Path) -> None:
    for split in ("train", "test"):
        for kind in ("wav", "TextGrid"):
            path = tmp_path / split / kind / "anna" / f"{split}1"
            if kind == "wav":
                tone(path.with_suffix(".wav"))
            else:
                text_grid(path.with_suffix(".TextGrid"), phones=[(0, 0.5, "a")], words=[(0, 0.5, "a")])
    (tmp_path / "speakers.csv").write_text("speaker,gender\nanna,F\n")
    assert open_corpus(tmp_path).problems == ()


@pytest.mark.parametrize("rule", ["1", "-3", "^(anna|bert)/", "table.csv"])
def test_a_rule_names_the_speakers(tmp_path: Path, rule: str) -> None:
    root = sessions(tmp_path / "corpus")
    if rule.endswith(".csv"):
        rule = str(tmp_path / rule)
        rows_ = [f"{path.relative_to(root)},{path.relative_to(root).parts[0]}\n" for path in root.rglob("*.wav")]
        Path(rule).write_text("file,speaker\n" + "".join(rows_))
    corpus = open_corpus(root, speaker_from=rule)
    assert corpus.problems == ()
    assert [speaker.gender for speaker in corpus.speakers] == ["F", "M"]
    assert [u.id for u in corpus.select(speakers=["anna"]).utterances] == ["session1_anna_u1", "session2_anna_u1"]


@pytest.mark.parametrize(
    ("rule", "message"),
    [
        ("4", "lies in 3 folders, so that level 4 of --speaker-from names no speaker"),
        ("x(a)", "finds no speaker in its path"),
        ("anna", "with a group"),
        ("(", "not a regular expression"),
        ("nowhere.csv", "no such table of speakers"),
        ("speakers.csv", "lacks the columns file and speaker"),
    ],
)
def test_rules_that_name_no_speaker_are_refused(tmp_path: Path, rule: str, message: str) -> None:
    with pytest.raises(InputError, match=message):
        open_corpus(sessions(tmp_path), speaker_from=rule)
    with pytest.raises(InputError, match="layout timit names its speakers itself"):
        open_corpus(timit_nltk(tmp_path / "timit"), speaker_from=rule)


def test_case_sessions() -> None:
    corpus = open_corpus(case("speaker-is-session-folder"))
    assert any("give --speaker-from 1" in text for text in notices(corpus))
    corpus = open_corpus(case("speaker-is-session-folder"), speaker_from="1")
    assert [speaker.id for speaker in corpus.speakers] == ["anna", "bert"]


def test_a_table_of_speakers_is_watched(tmp_path: Path) -> None:
    root = sessions(tmp_path / "corpus")
    table = tmp_path / "who.csv"
    lines = [f"{path.relative_to(root).as_posix()},{path.parts[-4]}\n" for path in root.rglob("*.wav")]
    table.write_text("file,speaker\n" + "".join(lines))
    corpus = open_corpus(root, speaker_from=str(table))
    assert [speaker.id for speaker in corpus.speakers] == ["anna", "bert"]
    assert corpus.changed() == []
    table.write_text("file,speaker\n" + "".join(reversed(lines)) + "x,y\n")
    assert corpus.changed() == [f"{table}: changed since the corpus was opened"]
    with pytest.raises(InputError, match="who.csv: changed since"):
        corpus.utterances[0].check_unchanged()


@pytest.mark.parametrize("layout", ["timit", "librispeech"])
def test_of_several_tables_of_speakers_one_is_named(tmp_path: Path, layout: str) -> None:
    root = tmp_path / "corpus"
    if layout == "timit":
        timit_nltk(root)
        table = root / "spkrinfo.txt"
    else:
        librispeech(root)
        table = root / "SPEAKERS.TXT"
    assert open_corpus(root).problems == ()
    folders = [root / "a", root / "b"]
    for folder in folders:
        folder.mkdir()
        shutil.copy(table, folder / table.name)
    message = (
        f"{table}: is read, and not {folders[0] / table.name}, {folders[1] / table.name}; remove those that do not"
    )
    assert any(notice.startswith(message) for notice in notices(open_corpus(root)))
    table.unlink()
    message = f"{folders[0] / table.name}: is read, and not {folders[1] / table.name}; remove those that do not count"
    assert message in notices(open_corpus(root))
    for folder in folders:
        shutil.rmtree(folder)
    (tmp_path / "DOC").mkdir()
    for name in ("DOC/SPEAKERS.TXT", "speakers.txt", "DOC/SPKRINFO.TXT", "spkrinfo.txt"):
        (tmp_path / name).write_text("")
    (notice,) = [text for text in notices(open_corpus(root)) if "is read, and not" in text]
    assert f"{tmp_path}/{table.name.lower()}: is read, and not {tmp_path}/DOC/" in notice
