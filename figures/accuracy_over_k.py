"""Accuracy of nearest neighbours over k: the right half of the paper's figure 3, and its figure 4.

The paper shows one panel, whose protocol leaks. Here every protocol has its own on the same axis of accuracy,
and every curve comes with its interval, with what permuted labels give, and with the majority line.
"""

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator
from scipy.stats import t as student

from lvm_probe import InputError
from lvm_probe.figures import style
from lvm_probe.probing.features.token_table import write_csv

COLUMNS = ("feature", "target", "protocol", "speaker", "k", "n", "n_classes", "accuracy", "ci_low", "ci_high",
           "chance", "null_accuracy")  # fmt: skip
"""What is read of a result row; accuracies are fractions."""

TITLES = {
    "paper": "paper protocol (leaks: LDA saw the held-out point)",
    "nested": "nested (LDA refitted without it)",
    "speaker": "leave one speaker out",
}
UNFITTED = {"paper": "paper protocol (no LDA, so no leak)", "nested": "nested (no LDA to refit: as paper)"}
"""Titles where no LDA is fitted."""

_FRACTIONS = ("accuracy", "ci_low", "ci_high", "chance", "null_accuracy")
_LABEL_GAP = 1.2  # heights of a line of text between the labels of two curves
_LONGEST = 18  # letters of a curve's label
_LEADER = 10.0  # points from the axes to a label
_FEW_KS = 8  # with no more of them, curves stand side by side and intervals are bars: bands would hide each other
_APART = 0.6  # of the step from k to k + 1, which the curves then share


def draw(ax: Axes, data: pd.DataFrame) -> None:
    """Draw the curves of one target under one protocol.

    Per feature: a curve, its interval as a band, or as bars where there are few k, and the accuracy with permuted
    labels as a thin dotted line of the same colour. The grey dashes are the majority line. Every curve is labelled at
    its end.

    Pooled rows (empty `speaker`), or where there are none those of a single speaker, are drawn as they are. Of
    several speakers without pooled rows the mean is drawn, with Student's 95 % interval over speakers. Of several
    token tables (column `table`) all but the first get paler curves that say the table's name; one that only repeats
    the first table's, as Mel's does, is left out.

    Args:
        ax: where; its limits are set here.
        data: result rows. Rows of k = 0 (the LDA classifier) are left out.

    Raises:
        InputError: no rows, columns missing, several targets or protocols, or two rows for one point.
    """
    rows = _checked(data)
    if len(_protocols(rows)) > 1:
        raise InputError("result rows of several protocols in one panel; give one, or use panels")
    with style.applied():
        curves = _curves(rows)
        _draw_curves(ax, curves)
        _limit(ax, [curves], last=int(curves["k"].max()))
        _label_ends(ax, curves)


def panels(results: pd.DataFrame, *, speakers: int | None = None, note: str = "") -> Figure:
    """One panel per protocol side by side, with one axis of accuracy; the paper's on the left.

    Args:
        results: result rows of one target.
        speakers: how many, where rows are pooled and have no column `speakers`; only for the caption.
        note: more for the caption.

    Raises:
        InputError: as `draw`.
    """
    rows = _checked(results)
    protocols = _protocols(rows)
    named = TITLES if "lda_dims" not in rows or rows["lda_dims"].any() else TITLES | UNFITTED
    parts = {named.get(p, p): rows[rows["protocol"] == p] for p in protocols}
    return side_by_side(parts, _caption(rows, protocols, speakers, note))


