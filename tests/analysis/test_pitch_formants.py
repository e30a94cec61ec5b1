import math

import numpy as np
import pytest
from scipy.signal import lfilter

from lvm_probe import InputError
from lvm_probe.analysis import pitch_formants
from lvm_probe.analysis.pitch_formants import tracks

RATE = 16_000
FORMANTS = ((700, 80), (1200, 90), (2600, 120), (3500, 150), (4500, 200))
needs_praat = pytest.mark.skipif(
    not pitch_formants.installed(), reason="needs praat-parselmouth: pip install 'lvm-probe[praat]'"
)


def vowel(hz: float = 125.0, seconds: float = 1.0, rate: int = RATE) -> np.ndarray:
    """Pulses through resonances, in the first half; then silence."""
    wave = np.zeros(round(seconds * rate))
    wave[np.round(np.arange(0, len(wave), rate / hz)).astype(int)[:-1]] = 1.0
    wave = lfilter([1], [1, -0.98], wave)  # the slope of a voice, which the pre-emphasis takes away
    for formant, width in FORMANTS:
        if formant > 0.45 * rate:
            break
        r = math.exp(-math.pi * width / rate)
        wave = lfilter([1], [1, -2 * r * math.cos(2 * math.pi * formant / rate), r * r], wave)
    wave = 0.5 * wave / np.abs(wave).max()
    wave[len(wave) // 2 :] = 0
    return wave


@pytest.fixture(params=[pytest.param(True, marks=needs_praat), False], ids=["Praat", "ours"])
def engine(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> bool:
    monkeypatch.setattr(pitch_formants, "installed", lambda: request.param)
    return bool(request.param)


@pytest.mark.usefixtures("engine")
def test_pitch_and_formants_of_a_synthetic_vowel_are_found() -> None:
    found = tracks(vowel(), RATE, "M")
    middle = (found.times_s > 0.1) & (found.times_s < 0.4)
    np.testing.assert_allclose(found.pitch_hz[middle], 125, rtol=0.01)
    # Linear prediction leans towards the harmonics, which are 125 Hz apart.
    np.testing.assert_allclose(np.median(found.formants_hz[:, middle], axis=1), [700, 1200, 2600], atol=63)
    assert np.isnan(found.pitch_hz[found.times_s > 0.6]).all()
    assert np.isnan(found.formants_hz[:, found.times_s > 0.6]).all()


@pytest.mark.usefixtures("engine")
def test_noise_and_silence_have_no_pitch() -> None:
    assert np.isnan(tracks(np.zeros(RATE), RATE, None).pitch_hz).all()
    noise = 0.1 * np.random.default_rng(0).normal(size=RATE)
    assert np.isnan(tracks(noise, RATE, None).pitch_hz).mean() > 0.9


@pytest.mark.usefixtures("engine")
def test_a_clip_too_short_for_pitch_is_refused() -> None:
    with pytest.raises(InputError, match="1 ms of audio are too short for three periods of 60 Hz"):
        tracks(np.zeros(20), RATE, None)
    shortest = next(n for n in range(RATE) if pitch_formants.long_enough(n, RATE))
    assert len(tracks(np.zeros(shortest), RATE, None).times_s) == 1


@needs_praat
@pytest.mark.parametrize("rate", [8_000, 11_025, 16_000, 44_100])
@pytest.mark.parametrize("hz", [80.0, 117.0, 333.0])
def test_ours_agrees_with_praat(rate: int, hz: float, monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(1)
    wave = vowel(hz, rate=rate) + 0.001 * rng.normal(size=rate)
    theirs = tracks(wave, rate, "F")
    monkeypatch.setattr(pitch_formants, "installed", lambda: False)
    ours = tracks(wave, rate, "F")
    np.testing.assert_allclose(ours.times_s, theirs.times_s, atol=1e-9)
    voiced = np.isfinite(ours.pitch_hz) & np.isfinite(theirs.pitch_hz)
    assert (np.isfinite(ours.pitch_hz) == np.isfinite(theirs.pitch_hz)).mean() > 0.97
    # Praat interpolates the autocorrelation with a sinc, ours with a parabola.
    semitones = 12 * np.abs(np.log2(ours.pitch_hz[voiced] / theirs.pitch_hz[voiced]))
    assert np.quantile(semitones, 0.95) < 0.1
    # The resampling filters differ near the ceiling.
    gaps = np.abs(ours.formants_hz - theirs.formants_hz)[:, voiced]
    assert (np.nanmedian(gaps, axis=1) < [10, 20, 30]).all()


def test_the_engine_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    assert pitch_formants.engine().startswith("Praat ") == pitch_formants.installed()
    monkeypatch.setattr(pitch_formants, "installed", lambda: False)
    assert pitch_formants.engine() == "lvm-probe"


def test_burg_recovers_an_autoregression() -> None:
    rng = np.random.default_rng(0)
    wave = lfilter([1], [1, -1.2, 0.8, -0.1], rng.normal(size=40_000))
    # One coefficient has a standard error of about 1 / sqrt(40,000).
    np.testing.assert_allclose(pitch_formants._burg(wave[None], 3)[0], [1.2, -0.8, 0.1], atol=0.02)
