"""Diagonal Gaussians by mean and log precision: the precisions of a product of Gaussians add."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, assert_never

import torch
from jaxtyping import Float
from torch import Tensor

LOG_PRECISION_RANGE = (-6.0, 12.0)
"""Limits of log precisions: standard deviations between 0.0025 and 20."""

Posterior = Literal["product", "direct", "residual", "prior"]
"""How the posterior is made from the prior and from the Gaussian of the evidence (the encoder's): their normalised
product; the evidence's Gaussian alone; the evidence's mean added to the prior's, with the evidence's precision; or the
prior alone, which infers nothing."""


@dataclass(frozen=True)
class Gaussian:
    """Independent Gaussians.

    Attributes:
        mean: of any shape.
        log_precision: minus the log variance, of the same shape.
    """

    mean: Float[Tensor, "*shape"]
    log_precision: Float[Tensor, "*shape"]

    @property
    def std(self) -> Float[Tensor, "*shape"]:
        """Standard deviations."""
        return torch.exp(-0.5 * self.log_precision)

    def __getitem__(self, part: slice) -> Gaussian:
        """Part of the first axis."""
        return Gaussian(self.mean[part], self.log_precision[part])

    def draw(self, noise: Float[Tensor, "*shape"]) -> Float[Tensor, "*shape"]:
        """A draw, from standard normal noise."""
        return torch.addcmul(self.mean, self.std, noise)

    def double(self) -> Gaussian:
        """In double precision."""
        return Gaussian(self.mean.double(), self.log_precision.double())

    @staticmethod
    def stack(steps: Sequence[Gaussian]) -> Gaussian:
        """Join along a new first axis."""
        return Gaussian(torch.stack([g.mean for g in steps]), torch.stack([g.log_precision for g in steps]))

    @staticmethod
    def concatenate(parts: Sequence[Gaussian]) -> Gaussian:
        """Join along the first axis."""
        return Gaussian(torch.cat([g.mean for g in parts]), torch.cat([g.log_precision for g in parts]))


def kl_divergence(q: Gaussian, p: Gaussian) -> Float[Tensor, "*shape"]:
    """KL(q || p) in nats of every dimension, in closed form.

    Example:
        >>> zero, one = torch.zeros(1), torch.ones(1)
        >>> kl_divergence(Gaussian(one, zero), Gaussian(zero, zero))
        tensor([0.5000])
    """
    gap = p.log_precision - q.log_precision
    distance = (q.mean - p.mean).square() * p.log_precision.exp()
    return 0.5 * (torch.expm1(gap) - gap + distance)


def log_density(g: Gaussian, z: Float[Tensor, "*shape"]) -> Float[Tensor, "*shape"]:
    """log N(z) in nats of every dimension."""
    distance = (z - g.mean).square() * g.log_precision.exp()
    return 0.5 * (g.log_precision - math.log(2 * math.pi) - distance)


def posterior_of(how: Posterior, prior: Gaussian, evidence: Gaussian) -> Gaussian:
    """The posterior, made from prior and evidence in one of the ways of `Posterior`."""
    match how:
        case "product":  # precisions add
            log_precision = torch.logaddexp(prior.log_precision, evidence.log_precision)
            share = torch.sigmoid(prior.log_precision - evidence.log_precision)
            return Gaussian(torch.lerp(evidence.mean, prior.mean, share), log_precision)
        case "direct":
            return evidence
        case "residual":
            return Gaussian(prior.mean + evidence.mean, evidence.log_precision)
        case "prior":
            return prior
        case _:
            assert_never(how)


def gaussian_of(parameters: Float[Tensor, "*shape two_latent"]) -> Gaussian:
    """The outputs of a network as a Gaussian: means, then log precisions, which are clamped to their limits."""
    mean, log_precision = parameters.chunk(2, -1)
    return Gaussian(mean, log_precision.clamp(*LOG_PRECISION_RANGE))
