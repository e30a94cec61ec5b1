from dataclasses import replace
from itertools import chain
from pathlib import Path

import numpy as np
import pytest
import soundfile

from lvm_probe import InputError
from lvm_probe.models.batches import Recording
from lvm_probe.probing.corpora import open_corpus
from lvm_probe.probing.corpora import recordings as module
from lvm_probe.probing.corpora.corpus import Corpus, Speaker, Utterance
from lvm_probe.probing.corpora.recordings import (
    CorpusRecording,
    UnreadableRecording,
    load_recordings,
    open_recordings,
)
from tests.probing import miniature


def people(women: int, men: int, unknown: int = 0, each: int = 2) -> Corpus:
    speakers = [Speaker(f"F{i}", "F") for i in range(women)] + [Speaker(f"M{i}", "M") for i in range(men)]
    speakers += [Speaker(f"U{i}") for i in range(unknown)]
    utterances = [
        Utterance(f"{speaker.id}_{n}", speaker, Path(f"{speaker.id}_{n}.wav"), 16000, 16000)
        for speaker in speakers
        for n in range(each)
    ]
    return Corpus("made-up", Path("made-up"), tuple(utterances))


def utterance(path: Path, samples: int, rate: int) -> Utterance:
    return Utterance(path.stem, Speaker("S"), path, samples, rate)


def test_recordings_are_what_training_wants_of_them(tmp_path: Path) -> None:
    corpus = open_corpus(miniature.timit_nltk(tmp_path / "c"))
    found = open_recordings(corpus, 16000)
    assert [r.name for r in found] == [u.id for u in corpus.utterances]
    assert all(isinstance(r, Recording) for r in found)


def test_samples_are_those_of_the_file(tmp_path: Path) -> None:
    path = miniature.tone(tmp_path / "a.wav", samples=999)
    written, _ = soundfile.read(path, dtype="int16")
    recording = CorpusRecording(utterance(path, 999, 16000), 16000, keep=False)
    assert recording.samples == 999
    for start, stop in ((0, 999), (100, 101), (900, 5000)):
        read = recording.read(start, stop)
        assert read.dtype == np.int16
        np.testing.assert_array_equal(read, written[start:stop])


def test_full_scale_survives(tmp_path: Path) -> None:
    wave = np.array([-32768, 32767, 0, 1, -1], dtype=np.int16)
    soundfile.write(tmp_path / "a.wav", wave, 16000)
    read = CorpusRecording(utterance(tmp_path / "a.wav", 5, 16000), 16000, keep=True).read(0, 5)
    np.testing.assert_array_equal(read, wave)


@pytest.mark.parametrize(("samples", "rate"), [(4001, 8000), (4410, 44100), (1, 8000), (12345, 22050)])
def test_length_is_known_before_resampling(tmp_path: Path, samples: int, rate: int) -> None:
    path = miniature.tone(tmp_path / "a.wav", samples=samples, rate=rate)
    recording = CorpusRecording(utterance(path, samples, rate), 16000, keep=False)
    assert len(recording.read(0, recording.samples)) == recording.samples


def test_a_cached_recording_is_read_once(tmp_path: Path) -> None:
    path = miniature.tone(tmp_path / "a.wav", samples=500)
    cached = CorpusRecording(utterance(path, 500, 16000), 16000, keep=True)
    uncached = CorpusRecording(utterance(path, 500, 16000), 16000, keep=False)
    first = cached.read(0, 500)
    uncached.read(0, 500)
    path.unlink()
    np.testing.assert_array_equal(cached.read(0, 500), first)
    with pytest.raises(UnreadableRecording, match="a.wav: no such audio file"):
        uncached.read(0, 500)


def damaged(root: Path) -> Corpus:
    """Four recordings of two readers, both ends of every file whole, one damaged inside."""
    miniature.librispeech(root)
    miniature.zero_the_middle(miniature.noise(root / "dev-clean/103/1240/103-1240-0001.flac"))
    return open_corpus(root, strict=True)


def test_all_recordings_are_kept_in_memory(tmp_path: Path) -> None:
    corpus = open_corpus(miniature.timit_nltk(tmp_path / "c"))
    progress: list[float] = []
    loaded = load_recordings(corpus, 16000, progress=progress.append)
    assert (loaded.corpus, loaded.left_out) == (corpus, ())
    assert progress == [u.seconds for u in corpus.utterances]
    for utterance in corpus.utterances:
        utterance.audio.unlink()
    assert [len(r.read(0, r.samples)) for r in loaded.recordings] == [u.samples for u in corpus.utterances]


