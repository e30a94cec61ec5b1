"""Times leave-one-out LDA against refitting every fold from scratch, and `probe knn` with its default question.

    OMP_NUM_THREADS=1 python benchmarks/nested.py

The plain refit standardises, shrinks the covariance and solves the generalised eigenproblem with SciPy and
scikit-learn; it runs on some of the points and its time is scaled up to all. Both times are seconds of the processor.

The whole command then asks its default question about a made-up table of 14 speakers with ten utterances each. Its wall
time needs a quiet machine with two cores.
"""

import argparse
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
from scipy.linalg import eigh
from sklearn.covariance import ledoit_wolf
from sklearn.preprocessing import StandardScaler

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from lvm_probe.analysis.protocols import classify
from lvm_probe.models.io.files import write_json
from lvm_probe.probing.features import token_table

SPEAKERS, UTTERANCES, CLASSES = 14, 10, 58
SIZES = {"z1": 64, "z1_logms": 64, "z2": 64, "mel": 80}
K = 50


def refitted_neighbours(points: np.ndarray, labels: np.ndarray, i: int, lda_dims: int) -> np.ndarray:
    """The nearest others of point i in discriminants fitted to those others."""
    others = np.delete(np.arange(len(points)), i)
    scaler = StandardScaler().fit(points[others])
    fold, held_out = scaler.transform(points[others]), scaler.transform(points[[i]])
    classes, codes, counts = np.unique(labels[others], return_inverse=True, return_counts=True)
    means = np.array([fold[codes == c].mean(axis=0) for c in range(len(classes))])
    within, _ = ledoit_wolf(fold - means[codes], assume_centered=True)
    between = (means * (counts / len(others))[:, None]).T @ means
    dims = points.shape[1]
    _, axes = eigh(between, within, subset_by_index=(dims - lda_dims, dims - 1))
    gaps = fold @ axes - held_out @ axes
    return others[np.argsort((gaps**2).sum(axis=1), kind="stable")[:K]]


def against_refits(n: int, dims: int, classes: int, sample_size: int, rng: np.random.Generator) -> None:
    """Print both times for so many points."""
    labels = rng.permutation(np.arange(n) % classes)
    points = rng.normal(size=(n, dims)) + rng.normal(size=(classes, dims))[labels]
    begin = time.process_time()
    outcome = classify(points, labels, protocol="nested", lda_dims=5, ks=range(1, K + 1))
    ours = time.process_time() - begin

    sample = rng.choice(n, size=min(sample_size, n), replace=False)
    begin = time.process_time()
    plain = np.array([refitted_neighbours(points, labels, i, 5) for i in sample])
    refits = (time.process_time() - begin) * n / len(sample)
    assert outcome.neighbours is not None
    print(f"{n} points, {dims} dimensions, {classes} classes, 5 discriminants")
    print(f"  classify, protocol nested         {ours:9.2f} s")
    print(f"  every fold from scratch           {refits:9.2f} s  (scaled up from {len(sample)} folds)")
    print(f"  neighbours that agree, of {K} each {(outcome.neighbours[sample] == plain).mean():9.1%}\n")


def made_up(folder: Path, n: int, rng: np.random.Generator) -> Path:
    """A token table of so many phonemes, spread over the speakers and their utterances."""
    tokens = []
    for i in range(n):
        speaker, utterance = i % SPEAKERS, i // SPEAKERS % UTTERANCES
        tokens.append({
            "token_id": f"S{speaker}_U{utterance}_{i}", "utterance": f"S{speaker}_U{utterance}",
            "speaker": f"S{speaker:02}", "gender": "FM"[speaker % 2], "height_cm": None, "dialect": None,
            "split": None, "unit": "phoneme", "label": f"p{rng.integers(CLASSES):02}", "start": 1000 * i,
            "end": 1000 * i + 900, "sample_rate": 16_000,
        })  # fmt: skip
    codes = np.array([int(token["label"][1:]) for token in tokens])
    features = {}
    for name, size in SIZES.items():  # classes lie farther apart in some directions than in others, as phonemes do
        means = rng.normal(size=(CLASSES, size)) * 2 / np.sqrt(1 + np.arange(size))
        features[name] = (rng.normal(size=(n, size)) + means[codes]) @ rng.normal(size=(size, size))
    token_table.write_part(folder, 0, tokens, features, SIZES)
    write_json(folder / token_table.EXTRACTION, {"parts": 1, "features": SIZES, "layers": ["z1", "z2"]})
    return folder


def whole_command(n: int, options: list[str], turns: int, rng: np.random.Generator) -> None:
    """Print the wall times of `probe knn` on a table of so many rows."""
    with tempfile.TemporaryDirectory() as temporary:
        folder = made_up(Path(temporary) / "table", n, rng)
        command = [sys.executable, "-m", "lvm_probe", "knn", "--latents", str(folder), "--out", f"{temporary}/out.csv"]
        seconds = []
        for _ in range(turns):
            begin = time.perf_counter()
            subprocess.run([*command, *options], check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
            seconds.append(time.perf_counter() - begin)
    shown = ", ".join(f"{s:.2f}" for s in sorted(seconds))
    print(f"probe knn {' '.join(options)}: {n} rows, {len(SIZES) + 1} features, {os.cpu_count()} cores: {shown} s")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--points", type=int, nargs="*", default=[370, 2000, 5000])
    parser.add_argument("--dims", type=int, default=128)
    parser.add_argument("--classes", type=int, default=38)
    parser.add_argument("--sample", type=int, default=40, help="folds that are refitted from scratch")
    parser.add_argument("--rows", type=int, default=5000, help="of the made-up table")
    parser.add_argument("--turns", type=int, default=3, help="runs of the command")
    parser.add_argument("--seed", type=int, default=0)
    args, options = parser.parse_known_args()  # further options go to `probe knn`
    rng = np.random.default_rng(args.seed)
    for n in args.points:
        against_refits(n, args.dims, args.classes, args.sample, rng)
    whole_command(args.rows, options, args.turns, rng)


if __name__ == "__main__":
    main()
