"""One step of a CW-VAE layer: a recurrent state space cell (Havtorn et al. 2022, figure 8; Hafner et al. 2019)."""

from __future__ import annotations

import math
from typing import NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor, nn

from lvm_probe.models.layers.cwvae_scan import Weights, scan
from lvm_probe.models.likelihood.gaussian import Gaussian, Posterior, gaussian_of, posterior_of
from lvm_probe.models.model import PosteriorModule
from lvm_probe.models.trajectory import Trajectory


class CellStep(NamedTuple):
    """State, latent and distributions of one step."""

    h: Float[Tensor, "rows hidden"]
    z: Float[Tensor, "rows latent"]
    prior: Gaussian
    posterior: Gaussian


class Cell(PosteriorModule):
    """h_t = GRU([z_{t-1}, c_t], h_{t-1}); p(z_t | h_t); q(z_t | h_t, e_t) ∝ p(z_t | h_t) N(z_t; m(h_t, e_t), ·)

    c is the context from the layer above and e the encoder's evidence. The posterior multiplies the prior by the
    evidence's Gaussian, so precisions add: var = 1 / (1/s₁² + 1/s₂²). States start at zero. Generation runs the same
    step with the prior in place of the posterior, so training and generation see the same conditioning.

    Args:
        context: size of c; 0 for the top layer, which has none.
        evidence: size of e.
        latent: size of z.
        hidden: size of h, and hidden units of the prior's and the evidence's network.
        posterior_std: standard deviation of the evidence's Gaussian at the start of training.
        posterior: how the posterior is made from prior and evidence; "direct" takes the evidence's Gaussian as it is.
    """

    def __init__(
        self,
        context: int,
        evidence: int,
        latent: int,
        hidden: int,
        posterior_std: float,
        posterior: Posterior = "product",
    ) -> None:
        super().__init__()
        self.latent, self.hidden, self.posterior = latent, hidden, posterior
        self.z_to_gates = nn.Linear(latent, 3 * hidden)  # n, r, u
        self.context_to_gates = nn.Linear(context, 3 * hidden, bias=False) if context else None
        self.h_to_gates = nn.Linear(hidden, 3 * hidden)  # r, u, n
        self.h_to_prior = nn.Linear(hidden, hidden)
        self.h_to_evidence = nn.Linear(hidden, hidden)
        self.encoder_to_evidence = nn.Linear(evidence, hidden, bias=False)
        self.prior = nn.Linear(hidden, 2 * latent)
        self.evidence = nn.Linear(hidden, 2 * latent)
        initialise_head(self.prior, 1.0)
        initialise_head(self.evidence, posterior_std)

    def gate_inputs(
        self,
        context: Float[Tensor, "time rows channel"] | None,
        like: Float[Tensor, "time _rows _features"],
    ) -> Float[Tensor, "time one_or_rows gates"]:
        """What context and biases contribute to the gates, for all steps at once; `like` gives the number of steps."""
        bias = self.z_to_gates.bias
        if self.context_to_gates is None or context is None:
            return bias.expand(like.shape[0], 1, -1)
        gates: Tensor = self.context_to_gates(context)
        return gates + bias

    def infer(
        self,
        context: Float[Tensor, "time _one_or_rows channel"] | None,
        encoded: Float[Tensor, "time one_or_rows features"],
        noise: Float[Tensor, "time rows latent"],
        before: Trajectory | None = None,
    ) -> Trajectory:
        """Run the posterior through time; see `cwvae_scan.scan`.

        Args:
            context: c of every step, if there is a layer above.
            encoded: e of every step.
            noise: standard normal.
            before: the stretch of time before this one; its last step is where the recurrence continues.
        """
        gates = self.gate_inputs(context, encoded)
        if self.given is not None:
            return self._along(gates, self.given.expand_as(noise))
        return scan(gates, self.encoder_to_evidence(encoded), noise, self.weights(), self.posterior, before)

    def _along(
        self, gates: Float[Tensor, "time one_or_rows gates"], z: Float[Tensor, "time rows latent"]
    ) -> Trajectory:
        """The trajectory whose latents are z."""
        h = z.new_zeros(z.shape[1], self.hidden)
        states = []
        for gate, past in zip(gates, torch.cat((torch.zeros_like(z[:1]), z[:-1])), strict=True):
            h = self.state(gate.expand(len(h), -1), past, h)
            states.append(h)
        all_h = torch.stack(states)
        return Trajectory(all_h, z, self.prior_of(all_h), self.certain(z))

    def weights(self) -> Weights:
        """The recurrent weights, arranged for `cwvae_scan.scan`."""
        hidden_layers = (self.h_to_gates, self.h_to_prior, self.h_to_evidence)
        return Weights(
            self.z_to_gates.weight.t(),
            torch.cat([layer.weight for layer in hidden_layers]).t(),
            torch.cat([layer.bias for layer in hidden_layers]),
            torch.stack([self.prior.weight.t(), self.evidence.weight.t()]),
            torch.stack([self.prior.bias, self.evidence.bias]).unsqueeze(1),
        )

    def state(
        self,
        gates: Float[Tensor, "rows gates"],
        z: Float[Tensor, "rows latent"],
        h: Float[Tensor, "rows hidden"],
    ) -> Float[Tensor, "rows hidden"]:
        """h_t, by a GRU, from `gate_inputs`, z_{t-1} and h_{t-1}."""
        n_in, r_in, u_in = (gates + z @ self.z_to_gates.weight.t()).chunk(3, -1)
        r_h, u_h, n_h = self.h_to_gates(h).chunk(3, -1)
        reset, update = torch.sigmoid(r_in + r_h), torch.sigmoid(u_in + u_h)
        candidate = torch.tanh(n_in + reset * n_h)
        return (1 - update) * candidate + update * h

    def prior_of(self, h: Float[Tensor, "*time rows hidden"]) -> Gaussian:
        """p(z_t | h_t)."""
        return gaussian_of(self.prior(torch.relu(self.h_to_prior(h))))

    def step(
        self,
        gates: Float[Tensor, "rows gates"],
        evidence: Float[Tensor, "rows units"],
        noise: Float[Tensor, "rows latent"],
        z: Float[Tensor, "rows latent"],
        h: Float[Tensor, "rows hidden"],
    ) -> CellStep:
        """One step of the posterior as the equations have it; `cwvae_scan.scan` agrees with it."""
        h = self.state(gates, z, h)
        prior = self.prior_of(h)
        evident = gaussian_of(self.evidence(torch.relu(self.h_to_evidence(h) + evidence)))
        posterior = posterior_of(self.posterior, prior, evident)
        return CellStep(h, posterior.mean + posterior.std * noise, prior, posterior)

    def generate(
        self, gates: Float[Tensor, "time one_or_rows gates"], noise: Float[Tensor, "time rows latent"]
    ) -> tuple[Float[Tensor, "time rows hidden"], Float[Tensor, "time rows latent"]]:
        """Run the prior through time; returns states and latents."""
        rows = noise.shape[1]
        h, z = noise.new_zeros(rows, self.hidden), noise.new_zeros(rows, self.latent)
        states, latents = [], []
        for gate, eps in zip(gates, noise, strict=True):
            h = self.state(gate.expand(rows, -1), z, h)
            prior = self.prior_of(h)
            z = prior.mean + prior.std * eps
            states.append(h)
            latents.append(z)
        return torch.stack(states), torch.stack(latents)


def initialise_head(head: nn.Linear, std: float) -> None:
    """Make a layer that outputs means and log precisions start near mean 0 and the given standard deviation."""
    latent = head.out_features // 2
    with torch.no_grad():
        head.weight[latent:] *= 0.1
        head.bias.zero_()
        head.bias[latent:] = -2 * math.log(std)
