"""How long each layer's latents remember: autocorrelation over lag, beside Mel's and the length of phones and words."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from lvm_probe import InputError
from lvm_probe.analysis.autocorrelation import autocorrelation, lagged_products, pairs
from lvm_probe.analysis.ratios import percentile_interval, resampled_ratios
from lvm_probe.figures import style
from lvm_probe.figures.inputs import LeftOut, Material
from lvm_probe.figures.kl_over_time import model_and_corpus
from lvm_probe.probing.corpora import phones

if TYPE_CHECKING:
    from lvm_probe.probing.corpora.corpus import Corpus, Utterance

NAME = "autocorrelation"
TITLE = "Autocorrelation of each layer"

UTTERANCES = 20
"""At most so many, drawn with the seed: the autocorrelation is a mean over thousands of steps."""

PATHS = 4
"""Sampled paths that the posterior's mean is averaged over."""

REACH_SECONDS = 0.3
"""The longest lag."""

MEL_HOP = 64
"""Samples of a Mel frame where the lowest stride is a single sample."""

COLUMNS = ("kind", "series", "lag_ms", "value", "ci_low", "ci_high")


def data(material: Material) -> pd.DataFrame:
    """One row per layer (and Mel) and lag, of kind `autocorrelation`; and one of kind `duration` for phone and word.

    `value` is the autocorrelation of the vector: the sum of its dimensions' autocovariances over that of their
    variances, each utterance about its own mean. Of a layer that is the posterior's mean, averaged over sampled
    paths. `ci_low` and `ci_high` are a bootstrap of 95 % over `groups` speakers, or utterances of one (`over`);
    `n` counts utterances. Rows of kind `duration` have the median duration as `lag_ms`, and their number as `value`.

    Raises:
        LeftOut: no checkpoint or corpus, a model without latents, or audio that cannot be read.
    """
    model, corpus = model_and_corpus(material)
    from lvm_probe.analysis.mel import log_mel
    from lvm_probe.probing.corpora.audio import to_float
    from lvm_probe.probing.corpora.recordings import read_pcm
    from lvm_probe.probing.diagnostics.kl_rate import layer_kl

    chosen = _chosen(corpus, material.seed)
    rate = model.config.sample_rate
    hop = model.strides[0] if model.strides[0] > 1 else MEL_HOP
    names = [*(f"z{l + 1}" for l in range(len(model.strides))), "mel"]
    strides = dict(zip(names, [*model.strides, hop], strict=True))
    speakers = [utterance.speaker.id for utterance in chosen]
    unit = "speaker" if len(set(speakers)) > 1 else "utterance"
    groups = np.unique(speakers if unit == "speaker" else [u.id for u in chosen], return_inverse=True)[1]
    lags = {name: int(REACH_SECONDS * rate / stride) + 1 for name, stride in strides.items()}
    products = {name: np.zeros((groups.max() + 1, count)) for name, count in lags.items()}
    counts = {name: np.zeros((groups.max() + 1, count)) for name, count in lags.items()}
    for utterance, group in zip(chosen, groups, strict=True):
        material.progress(f"autocorrelation, {utterance.id}")
        try:
            pcm = read_pcm(utterance, rate)
            spent = layer_kl(model, utterance.id, pcm, PATHS, material.seed)
        except InputError as error:
            raise LeftOut(str(error)) from None
        mel = log_mel(to_float(pcm), sample_rate=rate, hop=hop)
        for name, series in zip(names, [*(layer.mean for layer in spent), mel], strict=True):
            products[name][group] += lagged_products(series.astype(np.float64), lags[name]).sum(1)
            counts[name][group] += pairs(len(series), lags[name])
    frames = [
        _rows(name, 1000 * strides[name] / rate, products[name], counts[name], material.seed).assign(
            over=unit, groups=int(groups.max()) + 1, n=len(chosen)
        )
        for name in names
    ]
    frames.append(_durations(chosen))
    return pd.concat([frame for frame in frames if len(frame)], ignore_index=True)


def draw(ax: Axes, data: pd.DataFrame) -> None:
    """Draw a curve with its band for each layer and Mel, and a vertical line at each median duration.

    Args:
        ax: where; its limits are set here.
        data: as `data` makes it.

    Raises:
        LeftOut: columns missing or no curve.
    """
    _check(data)
    curves = data[data["kind"] == "autocorrelation"]
    reach = float(curves["lag_ms"].max())
    low = min(0.0, float(curves[["value", "ci_low"]].min().min()))
    with style.applied():
        ax.axhline(0, color=style.GREY, linewidth=0.5, zorder=1)
        for name in style.feature_order(curves["series"]):
            one = curves[curves["series"] == name]
            colour, linestyle, label = style.feature_look(name)
            ax.fill_between(one["lag_ms"], one["ci_low"], one["ci_high"], color=colour, alpha=0.14, linewidth=0)
            every = max(1, round(len(one) / 8))
            ax.plot(one["lag_ms"], one["value"], color=colour, linestyle=linestyle, marker=style.feature_marker(name),
                    markersize=2.8, markeredgewidth=0, markevery=every, label=label, zorder=3)  # fmt: skip
        for row in data[(data["kind"] == "duration") & (data["lag_ms"] <= reach)].to_dict("records"):
            ax.axvline(row["lag_ms"], color="#333333", linewidth=0.7, dashes=(1.5, 1.5), zorder=1.5)
            right = row["lag_ms"] > 0.7 * reach
            ax.annotate(
                f"median {row['series']}", (row["lag_ms"], 1), xycoords=("data", "axes fraction"),
                xytext=(-2.5 if right else 2.5, -1), textcoords="offset points", ha="right" if right else "left",
                va="top", fontsize=style.SMALL, color="#333333",
            )  # fmt: skip
        ax.set_xlim(0, reach)
        ax.set_ylim(low - 0.03, 1.09)
        ax.set_xlabel("lag (ms)")
        ax.set_ylabel("autocorrelation")


