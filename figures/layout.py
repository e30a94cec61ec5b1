"""Places for axes and text, in inches and points, so that nothing overlaps or leaves the figure."""

from collections.abc import Sequence
from functools import cache
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg, RendererAgg
from matplotlib.figure import Figure

from lvm_probe.analysis.shape_annotations import Float
from lvm_probe.figures import style
from lvm_probe.figures.style import DARK, DPI, GREY, SMALL, TWO_COLUMNS

_MARGIN = 0.05  # inches between text and the edge of the figure
_LINE = 0.115  # inches, a line of a note
_ROUNDS = 800  # of pushing labels apart


def axes_in(fig: Figure, left: float, bottom: float, width: float, height: float) -> Axes:
    """Axes at a place in inches from the lower left corner of the figure."""
    across, up = fig.get_size_inches()
    return fig.add_axes((left / across, bottom / up, width / across, height / up))


def single(*, width: float = style.ONE_COLUMN, height: float, head: float) -> tuple[Figure, Axes]:
    """A figure with one panel of this height, with room for ticks and labels, and `head` inches above it."""
    left, foot, right = 0.42, 0.36, 0.1
    fig = Figure(figsize=(width, foot + height + head), dpi=DPI)
    return fig, axes_in(fig, left, foot, width - left - right, height)


