import numpy as np
import pytest

from lvm_probe import InputError
from lvm_probe.analysis.frames import frame_statistics
from lvm_probe.analysis.mel import log_mel
from lvm_probe.analysis.mfcc import mfcc
from lvm_probe.probing.corpora.corpus import Segment
from lvm_probe.probing.features import acoustic
from lvm_probe.probing.features.extraction_settings import ALSO, Mel, Settings
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
        "mfcc": mfcc(mel, reach=5),  # 20 ms in steps of 4
        "stats": frame_statistics(WAVE, sample_rate=RATE, hop=HOP, window=200),
    }
    for name, values in frames.items():
        for row, segment in zip(found[name], SEGMENTS, strict=True):
            # Frequencies go up to thousands of Hz, in single precision.
            np.testing.assert_allclose(row, reference.pooled_mean(values, segment, HOP), rtol=1e-4, atol=1e-4)


def test_settings_that_cannot_be_are_refused() -> None:
    with pytest.raises(InputError, match="--also stats: needs .*audio above 4000 Hz; got a window of 256 at 4000 Hz"):
        acoustic.sizes(Settings(also=("stats",)), 4000)
    with pytest.raises(InputError, match="--also pitch: choose among mfcc, stats, states, halves"):
        Settings(also=("pitch",))
    assert Settings(also=("stats", "mfcc", "stats")).also == ("mfcc", "stats")
