"""KL rate of each layer over one utterance, below its spectrogram and its phone segments."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator, StrMethodFormatter

from lvm_probe import InputError
from lvm_probe.figures import layout, style
from lvm_probe.figures.inputs import FigureInputs, check_columns
from lvm_probe.probing.corpora import phones

if TYPE_CHECKING:
    from lvm_probe.models.model import SpeechModel
    from lvm_probe.probing.corpora.corpus import Corpus, Segment, Utterance

NAME = "kl-over-time"
TITLE = "KL of each layer over one utterance"

DRAWS = 8
"""Monte Carlo draws that the KL is averaged over."""

SHORTEST, LONGEST = 1.5, 4.0
"""Seconds of an utterance that fits on a page; only the beginning of a longer one is shown."""

COLUMNS = ("kind", "name", "start", "end", "hertz", "value")

_HOP_SECONDS, _WINDOW_SECONDS, _BINS = 0.008, 0.025, 80
_RANGE_DB = 65.0  # anything quieter, relative to the loudest cell, is white
_KILO = 2000.0  # bits per second from which the axis is in kilobits
_LABEL, _LABEL_LINE = 5.0, 6.0  # points
_WORD_LINE = 7.5  # points
_LEVELS = 3  # heights at which phone labels that are wider than their segments alternate
_KHZ = (0.5, 1, 2, 4, 8)


def data(inputs: FigureInputs) -> pd.DataFrame:
    """Everything in one long table; times in seconds from the start of the recording.

    Rows of kind `spectrogram` are cells of a log-Mel spectrogram: `hertz` is the middle of the Mel bin, `value` the
    level in dB relative to the loudest cell. Rows of kind `phone` and `word` are segments with their label as `name`.
    Rows of kind `kl` are time steps of the layer `name`: `value` is the KL in bits per second, averaged over Monte
    Carlo draws. The first row, of kind `utterance`, names the utterance, and its `value` is the number of draws.

    Raises:
        InputError: no checkpoint or corpus, a model without latents, no phones of the speaker, or audio that cannot be
            read.
    """
    model, corpus = model_and_corpus(inputs)
    from lvm_probe.probing.corpora.audio import FULL_SCALE
    from lvm_probe.probing.corpora.recordings import read_pcm
    from lvm_probe.probing.diagnostics.kl_rate import layer_kl

    utterance = _choose(corpus, inputs.one_speaker())
    rate = model.config.sample_rate
    inputs.progress(f"KL over {utterance.id}")
    pcm = read_pcm(utterance, rate)
    spent = layer_kl(model, utterance.id, pcm, DRAWS, inputs.seed)
    end = min(len(pcm) / rate, LONGEST)
    named = pd.DataFrame([["utterance", utterance.id, 0.0, end, np.nan, DRAWS]], columns=list(COLUMNS))
    parts = [named, _spectrogram(pcm.astype(np.float64) / FULL_SCALE, rate, end)]
    words = [word for word in utterance.words if word.label not in phones.NON_PHONEMES]
    parts += [_segments("phone", utterance.phonemes, utterance.sample_rate, end)]
    parts += [_segments("word", words, utterance.sample_rate, end)]
    for l, (layer, stride) in enumerate(zip(spent, model.strides, strict=True)):
        if not np.isfinite(layer.bits).all():
            raise InputError(f"{utterance.audio}: the KL is not finite; the checkpoint is damaged")
        start = np.arange(len(layer.bits)) * stride / rate
        steps = pd.DataFrame({"kind": "kl", "name": f"z{l + 1}", "start": start, "end": start + stride / rate})
        steps = steps.assign(hertz=np.nan, value=layer.bits * rate / stride)
        parts.append(steps[steps["start"] < end].assign(end=lambda s: s["end"].clip(upper=end)))
    return pd.concat([part for part in parts if len(part)], ignore_index=True)[list(COLUMNS)]


def model_and_corpus(inputs: FigureInputs) -> tuple[SpeechModel, Corpus]:
    """The model and the recordings, for figures that need both.

    Raises:
        InputError: either was not given, or the model has no latents.
    """
    if inputs.checkpoint is None:
        raise InputError("this figure needs the model: give its checkpoint, --ckpt")
    if inputs.corpus is None:
        raise InputError("this figure needs the recordings: give the corpus, --corpus")
    from lvm_probe.probing.features.posterior_sampler import require_latents

    require_latents(inputs.checkpoint.model, inputs.checkpoint.path.stem)
    return inputs.checkpoint.model, inputs.corpus


def draw(ax: Axes, data: pd.DataFrame) -> None:
    """Draw one panel: the spectrogram, the labelled segments (phones above words), or the KL of one layer.

    Args:
        ax: where; its limits are set here, so its size must be final.
        data: rows of kind `spectrogram`, of kinds `phone` and `word`, or of kind `kl` and one name.

    Raises:
        InputError: rows of other kinds, or none.
    """
    with style.theme():
        match sorted(set(data["kind"])):
            case ["spectrogram"]:
                _draw_spectrogram(ax, data)
            case ["phone"] | ["phone", "word"]:
                _draw_segments(ax, data)
            case ["kl"]:
                _draw_steps(ax, data)
            case kinds:
                raise InputError(f"rows of kinds {', '.join(kinds) or 'none'} make no panel of KL over time")


def figure(data: pd.DataFrame) -> Figure:
    """Spectrogram, segments and one panel per layer, above each other on one axis of time."""
    _check(data)
    layers = list(dict.fromkeys(data.loc[data["kind"] == "kl", "name"]))
    width, left, right = style.TWO_COLUMNS, 0.56, 0.1
    across = width - left - right
    segments = data[data["kind"].isin(["phone", "word"])]
    lanes = (_LEVELS * _LABEL_LINE + 4 + _WORD_LINE * (segments["kind"] == "word").any()) / 72
    heights = [1.05, lanes, *([0.72] * len(layers))]
    gaps = [0.05, *([0.1] * len(layers))]
    foot, head = 0.36, 0.08
    total = foot + sum(heights) + sum(gaps) + head
    end = float(data.loc[data["kind"] == "utterance", "end"].iloc[0])
    with style.theme():
        fig = Figure(figsize=(width, total), dpi=style.DPI)
        top = total - head
        parts = [data[data["kind"] == "spectrogram"], segments]
        parts += [data[(data["kind"] == "kl") & (data["name"] == layer)] for layer in layers]
        phone_starts = segments.loc[segments["kind"] == "phone", "start"].unique()
        for i, (part, height, gap) in enumerate(zip(parts, heights, [*gaps, 0.0], strict=True)):
            ax = layout.axes_in(fig, left, top - height, across, height)
            top -= height + gap
            ax.set_xlim(0, end)
            draw(ax, part)
            ax.yaxis.set_label_coords(-0.33 / across, 0.5)
            if i > 1:
                for start in phone_starts:
                    ax.axvline(start, color=style.PALE, linewidth=0.35, zorder=0)
            if i < len(parts) - 1:
                ax.tick_params(labelbottom=False)
            else:
                ax.set_xlabel("time (s)")
    return fig


def caption(data: pd.DataFrame, inputs: FigureInputs) -> str:
    """Whose utterance, and the mean KL rate of each layer."""
    about = data[data["kind"] == "utterance"].iloc[0]
    kl = data[data["kind"] == "kl"]
    bits = (kl["value"] * (kl["end"] - kl["start"])).groupby(kl["name"]).sum() / about["end"]
    rates = ", ".join(f"{layer} {bits[layer]:,.0f}" for layer in dict.fromkeys(kl["name"]))
    steps = ", ".join(f"{1000 * (one['end'] - one['start']).iloc[0]:g} ms" for _, one in kl.groupby("name", sort=False))
    model = "" if inputs.checkpoint is None else f" of {inputs.checkpoint.path.stem}"
    return (
        f"Utterance {about['name']}: log-Mel spectrogram ({_RANGE_DB:.0f} dB from black to white), phones (tinted by "
        "manner of articulation) and words as labelled (where there is room), and KL(q || p) of each layer"
        f"{model} in bits per second of audio, averaged over {about['value']:.0f} Monte Carlo draws, at the time steps "
        f"of the layers ({steps}). Mean over the {about['end']:.1f} s shown: {rates} bits per second. Grey lines: "
        "phone boundaries."
    )


def _check(data: pd.DataFrame) -> None:
    check_columns(data, COLUMNS, "KL over time")
    if missing := [kind for kind in ("utterance", "spectrogram", "phone", "kl") if kind not in set(data["kind"])]:
        raise InputError(f"KL over time lacks rows of kind {', '.join(missing)}")


def _choose(corpus: Corpus, speaker: str) -> Utterance:
    """The speaker's shortest utterance with phones that fits on the page, or the first."""
    utterances = [u for u in corpus.utterances if u.speaker.id == speaker and u.phonemes]
    if not utterances:
        raise InputError(f"{corpus.root}: no utterance of speaker {speaker} with phones; give the corpus of the table")
    fitting = [u for u in utterances if SHORTEST <= u.seconds <= LONGEST]
    return min(fitting, key=lambda u: u.seconds) if fitting else utterances[0]


