"""Corpora that could be read in two ways: read as their owners mean them, with a notice, or refused by name."""

from pathlib import Path

import pytest

from lvm_probe import InputError
from lvm_probe.probing.corpora import open_corpus
from lvm_probe.probing.corpora.corpus import Corpus, Segment
from tests.probing.miniature import PHONES, SAMPLES, WORDS, festival_labels, rows, text_grid, timit_nltk, tone

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
        tone(path, -(-SAMPLES * rate // 16000), rate)
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
