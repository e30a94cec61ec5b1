"""How long phonemes last, of one speaker and of all: the paper's figure 11.

On a logarithmic axis, for durations span a factor of forty and vary in proportion to themselves.
"""

from __future__ import annotations

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FixedLocator, NullLocator

from lvm_probe import InputError
from lvm_probe.figures import style
from lvm_probe.figures.inputs import LeftOut, Material
from lvm_probe.probing.questions.question import Question
from lvm_probe.probing.questions.rows import select_rows

NAME = "durations"
TITLE = "Durations of phonemes (figure 11)"

COLUMNS = ("speaker", "label", "ms", "shown")
"""What is drawn of a row."""

FEW = 5
"""Of fewer tokens the tokens themselves are drawn, for they have no quartiles worth the name."""

_WHISKERS = (5, 95)  # per cent
_TICKS = (5, 10, 20, 50, 100, 200, 500, 1000, 2000)
_HEIGHT = 1.75  # inches
_COUNTS = 0.21  # inches above the axes


def data(material: Material) -> pd.DataFrame:
    """Every phoneme without the silences: token_id, speaker, label, ms, and whether it is of the speaker who is shown.

    Raises LeftOut without phonemes.
    """
    speaker = material.one_speaker()
    try:
        tokens = select_rows(material.table, Question()).table.tokens
    except InputError as error:
        raise LeftOut(str(error)) from None
    ms = 1000 * (tokens["end"] - tokens["start"]) / tokens["sample_rate"]
    return tokens[["token_id", "speaker", "label"]].assign(ms=ms, shown=tokens["speaker"] == speaker)


def draw(
    ax: Axes, data: pd.DataFrame, *, order: list[str] | None = None, span: tuple[float, float] | None = None
) -> None:
    """Draw a box for each phoneme, with its number of tokens above the axes.

    A box reaches from quartile to quartile, its line is the median, and the whiskers end at 5 and 95 %.

    Args:
        ax: where; its limits are set here.
        data: columns label and ms.
        order: the phonemes from left to right, whether the data has them or not; None: as `ordered`.
        span: lowest and highest duration on the axis, in ms; None: those that are drawn.

    Raises:
        InputError: columns missing, or a duration that is not positive.
    """
    _check(data, ("label", "ms"))
    order = ordered(data) if order is None else order
    low, high = span or _span(data)
    looks = style.phone_looks(order)
    with style.applied():
        ax.grid(axis="y")
        for i, label in enumerate(order):
            ms = data.loc[data["label"] == label, "ms"].to_numpy(float)
            _draw_box(ax, i, ms, looks[label].colour)
            ax.annotate(f"{len(ms):,}" if len(ms) else "–", (i, 1), (0, 3), xycoords=("data", "axes fraction"),
                        textcoords="offset points", rotation=90, ha="center", va="bottom", fontsize=0.8 * style.SMALL,
                        color=style.GREY)  # fmt: skip
        groups = [looks[label].group for label in order]
        for i in range(1, len(order)):
            if groups[i] != groups[i - 1]:
                ax.axvline(i - 0.5, color="#b5b5b5", linewidth=0.5, zorder=0.5)
        ax.set_yscale("log")
        low, high = low / 1.15, high * 1.15
        ax.set(xlim=(-0.7, len(order) - 0.3), ylim=(low, high), ylabel="duration (ms)")
        ax.yaxis.set_major_locator(FixedLocator([tick for tick in _TICKS if low <= tick <= high]))
        ax.yaxis.set_minor_locator(NullLocator())
        ax.yaxis.set_major_formatter("{x:g}")
        ax.set_xticks(range(len(order)), order, rotation=90)
        for tick, label in zip(ax.get_xticklabels(), order, strict=True):
            tick.set_color(style.blend(looks[label].colour, "black", 0.3))


