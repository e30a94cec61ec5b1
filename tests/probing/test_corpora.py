"""One contract for all layouts, the peculiarities of each layout, and every kind of bad input."""

import doctest
import importlib
import json
import subprocess
import sys
import unicodedata
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from lvm_probe import InputError
from lvm_probe.probing.corpora import open_corpus
from lvm_probe.probing.corpora.audio import read_audio
from lvm_probe.probing.corpora.corpus import Corpus, Segment, Speaker, Utterance
from lvm_probe.probing.corpora.phones import NON_PHONEMES, SILENCES
from lvm_probe.probing.corpora.registry import LAYOUTS, reader
from lvm_probe.probing.corpora.summary import as_text, describe
from lvm_probe.probing.corpora.timit import height_cm
from tests.probing import miniature
from tests.probing.miniature import MINIATURES, PHONES, festival_labels, rows, text_grid, tone


@pytest.fixture(params=MINIATURES)
def layout(request: pytest.FixtureRequest, tmp_path: Path) -> tuple[str, Path]:
    """The name of a layout and a folder of it."""
    small = MINIATURES[request.param]
    return small.layout, small.write(tmp_path / "corpus")


@pytest.fixture
def ldc(tmp_path: Path) -> Path:
    return miniature.timit_ldc(tmp_path / "corpus")


def errors(corpus: Corpus) -> list[str]:
    return [str(problem) for problem in corpus.problems if problem.severity == "error"]


def notices(corpus: Corpus) -> list[str]:
    return [str(problem) for problem in corpus.problems if problem.severity == "notice"]


# --- contract -------------------------------------------------------------------------------------


def test_every_layout_has_a_miniature() -> None:
    assert {small.layout for small in MINIATURES.values()} == set(LAYOUTS)


@pytest.mark.parametrize("name", LAYOUTS)
def test_every_layout_names_its_non_phonemes_as_the_probes_know_them(name: str) -> None:
    non_speech = reader(name).NON_SPEECH
    assert non_speech.pauses
    assert set(non_speech.pauses.values()) <= SILENCES
    labels = {*non_speech.pauses, *non_speech.noises, *non_speech.phone_noises}
    assert all(label == label.casefold() for label in labels)
    assert all(non_speech.name(label.upper(), is_phone=True) in NON_PHONEMES for label in labels)


def test_contract(layout: tuple[str, Path]) -> None:
    name, root = layout
    corpus = open_corpus(root)
    assert corpus == open_corpus(str(root), layout=name, strict=True, resample=False)
    assert (corpus.name, corpus.root, corpus.problems) == (name, root, ())
    assert [utterance.id for utterance in corpus.utterances] == sorted({u.id for u in corpus.utterances})
    assert len(corpus.utterances) == 4
    assert len(corpus.speakers) == 2
    assert corpus.seconds == 4 * 0.5
    known: list[Callable[[Utterance], bool]] = [
        lambda utterance: utterance.speaker.gender is not None,
        lambda utterance: utterance.text is not None,
        lambda utterance: bool(utterance.phonemes),
        lambda utterance: bool(utterance.words),
    ]
    for fact in known:  # a layout tells it of all utterances or of none
        assert len({fact(utterance) for utterance in corpus.utterances}) == 1
    for utterance in corpus.utterances:
        assert utterance.audio.is_file()
        assert read_audio(utterance, 16000).shape == (utterance.samples,)
        assert all(segment.end <= utterance.samples for segment in utterance.phonemes + utterance.words)


def test_contract_fingerprint_and_selection(layout: tuple[str, Path], tmp_path: Path) -> None:
    _, root = layout
    corpus = open_corpus(root)
    moved = root.rename(tmp_path / "elsewhere")
    assert open_corpus(moved).fingerprint() == (fingerprint := open_corpus(moved).fingerprint())
    with pytest.raises(InputError, match="gone"):
        corpus.fingerprint()
    corpus = open_corpus(moved)
    assert len(fingerprint) == 64
    one = corpus.select(speakers=[corpus.speakers[0].id])
    assert one.speakers == corpus.speakers[:1]
    assert one.fingerprint() != fingerprint
    other = replace(corpus.utterances[0], speaker=Speaker("somebody"))
    assert replace(corpus, utterances=(other, *corpus.utterances[1:])).fingerprint() != fingerprint
    for change in ({"split": "other"}, {"text": "other"}):
        changed = replace(corpus.utterances[0], **change)
        assert replace(corpus, utterances=(changed, *corpus.utterances[1:])).fingerprint() != fingerprint
    for split in corpus.splits:
        assert {utterance.split for utterance in corpus.select(split=split).utterances} == {split}
    with pytest.raises(InputError, match="no split 'nowhere'"):
        corpus.select(split="nowhere")
    with pytest.raises(InputError, match="no speaker nobody"):
        corpus.select(speakers=["nobody"])


def test_contract_description(layout: tuple[str, Path]) -> None:
    corpus = open_corpus(layout[1])
    doc = json.loads(json.dumps(describe(corpus)))
    assert (doc["utterances"], doc["speakers"], doc["seconds"], doc["problems"]) == (4, 2, 2.0, [])
    assert doc["tokens"] == {
        "phoneme": sum(len(utterance.phonemes) for utterance in corpus.utterances),
        "word": sum(len(utterance.words) for utterance in corpus.utterances),
    }
    assert doc["speakers_by_gender"] in ({"F": 1, "M": 1, "unknown": 0}, {"F": 0, "M": 0, "unknown": 2})
    assert (doc["silences"] > 0) == (doc["tokens"]["phoneme"] > 0)  # the miniature has pauses; the reader knows them
    assert sum(doc["labels"]["phoneme"].values()) == doc["tokens"]["phoneme"]
    assert "utterances  4" in as_text(doc)


