import math

import numpy as np
import pytest

from lvm_probe import InputError
from lvm_probe.analysis.frames import STATISTICS, frame_statistics, padded
from lvm_probe.analysis.mel import log_mel

RATE = 16_000


def sine(hertz: float, amplitude: float = 0.5, samples: int = 8000) -> np.ndarray:
    return (amplitude * np.sin(2 * np.pi * hertz * np.arange(samples) / RATE + 0.3)).astype(np.float32)


def middle(wave: np.ndarray, **options: int) -> dict[str, float]:
    """The statistics of a frame well inside the wave."""
    found = frame_statistics(wave, sample_rate=RATE, **options)
    return dict(zip(STATISTICS, found[len(found) // 2].tolist(), strict=True))


@pytest.mark.parametrize(("hop", "begin", "length"), [(64, -96, 256), (64, -224, 512), (10, 3, 4), (500, 0, 30)])
@pytest.mark.parametrize("samples", [1, 63, 64, 65, 1000])
def test_a_padded_frame_is_the_wave_around_its_step(samples: int, hop: int, begin: int, length: int) -> None:
    wave = np.random.default_rng(0).normal(size=samples).astype(np.float32)
    found = padded(wave, hop=hop, begin=begin, length=length)
    frames = -(-samples // hop)
    assert len(found) == (frames - 1) * hop + length
    for t in range(frames):
        for i in range(length):
            at = t * hop + begin + i
            assert found[t * hop + i] == (wave[at] if 0 <= at < samples else 0)


@pytest.mark.parametrize("hertz", [250.0, 1000.0, 3000.0, 5000.0])
def test_a_sine_is_where_it_is(hertz: float) -> None:
    found = middle(sine(hertz))
    assert found["log_rms"] == pytest.approx(math.log(0.5 / math.sqrt(2)), abs=0.05)  # not whole periods
    assert found["zero_crossings"] == pytest.approx(2 * hertz, abs=2 * RATE / 256)  # one crossing more or less
    # The window spreads a sine over some four bins of 62.5 Hz, and the floor's 129 bins weigh nothing.
    assert found["centroid"] == pytest.approx(hertz, abs=5)
    assert found["spread"] < 60
    assert abs(found["rolloff"] - hertz) <= 62.5
    assert found["log_flatness"] < -8
    assert (found["high_low"] > 0) == (hertz > 2000)


def test_white_noise_is_flat() -> None:
    wave = (0.1 * np.random.default_rng(0).normal(size=64_000)).astype(np.float32)
    found = dict(zip(STATISTICS, frame_statistics(wave, sample_rate=RATE).mean(0).tolist(), strict=True))
    # Power of noise is exponentially distributed: E log power = log E power - Euler's constant.
    assert found["log_flatness"] == pytest.approx(-0.577, abs=0.05)
    assert found["centroid"] == pytest.approx(4000, abs=50)
    assert found["spread"] == pytest.approx(8000 / math.sqrt(12), abs=50)
    assert found["rolloff"] == pytest.approx(0.85 * 8000, abs=100)
    assert found["high_low"] == pytest.approx(math.log(3), abs=0.1)
    assert found["zero_crossings"] == pytest.approx(RATE / 2, abs=100)


@pytest.mark.parametrize("samples", [1, 64, 65, 999])
def test_frames_are_those_of_mel(samples: int) -> None:
    wave = sine(440, samples=samples)
    found = frame_statistics(wave, sample_rate=RATE)
    assert found.shape == (len(log_mel(wave, sample_rate=RATE)), len(STATISTICS))
    assert found.dtype == np.float32


def test_loudness_moves_the_level_only() -> None:
    quiet, loud = middle(sine(700, 0.1)), middle(sine(700, 0.8))
    assert loud["log_rms"] - quiet["log_rms"] == pytest.approx(math.log(8), abs=1e-5)
    assert loud["centroid"] == pytest.approx(quiet["centroid"], abs=0.1)


def test_digital_silence_is_finite() -> None:
    assert np.isfinite(frame_statistics(np.zeros(1000, np.float32), sample_rate=RATE)).all()


@pytest.mark.parametrize(
    ("wave", "options", "says"),
    [
        (np.zeros(0), {}, "wave of 0 samples"),
        (np.full(9, np.nan), {}, "not finite"),
        (np.zeros(9), {"hop": 0}, "a hop of 0"),
        (np.zeros(9), {"window": 15}, "at least 16 samples"),
        (np.zeros(9), {"sample_rate": 4000}, "4000 Hz"),
    ],
)
def test_bad_arguments(wave: np.ndarray, options: dict[str, int], says: str) -> None:
    with pytest.raises(InputError, match=says):
        frame_statistics(wave, **({"sample_rate": RATE} | options))
