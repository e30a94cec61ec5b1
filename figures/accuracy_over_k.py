"""Accuracy of nearest neighbours over k (Havtorn et al. 2022, figures 3 and 4), one panel per protocol.

The paper shows one panel, whose protocol leaks. Here every protocol has its own on the same axis of accuracy, and
every curve comes with its interval, the accuracy on permuted labels, and the line of chance, which
is the share of the most frequent class.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch
from matplotlib.ticker import MaxNLocator

from lvm_probe import InputError
from lvm_probe.figures import layout, style
from lvm_probe.figures.wording import counted, joined, number_range
from lvm_probe.probing.questions.question import Question

COLUMNS = ("feature", "target", "protocol", "speaker", "k", "n", "n_classes", "accuracy", "ci_low", "ci_high",
           "chance", "null_accuracy")  # fmt: skip
"""The columns of a result row that are used; accuracies are fractions."""

TITLES = {
    "paper": "paper protocol (leaks: LDA saw the held-out token)",
    "nested": "single tokens held out (nested)",
    "utterance": "whole utterances held out",
    "speaker": "whole speakers held out",
}
TITLES_WITHOUT_LDA = TITLES | {
    "paper": "paper protocol (no LDA, so no leak)",
    "nested": "single tokens held out (no LDA: same as paper)",
}

CHANCE: dict[str, Any] = {"color": style.GREY, "linewidth": 0.9, "dashes": (4, 2.5)}
"""The line of chance."""

_FRACTIONS = ("accuracy", "ci_low", "ci_high", "chance", "null_accuracy")
_LONGEST = 18  # letters of a curve's label
_LEADER = 10.0  # points from the axes to a label
_FEW_KS = 8  # with no more of them, curves are drawn side by side with bars: bands would hide each other
_KEY = 0.16  # inches
_DODGE = 0.6  # of the step from k to k + 1, which the curves then share


def draw(ax: Axes, data: pd.DataFrame) -> None:
    """Draw the curves of one target under one protocol.

    Per feature: a curve, its interval as a band, or as bars where there are few k, and the accuracy on permuted labels
    as a thin dotted line of the same colour. The grey dashes are chance. Every curve is labelled at its end.

    Pooled rows (empty `speaker`) are drawn, or those of a single speaker where there are none. With several token
    tables (column `table`), all but the first get paler curves labelled with the table's name; a curve equal to the
    first table's, such as that of Mel, is drawn once.

    Args:
        ax: where; its limits are set here.
        data: result rows. Rows of k = 0 (the LDA classifier) are ignored.

    Raises:
        InputError: no rows, columns missing, several targets or protocols, two rows for one point, or several speakers
            without pooled rows.
    """
    rows = _checked(data)
    if len(_protocols(rows)) > 1:
        raise InputError("result rows of several protocols in one panel; give one, or use panels")
    with style.theme():
        curves = _curves(rows)
        _draw_curves(ax, curves)
        _set_limits(ax, [curves], last=int(curves["k"].max()))
        _label_ends(ax, curves)


def panels(results: pd.DataFrame) -> Figure:
    """One panel per protocol next to each other, with one axis of accuracy; the paper's on the left.

    Args:
        results: result rows of one target.

    Raises:
        InputError: as `draw`.
    """
    rows = _checked(results)
    protocols = _protocols(rows)
    titles = TITLES if "lda_dims" not in rows or rows["lda_dims"].any() else TITLES_WITHOUT_LDA
    parts = {titles.get(protocol, protocol): rows[rows["protocol"] == protocol] for protocol in protocols}
    return panel_row(parts, _note(rows, protocols))


def panel_row(parts: Mapping[str, pd.DataFrame], text: str, *, same_k: bool = True) -> Figure:
    """One panel for each part, in order, with one axis of accuracy; below, a key of the lines and a note.

    Args:
        parts: result rows of one target and protocol, by the panel's title.
        text: the note: whose accuracy it is.
        same_k: give all panels the same axis of k.

    Raises:
        InputError: as `draw`.
    """
    curves = [_curves(_checked(rows)) for rows in parts.values()]
    width = style.ONE_COLUMN if len(parts) == 1 else style.TWO_COLUMNS
    names = {_label(name) for some in curves for name in some["curve"].unique()}
    widest = max(layout.text_width(name, style.NORMAL) for name in names)
    left, between, height, below = 0.42, (_LEADER + 4) / 72 + widest, 1.95, 0.36
    across = (width - left - between * len(parts)) / len(parts)
    with style.theme():
        titles = [layout.wrapped(title, across + between - 0.12, style.NORMAL) for title in parts]
        text, foot = layout.note(text, width)
        bottom, foot = foot, foot + _KEY
        head = 0.1 + 0.13 * (max(title.count("\n") for title in titles) + 1)
        fig = Figure(figsize=(width, foot + below + height + head), dpi=style.DPI)
        for i, (title, one) in enumerate(zip(titles, curves, strict=True)):
            ax = layout.axes_in(fig, left + i * (across + between), foot + below, across, height)
            _draw_curves(ax, one)
            _set_limits(ax, curves, last=max(int(some["k"].max()) for some in (curves if same_k else [one])))
            _label_ends(ax, one)
            ax.set_title(title, pad=5)
            if i:
                ax.set_ylabel("")
                ax.tick_params(labelleft=False)
        _draw_key(fig, bottom, bars=all(map(_has_few_ks, curves)))
        layout.write_note(fig, text)
    return fig


def _draw_key(fig: Figure, bottom: float, *, bars: bool) -> None:
    """What the bands or bars, the dots and the dashes are, in a row `bottom` inches above the lower edge."""
    band = Line2D([], [], color=style.GREY, linewidth=0.9) if bars else Patch(color=style.PALE)
    lines = {"95 % interval": band, "permuted labels": null_line(), "chance": chance_line()}
    fig.legend(lines.values(), lines.keys(), loc="lower left", ncols=len(lines), borderpad=0.2, borderaxespad=0.2,
               handlelength=2.2, bbox_to_anchor=(0.0, bottom / fig.get_figheight()))  # fmt: skip


def null_line() -> Line2D:
    """The key of accuracy on permuted labels."""
    return Line2D([], [], color=style.DARK, linewidth=0.7, linestyle=(0, (1, 1.2)))


def chance_line(label: str = "") -> Line2D:
    """The key of chance."""
    return Line2D([], [], **CHANCE, label=label)


def write(results: pd.DataFrame, path_stem: str | Path) -> list[Path]:
    """Save `panels` as PDF, SVG and PNG, and the rows that it drew as CSV."""
    return style.save_with_data(panels(results), drawn_rows(results), path_stem)


def drawn_rows(results: pd.DataFrame) -> pd.DataFrame:
    """The rows that the curves of `panels` show, with all their columns.

    Raises:
        InputError: as `draw`.
    """
    rows = _checked(results)
    parts = [_pooled_or_all(rows[rows["protocol"] == protocol]) for protocol in _protocols(rows)]
    return rows.loc[np.concatenate([part.index for part in parts])].drop(columns="curve")


def _checked(results: pd.DataFrame) -> pd.DataFrame:
    """The rows with k neighbours, with a column `curve`."""
    if missing := [name for name in COLUMNS if name not in results]:
        raise InputError(f"result rows lack the columns {', '.join(missing)}; give what probe knn wrote")
    rows = results[pd.to_numeric(results["k"]) > 0].reset_index(drop=True)
    rows = rows.assign(
        speaker=rows["speaker"].astype(object).fillna("").astype(str),
        **{name: pd.to_numeric(rows[name], errors="coerce") for name in _FRACTIONS},
    )
    if rows.empty:
        raise InputError("no result rows with k of 1 or more; run probe knn first")
    if len(targets := sorted(rows["target"].unique())) > 1:
        raise InputError(f"result rows of several targets ({', '.join(targets)}) in one figure; give one")
    unknown = rows["accuracy"].isna()
    if unknown.any():
        raise InputError(f"{int(unknown.sum())} result rows have no accuracy; run probe knn again")
    if "curve" not in rows:
        rows = _with_curve_names(rows)
    point = ["curve", "protocol", "speaker", "k"]
    if len(again := rows[rows.duplicated(point)]):
        curve, protocol, _, k = again.iloc[0][point]
        raise InputError(
            f"several rows for one point, such as feature {curve}, protocol {protocol}, k {k}; "
            "give the results of one run"
        )
    return rows


def _with_curve_names(rows: pd.DataFrame) -> pd.DataFrame:
    """The rows with the name of their curve: the feature's, with the table's for every table but the first."""
    rows = rows.assign(curve=rows["feature"])
    if "table" not in rows:
        return rows
    point = ["protocol", "speaker", "k"]
    first, *others = rows["table"].unique()
    for other in others:
        for feature in rows["feature"].unique():
            here = (rows["feature"] == feature) & (rows["table"] == other)
            reference = (rows["feature"] == feature) & (rows["table"] == first)
            rows.loc[here, "curve"] = f"{feature}_{other}"
            series = [rows[some].set_index(point)["accuracy"].sort_index() for some in (here, reference)]
            if here.any() and series[0].equals(series[1]):
                rows = rows[~here]
    return rows


def _protocols(rows: pd.DataFrame) -> list[str]:
    known = list(TITLES)
    return sorted(rows["protocol"].unique(), key=lambda p: (known.index(p) if p in known else len(known), p))


def _pooled_or_all(rows: pd.DataFrame) -> pd.DataFrame:
    """The pooled rows of every table; all rows of a table without pooled ones, which has one speaker."""
    pooled = rows["speaker"] == ""
    table = rows["table"] if "table" in rows else pd.Series("", rows.index)
    chosen = rows[pooled | ~pooled.groupby(table).transform("any")]
    speakers = chosen.groupby("curve")["speaker"].nunique()
    mixed = set(rows["curve"]) - set(chosen["curve"]) | set(speakers.index[speakers > 1])
    if mixed:
        raise InputError(f"{', '.join(sorted(mixed))}: rows of single speakers; give pooled rows, or one speaker's")
    return chosen


def _curves(rows: pd.DataFrame) -> pd.DataFrame:
    """One row per curve and k, of one protocol, with its place on the axis of k."""
    rows = _pooled_or_all(rows).sort_values(["curve", "k"])
    names = style.feature_order(rows["curve"])
    dodges = np.linspace(-0.5, 0.5, len(names)) if _has_few_ks(rows) and len(names) > 1 else np.zeros(len(names))
    return rows.assign(x=rows["k"] + _DODGE * rows["curve"].map(dict(zip(names, dodges, strict=True))))


def _has_few_ks(rows: pd.DataFrame) -> bool:
    return int(rows["k"].nunique()) <= _FEW_KS


def _draw_curves(ax: Axes, curves: pd.DataFrame) -> None:
    ax.grid(axis="y")
    ax.axhline(100 * float(curves["chance"].mean()), **CHANCE, zorder=1.5)
    for i, name in enumerate(style.feature_order(curves["curve"])):
        curve, look = curves[curves["curve"] == name], style.feature_style(name)
        x = curve["x"].to_numpy(float)
        columns = ("ci_low", "ci_high", "null_accuracy", "accuracy")
        low, high, null, accuracy = (100 * curve[column].to_numpy(float) for column in columns)
        if _has_few_ks(curves):
            ax.vlines(x, low, high, color=style.blend(look.colour, "white", 0.35), linewidth=0.9, zorder=1)
        else:
            ax.fill_between(x, low, high, color=look.colour, alpha=0.14, linewidth=0, zorder=1)
        ax.plot(x, null, color=look.colour, linewidth=0.7, linestyle=(0, (1, 1.2)), zorder=2)
        step = max(1, len(x) // _FEW_KS)
        ax.plot(x, accuracy, color=look.colour, linestyle=look.linestyle, marker=look.marker, markersize=2.6,
                markeredgewidth=0, markevery=(i % step, step), zorder=3, label=name)  # fmt: skip
    ax.set_xlabel("k (neighbours)")
    ax.set_ylabel("accuracy (%)")


def _set_limits(ax: Axes, curves: list[pd.DataFrame], *, last: int) -> None:
    """k up to the last; accuracy from 0 to the next ten per cent above everything drawn of these curves."""
    every = pd.concat(curves)
    top = 100 * float(np.nanmax(every[["accuracy", "ci_high", "chance", "null_accuracy"]].to_numpy(float)))
    ax.set_ylim(0, min(102, 10 * np.ceil((top + 1) / 10)))
    room = max(0.02 * max(last - 1, 1), _DODGE if any(_has_few_ks(one) for one in curves) else 0.0)
    ax.set_xlim(1 - room, last + room)
    ticks = range(1, last + 1) if last <= _FEW_KS else MaxNLocator(5, integer=True).tick_values(1, last)
    ax.set_xticks(sorted({1, *(int(tick) for tick in ticks if 1 < tick <= last)}))
    ax.yaxis.set_major_locator(MaxNLocator(6, steps=[1, 2, 5, 10], integer=True))


def _label_ends(ax: Axes, curves: pd.DataFrame) -> None:
    ends = curves.loc[curves.groupby("curve")["k"].idxmax()].sort_values("accuracy")
    layout.label_ends(
        ax, ends["curve"].map(_label).tolist(), ends[["x", "accuracy"]].to_numpy(float) * (1, 100),
        [style.feature_style(name).text_colour for name in ends["curve"]], leader=_LEADER,
    )  # fmt: skip


def _label(curve: str) -> str:
    label = style.feature_style(curve).label
    return label if len(label) <= _LONGEST else f"{label[: _LONGEST - 1]}…"


def _note(rows: pd.DataFrame, protocols: list[str]) -> str:
    """What was counted, and how many discriminants were kept."""
    parts = {protocol: _pooled_or_all(rows[rows["protocol"] == protocol]) for protocol in protocols}
    counts = {protocol: _counts(part) for protocol, part in parts.items()}
    alike = [[p for p in protocols if counts[p] == text] for text in dict.fromkeys(counts.values())]
    what = [f"{joined(group)} {counts[group[0]]}" if len(alike) > 1 else counts[group[0]] for group in alike]
    text = f"{str(rows['target'].iloc[0]).capitalize()}: {'; '.join(what)}."
    dims = set(rows["lda_dims"]) if "lda_dims" in rows else set()
    if len(dims) == 1:
        text += f" {counted(int(kept), 'discriminant')}." if (kept := dims.pop()) else " No LDA."
    return text


def _counts(rows: pd.DataFrame) -> str:
    """How many tokens, classes and speakers the curves of one protocol are about."""
    names = [name for name in sorted(set(rows["speaker"])) if name]
    who = f", speaker{'' if len(names) == 1 else 's'} {joined(names)}" if names else ""
    if not names and "speakers" in rows:
        who = f", {counted(int(rows['speakers'].max()), 'speaker')}"
    question = Question(target=rows["target"].iloc[0], protocol=rows["protocol"].iloc[0])
    if not names and question.one_speaker_at_a_time:
        who += ", one speaker at a time"
    each = " each" if len(names) > 1 else ""
    return f"n = {number_range(rows['n'])}{each}, {number_range(rows['n_classes'])} classes{who}"