def _spectrogram(wave: np.ndarray, rate: int, end: float) -> pd.DataFrame:
    """Cells of the log-Mel spectrogram until `end`, in dB relative to the loudest, rounded to hundredths."""
    from lvm_probe.analysis.mel import log_mel

    hop, window = max(1, round(_HOP_SECONDS * rate)), 2 * round(_WINDOW_SECONDS * rate / 2)
    db = 10 / np.log(10) * log_mel(wave, sample_rate=rate, hop=hop, window=window, bins=_BINS)
    db = db[: int(np.ceil(end * rate / hop))]
    start = np.arange(len(db)) * hop / rate
    middles = _hertz(_mel(rate / 2) * np.arange(1, _BINS + 1) / (_BINS + 1))
    return pd.DataFrame(
        {
            "kind": "spectrogram",
            "name": "mel",
            "start": np.repeat(start, _BINS).round(6),
            "end": np.repeat(start + hop / rate, _BINS).round(6),
            "hertz": np.tile(middles, len(db)).round(2),
            "value": (db - db.max()).ravel().round(2),
        }
    )


def _segments(kind: str, segments: tuple[Segment, ...] | list[Segment], rate: int, end: float) -> pd.DataFrame:
    rows = [(kind, s.label, s.start / rate, min(s.end / rate, end), np.nan, np.nan) for s in segments]
    return pd.DataFrame([row for row in rows if row[2] < end], columns=list(COLUMNS))


