"""Sampled paths of the posterior, without gradients and without what only a likelihood needs.

The loops of `cwvae_scan` and `srnn_chain` once more, for many paths of one utterance, one stretch of its time after
the other: what the paths share is in the biases, a prior that nothing depends on is left out, and of the distributions
only the posterior's means are kept. Symbols and gate columns are those of `models.layers.cwvae_scan`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeVar

import torch
from jaxtyping import Float
from torch import Tensor, nn

from lvm_probe.models.layers.cwvae_cell import Cell
from lvm_probe.models.layers.products import Product
from lvm_probe.models.layers.srnn_chain import Chain
from lvm_probe.models.likelihood.gaussian import LOG_PRECISION_RANGE, Posterior
from lvm_probe.models.trajectory import Paths

T = TypeVar("T")


class CellPaths:
    """`rows` paths of a cell. With `context` each has one of its own; else they share what is in the gates."""

    @torch.no_grad()
    def __init__(self, cell: Cell, rows: int, context: bool = False) -> None:
        self.cell, hidden = cell, cell.hidden
        own = [cell.context_to_gates.weight] if context and cell.context_to_gates is not None else []
        from_h = [cell.h_to_gates, *_needed(cell.posterior, cell.h_to_prior, cell.h_to_evidence)]
        to_gates = torch.cat((*own, cell.z_to_gates.weight), 1)
        h_to_all, bias = torch.cat([layer.weight for layer in from_h]), torch.cat([layer.bias for layer in from_h])
        # The candidate's input twice, for tanh(x) = 2 σ(2x) - 1: PyTorch's tanh takes many times as long.
        for part in (to_gates[:hidden], h_to_all[2 * hidden : 3 * hidden], bias[2 * hidden : 3 * hidden]):
            part.mul_(2)
        self.to_gates, self.h_to_all, self.bias = Product(to_gates, None, rows), Product(h_to_all, None, rows), bias
        self.draw = _Draw(cell.posterior, cell.prior, cell.evidence, rows)
        self.widths = (to_gates.shape[1] - cell.latent, cell.latent)
        self.h, self.z = (bias.new_zeros(rows, size) for size in (hidden, cell.latent))
        self.from_h = bias.expand(rows, -1)

    @torch.no_grad()
    def go_on(
        self,
        gates: Float[Tensor, "time 1 gates"],
        encoded: Float[Tensor, "time 1 features"],
        noise: Float[Tensor, "time rows latent"],
        contexts: Sequence[Float[Tensor, "rows channel"]] = (),
    ) -> Paths:
        """The next steps; `gates` is what `Cell.hoist` gives of the context that the paths share."""
        hidden, units = self.cell.hidden, self.draw.units
        z_biases, h_biases = gates[:, 0].clone(), self.bias.repeat(len(noise), 1)
        z_biases[:, :hidden] *= 2
        if self.cell.posterior != "prior":
            h_biases[:, -hidden:] += self.cell.encoder_to_evidence(encoded)[:, 0]
        paths = _empty(noise, hidden)
        x = noise.new_empty(noise.shape[1], sum(self.widths))
        x_context, x_z = x.split(self.widths, 1)
        h, z, from_h, minus_one = self.h, self.z, self.from_h, noise.new_tensor(-1)
        steps = zip(z_biases, h_biases, noise, paths.h, paths.z, paths.mean, strict=True)
        for t, (z_bias, h_bias, eps, h_t, z_t, mean) in enumerate(steps):
            if contexts:
                x_context.copy_(contexts[t])
            x_z.copy_(z)
            n, ru = self.to_gates(x, bias=z_bias).split_with_sizes((hidden, 2 * hidden), 1)
            from_h_ru, from_h_n, _ = from_h.split_with_sizes((2 * hidden, hidden, units), 1)
            r, u = ru.add_(from_h_ru).sigmoid_().chunk(2, 1)
            n = torch.add(minus_one, n.addcmul_(r, from_h_n).sigmoid_(), alpha=2)
            h = torch.lerp(n, h, u, out=h_t)
            from_h = self.h_to_all(h, bias=h_bias)
            z = self.draw(from_h[:, 3 * hidden :].relu(), eps, mean, z_t)
        self.h, self.z, self.from_h = h, z, from_h
        return paths


class ChainPaths:
    """`rows` paths of a chain."""

    @torch.no_grad()
    def __init__(self, chain: Chain, rows: int) -> None:
        self.chain = chain
        networks = _needed(chain.posterior, chain.z_to_prior, chain.z_to_evidence)
        self.z_to_units = Product(torch.cat([layer.weight for layer in networks]), None, rows)
        self.draw = _Draw(chain.posterior, chain.prior, chain.evidence, rows)
        self.z = chain.z_to_prior.weight.new_zeros(rows, chain.latent)

    @torch.no_grad()
    def go_on(
        self,
        state: Float[Tensor, "time 1 state"],
        encoded: Float[Tensor, "time 1 features"],
        noise: Float[Tensor, "time rows latent"],
    ) -> Paths:
        """The next steps."""
        chain = self.chain
        biases = _needed(chain.posterior, chain.state_to_prior(state), chain.encoder_to_evidence(encoded))
        paths = _empty(noise)
        z = self.z
        for bias, eps, z_t, mean in zip(torch.cat(biases, 2)[:, 0], noise, paths.z, paths.mean, strict=True):
            z = self.draw(self.z_to_units(z, "relu", bias), eps, mean, z_t)
        self.z = z
        return Paths(state.expand(-1, len(z), -1), paths.z, paths.mean)


class _Draw:
    """A posterior's mean and a sample, from the hidden units side by side of the networks that it needs."""

    def __init__(self, posterior: Posterior, prior: nn.Linear, evidence: nn.Linear, rows: int) -> None:
        self.posterior: Posterior = posterior
        heads = _needed(posterior, prior, evidence)
        self.heads = [Product(head.weight, head.bias, rows) for head in heads]
        self.units = sum(head.in_features for head in heads)

    def __call__(
        self,
        units: Float[Tensor, "rows units"],
        noise: Float[Tensor, "rows latent"],
        mean: Float[Tensor, "rows latent"],
        z: Float[Tensor, "rows latent"],
    ) -> Float[Tensor, "rows latent"]:
        """Writes both."""
        parts = zip(self.heads, units.chunk(len(self.heads), 1), strict=True)
        means, logs = zip(*(head(part).chunk(2, 1) for head, part in parts), strict=True)
        for log_precision in logs:
            log_precision.clamp_(*LOG_PRECISION_RANGE)
        if self.posterior == "product":  # precisions add
            of_prior, precision = (log_precision.exp_() for log_precision in logs)
            precision += of_prior
            torch.lerp(means[1], means[0], of_prior.div_(precision), out=mean)
            return torch.addcmul(mean, noise, precision.rsqrt_(), out=z)
        if self.posterior == "residual":
            torch.add(*means, out=mean)
        else:
            mean.copy_(means[0])
        return torch.addcmul(mean, noise, logs[-1].mul_(-0.5).exp_(), out=z)


def _needed(posterior: Posterior, prior: T, evidence: T) -> list[T]:
    """Those of the prior's and the evidence's that the posterior depends on."""
    match posterior:
        case "direct":
            return [evidence]
        case "prior":
            return [prior]
        case _:
            return [prior, evidence]


def _empty(noise: Float[Tensor, "time rows latent"], hidden: int = 0) -> Paths:
    """Room for paths."""
    return Paths(*(noise.new_empty(*noise.shape[:2], size) for size in (hidden, noise.shape[2], noise.shape[2])))
