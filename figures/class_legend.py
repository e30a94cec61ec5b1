"""The legend of many classes: lines of marks and labels, in groups by manner of articulation."""

from __future__ import annotations

from collections.abc import Mapping

from matplotlib.figure import Figure

from lvm_probe.figures import layout, style

_LINE = 8.0  # points
_AREA = 10.0  # points squared

Cell = tuple[float, str, style.ClassStyle | None]
"""Place in points, text, and the style of a label; the name of a group has none."""


def legend_lines(styles: Mapping[str, style.ClassStyle], width: float) -> list[list[Cell]]:
    """The cells of the legend in lines of at most `width` inches.

    A group goes to the next line where it does not fit on this one; a group longer than a line is broken between
    labels and indented.
    """
    wide = 72 * width
    groups = list(dict.fromkeys(one.group for one in styles.values()))
    lines: list[list[Cell]] = [[]]
    x = 0.0
    for group in groups:
        names: list[tuple[str, style.ClassStyle | None]] = [] if groups == ["other"] else [(group, None)]
        names += [(label, one) for label, one in styles.items() if one.group == group]
        sizes = [72 * layout.text_width(text, style.SMALL) + (14 if one else 6) for text, one in names]
        if lines[-1] and x + sum(sizes) > wide:
            lines.append([])
            x = 0.0
        for (text, one), size in zip(names, sizes, strict=True):
            if lines[-1] and x + size > wide:
                lines.append([])
                x = 12.0
            lines[-1].append((x, text, one))
            x += size
        x += 8.0
    return lines


def height(lines: list[list[Cell]]) -> float:
    """Height of the legend in inches."""
    return (len(lines) * _LINE + 4) / 72


def draw_legend(fig: Figure, bottom: float, lines: list[list[Cell]]) -> None:
    """Draw the lines across the figure, `bottom` inches above its lower edge."""
    ax = layout.axes_in(fig, 0.05, bottom, fig.get_figwidth() - 0.1, height(lines))
    wide, tall = layout.size_in_points(ax)
    ax.set(xlim=(0, wide), ylim=(-tall, 0))
    ax.axis("off")
    for i, line in enumerate(lines):
        y = -(i + 0.5) * _LINE
        for x, text, one in line:
            if one is None:
                ax.text(x, y, text, fontsize=style.SMALL, fontstyle="italic", va="center_baseline", color=style.DARK)
            else:
                style.draw_marks(ax, [x + 4], [y], one, area=_AREA)
                ax.text(x + 10, y, text, fontsize=style.SMALL, va="center_baseline")
