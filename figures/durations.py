"""How long phonemes last, for one speaker and for all (Havtorn et al. 2022, figure 11).

On a logarithmic axis, because durations span a factor of forty and vary in proportion to themselves.
"""

from __future__ import annotations

import numpy as np
import pandas as pd
import seaborn as sns
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FixedLocator, NullLocator

from lvm_probe import InputError
from lvm_probe.figures import layout, style
from lvm_probe.figures.inputs import FigureInputs, check_columns
from lvm_probe.probing.questions.rows import select_rows

NAME = "durations"
TITLE = "Durations of phonemes (as figure 11 of Havtorn et al. 2022)"

COLUMNS = ("speaker", "label", "ms", "shown")
"""The columns that are drawn; `shown` marks the tokens of the one speaker."""

FEW = 5
"""Phonemes with fewer tokens are drawn token by token: quartiles would mean little."""

_WHISKERS = (5, 95)  # per cent
_TICKS = (5, 10, 20, 50, 100, 200, 500, 1000, 2000)
_HEIGHT = 1.75  # inches
_COUNTS = 0.21  # inches above the axes


def data(inputs: FigureInputs) -> pd.DataFrame:
    """Every phoneme without silences: token_id, speaker, label, ms, and whether it is the shown speaker's.

    Raises:
        InputError: no phonemes.
    """
    speaker = inputs.one_speaker()
    tokens = select_rows(inputs.table, inputs.question()).table.tokens
    ms = 1000 * (tokens["end"] - tokens["start"]) / tokens["sample_rate"]
    return tokens[["token_id", "speaker", "label"]].assign(ms=ms, shown=tokens["speaker"] == speaker)


def draw(
    ax: Axes, data: pd.DataFrame, *, order: list[str] | None = None, span: tuple[float, float] | None = None
) -> None:
    """Draw a box for each phoneme, with its number of tokens above the axes.

    A box extends from quartile to quartile with a line at the median; the whiskers reach the outermost tokens within 5
    and 95 %.

    Args:
        ax: where; its limits are set here.
        data: columns label and ms.
        order: the phonemes from left to right, including any that the data lack; None: as `ordered`.
        span: lowest and highest duration on the axis, in ms; None: those that are drawn.

    Raises:
        InputError: columns missing, or a duration that is not positive.
    """
    _check(data, ("label", "ms"))
    order = ordered(data) if order is None else order
    low, high = span or _span(data)
    low, high = low / 1.15, high * 1.15
    styles = style.phone_styles(order)
    counts = data["label"].value_counts().reindex(order, fill_value=0)
    few = data["label"].map(counts) < FEW
    shared = {"x": "label", "y": "ms", "hue": "label", "order": order, "hue_order": order, "legend": False, "ax": ax}
    colours = {label: one.colour for label, one in styles.items()}
    pale = {label: one.paler(0.45) for label, one in styles.items()}
    with style.theme():
        ax.grid(axis="y")
        sns.boxplot(data[~few], palette=pale, saturation=1, whis=_WHISKERS, showfliers=False, showcaps=False,
                    width=0.66, linewidth=0.6, linecolor=style.DARK, **shared)  # fmt: skip
        sns.stripplot(data[few], palette=colours, jitter=False, marker="x", size=2.6, linewidth=0.7, **shared)
        for i, (label, count) in enumerate(counts.items()):
            ax.annotate(f"{count:,}" if count else "–", (i, 1), (0, 3), xycoords=("data", "axes fraction"),
                        textcoords="offset points", rotation=90, ha="center", va="bottom", fontsize=0.8 * style.SMALL,
                        color=style.GREY)  # fmt: skip
            if i and styles[str(label)].group != styles[order[i - 1]].group:
                ax.axvline(i - 0.5, color=style.PALE, linewidth=0.5, zorder=0.5)
        ax.set_yscale("log")
        ax.set(xlim=(-0.7, len(order) - 0.3), ylim=(low, high), xlabel="", ylabel="duration (ms)")
        ax.yaxis.set_major_locator(FixedLocator([tick for tick in _TICKS if low <= tick <= high]))
        ax.yaxis.set_minor_locator(NullLocator())
        ax.yaxis.set_major_formatter("{x:g}")
        ax.set_xticks(range(len(order)), order, rotation=90)
        for tick, label in zip(ax.get_xticklabels(), order, strict=True):
            tick.set_color(styles[label].text_colour)


