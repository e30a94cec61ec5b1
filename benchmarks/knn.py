"""Times nearest neighbours with whole speakers held out, on made-up data of the size of TIMIT.

    python benchmarks/knn.py                 180,000 tokens of 128 dimensions, 39 classes, 630 speakers
    python benchmarks/knn.py --small         a tenth of the tokens and speakers
    python benchmarks/knn.py --tokens 2000000 --speakers 251     as many phones as 100 hours of LibriSpeech hold

With more than half a million tokens only the discriminants are searched: all pairs of 128 dimensions take a day.

Beside it stand scikit-learn's LinearDiscriminantAnalysis and KNeighborsClassifier, refitted without each speaker on
fewer tokens and speakers, with our time and neighbours on the same data. The libraries use as many threads as
OMP_NUM_THREADS says.
"""

import argparse
import resource
import time
from pathlib import Path
from sys import path

import numpy as np
from sklearn.discriminant_analysis import LinearDiscriminantAnalysis
from sklearn.neighbors import KNeighborsClassifier

path.insert(0, str(Path(__file__).resolve().parents[1]))

from lvm_probe.analysis.predictions import Outcome
from lvm_probe.analysis.protocols import classify
from lvm_probe.analysis.shrinkage import Shrinkage

MAX_TOKENS_OF_ALL_DIMENSIONS = 500_000
K = 50
Data = tuple[np.ndarray, np.ndarray, np.ndarray]


def made_up(tokens: int, dims: int, classes: int, speakers: int) -> Data:
    """Points, labels and speakers: the mean of a class, the offset of a speaker, and noise."""
    rng = np.random.default_rng(0)
    labels, groups = rng.integers(classes, size=tokens), rng.permutation(np.arange(tokens) % speakers)
    points = rng.normal(size=(tokens, dims))
    points += 0.5 * rng.normal(size=(classes, dims))[labels]
    points += 0.5 * rng.normal(size=(speakers, dims))[groups]
    return points, labels, groups


def scikit_neighbours(data: Data, lda_dims: int) -> np.ndarray:
    """The nearest tokens of other speakers, in discriminants fitted to those."""
    points, labels, groups = data
    found = np.empty((len(points), K), dtype=int)
    for group in np.unique(groups):
        others, held_out = np.flatnonzero(groups != group), np.flatnonzero(groups == group)
        space = points
        if lda_dims:
            model = LinearDiscriminantAnalysis(n_components=lda_dims).fit(points[others], labels[others])
            space = model.transform(points)
        search = KNeighborsClassifier(K, algorithm="auto" if lda_dims else "brute").fit(space[others], labels[others])
        found[held_out] = others[search.kneighbors(space[held_out], return_distance=False)]
    return found


def timed(data: Data, lda_dims: int, shrinkage: Shrinkage = "ledoit-wolf") -> tuple[Outcome, float]:
    points, labels, groups = data
    begin = time.perf_counter()
    outcome = classify(
        points, labels, protocol="grouped", groups=groups, lda_dims=lda_dims, ks=range(1, K + 1), shrinkage=shrinkage
    )
    return outcome, time.perf_counter() - begin


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--tokens", type=int, default=180_000)
    parser.add_argument("--dims", type=int, default=128)
    parser.add_argument("--classes", type=int, default=39)
    parser.add_argument("--speakers", type=int, default=630)
    parser.add_argument("--lda-dims", type=int, default=5)
    parser.add_argument("--scikit", type=int, default=10, help="scikit-learn gets this part of tokens and speakers")
    parser.add_argument("--small", action="store_true", help="a tenth of the tokens and speakers")
    args = parser.parse_args()
    part = 10 if args.small else 1
    tokens, speakers = args.tokens // part, args.speakers // part
    spaces = [args.lda_dims] if tokens > MAX_TOKENS_OF_ALL_DIMENSIONS else [args.lda_dims, 0]

    data = made_up(tokens, args.dims, args.classes, speakers)
    print(f"{tokens} tokens, {args.dims} dimensions, {args.classes} classes, {speakers} speakers, k = 1 to {K}")
    for lda_dims in spaces:
        outcome, seconds = timed(data, lda_dims)
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20  # KiB on Linux
        print(
            f"{f'{lda_dims} discriminants' if lda_dims else 'features':<20}{seconds:9.1f} s, {peak:.2f} GiB at most, "
            f"accuracy {outcome.accuracy[0]:.1%} to {outcome.accuracy[-1]:.1%}",
            flush=True,
        )
    if tokens > MAX_TOKENS_OF_ALL_DIMENSIONS:
        return
    tokens, speakers = tokens // args.scikit, max(2, speakers // args.scikit)
    data = made_up(tokens, args.dims, args.classes, speakers)
    print(f"\nscikit-learn, without shrinkage, on {tokens} tokens of {speakers} speakers:")
    for lda_dims in spaces:
        begin = time.perf_counter()
        found = scikit_neighbours(data, lda_dims)
        theirs = time.perf_counter() - begin
        outcome, ours = timed(data, lda_dims, "none")
        assert outcome.neighbours is not None
        print(
            f"{f'{lda_dims} discriminants' if lda_dims else 'features':<20}{theirs:9.1f} s, ours {ours:.1f} s, "
            f"neighbours that agree {(found == outcome.neighbours).mean():.3%}",
            flush=True,
        )


if __name__ == "__main__":
    main()