def figure(data: pd.DataFrame) -> Figure:
    """One panel in one column, with its legend.

    Raises:
        LeftOut: as `draw`.
    """
    _check(data)
    left, foot, height, head, width = 0.42, 0.36, 1.95, 0.22, style.ONE_COLUMN
    with style.applied():
        fig = Figure(figsize=(width, foot + height + head), dpi=style.DPI)
        ax = style.axes_in(fig, left, foot, width - left - 0.1, height)
        draw(ax, data)
        ax.legend(loc="lower left", bbox_to_anchor=(-0.02, 1.0), ncols=len(ax.lines), handlelength=3.2, frameon=False,
                  columnspacing=1.6, borderaxespad=0.2)  # fmt: skip
    return fig


def caption(data: pd.DataFrame, material: Material) -> str:
    """What was measured, and where the curves fall to 1/e."""
    curves = data[data["kind"] == "autocorrelation"]
    falls = []
    for name, one in curves.groupby("series", sort=False):
        below = one.loc[one["value"] < np.exp(-1), "lag_ms"]
        lag = f"{below.iloc[0]:.0f} ms" if len(below) else f"more than {one['lag_ms'].max():.0f} ms"
        falls.append(f"{style.feature_look(str(name)).label} {lag}")
    lasting = [
        f"median {row['series']} {row['lag_ms']:.0f} ms (of {row['value']:,.0f})"
        for row in data[data["kind"] == "duration"].to_dict("records")
    ]
    model = "" if material.checkpoint is None else f" of {material.checkpoint.path.stem}"
    units = int(curves["groups"].iloc[0])
    over = f"bands: bootstrap of 95 % over {units} {curves['over'].iloc[0]}s" if units > 1 else "one has no band"
    return (
        f"Autocorrelation of the latents{model} (posterior means over {PATHS} sampled paths) and of log-Mel frames, "
        f"all dimensions weighted by their variance; {int(curves['n'].iloc[0])} utterances, each about its own mean; "
        f"{over}. "
        f"First lag below 1/e: {', '.join(falls)}. {'; '.join(lasting).capitalize()}{'.' if lasting else ''}"
    ).strip()


def _check(data: pd.DataFrame) -> None:
    if missing := [name for name in COLUMNS if name not in data]:
        raise LeftOut(f"autocorrelations lack the columns {', '.join(missing)}")
    if not (data["kind"] == "autocorrelation").any():
        raise LeftOut("autocorrelations hold no curve")


def _chosen(corpus: Corpus, seed: int) -> list[Utterance]:
    """Some utterances, those with phones if any have."""
    mine = [u for u in corpus.utterances if u.phonemes] or list(corpus.utterances)
    some = np.random.default_rng(seed).permutation(len(mine))[:UTTERANCES]
    return [mine[i] for i in sorted(some)]


def _rows(name: str, step_ms: float, products: np.ndarray, counts: np.ndarray, seed: int) -> pd.DataFrame:
    """The autocorrelation at every lag that any utterance is long enough for."""
    value = autocorrelation(products.sum(0)[:, None], counts.sum(0)[:, None])[:, 0]
    low = high = np.full(len(value), np.nan)
    if len(products) > 1:
        drawn = resampled_ratios(products, counts, rng=np.random.default_rng([seed, *name.encode()]))
        interval = percentile_interval(drawn / drawn[:, :1])
        low, high = interval.low, interval.high
    rows = pd.DataFrame({"kind": "autocorrelation", "series": name, "lag_ms": step_ms * np.arange(len(value)),
                         "value": value, "ci_low": low, "ci_high": high})  # fmt: skip
    return rows[rows["value"].notna()]


def _durations(utterances: Sequence[Utterance]) -> pd.DataFrame:
    """Median durations of phones without silences, and of words."""
    rows = []
    for kind in ("phone", "word"):
        seconds = [
            segment.samples / utterance.sample_rate
            for utterance in utterances
            for segment in (utterance.phonemes if kind == "phone" else utterance.words)
            if segment.label not in phones.NON_PHONEMES
        ]
        if seconds:
            rows.append(["duration", kind, 1000 * float(np.median(seconds)), len(seconds), np.nan, np.nan])
    return pd.DataFrame(rows, columns=list(COLUMNS))
