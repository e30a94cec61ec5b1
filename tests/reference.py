"""Slow oracles, obviously right: plain loops over points, classes and dimensions, fitted from scratch.

They share no code with what they check. Covariances are inverted or handed to a generalised eigensolver
as they stand; nothing is downdated, whitened or batched.
"""

import math

import numpy as np
import scipy.linalg
from sklearn.covariance import ledoit_wolf_shrinkage


def knn(distances: list[float], labels: list[int], k: int) -> int:
    """Vote of the k nearest; equal distances in order of index, tied votes to the nearest tied class."""
    order = sorted(range(len(labels)), key=lambda j: (distances[j], j))[:k]
    votes: dict[int, int] = {}
    for j in order:
        votes[labels[j]] = votes.get(labels[j], 0) + 1
    for j in order:  # nearest first, so that the first class with the most votes is the nearest such
        if votes[labels[j]] == max(votes.values()):
            return labels[j]
    raise AssertionError("no neighbours")


def nearest(points: np.ndarray, i: int, others: list[int], k: int) -> list[int]:
    """The k of the others nearest to point i; equal distances in order of index."""
    return sorted(others, key=lambda j: (squared_distance(points[i], points[j]), j))[:k]


def squared_distance(a: np.ndarray, b: np.ndarray) -> float:
    total = 0.0
    for x, y in zip(a.tolist(), b.tolist(), strict=True):
        total += (x - y) ** 2
    return total


def judged_by_others(space: np.ndarray, labels: np.ndarray, i: int, others: list[int], ks: list[int]) -> list[int]:
    """Predictions for point i from the others, for every k."""
    distances = [squared_distance(space[i], space[j]) for j in others]
    return [knn(distances, [int(labels[j]) for j in others], k) for k in ks]


def standardised_fold(points: np.ndarray, fold: list[int]) -> np.ndarray:
    """All points in the units of the fold: mean 0 and variance 1 there; its constant features dropped."""
    columns = []
    for d in range(points.shape[1]):
        values = [float(points[j, d]) for j in fold]
        if max(values) == min(values):
            continue
        mean = sum(values) / len(values)
        variance = sum((v - mean) ** 2 for v in values) / len(values)
        columns.append((points[:, d] - mean) / math.sqrt(variance))
    return np.stack(columns, axis=1)


def principal_components(points: np.ndarray, fold: list[int], dims: int | None) -> np.ndarray:
    """All points by the leading eigenvectors of the fold's correlation matrix; for None, as they are."""
    if dims is None:
        return points
    units = standardised_fold(points, fold)
    correlation = np.zeros((units.shape[1], units.shape[1]))
    for j in fold:
        correlation += np.outer(units[j], units[j]) / len(fold)
    _, axes = np.linalg.eigh(correlation)
    return units @ axes[:, axes.shape[1] - dims :]


def class_means(points: np.ndarray, labels: np.ndarray, fold: list[int]) -> dict[int, np.ndarray]:
    means = {}
    for c in sorted({int(labels[j]) for j in fold}):
        members = [points[j] for j in fold if labels[j] == c]
        means[c] = sum(members) / len(members)
    return means


def within_covariance(
    points: np.ndarray, labels: np.ndarray, fold: list[int], shrinkage: str | float
) -> tuple[np.ndarray, float]:
    """The covariance within classes, divided by the number of points, shrunk to μ I; and the intensity."""
    means = class_means(points, labels, fold)
    residuals = np.array([points[j] - means[int(labels[j])] for j in fold])
    covariance = np.zeros((points.shape[1], points.shape[1]))
    for r in residuals:
        covariance += np.outer(r, r) / len(fold)
    match shrinkage:
        case "none":
            amount = 0.0
        case "ledoit-wolf":
            amount = float(ledoit_wolf_shrinkage(residuals, assume_centered=True))
        case _:
            amount = float(shrinkage)
    mu = np.trace(covariance) / len(covariance)
    return (1 - amount) * covariance + amount * mu * np.eye(len(covariance)), amount


