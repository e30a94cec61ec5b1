"""How tall a speaker is, in centimetres: the mean absolute error within each gender, against the gender's mean.

An answer has the columns of every other probe, the accuracies empty, and those of `HEIGHT_COLUMNS`: errors in
centimetres, a row for all speakers and one for each gender.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd

from lvm_probe import InputError
from lvm_probe.analysis.knn import checked_ks
from lvm_probe.analysis.regression import RegressionOutcome, permuted_regression_null, regress
from lvm_probe.analysis.statistics import cluster_bootstrap_interval, group_means, sign_flip_test
from lvm_probe.probing.features.token_table import TokenTable
from lvm_probe.probing.questions import targets
from lvm_probe.probing.questions.classification import MOST_K
from lvm_probe.probing.questions.question import (
    COLUMNS,
    CONFUSION_COLUMNS,
    LEAST_FOR_P,
    MORE_COLUMNS,
    Findings,
    Question,
    feature_names,
    groups_of,
    matrix,
    named,
    rounds,
    side_by_side,
)

HEIGHT_COLUMNS = [
    "gender", "mae_cm", "mae_low", "mae_high", "baseline_mae_cm", "null_mae_cm", "untrained_mae_cm", "correlation",
    "minus_baseline_cm", "p_baseline", "minus_mel_cm",
]  # fmt: skip


def ask(
    table: TokenTable,
    question: Question,
    progress: Callable[[int, int], None] = lambda i, n: None,
    *,
    untrained: TokenTable | None = None,
) -> Findings:
    """Regress height on every feature, by the neighbours' mean (`knn`) or ridge regression (`ridge`).

    Raises InputError when heights are not known, or of fewer than three speakers of a gender.
    """
    if question.method not in ("knn", "ridge"):
        raise InputError(f"{question.method} tells classes apart; ask for --target height, or use probe ridge or knn")
    if question.lda_dims:
        raise InputError("--lda-dims: centimetres are no classes to discriminate; leave it out for height-cm")
    found = targets.asked(table, question)
    _, groups = groups_of(found.table)
    genders, strata = np.unique(found.table.columns["gender"].astype(str), return_inverse=True)
    for stratum, gender in enumerate(genders):
        if (count := len(np.unique(groups[strata == stratum]))) < 3:
            raise InputError(
                f"{table.path}: {count} {gender} speakers of known height; the mean of the others needs three of each "
                "gender, so give more speakers, or choose with --gender the one that has them"
            )
    names = feature_names(table, question)
    points = {name: matrix(found, name, "none") for name in names}
    twins: dict[str, np.ndarray] = {}
    if untrained is not None:
        before = targets.same_rows(targets.asked(untrained, question), found)
        twins = {n: matrix(before, n, "none") for n in names if set(n.split("+")) <= set(before.table.features)}
        twins = {n: twin for n, twin in twins.items() if not np.array_equal(twin, points[n])}
    match_dims = question.match_dims
    if match_dims == 0:
        match_dims = min(p.shape[1] for p in points.values())
    held_out = np.unique(groups, return_counts=True)[1].max() if question.protocol == "speaker" else 1
    most = len(groups) - int(held_out)
    ks = question.ks or tuple(range(1, min(MOST_K, most) + 1))
    if question.method == "knn":
        with named("", names[0]):
            checked_ks(ks, most)
    shuffles = rounds(question, len(groups))
    how: dict[str, Any] = {"method": question.method, "groups": groups}
    how["protocol"] = targets.analysis_protocol(question.protocol)
    how |= {"ks": ks if question.method == "knn" else (1,), "match_dims": match_dims}
    jobs = [(name, points[name], shuffles) for name in names] + [(name, twin, 0) for name, twin in twins.items()]
    arguments = [(x, found.labels, strata, name, n, question.seed, how) for name, x, n in jobs]
    results: list[tuple[RegressionOutcome, np.ndarray]] = []
    for i, result in enumerate(side_by_side(_run, arguments.__getitem__, len(jobs))):
        results.append(result)
        progress(i + 1, len(jobs))
    outcomes = dict(zip(names, results, strict=False))
    without = {name: outcome for name, (outcome, _) in zip(twins, results[len(names) :], strict=True)}
    rows = []
    for name in names:
        about: dict[str, Any] = {"table": table.name, "feature": name, "target": question.target}
        about["protocol"] = question.protocol
        about |= {"method": question.method, "rows": question.row, "normalise": "none", "match_dims": match_dims or 0}
        about |= {"dims": min(points[name].shape[1], match_dims or points[name].shape[1]), "permutations": shuffles}
        rng = np.random.default_rng([question.seed, *name.encode()])
        mel = None if name == "mel" or "mel" not in outcomes else outcomes["mel"][0]
        for gender in ("", *(genders if len(genders) > 1 else ())):
            mine = np.ones(len(groups), dtype=bool) if not gender else strata == list(genders).index(gender)
            rows += _rows(about, str(gender), mine, *outcomes[name], without.get(name), mel, groups, rng)
    frame = pd.DataFrame(rows)[COLUMNS + MORE_COLUMNS + HEIGHT_COLUMNS]
    return Findings(frame, pd.DataFrame(columns=CONFUSION_COLUMNS))


def _run(
    points: np.ndarray, values: np.ndarray, strata: np.ndarray, name: str, shuffles: int, seed: int, how: dict[str, Any]
) -> tuple[RegressionOutcome, np.ndarray]:
    with named("", name):
        outcome = regress(points, values, strata, **how)
        if not shuffles:
            return outcome, np.empty((0, len(outcome.ks)))
        rng = np.random.default_rng([seed, *name.encode()])
        return outcome, permuted_regression_null(points, values, strata, rng=rng, rounds=shuffles, **how)


def _rows(
    about: dict[str, Any], gender: str, mine: np.ndarray, outcome: RegressionOutcome, null: np.ndarray,
    twin: RegressionOutcome | None, mel: RegressionOutcome | None, groups: np.ndarray, rng: np.random.Generator,
) -> list[dict[str, Any]]:  # fmt: skip
    """A row per k of some speakers; the null is that of all, and its p value stands on their row only."""
    errors, usual, who = outcome.errors[mine], outcome.baseline_errors[mine], groups[mine]
    interval = cluster_bootstrap_interval(errors, who, rng=rng)
    by_speaker = group_means(errors, who)
    gap = sign_flip_test(by_speaker - group_means(usual[:, None], who), rng=rng)
    test = None if mel is None else sign_flip_test(by_speaker - group_means(mel.errors[mine], who), rng=rng)
    correlation = outcome.correlation if not gender else np.full(len(outcome.ks), np.nan)
    speakers = len(np.unique(who))
    rows = []
    for i, k in enumerate(outcome.ks):
        row = about | {
            "speaker": "", "k": k, "n": len(errors), "speakers": speakers, "interval": "speakers", "gender": gender,
            "mae_cm": errors[:, i].mean(), "mae_low": interval.low[i], "mae_high": interval.high[i],
            "baseline_mae_cm": usual.mean(), "minus_baseline_cm": gap.mean[i], "p_baseline": gap.p_value[i],
            "correlation": correlation[i],
        }  # fmt: skip
        if twin is not None:
            row["untrained_mae_cm"] = twin.errors[mine][:, i].mean()
        if not gender and len(null):
            row |= {"null_mae_cm": null[:, i].mean(), "null_n": null.shape[0] * len(errors)}
        if not gender and len(null) >= LEAST_FOR_P:
            row["p_null"] = (1 + (null[:, i] <= row["mae_cm"] + 1e-12).sum()) / (1 + len(null))
        if test is not None:
            row |= {"minus_mel_cm": test.mean[i], "p_minus_mel": test.p_value[i]}
        rows.append({name: np.nan for name in COLUMNS + MORE_COLUMNS + HEIGHT_COLUMNS} | row)
    return rows
