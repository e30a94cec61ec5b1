"""The recurrent loop of a CW-VAE layer with a hand-written backward pass.

`Cell.step` in `cwvae_cell.py` states the equations. This file computes the same loop with as few operations per step as
possible: products with context and evidence are moved out of the loop, the backward loop carries only what the
recurrence needs, and every weight gradient is one product after it. On one CPU thread a training update takes 1.3
(CW-VAE) to 1.5 times (VRNN) as long when autograd differentiates the plain loop instead (`benchmarks/training.py`).
The tests compare both in float64. Plain PyTorch, on any device.

Symbols, for each step and `rows` independent sequences: h state (H); z latent (Z); r, u, n the GRU's reset gate, update
gate and candidate; a the hidden units of the prior's and of the evidence's network (2 × P); o their outputs (2 × 2Z),
means m and log precisions l. Suffixes p, e, q: prior, evidence, posterior. `share` is the prior's share of the
posterior's precision.
"""

from __future__ import annotations

from typing import Any, NamedTuple, assert_never

import torch
from jaxtyping import Float
from torch import Tensor

from lvm_probe.models.layers.gru import weight_gradient
from lvm_probe.models.likelihood.gaussian import LOG_PRECISION_RANGE, Gaussian, Posterior
from lvm_probe.models.trajectory import Trajectory


class Weights(NamedTuple):
    """The recurrent weights of a cell as right factors; gate columns are [n, r, u] for z and [r, u, n] for h."""

    z_to_gates: Float[Tensor, "latent three_hidden"]
    h_to_all: Float[Tensor, "hidden three_hidden_and_two_units"]
    h_bias: Float[Tensor, " three_hidden_and_two_units"]
    heads: Float[Tensor, "2 units two_latent"]
    heads_bias: Float[Tensor, "2 1 two_latent"]


def scan(
    gates: Float[Tensor, "time one_or_rows three_hidden"],
    evidence: Float[Tensor, "time one_or_all units"],
    noise: Float[Tensor, "time rows latent"],
    weights: Weights,
    posterior: Posterior = "product",
    before: Trajectory | None = None,
) -> Trajectory:
    """Run the posterior through time, in the precision of `noise`.

    Args:
        gates: what the context contributes to the gates, with their biases, columns [n, r, u]. One row may stand for
            all.
        evidence: what the encoder contributes to the hidden units of the evidence network. One row may stand for all.
        noise: standard normal. It gets no gradient.
        weights: of the recurrence.
        posterior: how the posterior is made from prior and evidence.
        before: the stretch of time before this one, whose last step is where the recurrence continues, without a
            gradient; zero states without.

    Returns:
        States, latents and distributions.
    """
    rows = noise.shape[1]
    if before is None:
        h0, z0 = noise.new_zeros(rows, weights.h_to_all.shape[0]), noise.new_zeros(noise.shape[1:])
    else:
        h0, z0 = before.h[-1].detach(), before.z[-1].detach()
    h, z, m_p, l_p, m_q, l_q = _Scan.apply(gates, evidence, noise, h0, z0, posterior, *weights)
    return Trajectory(h, z, Gaussian(m_p, l_p), Gaussian(m_q, l_q))


