"""Slow oracles of the other probes: plain loops over triples, folds and penalties, fitted from scratch.

They share no code with what they check. ABX visits every triple, leave-one-out refits, and logistic regression
goes down its gradient until it lies flat.
"""

import math

import numpy as np


def distance(a: np.ndarray, b: np.ndarray, kind: str) -> float:
    if kind == "euclidean":
        return math.sqrt(sum((x - y) ** 2 for x, y in zip(a.tolist(), b.tolist(), strict=True)))
    dot, aa, bb = 0.0, 0.0, 0.0
    for x, y in zip(a.tolist(), b.tolist(), strict=True):
        dot, aa, bb = dot + x * y, aa + x * x, bb + y * y
    return 1 - dot / math.sqrt(aa * bb)


def abx_triples(
    points: np.ndarray,
    labels: np.ndarray,
    groups: np.ndarray,
    contexts: np.ndarray,
    mode: str,
    kind: str,
    prompts: np.ndarray | None = None,
) -> dict[tuple[int, int, int, int, int], list[float]]:
    """The errors 0, 1/2 and 1 of every triple, by (a, b, speaker of A and B, speaker of X, context)."""
    n = len(points)
    cells: dict[tuple[int, int, int, int, int], list[float]] = {}
    for x in range(n):
        for a in range(n):
            if a == x or labels[a] != labels[x] or contexts[a] != contexts[x]:
                continue
            if (groups[a] == groups[x]) != (mode == "within"):
                continue
            if prompts is not None and prompts[a] == prompts[x]:
                continue
            for b in range(n):
                if labels[b] == labels[x] or groups[b] != groups[a] or contexts[b] != contexts[x]:
                    continue
                if prompts is not None and prompts[b] == prompts[x]:
                    continue
                to_a, to_b = distance(points[a], points[x], kind), distance(points[b], points[x], kind)
                key = (int(labels[a]), int(labels[b]), int(groups[a]), int(groups[x]), int(contexts[x]))
                error = 0.5 if abs(to_a - to_b) < 1e-12 else float(to_a > to_b)
                cells.setdefault(key, []).append(error)
    return cells


def abx_by_group(cells: dict[tuple[int, int, int, int, int], list[float]]) -> dict[tuple[int, int, int], float]:
    """By (a, b, speaker of A and B): means over triples, then contexts, then speakers of X."""
    means: dict[tuple[int, ...], float] = {key: sum(errors) / len(errors) for key, errors in cells.items()}
    for _ in range(2):
        stages: dict[tuple[int, ...], list[float]] = {}
        for key, mean in means.items():
            stages.setdefault(key[:-1], []).append(mean)
        means = {key: sum(some) / len(some) for key, some in stages.items()}
    return {(a, b, group): mean for (a, b, group), mean in means.items()}


def abx_error(cells: dict[tuple[int, int, int, int, int], list[float]]) -> float:
    """Over the speakers of A and B, then over the pairs of labels."""
    pairs: dict[tuple[int, int], list[float]] = {}
    for (a, b, _), mean in abx_by_group(cells).items():
        pairs.setdefault((a, b), []).append(mean)
    return sum(sum(some) / len(some) for some in pairs.values()) / len(pairs)


def shares(groups: np.ndarray, rows: list[int]) -> dict[int, float]:
    """The weight of each row: those of a group sum to 1."""
    return {j: 1 / sum(bool(groups[i] == groups[j]) for i in rows) for j in rows}


def stratum_means(columns: np.ndarray, strata: np.ndarray, weight: dict[int, float], rows: list[int]) -> np.ndarray:
    """For every token the weighted mean of its stratum among these rows."""
    means = []
    for i in range(len(columns)):
        inside = [j for j in rows if strata[j] == strata[i]]
        means.append(sum(weight[j] * columns[j] for j in inside) / sum(weight[j] for j in inside))
    return np.array(means)


def scales(points: np.ndarray, strata: np.ndarray, weight: dict[int, float]) -> np.ndarray:
    """The weighted deviation of every feature about its strata's means, among the rows that weigh."""
    rows = list(weight)
    left = points - stratum_means(points, strata, weight, rows)
    return np.sqrt(sum(weight[j] * left[j] ** 2 for j in rows) / sum(weight.values()))


def ridge(
    points: np.ndarray,
    values: np.ndarray,
    strata: np.ndarray,
    groups: np.ndarray,
    rows: list[int],
    units: np.ndarray,
    penalties: tuple[float, ...],
) -> np.ndarray:
    """Predictions of all tokens by ridge fitted to some, the penalty chosen by refits without each unit.

    It minimises Σ weight (left - space w)² + penalty Σ weight |w|². Weights and scales are those of all the rows.
    """
    weight = shares(groups, rows)
    scale, total = scales(points, strata, weight), sum(weight.values())

    def fitted(kept: list[int], penalty: float) -> np.ndarray:
        space = (points - stratum_means(points, strata, weight, kept)) / scale
        means = stratum_means(values, strata, weight, kept)
        normal, right = penalty * total * np.eye(space.shape[1]), np.zeros(space.shape[1])
        for j in kept:
            normal += weight[j] * np.outer(space[j], space[j])
            right += weight[j] * space[j] * (values[j] - means[j])
        return means + space @ np.linalg.solve(normal, right)

    best, chosen = math.inf, penalties[0]
    for penalty in sorted(penalties, reverse=True):
        loss = 0.0
        for unit in sorted({int(units[j]) for j in rows}):
            kept = [j for j in rows if units[j] != unit]
            if {int(strata[j]) for j in kept} != {int(strata[j]) for j in rows}:
                continue
            predicted = fitted(kept, penalty)
            loss += sum(weight[j] * (values[j] - predicted[j]) ** 2 for j in rows if units[j] == unit)
        if loss < best:
            best, chosen = loss, penalty
    return fitted(rows, chosen)


def logistic_scores(
    train: np.ndarray, labels: np.ndarray, others: np.ndarray, strength: float
) -> tuple[np.ndarray, np.ndarray]:
    """The classes, and the log probabilities that a fit of this C gives the others; by plain gradient descent."""
    classes = np.unique(labels)
    mean, scale = train.mean(axis=0), train.std(axis=0)
    x, z = ((np.column_stack([(p - mean) / scale, np.ones(len(p))])) for p in (train, others))
    truth = (labels[:, None] == classes).astype(float)
    weights = np.zeros((x.shape[1], len(classes)))
    penalty = np.append(np.full(train.shape[1], 1 / strength), 0.0)[:, None]
    step = 1 / (np.linalg.eigvalsh(x.T @ x)[-1] / 2 + 1 / strength)
    gradient = np.ones_like(weights)
    while np.abs(gradient).max() > 1e-7 * len(x):
        gradient = x.T @ (_softmax(x @ weights) - truth) + penalty * weights
        weights -= step * gradient
    return classes, np.log(_softmax(z @ weights))


def _softmax(scores: np.ndarray) -> np.ndarray:
    powers = np.exp(scores - scores.max(axis=1, keepdims=True))
    return powers / powers.sum(axis=1, keepdims=True)
