"""Dropout (Srivastava et al. 2014) whose draws come from a generator, so that training can be repeated and resumed."""

from __future__ import annotations

import torch
from torch import Tensor, nn


class Dropout(nn.Module):
    """Sets units to zero at random while a trainer uses it, and divides the others by the share that is kept.

    Attributes:
        share: of the units that are dropped.
        generator: source of the draws, seeded by the trainer for every update; without one nothing is dropped.

    Example:
        >>> dropout = Dropout()
        >>> dropout.share, dropout.generator = 0.5, torch.Generator().manual_seed(0)
        >>> sorted(set(dropout(torch.ones(100)).tolist()))
        [0.0, 2.0]
        >>> dropout.eval()(torch.ones(2))
        tensor([1., 1.])
    """

    share: float = 0.0
    generator: torch.Generator | None = None

    def forward(self, x: Tensor) -> Tensor:
        if not self.training or self.generator is None or self.share == 0:
            return x
        kept = torch.empty(x.shape, device=self.generator.device).bernoulli_(1 - self.share, generator=self.generator)
        return x * kept.to(x) / (1 - self.share)
