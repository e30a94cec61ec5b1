"""The committed demo corpus is what its README and its script say."""

import re
import shutil
import subprocess
from collections import Counter
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
import soundfile as sf

from lvm_probe import InputError
from lvm_probe.probing.corpora import open_corpus
from lvm_probe.probing.corpora.corpus import Corpus
from lvm_probe.probing.corpora.demo import CORPUS, generate

CLOSURES = {"bcl", "dcl", "gcl", "pcl", "tcl", "kcl"}
VOWELS = {"aa", "ae", "ah", "ao", "aw", "ax", "ay", "eh", "er", "ey", "ih", "iy", "ow", "oy", "uh", "uw"}


@pytest.fixture(scope="module")
def corpus() -> Corpus:
    return open_corpus(CORPUS)


def rows(path: Path) -> list[tuple[int, int, str]]:
    found = (line.split(" ", 2) for line in path.read_text().splitlines())
    return [(int(start), int(end), label) for start, end, label in found]


def level(samples: np.ndarray) -> float:
    """Root mean square in dB."""
    return float(10 * np.log10(np.mean(samples**2)))


def test_reader_finds_nothing_wrong(corpus: Corpus) -> None:
    assert corpus.problems == ()
    assert len(corpus.utterances) == 100


def test_speakers(corpus: Corpus) -> None:
    speakers = {u.speaker.id: u.speaker for u in corpus.utterances}
    assert Counter(s.gender for s in speakers.values()) == {"F": 5, "M": 5}
    assert Counter(u.speaker.id for u in corpus.utterances) == dict.fromkeys(speakers, 10)
    assert {s.dialect for s in speakers.values()} == {"DR1", "DR2", "DR3"}
    split = {u.speaker.id: u.split for u in corpus.utterances}
    assert Counter(split.values()) == {"train": 7, "test": 3}
    heights = [s.height_cm for s in speakers.values() if s.gender == "M"]
    classes = Counter("short" if h < 175 else "tall" if h > 185 else "middle" for h in heights if h)
    assert classes == {"short": 2, "middle": 1, "tall": 2}


def test_speaker_table_is_the_scripts(corpus: Corpus) -> None:
    assert (CORPUS / "DOC" / "SPKRINFO.TXT").read_text() == generate.spkrinfo()
    found = {u.speaker.id: u.speaker.height_cm for u in corpus.utterances}
    assert found == pytest.approx({s.id: 2.54 * s.inches for s in generate.SPEAKERS})


def test_sentences_are_the_scripts() -> None:
    for speaker in generate.SPEAKERS:
        folder = CORPUS / speaker.split / f"DR{speaker.dialect}" / speaker.id
        expected = dict(generate.sentences(speaker))
        assert {path.stem for path in folder.glob("*.FLAC")} == set(expected)
        assert Counter(name[:2] for name in expected) == {"SA": 2, "SX": 5, "SI": 3}
        for name, text in expected.items():
            samples = sf.info(folder / f"{name}.FLAC").frames
            assert rows(folder / f"{name}.TXT") == [(0, samples, text)]
            assert [w for *_, w in rows(folder / f"{name}.WRD")] == re.findall("[a-z]+", text.lower())


def test_splits_share_only_sa_sentences() -> None:
    texts = {
        split: {t for s in generate.SPEAKERS if s.split == split for _, t in generate.sentences(s)}
        for split in ("TRAIN", "TEST")
    }
    assert texts["TRAIN"] & texts["TEST"] == set(generate.SA)


def test_sentences_and_speakers_are_not_timits(timit_sample: Path) -> None:
    def plain(text: str) -> str:
        return " ".join(re.findall("[a-z']+", text.lower()))

    prompts = {plain(line.split("(")[0]) for line in (timit_sample / "prompts.txt").read_text().splitlines()}
    ours = {plain(text) for speaker in generate.SPEAKERS for _, text in generate.sentences(speaker)}
    assert len(prompts) > 100
    assert not prompts & ours
    listed = (timit_sample / "spkrinfo.txt").read_text()
    assert not any(speaker.id[1:] in listed for speaker in generate.SPEAKERS)


def test_audio_format() -> None:
    for path in CORPUS.rglob("*.FLAC"):
        info = sf.info(path)
        assert (info.samplerate, info.channels, info.format, info.subtype) == (16000, 1, "FLAC", "PCM_16")
        samples, _ = sf.read(path)
        # The noise floor may move the drawn peak by a few steps.
        assert 10 ** (-12 / 20) - 1e-3 < np.abs(samples).max() < 10 ** (-6 / 20) + 1e-3
        still = np.diff(np.flatnonzero(np.diff(samples)), prepend=-1)
        assert still.max() < 16, f"{path}: digital silence"