def side_by_side(parts: Mapping[str, pd.DataFrame], caption: str, *, same_k: bool = True) -> Figure:
    """One panel for each part, in order, with one axis of accuracy, and a caption below.

    Args:
        parts: result rows of one target and protocol, by the panel's title.
        caption: what the reader has to know.
        same_k: give all panels the same axis of k.

    Raises:
        InputError: as `draw`.
    """
    checked = {title: _checked(rows) for title, rows in parts.items()}
    curves = [_curves(rows) for rows in checked.values()]
    width = style.ONE_COLUMN if len(parts) == 1 else style.TWO_COLUMNS
    names = {_label(curve) for rows in checked.values() for curve in rows["curve"].unique()}
    widest = max(style.text_width(name, style.NORMAL) for name in names)
    left, between, height, below = 0.42, (_LEADER + 4) / 72 + widest, 1.95, 0.36
    across = (width - left - between * len(parts)) / len(parts)
    with style.applied():
        caption = style.wrapped(caption, width - 0.1, style.SMALL)
        titles = [style.wrapped(title, across + between - 0.12, style.NORMAL) for title in parts]
        foot = style.foot_height(caption)
        head = 0.1 + 0.13 * (max(title.count("\n") for title in titles) + 1)
        fig = Figure(figsize=(width, foot + below + height + head), dpi=style.DPI)
        for i, (title, one) in enumerate(zip(titles, curves, strict=True)):
            ax = style.axes_in(fig, left + i * (across + between), foot + below, across, height)
            _draw_curves(ax, one)
            _limit(ax, curves, last=max(int(some["k"].max()) for some in (curves if same_k else [one])))
            _label_ends(ax, one)
            ax.set_title(title, pad=5)
            if i:
                ax.set_ylabel("")
                ax.tick_params(labelleft=False)
        style.foot(fig, caption)
    return fig


def write(results: pd.DataFrame, path_stem: str | Path, *, speakers: int | None = None) -> list[Path]:
    """Save `panels` as PDF, SVG and PNG, and beside them the rows it drew from as CSV."""
    paths = style.save(panels(results, speakers=speakers), path_stem)
    table = style.beside(path_stem, "csv")
    write_csv(table, drawn(results))
    return [*paths, table]


def drawn(results: pd.DataFrame) -> pd.DataFrame:
    """The rows that the curves of `panels` show, with all their columns.

    Raises:
        InputError: as `draw`.
    """
    rows = _checked(results)
    kept = [_pooled_or_all(rows[rows["protocol"] == protocol]).index for protocol in _protocols(rows)]
    return rows.loc[np.concatenate(kept)].drop(columns="curve")


def _checked(results: pd.DataFrame) -> pd.DataFrame:
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
    if "curve" not in rows:  # not yet named among the rows of all panels
        rows = _named(rows)
    point = ["curve", "protocol", "speaker", "k"]
    if len(again := rows[rows.duplicated(point)]):
        curve, protocol, _, k = again.iloc[0][point]
        raise InputError(
            f"several rows for one point, such as feature {curve}, protocol {protocol}, k {k}; "
            "give the results of one run"
        )
    return rows


def _named(rows: pd.DataFrame) -> pd.DataFrame:
    """The rows with the name of their curve: the feature's, and the table's for every table but the first."""
    rows = rows.assign(curve=rows["feature"])
    if "table" not in rows:
        return rows
    point = ["protocol", "speaker", "k"]
    first, *others = rows["table"].unique()
    for other in others:
        for feature in rows["feature"].unique():
            mine = (rows["feature"] == feature) & (rows["table"] == other)
            theirs = (rows["feature"] == feature) & (rows["table"] == first)
            rows.loc[mine, "curve"] = f"{feature}_{other}"
            series = [rows[some].set_index(point)["accuracy"].sort_index() for some in (mine, theirs)]
            if mine.any() and series[0].equals(series[1]):
                rows = rows[~mine]
    return rows


def _protocols(rows: pd.DataFrame) -> list[str]:
    known = list(TITLES)
    return sorted(rows["protocol"].unique(), key=lambda p: (known.index(p) if p in known else len(known), p))


def _pooled_or_all(rows: pd.DataFrame) -> pd.DataFrame:
    """The pooled rows of every table, else all its rows: of a table of one speaker that speaker's."""
    pooled = rows["speaker"] == ""
    table = rows["table"] if "table" in rows else pd.Series("", rows.index)
    chosen = rows[pooled | ~pooled.groupby(table).transform("any")]
    lost = set(rows["curve"]) - set(chosen["curve"]) | (set(_averaged(chosen)) if pooled.any() else set())
    if lost:
        raise InputError(
            f"{', '.join(sorted(lost))} has rows of single speakers only, and others pooled ones; give one kind"
        )
    return chosen


def _averaged(rows: pd.DataFrame) -> list[str]:
    """The curves that several speakers have a part in."""
    speakers = rows.groupby("curve")["speaker"].nunique()
    return sorted(speakers.index[speakers > 1])