def figure(data: pd.DataFrame) -> Figure:
    """The one speaker above all speakers, with the same axes; of a table of one speaker, that one."""
    _check(data, COLUMNS)
    order = ordered(data)
    shown = data[data["shown"]]
    speakers = data["speaker"].nunique()
    panels = {f"speaker {shown['speaker'].iloc[0]}, {len(shown):,} tokens": shown} if len(shown) else {}
    if speakers > 1:
        panels[f"all {speakers} speakers, {len(data):,} tokens"] = data
    lows, highs = zip(*map(_span, panels.values()), strict=True)
    wide, left = style.TWO_COLUMNS, 0.42
    text = (
        "Boxes: quartiles and median; whiskers: 5 and 95 %; crosses: the tokens themselves, of fewer than "
        f"{FEW}. Grey figures: tokens. Ordered by manner of articulation, then by the median of all."
    )
    below, between = 0.32, _COUNTS + 0.28
    with style.applied():
        text = style.wrapped(text, wide - 0.1, style.SMALL)
        foot = style.foot_height(text)
        names = _group_names(order)
        high = foot + below + 0.14 + len(panels) * (_HEIGHT + between)
        fig = Figure(figsize=(wide, high), dpi=style.DPI)
        for i, (title, rows) in enumerate(panels.items()):
            up = foot + below + 0.14 + (len(panels) - 1 - i) * (_HEIGHT + between)
            ax = style.axes_in(fig, left, up, wide - left - 0.06, _HEIGHT)
            draw(ax, rows, order=order, span=(min(lows), max(highs)))
            ax.set_title(title, pad=4 + 72 * _COUNTS)
            if i < len(panels) - 1:
                ax.tick_params(labelbottom=False)
                continue
            for place, name in names:
                ax.annotate(name, (place, 0), (0, -26), xycoords=("data", "axes fraction"),
                            textcoords="offset points", ha="center", va="top", fontsize=style.SMALL,
                            fontstyle="italic", color="#333333", annotation_clip=False)  # fmt: skip
        style.foot(fig, text)
    return fig


def caption(data: pd.DataFrame, material: Material) -> str:
    """What is shown, of whom, and what the boxes are."""
    shown = data[data["shown"]]
    speakers = data["speaker"].nunique()
    whole = f"{len(data):,} tokens of {data['label'].nunique()} phonemes without silences"
    who = (
        f"of speaker {shown['speaker'].iloc[0]} ({len(shown):,} tokens of {shown['label'].nunique()} phonemes) and "
        f"of all {speakers} speakers ({whole})"
        if speakers > 1
        else f"of speaker {data['speaker'].iloc[0]} ({whole})"
    )
    least, most = np.percentile(data["ms"], [1, 99])
    return (
        f"Durations of phonemes as labelled, {who}, on a logarithmic axis. Boxes from quartile to quartile with "
        f"the median, whiskers from 5 to 95 %; of fewer than {FEW} tokens, the tokens. 98 % of all last from "
        f"{least:.0f} to {most:.0f} ms."
    )


def ordered(data: pd.DataFrame) -> list[str]:
    """The phonemes by manner of articulation, in the order of all legends, and then by their median duration."""
    looks = style.phone_looks(data["label"].astype(str))
    groups = list(dict.fromkeys(look.group for look in looks.values()))
    medians = data.groupby("label")["ms"].median()
    return sorted(looks, key=lambda label: (groups.index(looks[label].group), medians[label], label))


def _ends(ms: np.ndarray) -> np.ndarray:
    """Lowest and highest of what is drawn of one phoneme: the whiskers' ends, or the tokens."""
    return np.percentile(ms, (0, 100) if len(ms) < FEW else _WHISKERS)


def _span(data: pd.DataFrame) -> tuple[float, float]:
    """Lowest and highest of what is drawn of all phonemes, in ms."""
    ends = np.array([_ends(ms.to_numpy(float)) for _, ms in data.groupby("label")["ms"]])
    return float(ends.min()), float(ends.max())


def _draw_box(ax: Axes, x: float, ms: np.ndarray, colour: str) -> None:
    if len(ms) < FEW:
        at = np.full(len(ms), x)
        ax.plot(at, ms, linestyle="none", marker="x", markersize=2.4, markeredgewidth=0.7, color=colour)
        return
    (low, high), (first, median, third) = _ends(ms), np.percentile(ms, [25, 50, 75])
    ax.plot([x, x, np.nan, x, x], [low, first, np.nan, third, high], color=colour, linewidth=0.8, solid_capstyle="butt")
    ax.bar(x, third - first, 0.66, bottom=first, color=style.blend(colour, "white", 0.55), edgecolor=colour,
           linewidth=0.6)  # fmt: skip
    ax.plot([x - 0.33, x + 0.33], [median, median], color=colour, linewidth=1.4, solid_capstyle="butt")


def _group_names(order: list[str]) -> list[tuple[float, str]]:
    """The middle of each manner's run of phonemes, and its name; none where labels have no manner."""
    looks = style.phone_looks(order)
    runs: dict[str, list[int]] = {}
    for i, label in enumerate(order):
        runs.setdefault(looks[label].group, []).append(i)
    return [(float(np.mean(places)), name) for name, places in runs.items() if list(runs) != ["other"]]


def _check(data: pd.DataFrame, columns: tuple[str, ...]) -> None:
    if missing := [name for name in columns if name not in data]:
        raise InputError(f"durations lack the columns {', '.join(missing)}; give what data returns")
    if data.empty or not (data["ms"] > 0).all():
        raise InputError(f"{len(data)} durations: none, or some are not positive; extract the table again")
