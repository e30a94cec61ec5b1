"""Phonemes of one speaker in the plane of two linear discriminants, layer by layer: the paper's figure 3, left.

The paper shows z1 alone, and the tokens that its axes were fitted to; see `figures.lda_scatter` for what is shown here.
"""

from __future__ import annotations

import pandas as pd
from matplotlib.figure import Figure

from lvm_probe import InputError
from lvm_probe.figures import lda_scatter, style
from lvm_probe.figures.inputs import LeftOut, Material
from lvm_probe.figures.lda_scatter import draw
from lvm_probe.probing.features.feature import default_features
from lvm_probe.probing.features.token_table import TokenTable
from lvm_probe.probing.questions.question import Question
from lvm_probe.probing.questions.rows import select_rows

__all__ = ["NAME", "TITLE", "caption", "data", "draw", "figure"]

NAME = "phonemes-lda"
TITLE = "Phonemes of one speaker in two linear discriminants (figure 3, left)"


def data(material: Material) -> pd.DataFrame:
    """Where each of the speaker's phonemes lies: feature, x, y, label, held_out, token_id, speaker.

    Raises LeftOut without phonemes of the speaker, with fewer than three of them to tell apart, or with a single
    utterance where the axes are to be fitted to other tokens.
    """
    speaker = material.one_speaker()
    try:
        found = select_rows(material.table, Question(speakers=(speaker,)))
        tokens = found.table.tokens
        parts = [
            lda_scatter.prepare(
                found.table.matrix(feature),
                found.labels.tolist(),
                tokens["utterance"].tolist(),
                fit="all" if material.fit == "paper" else "half",
                seed=material.seed,
            ).assign(feature=feature, token_id=tokens["token_id"], speaker=speaker)
            for feature in single_features(material.table)
        ]
    except InputError as error:
        raise LeftOut(f"phonemes of speaker {speaker}: {error}") from None
    return pd.concat(parts, ignore_index=True)[["feature", "x", "y", "label", "held_out", "token_id", "speaker"]]


def figure(data: pd.DataFrame) -> Figure:
    """A panel for each layer and Mel, and the legend of all phonemes below."""
    first = data[data["feature"] == data["feature"].iloc[0]]
    text = f"Speaker {first['speaker'].iloc[0]}: {lda_scatter.said(first)}"
    return lda_scatter.panels(data, lda_scatter.fitted_on(first), text)


def caption(data: pd.DataFrame, material: Material) -> str:
    """What is shown, of whom, and what the axes were fitted to."""
    first = data[data["feature"] == data["feature"].iloc[0]]
    shown = first[first["held_out"]] if first["held_out"].any() else first
    how = (
        f"fitted to the other half of the utterances ({len(first) - len(shown):,} tokens, drawn faint)"
        if first["held_out"].any()
        else "fitted to these very tokens, as in the paper, which makes clusters of noise too where there are many "
        "dimensions"
    )
    return (
        f"Phonemes of speaker {first['speaker'].iloc[0]} without silences in two linear discriminants of "
        f"{style.listed(style.feature_look(name).label for name in style.feature_order(data['feature']))}: "
        f"{len(shown):,} tokens of {shown['label'].nunique()} phonemes. The axes are {how}, in units of the standard "
        "deviation within phonemes; each panel has axes of its own. Related phonemes are near in hue."
    )


def single_features(table: TokenTable) -> list[str]:
    """The layers of the model, each by itself, and Mel."""
    return [str(f) for f in default_features(table) if len(f.parts) == 1]
