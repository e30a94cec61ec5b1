"""Multinomial logistic regression with an L2 penalty, fitted for one penalty after another.

With n points x of mean 0, classes y, shares p of the classes and weights W, it minimises the convex

    loss(W) = -1/n Σ_i log softmax(log p + W x_i + b)[y_i] + λ/2 ‖W‖²,     λ = 1 / (C n)

by L-BFGS (Nocedal and Wright 2006, *Numerical Optimization*, algorithm 7.4), which starts every step from an
approximate inverse of the Hessian. That is the mean over the points of diag(q) - q qᵀ, for the predicted shares q of
the classes, times the covariance of the points, plus λ; both factors are diagonal in their eigenvectors. It takes a
half to a tenth of the time of scikit-learn's L-BFGS, which starts from the identity; least where the penalty is strong.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from lvm_probe.analysis.shape_annotations import Float, Int

_MEMORY = 8
_MAX_ITERATIONS = 2000
# Armijo's condition, and the smallest step that is tried.
_DECREASE, _SMALLEST_STEP = 1e-4, 1e-8
# Share of the largest curvature that the intercepts of rare classes are taken to have at least.
_LEAST_CURVATURE = 1e-6


class SoftmaxRegression:
    """A fit to some points, to be continued from the last penalty to the next.

    Args:
        points: features of mean 0; in single precision the fit takes half the time.
        codes: classes in [0, n), each at least once.
        tolerance: largest entry of the gradient of the loss at which a fit ends.

    Example:
        >>> points, codes = np.array([[-2.0], [-1.0], [1.0], [2.0]]), np.array([0, 0, 1, 1])
        >>> model = SoftmaxRegression(points, codes, tolerance=1e-6)
        >>> model.fit(1.0)
        >>> model.log_probabilities(points).argmax(axis=1)
        array([0, 0, 1, 1])
    """

    def __init__(
        self, points: Float[np.ndarray, "points dims"], codes: Int[np.ndarray, " points"], tolerance: float
    ) -> None:
        n = len(points)
        counts = np.bincount(codes)
        spreads, self._axes = np.linalg.eigh(points.T @ points / n)
        spreads = np.append(np.maximum(spreads, 0), 1)  # and of the constant, for the intercepts
        self._spreads = spreads[:, None].astype(points.dtype)
        self._points = self._rotated(points)
        self._onehot = np.eye(len(counts), dtype=points.dtype)[codes]
        self._log_shares = np.log(counts / n).astype(points.dtype)
        self._tolerance = tolerance
        self._weights = np.zeros((points.shape[1] + 1, len(counts)), dtype=points.dtype)

    def fit(self, strength: float) -> None:
        """Continue to the optimum for C = `strength`.

        Two classes have two rows of weights, each the other's negative; C counts for their difference, as in
        scikit-learn, so that λ is twice as large.
        """
        n, n_classes = self._onehot.shape
        penalty = np.full((len(self._weights), 1), (2 if n_classes == 2 else 1) / (strength * n), self._points.dtype)
        penalty[-1] = 0
        shares = np.exp(_log_softmax(self._scores(self._weights)))
        curvature, classes = np.linalg.eigh(np.diag(shares.mean(axis=0)) - shares.T @ shares / n)
        inverse = 1 / np.maximum(
            np.maximum(curvature, 0) * self._spreads + penalty, _LEAST_CURVATURE * max(curvature[-1], 1 / n)
        )

        def preconditioned(gradient: np.ndarray) -> np.ndarray:
            return ((gradient @ classes) * inverse) @ classes.T

        weights = self._weights
        loss, gradient = self._loss(weights, penalty)
        pairs: list[tuple[np.ndarray, np.ndarray, float]] = []
        for _ in range(_MAX_ITERATIONS):
            if np.abs(gradient).max() <= self._tolerance:
                break
            direction = _two_loops(gradient, pairs, preconditioned)
            slope, step = float(np.vdot(gradient, direction)), 1.0
            while True:
                moved = weights - step * direction
                moved_loss, moved_gradient = self._loss(moved, penalty)
                excess = moved_loss - loss + step * slope
                if moved_loss <= loss - _DECREASE * step * slope or step < _SMALLEST_STEP:
                    break
                step = max(0.1 * step, min(0.5 * step, slope * step**2 / (2 * excess)))  # the parabola's minimum
            change, of_gradient = moved - weights, moved_gradient - gradient
            if (product := float(np.vdot(change, of_gradient))) > 0:
                pairs = [*pairs[1 - _MEMORY :], (change, of_gradient, product)]
            if moved_loss >= loss:  # rounding: there is no lower point on this line
                break
            weights, loss, gradient = moved, moved_loss, moved_gradient
        self._weights = weights

    def start_from(self, other: SoftmaxRegression) -> None:
        """Continue from the weights of another fit to the same points, such as one in single precision."""
        features = self._axes.T @ (other._axes @ other._weights[:-1])
        self._weights = np.vstack([features, other._weights[-1:]]).astype(self._weights.dtype)

    def log_probabilities(self, points: Float[np.ndarray, "points dims"]) -> Float[np.ndarray, "points classes"]:
        """The log probability of every class for other points."""
        return _log_softmax(self._rotated(points) @ self._weights + self._log_shares)

    def _rotated(self, points: np.ndarray) -> np.ndarray:
        return np.column_stack([points @ self._axes, np.ones(len(points), dtype=points.dtype)])

    def _scores(self, weights: np.ndarray) -> np.ndarray:
        return self._points @ weights + self._log_shares

    def _loss(self, weights: np.ndarray, penalty: np.ndarray) -> tuple[float, np.ndarray]:
        """The loss and its gradient."""
        scores, penalised = self._scores(weights), penalty * weights
        scores -= scores.max(axis=1, keepdims=True)
        shares = np.exp(scores)
        sums = shares.sum(axis=1)
        loss = (np.log(sums).sum() - np.vdot(self._onehot, scores)) / len(sums) + np.vdot(penalised, weights) / 2
        shares /= sums[:, None]
        shares -= self._onehot
        return float(loss), self._points.T @ shares / len(sums) + penalised


def _log_softmax(scores: np.ndarray) -> np.ndarray:
    """In place."""
    scores -= scores.max(axis=1, keepdims=True)
    scores -= np.log(np.exp(scores).sum(axis=1, keepdims=True))
    return scores


def _two_loops(
    gradient: np.ndarray,
    pairs: list[tuple[np.ndarray, np.ndarray, float]],
    preconditioned: Callable[[np.ndarray], np.ndarray],
) -> np.ndarray:
    """The inverse Hessian times the gradient, from the last changes of the weights and of the gradient."""
    direction, shares = gradient.copy(), []
    for change, of_gradient, product in reversed(pairs):
        shares.append(float(np.vdot(change, direction)) / product)
        direction -= shares[-1] * of_gradient
    direction = preconditioned(direction)
    if pairs:
        _, of_gradient, product = pairs[-1]
        direction *= product / np.vdot(of_gradient, preconditioned(of_gradient))
    for (change, of_gradient, product), share in zip(pairs, reversed(shares), strict=True):
        direction += change * (share - float(np.vdot(of_gradient, direction)) / product)
    return direction
