"""ABX over frames as ZeroSpeech does it: the error rate of every layer, of Mel and of MFCC."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory

import pandas as pd
from matplotlib.figure import Figure

from lvm_probe import InputError
from lvm_probe.figures import accuracy_points
from lvm_probe.figures.accuracy_points import Measure
from lvm_probe.figures.inputs import FigureInputs, check_columns
from lvm_probe.figures.kl_over_time import model_and_corpus
from lvm_probe.figures.wording import number_range

NAME = "zerospeech"
TITLE = "ABX over frames, as ZeroSpeech does it"

COLUMNS = ("layer", "unit", "speakers", "context", "error", "ci_low", "ci_high", "chance", "tokens", "triples")

DRAWS = 2
"""Monte Carlo draws of the latents."""

ERROR = Measure("error", "ci_low", "ci_high", "", "chance", "ABX error (%)", "chance", 100)

draw = partial(accuracy_points.draw, measure=ERROR)
"""Draw one row for each feature: the error rate with its interval."""


def data(inputs: FigureInputs) -> pd.DataFrame:
    """One row per unit, speakers and layer, as `probe zerospeech` has them, for A, B and X in the same context.

    Raises:
        InputError: no checkpoint or corpus, a model without latents, or no phones.
    """
    model_and_corpus(inputs)
    from lvm_probe.probing.exports import frames
    from lvm_probe.probing.features.latents import Model
    from lvm_probe.probing.questions import zerospeech

    checkpoint, corpus = inputs.checkpoint, inputs.corpus
    assert checkpoint is not None
    assert corpus is not None
    if not any(one.phonemes for one in corpus.utterances):
        raise InputError(f"{corpus.root}: no phones, of which ABX compares the frames")
    done = 0.0

    def progress(seconds: float) -> None:
        nonlocal done
        done += seconds
        inputs.progress("frames", done / corpus.seconds)

    with TemporaryDirectory() as temporary:
        folder = Path(temporary)
        frames.write(folder, Model(checkpoint), corpus, samples=DRAWS, seed=inputs.seed, acoustic=frames.ACOUSTIC,
                     progress=progress)  # fmt: skip
        found = [zerospeech.scores(folder, unit=unit, seed=inputs.seed).frame for unit in zerospeech.ITEMS]
    return pd.concat(found, ignore_index=True)


def figure(data: pd.DataFrame) -> Figure:
    """A panel for each unit and task, on the same axis."""
    check_columns(data, COLUMNS, "ABX error rates")
    several = len(set(data["context"])) > 1
    parts = {
        f"{unit}s\n{speakers} speakers{f', {context} context' if several else ''}": rows.assign(feature=rows["layer"])
        for (unit, speakers, context), rows in data.groupby(["unit", "speakers", "context"], sort=False)
    }
    return accuracy_points.panel_row(parts, f"{number_range(data['triples'])} triples of A, B and X.", measure=ERROR)


def caption(data: pd.DataFrame, inputs: FigureInputs) -> str:
    """What was compared."""
    return (
        "Share of triples in which X is nearer to B, of another phone, than to A, of its own; less is better. Frames "
        "of each layer at its own rate, of Mel and MFCC at 100 Hz, by dynamic time warping over the angular distance; "
        f"A, B and X have the same neighbours. {number_range(data['tokens'])} tokens, {number_range(data['triples'])} "
        f"triples; latents are means of {DRAWS} draws. Intervals (95 %) are by the jackknife over speakers."
    )
