"""Clips and spectrograms of the explorer, on tones whose places are known."""

import io
import math
import wave
from pathlib import Path

import numpy as np
import pytest
import soundfile

from lvm_probe import InputError
from lvm_probe.app.explorer import audio, time_plots
from lvm_probe.probing.corpora.corpus import Segment, Speaker, Utterance

RATE = 16_000


@pytest.fixture
def tone(tmp_path: Path) -> Utterance:
    """Half a second at 1 kHz, then half a second at 3 kHz."""
    t = np.arange(RATE) / RATE
    tones = 0.5 * np.sin(2 * math.pi * np.where(t < 0.5, 1000, 3000) * t)
    soundfile.write(tmp_path / "tone.wav", tones, RATE, subtype="PCM_16")
    phonemes = (Segment("low", 0, 8000), Segment("<b>high</b>", 8000, 16_000))
    return Utterance("A_1", Speaker("A"), tmp_path / "tone.wav", RATE, RATE, phonemes=phonemes)


def heard(file: bytes) -> tuple[np.ndarray, int]:
    with wave.open(io.BytesIO(file)) as reader:
        assert (reader.getnchannels(), reader.getsampwidth()) == (1, 2)
        return np.frombuffer(reader.readframes(reader.getnframes()), "<i2"), reader.getframerate()


def test_a_clip_is_the_segment_with_its_margin_faded_at_both_ends(tone: Utterance) -> None:
    pcm, rate = heard(audio.clip(tone, 4000, 6000, margin_s=0.05))
    whole = np.rint(audio.samples(tone) * 32768)
    fade = round(0.005 * RATE)
    assert rate == RATE
    assert len(pcm) == 2000 + 2 * 800
    assert pcm[0] == pcm[-1] == 0
    np.testing.assert_array_equal(pcm[fade:-fade], whole[3200:6800][fade:-fade])
    assert (np.abs(pcm[:fade]) <= np.abs(whole[3200 : 3200 + fade])).all()


def test_a_clip_ends_where_the_recording_does(tone: Utterance) -> None:
    assert len(heard(audio.clip(tone, 15_000, 16_000, margin_s=1))[0]) == RATE
    assert len(heard(audio.clip(tone, 0, 3))[0]) == 3  # shorter than its fades


def test_a_file_that_has_gone_is_said_in_one_line(tone: Utterance) -> None:
    tone.audio.unlink()
    with pytest.raises(InputError, match=r"tone\.wav: no such audio file") as told:
        audio.clip(tone, 0, 100)
    assert "\n" not in str(told.value)


def test_pieces_in_a_row_have_pauses_between_them_and_one_rate(tone: Utterance, tmp_path: Path) -> None:
    soundfile.write(tmp_path / "slow.wav", np.full(800, 0.25), 8000, subtype="PCM_16")
    slow = Utterance("B_1", Speaker("B"), tmp_path / "slow.wav", 800, 8000)
    pcm, rate = heard(audio.in_a_row([(tone, 0, 1000), (slow, 0, 800), (tone, 15_000, 17_000)]))
    assert rate == RATE
    assert len(pcm) == 1000 + 3200 + 1600 + 3200 + 1000  # 0.2 s of pause, a recording at half the rate, one that ends
    np.testing.assert_array_equal(pcm[:1000], heard(audio.clip(tone, 0, 1000))[0])
    assert not pcm[1000:4200].any()
    assert abs(pcm[5000] / 32768 - 0.25) < 0.01


def test_floats_beyond_full_scale_are_clipped_and_integers_kept() -> None:
    assert heard(audio.wav(np.array([-2.0, 0.5, 2.0]), 8000))[0].tolist() == [-32768, 16384, 32767]
    assert heard(audio.wav(np.array([-5, 7], dtype=np.int16), 8000))[0].tolist() == [-5, 7]


def test_a_tone_lies_where_it_was_put(tone: Utterance) -> None:
    seen = audio.spectrogram(tone, 0, RATE)
    loudest = seen.hz[seen.level.argmax(axis=0)]
    assert seen.level.shape == (len(seen.hz), len(seen.times_s))
    early, late = seen.times_s < 0.49, seen.times_s > 0.51
    assert np.abs(loudest[early] - 1000).max() <= 63  # a bin; the window's main lobe is flat there
    assert np.abs(loudest[late] - 3000).max() <= 63


def test_a_stretch_shows_the_frames_that_the_whole_shows(tone: Utterance) -> None:
    """Frames at its edges see the audio around it, and outside of the recording silence."""
    whole, part = audio.spectrogram(tone, 0, 2000), audio.spectrogram(tone, 992, 2000)
    np.testing.assert_allclose(part.times_s[0], (992 + 8) / RATE)
    column = {round(t * RATE): level for t, level in zip(whole.times_s, whole.level.T, strict=True)}
    for t, level in zip(part.times_s, part.level.T, strict=True):
        np.testing.assert_allclose(level, column[round(t * RATE)], atol=1e-6)  # dB: rounding of the sums


@pytest.mark.parametrize(("start", "end"), [(0, 1), (-500, 40), (15_990, 16_500), (0, 16_000)])
def test_short_stretches_and_those_beyond_the_ends_have_a_spectrogram(tone: Utterance, start: int, end: int) -> None:
    seen = audio.spectrogram(tone, start, end)
    assert len(seen.times_s) >= 1
    assert np.isfinite(seen.level).all()


def test_the_picture_marks_the_token_and_escapes_labels(tone: Utterance) -> None:
    figure = time_plots.token_picture(tone, 4000, 12_000, (8000, 16_000))
    heat, bars = figure.data
    assert heat.type == "heatmap"
    assert list(bars.text) == ["low", "&lt;b&gt;high&lt;/b&gt;"]
    assert list(bars.marker.color) == [time_plots.UNMARKED, time_plots.MARKED]
    np.testing.assert_allclose(bars.base, [0.25, 0.5])  # cut to what is shown
    np.testing.assert_allclose(bars.x, [0.25, 0.25])
    assert figure.layout.uniformtext.mode == "hide"  # labels that do not fit
    assert {shape.x0 for shape in figure.layout.shapes} == {0.5, 1.0}


def test_a_recording_without_alignment_has_a_picture(tone: Utterance) -> None:
    bare = Utterance(tone.id, tone.speaker, tone.audio, tone.samples, tone.sample_rate)
    assert len(time_plots.token_picture(bare, 0, RATE, (0, 100)).data) == 1


def test_silence_is_dark_and_several_spectrograms_can_share_a_scale() -> None:
    silence, noise = np.zeros(1600), 0.1 * np.random.default_rng(0).standard_normal(1600)
    alone = time_plots.spectrogram_trace(audio.spectrogram_of(silence, 16_000))
    assert alone.z.max() == alone.zmin < alone.zmax
    top = audio.spectrogram_of(noise, 16_000).loudest
    for sound in (silence, noise):
        trace = time_plots.spectrogram_trace(audio.spectrogram_of(sound, 16_000), top)
        assert (trace.zmin, trace.zmax) == (top - 60, top)