def test_contract_one_bad_recording(layout: tuple[str, Path]) -> None:
    _, root = layout
    victim = open_corpus(root).utterances[0].audio
    victim.write_bytes(b"junk")
    corpus = open_corpus(root)
    assert len(corpus.utterances) == 3
    assert len(errors(corpus)) == 1
    assert errors(corpus)[0].startswith(f"{victim}: unreadable")
    assert describe(corpus)["problems"] == errors(corpus)
    with pytest.raises(InputError, match="unreadable"):
        open_corpus(root, strict=True)


def test_contract_all_bad(layout: tuple[str, Path]) -> None:
    _, root = layout
    for utterance in open_corpus(root).utterances:
        utterance.audio.write_bytes(b"")
    with pytest.raises(InputError, match=r"empty.*\(4 such problems, no usable utterance\)"):
        open_corpus(root)


def test_contract_other_rate_and_stereo(layout: tuple[str, Path]) -> None:
    _, root = layout
    first, second, *_ = open_corpus(root).utterances
    fmt: dict[str, Any] = {"format": "NIST", "subtype": "PCM_16"} if first.audio.suffix == ".WAV" else {}
    tone(first.audio, 11025, rate=22050, **fmt)
    tone(second.audio, channels=2, **fmt)
    corpus = open_corpus(root)
    assert f"{first.audio}: resampled from 22050 to 16000 Hz" in notices(corpus)
    assert read_audio(corpus.utterances[0], 16000).shape == (8000,)
    assert len(errors(corpus)) == 1
    assert errors(corpus)[0].startswith(f"{second.audio}: 2 channels, but one is needed")
    refused = [text for text in errors(open_corpus(root, resample=False)) if "needs resampling" in text]
    assert len(refused) == 1


# --- opening -----------------------------------------------------------------------------------------


