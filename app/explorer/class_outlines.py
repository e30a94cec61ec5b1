"""Where the classes of a map lie: their means, to which their names are written, and outlines around their middle."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from contourpy import contour_generator

from lvm_probe.analysis.shape_annotations import Float, Shaped

OUTLINED_SHARE = 0.5
"""Share of a class's points within its outline."""
MAX_NAMED = 64
"""With more classes, the names of the most frequent are written."""
MAX_OUTLINED = 16
"""With more classes, none is outlined: the lines would cover each other."""

_LEAST_POINTS = 20  # for an outline
_CELLS = 72  # on either axis of a class's density


@dataclass(frozen=True)
class ClassPlace:
    """The mean of a class's points, and closed lines around the densest half of them."""

    name: str
    mean: tuple[float, float]
    lines: tuple[Float[np.ndarray, "corners 2"], ...] = ()


def class_places(places: Float[np.ndarray, "points 2"], classes: Shaped[np.ndarray, " points"]) -> list[ClassPlace]:
    """The most frequent classes, the largest first, with their outlines where there are few classes."""
    names, codes, counts = np.unique(classes.astype(str), return_inverse=True, return_counts=True)
    found = []
    for code in np.argsort(-counts, kind="stable")[:MAX_NAMED]:
        points = places[codes == code]
        lines = outline(points) if len(names) <= MAX_OUTLINED else ()
        x, y = points.mean(axis=0).tolist()
        found.append(ClassPlace(str(names[code]), (x, y), lines))
    return found


def outline(points: Float[np.ndarray, "points 2"]) -> tuple[Float[np.ndarray, "corners 2"], ...]:
    """Lines around the region of highest density that holds half of the points; none for few points.

    The density is a Gaussian kernel estimate on a grid; its bandwidth is n^(-1/6) standard deviations (Scott 1992).
    """
    spread = points.std(axis=0)
    if len(points) < _LEAST_POINTS or not (spread > 0).all():
        return ()
    bandwidth = spread * len(points) ** (-1 / 6)
    low, high = points.min(axis=0) - 3 * bandwidth, points.max(axis=0) + 3 * bandwidth
    counts, *_ = np.histogram2d(points[:, 0], points[:, 1], bins=_CELLS, range=np.stack([low, high], axis=1))
    centres = low + (high - low) * (np.arange(_CELLS)[:, None] + 0.5) / _CELLS
    across, up = (
        np.exp(-0.5 * ((at[:, None] - at) / width) ** 2) for at, width in zip(centres.T, bandwidth, strict=True)
    )
    density = across @ counts @ up
    falling = np.sort(density, axis=None)[::-1]
    level = float(falling[np.searchsorted(np.cumsum(falling), OUTLINED_SHARE * falling.sum())])
    lines = contour_generator(centres[:, 0], centres[:, 1], density.T, line_type="Separate").lines(level)
    return tuple(np.asarray(line) for line in lines)
