"""Pen strokes as pictures: SVG, and PNG through matplotlib."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from lvm_probe import InputError
from lvm_probe.models.io.files import write_atomically

_WIDTH = 0.012  # of a line, as a share of the geometric mean of the drawing's sides; at least a quarter of that of
# its longer side, for lines that are nearly straight
_MARGIN = 0.05
_LONGER_SIDE = 8.0  # inches
_DOTS_PER_INCH = 150


def polylines(values: np.ndarray) -> list[np.ndarray]:
    """The strokes of a drawing, each as positions x 2 with y downwards; the pen begins at 0, 0.

    Args:
        values: elements pen, dx, dy of every point.

    Raises:
        InputError: there are no points, or values are no finite numbers.

    Example:
        >>> [line.tolist() for line in polylines(np.array([1, 2, 0, 0, 5, 5, 1, 0, 1]))]
        [[[0.0, 0.0], [2.0, 0.0]], [[7.0, 5.0], [7.0, 6.0]]]
    """
    points = np.asarray(values, np.float64).reshape(-1, 3)
    if not len(points) or not np.isfinite(points).all():
        raise InputError("a drawing needs at least one point, and finite numbers only")
    positions = np.concatenate([np.zeros((1, 2)), points[:, 1:].cumsum(0)])
    ends = np.flatnonzero(points[:, 0] > 0.5) + 2
    return [part for part in np.split(positions, ends) if len(part)]


def _frame(lines: list[np.ndarray]) -> tuple[np.ndarray, np.ndarray, float]:
    """Lower corner and size of the picture with its margin, and the width of its lines."""
    every = np.concatenate(lines)
    low, high = every.min(0), every.max(0)
    sides = high - low
    longer = max(float(sides.max()), 1e-6)
    margin = _MARGIN * longer
    return low - margin, sides + 2 * margin, _WIDTH * max(float(np.sqrt(sides.prod())), longer / 4)


def write_svg(path: Path, values: np.ndarray) -> None:
    """Write a drawing as SVG, in the units of its points.

    Args:
        path: ends in .svg; written whole or not at all.
        values: elements pen, dx, dy of every point.
    """
    lines = polylines(values)
    low, size, width = _frame(lines)
    # A dot is a line from a position to itself; of a single position, nothing would be drawn.
    paths = [" ".join(f"{x:.6g},{y:.6g}" for x, y in (*line, *line[: len(line) == 1])) for line in lines]
    body = "".join(f'<polyline points="{one}"/>\n' for one in paths)
    text = (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="{low[0]:.6g} {low[1]:.6g} {size[0]:.6g} {size[1]:.6g}">\n'
        f'<rect x="{low[0]:.6g}" y="{low[1]:.6g}" width="{size[0]:.6g}" height="{size[1]:.6g}" fill="white"/>\n'
        f'<g fill="none" stroke="black" stroke-width="{width:.6g}" stroke-linecap="round" '
        f'stroke-linejoin="round">\n{body}</g>\n</svg>\n'
    )
    with write_atomically(path) as temporary:
        temporary.write_text(text)


def write_png(path: Path, values: np.ndarray) -> None:
    """Write a drawing as PNG, 1200 pixels along its longer side.

    Args:
        path: ends in .png; written whole or not at all.
        values: elements pen, dx, dy of every point.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    lines = polylines(values)
    low, size, width = _frame(lines)
    inches = _LONGER_SIDE * size / size.max()
    figure = Figure(figsize=tuple(np.maximum(inches, 0.2)), dpi=_DOTS_PER_INCH)
    axes = figure.add_axes((0, 0, 1, 1))
    axes.set_axis_off()
    axes.set_xlim(low[0], low[0] + size[0])
    axes.set_ylim(low[1] + size[1], low[1])
    wide = width / size.max() * _LONGER_SIDE * 72  # in points
    for line in lines:
        axes.plot(*line.T, color="black", linewidth=wide, solid_capstyle="round", solid_joinstyle="round")
    dots = np.array([line[0] for line in lines if len(line) == 1]).reshape(-1, 2)
    axes.plot(*dots.T, "o", color="black", markersize=wide, markeredgewidth=0)
    with write_atomically(path) as temporary:
        FigureCanvasAgg(figure).print_png(str(temporary))
