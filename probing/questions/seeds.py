"""The spread over trainings: the same question to tables of one model that was trained from several seeds."""

from __future__ import annotations

from collections.abc import Sequence

import pandas as pd

from lvm_probe import InputError
from lvm_probe.probing.features.model_identity import same_architecture
from lvm_probe.probing.features.token_table import TokenTable
from lvm_probe.probing.questions.results import at_reported_k, pooled

KEY = ["feature", "target", "method", "protocol", "k"]

COLUMNS = [
    *KEY, "trainings", "accuracy", "accuracy_sd", "accuracy_min", "accuracy_max", "interval_half_width",
    "minus_mel", "minus_mel_sd", "minus_mel_min", "minus_mel_max",
]  # fmt: skip
"""Means, standard deviations and ranges over trainings; half of the 95 % interval over speakers, averaged."""


def check_same_recipe(tables: Sequence[TokenTable]) -> None:
    """Refuse tables that are not of one model.

    Raises:
        InputError: fewer than two tables, or other models.
    """
    if len(tables) < 2:
        raise InputError("one table has no spread over trainings; give the tables of two or more seeds")
    for table in tables[1:]:
        ours, theirs = tables[0].extraction, table.extraction
        if bool(ours.get("untrained")) != bool(theirs.get("untrained")) or not same_architecture(ours, theirs):
            raise InputError(f"{table.path}: not of the same model as {tables[0].path}, so not another seed of it")


def over_trainings(frame: pd.DataFrame) -> pd.DataFrame:
    """The results of several tables together, one row per feature and protocol, at the k that is put into words.

    Args:
        frame: results, in which `table` tells the trainings apart.

    Returns:
        A data frame with `COLUMNS`.
    """
    shown = at_reported_k(pooled(frame))
    shown = shown.assign(half=(shown["ci_high"] - shown["ci_low"]) / 2)
    groups = shown.groupby(KEY, sort=False)
    spread = pd.DataFrame({"trainings": groups["table"].nunique(), "interval_half_width": groups["half"].mean()})
    for column in ("accuracy", "minus_mel"):
        values = groups[column]
        spread[column], spread[f"{column}_sd"] = values.mean(), values.std()
        spread[f"{column}_min"], spread[f"{column}_max"] = values.min(), values.max()
    return spread.reset_index()[COLUMNS]


def as_text(spread: pd.DataFrame) -> str:
    """The spread as a table in per cent and points, with a sentence on each feature that is compared with Mel."""
    n = int(spread["trainings"].max())
    lines = [f"Over {n} trainings, in per cent (half of the interval over speakers beside the spread over trainings):"]
    shown = pd.DataFrame(
        {
            "feature": spread["feature"],
            "protocol": spread["protocol"],
            "mean": 100 * spread["accuracy"],
            "sd of trainings": 100 * spread["accuracy_sd"],
            "lowest": 100 * spread["accuracy_min"],
            "highest": 100 * spread["accuracy_max"],
            "interval over speakers": 100 * spread["interval_half_width"],
        }
    )
    lines.append(shown.to_string(index=False, float_format=lambda value: f"{value:.1f}", na_rep="-"))
    for row in spread[spread["minus_mel"].notna()].to_dict("records"):
        low, high = 100 * row["minus_mel_min"], 100 * row["minus_mel_max"]
        side = "above Mel in all" if low > 0 else "below Mel in all" if high < 0 else "on both sides of Mel over"
        lines.append(f"{row['protocol']}: {row['feature']} is {side} {n} trainings ({low:+.1f} to {high:+.1f} points).")
    return "\n".join(lines)
