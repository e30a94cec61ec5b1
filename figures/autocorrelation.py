"""Autocorrelation of each layer's latents over the lag, with that of Mel and the durations of phones and words."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from lvm_probe import InputError
from lvm_probe.analysis.autocorrelation import autocorrelation, lagged_products, pairs
from lvm_probe.analysis.statistics import MIN_GROUPS, Jackknife, mean_interval
from lvm_probe.figures import layout, style
from lvm_probe.figures.inputs import FigureInputs, check_columns
from lvm_probe.figures.kl_over_time import model_and_corpus
from lvm_probe.probing.corpora import phones

if TYPE_CHECKING:
    from lvm_probe.probing.corpora.corpus import Corpus, Utterance

NAME = "autocorrelation"
TITLE = "Autocorrelation of each layer"

UTTERANCES = 20
"""Utterances at most, chosen with the seed: the autocorrelation is a mean over thousands of time steps."""

DRAWS = 4
"""Monte Carlo draws that the posterior mean is averaged over."""

LONGEST_SECONDS = 0.3
"""The longest lag."""

MEL_HOP = 64
"""Hop of Mel frames in audio samples where the lowest stride is a single sample."""

COLUMNS = ("kind", "series", "lag_ms", "value", "ci_low", "ci_high")


def data(inputs: FigureInputs) -> pd.DataFrame:
    """One row per layer (and Mel) and lag, of kind `autocorrelation`; one each of kind `duration` for phone and word.

    `value` is the autocorrelation of the vector: the sum of its dimensions' autocovariances over that of their
    variances, each utterance relative to its own mean. For a layer the vector is the posterior mean, averaged over
    Monte Carlo draws. `ci_low` and `ci_high` are a 95 % interval over `groups` speakers, or utterances of a
    single speaker (`over`); `n` counts utterances. Rows of kind `duration` have the median duration as `lag_ms`, and
    their number as `value`.

    Raises:
        InputError: no checkpoint or corpus, a model without latents, or audio that cannot be read.
    """
    model, corpus = model_and_corpus(inputs)
    from lvm_probe.analysis.mel import log_mel
    from lvm_probe.probing.corpora.audio import to_float
    from lvm_probe.probing.corpora.recordings import read_pcm
    from lvm_probe.probing.diagnostics.kl_rate import layer_kl

    chosen = _choose(corpus, inputs.seed)
    rate = model.config.sample_rate
    hop = model.strides[0] if model.strides[0] > 1 else MEL_HOP
    names = [*(f"z{l + 1}" for l in range(len(model.strides))), "mel"]
    strides = dict(zip(names, [*model.strides, hop], strict=True))
    speakers = [utterance.speaker.id for utterance in chosen]
    unit = "speaker" if len(set(speakers)) > 1 else "utterance"
    groups = np.unique(speakers if unit == "speaker" else [u.id for u in chosen], return_inverse=True)[1]
    lags = {name: int(LONGEST_SECONDS * rate / stride) + 1 for name, stride in strides.items()}
    products = {name: np.zeros((groups.max() + 1, count)) for name, count in lags.items()}
    counts = {name: np.zeros((groups.max() + 1, count)) for name, count in lags.items()}
    for utterance, group in zip(chosen, groups, strict=True):
        inputs.progress(f"autocorrelation, {utterance.id}")
        pcm = read_pcm(utterance, rate)
        spent = layer_kl(model, utterance.id, pcm, DRAWS, inputs.seed)
        mel = log_mel(to_float(pcm), sample_rate=rate, hop=hop)
        for name, series in zip(names, [*(layer.mean for layer in spent), mel], strict=True):
            products[name][group] += lagged_products(series.astype(np.float64), lags[name]).sum(1)
            counts[name][group] += pairs(len(series), lags[name])
    parts = [
        _rows(name, 1000 * strides[name] / rate, products[name], counts[name]).assign(
            over=unit, groups=int(groups.max()) + 1, n=len(chosen)
        )
        for name in names
    ]
    parts.append(_durations(chosen))
    return pd.concat([part for part in parts if len(part)], ignore_index=True)


def draw(ax: Axes, data: pd.DataFrame) -> None:
    """Draw a curve with its band for each layer and Mel, and a vertical line at each median duration."""
    _check(data)
    curves = data[data["kind"] == "autocorrelation"]
    longest = float(curves["lag_ms"].max())
    low = min(0.0, float(curves[["value", "ci_low"]].min().min()))
    with style.theme():
        ax.axhline(0, color=style.GREY, linewidth=0.5, zorder=1)
        for name in style.feature_order(curves["series"]):
            one, look = curves[curves["series"] == name], style.feature_style(name)
            ax.fill_between(one["lag_ms"], one["ci_low"], one["ci_high"], color=look.colour, alpha=0.14, linewidth=0)
            ax.plot(one["lag_ms"], one["value"], color=look.colour, linestyle=look.linestyle, marker=look.marker,
                    markersize=2.8, markeredgewidth=0, markevery=max(1, round(len(one) / 8)), label=look.label,
                    zorder=3)  # fmt: skip
        for row in data[(data["kind"] == "duration") & (data["lag_ms"] <= longest)].to_dict("records"):
            ax.axvline(row["lag_ms"], color=style.DARK, linewidth=0.7, dashes=(1.5, 1.5), zorder=1.5)
            right = row["lag_ms"] > 0.7 * longest
            ax.annotate(
                f"median {row['series']}", (row["lag_ms"], 1), xycoords=("data", "axes fraction"),
                xytext=(-2.5 if right else 2.5, -1), textcoords="offset points", ha="right" if right else "left",
                va="top", fontsize=style.SMALL, color=style.DARK,
            )  # fmt: skip
        ax.set(xlim=(0, longest), ylim=(low - 0.03, 1.09), xlabel="lag (ms)", ylabel="autocorrelation")


def figure(data: pd.DataFrame) -> Figure:
    """One panel in one column, with its legend."""
    with style.theme():
        fig, ax = layout.single(height=1.95, head=0.22)
        draw(ax, data)
        ax.legend(loc="lower left", bbox_to_anchor=(-0.02, 1.0), ncols=len(ax.lines), handlelength=3.2,
                  columnspacing=1.6, borderaxespad=0.2)  # fmt: skip
    return fig


def caption(data: pd.DataFrame, inputs: FigureInputs) -> str:
    """What was measured, and where the curves fall to 1/e."""
    curves = data[data["kind"] == "autocorrelation"]
    falls = []
    for name, one in curves.groupby("series", sort=False):
        below = one.loc[one["value"] < np.exp(-1), "lag_ms"]
        lag = f"{below.iloc[0]:.0f} ms" if len(below) else f"more than {one['lag_ms'].max():.0f} ms"
        falls.append(f"{style.feature_style(str(name)).label} {lag}")
    durations = [
        f"median {row['series']} duration {row['lag_ms']:.0f} ms (of {row['value']:,.0f})"
        for row in data[data["kind"] == "duration"].to_dict("records")
    ]
    model = "" if inputs.checkpoint is None else f" of {inputs.checkpoint.path.stem}"
    groups, over = int(curves["groups"].iloc[0]), curves["over"].iloc[0]
    bands = f"bands: 95 % intervals over {groups} {over}s" if groups >= MIN_GROUPS else f"too few {over}s for a band"
    return (
        f"Autocorrelation of the latents{model} (posterior means, averaged over {DRAWS} Monte Carlo draws) and of "
        f"log-Mel frames, all dimensions weighted by their variance; {int(curves['n'].iloc[0])} utterances, each "
        f"relative to its own mean; {bands}. First lag below 1/e: {', '.join(falls)}. "
        f"{'; '.join(durations).capitalize()}{'.' if durations else ''}"
    ).strip()


def _check(data: pd.DataFrame) -> None:
    check_columns(data, COLUMNS, "autocorrelations")
    if not (data["kind"] == "autocorrelation").any():
        raise InputError("the table of autocorrelations has no curve")


def _choose(corpus: Corpus, seed: int) -> list[Utterance]:
    """Some utterances, those with phones if any have."""
    usable = [u for u in corpus.utterances if u.phonemes] or list(corpus.utterances)
    chosen = np.random.default_rng(seed).permutation(len(usable))[:UTTERANCES]
    return [usable[i] for i in sorted(chosen)]


def _rows(name: str, step_ms: float, products: np.ndarray, counts: np.ndarray) -> pd.DataFrame:
    """The autocorrelation at every lag that any utterance is long enough for."""
    value = autocorrelation(products.sum(0)[:, None], counts.sum(0)[:, None])[:, 0]
    interval = mean_interval(Jackknife.of_ratios(products, counts).map(lambda rows: rows / rows[:, :1]))
    rows = pd.DataFrame({"kind": "autocorrelation", "series": name, "lag_ms": step_ms * np.arange(len(value)),
                         "value": value, "ci_low": interval.low, "ci_high": interval.high})  # fmt: skip
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