def discriminant_space(
    points: np.ndarray, labels: np.ndarray, fold: list[int], dims: int, shrinkage: str | float
) -> np.ndarray:
    """All points among the leading discriminants of the fold, by the generalised eigenproblem."""
    units = standardised_fold(points, fold)
    means = class_means(units, labels, fold)
    within, _ = within_covariance(units, labels, fold, shrinkage)
    between = np.zeros_like(within)
    for c, mean in means.items():  # the fold's mean is 0 in its own units
        share = sum(int(labels[j]) == c for j in fold) / len(fold)
        between += share * np.outer(mean, mean)
    _, axes = scipy.linalg.eigh(between, within)
    kept = min(dims, len(means) - 1, units.shape[1])
    return units @ axes[:, axes.shape[1] - kept :]


def refitted(
    points: np.ndarray,
    labels: np.ndarray,
    groups: np.ndarray,
    dims: int,
    ks: list[int],
    shrinkage: str | float,
    match_dims: int | None = None,
    prompts: np.ndarray | None = None,
) -> np.ndarray:
    """Predictions of every point from principal components and discriminants refitted without its group and prompt."""
    predictions = []
    for i in range(len(points)):
        others = [j for j in range(len(points)) if groups[j] != groups[i]]
        if prompts is not None:
            others = [j for j in others if prompts[j] != prompts[i]]
        space = principal_components(points, others, match_dims)
        if dims:
            space = discriminant_space(space, labels, others, dims, shrinkage)
        predictions.append(judged_by_others(space, labels, i, others, ks))
    return np.array(predictions)


def gaussian_rule(
    points: np.ndarray,
    labels: np.ndarray,
    groups: np.ndarray,
    shrinkage: str | float,
    match_dims: int | None = None,
) -> np.ndarray:
    """Predictions by the log densities of Gaussian classes, refitted without each point's group."""
    predictions = []
    for i in range(len(points)):
        others = [j for j in range(len(points)) if groups[j] != groups[i]]
        units = standardised_fold(principal_components(points, others, match_dims), others)
        means = class_means(units, labels, others)
        within, _ = within_covariance(units, labels, others, shrinkage)
        best, winner = -math.inf, -1
        for c, mean in means.items():
            share = sum(int(labels[j]) == c for j in others) / len(others)
            gap = units[i] - mean
            score = math.log(share) - 0.5 * float(gap @ np.linalg.inv(within) @ gap)
            if score > best:
                best, winner = score, c
        predictions.append(winner)
    return np.array(predictions)


def log_mel_frame(
    wave: np.ndarray, t: int, sample_rate: int, hop: int, window: int, bins: int, n_fft: int
) -> list[float]:
    """One log-Mel frame by the sums of the definitions."""
    begin = t * hop + hop // 2 - window // 2
    power = []
    for f in range(n_fft // 2 + 1):
        total = 0j
        for m in range(window):
            if 0 <= begin + m < len(wave):
                hann = 0.5 - 0.5 * math.cos(2 * math.pi * m / window)
                angle = -2 * math.pi * f * m / n_fft
                total += float(wave[begin + m]) * hann * complex(math.cos(angle), math.sin(angle))
        power.append(abs(total) ** 2)

    top = 2595 * math.log10(1 + sample_rate / 2 / 700)
    corners = [700 * (10 ** (top * b / (bins + 1) / 2595) - 1) for b in range(bins + 2)]
    frame = []
    for b in range(bins):
        low, middle, high = corners[b : b + 3]
        total = 0.0
        for f, p in enumerate(power):
            hertz = f * sample_rate / n_fft
            total += p * max(0.0, min((hertz - low) / (middle - low), (high - hertz) / (high - middle)))
        frame.append(math.log(total + 1e-10))
    return frame
