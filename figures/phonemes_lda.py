"""Phonemes of one speaker in two linear discriminants of each layer (Havtorn et al. 2022, figure 3, left).

The paper shows z1 alone, and the tokens that its axes were fitted to; `figures.lda_scatter` explains the difference.
"""

from __future__ import annotations

import pandas as pd
from matplotlib.figure import Figure

from lvm_probe import InputError
from lvm_probe.figures import lda_scatter, style
from lvm_probe.figures.inputs import FigureInputs
from lvm_probe.figures.lda_scatter import draw as draw
from lvm_probe.probing.questions.rows import select_rows

NAME = "phonemes-lda"
TITLE = "Phonemes of one speaker in two linear discriminants (as figure 3, left, of Havtorn et al. 2022)"


def data(inputs: FigureInputs) -> pd.DataFrame:
    """Where each of the speaker's phonemes lies: feature, x, y, label, held_out, token_id, speaker.

    Raises:
        InputError: fewer than three phonemes of the speaker, or a single utterance where the axes are to be fitted to
            other tokens.
    """
    speaker = inputs.one_speaker()
    try:
        rows = select_rows(inputs.table, inputs.question(speakers=(speaker,)))
        tokens = rows.table.tokens
        labels, utterances = rows.labels.tolist(), tokens["utterance"].tolist()
        parts = [
            lda_scatter.prepare(
                rows.table.matrix(feature), labels, utterances, fit=inputs.fit, seed=inputs.seed
            ).assign(feature=feature, token_id=tokens["token_id"], speaker=speaker)
            for feature in inputs.single_features
        ]
    except InputError as error:
        raise InputError(f"phonemes of speaker {speaker}: {error}") from None
    return pd.concat(parts, ignore_index=True)[["feature", "x", "y", "label", "held_out", "token_id", "speaker"]]


def figure(data: pd.DataFrame) -> Figure:
    """One panel for each layer and Mel, and the legend of manners below."""
    first = data[data["feature"] == data["feature"].iloc[0]]
    shown = lda_scatter.in_full_colour(first)
    text = f"Speaker {first['speaker'].iloc[0]}: {len(shown):,} tokens of {shown['label'].nunique()} phonemes."
    if not first["held_out"].any():
        text += " The paper's way: the axes separate the tokens that they were fitted on too well."
    return lda_scatter.panels(data, lda_scatter.fitted_on(first), text)


def caption(data: pd.DataFrame, inputs: FigureInputs) -> str:
    """What is shown, what the axes were fitted to, and what the outlines and names are."""
    first = data[data["feature"] == data["feature"].iloc[0]]
    shown = lda_scatter.in_full_colour(first)
    how = (
        f"fitted to the other half of the speaker's utterances ({len(first) - len(shown):,} tokens, not shown)"
        if first["held_out"].any()
        else "fitted to these very tokens, as in the paper, which makes clusters of noise too in many dimensions"
    )
    named = int((shown["label"].value_counts() >= lda_scatter.MIN_NAMED).sum())
    return (
        "One speaker's phonemes without silences in two linear discriminants of "
        f"{style.feature_list(data['feature'])}, "
        f"coloured by manner of articulation. The axes are {how}, in units of the standard deviation within phonemes; "
        "each panel has its own. Outlines hold 68 % of the density of a manner's tokens (Gaussian kernels). Names are "
        f"at the means of the {named} phonemes with {lda_scatter.MIN_NAMED} tokens or more. Tokens beyond the axes, if "
        "any, are counted in the corner."
    )
