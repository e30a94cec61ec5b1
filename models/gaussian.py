"""Diagonal Gaussians in precision form, in which the CW-VAE's posterior is a sum."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

LOG_PRECISION_RANGE = (-6.0, 12.0)
"""Standard deviations between 0.0025 and 20."""


@dataclass(frozen=True)
class Gaussian:
    """Independent Gaussians with the given means and log precisions (minus log variances)."""

    mean: Float[Tensor, "*shape"]
    log_precision: Float[Tensor, "*shape"]

    @property
    def std(self) -> Float[Tensor, "*shape"]:
        return torch.exp(-0.5 * self.log_precision)


def kl_divergence(q: Gaussian, p: Gaussian) -> Float[Tensor, "*shape"]:
    """KL(q || p) in nats for every dimension, in closed form."""
    gap = p.log_precision - q.log_precision
    distance = (q.mean - p.mean).square() * p.log_precision.exp()
    return 0.5 * (torch.expm1(gap) - gap + distance)
