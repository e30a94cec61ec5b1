"""The speaker's height in centimetres by ridge regression: the mean absolute error within each gender.

The error is compared with that of the mean height of the gender, which is all that a probe knows that recognises the
gender only.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from lvm_probe.analysis.regression import RegressionOutcome, permuted_regression_null, regress
from lvm_probe.analysis.shape_annotations import Float
from lvm_probe.analysis.statistics import Jackknife, mean_interval, paired_difference
from lvm_probe.probing.features.feature import Feature
from lvm_probe.probing.questions.comparisons import difference_columns
from lvm_probe.probing.questions.jobs import Job, generator, naming
from lvm_probe.probing.questions.question import Question, analysis_protocol
from lvm_probe.probing.questions.results import MIN_PERMUTATIONS_FOR_P
from lvm_probe.probing.questions.rows import Rows


@dataclass(frozen=True)
class Run:
    """Predicted heights of one feature; the null has the mean error of every permutation, or None."""

    outcome: RegressionOutcome
    null: Float[np.ndarray, " rounds"] | None
    untrained: RegressionOutcome | None


def resolved(question: Question, rows: Rows, sizes: Mapping[Feature, int]) -> tuple[Question, tuple[str, ...]]:
    """The question as it is, and no notes."""
    return question, ()


def run(job: Job) -> Run:
    """Predict the heights from one feature, and from the untrained model's; repeat it on permuted heights."""
    question = job.question
    how: dict[str, Any] = {
        "protocol": analysis_protocol(question.protocol), "groups": job.groups, "match_dims": question.match_dims,
    }  # fmt: skip
    untrained = null = None
    with naming(job.pool.speaker, job.feature):
        outcome = regress(job.points, job.labels, job.genders, **how)
        if job.untrained is not None:
            untrained = regress(job.untrained, job.labels, job.genders, **how)
        if rounds := question.permutations:
            rng = generator(question, str(job.feature))
            null = permuted_regression_null(job.points, job.labels, job.genders, rng=rng, rounds=rounds, **how)
    return Run(outcome, null, untrained)


def result_rows(
    rows: Rows, feature: Feature, runs: Sequence[Run], baselines: Mapping[str, Sequence[Run]]
) -> list[dict[str, Any]]:
    """A row for all speakers, then one for each gender where there are two."""
    (run,) = runs
    genders, codes = rows.genders
    errors = {name: theirs[0].outcome.errors for name, theirs in baselines.items()}
    whole = _row(rows, run, np.ones(len(codes), dtype=bool), errors) | {"gender": ""}
    whole["correlation"] = run.outcome.correlation
    if run.null is not None:
        whole["null_mae_cm"] = run.null.mean()
        if len(run.null) >= MIN_PERMUTATIONS_FOR_P:
            whole["p_null"] = (1 + (run.null <= run.outcome.mae + 1e-12).sum()) / (1 + len(run.null))
    results = [whole]
    if len(genders) > 1:
        for code, gender in enumerate(genders):
            of_gender = _row(rows, run, codes == code, errors) | {"gender": str(gender)}
            results.append({name: value for name, value in of_gender.items() if not name.startswith("p_")})
    return results


def _row(rows: Rows, run: Run, mine: np.ndarray, baselines: Mapping[str, np.ndarray]) -> dict[str, Any]:
    """Errors over some of the rows, and what they are compared with."""
    speakers = rows.speakers.codes[mine]

    def mean(errors: np.ndarray) -> Jackknife:
        return Jackknife.of_means(errors[mine, None], speakers)

    ours, usual = mean(run.outcome.errors), mean(run.outcome.baseline_errors)
    interval = mean_interval(ours, shared_training=True)
    row = {
        "speaker": "", "k": (0,), "n": int(mine.sum()), "speakers": len(ours.without), "interval": "speakers",
        "mae_cm": ours.value, "mae_low": np.maximum(interval.low, 0), "mae_high": interval.high,
        "baseline_mae_cm": usual.value,
    }  # fmt: skip
    compared = {"baseline": usual}
    if run.untrained is not None:
        compared["untrained"] = mean(run.untrained.errors)
        row["untrained_mae_cm"] = compared["untrained"].value
    compared |= {name: mean(errors) for name, errors in baselines.items()}
    for name, theirs in compared.items():
        row |= difference_columns(name, paired_difference(ours, theirs, shared_training=True), "_cm")
    row["p_baseline"] = row.pop("p_minus_baseline")
    return row
