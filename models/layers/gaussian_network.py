"""Gaussians whose parameters are a perceptron's outputs: priors, posteriors, and predictions of hidden states."""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional as F

from lvm_probe.models.layers.cwvae_cell import initialise_head
from lvm_probe.models.likelihood.gaussian import Gaussian, gaussian_of, log_density, posterior_of
from lvm_probe.models.model import PosteriorModule


class GaussianNetwork(nn.Module):
    """N(μ(x), σ(x)) by a layer of rectified units, in the precision of the weights under autocast too.

    Args:
        inputs: size of x.
        units: rectified units.
        size: dimensions of the Gaussian.
        std: standard deviation at the start of training.
    """

    def __init__(self, inputs: int, units: int, size: int, std: float = 1.0) -> None:
        super().__init__()
        self.hidden = nn.Linear(inputs, units)
        self.head = nn.Linear(units, 2 * size)
        initialise_head(self.head, std)

    def forward(self, x: Float[Tensor, "*time rows inputs"]) -> Gaussian:
        """The Gaussian of every step and row."""
        with torch.autocast(x.device.type, enabled=False):
            return gaussian_of(self.head(F.relu(self.hidden(x.to(self.hidden.weight.dtype)))))

    def cost(
        self,
        x: Float[Tensor, "time rows inputs"],
        target: Float[Tensor, "time rows size"],
        inside: Float[Tensor, "time rows 1"],
    ) -> Float[Tensor, ""]:
        """-Σ log N(target) in nats over the steps where `inside` is one. The target gets no gradient."""
        gaussian = self(x)
        return -(log_density(gaussian, target.detach().to(gaussian.mean)) * inside).sum()


class InferenceNetwork(PosteriorModule):
    """A posterior by `GaussianNetwork`, from whatever inference knows of a step."""

    def __init__(self, inputs: int, units: int, latent: int, std: float) -> None:
        super().__init__()
        self.posterior = "direct"
        self.network = GaussianNetwork(inputs, units, latent, std)

    def forward(
        self, known: Float[Tensor, "*time rows inputs"], prior: Gaussian, step: int | slice = slice(None)
    ) -> Gaussian:
        """The posterior.

        Args:
            known: what inference knows.
            prior: of the same steps and rows.
            step: number of the step, or all.
        """
        if self.given is not None:
            return self.certain(self.given[step].expand_as(prior.mean))
        return posterior_of(self.posterior, prior, self.network(known))