def _forward(
    gates: Tensor, evidence: Tensor, noise: Tensor, h: Tensor, z: Tensor, posterior: Posterior, w: Weights, keep: bool
) -> tuple[tuple[Tensor, ...], tuple[Tensor, ...]]:
    time, rows, latent = noise.shape
    hidden, units = w.h_to_all.shape[0], w.heads.shape[1]
    new = noise.new_empty
    all_h, all_z, all_mean = new(time, rows, hidden), new(time, rows, latent), new(time, rows, latent)
    all_o, all_log = new(time, 2, rows, 2 * latent), new(time, rows, latent)
    # Without gradients, what only the backward pass needs shares the memory of one step.
    all_gates, all_n_hid, all_a, all_share = (
        x if keep else x.expand(time, *x.shape[1:])
        for x in (
            new(time if keep else 1, rows, 3 * hidden),
            new(time if keep else 1, rows, hidden),
            new(time if keep else 1, 2, rows, units),
            new(time if keep else 1, rows, latent),
        )
    )
    from_h, deviation = new(rows, 3 * hidden + 2 * units), new(rows, latent)
    torch.addmm(w.h_bias, h, w.h_to_all, out=from_h)
    from_h_ru, from_h_n = from_h[:, : 2 * hidden], from_h[:, 2 * hidden : 3 * hidden]
    from_h_a = from_h[:, 3 * hidden :].unflatten(1, (2, units)).transpose(0, 1)
    views = zip(
        gates.unbind(),
        evidence.unbind(),
        noise.unbind(),
        all_gates.unbind(),
        all_gates[..., :hidden].unbind(),
        all_gates[..., hidden:].unbind(),
        all_gates[..., hidden : 2 * hidden].unbind(),
        all_gates[..., 2 * hidden :].unbind(),
        all_n_hid.unbind(),
        all_h.unbind(),
        all_a.unbind(),
        all_o.unbind(),
        all_o[:, 0, :, :latent].unbind(),
        all_o[:, 1, :, :latent].unbind(),
        all_o[..., latent:].unbind(),
        all_o[:, 0, :, latent:].unbind(),
        all_o[:, 1, :, latent:].unbind(),
        all_share.unbind(),
        all_mean.unbind(),
        all_log.unbind(),
        all_z.unbind(),
        strict=True,
    )
    for gate, e, eps, g, n, ru, r, u, n_hid, h_t, a, o, m_p, m_e, logs, l_p, l_e, share, mean, l_q, z_t in views:
        torch.addmm(gate, z, w.z_to_gates, out=g)
        ru.add_(from_h_ru).sigmoid_()
        n_hid.copy_(from_h_n)
        n.addcmul_(r, n_hid).tanh_()
        h = torch.lerp(n, h, u, out=h_t)
        torch.addmm(w.h_bias, h, w.h_to_all, out=from_h)
        from_h_a[1].add_(e)
        torch.clamp(from_h_a, min=0, out=a)
        torch.baddbmm(w.heads_bias, a, w.heads, out=o)
        logs.clamp_(*LOG_PRECISION_RANGE)
        _combine(posterior, m_p, l_p, m_e, l_e, share, mean, l_q)
        torch.mul(l_q, -0.5, out=deviation).exp_()
        z = torch.addcmul(mean, eps, deviation, out=z_t)
    outputs = (all_h, all_z, all_o[:, 0, :, :latent], all_o[:, 0, :, latent:], all_mean, all_log)
    return outputs, (all_gates, all_n_hid, all_a, all_o, all_share)


def _combine(
    posterior: Posterior,
    m_p: Tensor,
    l_p: Tensor,
    m_e: Tensor,
    l_e: Tensor,
    share: Tensor,
    mean: Tensor,
    l_q: Tensor,
) -> None:
    """Write the posterior's mean and log precision, and for a product the prior's share."""
    match posterior:
        case "product":
            torch.sub(l_p, l_e, out=share).sigmoid_()
            torch.lerp(m_e, m_p, share, out=mean)
            torch.logaddexp(l_p, l_e, out=l_q)
        case "direct":
            mean.copy_(m_e)
            l_q.copy_(l_e)
        case "residual":
            torch.add(m_p, m_e, out=mean)
            l_q.copy_(l_e)
        case "prior":
            mean.copy_(m_p)
            l_q.copy_(l_p)
        case _:
            assert_never(posterior)


