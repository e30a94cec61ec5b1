"""Tokens as files: rows as CSV, audio as a ZIP of WAV files, features as Parquet."""

from __future__ import annotations

import re
import zipfile
from io import BytesIO

import numpy as np
import pandas as pd

from lvm_probe.analysis.shape_annotations import Float
from lvm_probe.app.explorer import audio
from lvm_probe.app.explorer.inputs import ExplorerInputs

MAX_SNIPPETS = 5_000
"""Audio files in one ZIP."""


def rows(tokens: pd.DataFrame) -> bytes:
    """Tokens as CSV."""
    return tokens.to_csv(index=False).encode()


def features(tokens: pd.DataFrame, name: str, points: Float[np.ndarray, "tokens dims"]) -> bytes:
    """Tokens with their feature as one Parquet file."""
    frame = tokens.reset_index(drop=True).assign(**{name: list(points.astype(np.float32))})
    file = BytesIO()
    frame.to_parquet(file, index=False)
    return file.getvalue()


def snippets(inputs: ExplorerInputs, tokens: pd.DataFrame) -> bytes:
    """A ZIP of one WAV file per token, and `tokens.csv`, which names the file of each.

    Raises:
        InputError: a recording cannot be read.
    """
    file = BytesIO()
    names = []
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
        for i, row in enumerate(tokens.to_dict("records"), 1):
            text = re.sub(r"[^\w.-]+", "_", f"{row['label']}_{row['utterance']}")
            names.append(f"{i:05d}_{text}.wav")
            wav = audio.clip(inputs.utterance(row["utterance"]), int(row["start"]), int(row["end"]))
            archive.writestr(names[-1], wav)
        archive.writestr("tokens.csv", rows(tokens.assign(file=names)))
    return file.getvalue()
