"""Pen strokes: at each point whether the pen is lifted, and the displacement (Graves 2013, equations 19 to 25).

A point is three elements: pen (1 where a stroke ends), dx and dy. The pen is a Bernoulli variable, the displacement a
mixture of bivariate Gaussians with correlations. The likelihood of the displacement is stated by the chain rule, as
that of dx and that of dy given dx, so that every element has its own and their sum is the joint one.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import torch
from jaxtyping import Float, Float32, Shaped
from torch import Tensor
from torch.nn import functional as F

from lvm_probe import InputError
from lvm_probe.models.domains.domain import Domain

if TYPE_CHECKING:
    from lvm_probe.models.batches import Recording


_Three = tuple[Tensor, Tensor, Tensor]


@dataclass(frozen=True)
class Strokes(Domain):
    """Pen, dx, dy of each point.

    The parameters of an element are 3K numbers for K components: of the pen its logit (the others mean nothing), of dx
    the logits of the components, means and log standard deviations, of dy means, log standard deviations and, before
    tanh, correlations. Components are normalised displacements.

    Attributes:
        components: of the mixture.
        scale: standard deviation of the displacements of the training data, by which dx and dy are divided. Likelihoods
            are densities of the displacements in the data's own unit.
        min_std: smallest standard deviation of a component, in units of `scale`.

    Raises:
        InputError: if a value is out of its range.
    """

    name = "strokes"
    step = 3
    dtype = torch.float32
    uniform = False

    components: int = 20
    scale: float = 1.0
    min_std: float = 0.01

    def __post_init__(self) -> None:
        if not isinstance(self.components, int) or self.components < 1:
            raise InputError(f"components must be a positive whole number; got {self.components!r}")
        if not (self.scale > 0 and self.min_std > 0 and math.isfinite(self.scale * self.min_std)):
            raise InputError(f"scale and min_std must be positive; got {self}")

    @property
    def size(self) -> int:
        """Three numbers for each component."""
        return 3 * self.components

    def is_density(self) -> bool:
        """Displacements are real numbers."""
        return True

    def features(self, x: Float32[Tensor, "*shape elements"], dtype: torch.dtype) -> Float[Tensor, "*shape elements 1"]:
        """The pen as it is and normalised displacements."""
        scale = torch.tensor([1, self.scale, self.scale], dtype=dtype, device=x.device).repeat(x.shape[-1] // self.step)
        return (self.check(x).to(dtype) / scale).unsqueeze(-1)

    def start(self, elements: int) -> Float[Tensor, "elements size"]:
        """A pen that is rarely lifted, and means spread around zero."""
        points = torch.zeros(elements // self.step, self.step, 3, self.components)
        points[:, 0] = -2
        if self.components > 1:
            angles = 2 * math.pi * torch.arange(self.components, device="cpu") / self.components
            points[:, 1, 1], points[:, 2, 0] = angles.cos(), angles.sin()
        return points.reshape(elements, self.size)

    def log_prob(
        self, parameters: Float[Tensor, "batch elements size"], x: Float32[Tensor, "batch elements"]
    ) -> Float[Tensor, "batch elements"]:
        """Log probability of pen, log density of dx and of dy given dx, in nats."""
        pen, dx, dy = self._points(parameters)
        values = self.features(x, pen.dtype).squeeze(-1).unflatten(1, (-1, self.step))
        lifted = -F.binary_cross_entropy_with_logits(pen, values[..., 0], reduction="none")
        along, weights = self._along(dx, values[..., 1])
        mean, std = self._across(dx, dy, values[..., 1])
        across = torch.logsumexp(weights.log_softmax(-1) + _normal(values[..., 2], mean, std), -1)
        unit = math.log(self.scale)
        return torch.stack((lifted, along - unit, across - unit), -1).flatten(1)

    def draw(
        self, parameters: Float[Tensor, "batch elements size"], generator: torch.Generator
    ) -> Float32[Tensor, "batch elements"]:
        """Draw whole points."""
        points = parameters.unflatten(1, (-1, self.step)).flatten(0, 1)
        drawn = torch.zeros(len(points), 0)
        for i in range(1, self.step + 1):
            drawn = torch.cat((drawn, self.draw_next(points[:, :i], drawn, generator)), 1)
        return drawn.reshape(len(parameters), -1)

    def draw_next(
        self,
        parameters: Float[Tensor, "batch upto size"],
        before: Shaped[Tensor, "batch before"],
        generator: torch.Generator,
    ) -> Float32[Tensor, "batch 1"]:
        """Draw the pen, dx, or dy given dx."""
        upto = parameters.shape[1]
        padded = F.pad(parameters, (0, 0, 0, self.step - upto))
        pen, dx, dy = self._points(padded)
        if upto == 1:
            return torch.bernoulli(pen.sigmoid(), generator=generator).float()
        if upto == 2:
            logits, means, log_stds = (part.squeeze(1) for part in dx)
            return self.scale * _draw_component(logits, means, log_stds.exp(), generator).float()
        at = before[:, 1:2].to(pen.dtype) / self.scale
        _, weights = self._along(dx, at)
        mean, std = self._across(dx, dy, at)
        drawn = _draw_component(weights.squeeze(1), mean.squeeze(1), std.squeeze(1), generator)
        return self.scale * drawn.float()

    def normalised(self, recordings: Sequence[Recording]) -> Strokes:
        """Normalised by the standard deviation of all displacements of the training data (Ha and Eck 2018).

        Raises:
            InputError: if they are all equal.
        """
        points = [torch.from_numpy(r.read(0, r.samples)).unflatten(0, (-1, self.step))[:, 1:] for r in recordings]
        scale = float(torch.cat(points).double().std())
        if not scale > 0:
            raise InputError("all displacements of the training data are equal: there is nothing to normalise by")
        return replace(self, scale=scale)

    def _points(self, parameters: Tensor) -> tuple[Tensor, _Three, _Three]:
        """The pen's logit; of dx logits, means, log standard deviations; of dy means, log deviations, correlations."""
        single = parameters.to(torch.promote_types(parameters.dtype, torch.float32))
        points = single.unflatten(1, (-1, self.step)).unflatten(3, (3, self.components))
        least = math.log(self.min_std)
        (logits, x, sx), (y, sy, r) = points[:, :, 1].unbind(2), points[:, :, 2].unbind(2)
        return points[:, :, 0, 0, 0], (logits, x, sx.clamp(min=least)), (y, sy.clamp(min=least), 0.99 * torch.tanh(r))

    def _along(self, dx: _Three, at: Tensor) -> tuple[Tensor, Tensor]:
        """Log density of dx, and the log weight of each component given dx."""
        logits, means, log_stds = dx
        joint = logits.log_softmax(-1) + _normal(at, means, log_stds.exp())
        return joint.logsumexp(-1), joint

    def _across(self, dx: _Three, dy: _Three, at: Tensor) -> tuple[Tensor, Tensor]:
        """Mean and standard deviation of each component's dy given dx."""
        (_, mean_x, log_std_x), (mean_y, log_std_y, correlation) = dx, dy
        z = (at.unsqueeze(-1) - mean_x) * torch.exp(-log_std_x)
        std_y = log_std_y.exp()
        return mean_y + correlation * std_y * z, std_y * torch.sqrt(1 - correlation.square())


def _normal(x: Tensor, mean: Tensor, std: Tensor) -> Tensor:
    """Log density of each component at x."""
    z = (x.unsqueeze(-1) - mean) / std
    return -0.5 * (z.square() + math.log(2 * math.pi)) - std.log()


def _draw_component(
    logits: Float[Tensor, "rows k"],
    means: Float[Tensor, "rows k"],
    stds: Float[Tensor, "rows k"],
    generator: torch.Generator,
) -> Float[Tensor, "rows 1"]:
    """A draw from the mixture of each row."""
    chosen = torch.multinomial(logits.softmax(-1), 1, generator=generator)
    noise = torch.randn(chosen.shape, generator=generator, dtype=means.dtype, device=means.device)
    return means.gather(1, chosen) + stds.gather(1, chosen) * noise
