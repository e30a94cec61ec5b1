"""Piano rolls: which of 88 keys sound at each moment, as Bernoulli variables (Boulanger-Lewandowski et al. 2012)."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from jaxtyping import Float, UInt8
from torch import Tensor
from torch.nn import functional as F

from lvm_probe.models.domains.domain import Domain

KEYS = 88
"""Of a piano: A0 to C8, MIDI numbers 21 to 108."""


@dataclass(frozen=True)
class PianoRoll(Domain):
    """0 or 1 for each key, moment after moment.

    Example:
        >>> PianoRoll().log_prob(torch.zeros(1, 2, 1), torch.tensor([[0, 1]], dtype=torch.uint8))
        tensor([[-0.6931, -0.6931]])
    """

    name = "pianoroll"
    step = KEYS
    dtype = torch.uint8

    @property
    def size(self) -> int:
        """The logit."""
        return 1

    def start(self, elements: int) -> Float[Tensor, "elements 1"]:
        """Few keys sound."""
        return torch.full((elements, 1), -3.0)

    def log_prob(
        self, parameters: Float[Tensor, "batch elements 1"], x: UInt8[Tensor, "batch elements"]
    ) -> Float[Tensor, "batch elements"]:
        """Log probability of each key's state, in nats."""
        logits = _at_least_single(parameters.squeeze(-1))
        return -F.binary_cross_entropy_with_logits(logits, self.check(x).to(logits.dtype), reduction="none")

    def draw(
        self, parameters: Float[Tensor, "batch elements 1"], generator: torch.Generator
    ) -> UInt8[Tensor, "batch elements"]:
        """Draw each key's state."""
        probabilities = _at_least_single(parameters.squeeze(-1)).sigmoid()
        return torch.bernoulli(probabilities, generator=generator).to(torch.uint8)


def _at_least_single(x: Tensor) -> Tensor:
    return x.to(torch.promote_types(x.dtype, torch.float32))
