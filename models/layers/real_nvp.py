"""Real NVP: an invertible network whose Jacobian is triangular (Dinh, Sohl-Dickstein and Bengio 2017, equations 7, 8).

    y_a = x_a,   y_b = x_b exp(s(x_a)) + t(x_a),   log |det ∂y/∂x| = Σ_b s(x_a)

Couplings take turns at which half of the dimensions is a. s stays within ±`LARGEST`, by a scaled tanh, so that
neither direction overflows.
"""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor, nn

LARGEST = 2.0
"""Of the log scale of one coupling."""


class Coupling(nn.Module):
    """One affine coupling of `size` dimensions; with `upper`, the upper half is the one that stays."""

    def __init__(self, size: int, width: int, upper: bool) -> None:
        super().__init__()
        self.sizes, self.upper = (size // 2, size - size // 2), upper
        kept, moved = self.sizes[::-1] if upper else self.sizes
        self.hidden = nn.Linear(kept, width)
        self.mix = nn.Linear(width, width)
        self.head = nn.Linear(width, 2 * moved)
        nn.init.normal_(self.head.weight, std=0.01)  # near the identity; at zero, the layers below had no gradient
        nn.init.zeros_(self.head.bias)

    def forward(self, x: Float[Tensor, "*shape size"]) -> tuple[Tensor, Tensor]:
        kept, moved = self._halves(x)
        log_scale, shift = self._affine(kept)
        return self._joined(kept, moved * log_scale.exp() + shift), self._joined(torch.zeros_like(kept), log_scale)

    def inverse(self, y: Float[Tensor, "*shape size"]) -> tuple[Tensor, Tensor]:
        kept, moved = self._halves(y)
        log_scale, shift = self._affine(kept)
        return self._joined(kept, (moved - shift) * (-log_scale).exp()), self._joined(
            torch.zeros_like(kept), -log_scale
        )

    def _affine(self, kept: Tensor) -> tuple[Tensor, Tensor]:
        x = torch.relu(self.mix(torch.relu(self.hidden(kept))))
        log_scale, shift = self.head(x).chunk(2, -1)
        return LARGEST * torch.tanh(log_scale / LARGEST), shift

    def _halves(self, x: Tensor) -> tuple[Tensor, Tensor]:
        lower, upper = x.split(self.sizes, -1)
        return (upper, lower) if self.upper else (lower, upper)

    def _joined(self, kept: Tensor, moved: Tensor) -> Tensor:
        return torch.cat((moved, kept) if self.upper else (kept, moved), -1)


class RealNVP(nn.Module):
    """Couplings one after another; without any, the identity.

    Args:
        size: dimensions; at least 2.
        couplings: how many.
        width: hidden units of each.

    Example:
        >>> flow = RealNVP(size=6, couplings=2, width=8)
        >>> x = torch.randn(3, 6)
        >>> y, log_scale = flow(x)
        >>> torch.allclose(flow.inverse(y)[0], x, atol=1e-5), log_scale.shape
        (True, torch.Size([3, 6]))
    """

    def __init__(self, size: int, couplings: int, width: int) -> None:
        super().__init__()
        self.couplings = nn.ModuleList(Coupling(size, width, upper=bool(i % 2)) for i in range(couplings))

    def forward(
        self, x: Float[Tensor, "*shape size"]
    ) -> tuple[Float[Tensor, "*shape size"], Float[Tensor, "*shape size"]]:
        """The image of x, and what each dimension adds to the log-determinant of the Jacobian there."""
        total = torch.zeros_like(x)
        for coupling in self.couplings:
            x, log_scale = coupling(x)
            total = total + log_scale
        return x, total

    def inverse(
        self, y: Float[Tensor, "*shape size"]
    ) -> tuple[Float[Tensor, "*shape size"], Float[Tensor, "*shape size"]]:
        """The preimage of y, and what each dimension adds to the log-determinant of the inverse's Jacobian there."""
        total = torch.zeros_like(y)
        for coupling in reversed(list(self.couplings)):
            assert isinstance(coupling, Coupling)
            y, log_scale = coupling.inverse(y)
            total = total + log_scale
        return y, total
