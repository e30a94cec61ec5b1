"""Numbers by ridge regression: of the speaker (height, age), or of each token (pitch, formants, duration, ...).

The error of an attribute is compared with that of the mean of the speaker's gender, which is all that a probe knows
that recognises the gender only. R² is relative to the same mean; for numbers of tokens, to that of the training rows.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from lvm_probe.analysis.regression import (
    RegressionNull,
    RegressionOutcome,
    permuted_regression_null,
    regress,
)
from lvm_probe.analysis.shape_annotations import Bool, Float, Int
from lvm_probe.analysis.statistics import MIN_GROUPS, Jackknife, mean_interval, paired_difference
from lvm_probe.probing.questions.comparisons import difference_columns
from lvm_probe.probing.questions.jobs import Job, generator, naming
from lvm_probe.probing.questions.question import SPEAKER_ATTRIBUTES, TOKEN_MEASURES, UNITS, Question, analysis_protocol
from lvm_probe.probing.questions.results import MIN_PERMUTATIONS_FOR_P
from lvm_probe.probing.questions.rows import Rows


@dataclass(frozen=True)
class Run:
    """Numbers predicted from one feature in one pool.

    Attributes:
        rows: of the question.
        outcome: the predictions.
        null: on permuted values, or None.
        untrained: the untrained model's predictions, or None.
    """

    rows: Int[np.ndarray, " rows"]
    outcome: RegressionOutcome
    null: RegressionNull | None
    untrained: RegressionOutcome | None


def run(job: Job) -> Run:
    """Predict the numbers from one feature, and from the untrained model's; repeat it on permuted numbers."""
    question = job.question
    how: dict[str, Any] = {
        "protocol": analysis_protocol(question.protocol), "groups": job.groups, "match_dims": question.match_dims,
    }  # fmt: skip
    strata = np.zeros_like(job.genders) if question.target in TOKEN_MEASURES else job.genders
    untrained = null = None
    with naming(job.pool.speaker, job.feature):
        outcome = regress(job.points, job.labels, strata, **how)
        if job.untrained is not None:
            untrained = regress(job.untrained, job.labels, strata, **how)
        if rounds := question.permutations:
            rng = generator(question, f"{job.pool.speaker}/{job.feature}" if job.pool.speaker else str(job.feature))
            null = permuted_regression_null(job.points, job.labels, strata, rng=rng, rounds=rounds, **how)
    return Run(job.pool.rows, outcome, null, untrained)


def result_rows(rows: Rows, runs: Sequence[Run], baselines: Mapping[str, Sequence[Run]]) -> list[dict[str, Any]]:
    """A row for all speakers; before it one for each speaker (numbers of tokens), or after it one for each gender."""
    judged = _Judged.of(rows, runs, baselines)
    if rows.question.target in TOKEN_MEASURES:
        results = [judged.where(judged.speakers == code).of_one_speaker() for code in np.unique(judged.speakers)]
        if len(runs) > 1 or not rows.question.one_speaker_at_a_time:
            results.append(judged.of_all(_null_columns(runs)))
        return results
    genders, codes = rows.genders
    results = [judged.of_all(_null_columns(runs)) | {"correlation": runs[0].outcome.correlation}]
    if len(genders) > 1:
        for code, gender in enumerate(genders):
            of_gender = judged.where(codes[judged.rows] == code).of_all({}) | {"gender": str(gender)}
            results.append({name: value for name, value in of_gender.items() if not name.startswith("p_")})
    return results