def grid(
    n: int, *, per_row: int, tall: float, foot: float, left: float = 0.38, between: float = 0.42, below: float = 0.34
) -> tuple[Figure, list[Axes]]:
    """A figure across both columns with n axes in rows, filled from the upper left, with room for titles and ticks.

    Args:
        n: number of axes.
        per_row: axes next to each other at most; fewer are wider.
        tall: height of the axes in inches, at most 1.02 of their width.
        foot: inches to leave free below everything.
        left: inches left of the first axes.
        between: inches between the axes of one row.
        below: inches below the axes of every row.
    """
    right, head = 0.06, 0.22
    columns = min(n, per_row)
    rows = -(-n // columns)
    across = (TWO_COLUMNS - left - right - between * (columns - 1)) / columns
    tall = min(tall, 1.02 * across)
    pitch = below + tall + head
    fig = Figure(figsize=(TWO_COLUMNS, foot + rows * pitch), dpi=DPI)
    places = [divmod(i, columns) for i in range(n)]
    return fig, [
        axes_in(fig, left + column * (across + between), foot + (rows - 1 - row) * pitch + below, across, tall)
        for row, column in places
    ]


def share_height(places: Sequence[Axes]) -> None:
    """Give axes that begin at 0 the height of the tallest."""
    top = max(ax.get_ylim()[1] for ax in places)
    for ax in places:
        ax.set_ylim(0, top)


def legend_below(fig: Figure, ax: Axes) -> None:
    """Name what is drawn in these axes in one row along the lower edge of the figure."""
    marks, names = ax.get_legend_handles_labels()
    fig.legend(marks, names, loc="lower center", ncols=len(names), handlelength=3.2, columnspacing=1.6,
               borderaxespad=0.2)  # fmt: skip


def root_figure(ax: Axes) -> Figure:
    """The figure that the axes are in."""
    fig = ax.get_figure(root=True)
    if fig is None:
        raise ValueError("these axes are in no figure")
    return fig


def size_in_points(ax: Axes) -> tuple[float, float]:
    """Width and height of axes in points."""
    box = ax.get_window_extent()
    scale = 72 / root_figure(ax).dpi
    return box.width * scale, box.height * scale


def renderer(fig: Figure) -> RendererAgg:
    """What measures text of this figure, in pixels at the figure's resolution."""
    canvas = fig.canvas if isinstance(fig.canvas, FigureCanvasAgg) else FigureCanvasAgg(fig)
    return canvas.get_renderer()


@cache
def text_width(text: str, size: float) -> float:
    """Width of a line of text at this font size, in inches."""
    with style.theme():
        fig = Figure(dpi=DPI)
        return fig.text(0, 0, text, fontsize=size).get_window_extent(renderer(fig)).width / DPI


def wrapped(text: str, width: float, size: float) -> str:
    """The text broken between words into lines of at most `width` inches at this font size."""
    lines: list[str] = []
    for word in text.split():
        longer = f"{lines[-1]} {word}" if lines else word
        if lines and text_width(longer, size) <= width:
            lines[-1] = longer
        else:
            lines.append(word)
    return "\n".join(lines)


def note(text: str, width: float) -> tuple[str, float]:
    """A note below a figure of this width, wrapped, and the height that it needs, in inches."""
    lines = wrapped(text, width - 2 * _MARGIN, SMALL)
    return lines, _MARGIN + _LINE * (lines.count("\n") + 1)


def write_note(fig: Figure, lines: str) -> None:
    """Write a wrapped note along the lower edge of the figure."""
    across, up = fig.get_size_inches()
    fig.text(_MARGIN / across, _MARGIN / up, lines, fontsize=SMALL, va="bottom", linespacing=1.15, color=DARK)


def label_points(
    ax: Axes,
    texts: Sequence[str],
    points: Float[np.ndarray, "labels 2"],
    colours: Sequence[str],
    *,
    marks: Float[np.ndarray, "marks 2"],
    mark_size: float,
    offsets: Float[np.ndarray, "labels 2"] | float = 0.0,
    fontsize: float = SMALL,
    bold: bool = True,
) -> None:
    """Write labels near points, pushed off each other and off the marks; a thin line leads from those far away.

    Args:
        ax: where; its limits and size must be final.
        texts: the labels.
        points: what they label, in the units of the data.
        colours: of the labels.
        marks: what the labels should not hide, in the units of the data.
        mark_size: width of a mark, in points.
        offsets: where each label should be, in points from what it labels.
        fontsize: in points.
        bold: whether the labels are bold and on a pale ground.
    """
    if not len(texts):
        return
    fig = root_figure(ax)
    measure, pixels = renderer(fig), fig.dpi / 72
    ground = {"boxstyle": "square,pad=0.04", "facecolor": "white", "edgecolor": "none", "alpha": 0.6}
    line = {"arrowstyle": "-", "color": GREY, "linewidth": 0.4, "shrinkA": 0, "shrinkB": 1.0}
    labels = [
        ax.annotate(
            text, point, xytext=(0, 0), textcoords="offset points", ha="center", va="center", zorder=5, color=colour,
            fontsize=fontsize, fontweight="bold" if bold else "normal", bbox=ground if bold else None, arrowprops=line,
            annotation_clip=False,
        )
        for text, point, colour in zip(texts, points.tolist(), colours, strict=True)
    ]  # fmt: skip
    boxes = [label.get_window_extent(measure) for label in labels]  # before they are moved, these hold no lines
    sizes = np.array([[box.width, box.height] for box in boxes]) + 1.4 * pixels
    anchors = ax.transData.transform(points)
    frame = ax.get_window_extent(measure)
    bounds = np.array([[frame.x0, frame.y0], [frame.x1, frame.y1]])
    centres = spread(
        anchors + pixels * np.asarray(offsets), sizes, bounds, marks=ax.transData.transform(marks),
        mark_size=mark_size * pixels,
    )  # fmt: skip
    near = SMALL + np.hypot(*np.broadcast_to(np.abs(offsets), points.shape).T) / 2
    for label, offset, limit in zip(labels, (centres - anchors) / pixels, near, strict=True):
        label.set_position(tuple(offset))
        if np.hypot(*offset) < limit and label.arrow_patch is not None:
            label.arrow_patch.set_visible(False)


def spread(
    anchors: Float[np.ndarray, "boxes 2"],
    sizes: Float[np.ndarray, "boxes 2"],
    bounds: Float[np.ndarray, "2 2"],
    *,
    marks: Float[np.ndarray, "marks 2"] | None = None,
    mark_size: float = 0.0,
) -> Float[np.ndarray, "boxes 2"]:
    """Centres for boxes near their anchors that do not overlap, inside the bounds, if there is room.

    Boxes that overlap push each other apart by half the overlap each, mostly along the axis that needs less. A weak
    pull towards the anchors and a weak push off the marks fade out halfway. Nothing here is random.

    Args:
        anchors: where each box would like its centre.
        sizes: width and height of each box.
        bounds: lower and upper corner.
        marks: centres of what the boxes should not hide.
        mark_size: width and height of a mark.
    """
    # Boxes on the very same anchor need a direction: a tiny spiral gives each its own.
    turn = 2.4 * np.arange(len(anchors))
    centres = anchors + 1e-3 * np.sqrt(turn)[:, None] * np.column_stack([np.cos(turn), np.sin(turn)])
    reach = (sizes[:, None] + sizes[None]) / 2
    reach[np.arange(len(reach)), np.arange(len(reach))] = 0  # a box does not push itself
    for i in range(_ROUNDS):
        weak = max(0.0, 1 - 2 * i / _ROUNDS)
        push = 0.5 * _pushes(centres, centres, reach)
        if not weak and not push.any():
            break
        push += weak * 0.04 * (anchors - centres)
        if marks is not None:
            push += weak * 0.15 * _pushes(centres, marks, (sizes[:, None] + mark_size) / 2)
        centres = np.clip(centres + push, bounds[0] + sizes / 2, bounds[1] - sizes / 2)
    return centres


def _pushes(
    centres: Float[np.ndarray, "boxes 2"],
    others: Float[np.ndarray, "others 2"],
    reach: Float[np.ndarray, "boxes #others 2"],
) -> Float[np.ndarray, "boxes 2"]:
    """The sum over the others of what moves each box off them, mostly along the axis that needs less."""
    # Two in the same place (the bounds can cause that) part by their order.
    later = np.where(np.arange(len(centres))[:, None] > np.arange(len(others)), 1.0, -1.0)
    apart = [centres[:, None, axis] - others[:, axis] for axis in (0, 1)]
    x, y = (np.clip(reach[..., axis] - np.abs(apart[axis]), 0, None) for axis in (0, 1))
    overlaps = (x > 0) & (y > 0)
    # A little along the other axis too, or full columns against the bounds would stay as they are.
    shares = (np.where(x > y, 0.1, 1.0) * x * overlaps, np.where(y > x, 0.1, 1.0) * y * overlaps)
    sides = (np.where(gap == 0, later, np.sign(gap)) for gap in apart)
    return np.column_stack([(side * share).sum(axis=1) for side, share in zip(sides, shares, strict=True)])


def label_ends(
    ax: Axes, texts: Sequence[str], ends: Float[np.ndarray, "curves 2"], colours: Sequence[str], *, leader: float
) -> None:
    """Write the name of each curve right of the axes, `leader` points from them, moved up or down to avoid overlaps.

    Args:
        ax: where; its limits and size must be final.
        texts: the names.
        ends: of the curves, in the units of the data, from the lowest to the highest.
        colours: of the names.
        leader: length of the lines that lead to the names.
    """
    fig = root_figure(ax)
    pixels = fig.dpi / 72
    box = ax.get_window_extent(renderer(fig))
    at = ax.transData.transform(ends)
    heights = separated(at[:, 1], 1.2 * style.NORMAL * pixels, box.y0, box.y1)
    for text, end, (x, y), height, colour in zip(texts, ends.tolist(), at, heights, colours, strict=True):
        line: dict[str, Any] = {"arrowstyle": "-", "color": colour, "linewidth": 0.5, "shrinkA": 1, "shrinkB": 2}
        ax.annotate(
            text, end, xytext=((box.x1 - x) / pixels + leader, (height - y) / pixels), textcoords="offset points",
            va="center", color=colour, annotation_clip=False, fontsize=style.NORMAL,
            arrowprops=line | {"relpos": (0, 0.5)},
        )  # fmt: skip


def separated(
    wanted: Float[np.ndarray, " places"], gap: float, low: float, high: float
) -> Float[np.ndarray, " places"]:
    """Ascending places nearest the wanted ones (ascending) with at least `gap` between them, inside the bounds.

    Least squares under order constraints: with i * gap taken off, the places must not descend, and runs that would
    are pooled at their mean.
    """
    gap = min(gap, (high - low) / max(len(wanted) - 1, 1))
    steps = gap * np.arange(len(wanted))
    runs: list[list[float]] = []
    for place in wanted - steps:
        runs.append([place])
        while len(runs) > 1 and np.mean(runs[-2]) > np.mean(runs[-1]):
            last = runs.pop()
            runs[-1] += last
    pooled = np.concatenate([np.full(len(run), np.mean(run)) for run in runs])
    return np.clip(pooled, low, high - steps[-1]) + steps
