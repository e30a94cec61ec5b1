"""Products with fixed weights, without gradients: what extraction and evaluation spend their time on.

PyTorch leaves single precision on the CPU to MKL, which does without AVX-512 on processors that are not Intel's and
rearranges the weights for every product anew. oneDNN, which PyTorch carries for its compiler, does neither and applies
bias and activation on the way: on such a processor it takes half the time. The two agree within rounding.
"""

from __future__ import annotations

from typing import Literal

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional as F

Activation = Literal["none", "relu", "sigmoid"]

BLOCK = 256
"""Rows of a product with any number of them: oneDNN keeps a program for every number it has met, and memory grows."""

# Operators that PyTorch keeps for itself: where it has them no longer, products are its ordinary ones.
_ONEDNN = torch.backends.mkldnn.is_available() and all(
    hasattr(torch.ops.mkldnn, name) for name in ("_linear_pointwise", "_reorder_linear_weight")
)


class Product:
    """activation(x Wᵀ + b) for many x of about `rows` rows; the weights are copied."""

    def __init__(
        self, weight: Float[Tensor, "outputs inputs"], bias: Float[Tensor, " outputs"] | None, rows: int
    ) -> None:
        self.packed = _suits(weight)
        weight = weight.detach().contiguous()
        self.weight = torch.ops.mkldnn._reorder_linear_weight(weight, rows) if self.packed else weight
        self.bias = None if bias is None else bias.detach()

    def __call__(
        self,
        x: Float[Tensor, "*batch inputs"],
        activation: Activation = "none",
        bias: Float[Tensor, " outputs"] | None = None,
    ) -> Float[Tensor, "*batch outputs"]:
        """The product; a bias given here takes the place of the product's own."""
        bias = self.bias if bias is None else bias
        if self.packed:
            y: Tensor = torch.ops.mkldnn._linear_pointwise(x, self.weight, bias, activation, [], "")
            return y
        y = F.linear(x, self.weight, bias)
        match activation:
            case "none":
                return y
            case "relu":
                return y.relu_()
            case "sigmoid":
                return y.sigmoid_()


class Linear(nn.Linear):
    """`torch.nn.Linear`, faster where no gradient is wanted."""

    def forward(self, input: Float[Tensor, "*batch inputs"]) -> Float[Tensor, "*batch outputs"]:
        x = input.reshape(-1, self.in_features)
        whole = len(x) - len(x) % BLOCK
        plain = torch.is_grad_enabled() or torch.is_autocast_enabled(input.device.type) or not whole
        if plain or not _suits(input):
            y: Tensor = super().forward(input)
            return y
        product = Product(self.weight, self.bias, BLOCK)
        y = torch.cat([*(product(block) for block in x[:whole].split(BLOCK)), super().forward(x[whole:])])
        return y.view(*input.shape[:-1], self.out_features)


def _suits(x: Tensor) -> bool:
    """Whether oneDNN multiplies the like of it."""
    return (
        x.dtype == torch.float32
        and x.device.type == "cpu"
        and _ONEDNN
        and torch.backends.cpu.get_cpu_capability().startswith("AVX")
    )
