import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from lvm_probe.models.likelihood import mulaw
from tests import reference_models as reference

EVERY_PCM = torch.arange(-32_768, 32_768).short()


@pytest.mark.parametrize("mu", [255, 65_535])
def test_decode_inverts_encode(mu) -> None:
    x = torch.linspace(-1, 1, 10_001, dtype=torch.float64)
    torch.testing.assert_close(mulaw.decode(mulaw.encode(x, mu), mu), x, rtol=1e-13, atol=1e-16)
    torch.testing.assert_close(mulaw.encode(mulaw.decode(x, mu), mu), x, rtol=1e-13, atol=1e-16)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_every_pcm_value_survives_the_round_trip(dtype) -> None:
    x = mulaw.from_pcm(EVERY_PCM, dtype)
    assert torch.equal(mulaw.to_pcm(x), EVERY_PCM)
    assert torch.equal(mulaw.to_pcm(mulaw.decode(mulaw.encode(x))), EVERY_PCM)


def test_out_of_range_is_clipped_to_full_scale() -> None:
    assert mulaw.to_pcm(torch.tensor([-1.5, 1.0, 7.0])).tolist() == [-32_768, 32_767, 32_767]


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_encode_rises_and_is_odd(dtype) -> None:
    y = mulaw.encode(mulaw.from_pcm(EVERY_PCM, dtype))
    assert (y.diff() > 0).all()
    assert y[0] == -1
    assert torch.equal(y[1:], -y[1:].flip(0))


@given(st.floats(-1, 1), st.sampled_from([255, 65_535]))
def test_encode_agrees_with_the_formula(x, mu) -> None:
    ours = mulaw.encode(torch.tensor([x], dtype=torch.float64), mu).item()
    assert ours == pytest.approx(reference.mulaw(x, mu), rel=1e-12, abs=1e-15)


@given(st.one_of(st.integers(-32_768, 32_767), st.sampled_from([-32_768, -32_763, -1, 0, 1, 32_762, 32_767])))
def test_edges_agree_with_the_formulas(pcm) -> None:
    value = torch.tensor([pcm]).short()
    around = mulaw.bins_around(mulaw.encode(mulaw.from_pcm(value, torch.float64)))
    for ours, slow in (
        (around, reference.uniform_bin(pcm)),
        (mulaw.pcm_edges(value, torch.float64), reference.pcm_bin(pcm)),
        (mulaw.pcm_edges(value, torch.float64, mu=None), reference.linear_bin(pcm)),
    ):
        for edge, wanted in zip(ours, slow, strict=True):
            assert edge.item() == pytest.approx(wanted, rel=1e-12, abs=1e-15)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("mu", [65_535, 255, None])
def test_pcm_cells_tile_the_line(dtype, mu) -> None:
    lower, upper = mulaw.pcm_edges(EVERY_PCM, dtype, mu)
    assert torch.equal(lower[1:], upper[:-1])
    assert (upper > lower).all()
    assert lower[0] == -mulaw.OPEN
    assert upper[-1] == mulaw.OPEN


@pytest.mark.parametrize("mu", [255, 65_535])
def test_bins_around_values_are_those_of_the_grid_on_it_and_open_at_its_ends(mu) -> None:
    half = 1 / mu
    y = torch.tensor([-1, -1 + 0.9 * half, -0.5, 0, 1 - 0.9 * half, 1], dtype=torch.float64)
    lower, upper = mulaw.bins_around(y, mu)
    assert (lower == -mulaw.OPEN).tolist() == [True, True, False, False, False, False]
    assert (upper == mulaw.OPEN).tolist() == [False, False, False, False, True, True]
    torch.testing.assert_close((upper - lower)[2:4], torch.full((2,), 2 * half).double(), rtol=1e-6, atol=0)


@pytest.mark.parametrize("mu", [255, 65_535])
def test_grid_bins_tile_the_line(mu) -> None:
    lower, upper = mulaw.bins_around(torch.linspace(-1, 1, mu + 1, dtype=torch.float64), mu)
    torch.testing.assert_close(lower[1:], upper[:-1], rtol=0, atol=1e-15)  # a rounding of either edge
    assert lower[0] == -mulaw.OPEN
    assert upper[-1] == mulaw.OPEN


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_values_are_rounded_to_the_nearest_of_the_256_codes(dtype) -> None:
    y = mulaw.on_grid(mulaw.encode(mulaw.from_pcm(EVERY_PCM, dtype), 255), 255)
    codes = [reference.mulaw8_code(pcm) for pcm in range(-32_768, 32_768)]
    assert set(codes) == set(range(256))
    # Rounded to single precision, of which an eighth of a bin is a great multiple.
    torch.testing.assert_close(y, torch.tensor(codes, dtype=dtype) * 2 / 255 - 1, rtol=0, atol=1e-6)


def test_the_256_codes_survive_decoding_to_16_bits() -> None:
    codes = torch.linspace(-1, 1, 256, dtype=torch.float64)
    again = mulaw.encode(mulaw.from_pcm(mulaw.to_pcm(mulaw.decode(codes, 255)), torch.float64), 255)
    torch.testing.assert_close(mulaw.on_grid(again, 255), codes, rtol=0, atol=1e-15)
