"""ABX discriminability of tokens: nothing is fitted, so nothing can leak.

The accuracy is one minus the error rate. It weighs all pairs of labels alike, so it is its own balanced accuracy, and
chance is one half.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from lvm_probe import InputError
from lvm_probe.analysis.abx import AbxResult, abx
from lvm_probe.analysis.shape_annotations import Float
from lvm_probe.analysis.statistics import sign_flip_test
from lvm_probe.probing.features.feature import Feature
from lvm_probe.probing.questions.plan import Job, Plan, generator, naming
from lvm_probe.probing.questions.question import Question
from lvm_probe.probing.questions.results import common_columns
from lvm_probe.probing.questions.rows import Rows

RESAMPLES = 1000


@dataclass(frozen=True)
class Run:
    """The scores of one feature, and of the untrained model's."""

    score: AbxResult
    untrained: AbxResult | None


def resolved(question: Question, rows: Rows, sizes: Mapping[Feature, int]) -> Question:
    """The question as it is.

    Raises:
        InputError: one speaker where X is to come from another.
    """
    if question.protocol == "across" and len(rows.speakers) < 2:
        raise InputError("ABX across speakers needs two or more; use --protocol within")
    return question


def run(job: Job) -> Run:
    """Score one feature, and the untrained model's."""
    how: Any = {"mode": job.question.protocol, "distance": job.question.distance}
    with naming(job.pool.speaker, job.feature):
        score = abx(job.points, job.labels, job.speakers, **how)
        untrained = None if job.untrained is None else abx(job.untrained, job.labels, job.speakers, **how)
    return Run(score, untrained)


def result_rows(plan: Plan, feature: Feature, runs: Sequence[Run], mel: Sequence[Run] | None) -> list[dict[str, Any]]:
    """A row for every speaker (of A and B), then one for all where there are several."""
    score, untrained = runs[0].score, runs[0].untrained
    codes, speakers = plan.rows.codes, plan.rows.speakers
    rng = generator(plan.question, str(feature))
    low, high = _interval(score.by_group, rng)
    common = common_columns(plan, feature) | {"method": f"abx {plan.question.distance}", "k": (0,), "chance": 0.5}
    common |= {"lda_dims": 0, "shrinkage": 0.0}
    whole = common | _accuracy(score.error) | {
        "speaker": "", "n": len(codes), "n_classes": len(plan.rows.classes), "ci_low": 1 - high, "ci_high": 1 - low,
        "speakers": len(speakers), "interval": "speakers",
    }  # fmt: skip
    if untrained is not None:
        whole["untrained_accuracy"] = 1 - untrained.error
    if len(speakers) == 1:
        return [whole | {"speaker": speakers[0], "interval": "none"}]
    if mel is not None:
        gaps = mel[0].score.group_errors - score.group_errors
        test = sign_flip_test(gaps[np.isfinite(gaps), None], rng=rng)
        whole |= {"minus_mel": test.mean, "p_minus_mel": test.p_value}
    rows = []
    for i, speaker in enumerate(speakers):
        mine = codes[plan.rows.speaker_codes == i]
        row = common | _accuracy(score.group_errors[i]) | {
            "speaker": speaker, "n": len(mine), "n_classes": len(np.unique(mine)), "speakers": 1, "interval": "none",
        }  # fmt: skip
        if untrained is not None:
            row["untrained_accuracy"] = 1 - untrained.group_errors[i]
        rows.append(row)
    return [*rows, whole]


def _accuracy(error: float) -> dict[str, float]:
    return {"accuracy": 1 - error, "balanced_accuracy": 1 - error}


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