def _mel(hertz: float | np.ndarray) -> np.ndarray:
    """HTK's Mel scale, as in `analysis.mel`."""
    return 2595 * np.log10(1 + np.asarray(hertz) / 700)


def _hertz(mel: float | np.ndarray) -> np.ndarray:
    return 700 * (10 ** (np.asarray(mel) / 2595) - 1)


def _draw_spectrogram(ax: Axes, data: pd.DataFrame) -> None:
    grid = data.pivot_table(index="hertz", columns="start", values="value")
    middles = _mel(grid.index.to_numpy(float))
    half = (middles[-1] - middles[0]) / (len(middles) - 1) / 2
    extent = (float(data["start"].min()), float(data["end"].max()), middles[0] - half, middles[-1] + half)
    limits = ax.get_xlim()
    ax.imshow(grid.to_numpy(), cmap="gray_r", vmin=-_RANGE_DB, vmax=0, extent=extent, origin="lower", aspect="auto",
              interpolation="nearest")  # fmt: skip
    ax.set_xlim(limits)
    ticks = [khz for khz in _KHZ if _mel(1000 * khz) <= extent[3]]
    ax.set_yticks([float(_mel(1000 * khz)) for khz in ticks], [f"{khz:g}" for khz in ticks])
    ax.set_ylabel("kHz")


def _draw_segments(ax: Axes, data: pd.DataFrame) -> None:
    """Phones as tinted boxes with their labels at up to three heights, words below."""
    wide, tall = layout.size_in_points(ax)
    begin, end = ax.get_xlim()
    points = wide / (end - begin)  # per second
    ax.set_ylim(0, tall)
    ax.axis("off")
    segments, words = data[data["kind"] == "phone"], data[data["kind"] == "word"]
    floor = tall - _LEVELS * _LABEL_LINE - 2
    styles = style.phone_styles(segments["name"].astype(str))
    taken = [-np.inf] * _LEVELS  # where the last label at each height ends
    for row in segments.to_dict("records"):
        label, middle = str(row["name"]), (row["start"] + row["end"]) / 2
        ax.fill_between([row["start"], row["end"]], floor, tall, color=styles[label].paler(0.78), linewidth=0)
        ax.plot([row["start"]] * 2, [floor, tall], color="white", linewidth=0.6)
        half = 36 * layout.text_width(label, _LABEL)
        free = (i for i in (1, 0, 2) if points * middle - half > taken[i] + 1)
        level = next(free, int(np.argmin(taken)))
        taken[level] = points * middle + half
        ax.text(middle, tall - 1 - (level + 0.5) * _LABEL_LINE, label, fontsize=_LABEL, ha="center", va="center")
    y = (floor - 1) / 2
    for row in words.to_dict("records"):
        label = str(row["name"])
        if 72 * layout.text_width(label, _LABEL) > points * (row["end"] - row["start"]):
            continue  # there is no room
        for edge in ("start", "end"):
            ax.plot([row[edge]] * 2, [y - 2.2, y + 2.2], color=style.GREY, linewidth=0.5)
        ax.text((row["start"] + row["end"]) / 2, y, label, fontsize=_LABEL, ha="center", va="center")


def _draw_steps(ax: Axes, data: pd.DataFrame) -> None:
    look = style.feature_style(str(data["name"].iloc[0]))
    kilo = data["value"].max() >= _KILO
    values = data["value"].to_numpy(float) / (1000 if kilo else 1)
    edges = np.append(data["start"], data["end"].iloc[-1])
    ax.stairs(values, edges, color=look.colour, linewidth=0.7, baseline=None, zorder=3)
    ax.stairs(values, edges, color=look.colour, alpha=0.15, fill=True, linewidth=0, zorder=2)
    ax.set_ylim(0, 1.08 * max(values.max(), 1e-9))
    ax.yaxis.set_major_locator(MaxNLocator(3))
    ax.yaxis.set_major_formatter(StrMethodFormatter("{x:,g}"))
    ax.set_ylabel(f"{look.label}\n({'kbit/s' if kilo else 'bit/s'})", color=look.text_colour)
