"""Parquet for Apple's Embedding Atlas: coordinates, nearest neighbours, and the sound of every token.

    embedding-atlas tokens.parquet --x x --y y --neighbors neighbors --text label

https://apple.github.io/embedding-atlas/tool.html describes the columns: `neighbors` holds {ids, distances}, where ids
are numbers of rows, and `audio` holds {bytes, path}, as data sets on Hugging Face do.
"""

from __future__ import annotations

import io
import wave
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from lvm_probe.analysis.shape_annotations import Float, Int
from lvm_probe.models.io.files import write_atomically
from lvm_probe.probing.exports.token_audio import Clip


def write(
    path: Path,
    places: pd.DataFrame,
    neighbours: Int[np.ndarray, "tokens k"],
    distances: Float[np.ndarray, "tokens k"],
    clips: Sequence[Clip] | None = None,
) -> None:
    """Write the file, whole or not at all.

    Args:
        path: of the file.
        places: one row per token: token_id, x, y, token, class, utterance, speaker, gender, start, end, sample_rate.
        neighbours: rows of the nearest tokens of each, nearest first.
        distances: to them.
        clips: the sound of each; None writes none.

    Raises:
        InputError: the file cannot be written.
    """
    rate = places["sample_rate"].to_numpy(float)
    columns: dict[str, pa.Array] = {
        "id": pa.array(range(len(places)), pa.int64()),
        "x": pa.array(places["x"], pa.float64()),
        "y": pa.array(places["y"], pa.float64()),
        "neighbors": pa.StructArray.from_arrays(
            [pa.array(list(neighbours), pa.list_(pa.int64())), pa.array(list(distances), pa.list_(pa.float64()))],
            ["ids", "distances"],
        ),
        "start_s": pa.array(places["start"].to_numpy(float) / rate),
        "end_s": pa.array(places["end"].to_numpy(float) / rate),
    }
    for name, column in {"label": "token", "class": "class"}.items():
        columns[name] = pa.array(places[column].astype(str), pa.string())
    for name in ("token_id", "utterance", "speaker", "gender"):
        columns[name] = pa.array(places[name], pa.string(), from_pandas=True)
    if clips is not None:
        sounds = [
            {"bytes": _wav(clip), "path": f"{name}.wav"} for clip, name in zip(clips, places["token_id"], strict=True)
        ]
        columns["audio"] = pa.array(sounds, pa.struct([("bytes", pa.binary()), ("path", pa.string())]))
    with write_atomically(path) as temporary:
        pq.write_table(pa.table(columns), temporary)


def _wav(clip: Clip) -> bytes:
    file = io.BytesIO()
    with wave.open(file, "wb") as out:
        out.setnchannels(1)
        out.setsampwidth(2)
        out.setframerate(clip.sample_rate)
        out.writeframes(clip.audio.astype("<i2").tobytes())
    return file.getvalue()
