"""Mixture of Gaussians with a minimum standard deviation (Havtorn et al. 2022, equation 12)."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor


@dataclass(frozen=True)
class GaussianMixture:
    """A mixture of K Gaussians for every audio sample.

    Attributes:
        parameters: K logits, K means and K log standard deviations along the last axis.
        min_std: the smallest standard deviation; without one the likelihood has no upper bound (Mattei and Frellsen
            2018).
    """

    parameters: Float[Tensor, "*shape three_k"]
    min_std: float

    def __post_init__(self) -> None:
        at_least_single = torch.promote_types(self.parameters.dtype, torch.float32)
        object.__setattr__(self, "parameters", self.parameters.to(at_least_single))

    def log_density(self, x: Float[Tensor, "*shape"]) -> Float[Tensor, "*shape"]:
        """Log density of every audio sample at x, in nats."""
        log_weights, means, log_stds = self._components()
        z = (x.unsqueeze(-1) - means) * torch.exp(-log_stds)
        return torch.logsumexp(log_weights - log_stds - 0.5 * (z.square() + math.log(2 * math.pi)), -1)

    def log_mass(self, lower: Float[Tensor, "*shape"], upper: Float[Tensor, "*shape"]) -> Float[Tensor, "*shape"]:
        """Log probability of the bin [lower, upper], in nats and in double precision; not meant for training."""
        log_weights, means, log_stds = (x.double() for x in self._components())
        inverse = torch.exp(-log_stds)
        a = (lower.double().unsqueeze(-1) - means) * inverse
        b = (upper.double().unsqueeze(-1) - means) * inverse
        right = a + b > 0  # mirrored to the left tail, where log_ndtr is accurate
        a, b = torch.where(right, -b, a), torch.where(right, -a, b)
        high, low = torch.special.log_ndtr(b), torch.special.log_ndtr(a)
        return torch.logsumexp(log_weights + high + torch.log(-torch.expm1(low - high)), -1)

    def sample(self, generator: torch.Generator) -> Float[Tensor, "*shape"]:
        """Draw a value for every audio sample."""
        log_weights, means, log_stds = self._components()
        choice = torch.multinomial(log_weights.exp().flatten(0, -2), 1, generator=generator)
        choice = choice.view(*means.shape[:-1], 1)
        noise = torch.randn(choice.shape, generator=generator, dtype=means.dtype, device=means.device)
        return (means.gather(-1, choice) + noise * log_stds.gather(-1, choice).exp()).squeeze(-1)

    def _components(self) -> tuple[Tensor, Tensor, Tensor]:
        logits, means, log_stds = self.parameters.chunk(3, -1)
        return logits.log_softmax(-1), means, log_stds.clamp(min=math.log(self.min_std))
