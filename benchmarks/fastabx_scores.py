"""Scores of fastabx (Python 3.12 or newer) on made-up features, for comparison with our own.

    python3.12 -m venv v && v/bin/pip install fastabx && v/bin/python benchmarks/fastabx_scores.py

prints the numbers that `tests/analysis/test_frame_abx.py` holds. It needs neither this package nor any data: the
features are drawn here in the same way as in the test. With a folder that `probe export --frames` wrote, it prints the
scores of a layer in that folder instead:

    v/bin/python benchmarks/fastabx_scores.py frames/timit z1 250
"""

import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np

FREQUENCY = 100


def made_up(seed: int) -> tuple[list[str], dict[str, np.ndarray]]:
    """Rows of an item file, and the features of its files: phones with a mean of their own and a drift, 3 speakers."""
    generator = np.random.default_rng(seed)
    phones, contexts = np.array(["aa", "iy", "s"]), np.array(["k", "SIL"])
    means = generator.normal(size=(3, 8))
    voices = 0.7 * generator.normal(size=(3, 8))
    rows, features = [], {}
    for speaker in range(3):
        for number in range(3):
            frames = generator.normal(size=(300, 8)) * 1.2 + voices[speaker]
            at = 0.0
            for _ in range(14):
                phone, before = generator.integers(3), generator.integers(2)
                onset = round(at + generator.uniform(0.01, 0.05), 4)
                offset = round(onset + generator.uniform(0.03, 0.15), 4)
                first, last = int(onset * FREQUENCY), int(offset * FREQUENCY) + 1
                drift = np.linspace(-1, 1, last - first)[:, None] * np.roll(means[phone], 1)
                frames[first:last] += means[phone] + drift
                rows.append(f"f{speaker}{number} {onset} {offset} {phones[phone]} {contexts[before]} k s{speaker}")
                at = offset
            features[f"f{speaker}{number}"] = frames.astype(np.float32)
    return rows, features


def scores(seed: int, folder: Path) -> dict[str, float]:
    """The error rates of fastabx."""
    import torch
    from fastabx import zerospeech_abx

    rows, features = made_up(seed)
    item = folder / "made_up.item"
    item.write_text("\n".join(["#file onset offset #phone prev-phone next-phone speaker", *rows, ""]))
    for name, frames in features.items():
        torch.save(torch.from_numpy(frames), folder / f"{name}.pt")
    modes: Any = [(speaker, context) for speaker in ("within", "across") for context in ("within", "any")]
    return {
        f"{speaker} {context}": zerospeech_abx(
            item, folder, max_size_group=None, max_x_across=None, speaker=speaker, context=context,
            frequency=FREQUENCY, progress=False,
        )
        for speaker, context in modes
    }  # fmt: skip


def scores_of(frames: Path, layer: str, frequency: str) -> None:
    """Print the error rates of a layer."""
    import torch
    from fastabx import zerospeech_abx

    def make(path: str | Path) -> torch.Tensor:
        return torch.from_numpy(np.load(path))

    for mode in ("within", "across"):
        begun = time.monotonic()
        found = zerospeech_abx(
            frames / "phones.item", frames / layer, max_size_group=None, max_x_across=None, speaker=mode,
            context="within", frequency=frequency, extension=".npy", feature_maker=make, progress=False,
        )  # fmt: skip
        print(mode, found, f"{time.monotonic() - begun:.1f} s")


if __name__ == "__main__":
    if len(sys.argv) == 4:
        scores_of(Path(sys.argv[1]), sys.argv[2], sys.argv[3])
    for seed in range(3) if len(sys.argv) == 1 else ():
        with tempfile.TemporaryDirectory() as folder:
            print(seed, scores(seed, Path(folder)))
