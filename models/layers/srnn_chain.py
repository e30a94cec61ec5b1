"""The SRNN's chain of latents over time, its equations and its loop differentiated by hand.

All that depends on the audio alone is computed before, so that nothing but z is recurrent. As in `cwvae_scan.py`,
the products that do not need the previous z are hoisted out of the loop, and the weights' gradients are one product
each after it. A posterior that does not use the prior leaves it out of the loop: it is one product once z is known.
`Chain.step` states the equations; the loop is tested against autograd through it in float64.

Symbols, per step, of `rows` independent sequences: z latent (Z), a hidden units of the N networks in the loop, which
are prior and evidence or the evidence alone (N × P), o their outputs (N × 2Z): means m and log precisions l. Suffixes
p, e, q: prior, evidence, posterior; share is the prior's share of the posterior's precision.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor, nn

from lvm_probe.models.layers.cwvae_cell import initialise_head
from lvm_probe.models.layers.cwvae_scan import combine, head_gradients, summed_product
from lvm_probe.models.likelihood.gaussian import LOG_PRECISION_RANGE, Gaussian, Posterior, gaussian_of, posterior_of
from lvm_probe.models.trajectory import Trajectory


class ChainStep(NamedTuple):
    """One step of the chain."""

    z: Float[Tensor, "rows latent"]
    prior: Gaussian
    posterior: Gaussian


class Weights(NamedTuple):
    """The recurrent weights of the networks in the loop, as right factors."""

    z_to_units: Float[Tensor, "latent networks_units"]
    heads: Float[Tensor, "networks units two_latent"]
    heads_bias: Float[Tensor, "networks 1 two_latent"]


class Chain(nn.Module):
    """p(z_t | z_{t-1}, d_t) and q(z_t | z_{t-1}, a_t): `papers/001` section 2.4 (Fraccaro et al. 2016), z_0 = 0.

    d is a state that both see through the audio before t, a what inference knows besides. Each distribution has a layer
    of `hidden` rectified units of its own. The posterior is the evidence's Gaussian ("direct"), has the evidence's mean
    added to the prior's ("residual", as Fraccaro et al.) or is its product with the prior ("product", as the CW-VAE's).
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
        """Run the posterior through time, on from the last step of `before`; the trajectory's h is `state`."""
        z0 = noise.new_zeros(noise.shape[1:]) if before is None else before.z[-1].detach()
        of_prior, of_evidence = self.state_to_prior(state), self.encoder_to_evidence(encoded)
        if self.posterior == "direct":
            z, _, posterior = scan(of_evidence, noise, z0, weights((self.z_to_evidence, self.evidence)), "direct")
            with torch.autocast(z.device.type, enabled=False):
                past = torch.cat((z0.unsqueeze(0), z[:-1]))
                prior = gaussian_of(self.prior(torch.relu(self.z_to_prior(past) + of_prior.to(z.dtype))))
        else:
            both = weights((self.z_to_prior, self.prior), (self.z_to_evidence, self.evidence))
            z, prior, posterior = scan(torch.cat((of_prior, of_evidence), -1), noise, z0, both, self.posterior)
        return Trajectory(state.expand(-1, noise.shape[1], -1), z, prior, posterior)

    def prior_of(self, state: Float[Tensor, "rows state"], z: Float[Tensor, "rows latent"]) -> Gaussian:
        """p(z_t | z_{t-1}, d_t)."""
        return gaussian_of(self.prior(torch.relu(self.z_to_prior(z) + self.state_to_prior(state))))

    def step(
        self,
        state: Float[Tensor, "rows state"],
        encoded: Float[Tensor, "rows features"],
        noise: Float[Tensor, "rows latent"],
        z: Float[Tensor, "rows latent"],
    ) -> ChainStep:
        """One step of the posterior, as the equations have it: what `scan` must agree with."""
        prior = self.prior_of(state, z)
        evident = gaussian_of(self.evidence(torch.relu(self.z_to_evidence(z) + self.encoder_to_evidence(encoded))))
        posterior = posterior_of(self.posterior, prior, evident)
        return ChainStep(posterior.mean + posterior.std * noise, prior, posterior)


def weights(*networks: tuple[nn.Linear, nn.Linear]) -> Weights:
    """What `scan` wants of networks that are each a layer from z to hidden units and a head."""
    return Weights(
        torch.cat([layer.weight for layer, _ in networks]).t(),
        torch.stack([head.weight.t() for _, head in networks]),
        torch.stack([head.bias for _, head in networks]).unsqueeze(1),
    )


def scan(
    units: Float[Tensor, "time one_or_rows networks_units"],
    noise: Float[Tensor, "time rows latent"],
    z0: Float[Tensor, "rows latent"],
    weights: Weights,
    posterior: Posterior,
) -> tuple[Float[Tensor, "time rows latent"], Gaussian, Gaussian]:
    """Run the posterior through time, on from z0: latents, priors and posteriors.

    The networks are prior and evidence. A direct posterior takes the evidence alone; the priors returned then mean
    nothing. `units` is the hoisted part of their hidden units; it may have one row that stands for all. `noise` is
    standard normal and gets no gradient; neither does z0. Computes in the type of `noise`.
    """
    z, m_p, l_p, m_q, l_q = _Scan.apply(units, noise, z0, posterior, *weights)
    return z, Gaussian(m_p, l_p), Gaussian(m_q, l_q)