def _curves(rows: pd.DataFrame) -> pd.DataFrame:
    """One row per feature and k, of one protocol: pooled, of one speaker, or the mean over speakers."""
    rows = _pooled_or_all(rows)
    several = rows["curve"].isin(_averaged(rows))
    if several.any():
        some = rows[several]
        speakers = some.groupby("curve")["speaker"].transform("nunique")
        counts = some.groupby(["curve", "k"])["accuracy"].transform("size")
        grouped = some[counts == speakers].groupby(["curve", "k"])  # a mean over fewer would make a jump
        curves = grouped[list(_FRACTIONS)].mean()
        n = grouped.size()
        error = grouped["accuracy"].std() / np.sqrt(n) * student.ppf(0.975, n - 1)
        curves["ci_low"] = (curves["accuracy"] - error).clip(0, 1)
        curves["ci_high"] = (curves["accuracy"] + error).clip(0, 1)
        if curves.empty:
            raise InputError("no k that all speakers have results for; give each the same k")
        means = curves.reset_index()
        rows = means if several.all() else pd.concat([rows[~several], means], ignore_index=True)
    rows = rows.sort_values(["curve", "k"])
    return rows.assign(x=rows["k"] + (_aside(rows["curve"]) if _few(rows) else 0.0))


def _few(curves: pd.DataFrame) -> bool:
    return int(curves["k"].nunique()) <= _FEW_KS


def _aside(curves: pd.Series) -> pd.Series:
    """How far from k each curve stands, in steps of k."""
    names = style.feature_order(curves)
    places = np.linspace(-0.5, 0.5, len(names)) * _APART if len(names) > 1 else np.zeros(1)
    return curves.map(dict(zip(names, places, strict=True)))


