"""How many bits a phoneme takes with the tokens that a probe was fitted to: the learning curve of the online code.

The area under a curve is the code length (Voita and Titov 2020): a feature whose phonemes can be read off falls at
once, one whose phonemes have to be learnt falls late.
"""

from __future__ import annotations

from dataclasses import replace

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import NullFormatter

from lvm_probe import InputError
from lvm_probe.figures import layout, style
from lvm_probe.figures.inputs import FigureInputs, check_columns
from lvm_probe.probing.questions.question import Protocol, Question
from lvm_probe.probing.questions.results import pooled

NAME = "learning-curve"
TITLE = "Bits per phoneme over the tokens learnt from"

COLUMNS = ("feature", "protocol", "groups", "fitted", "bits", "share_bits", "code")

PROTOCOLS: dict[Protocol, str] = {
    "utterance": "one speaker at a time", "speaker": "across speakers",
}  # fmt: skip
_UNITS = {"utterance": "utterances of the speaker", "speaker": "speakers"}


def data(inputs: FigureInputs) -> pd.DataFrame:
    """One row per protocol, feature and block: the tokens fitted to (the mean), and the bits of each label coded next.

    `code` is the bits per label of the whole code, in which the first block counts too. The first block has no probe
    and is left out.

    Raises:
        InputError: neither layers nor Mel; too few phonemes, utterances or speakers for both protocols.
    """
    features = inputs.features
    if not features:
        raise InputError(f"{inputs.table.path}: neither layers of a model nor Mel")
    parts, reasons = [], []
    for protocol in PROTOCOLS:
        try:
            answer = replace(inputs, untrained=None).answer(_question(inputs, protocol))
        except InputError as error:
            reasons.append(str(error))
            continue
        codes = pooled(answer.frame).set_index("feature")["bits"]
        curve = answer.curve[answer.curve["groups"] > 0]
        parts.append(curve.assign(code=curve["feature"].map(codes)))
    if not parts:
        raise InputError("; ".join(reasons))
    return pd.concat(parts, ignore_index=True)[[*COLUMNS, "n", "accuracy"]]


def _question(inputs: FigureInputs, protocol: Protocol) -> Question:
    return replace(inputs.question(method="mdl", protocol=protocol), permutations=0)


def draw(ax: Axes, data: pd.DataFrame) -> None:
    """Draw a curve for each feature over the tokens that the probe was fitted to, and that of class shares in grey."""
    _check(data)
    with style.theme():
        shares = data[data["feature"] == data["feature"].iloc[0]]
        ax.plot(shares["fitted"], shares["share_bits"], color=style.GREY, linestyle="dotted", label="class shares")
        for name in style.feature_order(data["feature"]):
            one, look = data[data["feature"] == name], style.feature_style(name)
            ax.plot(one["fitted"], one["bits"], color=look.colour, linestyle=look.linestyle, marker=look.marker,
                    markersize=3.2, markeredgewidth=0, label=look.label)  # fmt: skip
        ax.set_xscale("log")
        ticks = shares["fitted"].round().tolist()
        ax.set_xticks(ticks, [f"{tick:,.0f}" for tick in ticks])
        ax.xaxis.set_minor_formatter(NullFormatter())
        ax.minorticks_off()
        ax.set(ylim=(0, None), xlabel="tokens learnt from", ylabel="bits per label")


def figure(data: pd.DataFrame) -> Figure:
    """A panel for each protocol on the same scale of bits, and the legend below."""
    check_columns(data, COLUMNS, "learning curves")
    protocols = [name for name in PROTOCOLS if name in set(data["protocol"])]
    with style.theme():
        fig, places = layout.grid(len(protocols), per_row=2, tall=1.9, foot=0.24)
        for ax, protocol in zip(places, protocols, strict=True):
            draw(ax, data[data["protocol"] == protocol])
            ax.set_title(f"{PROTOCOLS[protocol]} (1, 2, 4, ... {_UNITS[protocol]})", pad=3)
        layout.share_height(places)
        layout.legend_below(fig, places[0])
    return fig


def caption(data: pd.DataFrame, inputs: FigureInputs) -> str:
    """What is coded, and the code lengths."""
    parts = []
    for protocol in (name for name in PROTOCOLS if name in set(data["protocol"])):
        some = data[data["protocol"] == protocol].drop_duplicates("feature").set_index("feature")["code"]
        codes = [f"{style.feature_style(name).label} {some[name]:.2f}" for name in style.feature_order(some.index)]
        parts.append(f"{PROTOCOLS[protocol]} {', '.join(codes)}")
    orders = _question(inputs, "speaker").orders
    return (
        f"Bits of each phoneme label that is coded next, over the tokens that the logistic regression was fitted to "
        f"({inputs.table.name}); mean over {orders} orders. Dotted: coded by class shares, without features. Whole "
        f"code in bits per label, the uniform code of the first block included: {'; '.join(parts)}."
    )


def _check(data: pd.DataFrame) -> None:
    check_columns(data, COLUMNS, "learning curves")
    if len(set(data["protocol"])) > 1:
        raise InputError("learning curves of several protocols; a panel shows one")