def _head_gradients(
    posterior: Posterior, o: Tensor, share: Tensor, mean: Tensor, l_q: Tensor, noise: Tensor, outer: tuple[Tensor, ...]
) -> tuple[Tensor, Tensor]:
    """d loss / d o as `fixed + slope · (gradient that z gets from the next step)`: fixed and slope, both shaped like o.

    `outer` holds the gradients of z and of the means and log precisions of prior and posterior.
    """
    d_z, d_mp, d_lp, d_mq, d_lq = outer
    latent = mean.shape[-1]
    if posterior == "product":
        to_mean = to_log = torch.stack((share, 1 - share), 1)
        offset = o[..., :latent] - mean.unsqueeze(1)
    else:
        prior, evidence = o.new_full((1, 1, 1), posterior == "prior"), o.new_full((1, 1, 1), posterior != "prior")
        to_log = torch.cat((prior, evidence))
        to_mean = torch.ones_like(to_log) if posterior == "residual" else to_log
        offset = torch.zeros_like(to_log)
    logs = o[..., latent:]
    inside = (logs > LOG_PRECISION_RANGE[0]) & (logs < LOG_PRECISION_RANGE[1])
    spread = (0.5 * noise * torch.exp(-0.5 * l_q)).unsqueeze(1)
    slope, d_o = torch.empty_like(o), torch.empty_like(o)
    slope[..., :latent] = to_mean
    slope[..., latent:] = (to_mean * offset - to_log * spread) * inside
    d_o[..., :latent] = to_mean * d_mq.unsqueeze(1)
    d_o[:, 0, :, :latent] += d_mp
    d_o[..., latent:] = to_log * d_lq.unsqueeze(1) + to_mean * offset * d_mq.unsqueeze(1)
    d_o[:, 0, :, latent:] += d_lp
    d_o[..., latent:] *= inside
    d_o.addcmul_(slope, d_z.repeat(1, 1, 2).unsqueeze(1))
    return d_o, slope


class Carried(NamedTuple):
    """Gradients from the backward loop, for every step: of the heads' outputs, of the units and of the gates."""

    d_o: Float[Tensor, "time 2 rows two_latent"]
    d_a: Float[Tensor, "time 2 rows units"]
    d_gates: Float[Tensor, "time rows 4 hidden"]


def _backward(
    d_o: Tensor, slope: Tensor, alive: Tensor, d_h: Tensor, d_gates: Tensor, u: Tensor, w: Weights
) -> Carried:
    """The backward loop.

    Args:
        d_o: gradients of the heads' outputs, without what comes through the next step, which is added in place.
        slope: of the heads' outputs, times which the gradient of z from the next step is added.
        alive: one where a unit is positive, else zero.
        d_h: gradients of the states from outside the loop.
        d_gates: slopes of the gates [n, r, u, n from h], which the loop multiplies by the states' gradients in place.
        u: update gates.
        w: weights.
    """
    _, rows, hidden = d_h.shape
    latent = slope.shape[-1] // 2
    heads_back = w.heads.transpose(1, 2).contiguous()
    h_to_prior, h_to_evidence = w.h_to_all[:, 3 * hidden :].t().contiguous().chunk(2)
    h_to_gates = w.h_to_all[:, : 3 * hidden].t().contiguous()
    z_to_gates = w.z_to_gates.t().contiguous()
    d_a = torch.empty_like(alive)
    carry_h, carry_z = d_h.new_zeros(rows, hidden), d_h.new_zeros(rows, latent)
    carry_zz = carry_z.unsqueeze(1).expand(-1, 2, -1)  # means and log precisions both act through z
    flat = d_gates.flatten(2)
    views = zip(
        d_o.unbind(),
        d_o.unflatten(3, (2, latent)).unbind(),
        slope.unflatten(3, (2, latent)).unbind(),
        d_a.unbind(),
        d_a[:, 0].unbind(),
        d_a[:, 1].unbind(),
        alive.unbind(),
        d_h.unbind(),
        d_gates.unbind(),
        u.unbind(),
        flat[..., hidden:].unbind(),
        flat[..., : 3 * hidden].unbind(),
        strict=True,
    )
    for d_out, d_out4, slope_t, d_units, d_p, d_e, on, d_state, d_gate, keep, from_h, from_z in reversed(list(views)):
        d_out4.addcmul_(slope_t, carry_zz)
        torch.bmm(d_out, heads_back, out=d_units).mul_(on)
        into_h = torch.addmm(d_state, d_p, h_to_prior).addmm_(d_e, h_to_evidence).add_(carry_h)
        d_gate.mul_(into_h.unsqueeze(1))
        torch.addmm(into_h.mul_(keep), from_h, h_to_gates, out=carry_h)
        torch.mm(from_z, z_to_gates, out=carry_z)
    return Carried(d_o, d_a, d_gates)


