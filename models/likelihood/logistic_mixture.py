"""Discretized mixture of logistics (Salimans et al. 2017; Havtorn et al. 2022, section 2.7), with exact bin masses.

Where a bin's mass is tiny, the usual implementation falls back to density times width. Here the mass of the bin [a, b]
of a standard logistic is computed without cancellation,

    σ(b) - σ(a) = (1 - e^(a-b)) / ((1 + e^a) (1 + e^-b)),

so it is accurate everywhere and sums to one over bins that cover the line.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

MIN_LOG_SCALE = -7.0
CHUNK = 16_384
"""Audio samples that are computed at once, so that intermediate results stay in the processor's cache."""


@dataclass(frozen=True)
class LogisticMixture:
    """A mixture of K logistics for every audio sample.

    Attributes:
        parameters: K logits, K means and K log scales along the last axis; log scales are at least -7.

    Example:
        >>> one = LogisticMixture(torch.tensor([[0.0, 0.0, 0.0]]))  # a standard logistic
        >>> one.log_mass(torch.tensor([0.0]), torch.tensor([1e30])).exp()
        tensor([0.5000])
    """

    parameters: Float[Tensor, "*shape three_k"]

    def __post_init__(self) -> None:
        at_least_single = torch.promote_types(self.parameters.dtype, torch.float32)
        object.__setattr__(self, "parameters", self.parameters.to(at_least_single))

    def log_mass(self, lower: Float[Tensor, "*shape"], upper: Float[Tensor, "*shape"]) -> Float[Tensor, "*shape"]:
        """Log probability of the bin [lower, upper] for every audio sample, in nats."""
        rows = self.parameters.reshape(-1, self.parameters.shape[-1])
        mass: Tensor = _LogMass.apply(rows, lower.reshape(-1), upper.reshape(-1))
        return mass.view_as(lower)

    def sample(self, generator: torch.Generator) -> Float[Tensor, "*shape"]:
        """Draw a value for every audio sample, clipped to [-1, 1]."""
        logits, means, log_scales = self.parameters.chunk(3, -1)
        weights = logits.softmax(-1)
        choice = torch.multinomial(weights.flatten(0, -2), 1, generator=generator).view(*means.shape[:-1], 1)
        u = torch.rand(choice.shape, generator=generator, device=weights.device, dtype=weights.dtype)
        u = u.clamp(1e-5, 1 - 1e-5)
        scale = log_scales.gather(-1, choice).clamp(min=MIN_LOG_SCALE).exp()
        return (means.gather(-1, choice) + scale * u.logit()).squeeze(-1).clamp(-1, 1)


class _LogMass(torch.autograd.Function):
    """Log mass of a bin per row. The forward pass computes the gradient too, chunk by chunk."""

    @staticmethod
    def forward(ctx: Any, parameters: Tensor, lower: Tensor, upper: Tensor) -> Tensor:
        result = torch.empty_like(lower)
        gradient = torch.empty_like(parameters) if ctx.needs_input_grad[0] else None
        step = max(len(lower), 1) if parameters.is_cuda else CHUNK
        for i in range(0, len(lower), step):
            rows = slice(i, i + step)
            result[rows], chunk = _chunk(parameters[rows], lower[rows], upper[rows], gradient is not None)
            if gradient is not None and chunk is not None:
                gradient[rows] = chunk
        ctx.save_for_backward(gradient)
        return result

    @staticmethod
    def backward(ctx: Any, *outer: Tensor) -> tuple[Tensor | None, ...]:
        (gradient,) = ctx.saved_tensors
        return gradient * outer[0].unsqueeze(-1), None, None


def _chunk(parameters: Tensor, lower: Tensor, upper: Tensor, differentiate: bool) -> tuple[Tensor, Tensor | None]:
    logits, means, raw = (
        x.contiguous() for x in parameters.t().chunk(3)
    )  # components first, so that sums over them vectorise
    log_scales = raw.clamp(min=MIN_LOG_SCALE)
    inverse = torch.exp(-log_scales)
    a = (lower - means).mul_(inverse)
    minus_b = (means - upper).mul_(inverse)
    delta = (upper - lower) * inverse
    big, small = torch.maximum(a, minus_b), torch.minimum(a, minus_b)  # small <= 0, so its exponential cannot overflow
    far, near = torch.exp(-big.abs()), torch.exp(small)
    minus_gap = torch.expm1(-delta)
    log_weights = logits.log_softmax(0)
    mass = -minus_gap / ((1 + far) * (1 + near))
    joint = mass.log_().sub_(big.clamp(min=0)).add_(log_weights)
    total = joint.logsumexp(0)
    if not differentiate:
        return total, None
    share = torch.exp(joint.sub_(total))
    sigmoid_big = torch.where(big > 0, 1, far).div_(1 + far)
    sigmoid_small = near / (1 + near)
    d_log_scales = big * sigmoid_big + small * sigmoid_small + delta * (1 + minus_gap) / minus_gap
    gradient = torch.empty_like(parameters)
    d_logits, d_means, d_scales = (x.t() for x in gradient.chunk(3, 1))
    torch.sub(share, log_weights.exp_(), out=d_logits)
    d_means.copy_((sigmoid_big - sigmoid_small).mul_(share).mul_(inverse).mul_(torch.sign(a - minus_b)))
    d_scales.copy_(d_log_scales.mul_(share).mul_(raw >= MIN_LOG_SCALE))
    return total, gradient