def test_folders_without_a_corpus(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no such folder; give"):
        open_corpus(tmp_path / "missing")
    with pytest.raises(InputError, match="the folder is empty; give"):
        open_corpus(tmp_path)
    (tmp_path / "notes.txt").write_text("nothing")
    with pytest.raises(InputError, match="1 files but no audio; give"):
        open_corpus(tmp_path)
    with pytest.raises(InputError, match="a file, not a folder"):
        open_corpus(tmp_path / "notes.txt")
    tone(tmp_path / "a.wav")
    with pytest.raises(InputError, match="1 audio files in no known layout"):
        open_corpus(tmp_path)
    with pytest.raises(
        InputError,
        match="unknown corpus layout 'xyz'; choose one of auto, librispeech, timit, lab, textgrid, kaldi, ctm",
    ):
        open_corpus(tmp_path, layout="xyz")
    with pytest.raises(InputError, match="not in the folder of a TIMIT speaker"):
        open_corpus(tmp_path, layout="timit")


@pytest.mark.parametrize(
    ("code", "module"),
    [
        ("from lvm_probe.probing.corpora.registry import LAYOUTS", "numpy"),
        (
            "import lvm_probe.probing.corpora as c, lvm_probe.probing.corpora.demo as d; c.open_corpus(d.CORPUS)",
            "torch",
        ),
    ],
)
def test_names_of_layouts_and_corpora_load_without_slow_libraries(code: str, module: str) -> None:
    code = f"{code}; import sys; sys.exit({module!r} in sys.modules)"
    root = Path(__file__).resolve().parents[2]
    assert subprocess.run([sys.executable, "-c", code], check=False, cwd=root).returncode == 0


@pytest.mark.parametrize("name", ["audio", "corpus", "phones", "registry", "timit"])
def test_examples(name: str) -> None:
    result = doctest.testmod(importlib.import_module(f"lvm_probe.probing.corpora.{name}"))
    assert result.attempted
    assert not result.failed


def test_links_to_folders_are_followed_but_loops_end(ldc: Path, tmp_path: Path) -> None:
    (tmp_path / "linked").mkdir()
    (tmp_path / "linked" / "TIMIT").symlink_to(ldc)
    (ldc / "TRAIN" / "again").symlink_to(ldc)
    assert len(open_corpus(tmp_path / "linked").utterances) == 4


# --- TIMIT --------------------------------------------------------------------------------------------


def test_timit_aligned_anew_is_a_folder_of_textgrids(tmp_path: Path) -> None:
    tone(tmp_path / "fvmh0" / "sa1.wav")
    (tmp_path / "fvmh0" / "sa1.TextGrid").write_text("")
    with pytest.raises(InputError, match="not a usable TextGrid"):
        open_corpus(tmp_path)
    (tmp_path / "fvmh0" / "sa1.TextGrid").unlink()
    with pytest.raises(InputError, match=r"no \.PHN"):
        open_corpus(tmp_path)


def test_timit_layouts_agree(tmp_path: Path) -> None:
    ldc = open_corpus(miniature.timit_ldc(tmp_path / "a"))
    nltk = open_corpus(miniature.timit_nltk(tmp_path / "b"))
    anywhere = Path()
    assert [replace(u, audio=anywhere) for u in ldc.utterances] == [replace(u, audio=anywhere) for u in nltk.utterances]
    utterance = ldc.utterances[1]
    assert utterance.id == "FVMH0_SX116"
    assert utterance.speaker == Speaker("FVMH0", "F", 165.1, "DR1")
    assert utterance.split == "train"
    assert utterance.phonemes == tuple(Segment(label, start, end) for start, end, label in PHONES)
    assert (utterance.text, utterance.prompt) == ("She had.", "SX116")
    assert ldc.splits == ("test", "train")


def test_timit_in_mixed_case_as_flac_and_from_inside(tmp_path: Path) -> None:
    root = miniature.timit_ldc(tmp_path / "timit")
    speaker = (root / "TRAIN").rename(root / "Train") / "DR1" / "FVMH0"
    (speaker / "SA1.WAV").unlink()
    tone(speaker / "sa1.Flac", format="FLAC")
    (speaker / "SA1.PHN").rename(speaker / "Sa1.phn")
    corpus = open_corpus(root)
    assert not corpus.problems
    assert corpus.utterances[0].id == "FVMH0_SA1"
    inside = open_corpus(speaker)  # SPKRINFO is in DOC, three folders above
    assert not inside.problems
    assert inside.utterances == corpus.select(speakers="FVMH0").utterances


def test_timit_wav_wins_over_flac(ldc: Path) -> None:
    folder = ldc / "TRAIN" / "DR1" / "FVMH0"
    tone(folder / "SA1.flac")
    tone(folder / "SX116.WAV.wav")
    corpus = open_corpus(ldc)
    assert corpus.utterances[0].audio == folder / "SA1.WAV"
    assert corpus.utterances[1].audio == folder / "SX116.WAV"
    assert [text.split(": ")[1] for text in notices(corpus)] == [
        "ignored",
        "ignored",
    ]


@pytest.mark.parametrize(
    ("text", "cm"),
    [
        ("5'11\"", 180.34),
        ("5'05\"", 165.1),
        ("6'02\"", 187.96),
        ("6'", 182.88),
        ("5'9", 175.26),
        ("5'4.5\"", 163.83),
    ]
    + [(text, None) for text in ("??", "???", "", "5'12\"", "0'5\"", "175cm", "5 11", "٥'٣\"")],
)
def test_heights(text: str, cm: float | None) -> None:
    assert height_cm(text) == cm


@pytest.mark.parametrize(
    ("suffix", "text", "line", "message"),
    [
        (".PHN", "0 1000 h#\n1000 2000\n", 2, "is not a row `start end label`"),
        (".PHN", "0 1000 h#\n1000 x2 sh\n", 2, "is not a row"),
        (".PHN", "0 1000 h#\n1000 2000 zz\n", 2, "unknown phone label 'zz'"),
        (".PHN", "0 1000 h#\n900 2000 sh\n", 2, "overlaps the segment above"),
        (".PHN", "500 1000 h#\n0 500 sh\n", 2, "starts before the segment above"),
        (".PHN", "0 1000 h#\n\n1000 1000 sh\n", 3, "contains no samples"),
        (".PHN", "0 1000 h#\n1000 9000 sh\n", 2, "ends 1000 samples after the audio"),
        (".PHN", "0 7999 h#\n8000 8010 sh\n", 2, "ends 10 samples after the audio"),
        (".PHN", "\n", None, "contains no phones"),
        (".PHN", "0 1000 h#\n1000 2000 s\0h\n", 2, "contains NUL bytes"),
        (".WRD", "0 1000 she\n1000 2000 h\udce9\n", 2, "is not UTF-8"),
        (".WRD", "500 1000 she\n0 500 had\n", 2, "starts before the segment above"),
    ],
)
def test_bad_annotations_name_the_line(ldc: Path, suffix: str, text: str, line: int | None, message: str) -> None:
    path = ldc / "TRAIN" / "DR1" / "FVMH0" / f"SX116{suffix}"
    path.write_bytes(text.encode(errors="surrogateescape"))
    corpus = open_corpus(ldc)
    assert [utterance.id for utterance in corpus.utterances] == ["FVMH0_SA1", "MCPM0_SA1", "MCPM0_SX116"]
    (text,) = errors(corpus)
    assert text.startswith(f"{path}:{line}: " if line else f"{path}: ")
    assert message in text
    with pytest.raises(InputError, match=message):
        open_corpus(ldc, strict=True)


def test_timit_files_that_are_missing(ldc: Path) -> None:
    folder = ldc / "TRAIN" / "DR1" / "FVMH0"
    (folder / "SA1.WAV").unlink()
    (folder / "SX116.PHN").unlink()
    (ldc / "TEST" / "DR1" / "MCPM0" / "SA1.WRD").unlink()
    (ldc / "TEST" / "DR1" / "MCPM0" / "SX116.TXT").unlink()
    corpus = open_corpus(ldc)
    assert [utterance.id for utterance in corpus.utterances] == ["MCPM0_SA1", "MCPM0_SX116"]
    assert [text.split(": ")[1].split(";")[0] for text in errors(corpus)] == [
        "no .wav or .flac of this name beside it",
        "no .PHN of this name beside it",
    ]
    assert [text.split(": ")[1] for text in notices(corpus)] == ["no .WRD of this name beside it"]
    assert corpus.utterances[0].words == ()
    assert corpus.utterances[1].text is None


def test_a_few_samples_past_the_end_are_clipped(ldc: Path) -> None:
    path = ldc / "TRAIN" / "DR1" / "FVMH0" / "SA1.PHN"
    rows(path, [(0, 4000, "sh"), (4000, 8160, "h#")])  # 10 ms too long, the most that is forgiven
    corpus = open_corpus(ldc)
    assert corpus.utterances[0].phonemes[-1] == Segment("h#", 4000, 8000)
    assert notices(corpus) == [f"{path}:2: 'h#' at samples 4000 to 8160 clipped to the audio's end at 8000"]
    rows(path, [(0, 4000, "sh"), (4000, 8161, "h#")])
    assert "ends 161 samples after the audio" in errors(open_corpus(ldc))[0]


def test_timit_speakers_not_listed(ldc: Path) -> None:
    info = ldc / "DOC" / "SPKRINFO.TXT"
    info.write_text("VMH0 F 1 TRN 03/11/86 01/08/60 tall WHT BS\nsomething else\n")
    corpus = open_corpus(ldc)
    assert corpus.speakers == (Speaker("FVMH0", "F", None, "DR1"), Speaker("MCPM0", "M", None, "DR1"))
    assert [text.removeprefix(str(info)) for text in notices(corpus)] == [
        ": speaker MCPM0 is not listed: height unknown, gender M from the folder name",
        ":1: height 'tall' is not in feet and inches such as 5'11\"; taken as unknown",
        ":2: 'something else' is not a row `ID Sex DR Use RecDate BirthDate Ht ...`; "
        "the row is ignored until it is fixed",
    ]
    info.unlink()
    assert [text.split(": ")[1] for text in notices(open_corpus(ldc))] == ["no SPKRINFO.TXT here or above"]
    assert open_corpus(ldc).splits == ("test", "train")


def test_duplicates_and_contradictions_are_left_out(ldc: Path) -> None:
    for folder in ("DR1", "DR2"):
        audio = tone(ldc / "UNUSED" / folder / "FVMH0" / f"{'SA1' if folder == 'DR1' else 'SI5'}.WAV")
        rows(audio.with_suffix(".PHN"), PHONES)
    corpus = open_corpus(ldc)
    assert len(corpus.utterances) == 4
    first, second = errors(corpus)
    assert "utterance id FVMH0_SA1 is taken by" in first
    assert "its speaker is Speaker(id='FVMH0'" in second


# --- LibriSpeech --------------------------------------------------------------------------------------


def test_librispeech(tmp_path: Path) -> None:
    root = miniature.librispeech(tmp_path / "LibriSpeech")
    corpus = open_corpus(root / "dev-clean")  # SPEAKERS.TXT is one folder above
    assert not corpus.problems
    utterance = corpus.utterances[0]
    assert (utterance.id, utterance.split, utterance.text) == ("103-1240-0000", "dev-clean", "SHE HAD")
    assert utterance.prompt == "SHE HAD"
    assert utterance.speaker == Speaker("103", "F")
    assert utterance.phonemes == ()


def test_librispeech_flat(tmp_path: Path) -> None:
    tone(tmp_path / "x" / "103-1240-0000.flac")
    (corpus := open_corpus(tmp_path / "x"))
    assert (corpus.utterances[0].split, corpus.utterances[0].text) == (None, None)
    assert corpus.speakers == (Speaker("103"),)
    assert len(notices(corpus)) == 1
    assert "no SPEAKERS.TXT" in notices(corpus)[0]


def test_librispeech_with_alignments(tmp_path: Path) -> None:
    root = miniature.librispeech(tmp_path / "c")
    text_grid(
        root / "aligned" / "103-1240-0000.TextGrid",
        phones=[(0, 0.25, "AA1"), (0.25, 0.5, "")],
        words=[(0, 0.5, "a")],
    )
    corpus = open_corpus(root)
    assert notices(corpus) == [
        f"{root}: aligned 1 of 4 utterances; no phones or words: 103-1240-0001, 1034-7-0000, 1034-7-0001"
    ]
    assert (describe(corpus)["aligned"], len(describe(corpus)["unaligned"])) == (1, 3)
    assert "  aligned     1 of 4 utterances\n" in as_text(describe(corpus))
    assert corpus.utterances[0].phonemes == (Segment("AA1", 0, 4000), Segment("h#", 4000, 8000))


def test_librispeech_bad_tables(tmp_path: Path) -> None:
    root = miniature.librispeech(tmp_path / "c")
    (root / "SPEAKERS.TXT").write_text("103 | F | x\n1034 | X | x\n")
    trans = root / "dev-clean" / "103" / "1240" / "103-1240.trans.txt"
    trans.write_text("103-1240-0000 SHE HAD\nnonsense\n103-1240-0009 GONE\n")
    tone(root / "other.flac")
    corpus = open_corpus(root)
    assert [speaker.gender for speaker in corpus.speakers] == ["F", None]
    text = "\n".join(errors(corpus) + notices(corpus))
    assert f"{trans}:3: 103-1240-0009 has a transcript but no audio" in text
    assert "other.flac: is not named reader-chapter-number" in text
    assert f"{trans}:2: 'nonsense' is not a row" in text
    assert "SPEAKERS.TXT:2: '1034 | X | x' is not a row" in text
    assert "103-1240-0001.flac: no transcript" in text
    assert "speaker 1034 is not in SPEAKERS.TXT" in text
    (root / "SPEAKERS.TXT").write_bytes(b"103 | \xff\n")
    assert any("is not UTF-8 text" in text for text in notices(open_corpus(root)))


# --- TextGrids ----------------------------------------------------------------------------------------


def test_textgrid(tmp_path: Path) -> None:
    corpus = open_corpus(miniature.grids(tmp_path / "c"))
    utterance = corpus.utterances[0]
    assert utterance.id == "anna_s1"
    assert utterance.speaker == Speaker("anna", "F", 165.1, "DR1")
    assert utterance.phonemes == (
        Segment("h#", 0, 1000),
        Segment("sh", 1000, 4000),
        Segment("iy", 4000, 6000),
        Segment("h#", 6000, 8000),
    )
    assert utterance.words == (Segment("she", 1000, 6000),)
    assert utterance.text == "she"


@pytest.mark.parametrize(
    ("audio", "grid", "speaker", "id"),
    [
        ("anna_1.wav", "anna_1.TextGrid", "anna", "anna_1"),
        ("b-7-x.flac", "b-7-x.textgrid", "b", "b-7-x"),
        ("wav/carl/1.wav", "TextGrid/carl/1.TextGrid", "carl", "carl_1"),
        ("dora/wav/1.wav", "dora/textgrid/1.TextGrid", "dora", "dora_1"),
        ("here/emil/emil_1.ogg", "there/1/emil_1.TextGrid", "emil", "emil_1"),
    ],
)
def test_textgrid_finds_its_audio(tmp_path: Path, audio: str, grid: str, speaker: str, id: str) -> None:
    tone(tmp_path / audio)
    text_grid(tmp_path / grid, **{f"{speaker} - Phones": [(0, 0.5, "a")], f"{speaker} - words": [(0, 0.5, "a")]})
    (utterance,) = open_corpus(tmp_path).utterances
    assert (utterance.speaker.id, utterance.id) == (speaker, id)


def test_textgrids_of_the_same_name_stay_with_their_speakers(tmp_path: Path) -> None:
    for speaker in ("anna", "bert"):
        tone(tmp_path / speaker / "wav" / "s1.wav")
        text_grid(tmp_path / speaker / "textgrid" / "s1.TextGrid", phones=[(0, 0.5, speaker)], words=[(0, 0.5, "a")])
    corpus = open_corpus(tmp_path)
    assert [(u.id, u.phonemes[0].label) for u in corpus.utterances] == [
        ("anna_s1", "anna"),
        ("bert_s1", "bert"),
    ]


def test_textgrid_tiers_by_option(tmp_path: Path) -> None:
    tone(tmp_path / "a_1.wav")
    text_grid(tmp_path / "a_1.TextGrid", laute=[(0, 0.5, "a")], rede=[(0, 0.5, "b")])
    with pytest.raises(InputError, match=r"no tier of phones or words \(its interval tiers: 1 'laute', 2 'rede'\)"):
        open_corpus(tmp_path)
    (utterance,) = open_corpus(tmp_path, phoneme_tier="laute", word_tier="rede").utterances
    assert utterance.phonemes == (Segment("a", 0, 8000),)
    with pytest.raises(InputError, match="no interval tier 'x'"):
        open_corpus(tmp_path, phoneme_tier="x")
    text_grid(tmp_path / "a_1.TextGrid", **{"a - phones": [(0, 0.5, "a")], "b - phones": [(0, 0.5, "b")]})
    with pytest.raises(InputError, match="several tiers could be the phones"):
        open_corpus(tmp_path)


def test_pauses_and_noises_are_no_words_and_spoken_noise_is_no_silence(tmp_path: Path) -> None:
    tone(tmp_path / "a_1.wav")
    words = ("sp", "She", "{SL}", "SIL", "{NS}", "<eps>", "had", "{lg}")
    text_grid(
        tmp_path / "a_1.TextGrid",
        phones=[(0, 0.125, "sp"), (0.125, 0.25, "SPN"), (0.25, 0.375, "AE1"), (0.375, 0.5, "spn")],
        words=[(i / 16, (i + 1) / 16, word) for i, word in enumerate(words)],
    )
    (utterance,) = open_corpus(tmp_path).utterances
    assert [segment.label for segment in utterance.phonemes] == ["h#", "spn", "AE1", "spn"]
    assert utterance.text == "She had"


def test_textgrid_problems(tmp_path: Path) -> None:
    root = miniature.grids(tmp_path / "c")
    (root / "speakers.csv").write_text("speaker,gender,height_cm\nanna,X,\nbert,M,tall\nanna,F,170\nanna,F,171\n")
    (root / "anna" / "s1.TextGrid").write_text("nothing of the kind")
    text_grid(root / "anna" / "s2.TextGrid", phones=[(0, 0.25, "a")])
    (root / "bert" / "s1.wav").unlink()
    text_grid(root / "bert" / "s2.TextGrid", phones=[(0, 0.3, "a"), (0.3, 0.75, "b")])
    tone(root / "bert" / "s3.wav")
    corpus = open_corpus(root)
    assert [utterance.id for utterance in corpus.utterances] == ["anna_s2"]
    assert corpus.speakers == (Speaker("anna", "F", 170.0),)
    for words, text in zip(
        (
            "not a usable TextGrid",
            "no audio of this name",
            "ends 4000 samples after the audio",
            "no .TextGrid file of this name",
        ),
        errors(corpus),
        strict=True,
    ):
        assert words in text
    text = "\n".join(notices(corpus))
    assert "no tier of words" in text
    assert "its phones end 250 ms before the audio" in text
    assert "speakers.csv:2: gender 'X' is not F, M or empty" in text
    assert "speakers.csv:3: height_cm 'tall' is not a number" in text
    assert "speakers.csv:5: speaker anna is listed twice" in text


# --- Festival and HTK labels --------------------------------------------------------------------------


def test_arctic(tmp_path: Path) -> None:
    corpus = open_corpus(miniature.arctic(tmp_path / "c"))
    utterance = corpus.utterances[2]
    assert utterance.id == "cmu_us_slt_arctic_arctic_a0001"
    assert utterance.speaker == Speaker("cmu_us_slt_arctic", "F")
    assert utterance.phonemes == (
        Segment("h#", 0, 1000),
        Segment("sh", 1000, 4000),
        Segment("iy", 4000, 6000),
        Segment("h#", 6000, 8000),
    )
    assert utterance.words == ()
    assert utterance.text == "She."


def test_arctic_opened_inside_a_voice_has_the_same_speaker_and_ids(tmp_path: Path) -> None:
    root = miniature.arctic(tmp_path / "c")
    inside = open_corpus(root / "cmu_us_slt_arctic")
    assert [utterance.speaker for utterance in inside.utterances] == [Speaker("cmu_us_slt_arctic")] * 2
    whole = open_corpus(root).select(speakers="cmu_us_slt_arctic")
    assert [(u.id, u.phonemes, u.text) for u in inside.utterances] == [
        (u.id, u.phonemes, u.text) for u in whole.utterances
    ]
    (notice,) = notices(inside)
    assert "speakers.csv: no such file: genders and heights unknown; write it" in notice


def lab(root: Path, content: str) -> Corpus:
    """A corpus of one recording of half a second at 16 kHz with these labels."""
    tone(root / "anna" / "s1.wav")
    (root / "anna" / "s1.lab").write_text(content)
    return open_corpus(root, strict=True)


def test_both_forms_of_labels_agree_with_hand_made_files(tmp_path: Path) -> None:
    festival = "separator ;\nnfields 1\n#\n\t0.25\t26\tsil ; score -305.5 ;\n\t0.375\t26\too\n\t.5\t26\tSIL\n"
    with pytest.raises(InputError, match=r"s1.lab:6: .* is not a row"):
        lab(tmp_path, festival)
    expected = (Segment("h#", 0, 4000), Segment("oo", 4000, 6000), Segment("h#", 6000, 8000))
    for content in (
        festival.replace("\t.5", "\t0.5"),
        "0 2500000 sil\n2500000 3750000 oo\n\n3750000 5000000 H#\n",
        "0\t2500000\tpau\r\n2500000\t3750000\too\r\n3750000\t5000000\tssil\r\n",
    ):
        (utterance,) = lab(tmp_path, content).utterances
        assert utterance.phonemes == expected


def test_pauses_that_were_not_made_are_dropped(tmp_path: Path) -> None:
    for content in (
        "#\n0.25 26 dh\n0.25 26 sp\n0.5 26 @\n",
        "0 2500000 dh\n2500000 2500000 sp\n2500000 5000000 @\n",
    ):
        (utterance,) = lab(tmp_path, content).utterances
        assert utterance.phonemes == (Segment("dh", 0, 4000), Segment("@", 4000, 8000))


@pytest.mark.parametrize(
    ("content", "line", "message"),
    [
        ("#\n0.25 125 sh\n0.2 125 iy\n", 3, "'0.2 125 iy' ends before the row above it, which ends at 0.25 s; fix"),
        ("#\n0.25 125 sh\n0.25 125 iy\n", 3, "'iy' at samples 4000 to 4000 contains no samples"),
        ("#\n0.25 125 sh\n0.6 125 iy\n", 3, "ends 1600 samples after the audio"),
        ("#\n0.25 125 sh\n-0.1 125 iy\n", 3, "'-0.1 125 iy' is not a row `end colour label`"),
        ("#\n0.25 125 sh\nnan 125 iy\n", 3, "is not a row `end colour label`"),
        ("#\n0.25 125\n", 2, "is not a row `end colour label`"),
        ("#\n0.25 125 sh iy\n", 2, "is not a row `end colour label`"),
        ("#\n0 2500000 sh\n2500000 5000000 iy\n", 3, "'2500000 5000000 iy' is not a row `end colour label`"),
        ("#\n0.1 0.25 sh\n", 2, "is not a row `end colour label`"),
        ("0.25 125 sh\n#\n0.5 125 iy\n", 1, "the label '0.25 125 sh' is above the line `#`; move that line"),
        ("0 2500000 sh\n#\n0.5 125 iy\n", 1, "the label '0 2500000 sh' is above the line `#`; move that line"),
        ("nfields 2\n#\n0.5 125 iy; 1\n", 1, "'nfields 2': labels of one field are needed"),
        ("#\n", None, "contains no labels; restore the file"),
        ("#\n0.5 125 x^pau-ao+th=er\n", 2, "'x^pau-ao+th=er' is a phone in its context; replace each label"),
        ("", None, "contains no labels; restore the file"),
        ("0 2500000 sh\n2000000 5000000 iy\n", 2, "overlaps the segment above it"),
        ("2500000 5000000 sh\n0 2500000 iy\n", 2, "starts before the segment above it"),
        ("0 2500000 sh\n2500000 2500000 iy\n", 2, "'iy' at samples 4000 to 4000 contains no samples"),
        ("0 2500000 sh\n2500000 6000000 iy\n", 2, "ends 1600 samples after the audio"),
        ("0 2500000 sh\n-1 5000000 iy\n", 2, "'-1 5000000 iy' is not a row `start end label` of an HTK label file"),
        ("0 2500000 sh -95.5\n", 1, "has more than the three columns `start end label`; remove the others"),
        ("0 2500000 sh\n0.5 125 iy\n", 2, "looks like a Festival label, but no line `#` ends a header above it"),
        ("0.0 0.25 sh\n0.25 0.5 iy\n", 1, "is not a row `start end label` of an HTK label file"),
        ("0 4000 sh\n4000 8000 iy\n", 2, "up to 8000, which may be 0.0008 s in HTK's units of 100 ns or a position"),
        ("She had your dark suit\n", 1, "has no times: if this is a transcript, align it with the audio first"),
        ("0 5000000 sil-sh+iy\n", 1, "'sil-sh+iy' is a phone in its context"),
    ],
)  # fmt: skip
def test_bad_labels_name_the_line(tmp_path: Path, content: str, line: int | None, message: str) -> None:
    with pytest.raises(InputError) as caught:
        lab(tmp_path, content)
    path = tmp_path / "anna" / "s1.lab"
    assert str(caught.value).startswith(f"{path}:{line}: " if line else f"{path}: ")
    assert message in str(caught.value)


def test_labels_of_truncated_files_and_bad_prompts_are_noticed(tmp_path: Path) -> None:
    root = miniature.arctic(tmp_path / "c")
    voice = root / "cmu_us_bdl_arctic"
    festival_labels(voice / "lab" / "arctic_a0001.lab", miniature.LABELS[:-2])
    (voice / "etc" / "txt.done.data").write_text(
        '( arctic_a0001 "A \\"word\\"." )\n( arctic_a0001 "B" )\narctic_a0002 She.\n'
    )
    (root / "cmu_us_slt_arctic" / "etc" / "txt.done.data").write_bytes(b'( arctic_a0001 "\xff" )\n')
    corpus = open_corpus(root)
    assert [utterance.text for utterance in corpus.utterances] == ['A "word".', None, None, None]
    assert not errors(corpus)
    assert [text.removeprefix(f"{root}/") for text in notices(corpus)] == [
        "cmu_us_bdl_arctic/etc/txt.done.data:2: arctic_a0001 is listed twice; the first row counts",
        "cmu_us_bdl_arctic/etc/txt.done.data:3: 'arctic_a0002 She.' is not a row `( arctic_a0001 \"Text.\" )`; fix it",
        "cmu_us_bdl_arctic/wav/arctic_a0001.wav: its phones end 250 ms before the audio; "
        "check whether the annotation is complete",
        "cmu_us_slt_arctic/etc/txt.done.data:1: is not UTF-8 text; save the file as UTF-8; "
        "its texts are unknown until this is fixed",
    ]


def test_transcripts_of_the_montreal_forced_aligner_beside_textgrids_are_not_labels(tmp_path: Path) -> None:
    root = miniature.grids(tmp_path / "c")
    for path in list(root.rglob("*.wav")):
        path.with_suffix(".lab").write_text("she\n")
    assert open_corpus(root, strict=True).name == "textgrid"
    with pytest.raises(InputError, match="s1.lab:1: 'she' has no times"):
        open_corpus(root, layout="lab")


# --- any content --------------------------------------------------------------------------------------

# fmt: off
CRUMBS = [
    "0", "7", "0.1", "#", "125", "nfields 2", "(", "1000", "9" * 30, "-5", "nan", "1e400", "<exists>", "sh", "h#", "F",
    "5'11\"",
    "speaker", "gender", " ", "\n", "\t", "\0", "\ufeff", ";", "|", ",", '"', "{", "[", '"a"', '"phones"',
    '"IntervalTier"', "item [1]:", "xmin = ", "text = ", 'Object class = "TextGrid"', "ooTextFile short",
]
# fmt: on
ANYTHING = st.one_of(
    st.binary(max_size=300),
    st.text(max_size=300).map(lambda text: text.encode(errors="surrogatepass")),
    st.lists(st.sampled_from(CRUMBS), max_size=60).map(lambda parts: " ".join(parts).encode()),
)


@pytest.fixture(scope="module")
def victims(tmp_path_factory: pytest.TempPathFactory) -> dict[str, tuple[Path, list[Path]]]:
    """For each layout, its folder and the text files that may hold anything."""
    found = {}
    for name, small in MINIATURES.items():
        root = small.write(tmp_path_factory.mktemp("fuzz") / name)
        audio = [path for path in root.rglob("*") if path.suffix.lower() in (".wav", ".flac")]
        found[name] = root, [path for path in sorted(root.rglob("*")) if path.is_file() and path not in audio]
    return found


@pytest.mark.parametrize("name", MINIATURES)
@settings(deadline=None, max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_any_text_is_read_or_refused(victims: dict[str, Any], name: str, data: st.DataObject) -> None:
    root, files = victims[name]
    path = data.draw(st.sampled_from(files))
    original = path.read_bytes()
    content = data.draw(ANYTHING)
    if data.draw(st.booleans()):  # something foreign inside a good file, or a file cut short
        at = data.draw(st.integers(0, len(original)))
        content = original[:at] + content[:20] + original[at + data.draw(st.integers(0, len(original))) :]
    path.write_bytes(content)
    try:
        corpus = open_corpus(root, layout=MINIATURES[name].layout)
        assert all("\n" not in str(problem) for problem in corpus.problems)
        as_text(json.loads(json.dumps(describe(corpus)))).encode()
        message = ""
    except InputError as error:
        message = str(error)
    finally:
        path.write_bytes(original)
    assert "\n" not in message


# --- data model ----------------------------------------------------------------------------------------


def test_the_data_model_is_validated(tmp_path: Path) -> None:
    for start, end in ((-1, 3), (3, 3), (4, 3)):
        with pytest.raises(InputError, match="0 <= start < end"):
            Segment("a", start, end)
    with pytest.raises(InputError, match="height"):
        Speaker("a", height_cm=float("nan"))
    with pytest.raises(InputError, match="gender"):
        Speaker("a", gender="W")  # type: ignore[arg-type]
    good = Utterance("u", Speaker("a"), tmp_path, 10, 16000, phonemes=(Segment("a", 0, 5),))
    with pytest.raises(InputError, match="overlap"):
        replace(good, phonemes=(Segment("a", 0, 5), Segment("b", 4, 6)))
    with pytest.raises(InputError, match="ends at sample 11"):
        replace(good, words=(Segment("a", 0, 11),))
    with pytest.raises(InputError, match="rename one"):
        Corpus("c", tmp_path, (good, good))
    with pytest.raises(InputError, match="described in two ways"):
        Corpus("c", tmp_path, (good, replace(good, id="v", speaker=Speaker("a", "F"))))


# --- real corpora -------------------------------------------------------------------------------------


def test_real_timit_sample(timit_sample: Path) -> None:
    corpus = open_corpus(timit_sample, strict=True)
    doc = describe(corpus)
    assert corpus.problems == ()
    assert (doc["utterances"], doc["speakers"]) == (140, 14)
    assert doc["speakers_by_gender"] == {"F": 7, "M": 7, "unknown": 0}
    assert doc["tokens"] == {"phoneme": 5389, "word": 1219}
    assert doc["tokens"]["phoneme"] - doc["silences"] == 5039
    assert doc["speakers_with_height"] == 14


def test_real_timit_ldc_agrees_with_the_sample(timit_ldc: Path, timit_sample: Path) -> None:
    corpus = open_corpus(timit_ldc, strict=True)
    assert corpus.problems == ()
    assert len(corpus.select(speakers="FVMH0").utterances) == 9
    assert len(corpus.speakers) == 2
    sample = {utterance.id: utterance for utterance in open_corpus(timit_sample).utterances}
    for utterance in corpus.utterances:
        same = sample[utterance.id]
        assert replace(utterance, audio=same.audio) == same
        assert (read_audio(utterance, 16000) == read_audio(same, 16000)).all()


def test_real_librispeech(librispeech: Path) -> None:
    corpus = open_corpus(librispeech, strict=True)
    assert corpus.problems == ()
    assert (len(corpus.utterances), len(corpus.speakers)) == (251, 251)
    assert corpus.seconds == pytest.approx(3141, abs=1)
    assert all(speaker.gender for speaker in corpus.speakers)


def test_phone_sets_are_recognised_and_labels_have_one_unicode_form(tmp_path: Path) -> None:
    languages = {
        "german": ["ç", "ʏ", "pf", "aɪ̯"],
        "hindi": ["ʈʰ", "ɖ", "bʱ", "ɑ̃ː"],
        "mandarin": ["tɕʰ", "ʂ", "a˥˩", "ɻ"],
        "zulu": ["ǃ", "ɬ", "ⁿd", "uː"],
    }
    for i, (language, labels) in enumerate(languages.items()):
        tone(tmp_path / language / "s1.wav", voice=language)
        form = ("NFC", "NFD")[i % 2]
        text_grid(
            tmp_path / language / "s1.TextGrid",
            phones=[(0.1 * j, 0.1 * (j + 1), unicodedata.normalize(form, label)) for j, label in enumerate(labels)],
            words=[(0, 0.4, unicodedata.normalize(form, "é"))],
        )
    corpus = open_corpus(tmp_path, layout="textgrid")
    found = {s.label for utterance in corpus.utterances for s in utterance.phonemes}
    assert found == {unicodedata.normalize("NFC", label) for labels in languages.values() for label in labels}
    assert {s.label for utterance in corpus.utterances for s in utterance.words} == {unicodedata.normalize("NFC", "é")}
    assert describe(corpus)["phone_set"] == "ipa"
    assert "taken for IPA" in as_text(describe(corpus))
    text_grid(tmp_path / "zulu" / "s1.TextGrid", phones=[(0, 0.4, "@")], words=[(0, 0.4, "a")])
    other = describe(open_corpus(tmp_path, layout="textgrid"))
    assert other["phone_set"] is None
    assert "of no phone set that was recognised" in as_text(other)
