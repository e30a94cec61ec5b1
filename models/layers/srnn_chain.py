"""The chain of latents of an SRNN (Fraccaro et al. 2016, section 3; Havtorn et al. 2022, section 2.4).

Whatever depends on the audio alone is computed before, so nothing but z is recurrent.
"""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor, nn

from lvm_probe.models.layers.cwvae_cell import initialise_head
from lvm_probe.models.likelihood.gaussian import Gaussian, Posterior, gaussian_of, posterior_of
from lvm_probe.models.model import PosteriorModule
from lvm_probe.models.trajectory import Trajectory


class Chain(PosteriorModule):
    """p(z_t | z_{t-1}, d_t) and q(z_t | z_{t-1}, a_t) with z_0 = 0.

    d is a state that has seen the audio before step t; a is what inference knows besides. Each distribution has a
    layer of `hidden` rectified units of its own.

    Args:
        state: size of d.
        evidence: size of a.
        latent: size of z.
        hidden: rectified units of each distribution.
        posterior_std: standard deviation of the evidence's Gaussian at the start of training.
        posterior: "direct" takes the evidence's Gaussian as it is, "residual" adds its mean to the prior's (Fraccaro et
            al. 2016), "product" multiplies it with the prior (as the CW-VAE), "prior" ignores it.
    """

    def __init__(
        self, state: int, evidence: int, latent: int, hidden: int, posterior_std: float, posterior: Posterior = "direct"
    ) -> None:
        super().__init__()
        self.latent, self.posterior = latent, posterior
        self.z_to_prior = nn.Linear(latent, hidden, bias=False)
        self.state_to_prior = nn.Linear(state, hidden)
        self.z_to_evidence = nn.Linear(latent, hidden, bias=False)
        self.encoder_to_evidence = nn.Linear(evidence, hidden)
        self.prior = nn.Linear(hidden, 2 * latent)
        self.evidence = nn.Linear(hidden, 2 * latent)
        initialise_head(self.prior, 1.0)
        initialise_head(self.evidence, posterior_std)

    def infer(
        self,
        state: Float[Tensor, "time one_or_rows state"],
        encoded: Float[Tensor, "time one_or_rows features"],
        noise: Float[Tensor, "time rows latent"],
        before: Trajectory | None = None,
    ) -> Trajectory:
        """Run the posterior through time, in the precision of `noise`.

        Args:
            state: d of every step.
            encoded: a of every step.
            noise: standard normal.
            before: the stretch of time before this one; its last latents are where the chain continues, without a
                gradient.

        Returns:
            The trajectory, whose `h` is `state`.
        """
        z0 = noise.new_zeros(noise.shape[1:]) if before is None else before.z[-1].detach()
        of_prior, of_evidence = self.state_to_prior(state), self.encoder_to_evidence(encoded)
        with torch.autocast(noise.device.type, enabled=False):
            of_prior, of_evidence = of_prior.to(noise.dtype), of_evidence.to(noise.dtype)
            z, priors, posteriors = [z0], list[Gaussian](), list[Gaussian]()
            for to_prior, to_evidence, eps in zip(of_prior, of_evidence, noise, strict=True):
                posterior = self._evidence(to_evidence, z[-1])
                if self.posterior != "direct":
                    priors.append(self._prior(to_prior, z[-1]))
                    posterior = posterior_of(self.posterior, priors[-1], posterior)
                if self.given is not None:
                    posterior = self.certain(self.given[len(posteriors)].expand_as(eps))
                posteriors.append(posterior)
                z.append(posterior.draw(eps))
            # A direct posterior does not need the priors, which are one product of all steps once z is known.
            prior = Gaussian.stack(priors) if priors else self._prior(of_prior, torch.stack(z[:-1]))
        h = state.expand(-1, noise.shape[1], -1)
        return Trajectory(h, torch.stack(z[1:]), prior, Gaussian.stack(posteriors))

    def prior_of(self, state: Float[Tensor, "*time rows state"], z: Float[Tensor, "*time rows latent"]) -> Gaussian:
        """p(z_t | z_{t-1}, d_t)."""
        return self._prior(self.state_to_prior(state), z)

    def _prior(self, from_state: Tensor, z: Tensor) -> Gaussian:
        return gaussian_of(self.prior(torch.relu(self.z_to_prior(z) + from_state)))

    def _evidence(self, from_encoded: Tensor, z: Tensor) -> Gaussian:
        return gaussian_of(self.evidence(torch.relu(self.z_to_evidence(z) + from_encoded)))