def _draw_curves(ax: Axes, curves: pd.DataFrame) -> None:
    ax.grid(axis="y")
    ax.axhline(100 * float(curves["chance"].mean()), color=style.GREY, linewidth=0.9, dashes=(4, 2.5), zorder=1.5)
    for curve in style.feature_order(curves["curve"]):
        one = curves[curves["curve"] == curve]
        colour, linestyle, _ = style.feature_look(curve)
        x = one["x"].to_numpy(float)
        low, high, null, accuracy = (
            100 * one[name].to_numpy(float) for name in ("ci_low", "ci_high", "null_accuracy", "accuracy")
        )
        if _few(curves):
            ax.vlines(x, low, high, color=style.blend(colour, "white", 0.35), linewidth=0.9, zorder=1)
        else:
            ax.fill_between(x, low, high, color=colour, alpha=0.14, linewidth=0, zorder=1)
        ax.plot(x, null, color=colour, linewidth=0.7, linestyle=(0, (1, 1.2)), zorder=2)
        marks = max(1, len(x) // _FEW_KS)
        first = style.feature_order(curves["curve"]).index(curve) % marks
        ax.plot(x, accuracy, color=colour, linestyle=linestyle, marker=style.feature_marker(curve),
                markersize=2.6, markeredgewidth=0, markevery=(first, marks), zorder=3, label=curve)  # fmt: skip
    ax.set_xlabel("k (neighbours)")
    ax.set_ylabel("accuracy (%)")


def _limit(ax: Axes, curves: list[pd.DataFrame], *, last: int) -> None:
    """k up to the last; accuracy from 0 up to the next ten per cent above what is drawn of all these curves."""
    every = pd.concat(curves)
    top = 100 * float(np.nanmax(every[["accuracy", "ci_high", "chance", "null_accuracy"]].to_numpy(float)))
    ax.set_ylim(0, min(102, 10 * np.ceil((top + 1) / 10)))
    room = max(0.02 * max(last - 1, 1), _APART if any(_few(one) for one in curves) else 0.0)
    ax.set_xlim(1 - room, last + room)
    ticks = range(1, last + 1) if last <= _FEW_KS else MaxNLocator(5, integer=True).tick_values(1, last)
    ax.set_xticks(sorted({1, *(int(tick) for tick in ticks if 1 < tick <= last)}))
    ax.yaxis.set_major_locator(MaxNLocator(6, steps=[1, 2, 5, 10], integer=True))


def _label_ends(ax: Axes, curves: pd.DataFrame) -> None:
    """The name of each feature right of its curve's end, nudged apart where curves end together."""
    fig = ax.get_figure(root=True)
    if fig is None:
        raise ValueError("these axes are in no figure")
    ends = curves.loc[curves.groupby("curve")["k"].idxmax()]
    ends = ends.sort_values("accuracy")
    pixels_per_point = fig.dpi / 72
    box = ax.get_window_extent(style.renderer(fig))
    at = ax.transData.transform(ends[["x", "accuracy"]].to_numpy(float) * (1, 100))
    ys = _apart(at[:, 1], _LABEL_GAP * style.NORMAL * pixels_per_point, box.y0, box.y1)
    for curve, end, y in zip(ends["curve"], at, ys, strict=True):
        look = style.feature_look(curve)
        x = box.x1 - end[0]
        ax.annotate(
            _label(curve), tuple(ax.transData.inverted().transform(end)),
            xytext=(x / pixels_per_point + _LEADER, (y - end[1]) / pixels_per_point), textcoords="offset points",
            va="center", color=style.blend(look.colour, "black", 0.2), annotation_clip=False, fontsize=style.NORMAL,
            arrowprops={"arrowstyle": "-", "color": look.colour, "linewidth": 0.5, "shrinkA": 1, "shrinkB": 2,
                        "relpos": (0, 0.5)},
        )  # fmt: skip


def _label(curve: str) -> str:
    label = style.feature_look(curve).label
    return label if len(label) <= _LONGEST else f"{label[: _LONGEST - 1]}…"


def _apart(wanted: np.ndarray, gap: float, low: float, high: float) -> np.ndarray:
    """Ascending places nearest the wanted ones (ascending) with at least `gap` between them, inside the bounds.

    Least squares under order constraints: with i * gap taken off, the places must not descend, and runs
    that would are pooled at their mean.
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


def _caption(rows: pd.DataFrame, protocols: list[str], speakers: int | None, note: str) -> str:
    """What was counted, and what the lines are."""
    counts: dict[str, str] = {}
    over: set[str] = set()  # what the intervals are over
    or_bars = " or bars" if any(_few(rows[rows["protocol"] == protocol]) for protocol in protocols) else ""
    for protocol in protocols:
        shown = _pooled_or_all(rows[rows["protocol"] == protocol])
        names = sorted(set(shown["speaker"]))
        averaged = bool(_averaged(shown))
        if averaged:
            over.add("speakers")
        elif "interval" in shown:
            over |= set(shown["interval"])
        match names:
            case ["", *_]:
                many = int(shown["speakers"].max()) if speakers is None and "speakers" in shown else speakers
                who = "" if many is None else f", {_number(many, 'speaker')}"
            case [name]:
                who = f", speaker {name}"
            case _:
                who = f", mean of {len(names)} speakers" if averaged else f", speakers {' and '.join(names)}"
        n = f"n = {_span(shown['n'])}{' each' if len(names) > 1 else ''}"
        counts[protocol] = f"{n}, {_span(shown['n_classes'])} classes{who}"
    alike = [[p for p in protocols if counts[p] == text] for text in dict.fromkeys(counts.values())]
    if len(alike) == 1:
        said = counts[protocols[0]]
    else:
        said = "; ".join(f"{' and '.join(group)} {counts[group[0]]}" for group in alike)
    band = "95 % intervals" + (f" over {over.pop()}" if len(over) == 1 else "")
    text = (
        f"{str(rows['target'].iloc[0]).capitalize()}: {said}. Bands{or_bars}: {band}. Dotted: labels permuted. "
        "Grey dashes: always the largest class."
    )
    dims = set(rows["lda_dims"]) if "lda_dims" in rows else set()
    if len(dims) == 1:
        kept = int(dims.pop())
        text += f" {_number(kept, 'discriminant')}." if kept else " No LDA."
    return f"{text} {note}".strip()


def _span(values: pd.Series) -> str:
    low, high = int(values.min()), int(values.max())
    return f"{low:,}" if low == high else f"{low:,} to {high:,}"


def _number(count: int, noun: str) -> str:
    return f"{count:,} {noun}{'' if count == 1 else 's'}"
