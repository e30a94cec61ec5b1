import numpy as np
import pytest
from torchaudio.functional import create_dct

from lvm_probe import InputError
from lvm_probe.analysis.acoustic_measures import acoustic_measures
from lvm_probe.analysis.frames import frame_statistics
from lvm_probe.analysis.mel import log_mel
from lvm_probe.probing.corpora.corpus import Segment
from lvm_probe.probing.features import acoustic
from lvm_probe.probing.features.extraction_settings import ALSO, Mel, Settings
from lvm_probe.probing.features.feature import MEASURES
from lvm_probe.probing.features.pooling import split_in_half
from tests.probing import reference_pooling as reference

RATE, HOP = 16_000, 64
SEGMENTS = [Segment("a", 0, 1000), Segment("b", 1000, 1001), Segment("c", 1700, 2500)]
WAVE = (0.1 * np.random.default_rng(0).normal(size=2500)).astype(np.float32)


def test_mel_alone_unless_asked() -> None:
    assert acoustic.sizes(Settings(), RATE) == {"mel": 80}
    assert acoustic.pooled(WAVE, SEGMENTS, Settings(), RATE, HOP).keys() == {"mel"}


def test_each_is_pooled_from_its_frames() -> None:
    settings = Settings(also=ALSO, mel=Mel(bins=40, window=200))
    found = acoustic.pooled(WAVE, SEGMENTS, settings, RATE, HOP)
    assert {name: array.shape for name, array in found.items()} == {
        name: (3, size) for name, size in acoustic.sizes(settings, RATE).items()
    }
    assert tuple(found) == acoustic.NAMES
    mel = log_mel(WAVE, sample_rate=RATE, hop=HOP, window=200, bins=40)
    frames = {
        "mel": mel,
        "stats": frame_statistics(WAVE, sample_rate=RATE, hop=HOP, window=200),
    }
    for name, values in frames.items():
        for row, segment in zip(found[name], SEGMENTS, strict=True):
            # Frequencies go up to thousands of Hz, in single precision.
            np.testing.assert_allclose(row, reference.pooled_mean(values, segment, HOP), rtol=1e-4, atol=1e-4)


def reference_mfcc(mel: np.ndarray, segment: Segment, reach: int) -> np.ndarray:
    """The cepstra of the frames of one token, the slopes of straight lines through them, and their weighted mean."""
    first, last = segment.start // HOP, (segment.end - 1) // HOP
    cepstrum = create_dct(13, mel.shape[1], "ortho").numpy().T.astype(np.float64) @ mel[first : last + 1].T
    around = np.arange(-reach, reach + 1)

    def slopes(rows: np.ndarray) -> np.ndarray:
        seen = [rows[:, np.clip(t + around, 0, rows.shape[1] - 1)] for t in range(rows.shape[1])]
        return np.stack([np.polyfit(around, frames.T, 1)[0] for frames in seen], axis=1)

    values = np.concatenate([cepstrum, slopes(cepstrum), slopes(slopes(cepstrum))])
    return np.mean([values[:, sample // HOP - first] for sample in range(segment.start, segment.end)], axis=0)


def test_mfcc_is_computed_from_each_token_s_own_frames() -> None:
    found = acoustic.pooled(WAVE, SEGMENTS, Settings(also=("mfcc",)), RATE, HOP)["mfcc"]
    mel = log_mel(WAVE, sample_rate=RATE, hop=HOP)
    for row, segment in zip(found, SEGMENTS, strict=True):
        # 20 ms are 5 steps of 4 ms. Single precision; log energies are about -10.
        np.testing.assert_allclose(row, reference_mfcc(mel, segment, 5), rtol=1e-4, atol=1e-4)
    assert not found[1, 13:].any()  # a single frame has no slope


def test_mfcc_of_halves_are_those_of_two_tokens() -> None:
    settings = Settings(also=("mfcc", "halves"))
    halves = [half for segment in SEGMENTS for half in split_in_half(segment)]
    whole = acoustic.pooled(WAVE, halves, settings, RATE, HOP)["mfcc"].reshape(len(SEGMENTS), -1)
    np.testing.assert_array_equal(acoustic.pooled(WAVE, SEGMENTS, settings, RATE, HOP)["mfcc_halves"], whole)


@pytest.mark.parametrize("name", ["mel", "mel_halves", "mfcc", "mfcc_halves", "stats"])
def test_a_token_depends_on_no_audio_but_that_of_its_frames(name: str) -> None:
    settings = Settings(also=ALSO)
    segment = Segment("x", 1000, 1500)
    # Its frames are those of the steps 15 to 23, whose windows cover the samples from 864 to 1632.
    elsewhere = WAVE.copy()
    elsewhere[:864] = elsewhere[1632:] = 0
    here, there = (acoustic.pooled(wave, [segment], settings, RATE, HOP)[name] for wave in (WAVE, elsewhere))
    np.testing.assert_array_equal(here, there)
    elsewhere[870] = elsewhere[1625] = 1
    assert (acoustic.pooled(elsewhere, [segment], settings, RATE, HOP)[name] != here).any()


def test_measures_of_a_token_are_those_of_its_known_steps() -> None:
    found = acoustic.pooled(WAVE, SEGMENTS, Settings(also=("measures",)), RATE, HOP, gender="F")
    steps = acoustic_measures(WAVE, sample_rate=RATE, hop=HOP, gender="F")
    for i, name in enumerate(MEASURES):
        for row, segment in zip(found[name], SEGMENTS, strict=True):
            own = np.array([steps[sample // HOP, i] for sample in range(segment.start, segment.end)])
            known = own[~np.isnan(own)]
            expected = known.mean() if len(known) * 2 >= len(own) else np.nan
            np.testing.assert_allclose(row, [expected], rtol=1e-4)


def test_settings_that_cannot_be_are_refused() -> None:
    with pytest.raises(InputError, match="--also stats: needs .*audio above 4000 Hz; got a window of 256 at 4000 Hz"):
        acoustic.sizes(Settings(also=("stats",)), 4000)
    with pytest.raises(InputError, match="measures need audio of 8,000 Hz or more"):
        acoustic.sizes(Settings(also=("measures",)), 4000)
    with pytest.raises(InputError, match="--also pitch: choose among mfcc, stats, measures, states, halves"):
        Settings(also=("pitch",))
    assert Settings(also=("stats", "mfcc", "stats")).also == ("mfcc", "stats")
