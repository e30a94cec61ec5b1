"""What the page 'Dimensions' shows, as arrays and data frames: the list of dimensions, tuning, and extreme tokens."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from lvm_probe import InputError
from lvm_probe.analysis.shape_annotations import Float, Int
from lvm_probe.analysis.tuning import class_means_and_spreads, explained_variance
from lvm_probe.figures.style import articulation_order
from lvm_probe.probing.corpora.phones import NON_PHONEMES
from lvm_probe.probing.diagnostics.dimensions import LayerDimensions
from lvm_probe.probing.features.token_table import TokenTable

COLUMNS = ["dimension", "bits_per_second", "state", "phones", "speakers", "correlation_ms", "mean", "spread"]


def dimension_name(layer: str, index: int) -> str:
    """The name of a dimension, from 0: `z1[12]`."""
    return f"{layer}[{index}]"


def parsed_name(name: str) -> tuple[str, int]:
    """The layer and index of a name that `dimension_name` made."""
    layer, index = name.removesuffix("]").split("[")
    return layer, int(index)


@dataclass(frozen=True)
class Explained:
    """The share of the variance over phone tokens that lies between classes, for each dimension of a layer."""

    phones: Float[np.ndarray, " dims"]
    speakers: Float[np.ndarray, " dims"]


def phone_rows(table: TokenTable) -> Int[np.ndarray, " rows"]:
    """The rows of a table's phones, without silences."""
    tokens = table.columns
    return np.flatnonzero((tokens["unit"] == "phoneme") & ~np.isin(tokens["label"].astype(str), sorted(NON_PHONEMES)))


def explained(table: TokenTable, rows: Int[np.ndarray, " rows"], feature: str) -> Explained:
    """What phones and speakers explain of a feature's dimensions; NaN where there are too few tokens or classes."""
    points = table.matrix(feature, rows)

    def share(column: str) -> np.ndarray:
        try:
            codes = np.unique(table.columns[column][rows].astype(str), return_inverse=True)[1]
            return explained_variance(points, codes)
        except InputError:
            return np.full(points.shape[1], np.nan)

    return Explained(share("label"), share("speaker"))


def list_of_dimensions(layers: Sequence[LayerDimensions], shares: Mapping[str, Explained]) -> pd.DataFrame:
    """All dimensions of some layers, those with the largest KL rate first.

    Args:
        layers: as they were measured.
        shares: for the layers that a table has, what phones and speakers explain.

    Returns:
        `COLUMNS`: KL in bits per second, `active` or `dead`, shares of the variance, times in milliseconds.
    """
    frames = []
    for layer in layers:
        size = len(layer.mean)
        share = shares.get(layer.name, Explained(np.full(size, np.nan), np.full(size, np.nan)))
        frames.append(
            pd.DataFrame(
                {
                    "dimension": [dimension_name(layer.name, i) for i in range(size)],
                    "bits_per_second": layer.bits_per_second,
                    "state": np.where(layer.active, "active", "dead"),
                    "phones": share.phones,
                    "speakers": share.speakers,
                    "correlation_ms": 1000 * layer.integrated_s,
                    "mean": layer.mean,
                    "spread": layer.spread,
                }
            )
        )
    every = pd.concat(frames, ignore_index=True)
    return every.sort_values("bits_per_second", ascending=False, kind="stable", ignore_index=True)[COLUMNS]


def dead_text(layers: Sequence[LayerDimensions]) -> str:
    """A sentence that names the dead dimensions of every layer."""
    parts = []
    for layer in layers:
        names = ", ".join(dimension_name(layer.name, i) for i in layer.dead)
        parts.append(f"{layer.name}: {len(layer.dead)} of {len(layer.mean)} dead" + (f" ({names})" if names else ""))
    return "; ".join(parts) + "."


def tuning(values: Float[np.ndarray, " tokens"], labels: Sequence[str]) -> pd.DataFrame:
    """Mean and spread of one dimension over the tokens of each label, ordered by manner of articulation.

    Returns:
        Columns `label`, `n`, `mean`, `spread`.
    """
    names, codes = np.unique(np.asarray(labels, dtype=str), return_inverse=True)
    mean, spread = class_means_and_spreads(np.asarray(values, np.float64)[:, None], codes, len(names))
    counts = np.bincount(codes, minlength=len(names))
    rows = pd.DataFrame({"label": names, "n": counts, "mean": mean[:, 0], "spread": spread[:, 0]})
    return rows.set_index("label").loc[articulation_order(names)].reset_index()


def extremes(
    values: Float[np.ndarray, " tokens"], most: int
) -> tuple[Int[np.ndarray, " largest"], Int[np.ndarray, " smallest"]]:
    """The rows of the largest values, largest first, and of the smallest, smallest first; ties by row."""
    return np.argsort(-values, kind="stable")[:most], np.argsort(values, kind="stable")[:most]