def test_size() -> None:
    assert sum(path.stat().st_size for path in CORPUS.rglob("*") if path.is_file()) < 4_000_000


def test_phones_cover_the_audio_and_words_are_made_of_them() -> None:
    seen: Counter[str] = Counter()
    for path in CORPUS.rglob("*.FLAC"):
        phones, words = rows(path.with_suffix(".PHN")), rows(path.with_suffix(".WRD"))
        assert phones[0][0] == 0
        assert phones[-1][1] == sf.info(path).frames
        assert all(start < end for start, end, _ in phones)
        assert all(a[1] == b[0] for a, b in pairwise(phones))
        assert [label for *_, label in phones if label == "h#"] == ["h#", "h#"]
        assert phones[0][2] == phones[-1][2] == "h#"
        for i, (*_, label) in enumerate(phones):
            if label in CLOSURES:
                assert generate.CLOSURE[phones[i + 1][2]] == label
            elif label in generate.CLOSURE:
                assert phones[i - 1][2] == generate.CLOSURE[label]
        edges = {start for start, *_ in phones}
        assert all(start in edges and end in edges and start < end for start, end, _ in words)
        assert all(a[1] <= b[0] for a, b in pairwise(words))
        outside = [p for p in phones if not any(a <= p[0] < b for a, b, _ in words)]
        assert {label for *_, label in outside} <= {"h#", "pau"}
        seen.update(label for *_, label in phones)
    assert set(seen) == generate.KEPT | set(generate.CLOSURE) | CLOSURES | {"h#"}
    assert seen["pau"] >= 5


def test_labels_match_the_sound() -> None:
    """Coarse facts of phonetics that labels off by a phone, or audio of another sentence, would break."""
    high: dict[str, list[float]] = {"s": [], "vowel": []}
    edge, rise = [], []
    for path in CORPUS.rglob("*.FLAC"):
        samples, rate = sf.read(path)
        phones = rows(path.with_suffix(".PHN"))
        speech = level(samples[phones[0][1] : phones[-1][0]])
        # The synthesizer lets the last phone die away for 10 to 20 ms after its end.
        quiet = samples[: phones[0][1]], samples[phones[-1][0] + 30 * rate // 1000 :]
        edge += [speech - level(part) for part in quiet]
        for i, (start, end, label) in enumerate(phones):
            power = np.abs(np.fft.rfft(samples[start:end] * np.hanning(end - start))) ** 2
            part = float(power[np.fft.rfftfreq(end - start, 1 / rate) > 3500].sum() / power.sum())
            if label == "s":
                high["s"].append(part)
            elif label in VOWELS:
                high["vowel"].append(part)
            if label in {"p", "t", "k"} and i:
                flat = np.diff(samples)
                rise.append(level(flat[start : start + 96]) - level(flat[start - 96 : start]))
    # The median is about 40; the lowest is 26 to 30, in the hum of a voice that stops.
    assert min(edge) > 20
    # Medians are 0.98 and below 0.01: half way between, with room for single weak tokens.
    assert np.mean(np.array(high["s"]) > 0.5) > 0.9
    assert np.mean(np.array(high["vowel"]) < 0.1) > 0.98
    # A release is louder than the 6 ms of closure before it, but for flaps and unreleased stops.
    assert np.mean(np.array(rise) > 3) > 0.9


def test_missing_flite_is_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    assert generate.main([str(tmp_path / "out")]) == 1
    assert re.fullmatch(r"error: flite was not found; .*\n", capsys.readouterr().err)


def test_an_existing_corpus_is_not_overwritten() -> None:
    with pytest.raises(InputError, match="exists"):
        generate.generate(CORPUS)


@pytest.mark.parametrize("id", ["FADA9", "MHAL9", "MJON9"])
def test_script_makes_the_committed_files(id: str) -> None:
    """One recording of each of the three voices."""
    if shutil.which("flite") is None:
        pytest.skip("needs the speech synthesizer flite 2.2 (Debian package flite)")
    version = subprocess.run(["flite", "--version"], capture_output=True, text=True, check=False).stdout
    if "flite-2.2" not in version:
        pytest.skip("the committed corpus was made by flite 2.2, another version is installed")
    speaker = next(s for s in generate.SPEAKERS if s.id == id)
    name, text = generate.sentences(speaker)[2]
    path = CORPUS / speaker.split / f"DR{speaker.dialect}" / id / f"{name}.FLAC"
    samples, phones, words = generate.utterance(speaker, name, text)
    assert phones == rows(path.with_suffix(".PHN"))
    assert words == rows(path.with_suffix(".WRD"))
    committed, _ = sf.read(path, dtype="int16")
    # Another processor may sum the resampling filter in another order: one step of rounding.
    assert np.abs(samples.astype(int) - committed).max() <= 1