class _Scan(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any,
        gates: Tensor,
        evidence: Tensor,
        noise: Tensor,
        h0: Tensor,
        z0: Tensor,
        posterior: Posterior,
        *weights: Tensor,
    ) -> tuple[Tensor, ...]:
        w = Weights(*(x.to(noise.dtype).contiguous() for x in weights))
        keep = any(ctx.needs_input_grad)
        inputs = (gates.to(noise.dtype), evidence.to(noise.dtype), noise, h0, z0, posterior, w)
        if noise.is_cuda and keep:
            from lvm_probe.models.layers import cwvae_scan_cuda

            outputs, saved = cwvae_scan_cuda.forward(*inputs)
        else:
            outputs, saved = _forward(*inputs, keep)
        if keep:
            ctx.inputs = (gates.shape, gates.dtype, evidence.shape, evidence.dtype)
            ctx.posterior = posterior
            ctx.save_for_backward(noise, h0, z0, *w, *outputs, *saved)
        return outputs

    @staticmethod
    def backward(ctx: Any, *outer: Tensor) -> tuple[Tensor | None, ...]:
        noise, h0, z0, *rest = ctx.saved_tensors
        w = Weights(*rest[:5])
        h, z, _, _, mean, l_q, act, n_hid, a, o, share = rest[5:]
        d_h, *to_z = outer
        time, rows, _ = z.shape
        hidden = h.shape[-1]
        n, r, u = act[..., :hidden], act[..., hidden : 2 * hidden], act[..., 2 * hidden :]
        h_before = torch.cat((h0.unsqueeze(0), h[:-1]))
        z_before = torch.cat((z0.unsqueeze(0), z[:-1]))
        d_o, slope = _head_gradients(ctx.posterior, o, share, mean, l_q, noise, tuple(to_z))

        # d loss / d gate inputs [n, r, u, n from h] = slope of the gate · d loss / d h, which the loop multiplies in
        d_gates = act.new_empty(time, rows, 4, hidden)
        torch.mul(1 - u, 1 - n.square(), out=d_gates[:, :, 0])
        torch.mul(d_gates[:, :, 0], n_hid * r * (1 - r), out=d_gates[:, :, 1])
        torch.mul(h_before - n, u * (1 - u), out=d_gates[:, :, 2])
        torch.mul(d_gates[:, :, 0], r, out=d_gates[:, :, 3])

        loop = _backward
        if noise.is_cuda:
            from lvm_probe.models.layers import cwvae_scan_cuda

            loop = cwvae_scan_cuda.backward
        d_o, d_a, d_gates = loop(d_o, slope, (a > 0).to(a.dtype), d_h, d_gates, u, w)
        flat = d_gates.flatten(2)
        d_prior, d_evidence = d_a[:, 0], d_a[:, 1]
        to_h = torch.cat((flat[..., hidden:], d_prior, d_evidence), -1)
        # h acts on the heads of its own step and on the gates of the next
        d_weight = torch.cat(
            (weight_gradient(h_before, to_h[..., : 3 * hidden]), weight_gradient(h, to_h[..., 3 * hidden :])), 1
        )
        gates_shape, gates_type, evidence_shape, evidence_type = ctx.inputs
        return (
            flat[..., : 3 * hidden].sum_to_size(gates_shape).to(gates_type),
            d_evidence.sum_to_size(evidence_shape).to(evidence_type),
            None,
            None,
            None,
            None,
            weight_gradient(z_before, flat[..., : 3 * hidden]),
            d_weight,
            to_h.sum((0, 1)),
            torch.stack([weight_gradient(a[:, i], d_o[:, i]) for i in (0, 1)]),
            d_o.sum((0, 2)).unsqueeze(1),
        )
