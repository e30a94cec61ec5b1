"""Results: tidy rows that hold an accuracy or error and everything needed to judge it; and confusions of classes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np
import pandas as pd

from lvm_probe.analysis.predictions import Outcome
from lvm_probe.analysis.statistics import holm
from lvm_probe.probing.questions.question import REPORTED_K, Question

COLUMNS = [
    "feature", "target", "protocol", "speaker", "k", "n", "n_classes",
    "accuracy", "balanced_accuracy", "ci_low", "ci_high", "chance", "null_accuracy",
]  # fmt: skip
"""Columns that every result has; accuracies are fractions."""

MORE_COLUMNS = [
    "p_null", "paper_accuracy", "optimism", "untrained_accuracy", "control_accuracy", "selectivity",
    "minus_mel", "minus_mel_low", "minus_mel_high", "effect_minus_mel", "p_minus_mel", "p_minus_mel_holm",
    "minus_mfcc", "minus_mfcc_low", "minus_mfcc_high", "effect_minus_mfcc", "p_minus_mfcc", "p_minus_mfcc_holm",
    "minus_untrained", "minus_untrained_low", "minus_untrained_high", "effect_minus_untrained",
    "p_minus_untrained", "p_minus_untrained_holm",
    "table", "test", "method", "rows", "dims", "match_dims", "context_ms", "normalise", "lda_dims", "shrinkage",
    "permutations", "null_n", "speakers", "interval",
]  # fmt: skip

NUMBER_COLUMNS = [
    "gender", "unit", "r2", "r2_low", "r2_high", "null_r2", "r2_within", "r2_within_low", "r2_within_high",
    "mae", "mae_low", "mae_high", "baseline_mae", "null_mae", "untrained_mae", "correlation",
    "minus_baseline_error", "minus_baseline_error_low", "minus_baseline_error_high", "effect_minus_baseline",
    "p_baseline", "p_baseline_holm",
    "minus_mel_error", "minus_mel_error_low", "minus_mel_error_high",
    "minus_mfcc_error", "minus_mfcc_error_low", "minus_mfcc_error_high",
    "minus_untrained_error", "minus_untrained_error_low", "minus_untrained_error_high",
]  # fmt: skip
"""Columns of targets that are numbers only: R², and mean absolute errors and their differences in `unit`. Accuracies
are then empty."""

HEIGHT_COLUMNS = {f"{name}_cm": name for name in ("mae", "baseline_mae", "null_mae", "untrained_mae")} | {
    name.replace("_error", "_cm"): name for name in NUMBER_COLUMNS if "_error" in name
}
"""Copies of columns for `height-cm`, by the names that say the unit."""

ERASURE_COLUMNS = ["erase", *(
    f"{name}_{unit}" for unit in ("accuracy", "bits") for name in ("unerased", "sham")
), *(
    column for name in ("unerased", "sham") for column in (
        f"minus_{name}", f"minus_{name}_low", f"minus_{name}_high",
        f"minus_{name}_bits", f"minus_{name}_bits_low", f"minus_{name}_bits_high",
        f"effect_minus_{name}", f"p_minus_{name}", f"p_minus_{name}_holm",
    )
)]  # fmt: skip
"""Columns where a concept was erased from the features: the same with nothing erased, and after erasing the concept's
labels in permuted order (sham)."""

CODE_COLUMNS = [
    "bits", "bits_low", "bits_high", "code_length", "uniform_bits", "compression", "baseline_bits", "null_bits",
    "untrained_bits", "control_bits", "orders",
    "minus_baseline_bits", "minus_baseline_bits_low", "minus_baseline_bits_high", "effect_minus_baseline",
    "p_baseline", "p_baseline_holm",
    "minus_mel_bits", "minus_mel_bits_low", "minus_mel_bits_high",
    "minus_mfcc_bits", "minus_mfcc_bits_low", "minus_mfcc_bits_high",
    "minus_untrained_bits", "minus_untrained_bits_low", "minus_untrained_bits_high",
]  # fmt: skip
"""Columns of `mdl` only: bits per label, but for the total `code_length`. The baseline is the code of class shares."""

CURVE_COLUMNS = [
    "table", "feature", "target", "method", "protocol", "groups", "fitted", "n", "bits", "share_bits", "accuracy",
]  # fmt: skip
"""Of a learning curve: the groups and rows (on average) that a probe was fitted to, the labels judged, and per label
the bits given the feature and given class shares alone."""

CONFUSION_COLUMNS = ["table", "feature", "target", "method", "protocol", "k", "label", "predicted", "count"]

PREDICTION_COLUMNS = [
    "table", "feature", "target", "method", "protocol", "k", "token_id", "speaker", "utterance", "label", "predicted",
]  # fmt: skip

SHOWN_KS = (1, 5, 10, 20, 50)
"""The ks that are printed, and whose confusions are kept: fixed beforehand, so that no result chooses them."""

COMPARED_WITH = {
    "baseline": "gender mean", "mel": "Mel", "mfcc": "MFCC", "untrained": "untrained", "unerased": "nothing erased",
    "sham": "sham erased",
}  # fmt: skip
"""What results are compared with, in print, by its name in the columns of the differences; the baseline of a code
length is that of the class shares."""

TESTS = ["p_minus_mel", "p_minus_mfcc", "p_minus_untrained", "p_minus_unerased", "p_minus_sham", "p_baseline"]
"""Columns of p values of differences. Each has one beside it that ends in `_holm`, adjusted for all differences that a
command prints. `p_null` is not adjusted: its smallest value is set by the number of permutations."""

MIN_PERMUTATIONS_FOR_P = 19
"""With fewer, not even the best of labels could reach p = 0.05, and no p value is given."""


@dataclass(frozen=True, repr=False, eq=False)
class Answer:
    """The answer to a question. `print(answer)` shows what the command prints.

    Attributes:
        question: with its defaults filled in.
        frame: the results, one row per feature, speaker (and all speakers together) and k; see `COLUMNS`.
        confusion: how often each label was taken for each, over all speakers; see `CONFUSION_COLUMNS`.
        notes: what was left out, and why.
        predictions: what each row was taken for, at the same ks as the confusions; see `PREDICTION_COLUMNS`. Empty for
            methods that do not predict classes, and where an answer was read from a file.
        curve: of `mdl`, how many bits a label takes with the rows that the probe was fitted to; see `CURVE_COLUMNS`.
    """

    question: Question
    frame: pd.DataFrame
    confusion: pd.DataFrame
    notes: tuple[str, ...] = ()
    predictions: pd.DataFrame = field(default_factory=lambda: pd.DataFrame(columns=PREDICTION_COLUMNS))
    curve: pd.DataFrame = field(default_factory=lambda: pd.DataFrame(columns=CURVE_COLUMNS))

    @cached_property
    def recall(self) -> pd.DataFrame:
        """Of every label, the share that was recognised, and what it was most often taken for instead."""
        return recall_of(self.confusion)

    def plot(self, **options: Any) -> Any:
        """`lvm_probe.plot` of this answer, with the same options."""
        import lvm_probe

        return lvm_probe.plot(self, **options)

    def __repr__(self) -> str:
        from lvm_probe.probing.questions.report import as_text

        return as_text(self.frame, self.notes)

    def _repr_html_(self) -> str:
        from lvm_probe.probing.questions.report import as_html

        return as_html(self.frame, self.notes)


def results_frame(rows: Sequence[Mapping[str, Any]]) -> pd.DataFrame:
    """A data frame of result rows, each of which holds a value, or an array over `k`, by the name of its column."""

    def column(name: str) -> np.ndarray:
        return np.concatenate([np.broadcast_to(row.get(name, np.nan), len(row["k"])) for row in rows])

    more = NUMBER_COLUMNS if "mae" in rows[0] else CODE_COLUMNS if "bits" in rows[0] else []
    columns = COLUMNS + MORE_COLUMNS + more + (ERASURE_COLUMNS if "erase" in rows[0] else [])
    frame = pd.DataFrame({name: column(name) for name in columns})
    frame["optimism"] = frame["paper_accuracy"] - frame["accuracy"]
    frame["null_n"] = frame["permutations"] * frame["n"]
    frame["selectivity"] = frame["accuracy"] - frame["control_accuracy"]
    tests = frame.columns.intersection([*TESTS, "p_null"])
    frame.loc[frame.index.difference(at_reported_k(frame).index), tests] = np.nan
    if "mae" in rows[0] and rows[0]["target"] == "height-cm":
        frame = frame.assign(**{name: frame[source] for name, source in HEIGHT_COLUMNS.items()})
    return with_adjusted_p(frame)


def at_reported_k(frame: pd.DataFrame) -> pd.DataFrame:
    """The rows at the k that is tested and put into words.

    It is 5, or of a table under a protocol of which that was not asked, the largest that was.
    """
    asked = frame.groupby(["table", "protocol"])["k"]
    return frame[frame["k"] == asked.transform(lambda ks: REPORTED_K if (ks == REPORTED_K).any() else ks.max())]


def pooled(frame: pd.DataFrame) -> pd.DataFrame:
    """The rows of all speakers; of a table and protocol of which one speaker is judged, that speaker's."""
    all_speakers = frame["speaker"] == ""
    return frame[all_speakers | ~all_speakers.groupby([frame["table"], frame["protocol"]]).transform("any")]


