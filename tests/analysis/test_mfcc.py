import numpy as np
import pytest
import torch
from torchaudio.functional import create_dct

from lvm_probe import InputError
from lvm_probe.analysis.mfcc import COEFFICIENTS, cepstrum, delta_reach, deltas, with_derivatives


def steps(frames: int = 20, dims: int = 30) -> np.ndarray:
    return np.random.default_rng(0).normal(-5, 2, size=(frames, dims)).astype(np.float32)


def test_the_cepstrum_is_torchaudio_s() -> None:
    expected = torch.from_numpy(steps()) @ create_dct(COEFFICIENTS, 30, "ortho")
    np.testing.assert_allclose(cepstrum(steps()), expected, rtol=1e-4, atol=1e-4)  # single precision


def test_first_and_second_derivatives_follow_the_values() -> None:
    found = with_derivatives(steps(dims=13), 2)
    assert found.shape == (20, 39)
    np.testing.assert_array_equal(found[:, :13], steps(dims=13))
    np.testing.assert_array_equal(found[:, 13:26], deltas(found[:, :13], 2))
    np.testing.assert_array_equal(found[:, 26:], deltas(found[:, 13:26], 2))


def test_an_orthonormal_transform_of_all_bins_keeps_lengths() -> None:
    found = cepstrum(steps(), 30)
    np.testing.assert_allclose(np.linalg.norm(found, axis=1), np.linalg.norm(steps(), axis=1), rtol=1e-5)


@pytest.mark.parametrize("reach", [1, 2, 5])
@pytest.mark.parametrize("frames", [1, 3, 20])
def test_deltas_are_slopes_of_least_squares_lines(frames: int, reach: int) -> None:
    values = steps(frames, 2).astype(np.float64)
    around = np.arange(-reach, reach + 1)
    found = deltas(values, reach)
    for t in range(frames):
        seen = values[np.clip(t + around, 0, frames - 1)]
        np.testing.assert_allclose(found[t], np.polyfit(around, seen, 1)[0], atol=1e-10)


def test_derivatives_do_not_leave_their_stretch() -> None:
    lengths = np.array([1, 12, 2, 5])
    stretches = np.split(steps(), np.cumsum(lengths)[:-1])
    expected = np.concatenate([with_derivatives(stretch, 5) for stretch in stretches])
    np.testing.assert_array_equal(with_derivatives(steps(), 5, lengths), expected)


def test_a_ramp_rises_by_its_slope() -> None:
    ramp = np.linspace(0, 6, 13, dtype=np.float32)[:, None]
    np.testing.assert_allclose(deltas(ramp, 3)[3:-3], 0.5, rtol=1e-6)
    assert deltas(ramp, 3).dtype == np.float32


def test_twenty_milliseconds_whatever_the_hop() -> None:
    assert [delta_reach(16_000, hop) for hop in (64, 160, 512, 4096)] == [5, 2, 1, 1]


def test_too_few_bins() -> None:
    with pytest.raises(InputError, match="13 cepstral coefficients need as many Mel bins; got 12"):
        cepstrum(steps(dims=12))
