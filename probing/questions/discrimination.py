"""ABX discriminability of a token table's features: nothing is fitted, so nothing can leak.

An answer has the columns of every other probe: `protocol` is `within` or `across` speakers, `k` is 0, the accuracy is
one minus the error rate (it weighs all pairs of labels alike, and is its own balanced accuracy), chance is one half.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Literal

import numpy as np
import pandas as pd

from lvm_probe import InputError
from lvm_probe.analysis.abx import AbxResult, abx
from lvm_probe.analysis.shape_annotations import Float
from lvm_probe.analysis.statistics import sign_flip_test
from lvm_probe.probing.features.token_table import TokenTable
from lvm_probe.probing.questions import targets
from lvm_probe.probing.questions.question import (
    COLUMNS,
    CONFUSION_COLUMNS,
    MORE_COLUMNS,
    Findings,
    Question,
    feature_names,
    groups_of,
    matrix,
    named,
    side_by_side,
)

Mode = Literal["within", "across"]
RESAMPLES = 1000


def ask(
    table: TokenTable,
    question: Question,
    mode: Mode,
    progress: Callable[[int, int], None] = lambda i, n: None,
    *,
    untrained: TokenTable | None = None,
) -> Findings:
    """ABX of every feature: rows of every speaker (of A and B), then of all together.

    Raises InputError when the target is no class of tokens, or no label has tokens enough.
    """
    if question.target not in targets.TOKEN_TARGETS:
        raise InputError(
            f"ABX compares tokens, and {question.target} is of speakers; ask it of "
            f"{', '.join(targets.TOKEN_TARGETS)}, or use probe lda"
        )
    found = targets.asked(table, question)
    speakers, groups = groups_of(found.table)
    if mode == "across" and len(speakers) < 2:
        raise InputError(f"{table.path}: ABX across speakers needs two or more; use --protocol within")
    names = feature_names(table, question)
    points = {name: matrix(found, name, question.normalise) for name in names}
    twins: dict[str, np.ndarray] = {}
    if untrained is not None:
        before = targets.same_rows(targets.asked(untrained, question), found)
        twins = {n: matrix(before, n, question.normalise) for n in names if n.split("+")[0] in before.table.features}
        twins = {n: twin for n, twin in twins.items() if not np.array_equal(twin, points[n])}
    _, codes = np.unique(found.labels.astype(str), return_inverse=True)
    jobs = [(name, points[name]) for name in names] + list(twins.items())
    arguments = [(x, codes, groups, name, mode, question) for name, x in jobs]
    results: list[AbxResult] = []
    for i, result in enumerate(side_by_side(_run, arguments.__getitem__, len(jobs))):
        results.append(result)
        progress(i + 1, len(jobs))
    scores = dict(zip(names, results, strict=False))
    without = dict(zip(twins, results[len(names) :], strict=True))
    rows = []
    for name in names:
        about = {"table": table.name, "feature": name, "target": question.target, "protocol": mode}
        about |= {"method": f"abx {question.distance}", "dims": points[name].shape[1]}
        rows += _rows(about, question, scores[name], without.get(name), scores.get("mel"), codes, groups, speakers)
    frame = pd.DataFrame(rows)[COLUMNS + MORE_COLUMNS]
    return Findings(frame, pd.DataFrame(columns=CONFUSION_COLUMNS))


def _run(
    points: np.ndarray, codes: np.ndarray, groups: np.ndarray, name: str, mode: Mode, question: Question
) -> AbxResult:
    with named("", name):
        return abx(points, codes, groups, mode=mode, distance=question.distance)


def _rows(
    about: dict[str, Any], question: Question, score: AbxResult, twin: AbxResult | None, mel: AbxResult | None,
    codes: np.ndarray, groups: np.ndarray, speakers: np.ndarray,
) -> list[dict[str, Any]]:  # fmt: skip
    rng = np.random.default_rng([question.seed, *about["feature"].encode()])
    low, high = _interval(score.by_group, rng)
    gap = p = np.nan
    if mel is not None and mel is not score and len(score.groups) > 1:
        both = np.isfinite(score.group_errors) & np.isfinite(mel.group_errors)
        test = sign_flip_test((mel.group_errors - score.group_errors)[both, None], rng=rng)
        gap, p = test.mean[0], test.p_value[0]
    common = {"k": 0, "chance": 0.5, "rows": "token", "match_dims": 0, "normalise": question.normalise, "lda_dims": 0}
    common |= {"shrinkage": 0.0, "permutations": 0, "null_n": 0}
    rows = []
    if len(score.groups) > 1:
        for i, group in enumerate(score.groups):
            mine = groups == group
            right = 1 - score.group_errors[i]
            rows.append(
                about | common | {
                    "speaker": str(speakers[group]), "n": int(mine.sum()), "n_classes": len(np.unique(codes[mine])),
                    "accuracy": right, "balanced_accuracy": right, "speakers": 1, "interval": "none",
                    "untrained_accuracy": np.nan if twin is None else 1 - twin.group_errors[i],
                }
            )  # fmt: skip
    rows.append(
        about | common | {
            "speaker": "" if len(score.groups) > 1 else str(speakers[0]), "n": len(codes),
            "n_classes": len(np.unique(codes)), "accuracy": 1 - score.error, "balanced_accuracy": 1 - score.error,
            "ci_low": 1 - high, "ci_high": 1 - low, "minus_mel": gap, "p_minus_mel": p,
            "untrained_accuracy": np.nan if twin is None else 1 - twin.error,
            "speakers": len(score.groups), "interval": "speakers" if len(score.groups) > 1 else "none",
        }
    )  # fmt: skip
    return [{name: np.nan for name in COLUMNS + MORE_COLUMNS} | row for row in rows]


def _interval(by_group: Float[np.ndarray, "groups labels labels"], rng: np.random.Generator) -> tuple[float, float]:
    """Percentile bootstrap of the error rate over speakers; unknown for one."""
    n = len(by_group)
    if n < 2:
        return np.nan, np.nan
    flat = by_group.reshape(n, -1)
    known = np.isfinite(flat)
    drawn = rng.integers(n, size=(RESAMPLES, n)) + n * np.arange(RESAMPLES)[:, None]
    weights = np.bincount(drawn.ravel(), minlength=RESAMPLES * n).reshape(RESAMPLES, n).astype(np.float64)
    counts = weights @ known
    pairs = np.divide(weights @ np.where(known, flat, 0.0), counts, out=np.zeros_like(counts), where=counts > 0)
    errors = pairs.sum(axis=1) / (counts > 0).sum(axis=1)
    low, high = np.quantile(errors, [0.025, 0.975])
    return float(low), float(high)