def differences(frame: pd.DataFrame) -> pd.DataFrame:
    """The differences to everything that results are compared with, a row for each.

    Returns:
        The columns of the results, and `compared_with` (see `COMPARED_WITH`), `difference`, `difference_low`,
        `difference_high`, `effect`, `p` and `p_holm`; fractions, bits for `mdl`, or errors in the unit of a number.
    """
    unit = unit_of(frame)
    tables = []
    for name, other in COMPARED_WITH.items():
        column, p = f"minus_{name}{unit}", "p_baseline" if name == "baseline" else f"p_minus_{name}"
        if column in frame:
            columns = {"difference": column, "difference_low": f"{column}_low", "difference_high": f"{column}_high"}
            columns |= {"effect": f"effect_minus_{name}", "p": p, "p_holm": f"{p}_holm"}
            known = frame[frame[column].notna()]
            other = "class shares" if (name, unit) == ("baseline", "_bits") else other
            tables.append(known.assign(compared_with=other, **{new: known[old] for new, old in columns.items()}))
    return pd.concat(tables)


def unit_of(frame: pd.DataFrame) -> str:
    """What the names of columns in another unit than fractions end in: `_cm`, `_error`, `_bits`, or nothing."""
    return next((end for name, end in (("mae_cm", "_cm"), ("mae", "_error"), ("bits", "_bits")) if name in frame), "")


