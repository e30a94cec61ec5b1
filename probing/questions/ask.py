"""`ask`: the one way to put a question to a token table."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np
import pandas as pd

from lvm_probe import InputError
from lvm_probe.probing import parallel
from lvm_probe.probing.features.context import check_same_context
from lvm_probe.probing.features.feature import Feature
from lvm_probe.probing.features.model_identity import same_model
from lvm_probe.probing.features.token_table import TokenTable
from lvm_probe.probing.questions import abx, classification, code_length, regression
from lvm_probe.probing.questions.jobs import Job, Jobs
from lvm_probe.probing.questions.judgeable_rows import features_to_judge, rows_to_judge
from lvm_probe.probing.questions.question import Question
from lvm_probe.probing.questions.results import (
    CONFUSION_COLUMNS,
    CURVE_COLUMNS,
    PREDICTION_COLUMNS,
    Answer,
    confusion_frame,
    predictions_frame,
    results_frame,
)
from lvm_probe.probing.questions.rows import check_same_tokens, with_measures_of

BASELINES = (Feature(("mel",)), Feature(("mfcc",)))
"""Acoustic features that every other feature is compared with where they are asked, and each with those before it."""


def ask(
    table: TokenTable,
    question: Question,
    *,
    untrained: TokenTable | None = None,
    test: TokenTable | None = None,
    untrained_test: TokenTable | None = None,
    progress: Callable[[int, int], None] = lambda done, of: None,
) -> Answer:
    """Put a question to a token table.

    Args:
        table: the tokens.
        question: what to ask.
        untrained: the table of the same tokens from the same model with random weights.
        test: tokens of other speakers, or of another corpus, that are judged by a probe fitted to `table` (protocol
            `transfer`).
        untrained_test: the same of the untrained model.
        progress: called with the number of runs done and of all runs, after each.

    Returns:
        The answer, for every feature with what it takes to judge it: null, chance, interval, untrained model,
        the protocol `paper` on the same rows, and the differences to Mel and MFCC where these are asked.

    Raises:
        InputError: the table has no such rows or features; too few speakers, classes or tokens for what is asked.

    Example:
        >>> from lvm_probe.probing.features import token_table
        >>> table = token_table.load("latents/cwvae")                                    # doctest: +SKIP
        >>> print(ask(table, Question(target="gender", features=("z1", "mel"))))         # doctest: +SKIP
    """
    method: Any = {"ridge": regression, "abx": abx, "mdl": code_length}.get(question.method, classification)
    if (question.protocol == "transfer") != (test is not None):
        raise InputError("protocol transfer is for a test table, and a test table for protocol transfer; give both")
    rows, notes = rows_to_judge(table, question, test)
    features, more = features_to_judge(rows, question.features_of(table))
    notes += more
    before = None
    if untrained and untrained_test and not same_model(untrained.extraction, untrained_test.extraction):
        notes += (_left_out(f"{untrained_test.name} has other random weights"),)
        untrained = None
    unit = rows.table.columns["unit"][0]
    lacking = [one.name for one in (untrained, untrained_test) if one and unit not in one.columns["unit"]]
    if untrained and lacking:
        notes += (_left_out(f"{' and '.join(lacking)}: no {unit} rows"),)
        untrained = None
    if untrained is not None and (test is None) == (untrained_test is None):
        before = rows_to_judge(with_measures_of(table, untrained), question, untrained_test)[0]
        check_same_tokens(before.table, rows.table)
    if question.context:
        for other in filter(None, (untrained, test)):
            check_same_context(other, table)
    sizes = {feature: rows.size(feature) for feature in features}
    try:
        question = _with_defaults(question, min(sizes.values()))
        if method is classification:
            question, more = classification.resolved(question, rows, sizes)
            notes += more
    except InputError as error:
        raise InputError(f"{table.path}: {error}") from None
    notes += _scaling_note(question, features)
    jobs = Jobs(question, rows, before, features)
    done: list[Any] = []
    with contextlib.closing(parallel.run(partial(_attempt, method.run), jobs)) as results:
        for result in results:
            done.append(result)
            progress(len(done), len(jobs))

    runs: dict[Feature, dict[str, list[Any]]] = {feature: {} for feature in features}
    refused: dict[Feature, InputError] = {}
    for (feature, pool, _), result in zip(jobs.parts, done, strict=True):
        if isinstance(result, InputError):
            refused.setdefault(feature, result)
        runs[feature].setdefault(pool.speaker, []).append(result)
    features = tuple(feature for feature in features if feature not in refused)
    if not features:
        raise InputError(f"{table.path}: {'; '.join(map(str, refused.values()))}")
    notes += tuple(f"left out, {reason}" for reason in refused.values())
    joined: dict[Feature, list[Any]] = {
        feature: [classification.merged(parts) if method is classification else parts[0] for parts in some.values()]
        for feature, some in runs.items()
        if feature in features
    }
    result_rows, confusions, predictions, curves = [], [], [], []
    for feature in features:
        common = _common_columns(question, table.name, feature, sizes[feature])
        common["context_ms"] = table.extraction["context_ms"] if question.context else 0.0
        common["test"] = "" if test is None else test.name
        baselines = {before.name: joined[before] for before in _baselines_of(feature) if before in features}
        result_rows += [common | row for row in method.result_rows(rows, joined[feature], baselines)]
        if method is code_length:
            curves.append(code_length.curve_frame(common, joined[feature]))
        if method is classification:
            outcome = classification.joined(joined[feature])
            places = np.concatenate([run.rows for run in joined[feature]])
            judged = {name: rows.table.columns[name][places] for name in ("token_id", "speaker", "utterance")}
            confusions.append(confusion_frame(common, outcome, rows.classes.names))
            predictions.append(predictions_frame(common, outcome, judged, rows.classes.names))
    confusion = pd.concat(confusions, ignore_index=True) if confusions else pd.DataFrame(columns=CONFUSION_COLUMNS)
    said = pd.concat(predictions, ignore_index=True) if predictions else pd.DataFrame(columns=PREDICTION_COLUMNS)
    curve = pd.concat(curves, ignore_index=True) if curves else pd.DataFrame(columns=CURVE_COLUMNS)
    return Answer(question, results_frame(result_rows), confusion, rows.notes + notes, said, curve)


def _left_out(why: str) -> str:
    return f"the comparison with the untrained model is left out: {why}"


def _baselines_of(feature: Feature) -> tuple[Feature, ...]:
    """The baselines that a feature is compared with; a baseline only with those before it, for each pair once."""
    return BASELINES[: BASELINES.index(feature)] if feature in BASELINES else BASELINES


def _scaling_note(question: Question, features: Sequence[Feature]) -> tuple[str, ...]:
    """Where distances between joined features are compared as they are, say how their parts are scaled."""
    if not any(len(feature.parts) > 1 for feature in features):
        return ()
    if question.method == "abx":
        size = "root mean square length" if question.distance == "cosine" else "variance"
        return (f"the parts of joined features are scaled to the same {size}",)
    if question.method == "knn" and question.lda_dims == 0 and question.match_dims is None:
        return ("the parts of joined features are scaled to the same variance inside the fold",)
    return ()


def _attempt(run: Callable[[Job], Any], job: Job) -> Any:
    """The result of a run, or the reason why this feature cannot be asked, which ends no other run."""
    try:
        return run(job)
    except InputError as error:
        return error


def _with_defaults(question: Question, smallest: int) -> Question:
    """The question with the number of permutations, and of dimensions where they are matched to the smallest."""
    permutations = question.permutations
    if permutations is None and question.method != "abx":
        permutations = question.default_permutations
    match_dims = smallest if question.match_dims == 0 else question.match_dims
    return replace(question, permutations=permutations, match_dims=match_dims)


def _common_columns(question: Question, table: str, feature: Feature, size: int) -> dict[str, Any]:
    """The columns that all result rows of a feature share."""
    return {
        "table": table,
        "feature": str(feature),
        "target": question.target,
        "method": f"abx {question.distance}" if question.method == "abx" else question.method,
        "protocol": question.protocol,
        "rows": question.row_unit,
        "dims": min(size, question.match_dims or size),
        "match_dims": question.match_dims or 0,
        "normalise": question.normalise,
        "permutations": question.permutations or 0,
        "orders": question.orders,
    } | ({"erase": question.erase} if question.erase else {})