def figure(data: pd.DataFrame) -> Figure:
    """The one speaker above all speakers, with the same axes; a single panel for a table of one speaker."""
    _check(data, COLUMNS)
    order = ordered(data)
    shown = data[data["shown"]]
    speakers = data["speaker"].nunique()
    panels = {f"speaker {shown['speaker'].iloc[0]}, {len(shown):,} tokens": shown} if len(shown) else {}
    if speakers > 1:
        panels[f"all {speakers} speakers, {len(data):,} tokens"] = data
    lows, highs = zip(*map(_span, panels.values()), strict=True)
    text = f"Crosses: single tokens of phonemes with fewer than {FEW}. Grey: number of tokens."
    wide, left, below, between = style.TWO_COLUMNS, 0.42, 0.32, _COUNTS + 0.28
    with style.theme():
        text, foot = layout.note(text, wide)
        high = foot + below + 0.14 + len(panels) * (_HEIGHT + between)
        fig = Figure(figsize=(wide, high), dpi=style.DPI)
        for i, (title, rows) in enumerate(panels.items()):
            up = foot + below + 0.14 + (len(panels) - 1 - i) * (_HEIGHT + between)
            ax = layout.axes_in(fig, left, up, wide - left - 0.06, _HEIGHT)
            draw(ax, rows, order=order, span=(min(lows), max(highs)))
            ax.set_title(title, pad=4 + 72 * _COUNTS)
            if i < len(panels) - 1:
                ax.tick_params(labelbottom=False)
        for place, name in _group_names(order):
            ax.annotate(name, (place, 0), (0, -26), xycoords=("data", "axes fraction"), textcoords="offset points",
                        ha="center", va="top", fontsize=style.SMALL, fontstyle="italic", color=style.DARK,
                        annotation_clip=False)  # fmt: skip
        layout.write_note(fig, text)
    return fig


def caption(data: pd.DataFrame, inputs: FigureInputs) -> str:
    """What is shown, of whom, and what the boxes are."""
    shown = data[data["shown"]]
    speakers = data["speaker"].nunique()
    everything = f"{len(data):,} tokens of {data['label'].nunique()} phonemes without silences"
    who = (
        f"of speaker {shown['speaker'].iloc[0]} ({len(shown):,} tokens of {shown['label'].nunique()} phonemes) and "
        f"of all {speakers} speakers ({everything})"
        if speakers > 1
        else f"of speaker {data['speaker'].iloc[0]} ({everything})"
    )
    least, most = np.percentile(data["ms"], [1, 99])
    return (
        f"Durations of phonemes as labelled, {who}, on a logarithmic axis. Boxes from quartile to quartile with the "
        "median, whiskers from 5 to 95 %. Ordered by manner of articulation, then by median duration over all "
        "tokens. 98 % of all tokens last "
        f"from {least:.0f} to {most:.0f} ms."
    )


def ordered(data: pd.DataFrame) -> list[str]:
    """The phonemes by manner of articulation, in the order of all legends, and then by their median duration."""
    styles = style.phone_styles(data["label"].astype(str))
    groups = list(dict.fromkeys(one.group for one in styles.values()))
    medians = data.groupby("label")["ms"].median()
    return sorted(styles, key=lambda label: (groups.index(styles[label].group), medians[label], label))


def _span(data: pd.DataFrame) -> tuple[float, float]:
    """Lowest and highest of what is drawn of all phonemes, in ms: ends of whiskers, or tokens."""
    ends = [np.percentile(ms, (0, 100) if len(ms) < FEW else _WHISKERS) for _, ms in data.groupby("label")["ms"]]
    return float(np.min(ends)), float(np.max(ends))


def _group_names(order: list[str]) -> list[tuple[float, str]]:
    """The middle of each manner's run of phonemes, and its name; none where labels have no manner."""
    groups = pd.Series({label: one.group for label, one in style.phone_styles(order).items()})[order]
    places = pd.Series(range(len(order))).groupby(groups.to_numpy()).mean()
    return [] if list(places.index) == ["other"] else [(place, str(name)) for name, place in places.items()]


def _check(data: pd.DataFrame, columns: tuple[str, ...]) -> None:
    check_columns(data, columns, "durations")
    if not (data["ms"] > 0).all():
        raise InputError("some durations are not positive; extract the table again")
