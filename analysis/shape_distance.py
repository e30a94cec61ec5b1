"""The distance between two stochastic representations that are as alike as a rotation can make them.

Every token is a Gaussian: a mean and a covariance. Duong et al. 2023, "Representational dissimilarity metric spaces for
stochastic neural networks", section 2.3 (equation 6, α = 1): over rotations (and reflections) T

    d² = min_T 1/n Σ_i ‖μ_i - T ν_i‖² + B²(Σ_i, T Λ_i Tᵀ)

with B the Bures distance of covariances, so that each term is the squared 2-Wasserstein distance of two Gaussians. As
B²(Σ, Λ) = min_U ‖Σ^½ - Λ^½ U‖² over rotations U, the minimum is found by turns: U_i for a given T, and T for given U_i,
each by an orthogonal Procrustes problem. No turn can make it larger.
"""

from __future__ import annotations

import numpy as np

from lvm_probe import InputError
from lvm_probe.analysis.shape_annotations import Float

_MOST_TURNS = 100
_TOLERANCE = 1e-7


def shape_distance(
    means: Float[np.ndarray, "tokens dims"],
    variances: Float[np.ndarray, "tokens dims"],
    other_means: Float[np.ndarray, "tokens others"],
    other_variances: Float[np.ndarray, "tokens others"],
) -> float:
    """The Gaussian-Wasserstein shape distance of two representations, each scaled to size 1.

    Means are centred over the tokens, and all is divided by the root of the mean of ‖μ‖² + tr Σ. The smaller
    representation is filled up with zeros. 0 means that a rotation makes them equal; two that have nothing in common
    are at most √2 apart.

    Args:
        means: of the tokens of one representation.
        variances: along its dimensions, which are independent given the token.
        other_means: of the same tokens in the other representation.
        other_variances: likewise.

    Raises:
        InputError: a variance below zero; a value that is not finite; all tokens alike and certain.

    Example:
        >>> means, variances = np.random.default_rng(0).random((2, 30, 3))
        >>> round(shape_distance(means, variances, 5 * means[:, ::-1], 25 * variances[:, ::-1]), 3)
        0.0
    """
    dims = max(means.shape[1], other_means.shape[1])
    mu, a = _scaled(means, variances, dims)
    nu, b = _scaled(other_means, other_variances, dims)
    n = len(mu)
    turn = _rotation(mu.T @ nu)
    before = np.inf
    for _ in range(_MOST_TURNS):
        # diag(a_i) against T diag(b_i) Tᵀ: the rotation of the second that is nearest to the first.
        turned = np.einsum("dk,nk->ndk", turn, b)  # T Λ^½
        inner = _rotation(np.swapaxes(turned, 1, 2) * a[:, None, :])  # U_i
        size = ((mu - nu @ turn.T) ** 2).sum() + ((a[:, :, None] * np.eye(dims) - turned @ inner) ** 2).sum()
        if before - size <= _TOLERANCE * n:
            break
        before = size
        # of Σ μ_i ν_iᵀ + Σ_i^½ (Λ_i^½ U_i)ᵀ
        turn = _rotation(mu.T @ nu + np.einsum("nd,nkd,nk->dk", a, inner, b))
    return float(np.sqrt(max(min(before, size), 0) / n))


def _scaled(means: np.ndarray, variances: np.ndarray, dims: int) -> tuple[np.ndarray, np.ndarray]:
    """Means and standard deviations, centred, scaled to size 1 and filled up with zeros."""
    if not (np.isfinite(means).all() and np.isfinite(variances).all()):
        raise InputError("a mean or variance is not finite; drop such tokens, or extract with two samples or more")
    if (variances < 0).any():
        raise InputError("a variance is below zero; give variances, not their logarithms")
    means = means - means.mean(axis=0)
    size = ((means**2).sum() + variances.sum()) / len(means)
    if size == 0:
        raise InputError("all tokens have the same mean and no variance, so there is no shape")
    filled = ((0, 0), (0, dims - means.shape[1]))
    return np.pad(means / np.sqrt(size), filled), np.pad(np.sqrt(variances / size), filled)


def _rotation(cross: np.ndarray) -> np.ndarray:
    """The orthogonal Q that maximises tr(Qᵀ cross), of one matrix or a stack."""
    left, _, right = np.linalg.svd(cross)
    return left @ right
