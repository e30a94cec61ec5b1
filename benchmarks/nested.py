"""Times the `nested` protocol against the plain way: fitting everything again for every held-out point.

    python benchmarks/nested.py --points 370 --dims 128 --classes 38

The plain way standardises, estimates and shrinks the covariance and solves the generalised eigenproblem
from scratch with numpy, scipy and scikit-learn. It runs on a few of the points and is scaled up to all.
"""

import argparse
import time
from pathlib import Path
from sys import path

import numpy as np
from scipy.linalg import eigh
from sklearn.covariance import ledoit_wolf
from sklearn.preprocessing import StandardScaler

path.insert(0, str(Path(__file__).resolve().parents[1]))

from analysis.protocols import nested


def refitted_neighbours(points: np.ndarray, labels: np.ndarray, i: int, lda_dims: int, k: int) -> np.ndarray:
    """The k nearest others of point i in discriminants fitted again to those others."""
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
    return others[np.argsort((gaps**2).sum(axis=1), kind="stable")[:k]]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--points", type=int, default=370)
    parser.add_argument("--dims", type=int, default=128)
    parser.add_argument("--classes", type=int, default=38)
    parser.add_argument("--lda-dims", type=int, default=5)
    parser.add_argument("--sample", type=int, default=40, help="points that the plain way is timed on")
    parser.add_argument("--seed", type=int, default=0)
    asked = parser.parse_args()

    rng = np.random.default_rng(asked.seed)
    labels = rng.permutation(np.arange(asked.points) % asked.classes)
    points = rng.normal(size=(asked.points, asked.dims)) + rng.normal(size=(asked.classes, asked.dims))[labels]
    k = min(50, asked.points - 1)
    nested(points[: 4 * asked.classes], labels[: 4 * asked.classes], lda_dims=1, ks=(1,))  # libraries load

    begin = time.perf_counter()
    outcome = nested(points, labels, lda_dims=asked.lda_dims, ks=range(1, k + 1))
    downdated = time.perf_counter() - begin

    sample = rng.choice(asked.points, size=min(asked.sample, asked.points), replace=False)
    begin = time.perf_counter()
    plain = np.array([refitted_neighbours(points, labels, i, asked.lda_dims, k) for i in sample])
    refit = (time.perf_counter() - begin) * asked.points / len(sample)

    assert outcome.neighbours is not None
    same = (outcome.neighbours[sample] == plain).mean()
    print(f"{asked.points} points, {asked.dims} dimensions, {asked.classes} classes, {asked.lda_dims}-D LDA")
    print(f"nested, downdated                    {downdated:9.2f} s")
    print(f"fitted again for every point         {refit:9.2f} s  (scaled up from {len(sample)} points)")
    print(f"ratio                                {refit / downdated:9.1f}")
    print(f"neighbours that agree, of {k} each    {same:9.1%}")


if __name__ == "__main__":
    main()
