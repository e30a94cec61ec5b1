import numpy as np
import pytest

from lvm_probe import InputError
from lvm_probe.analysis.acoustic_measures import acoustic_measures
from lvm_probe.analysis.pitch_formants import tracks
from tests.analysis.test_pitch_formants import RATE, vowel

COLUMNS = ("f0", "voiced", "intensity", "f1", "f2", "f3", "tilt", "centroid")


def measured(wave: np.ndarray, hop: int = 160) -> dict[str, np.ndarray]:
    return dict(zip(COLUMNS, acoustic_measures(wave, sample_rate=RATE, hop=hop, gender="M").T, strict=True))


@pytest.mark.parametrize("hop", [64, 160, 512])
def test_every_step_has_the_pitch_and_formants_of_the_nearest_five_milliseconds(hop: int) -> None:
    wave = vowel()
    found, track = measured(wave, hop), tracks(wave, RATE, "M")
    assert len(found["f0"]) == -(-len(wave) // hop)
    for t in range(len(found["f0"])):
        middle = (t + 0.5) * hop / RATE
        gaps = np.abs(track.times_s - middle)
        near = gaps.argmin()
        if np.sum(gaps < gaps[near] + 1e-9) > 1:
            continue  # between two
        here = [found[name][t] for name in ("f0", "f1", "f2", "f3")]
        there = [track.pitch_hz[near], *track.formants_hz[:, near]] if gaps[near] < 0.005 else [np.nan] * 4
        np.testing.assert_allclose(here, there, equal_nan=True)
    np.testing.assert_array_equal(found["voiced"] == 1, np.isfinite(found["f0"]))


def test_intensity_and_centroid_of_a_tone() -> None:
    wave = 0.25 * np.sin(2 * np.pi * 1000 * np.arange(RATE) / RATE)
    found = measured(wave)
    np.testing.assert_allclose(found["intensity"][5:-5], 20 * np.log10(0.25 / np.sqrt(2)), atol=0.02)
    np.testing.assert_allclose(found["centroid"][5:-5], 1000, atol=1)


@pytest.mark.parametrize("slope", [-12.0, -6.0, 0.0])
def test_tilt_is_that_of_the_spectrum(slope: float) -> None:
    rng = np.random.default_rng(0)
    spectrum = np.fft.rfft(rng.normal(size=60 * RATE))
    hertz = np.fft.rfftfreq(60 * RATE, 1 / RATE)
    wave = np.fft.irfft(spectrum * np.maximum(hertz, 20) ** (slope / 20 / np.log10(2)))
    wave *= 0.5 / np.abs(wave).max()
    # Leakage of the window flattens a steep slope at its low end, where a band has few bins.
    assert measured(wave)["tilt"].mean() == pytest.approx(slope, abs=0.35)


def test_louder_speech_differs_in_intensity_only() -> None:
    wave = vowel() + 0.01 * np.random.default_rng(0).normal(size=RATE)
    soft, loud = measured(0.25 * wave), measured(0.5 * wave)
    np.testing.assert_allclose(loud["intensity"] - soft["intensity"], 20 * np.log10(2), atol=1e-4)
    for name in ("f0", "voiced", "f1", "tilt", "centroid"):
        np.testing.assert_allclose(loud[name], soft[name], rtol=1e-3, equal_nan=True)


def test_short_audio_is_unvoiced_and_low_rates_are_refused() -> None:
    found = measured(0.1 * np.ones(300))
    assert not found["voiced"].any()
    assert np.isnan(found["f1"]).all()
    assert np.isfinite(found["tilt"]).all()
    with pytest.raises(InputError, match="need audio of 8,000 Hz or more, not 4,000"):
        acoustic_measures(np.zeros(100), sample_rate=4000, hop=64)