@dataclass(frozen=True)
class _Judged:
    """The predictions of all pools together, with what they are compared with.

    Attributes:
        question: with its defaults filled in.
        names: ids of the speakers.
        rows: of the question.
        speakers: code of every row's speaker.
        utterances: code of every row's utterance.
        outcome: the predictions.
        untrained: the untrained model's errors, or None.
        baselines: errors of the baselines, by name.
    """

    question: Question
    names: np.ndarray
    rows: Int[np.ndarray, " rows"]
    speakers: Int[np.ndarray, " rows"]
    utterances: Int[np.ndarray, " rows"]
    outcome: RegressionOutcome
    untrained: Float[np.ndarray, " rows"] | None
    baselines: Mapping[str, Float[np.ndarray, " rows"]]

    @classmethod
    def of(cls, rows: Rows, runs: Sequence[Run], baselines: Mapping[str, Sequence[Run]]) -> _Judged:
        places = np.concatenate([run.rows for run in runs])
        parts = ("values", "strata", "predictions", "baseline")
        values: dict[str, Any] = {part: np.concatenate([getattr(run.outcome, part) for run in runs]) for part in parts}
        before = [run.untrained.errors for run in runs if run.untrained is not None]
        return cls(
            rows.question,
            rows.speakers.names,
            places,
            rows.speakers.codes[places],
            rows.utterances.codes[places],
            RegressionOutcome(runs[0].outcome.protocol, **values),
            np.concatenate(before) if len(before) == len(runs) else None,
            {name: np.concatenate([run.outcome.errors for run in theirs]) for name, theirs in baselines.items()},
        )

    def where(self, mine: Bool[np.ndarray, " rows"]) -> _Judged:
        """The rows where `mine` is true."""
        out = self.outcome
        some = RegressionOutcome(
            out.protocol, out.values[mine], out.strata[mine], out.predictions[mine], out.baseline[mine]
        )
        untrained = None if self.untrained is None else self.untrained[mine]
        baselines = {name: errors[mine] for name, errors in self.baselines.items()}
        codes = (self.rows[mine], self.speakers[mine], self.utterances[mine])
        return _Judged(self.question, self.names, *codes, some, untrained, baselines)

    def of_all(self, null: Mapping[str, Any]) -> dict[str, Any]:
        """The result row of these rows of all speakers, with the differences to what it is compared with."""
        shared = not self.question.one_speaker_at_a_time
        ours, usual = (_means(e, self.speakers) for e in (self.outcome.errors, self.outcome.baseline_errors))
        row = self._columns(self.speakers, "speakers", shared_training=shared) | {"speaker": "", "gender": ""}
        if "null_mae" in null:
            row |= {name: null[name] for name in ("null_mae", "null_r2")}
            if len(null["maes"]) >= MIN_PERMUTATIONS_FOR_P:
                row["p_null"] = (1 + (null["maes"] <= ours.value + 1e-12).sum()) / (1 + len(null["maes"]))
        attribute = self.question.target in SPEAKER_ATTRIBUTES
        if not attribute and shared:
            within = _r2(*self.outcome.squares_within(self.speakers), self.speakers)
            interval = mean_interval(within, shared_training=shared)
            row |= {"r2_within": within.value, "r2_within_low": interval.low, "r2_within_high": interval.high}
        compared = {"baseline": usual} if attribute else {}
        if self.untrained is not None:
            compared["untrained"] = _means(self.untrained, self.speakers)
        compared |= {name: _means(errors, self.speakers) for name, errors in self.baselines.items()}
        for name, theirs in compared.items():
            row |= difference_columns(name, paired_difference(ours, theirs, shared_training=shared), "_error")
        if attribute:
            row["p_baseline"] = row.pop("p_minus_baseline")
        return row

    def of_one_speaker(self) -> dict[str, Any]:
        """The result row of one speaker's rows."""
        shared = self.question.one_speaker_at_a_time
        row = self._columns(self.utterances, "utterances", shared_training=shared)
        return row | {"speaker": str(self.names[self.speakers[0]]), "gender": ""}

    def _columns(self, units: np.ndarray, name: str, *, shared_training: bool) -> dict[str, Any]:
        """Errors and R², with intervals over the units."""
        mae, r2 = _means(self.outcome.errors, units), _r2(*self.outcome.squares, units)
        interval, of_r2 = (mean_interval(x, shared_training=shared_training) for x in (mae, r2))
        row = {
            "k": (0,), "n": len(self.rows), "speakers": len(np.unique(self.speakers)),
            "interval": name if len(mae.without) >= MIN_GROUPS else "none",
            "unit": UNITS[self.question.target],
            "mae": mae.value, "mae_low": np.maximum(interval.low, 0), "mae_high": interval.high,
            "baseline_mae": self.outcome.baseline_errors.mean(),
            "r2": r2.value, "r2_low": of_r2.low, "r2_high": np.minimum(of_r2.high, 1),
        }  # fmt: skip
        if self.untrained is not None:
            row["untrained_mae"] = self.untrained.mean()
        return row


def _means(errors: Float[np.ndarray, " rows"], units: Int[np.ndarray, " rows"]) -> Jackknife:
    return Jackknife.of_means(errors[:, None], units)


def _r2(
    squares: Float[np.ndarray, " rows"], of_mean: Float[np.ndarray, " rows"], units: Int[np.ndarray, " rows"]
) -> Jackknife:
    """One minus the squared errors over those of the mean."""
    place = np.unique(units, return_inverse=True)[1]
    sums = [np.bincount(place, values)[:, None] for values in (squares, of_mean)]
    return Jackknife.of_ratios(*sums).map(lambda ratio: 1 - ratio)


def _null_columns(runs: Sequence[Run]) -> dict[str, Any]:
    """Errors and R² on permuted values, over the rows of all pools; `maes` has every permutation's error."""
    nulls = [run.null for run in runs if run.null is not None]
    if len(nulls) < len(runs):
        return {}
    maes = np.average([null.mae for null in nulls], axis=0, weights=[len(run.rows) for run in runs])
    squares, of_mean = (np.sum([getattr(null, name) for null in nulls], axis=0) for name in RegressionNull._fields[1:])
    return {"maes": maes, "null_mae": maes.mean(), "null_r2": (1 - squares / of_mean).mean()}
