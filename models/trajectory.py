"""Paths through the latents of a model: what inference returns and decoding reads."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from lvm_probe.models.likelihood.gaussian import Gaussian, kl_divergence, log_density


@dataclass(frozen=True)
class Trajectory:
    """States, latents and distributions of one latent layer along sampled paths, time first.

    Attributes:
        h: deterministic states, (time, rows, hidden).
        z: latents drawn from the posterior, (time, rows, latent).
        prior: p(z_t | past), one Gaussian for every step and row.
        posterior: q(z_t | past, audio), likewise.
        flow: what normalising flows add to the Gaussians' log p(z_t) - log q(z_t) at the drawn z, for each dimension;
            None if prior and posterior are Gaussians.
    """

    h: Float[Tensor, "time rows hidden"]
    z: Float[Tensor, "time rows latent"]
    prior: Gaussian
    posterior: Gaussian
    flow: Float[Tensor, "time rows latent"] | None = None

    def kl(self) -> Float[Tensor, "time rows latent"]:
        """KL(q || p) in nats of every step and dimension: in closed form but for the flow, of which z is one draw.

        With a flow the terms of a step add up to an unbiased estimate, and single ones may be negative.
        """
        gaussian = kl_divergence(self.posterior, self.prior)
        return gaussian if self.flow is None else gaussian - self.flow

    def log_ratio(self) -> Float[Tensor, "time rows latent"]:
        """log p(z) - log q(z) in nats of every step and dimension, in double precision."""
        prior, posterior, z = self.prior.double(), self.posterior.double(), self.z.double()
        ratio = log_density(prior, z) - log_density(posterior, z)
        return ratio if self.flow is None else ratio + self.flow.double()

    def steps(self, start: int, stop: int) -> Trajectory:
        """Time steps [start, stop)."""
        part = slice(start, stop)
        flow = None if self.flow is None else self.flow[part]
        return Trajectory(self.h[part], self.z[part], self.prior[part], self.posterior[part], flow)

    @staticmethod
    def concatenate(parts: Sequence[Trajectory]) -> Trajectory:
        """Join consecutive stretches of time."""
        flows = [part.flow for part in parts if part.flow is not None]
        return Trajectory(
            torch.cat([part.h for part in parts]),
            torch.cat([part.z for part in parts]),
            Gaussian.concatenate([part.prior for part in parts]),
            Gaussian.concatenate([part.posterior for part in parts]),
            torch.cat(flows) if flows else None,
        )
