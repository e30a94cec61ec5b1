"""Dropout from a generator."""

import torch

from lvm_probe.models.layers.dropout import Dropout


def test_the_share_of_units_is_dropped_and_the_mean_is_kept() -> None:
    dropout, x = Dropout(), torch.ones(100_000)
    dropout.share, dropout.generator = 0.3, torch.Generator().manual_seed(1)
    y = dropout(x)
    assert abs((y == 0).float().mean() - 0.3) < 0.006  # four standard errors
    assert torch.allclose(y[y > 0], torch.tensor(1 / 0.7))
    assert abs(y.mean() - 1) < 0.01


def test_the_generator_decides_what_is_dropped() -> None:
    dropout, x = Dropout(), torch.ones(1_000)
    dropout.share = 0.5
    drawn = []
    for seed in (0, 0, 1):
        dropout.generator = torch.Generator().manual_seed(seed)
        drawn.append(dropout(x))
    assert torch.equal(drawn[0], drawn[1])
    assert not torch.equal(drawn[0], drawn[2])


def test_nothing_is_dropped_without_a_generator_or_in_evaluation() -> None:
    dropout, x = Dropout(), torch.ones(10)
    dropout.share = 0.5
    assert torch.equal(dropout(x), x)
    dropout.generator = torch.Generator()
    assert torch.equal(dropout.eval()(x), x)
