"""The loop of `cwvae_scan` for training on a GPU: six kernels a step instead of two dozen.

A kernel of a loop this small takes a few microseconds whatever it computes, so their number is what counts. Products
write into place, what lies between them is compiled into one kernel each, and what only the backward pass needs is
computed for all steps at once after the loop. `cwvae_scan._forward` is the readable version; the tests compare both.
"""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor

from lvm_probe.models.layers.cwvae_scan import Carried, Weights
from lvm_probe.models.likelihood.gaussian import Gaussian, Posterior, gaussian_of, posterior_of


def forward(
    gates: Float[Tensor, "time one_or_rows three_hidden"],
    evidence: Float[Tensor, "time one_or_all units"],
    noise: Float[Tensor, "time rows latent"],
    h: Float[Tensor, "rows hidden"],
    z: Float[Tensor, "rows latent"],
    posterior: Posterior,
    w: Weights,
) -> tuple[tuple[Tensor, ...], tuple[Tensor, ...]]:
    """What `cwvae_scan._forward` returns, with what the backward pass needs."""
    time, rows, latent = noise.shape
    hidden, units = w.h_to_all.shape[0], w.heads.shape[1]
    pre = gates.expand(time, rows, -1).contiguous()  # of the gates [n, r, u]: first the context, then z's part on top
    from_h = noise.new_empty(time + 1, rows, 3 * hidden + 2 * units)
    o = noise.new_empty(time, 2, rows, 2 * latent)
    all_h, all_a, all_z = [], [], []
    torch.mm(h, w.h_to_all, out=from_h[0])
    for t in range(time):
        pre[t].addmm_(z, w.z_to_gates)
        h = _state(pre[t], from_h[t], w.h_bias, h)
        torch.mm(h, w.h_to_all, out=from_h[t + 1])
        a = _units(from_h[t + 1], w.h_bias, evidence[t], 3 * hidden)
        torch.bmm(a, w.heads, out=o[t])
        z = _draw(o[t], w.heads_bias, noise[t], posterior)
        all_h.append(h)
        all_a.append(a)
        all_z.append(z)
    prior, evident, q = _distributions(o, w.heads_bias, posterior)
    before = from_h[:-1, :, : 3 * hidden] + w.h_bias[: 3 * hidden]
    n_hid = before[..., 2 * hidden :]
    ru = torch.sigmoid(pre[..., hidden:] + before[..., : 2 * hidden])
    n = torch.tanh(pre[..., :hidden] + ru[..., :hidden] * n_hid)
    heads = torch.stack([torch.cat((g.mean, g.log_precision), -1) for g in (prior, evident)], 1)
    share = torch.sigmoid(prior.log_precision - evident.log_precision)
    outputs = (torch.stack(all_h), torch.stack(all_z), prior.mean, prior.log_precision, q.mean, q.log_precision)
    return outputs, (torch.cat((n, ru), -1), n_hid, torch.stack(all_a), heads, share)


def backward(
    d_o: Float[Tensor, "time 2 rows two_latent"],
    slope: Float[Tensor, "time 2 rows two_latent"],
    alive: Float[Tensor, "time 2 rows units"],
    d_h: Float[Tensor, "time rows hidden"],
    d_gates: Float[Tensor, "time rows 4 hidden"],
    u: Float[Tensor, "time rows hidden"],
    w: Weights,
) -> Carried:
    """What `cwvae_scan._backward` returns."""
    time, rows, hidden = d_h.shape
    latent = slope.shape[-1] // 2
    heads_back = w.heads.transpose(1, 2).contiguous()
    units_back = w.h_to_all[:, 3 * hidden :].t().contiguous()
    gates_back = d_h.new_zeros(4 * hidden, hidden + latent)  # columns: to h, to z
    gates_back[hidden:, :hidden] = w.h_to_all[:, : 3 * hidden].t()
    gates_back[: 3 * hidden, hidden:] = w.z_to_gates.t()
    carry, kept = d_h.new_zeros(rows, hidden + latent), d_h.new_zeros(rows, hidden)
    outs, into_units, into_gates = [], [], []
    for t in reversed(range(time)):
        out = _through_z(d_o[t], slope[t], carry, hidden)
        d_units = _through_units(torch.bmm(out, heads_back), alive[t])
        gate, kept = _through_state(torch.mm(d_units, units_back), d_h[t], carry, kept, d_gates[t], u[t])
        carry = torch.mm(gate.flatten(1), gates_back)
        outs.append(out)
        into_units.append(d_units)
        into_gates.append(gate)
    d_a = torch.stack(into_units[::-1]).unflatten(2, (2, -1)).transpose(1, 2)
    return Carried(torch.stack(outs[::-1]), d_a, torch.stack(into_gates[::-1]))


@torch.compile(dynamic=False)
def _state(pre: Tensor, from_h: Tensor, bias: Tensor, h: Tensor) -> Tensor:
    hidden = h.shape[1]
    x = from_h[:, : 3 * hidden] + bias[: 3 * hidden]
    r, u = torch.sigmoid(pre[:, hidden:] + x[:, : 2 * hidden]).chunk(2, 1)
    n = torch.tanh(pre[:, :hidden] + r * x[:, 2 * hidden :])
    return torch.lerp(n, h, u)


@torch.compile(dynamic=False)
def _units(from_h: Tensor, bias: Tensor, evidence: Tensor, first: int) -> Tensor:
    prior, evident = (from_h[:, first:] + bias[first:]).chunk(2, 1)
    return torch.stack((prior, evident + evidence)).relu()


@torch.compile(dynamic=False)
def _draw(o: Tensor, bias: Tensor, noise: Tensor, posterior: Posterior) -> Tensor:
    q = _distributions(o, bias, posterior)[2]
    return q.mean + noise * torch.exp(-0.5 * q.log_precision)


def _distributions(o: Tensor, bias: Tensor, posterior: Posterior) -> tuple[Gaussian, Gaussian, Gaussian]:
    """Prior, evidence and posterior from the heads' outputs, (*time, 2, rows, 2 latent)."""
    prior, evidence = (gaussian_of(x) for x in (o + bias).unbind(-3))
    return prior, evidence, posterior_of(posterior, prior, evidence)


@torch.compile(dynamic=False)
def _through_z(d_o: Tensor, slope: Tensor, carry: Tensor, hidden: int) -> Tensor:
    return d_o + slope * carry[:, hidden:].repeat(1, 2)


@torch.compile(dynamic=False)
def _through_units(d_units: Tensor, alive: Tensor) -> Tensor:
    return (d_units * alive).transpose(0, 1).flatten(1)


@torch.compile(dynamic=False)
def _through_state(
    into: Tensor, d_h: Tensor, carry: Tensor, kept: Tensor, slopes: Tensor, u: Tensor
) -> tuple[Tensor, Tensor]:
    into = into + d_h + carry[:, : d_h.shape[1]] + kept
    return slopes * into.unsqueeze(1), into * u
