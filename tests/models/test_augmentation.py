"""Changes of training segments against their formulas; they repeat by seed and change nothing where they are off."""

from dataclasses import replace

import numpy as np
import pytest

from lvm_probe import InputError
from lvm_probe.models.domains.waveform import Waveform
from lvm_probe.models.training.augmentation import RADIUS, all_pass, changed, draw_changes, resampled
from lvm_probe.models.training.recipe import PAPER, SMALL
from lvm_probe.models.training.segments import training_batch
from tests.models import miniature

TAKES = [miniature.take("a", 40_000), miniature.take("b", 3_000)]
ALL = {"mangle": 0.8, "dequantise": True, "flip": True, "pitch": 4.0, "quieter": 12.0}


def batch(update: int = 0, **changes: object):
    return training_batch(TAKES, Waveform(), replace(SMALL, segment=4_096, **changes), 3, update)


def test_the_all_pass_filter_is_its_difference_equation_and_keeps_every_amplitude() -> None:
    x, cosine = np.random.default_rng(0).normal(size=300), np.cos(2 * np.pi * 700 / 16_000)
    wanted = np.zeros(300)
    for n in range(300):
        past = [(x[n - k], wanted[n - k]) if n >= k else (0.0, 0.0) for k in range(3)]
        wanted[n] = RADIUS**2 * x[n] - 2 * RADIUS * cosine * (past[1][0] - past[1][1]) + past[2][0]
        wanted[n] -= RADIUS**2 * past[2][1]
    np.testing.assert_allclose(all_pass(x, 700.0, 16_000), wanted, atol=1e-9)
    impulse = np.eye(1, 8_192)[0]  # 0.99^8192 is nothing
    response = np.fft.rfft(all_pass(impulse, 700.0, 16_000))
    np.testing.assert_allclose(abs(response), 1, atol=1e-9)
    delay = -np.diff(np.unwrap(np.angle(response))) * 8_192 / (2 * np.pi)
    assert abs(delay.argmax() * 16_000 / 8_192 - 700) < 10
    assert delay.max() == pytest.approx(2 / (1 - RADIUS), rel=0.02)  # samples: 12 ms at 16 kHz


@pytest.mark.parametrize("ratio", [0.8, 1.0, 1.26])
def test_resampling_moves_tones_by_the_ratio_and_does_not_alias(ratio) -> None:
    n = np.arange(6_000)
    for frequency in (0.01, 0.1, 0.6):  # of the highest
        moved = resampled(np.sin(np.pi * frequency * n), ratio, 4_000)
        inside = slice(100, -100)
        if frequency * ratio < 0.85:
            error = moved - np.sin(np.pi * frequency * ratio * np.arange(4_000))
            assert 10 * np.log10(np.square(error[inside]).mean() * 2) < -55
    if ratio > 1:
        aliased = resampled(np.sin(np.pi * 0.97 * n), ratio, 4_000)
        assert 10 * np.log10(np.square(aliased[100:-100]).mean() * 2) < -55


def test_dequantisation_alone_changes_nothing_and_spreads_values_over_their_cells() -> None:
    plain, lengths, names = batch()
    spread, same_lengths, same_names = batch(dequantise=True)
    assert (spread == plain).all()
    assert lengths.tolist() == same_lengths.tolist()
    assert names == same_names
    quieter, more = batch(quieter=40.0)[0], batch(quieter=40.0, dequantise=True)[0]
    assert 0 < (quieter != more).float().mean() < 0.5
    assert (quieter - more).abs().max() == 1


def test_flips_are_half_of_the_rows_and_gains_are_those_of_before() -> None:
    plain, flipped = batch(), batch(flip=True)
    signs = [(a == b).all().item() - (a == -b).all().item() for a, b in zip(plain[0], flipped[0], strict=True)]
    assert set(signs) == {-1, 1}
    drawn = np.concatenate([draw_changes(replace(SMALL, flip=True), 0, u).flipped for u in range(200)])
    assert abs(drawn.mean() - 0.5) < 4 * 0.5 / np.sqrt(len(drawn))
    loudest = np.array([-32_768], np.int16)
    turned = draw_changes(replace(SMALL, batch=1), 0, 1)._replace(flipped=np.ones(1, bool))
    assert changed(loudest, 1, turned, 0, 1.0, sample_rate=16_000).tolist() == [32_767]


def test_shares_and_ranges_are_those_of_the_recipe() -> None:
    recipe = replace(SMALL, mangle=0.25, pitch=3.0, batch=2_000)
    changes = draw_changes(recipe, 0, 0)
    assert abs((changes.hertz > 0).mean() - 0.25) < 4 * np.sqrt(0.25 * 0.75 / 2_000)
    assert changes.hertz[changes.hertz > 0].min() >= 20
    assert changes.hertz.max() <= 2_000
    semitones = 12 * np.log2(changes.ratios)
    assert abs(semitones).max() <= 3
    assert abs(semitones).max() > 2.9
    assert abs(semitones.mean()) < 4 * 3 / np.sqrt(3 * 2_000)


def test_batches_repeat_by_seed_and_update_and_their_padding_stays_silent() -> None:
    first, again, other = batch(7, **ALL), batch(7, **ALL), batch(8, **ALL)
    assert (first[0] == again[0]).all()
    assert not (first[0] == other[0]).all()
    for pcm, length in zip(first[0], first[1], strict=True):
        assert 0 < length <= 4_096
        assert (pcm[length:] == 0).all()
        assert pcm[:length].any()
    assert (first[1] < 4_096).any()  # the short recording


def test_impossible_recipes_are_refused() -> None:
    for wrong in ({"mangle": 1.5}, {"pitch": -1.0}, {"pitch": 13.0}):
        with pytest.raises(InputError, match="mangle lies between"):
            replace(SMALL, **wrong)
    with pytest.raises(InputError, match="segments only"):
        replace(PAPER, flip=True)
