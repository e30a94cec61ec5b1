"""μ-law companding of 16-bit PCM, and the bins over which a likelihood is a probability.

Havtorn et al. (2022, section 3) represent audio as μ-law encoded 16-bit PCM in [-1, 1]. There are two sets of 65,536
bins: the uniform grid on the μ-law axis, for the paper's bits per frame, and the companded cells of the PCM values,
with which the likelihood is a code length of the recording.

An axis is named by its μ, whose grid has μ + 1 values: 65,535 for 16 bits, 255 for the 256 codes of 8-bit μ-law.
"""

from __future__ import annotations

import math

import torch
from jaxtyping import Float, Int16
from torch import Tensor

from lvm_probe.models.io.pcm import FULL_SCALE, check_pcm

PCM_VALUES = 65_536
MU = PCM_VALUES - 1
"""Of 16-bit μ-law."""
MU8 = 255
"""Of 8-bit μ-law."""
OPEN = 1e30
"""In place of infinity at the outer edges; finite, so that products with zero are zero."""


def encode(x: Float[Tensor, "*shape"], mu: int = MU) -> Float[Tensor, "*shape"]:
    """Compand without quantising: sign(x) log(1 + μ|x|) / log(1 + μ).

    Args:
        x: amplitudes in [-1, 1].
        mu: 65,535 for 16-bit μ-law, 255 for 8-bit.

    Returns:
        Values in [-1, 1].

    Example:
        >>> encode(torch.tensor([-1.0, 0.0, 0.01]))
        tensor([-1.0000,  0.0000,  0.5849])
    """
    return torch.sign(x) * torch.log1p(mu * x.abs()) / math.log1p(mu)


def decode(y: Float[Tensor, "*shape"], mu: int = MU) -> Float[Tensor, "*shape"]:
    """Inverse of `encode`."""
    return torch.sign(y) * torch.expm1(y.abs() * math.log1p(mu)) / mu


def from_pcm(pcm: Int16[Tensor, "*shape"], dtype: torch.dtype = torch.float32) -> Float[Tensor, "*shape"]:
    """16-bit PCM as amplitudes in [-1, 1).

    Raises:
        InputError: if `pcm` is not int16.
    """
    return check_pcm(pcm).to(dtype) / FULL_SCALE


def to_pcm(x: Float[Tensor, "*shape"]) -> Int16[Tensor, "*shape"]:
    """Round amplitudes in [-1, 1] to 16-bit PCM, clipping at full scale."""
    return (x * FULL_SCALE).round().clamp(-FULL_SCALE, FULL_SCALE - 1).to(torch.int16)


def on_grid(y: Float[Tensor, "*shape"], mu: int) -> Float[Tensor, "*shape"]:
    """The nearest of μ + 1 equally spaced values on [-1, 1]; of two that are equally near, the higher.

    Args:
        y: companded values in [-1, 1].
        mu: of the axis.

    Example:
        >>> on_grid(torch.tensor([-1.0, 0.0, 0.003]), 255)  # zero lies between two codes
        tensor([-1.0000,  0.0039,  0.0039])
    """
    return torch.floor((y + 1) / 2 * mu + 0.5) * 2 / mu - 1


def bins_around(y: Float[Tensor, "*shape"], mu: int = MU) -> tuple[Float[Tensor, "*shape"], Float[Tensor, "*shape"]]:
    """The paper's uniform bin [y - ½ bin, y + ½ bin] around a value; outer edges are open.

    μ-law companded PCM values do not lie on the uniform grid, so the bins around them overlap and leave gaps: the
    likelihood is the paper's figure, but no code length. Around the values of the grid the masses sum to one.

    Args:
        y: companded values in [-1, 1].
        mu: of the axis.

    Returns:
        Lower and upper edges.
    """
    half = 1 / mu
    lower = torch.where(y <= -1 + half, -OPEN, y - half)
    upper = torch.where(y >= 1 - half, OPEN, y + half)
    return lower, upper


def pcm_edges(
    pcm: Int16[Tensor, "*shape"], dtype: torch.dtype = torch.float32, mu: int | None = MU
) -> tuple[Float[Tensor, "*shape"], Float[Tensor, "*shape"]]:
    """The cell of a PCM value: midpoints to the neighbouring PCM values.

    The cells of the 65,536 PCM values cover the line, so minus log2 of the mass is a code length.

    Args:
        pcm: 16-bit PCM.
        dtype: of the edges.
        mu: of the axis; None for a linear one.

    Returns:
        Lower and upper edges.

    Raises:
        InputError: if `pcm` is not int16.
    """
    n = check_pcm(pcm).to(dtype)
    lower, upper = ((n + half) / FULL_SCALE for half in (-0.5, 0.5))
    if mu is not None:
        lower, upper = encode(lower, mu), encode(upper, mu)
    return (
        torch.where(pcm == -FULL_SCALE, -OPEN, lower),
        torch.where(pcm == FULL_SCALE - 1, OPEN, upper),
    )
