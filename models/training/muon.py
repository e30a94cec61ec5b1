"""Muon: momentum whose matrices are orthogonalised, so that all directions of a layer learn at one speed.

Keller Jordan et al. (2024), *Muon: An optimizer for hidden layers in neural networks*; the scale by which steps are as
large as Adam's is of Liu et al. (2025), *Muon is scalable for LLM training*. PyTorch has the method too, but multiplies
in bfloat16, which takes 18 s an update of `cwvae small` on a CPU that emulates it.
"""

from __future__ import annotations

from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from lvm_probe import InputError

MOMENTUM = 0.95
LEAST_SIDE = 16
"""Smaller matrices are left to Adam."""
MOST_ROWS = 256
"""Matrices with more rows, which are mostly stacks of gates, are orthogonalised in parts: cheaper, and gate by gate."""

# The quintic whose iterates come near 1 fastest: after five steps singular values lie between 0.7 and 1.2.
_A, _B, _C, _STEPS = 3.4445, -4.7750, 2.0315, 5


class MuonWithAdam(torch.optim.Adam):
    """Muon for the matrices of a model, and Adam for its other parameters, at one learning rate.

    Embeddings and the layers named `head`, whose outputs are parameters of distributions, are among the others.

    Args:
        model: whose parameters to move.
        learning_rate: root mean square of a change of the matrices' entries.
        betas: of Adam.
        options: of `torch.optim.Adam`.

    Raises:
        InputError: if the model has no such matrix.

    Example:
        >>> model = torch.nn.Sequential(torch.nn.Linear(32, 32), torch.nn.Linear(32, 1))
        >>> optimizer = MuonWithAdam(model, 0.01, (0.9, 0.99))
        >>> before = model[0].weight.detach().clone()
        >>> model(torch.ones(1, 32)).sum().backward()
        >>> optimizer.step()
        >>> bool((model[0].weight != before).any())
        True
    """

    def __init__(
        self, model: torch.nn.Module, learning_rate: float, betas: tuple[float, float], **options: bool
    ) -> None:
        self.matrices = [parameter for name, parameter in model.named_parameters() if is_matrix(name, parameter)]
        if not self.matrices:
            raise InputError(f"muon: the model has no matrix of {LEAST_SIDE} rows and columns; leave it out")
        by_muon = {id(matrix) for matrix in self.matrices}
        super().__init__([p for p in model.parameters() if id(p) not in by_muon], learning_rate, betas=betas, **options)
        for matrix in self.matrices:
            self.state[matrix]["momentum"] = torch.zeros_like(matrix)

    @torch.no_grad()
    def step(self, closure: Any = None) -> Any:
        for matrix in self.matrices:
            if matrix.grad is None:
                continue
            momentum = self.state[matrix]["momentum"]
            momentum.lerp_(matrix.grad, 1 - MOMENTUM)
            ahead = matrix.grad.lerp(momentum, MOMENTUM).flatten(1)
            parts = ahead.chunk(-(-len(ahead) // MOST_ROWS))
            change = torch.cat([orthogonalised(part) * max(part.shape) ** 0.5 for part in parts])
            matrix.sub_(self.param_groups[0]["lr"] * change.view_as(matrix))
        return super().step(closure)


def is_matrix(name: str, parameter: Tensor) -> bool:
    """Whether Muon moves a parameter, by its name in the model; kernels of convolutions count as matrices.

    Example:
        >>> is_matrix("front.mix.weight", torch.zeros(64, 8, 3)), is_matrix("decoder.head.weight", torch.zeros(64, 64))
        (True, False)
    """
    inside = not {"head", "embedding"} & set(name.split("."))
    return inside and parameter.ndim > 1 and min(len(parameter), parameter[0].numel()) >= LEAST_SIDE


def orthogonalised(matrix: Float[Tensor, "rows columns"]) -> Float[Tensor, "rows columns"]:
    """U Vᵀ of the singular value decomposition U S Vᵀ, nearly: by five steps of a Newton-Schulz iteration."""
    wide = matrix.T if len(matrix) > matrix.shape[1] else matrix
    x = wide / (wide.norm() + 1e-7)
    for _ in range(_STEPS):
        gram = x @ x.T
        x = torch.addmm(x, torch.addmm(gram, gram, gram, beta=_B, alpha=_C), x, beta=_A)
    return x.T if wide is not matrix else x
