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
from lvm_probe.analysis.shape_annotations import Int
from lvm_probe.analysis.statistics import Jackknife, paired_difference, share_interval
from lvm_probe.probing.questions.comparisons import difference_columns, interval_columns
from lvm_probe.probing.questions.jobs import Job, naming
from lvm_probe.probing.questions.rows import Rows


@dataclass(frozen=True)
class Run:
    """The scores of one feature, and of the untrained model's."""

    score: AbxResult
    untrained: AbxResult | None


def run(job: Job) -> Run:
    """Score one feature, and the untrained model's."""
    mode = str(job.question.protocol).removesuffix("+prompt")
    how: Any = {"mode": mode, "distance": job.question.distance, "prompts": job.prompts, "parts": job.parts}
    with naming(job.pool.speaker, job.feature):
        score = abx(job.points, job.labels, job.speakers, **how)
        untrained = None if job.untrained is None else abx(job.untrained, job.labels, job.speakers, **how)
    return Run(score, untrained)


def result_rows(rows: Rows, runs: Sequence[Run], baselines: Mapping[str, Sequence[Run]]) -> list[dict[str, Any]]:
    """A row for every speaker (of A and B), then one for all where there are several.

    A speaker left out is left out as A and B and as X, for the same X are compared with the tokens of all others.
    """
    score, untrained = runs[0].score, runs[0].untrained
    names, codes = rows.speakers
    accuracy = _accuracy(score)
    whole = _row(score.error, None if untrained is None else untrained.error, rows.classes.codes)
    whole |= interval_columns(share_interval(accuracy), "speakers") | {"speaker": "", "speakers": len(names)}
    if len(names) == 1:
        return [whole | {"speaker": names[0]}]
    compared = {name: theirs[0].score for name, theirs in baselines.items()}
    compared |= {} if untrained is None else {"untrained": untrained}
    for name, other in compared.items():
        whole |= difference_columns(name, paired_difference(accuracy, _accuracy(other)))
    results = []
    for i, name in enumerate(names):
        row = _row(
            score.group_errors[i],
            None if untrained is None else untrained.group_errors[i],
            rows.classes.codes[codes == i],
        )
        results.append(row | {"speaker": name, "speakers": 1, "interval": "none"})
    return [*results, whole]


def _accuracy(score: AbxResult) -> Jackknife:
    return Jackknife(np.array([1 - score.error]), 1 - score.error_without[:, None], np.ones(len(score.groups)))


def _row(error: float, untrained_error: float | None, labels: Int[np.ndarray, " rows"]) -> dict[str, Any]:
    row = {
        "k": (0,), "n": len(labels), "n_classes": len(np.unique(labels)), "accuracy": 1 - error,
        "balanced_accuracy": 1 - error, "chance": 0.5, "lda_dims": 0, "shrinkage": 0.0,
    }  # fmt: skip
    return row if untrained_error is None else row | {"untrained_accuracy": 1 - untrained_error}
