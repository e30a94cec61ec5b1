"""A token table of made-up features, and ways to change and to read it."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from lvm_probe.probing.features.token_table import TokenTable, columns_of_rows

PHONES = ("iy", "aa", "s", "t")
DIMS = {"z1": 12, "z2": 6, "mel": 10}


def made_up(
    speakers: int = 4, each: int = 48, signal: float = 4.0, dims: dict[str, int] | None = None, seed: int = 0
) -> TokenTable:
    """Equal classes; `z1` and `z2` know the phone (z2 half of it), every feature knows the speaker, mel no more."""
    random = np.random.default_rng(seed)
    rows, features = [], {name: [] for name in dims or DIMS}
    for s in range(speakers):
        name = f"{'FM'[s % 2]}S{s}"
        voice = {feature: random.normal(size=size) for feature, size in (dims or DIMS).items()}
        for i in range(each):
            code = i % len(PHONES)
            sentence = ("SA1", "SX1", "SI1")[i * 3 // each]
            rows.append(
                {
                    "token_id": f"{name}_{i}", "utterance": f"{name}_{sentence}", "speaker": name, "gender": name[0],
                    "height_cm": None, "dialect": None, "split": None, "unit": "phoneme", "label": PHONES[code],
                    "start": 100 * i, "end": 100 * i + 50 + i % 7, "sample_rate": 16000, "prompt": sentence,
                }
            )  # fmt: skip
            for feature, values in features.items():
                value = random.normal(size=len(voice[feature])) + 0.3 * voice[feature]
                value[0] += signal * (code % 2) * (feature != "mel")
                value[1] += signal * (code // 2) * (feature == "z1")
                value[2] += 2 * signal * (name[0] == "F")
                values.append(value)
    arrays = {name: np.array(values, dtype=np.float32) for name, values in features.items()}
    return TokenTable("made-up", Path("latents/made-up"), {}, columns_of_rows(rows), arrays)


def changed(table: TokenTable, features: dict[str, np.ndarray] | None = None, **columns: Any) -> TokenTable:
    """With other columns (one value for all rows, or one each) or features."""
    others = {name: np.empty_like(table.columns[name]) for name in columns}
    for name, values in columns.items():
        others[name][:] = values
    return replace(table, columns=table.columns | others, features=features or table.features)


def at(frame: pd.DataFrame, **wanted: Any) -> pd.Series:
    rows = frame
    for column, value in wanted.items():
        rows = rows[rows[column] == value]
    assert len(rows) == 1
    return rows.iloc[0]
