import io
import math

import numpy as np
import pytest
import soundfile

from lvm_probe import InputError
from lvm_probe.models.likelihood import baselines
from lvm_probe.models.likelihood.baselines import (
    PAPER_SAMPLES,
    flac,
    flac_decode,
    flac_encode,
    largest_gaussian_likelihood,
    table_5,
    uniform,
)
from lvm_probe.models.likelihood.gaussian_mixture import GaussianMixture
from lvm_probe.probing.corpora import open_corpus
from lvm_probe.probing.corpora.recordings import load_recordings
from tests.models.miniature import Take, take


def test_the_uniform_distribution_costs_sixteen_bits() -> None:
    seen: list[int] = []
    result = uniform([take("a", 90), take("b", 1_000)], progress=seen.append)
    assert result.bits_per_frame == pytest.approx(16, rel=1e-14)
    assert result.pcm_bits_per_frame == pytest.approx(16, rel=1e-14)
    assert (result.samples, result.utterances, result.kl, result.steps, result.density) == (1_090, 2, (), (), False)
    assert (result.kl_bits_per_frame, result.active_units, result.collapsed) == ({}, {}, ())
    assert seen == [90, 1_000]


def test_flac_counts_the_bytes_of_one_file_a_recording(tmp_path) -> None:
    recordings = [take("a", 4_000), take("b", 30_000)]
    seen: list[int] = []
    result = flac(recordings, 16_000, progress=seen.append)
    total = 0
    for recording in recordings:
        path = tmp_path / f"{recording.name}.flac"
        soundfile.write(path, recording.pcm, 16_000, subtype="PCM_16", compression_level=1.0)
        total += path.stat().st_size
    assert result.elbo == pytest.approx(-8 * total * math.log(2))
    assert result.pcm_reconstruction == result.reconstruction
    assert result.bits_per_frame == pytest.approx(8 * total / 34_000)
    assert (result.samples, result.utterances, result.kl) == (34_000, 2, ())
    assert seen == [4_000, 30_000]


@pytest.mark.parametrize("pcm", [[0], [-32_768, 32_767] * 500, list(range(-600, 600, 7)), [0] * 5_000])
def test_flac_gives_the_audio_back(pcm) -> None:
    given = np.array(pcm, np.int16)
    assert np.array_equal(flac_decode(flac_encode(given, 16_000)), given)
    back, rate = soundfile.read(io.BytesIO(flac_encode(given, 16_000)), dtype="int16")
    assert rate == 16_000
    assert back.tolist() == pcm


def test_audio_that_does_not_come_back_is_no_code(monkeypatch) -> None:
    monkeypatch.setattr(baselines, "flac_decode", lambda data: np.zeros(90, np.int16))
    with pytest.raises(RuntimeError, match="a: libsndfile's FLAC does not return"):
        flac([take("a", 90)], 16_000)


def test_flac_cannot_shorten_noise_and_can_shorten_silence() -> None:
    rng = np.random.default_rng(0)
    noise = Take("noise", rng.integers(-32_768, 32_768, 50_000).astype(np.int16))
    assert flac([noise], 16_000).bits_per_frame >= 16
    assert flac([Take("silence", np.zeros(50_000, np.int16))], 16_000).bits_per_frame < 0.2


def test_a_higher_level_compresses_more() -> None:
    recordings = [take(name, 40_000) for name in "abc"]
    small, fast = flac(recordings, 16_000), flac(recordings, 16_000, 0.0)
    assert small.bits_per_frame < fast.bits_per_frame


def test_nothing_to_evaluate_and_levels_out_of_range_are_input_errors() -> None:
    with pytest.raises(InputError, match="no utterance"):
        uniform([])
    with pytest.raises(InputError, match="no utterance"):
        flac([], 16_000)
    with pytest.raises(InputError, match="level goes from 0 to 1"):
        flac([take("a", 90)], 16_000, 8.0)


def test_flac_on_timit(timit_sample) -> None:
    recordings = load_recordings(open_corpus(timit_sample), 16_000).recordings
    assert flac(recordings, 16_000).bits_per_frame == pytest.approx(7.342, abs=0.05)  # as libFLAC's versions go


def test_the_formula_is_the_density_at_the_mean_and_the_floor() -> None:
    import torch

    for std in (1.0, 0.1, 0.003):
        below = torch.tensor([0.0, 0.25, math.log(std / 7)], dtype=torch.float64)
        best = float(GaussianMixture(below, std).log_density(torch.tensor(0.25, dtype=torch.float64)))
        assert largest_gaussian_likelihood(std, 1) == pytest.approx(best, rel=1e-12)
        assert largest_gaussian_likelihood(std, 250.5) == pytest.approx(250.5 * best, rel=1e-12)
    assert largest_gaussian_likelihood(0.01, 1) == pytest.approx(3.686, abs=5e-4)
    for bad in ((0.0, 1.0), (-1.0, 1.0), (math.nan, 1.0), (1.0, -1.0)):
        with pytest.raises(InputError, match="min_std must be positive"):
            largest_gaussian_likelihood(*bad)


def test_table_5_is_the_papers_but_for_its_first_row() -> None:
    first, *others = table_5()
    assert [row.min_std for row in (first, *others)] == [1.0, 0.5, 0.1, 0.05, 0.01, 0.005, 0.001]
    assert [row.paper_nats for row in (first, *others)] == list(baselines.PAPER_TABLE_5)
    for row in others:
        assert row.nats == pytest.approx(row.paper_nats, abs=1)
        assert row.note == ""
    assert first.nats == pytest.approx(-45_365.5, abs=0.1)
    assert first.note == "the paper's -45,367 differs from its own formula by 1.5 nats"
    assert first.nats == largest_gaussian_likelihood(1.0, PAPER_SAMPLES)
