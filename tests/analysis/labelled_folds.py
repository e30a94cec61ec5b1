"""Labelled points and folds for the tests of LDA, and the moments of single folds."""

from collections.abc import Iterator
from dataclasses import fields

import numpy as np

from lvm_probe.analysis.moments import Moments, Rows, moments_without


def labelled(n: int, dims: int, classes: int, *, seed: int = 0, spread: float = 1.0):
    """Correlated classes on scales from 0.01 to 100, the last class a singleton."""
    rng = np.random.default_rng(seed)
    labels = np.append(rng.permutation(np.arange(n - 1) % (classes - 1)), classes - 1)
    points = rng.normal(size=(n, dims)) @ rng.normal(size=(dims, dims)) / np.sqrt(dims)
    points += spread * rng.normal(size=(classes, dims))[labels]
    return points * 10 ** rng.uniform(-2, 2, size=dims) + rng.normal(size=dims), labels


def without(n: int, *rows: int) -> list[int]:
    return [j for j in range(n) if j not in rows]


def each(n: int) -> list[np.ndarray]:
    return list(np.arange(n)[:, None])


def mixed(labels: np.ndarray) -> list[np.ndarray]:
    """Folds of one point, of a few, of a whole class, of the singleton among others, and of three points in four."""
    n = len(labels)
    whole_class = np.flatnonzero(labels == labels[0])
    return [np.array([3]), np.array([1, 9, 20]), whole_class, np.array([n - 1, 2]), np.arange(n)[np.arange(n) % 4 > 0]]


def folds_without(points: np.ndarray, codes: np.ndarray, n_classes: int, folds: list[Rows]) -> Iterator[Moments]:
    """The moments of each fold on its own."""
    for some, stack in moments_without(points, codes, n_classes, folds):
        for i in range(len(some)):
            yield Moments(*(np.asarray(getattr(stack, field.name)[i]) for field in fields(Moments)))
