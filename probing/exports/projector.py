"""Vectors and metadata for the Embedding Projector of TensorBoard (https://projector.tensorflow.org): "Load data".

`vectors.tsv` has a row of numbers for each token and no head, `metadata.tsv` a head and a row for each token. With
`projector_config.pbtxt` beside them, `tensorboard --logdir FOLDER` shows them too.
"""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pandas as pd

from lvm_probe import InputError
from lvm_probe.analysis.shape_annotations import Float
from lvm_probe.models.io.files import write_atomically

MAX_NUMBERS = 20_000_000
"""Numbers in `vectors.tsv` at most: the projector, which runs in the browser, does not load more."""

FILES = ("vectors.tsv", "metadata.tsv", "projector_config.pbtxt")


def write(folder: Path, points: Float[np.ndarray, "tokens dims"], metadata: pd.DataFrame, name: str) -> list[Path]:
    """Write the three files, each whole or not at all; the configuration last.

    Args:
        folder: of the files; made if it is missing.
        points: features.
        metadata: one row per token; the columns are shown.
        name: of the feature.

    Raises:
        InputError: too many numbers, or the folder cannot be written to.
    """
    check_size(points)
    vectors = "".join("\t".join(f"{value:.6g}" for value in row) + "\n" for row in points.tolist())
    cells = [list(map(str, metadata.columns)), *metadata.astype(object).to_numpy().tolist()]
    table = "".join("\t".join(map(_cell, row)) + "\n" for row in cells)
    config = (
        f'embeddings {{\n  tensor_name: "{re.sub(r"[^A-Za-z0-9_+.-]", "_", name)}"\n  tensor_path: "{FILES[0]}"\n'
        f'  metadata_path: "{FILES[1]}"\n}}\n'
    )
    paths = [folder / file for file in FILES]
    for path, text in zip(paths, (vectors, table, config), strict=True):
        with write_atomically(path) as temporary:
            temporary.write_text(text, encoding="utf-8")
    return paths


def check_size(points: Float[np.ndarray, "tokens dims"]) -> None:
    """Refuse more numbers than the projector loads.

    Raises:
        InputError: there are too many.
    """
    if points.size > MAX_NUMBERS:
        raise InputError(
            f"{len(points):,} tokens of {points.shape[1]} dimensions are {points.size:,} numbers, and the projector "
            f"loads {MAX_NUMBERS:,}; choose fewer with --max-tokens"
        )


def _cell(value: object) -> str:
    """The value without what would end the cell or the row."""
    return "" if value is None or value != value else re.sub(r"\s", " ", str(value))
