"""Segments with what a probe takes them for: as CSV, and as TextGrids with a tier of predictions."""

from __future__ import annotations

import numpy as np
import pandas as pd

from lvm_probe import InputError
from lvm_probe.analysis.protocols import classify
from lvm_probe.probing.corpora import textgrid_writer
from lvm_probe.probing.corpora.corpus import Corpus, Segment
from lvm_probe.probing.features.feature import Feature
from lvm_probe.probing.features.token_table import TokenTable
from lvm_probe.probing.questions import classification
from lvm_probe.probing.questions.judgeable_rows import features_to_judge, rows_to_judge
from lvm_probe.probing.questions.question import TOKEN_TARGETS, Question, analysis_protocol

COLUMNS = ("utterance", "speaker", "start_s", "end_s", "label", "predicted", "confidence", "right")
"""The columns of the CSV that other tools need; positions in samples and the token's id follow."""


def predictions(table: TokenTable, feature: Feature, question: Question) -> tuple[pd.DataFrame, tuple[str, ...]]:
    """What nearest neighbours take every token for, and how many of them agree.

    Args:
        table: the tokens.
        feature: what they are judged by.
        question: by the method `knn`, for a target of tokens and one k.

    Returns:
        A row per judged token, in the order of the table: `COLUMNS`, `start`, `end`, `sample_rate`, `token_id`.
        `confidence` is the share of the k neighbours that have the predicted label. And notes on what was left out.

    Raises:
        InputError: another method or target, several ks, or what `ask` refuses.
    """
    if question.method != "knn" or question.target not in TOKEN_TARGETS or len(question.ks or ()) != 1:
        raise InputError(f"predictions of tokens are by knn with one k, for {', '.join(TOKEN_TARGETS)}")
    rows, notes = rows_to_judge(table, question)
    (feature,), more = features_to_judge(rows, (feature,))
    try:
        question, others = classification.resolved(question, rows, {feature: rows.size(feature)})
    except InputError as error:
        raise InputError(f"{table.path}: {error}") from None
    names, codes = rows.classes
    predicted, confidence = np.empty(len(rows), dtype=np.intp), np.empty(len(rows))
    for pool in rows.pools:
        labels = codes[pool.rows]
        outcome = classify(
            rows.points(feature, pool),
            labels,
            protocol=analysis_protocol(question.protocol),
            lda_dims=min(question.lda_dims or 0, len(np.unique(labels)) - 1),
            ks=question.ks or (),
            shrinkage=question.shrinkage,
            groups=rows.groups[pool.rows],
            prompts=None if rows.prompts is None else rows.prompts[pool.rows],
            match_dims=question.match_dims,
            parts=[rows.size(Feature((part,))) for part in feature.parts],
        )
        predicted[pool.rows] = outcome.predictions[:, 0]
        assert outcome.neighbours is not None  # k nearest neighbours have some
        agree = labels[outcome.neighbours[:, : outcome.ks[0]]] == outcome.predictions
        confidence[pool.rows] = agree.mean(axis=1)
    tokens = rows.table.tokens
    frame = pd.DataFrame(
        {
            "utterance": tokens["utterance"],
            "speaker": tokens["speaker"],
            "start_s": tokens["start"] / tokens["sample_rate"],
            "end_s": tokens["end"] / tokens["sample_rate"],
            "label": names[codes],
            "predicted": names[predicted],
            "confidence": confidence,
            "right": predicted == codes,
            "start": tokens["start"],
            "end": tokens["end"],
            "sample_rate": tokens["sample_rate"],
            "token_id": tokens["token_id"],
        }
    )
    return frame, (*rows.notes, *notes, *more, *others)


def textgrids(frame: pd.DataFrame, corpus: Corpus, tier: str) -> dict[str, str]:
    """A TextGrid for every utterance, by the name of its file: its phones and words, and a tier with the predictions.

    Args:
        frame: as `predictions` gives it.
        corpus: that the table was made from.
        tier: name of the tier with the predictions.

    Raises:
        InputError: an utterance is not in the corpus or has another length, or two would have one file's name.
    """
    utterances = {utterance.id: utterance for utterance in corpus.utterances}
    texts: dict[str, str] = {}
    for key, rows in frame.groupby("utterance", sort=False):
        name = str(key)
        if name not in utterances:
            raise InputError(
                f"{corpus.root}: no utterance {name} of the token table; give the corpus that the table was made from"
            )
        file = f"{name.replace('/', '_')}.TextGrid"
        if file in texts:
            raise InputError(f"{file}: two utterances would have this name ({name} is one); choose with --speaker")
        utterance = utterances[name]
        scale = utterance.sample_rate / rows["sample_rate"]
        starts, ends = ((rows[column] * scale).round().astype(int) for column in ("start", "end"))
        said = [Segment(label, start, end) for label, start, end in zip(rows["predicted"], starts, ends, strict=True)]
        tiers = textgrid_writer.without_overlaps({"phones": utterance.phonemes, "words": utterance.words, tier: said})
        try:
            texts[file] = textgrid_writer.as_text(
                textgrid_writer.without_overlaps(tiers), utterance.samples, utterance.sample_rate
            )
        except InputError as error:
            raise InputError(f"utterance {name}: {error}") from None
    return texts