def test_a_recording_damaged_inside_is_left_out_unless_strict(tmp_path: Path) -> None:
    corpus = damaged(tmp_path / "c")
    loaded = load_recordings(corpus, 16000)
    intact = ["103-1240-0000", "1034-7-0000", "1034-7-0001"]
    assert [r.name for r in loaded.recordings] == [u.id for u in loaded.corpus.utterances] == intact
    assert len(loaded.left_out) == 1
    assert "103-1240-0001.flac: damaged" in loaded.left_out[0]
    with pytest.raises(UnreadableRecording, match="103-1240-0001.flac: damaged"):
        load_recordings(corpus, 16000, strict=True)


def test_where_nothing_can_be_read_one_reason_is_given(tmp_path: Path) -> None:
    corpus = damaged(tmp_path / "c")
    only = replace(corpus, utterances=corpus.utterances[1:2])
    with pytest.raises(InputError, match="none of 1 recordings can be read; .*103-1240-0001.flac: damaged") as caught:
        load_recordings(only, 16000)
    assert not isinstance(caught.value, UnreadableRecording)


def test_a_corpus_too_long_to_keep_is_read_when_needed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    corpus = damaged(tmp_path / "c")
    monkeypatch.setattr(module, "CACHED_SECONDS", 1)
    loaded = load_recordings(corpus, 16000, strict=True)
    assert (loaded.corpus, loaded.left_out, len(loaded.recordings)) == (corpus, (), 4)
    with pytest.raises(UnreadableRecording, match="103-1240-0001.flac: damaged"):
        loaded.recordings[1].read(0, 10)


@pytest.mark.parametrize(("validation", "test"), [(0.1, 0.1), (0.2, 0.3), (0.5, 0.0)])
def test_no_speaker_is_in_two_parts(validation: float, test: float) -> None:
    corpus = people(6, 4)
    split = corpus.split_speakers(validation, test, seed=0)
    names = [[s.id for s in part.speakers] for part in split]
    assert sorted(chain(*names)) == [s.id for s in corpus.speakers]
    assert [len(part) for part in names[1:]] == [round(validation * 10), round(test * 10)]
    assert sum(len(part.utterances) for part in split) == len(corpus.utterances)


def test_test_speakers_do_not_depend_on_the_validation_share() -> None:
    corpus = people(30, 20)
    assert {corpus.split_speakers(share, 0.2, seed=0).test.speakers for share in (0.01, 0.1, 0.7)} == {
        corpus.split_speakers(0.2, 0.0, seed=0).validation.speakers
    }


def test_genders_are_held_out_evenly() -> None:
    for seed in range(20):
        for part in people(10, 10).split_speakers(0.2, 0.4, seed)[1:]:
            assert abs(sum({"F": 1, "M": -1}[s.gender or ""] for s in part.speakers)) == 0
        for part in people(30, 10).split_speakers(0.1, 0.2, seed)[1:]:
            assert sum(s.gender == "M" for s in part.speakers) == len(part.speakers) / 4


def test_the_split_depends_on_the_seed_only() -> None:
    def held(seed: int) -> list[str]:
        return [s.id for s in people(6, 6, unknown=3).split_speakers(0.3, 0.1, seed).validation.speakers]

    assert held(1) == held(1)
    assert len({tuple(held(seed)) for seed in range(10)}) > 5


def test_at_least_one_speaker_is_held_out() -> None:
    assert [len(part.speakers) for part in people(2, 1).split_speakers(0.01, 0.01, 0)] == [1, 1, 1]


@pytest.mark.parametrize("share", [0.0, 1.0, -0.1, 2.0, float("nan")])
def test_a_share_out_of_range_is_refused(share: float) -> None:
    with pytest.raises(InputError, match="share of validation speakers is .* must lie between 0 and 1"):
        people(2, 2).split_speakers(share, 0.1, 0)
    if share:
        with pytest.raises(InputError, match="share of test speakers is .* must lie between 0 and 1"):
            people(2, 2).split_speakers(0.1, share, 0)


def test_too_few_speakers_are_refused() -> None:
    with pytest.raises(InputError, match="made-up: 1 speaker, of which 1 would be held out .*none remains to train on"):
        people(1, 0).split_speakers(0.1, 0, 0)
    with pytest.raises(InputError, match=r"2 speakers, of which 2 would .* \(1 for validation, 1 for the test\)"):
        people(1, 1).split_speakers(0.1, 0.1, 0)


def test_of_librispeech_the_test_speakers_are_those_of_earlier_validations(librispeech: Path) -> None:
    """The figures of the shipped checkpoints are of these speakers."""
    test = open_corpus(librispeech).split_speakers(0.1, 0.1, seed=0).test
    assert sorted(int(s.id) for s in test.speakers) == [
        87, 103, 298, 322, 332, 446, 1098, 1970, 2391, 2764, 2843, 3436, 3486, 5390, 5561, 5678, 5703, 5867, 6437,
        7190, 7780, 8108, 8226, 8580, 8975,
    ]  # fmt: skip