def _forward(
    units: Tensor, noise: Tensor, z: Tensor, posterior: Posterior, w: Weights, keep: bool
) -> tuple[tuple[Tensor, ...], tuple[Tensor, ...]]:
    time, rows, latent = noise.shape
    new, (networks, width, _) = noise.new_empty, w.heads.shape
    all_z, all_mean, all_log = new(time, rows, latent), new(time, rows, latent), new(time, rows, latent)
    all_o = new(time, networks, rows, 2 * latent)
    # What only the backward pass needs is overwritten at every step unless it is wanted.
    all_a, all_share = (
        x if keep else x.expand(time, *x.shape[1:])
        for x in (new(time if keep else 1, networks, rows, width), new(time if keep else 1, rows, latent))
    )
    pre, deviation = new(rows, networks * width), new(rows, latent)
    pre_a = pre.unflatten(1, (networks, width)).transpose(0, 1)
    views = zip(
        units.unbind(),
        noise.unbind(),
        all_a.unbind(),
        all_o.unbind(),
        all_o[:, 0, :, :latent].unbind(),
        all_o[:, -1, :, :latent].unbind(),
        all_o[..., latent:].unbind(),
        all_o[:, 0, :, latent:].unbind(),
        all_o[:, -1, :, latent:].unbind(),
        all_share.unbind(),
        all_mean.unbind(),
        all_log.unbind(),
        all_z.unbind(),
        strict=True,
    )
    for unit, eps, a, o, m_p, m_e, logs, l_p, l_e, share, mean, l_q, z_t in views:
        torch.addmm(unit, z, w.z_to_units, out=pre)
        torch.clamp(pre_a, min=0, out=a)
        torch.baddbmm(w.heads_bias, a, w.heads, out=o)
        logs.clamp_(*LOG_PRECISION_RANGE)
        combine(posterior, m_p, l_p, m_e, l_e, share, mean, l_q)
        torch.mul(l_q, -0.5, out=deviation).exp_()
        z = torch.addcmul(mean, eps, deviation, out=z_t)
    outputs = (all_z, all_o[:, 0, :, :latent], all_o[:, 0, :, latent:], all_mean, all_log)
    return outputs, (all_a, all_o, all_share)


class _Scan(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any, units: Tensor, noise: Tensor, z0: Tensor, posterior: Posterior, *weights: Tensor
    ) -> tuple[Tensor, ...]:
        w = Weights(*(x.to(noise.dtype).contiguous() for x in weights))
        keep = any(ctx.needs_input_grad)
        outputs, saved = _forward(units.to(noise.dtype), noise, z0, posterior, w, keep)
        if keep:
            ctx.units, ctx.posterior = (units.shape, units.dtype), posterior
            ctx.save_for_backward(noise, z0, *w, *outputs, *saved)
        return outputs

    @staticmethod
    def backward(ctx: Any, *outer: Tensor) -> tuple[Tensor | None, ...]:
        noise, z0, *rest = ctx.saved_tensors
        w = Weights(*rest[:3])
        z, _, _, mean, l_q, a, o, share = rest[3:]
        time, rows, latent = noise.shape
        networks, width, _ = w.heads.shape
        d_o, slope = head_gradients(ctx.posterior, o, share, mean, l_q, noise, outer)
        heads_back, units_to_z = w.heads.transpose(1, 2).contiguous(), w.z_to_units.t().contiguous()
        alive = (a > 0).to(a.dtype)
        d_units, d_a = a.new_empty(time, rows, networks * width), torch.empty_like(a[0])
        carry = z.new_zeros(rows, latent)
        carried = carry.unsqueeze(1).expand(-1, 2, -1)  # z moves means and log precisions alike
        views = zip(
            d_o.unbind(),
            d_o.unflatten(3, (2, latent)).unbind(),
            slope.unflatten(3, (2, latent)).unbind(),
            alive.unbind(),
            d_units.unbind(),
            d_units.unflatten(2, (networks, width)).transpose(1, 2).unbind(),
            strict=True,
        )
        for d_out, d_out4, slope_t, on, d_unit, d_unit_a in reversed(list(views)):
            d_out4.addcmul_(slope_t, carried)
            torch.bmm(d_out, heads_back, out=d_a)
            torch.mul(d_a, on, out=d_unit_a)
            torch.mm(d_unit, units_to_z, out=carry)
        shape, dtype = ctx.units
        return (
            d_units.sum_to_size(shape).to(dtype),
            None,
            None,
            None,
            summed_product(torch.cat((z0.unsqueeze(0), z[:-1])), d_units),
            torch.stack([summed_product(a[:, i], d_o[:, i]) for i in range(networks)]),
            d_o.sum((0, 2)).unsqueeze(1),
        )
