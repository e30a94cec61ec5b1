"""Paths through the latents of a model: what inference returns and decoding reads."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from lvm_probe.models.likelihood.gaussian import Gaussian


@dataclass(frozen=True)
class Trajectory:
    """States, latents and distributions of one latent layer along sampled paths, time first.

    Attributes:
        h: deterministic states, (time, rows, hidden).
        z: latents drawn from the posterior, (time, rows, latent).
        prior: p(z_t | past), one Gaussian for every step and row.
        posterior: q(z_t | past, audio), likewise.
    """

    h: Float[Tensor, "time rows hidden"]
    z: Float[Tensor, "time rows latent"]
    prior: Gaussian
    posterior: Gaussian

    def steps(self, start: int, stop: int) -> Trajectory:
        """Time steps [start, stop)."""
        part = slice(start, stop)
        return Trajectory(self.h[part], self.z[part], self.prior[part], self.posterior[part])

    @staticmethod
    def concatenate(parts: Sequence[Trajectory]) -> Trajectory:
        """Join consecutive stretches of time."""
        return Trajectory(
            torch.cat([part.h for part in parts]),
            torch.cat([part.z for part in parts]),
            Gaussian.concatenate([part.prior for part in parts]),
            Gaussian.concatenate([part.posterior for part in parts]),
        )
