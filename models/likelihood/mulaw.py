"""μ-law companding of 16-bit PCM, and the bins over which a likelihood is a probability.

`papers/001` section 3 represents audio as μ-law encoded 16-bit PCM in [-1, 1]. Two sets of 65,536 bins
matter: the uniform grid of the μ-law axis on which the paper's bits per frame are computed, and the images of
the PCM's own cells, which make the likelihood a code length for the recording.
"""

from __future__ import annotations

import math

import torch
from jaxtyping import Float, Int16
from torch import Tensor

from lvm_probe.models.io.pcm import FULL_SCALE, check_pcm

PCM_VALUES = 65_536
HALF_BIN = 1 / (PCM_VALUES - 1)
"""Half the spacing of 65,536 equally spaced values on [-1, 1]."""
OPEN = 1e30
"""Stands for infinity at the outer edges; finite, so that products with zero stay zero."""


def encode(x: Float[Tensor, "*shape"], mu: int = PCM_VALUES - 1) -> Float[Tensor, "*shape"]:
    """Compand x in [-1, 1] to [-1, 1]: sign(x) log(1 + μ|x|) / log(1 + μ). It does not quantise."""
    return torch.sign(x) * torch.log1p(mu * x.abs()) / math.log1p(mu)


def decode(y: Float[Tensor, "*shape"], mu: int = PCM_VALUES - 1) -> Float[Tensor, "*shape"]:
    """Inverse of `encode`."""
    return torch.sign(y) * torch.expm1(y.abs() * math.log1p(mu)) / mu


def from_pcm(pcm: Int16[Tensor, "*shape"], dtype: torch.dtype = torch.float32) -> Float[Tensor, "*shape"]:
    """16-bit PCM as a real number in [-1, 1). Raises InputError for anything but int16."""
    return check_pcm(pcm).to(dtype) / FULL_SCALE


def to_pcm(x: Float[Tensor, "*shape"]) -> Int16[Tensor, "*shape"]:
    """Round x in [-1, 1] to 16-bit PCM, clipping at full scale."""
    return (x * FULL_SCALE).round().clamp(-FULL_SCALE, FULL_SCALE - 1).to(torch.int16)


def bins_around(
    y: Float[Tensor, "*shape"],
) -> tuple[Float[Tensor, "*shape"], Float[Tensor, "*shape"]]:
    """Bin [y - ½ bin, y + ½ bin] of the paper's uniform bins around a value y in [-1, 1]; outer edges open.

    μ-law companded values do not lie on the uniform grid, so around them these bins tile nothing: their likelihood is
    the paper's figure, not a code length. On the grid itself (`edges_of_grid`) they sum to one.
    """
    lower = torch.where(y <= -1 + HALF_BIN, -OPEN, y - HALF_BIN)
    upper = torch.where(y >= 1 - HALF_BIN, OPEN, y + HALF_BIN)
    return lower, upper


def edges_of_grid(
    dtype: torch.dtype = torch.float64,
) -> tuple[Float[Tensor, " 65536"], Float[Tensor, " 65536"]]:
    """The uniform bins around all 65,536 grid values: they tile the line."""
    return bins_around(torch.linspace(-1, 1, PCM_VALUES, dtype=dtype))


def pcm_edges(
    pcm: Int16[Tensor, "*shape"], dtype: torch.dtype = torch.float32, *, linear: bool = False
) -> tuple[Float[Tensor, "*shape"], Float[Tensor, "*shape"]]:
    """The PCM's own cell: midpoints to the neighbouring PCM values, companded unless the axis is `linear`.

    Over the 65,536 PCM values these tile the line, so that minus log2 of the mass is a code length.
    """
    n = check_pcm(pcm).to(dtype)
    lower, upper = ((n + half) / FULL_SCALE for half in (-0.5, 0.5))
    if not linear:
        lower, upper = encode(lower), encode(upper)
    return (
        torch.where(pcm == -FULL_SCALE, -OPEN, lower),
        torch.where(pcm == FULL_SCALE - 1, OPEN, upper),
    )
