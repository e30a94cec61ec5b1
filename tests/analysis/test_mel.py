import numpy as np
import pytest

from lvm_probe import InputError
from lvm_probe.analysis import mel
from lvm_probe.analysis.mel import copied_bins, empty_bins, log_mel, shortest_full_fft
from tests import reference


@pytest.mark.parametrize(("hop", "window", "n_fft"), [(8, 32, 32), (8, 32, 64), (8, 31, 64), (7, 31, 46), (40, 16, 32)])
def test_frames_agree_with_the_sums_of_the_definitions(hop, window, n_fft) -> None:
    wave = np.random.default_rng(0).uniform(-1, 1, size=100)
    frames = log_mel(wave, sample_rate=4000, hop=hop, window=window, bins=6, n_fft=n_fft)
    assert len(frames) == -(-100 // hop)
    for t in {0, 1, len(frames) // 2, len(frames) - 1}:
        expected = reference.log_mel_frame(wave, t, 4000, hop, window, 6, n_fft)
        # The filters are torchaudio's, in float32: a few units of 6e-8 in each weight, and so in the power.
        np.testing.assert_allclose(frames[t], expected, atol=5e-6)


def test_a_frame_sees_its_window_and_nothing_else() -> None:
    """A click is heard by the frames whose window holds it, Hann's first and zero sample apart."""
    for click in (0, 95, 96, 97, 700, 999):
        wave = np.zeros(1000)
        wave[click] = 1.0
        heard = (log_mel(wave, sample_rate=16000) > np.log(2 * mel.FLOOR)).any(axis=1)
        for t in range(16):
            begin = t * 64 + 32 - 128
            assert heard[t] == (begin < click < begin + 256)


def test_shapes_types_and_whole_steps() -> None:
    wave = np.random.default_rng(0).uniform(-1, 1, size=640).astype(np.float32)
    frames = log_mel(wave, sample_rate=16000)
    assert frames.shape == (10, 80)
    assert frames.dtype == np.float32
    assert log_mel(wave[:577], sample_rate=16000).shape == (10, 80)
    assert log_mel(wave[:576], sample_rate=16000).shape == (9, 80)
    assert log_mel(wave[:1], sample_rate=16000).shape == (1, 80)
    later = log_mel(np.concatenate([np.zeros(128, dtype=np.float32), wave]), sample_rate=16000)
    np.testing.assert_array_equal(later[2:], frames)  # two steps of silence before it
    assert (log_mel(np.zeros(640), sample_rate=16000) == np.log(mel.FLOOR)).all()


def test_a_tone_is_loudest_in_its_own_bin() -> None:
    tone = np.sin(2 * np.pi * 1000 * np.arange(4000) / 16000)
    loudest = log_mel(tone, sample_rate=16000)[20].argmax()
    top = 2595 * np.log10(1 + 8000 / 700)
    centres = 700 * (10 ** (top * np.arange(1, 81) / 81 / 2595) - 1)
    assert abs(loudest - np.abs(centres - 1000).argmin()) <= 1  # two bins share the filter's flat top


def test_no_bin_is_empty_or_a_copy_by_default() -> None:
    assert empty_bins(sample_rate=16000).tolist() == [0, 3]
    assert len(copied_bins(sample_rate=16000)) == 7
    assert shortest_full_fft(sample_rate=16000) == 512
    wave = np.random.default_rng(0).uniform(-1, 1, size=8000)
    short = log_mel(wave, sample_rate=16000, n_fft=256)
    default = log_mel(wave, sample_rate=16000)
    assert np.flatnonzero(np.ptp(short, axis=0) == 0).tolist() == [0, 3]
    assert (np.ptp(default, axis=0) > 1).all()
    for b in copied_bins(sample_rate=16000):
        steps = short[:, b] - short[:, b - 1]
        assert np.ptp(steps) < 1e-3  # the floor is 1e-10 of powers above 1e-6
    assert (np.ptp(np.diff(default, axis=1), axis=0) > 0.1).all()


def test_refusals() -> None:
    wave = np.zeros(100)
    with pytest.raises(InputError, match="0 samples"):
        log_mel(wave[:0], sample_rate=16000)
    with pytest.raises(InputError, match="not finite"):
        log_mel(np.full(10, np.nan), sample_rate=16000)
    with pytest.raises(InputError, match="hop 0"):
        log_mel(wave, sample_rate=16000, hop=0)
    with pytest.raises(InputError, match="at least the window's 256"):
        log_mel(wave, sample_rate=16000, n_fft=128)
    with pytest.raises(InputError, match="an even number"):
        log_mel(wave, sample_rate=16000, n_fft=257)
    with pytest.raises(InputError, match="use fewer bins"):
        shortest_full_fft(sample_rate=16000, window=16, bins=300)
