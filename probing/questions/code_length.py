"""Online code length of the labels given a feature: accuracy, and how much there is to learn, in bits per label.

Every code is compared with that of the class shares alone, which knows no features, with the code of permuted labels,
of control labels, of the untrained model, and with those given Mel and MFCC.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import numpy as np
import pandas as pd

from lvm_probe.analysis.code_length import CodeLength, code_length, joined_curves
from lvm_probe.analysis.control_tasks import control_labels
from lvm_probe.analysis.nulls import default_shuffle, permuted
from lvm_probe.analysis.shape_annotations import Bool, Float, Int
from lvm_probe.analysis.statistics import (
    MIN_GROUPS,
    Jackknife,
    group_means,
    mean_interval,
    paired_difference,
    share_interval,
)
from lvm_probe.probing.questions.comparisons import Units, difference_columns, units_of
from lvm_probe.probing.questions.jobs import Job, generator, naming, sham_erasures
from lvm_probe.probing.questions.question import TOKEN_TARGETS, analysis_protocol
from lvm_probe.probing.questions.results import CURVE_COLUMNS, MIN_PERMUTATIONS_FOR_P
from lvm_probe.probing.questions.rows import Rows

_BY_ROW = ("untrained", "control", "unerased", "sham")
"""What a run compares its bits with, row by row."""


@dataclass(frozen=True)
class Run:
    """The code of one feature in one pool, and what it is compared with.

    Attributes:
        rows: of the plan.
        code: of their labels.
        null: bits of every row's label in every permutation, or None.
        untrained: bits of every row's label given the untrained model's feature, or None.
        control: bits of every row's control label, the mean over the draws, or None.
        unerased: bits of every row's label with nothing erased; None where nothing is.
        sham: the same after erasures of permuted labels, the mean over these, or None.
    """

    rows: Int[np.ndarray, " rows"]
    code: CodeLength
    null: Float[np.ndarray, "rounds rows"] | None = None
    untrained: Float[np.ndarray, " rows"] | None = None
    control: Float[np.ndarray, " rows"] | None = None
    unerased: Float[np.ndarray, " rows"] | None = None
    sham: Float[np.ndarray, " rows"] | None = None


def run(job: Job) -> Run:
    """Code the labels of a pool given one feature, and given what it is compared with, in the same orders."""
    question, labels = job.question, job.labels
    protocol = analysis_protocol(question.protocol)
    groups = job.groups if protocol == "grouped" else None
    rng = generator(question, f"{job.pool.speaker}/{job.feature}")
    compared: dict[str, Any] = {}

    def coded(points: np.ndarray, labels: np.ndarray, erase: np.ndarray | None = job.erased) -> CodeLength:
        return code_length(
            points,
            labels,
            groups=groups,
            prompts=job.prompts,
            n_classes=job.n_classes,
            orders=question.orders,
            match_dims=question.match_dims,
            erase=erase,
            rng=generator(question, f"{job.pool.speaker}/orders"),
        )

    with naming(job.pool.speaker, job.feature):
        code = coded(job.points, labels)
        if question.permutations:
            shuffled = partial(permuted, labels, shuffle=default_shuffle(labels, job.groups, protocol), rng=rng)
            rounds = range(question.permutations)
            compared["null"] = np.stack([coded(job.points, shuffled(groups=job.groups)).bits for _ in rounds])
        if job.untrained is not None:
            compared["untrained"] = coded(job.untrained, labels).bits
        if job.erased is not None:
            compared["unerased"] = coded(job.points, labels, None).bits
            shams = sham_erasures(job, generator(question, f"{job.pool.speaker}/sham"))
            if bits := [coded(job.points, labels, erase).bits for erase in shams]:
                compared["sham"] = np.mean(bits, axis=0)
        if question.control and len(np.unique(job.types)) < len(labels):
            controls = [control_labels(labels, job.types, rng=rng) for _ in range(question.control)]
            compared["control"] = np.mean([coded(job.points, labels).bits for labels in controls], axis=0)
    return Run(job.pool.rows, code, **compared)


def result_rows(rows: Rows, runs: Sequence[Run], baselines: Mapping[str, Sequence[Run]]) -> list[dict[str, Any]]:
    """The result rows of a feature: each speaker's for a target of tokens, then all speakers' together."""
    question = rows.question
    ours, others = _Bits.of(runs), {name: _Bits.of(theirs) for name, theirs in baselines.items()}
    speakers, utterances = rows.speakers.codes[ours.rows], rows.utterances.codes[ours.rows]
    judged = np.unique(speakers)
    pools = speakers if question.one_speaker_at_a_time else np.zeros_like(speakers)
    results = []
    if question.target in TOKEN_TARGETS:
        for code in judged:
            mine = speakers == code
            shared = question.protocol == "utterance"
            units = units_of("utterances", utterances[mine], shared_training=shared)
            compared = {name: other.where(mine) for name, other in others.items()} if len(judged) == 1 else {}
            row = _row(ours.where(mine), pools[mine], units, compared, tested=len(judged) == 1)
            results.append(row | {"speaker": rows.speakers.names[code], "speakers": 1})
    if len(judged) > 1 or not results:
        units = units_of("speakers", speakers, shared_training=not question.one_speaker_at_a_time)
        results.append(_row(ours, pools, units, others, tested=True) | {"speaker": "", "speakers": len(judged)})
    return results


def curve_frame(common: Mapping[str, Any], runs: Sequence[Run]) -> pd.DataFrame:
    """The learning curve over all pools; `common` has the other columns."""
    points = joined_curves([run.code.curve for run in runs])
    frame = pd.DataFrame(
        {
            "groups": [point.groups for point in points],
            "fitted": [point.fitted for point in points],
            "n": [point.n for point in points],
            "bits": [point.bits / point.n for point in points],
            "share_bits": [point.share_bits / point.n for point in points],
            "accuracy": [point.right / point.n for point in points],
        }
    )
    return frame.assign(**{name: value for name, value in common.items() if name in CURVE_COLUMNS})[CURVE_COLUMNS]


@dataclass(frozen=True)
class _Bits:
    """What the runs of several pools say of every row."""

    rows: Int[np.ndarray, " rows"]
    labels: Int[np.ndarray, " rows"]
    uniform: float
    bits: Float[np.ndarray, " rows"]
    share_bits: Float[np.ndarray, " rows"]
    accuracy: Float[np.ndarray, " rows"]
    null: Float[np.ndarray, "rounds rows"] | None
    untrained: Float[np.ndarray, " rows"] | None
    control: Float[np.ndarray, " rows"] | None
    unerased: Float[np.ndarray, " rows"] | None
    sham: Float[np.ndarray, " rows"] | None

    @classmethod
    def of(cls, runs: Sequence[Run]) -> _Bits:
        def joined(name: str) -> Any:
            values = [getattr(run, name) for run in runs]
            return None if any(value is None for value in values) else np.concatenate(values, axis=-1)

        codes = [run.code for run in runs]
        labels, bits, shares, accuracy = (
            np.concatenate([getattr(code, name) for code in codes])
            for name in ("labels", "bits", "share_bits", "accuracy")
        )
        compared = (joined(name) for name in ("null", *_BY_ROW))
        return cls(joined("rows"), labels, codes[0].uniform_bits, bits, shares, accuracy, *compared)

    def where(self, chosen: Bool[np.ndarray, " rows"]) -> _Bits:
        names = ("rows", "labels", "bits", "share_bits", "accuracy", "null", *_BY_ROW)
        some = {name: value[..., chosen] for name in names if (value := getattr(self, name)) is not None}
        return replace(self, **some)


def _row(
    ours: _Bits, pools: Int[np.ndarray, " rows"], units: Units, baselines: Mapping[str, _Bits], *, tested: bool
) -> dict[str, Any]:
    """Bits per label and accuracies over some rows and, where tested, differences to what they are compared with.

    Chance is that of the most frequent class of every pool.
    """

    def mean(values: np.ndarray) -> Jackknife:
        return Jackknife.of_means(values[:, None], units.codes)

    bits, shared = mean(ours.bits), units.shared_training
    interval = mean_interval(bits, shared_training=shared)
    n, most = len(ours.labels), [np.bincount(ours.labels[pools == pool]).max() for pool in np.unique(pools)]
    row = {
        "k": (0,), "n": n, "n_classes": len(np.unique(ours.labels)),
        "chance": sum(most) / n, "lda_dims": 0, "shrinkage": 0.0,
        "interval": units.name if len(bits.without) >= MIN_GROUPS else "none",
        "bits": bits.value, "bits_low": np.maximum(interval.low, 0), "bits_high": interval.high,
        "code_length": ours.bits.sum(), "uniform_bits": ours.uniform, "compression": ours.uniform / bits.value,
        "baseline_bits": ours.share_bits.mean(),
    }  # fmt: skip
    if (judged := ~np.isnan(ours.accuracy)).any():  # not a speaker who came first in every order
        right = Jackknife.of_means(ours.accuracy[judged, None], units.codes[judged])
        by_class = group_means(ours.accuracy[judged, None], ours.labels[judged])
        interval = share_interval(right, shared_training=shared)
        row |= {"accuracy": right.value, "balanced_accuracy": by_class.mean(axis=0)}
        row |= {"ci_low": interval.low, "ci_high": interval.high}
    compared = {"baseline": ours.share_bits}
    for name in _BY_ROW:
        if (other := getattr(ours, name)) is not None:
            row[f"{name}_bits"] = other.mean()
            compared |= {name: other} if name != "control" else {}  # whose labels are others
    if ours.null is not None:
        null = ours.null.mean(axis=1)
        row["null_bits"] = null.mean()
        if len(null) >= MIN_PERMUTATIONS_FOR_P:  # the true labels count among the permutations, so p is never 0
            row["p_null"] = (1 + (null <= ours.bits.mean() + 1e-12).sum()) / (1 + len(null))
    if not tested:
        return row
    for name, theirs in (compared | {name: other.bits for name, other in baselines.items()}).items():
        row |= difference_columns(name, paired_difference(bits, mean(theirs), shared_training=shared), "_bits")
    row["p_baseline"] = row.pop("p_minus_baseline")
    return row
