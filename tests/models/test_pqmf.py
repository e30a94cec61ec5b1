"""The filter bank against its definition, and how well it reconstructs."""

import math

import numpy as np
import pytest
import torch

from lvm_probe import InputError
from lvm_probe.models.layers.pqmf import PQMF, filter_bank, prototype

BANDS = pytest.mark.parametrize("bands", [2, 4, 8, 16])


def noise(samples: int, channels: int = 1) -> torch.Tensor:
    return torch.randn(2, channels, samples, generator=torch.Generator().manual_seed(0), dtype=torch.float64)


@BANDS
def test_filters_are_the_modulated_prototype(bands) -> None:
    filters, p = filter_bank(bands), prototype(bands)
    taps = len(p)
    scale = filters[0, taps // 2] / (
        p[taps // 2] * math.cos(math.pi / (2 * bands) * (taps // 2 - (taps - 1) / 2) + math.pi / 4)
    )
    for k in range(bands):
        for n in range(0, taps, 7):
            phase = (2 * k + 1) * math.pi / (2 * bands) * (n - (taps - 1) / 2) + (-1) ** k * math.pi / 4
            assert filters[k, n] == pytest.approx(scale * p[n] * math.cos(phase), abs=1e-12)


@BANDS
def test_bands_and_reconstruction_are_sums_over_taps(bands) -> None:
    """A band is the signal times shifted filters; the reconstruction adds up the same filters times the bands."""
    bank, filters, wave = PQMF(bands).double(), filter_bank(bands), noise(12 * bands)
    taps, samples = filters.shape[1], wave.shape[2]
    ours = bank.analyse(wave)[0].numpy()
    signal, wanted = wave[0, 0].numpy(), np.zeros((bands, samples // bands))
    back = np.zeros(samples)
    for k in range(bands):
        for t in range(samples // bands):
            first = t * bands - taps // 2
            for n in range(taps):
                if 0 <= first + n < samples:
                    wanted[k, t] += filters[k, n] * signal[first + n]
            for n in range(taps):
                if 0 <= first + n < samples:
                    back[first + n] += filters[k, n] * wanted[k, t]
    # The buffers are made in single precision.
    np.testing.assert_allclose(ours, wanted, atol=1e-6)
    np.testing.assert_allclose(bank.synthesise(bank.analyse(wave))[0, 0].numpy(), back, atol=1e-6)


@BANDS
def test_noise_is_reconstructed_to_62_decibels(bands) -> None:
    bank, wave = PQMF(bands), noise(8_192).float()
    error = (bank.synthesise(bank.analyse(wave)) - wave)[..., 16 * bands : -16 * bands]
    assert 10 * math.log10(error.square().mean() / wave.square().mean()) < -62


@BANDS
def test_a_tone_is_in_its_own_band(bands) -> None:
    bank = PQMF(bands)
    for k in range(bands):
        tone = torch.sin(torch.arange(4_096) * math.pi * (k + 0.5) / bands).view(1, 1, -1)
        power = bank.analyse(tone)[0, :, 16:-16].square().mean(1)
        assert power.argmax() == k
        assert power[k] > 0.999 * power.sum()


def test_channels_do_not_mix_and_one_band_is_the_waveform() -> None:
    wave = noise(256, channels=3).float()
    bank = PQMF(4)
    apart = torch.cat([bank.analyse(wave[:, i : i + 1]) for i in range(3)], 1)
    torch.testing.assert_close(bank.analyse(wave), apart)
    assert torch.equal(PQMF(1).synthesise(PQMF(1).analyse(wave)), wave)
    assert not PQMF(8).state_dict()


def test_other_numbers_of_bands_are_refused() -> None:
    with pytest.raises(InputError, match="got 3"):
        PQMF(3)