def with_adjusted_p(frame: pd.DataFrame) -> pd.DataFrame:
    """Results with the p values of all their differences adjusted after Holm, in columns `p_..._holm`."""
    tests = list(frame.columns.intersection(TESTS))
    adjusted = holm(frame[tests].to_numpy(dtype=np.float64).ravel()).reshape(len(frame), len(tests))
    return frame.assign(**{f"{name}_holm": column for name, column in zip(tests, adjusted.T, strict=True)})


def confusion_frame(common: Mapping[str, Any], outcome: Outcome, classes: np.ndarray) -> pd.DataFrame:
    """How often each class was taken for each, at the ks that are shown; `common` has the other columns."""
    shown = _shown(outcome)
    shape = (len(shown), len(classes), len(classes))
    cells = (np.arange(len(shown))[:, None], outcome.labels, outcome.predictions.T[shown])
    pairs, counts = np.unique(np.ravel_multi_index(cells, shape), return_counts=True)
    k, label, predicted = np.unravel_index(pairs, shape)
    counted = {"k": np.take(outcome.ks, shown)[k], "label": classes[label], "predicted": classes[predicted]}
    return pd.DataFrame(dict(common) | counted | {"count": counts})[CONFUSION_COLUMNS]


def _shown(outcome: Outcome) -> list[int]:
    """The places of the ks that are shown; of the largest where none of them was asked for."""
    return [i for i, k in enumerate(outcome.ks) if k in SHOWN_KS] or [len(outcome.ks) - 1]


def predictions_frame(
    common: Mapping[str, Any], outcome: Outcome, rows: Mapping[str, np.ndarray], classes: np.ndarray
) -> pd.DataFrame:
    """What each row was taken for, at the ks that are shown.

    Args:
        common: the other columns.
        outcome: of some rows.
        rows: `token_id`, `speaker` and `utterance` of these rows.
        classes: names of the labels' codes.
    """
    names, n = pd.Index(classes), outcome.n
    frames = []
    for i in _shown(outcome):
        columns: dict[str, Any] = {"k": np.full(n, outcome.ks[i])}
        columns |= {name: rows[name] for name in ("token_id", "speaker", "utterance")}
        columns["label"] = pd.Categorical.from_codes(outcome.labels, names)
        columns["predicted"] = pd.Categorical.from_codes(outcome.predictions[:, i], names)
        frames.append(pd.DataFrame(columns))
    return pd.concat(frames, ignore_index=True).assign(**{k: v for k, v in common.items() if k in PREDICTION_COLUMNS})[
        PREDICTION_COLUMNS
    ]


def recall_of(confusion: pd.DataFrame) -> pd.DataFrame:
    """Of every label, the share that was recognised, and what it was most often taken for instead."""
    key = ["table", "feature", "target", "method", "protocol", "k", "label"]
    counts = confusion.assign(right=confusion["count"].where(confusion["label"] == confusion["predicted"], 0))
    recall = counts.groupby(key, sort=False)[["count", "right"]].sum()
    wrong = confusion[confusion["label"] != confusion["predicted"]]
    worst = wrong.sort_values("count", ascending=False, kind="stable").drop_duplicates(key).set_index(key)
    recall["recall"] = recall["right"] / recall["count"]
    recall["taken_for"] = worst["predicted"]
    recall["taken_for_share"] = worst["count"] / recall["count"]
    return recall.rename(columns={"count": "n"}).drop(columns="right").reset_index()
