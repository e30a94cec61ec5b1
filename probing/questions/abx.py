"""ABX discriminability of tokens: nothing is fitted, so nothing can leak.

The accuracy is one minus the error rate. It weighs all pairs of labels alike, so it is its own balanced accuracy, and
chance is one half.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from lvm_probe.analysis.abx import AbxResult, abx
from lvm_probe.analysis.shape_annotations import Float, Int
from lvm_probe.analysis.statistics import sign_flip_test
from lvm_probe.probing.features.feature import Feature
from lvm_probe.probing.questions.jobs import Job, generator, naming
from lvm_probe.probing.questions.question import Question
from lvm_probe.probing.questions.rows import Rows

RESAMPLES = 1000


@dataclass(frozen=True)
class Run:
    """The scores of one feature, and of the untrained model's."""

    score: AbxResult
    untrained: AbxResult | None


def resolved(question: Question, rows: Rows, sizes: Mapping[Feature, int]) -> tuple[Question, tuple[str, ...]]:
    """The question as it is, and no notes."""
    return question, ()


def run(job: Job) -> Run:
    """Score one feature, and the untrained model's."""
    how: Any = {"mode": job.question.protocol, "distance": job.question.distance}
    with naming(job.pool.speaker, job.feature):
        score = abx(job.points, job.labels, job.speakers, **how)
        untrained = None if job.untrained is None else abx(job.untrained, job.labels, job.speakers, **how)
    return Run(score, untrained)


def result_rows(rows: Rows, feature: Feature, runs: Sequence[Run], mel: Sequence[Run] | None) -> list[dict[str, Any]]:
    """A row for every speaker (of A and B), then one for all where there are several."""
    score, untrained = runs[0].score, runs[0].untrained
    names, codes = rows.speakers
    rng = generator(rows.question, str(feature))
    low, high = _interval(score.by_group, rng)
    whole = _row(score.error, None if untrained is None else untrained.error, rows.classes.codes) | {
        "speaker": "", "ci_low": 1 - high, "ci_high": 1 - low, "speakers": len(names), "interval": "speakers",
    }  # fmt: skip
    if len(names) == 1:
        return [whole | {"speaker": names[0], "interval": "none"}]
    if mel is not None:
        gaps = mel[0].score.group_errors - score.group_errors
        test = sign_flip_test(gaps[np.isfinite(gaps), None], rng=rng)
        whole |= {"minus_mel": test.mean, "p_minus_mel": test.p_value}
    results = []
    for i, name in enumerate(names):
        row = _row(
            score.group_errors[i],
            None if untrained is None else untrained.group_errors[i],
            rows.classes.codes[codes == i],
        )
        results.append(row | {"speaker": name, "speakers": 1, "interval": "none"})
    return [*results, whole]


def _row(error: float, untrained_error: float | None, labels: Int[np.ndarray, " rows"]) -> dict[str, Any]:
    row = {
        "k": (0,), "n": len(labels), "n_classes": len(np.unique(labels)), "accuracy": 1 - error,
        "balanced_accuracy": 1 - error, "chance": 0.5, "lda_dims": 0, "shrinkage": 0.0,
    }  # fmt: skip
    return row if untrained_error is None else row | {"untrained_accuracy": 1 - untrained_error}


def _interval(by_group: Float[np.ndarray, "groups labels labels"], rng: np.random.Generator) -> tuple[float, float]:
    """Percentile bootstrap over speakers of the error rate; unknown for one."""
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
