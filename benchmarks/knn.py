"""Times nearest neighbours under `speaker` on made-up data of the size of TIMIT, in a bounded memory.

    python benchmarks/knn.py                 180,000 tokens of 128 dimensions, 39 classes, 630 speakers
    python benchmarks/knn.py --small         a tenth of the tokens and speakers
    python benchmarks/knn.py --tokens 2000000 --speakers 251     as many phones as 100 hours of LibriSpeech hold

Beyond half a million tokens only the discriminants are searched: products of all pairs of 128 dimensions take a day.

Beside it stand the bare float32 products of all pairs of points, without which no exact search by products can do
(timed on some blocks and scaled up), and scikit-learn's LinearDiscriminantAnalysis and KNeighborsClassifier fitted
again without each speaker, on fewer tokens and speakers, with our time and neighbours on the same data. The
libraries take as many threads as OMP_NUM_THREADS says; on a busy machine one is faster than two. Where FAISS is
installed (`pip install faiss-cpu`), its exact search (IndexFlatL2, in float32) of one speaker stands beside ours.
"""

import argparse
import resource
import time
from pathlib import Path
from sys import path

import numpy as np
from sklearn.discriminant_analysis import LinearDiscriminantAnalysis
from sklearn.neighbors import KNeighborsClassifier
from threadpoolctl import threadpool_info

path.insert(0, str(Path(__file__).resolve().parents[1]))

from lvm_probe.analysis.neighbours import neighbours_without_group
from lvm_probe.analysis.protocols import grouped

LARGE = 500_000  # tokens
Data = tuple[np.ndarray, np.ndarray, np.ndarray]


def made_up(tokens: int, dims: int, classes: int, speakers: int, seed: int = 0) -> Data:
    """Points, labels and speakers: the mean of a class, the offset of a speaker, and noise."""
    rng = np.random.default_rng(seed)
    labels, groups = rng.integers(classes, size=tokens), rng.permutation(np.arange(tokens) % speakers)
    points = rng.normal(size=(tokens, dims))
    points += 0.5 * rng.normal(size=(classes, dims))[labels]
    points += 0.5 * rng.normal(size=(speakers, dims))[groups]
    return points, labels, groups


def product_seconds(tokens: int, dims: int, rows: int = 384, columns: int = 4096, blocks: int = 200) -> float:
    """What the products of all pairs would take, from some blocks of them."""
    rng = np.random.default_rng(0)
    left, right = (rng.normal(size=(n, dims)).astype(np.float32) for n in (rows, columns))
    out = np.empty((rows, columns), dtype=np.float32)
    begin = time.perf_counter()
    for _ in range(blocks):
        np.matmul(left, right.T, out=out)
    return (time.perf_counter() - begin) * tokens**2 / (blocks * rows * columns)


def scikit_neighbours(data: Data, lda_dims: int, k: int) -> tuple[np.ndarray, np.ndarray]:
    """The k nearest of other speakers, in discriminants fitted to those; and the label of the nearest."""
    points, labels, groups = data
    found, nearest = np.empty((len(points), k), dtype=int), np.empty_like(labels)
    for group in np.unique(groups):
        others, held_out = np.flatnonzero(groups != group), np.flatnonzero(groups == group)
        space = points
        if lda_dims:
            model = LinearDiscriminantAnalysis(n_components=lda_dims).fit(points[others], labels[others])
            space = model.transform(points)
        search = KNeighborsClassifier(k, algorithm="auto" if lda_dims else "brute").fit(space[others], labels[others])
        found[held_out] = others[search.kneighbors(space[held_out], return_distance=False)]
        nearest[held_out] = labels[found[held_out, 0]]
    return found, nearest


def print_faiss(tokens: int, dims: int, queries: int, k: int) -> None:
    """One group's search among all other points by FAISS and by ours, where FAISS is installed."""
    try:
        import faiss  # type: ignore[import-not-found]
    except ImportError:
        return
    points = np.random.default_rng(0).normal(size=(tokens, dims))
    begin = time.perf_counter()
    index = faiss.IndexFlatL2(dims)
    index.add(points[queries:].astype(np.float32))
    index.search(points[:queries].astype(np.float32), k)
    theirs = time.perf_counter() - begin
    begin = time.perf_counter()
    neighbours_without_group(points, np.arange(queries), k)
    ours = time.perf_counter() - begin
    print(f"{queries} queries, {dims} dimensions: FAISS   {theirs:9.1f} s, ours {ours:.1f} s")


def timed(data: Data, lda_dims: int, k: int, shrinkage: str | float = "ledoit-wolf"):
    begin = time.perf_counter()
    outcome = grouped(*data, lda_dims=lda_dims, ks=range(1, k + 1), shrinkage=shrinkage)
    return outcome, time.perf_counter() - begin


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--tokens", type=int, default=180_000)
    parser.add_argument("--dims", type=int, default=128)
    parser.add_argument("--classes", type=int, default=39)
    parser.add_argument("--speakers", type=int, default=630)
    parser.add_argument("--lda-dims", type=int, default=5)
    parser.add_argument("--most-k", type=int, default=50, help="all k from 1 to this, from one search")
    parser.add_argument("--scikit", type=int, default=10, help="scikit-learn gets this part of tokens and speakers")
    parser.add_argument("--small", action="store_true", help="a tenth of the tokens and speakers")
    asked = parser.parse_args()
    part = 10 if asked.small else 1
    tokens, speakers, k = asked.tokens // part, asked.speakers // part, asked.most_k

    data = made_up(tokens, asked.dims, asked.classes, speakers)
    threads = max(pool["num_threads"] for pool in threadpool_info())
    print(f"{tokens} tokens, {asked.dims} dimensions, {asked.classes} classes, {speakers} speakers, {threads} threads")
    large = tokens > LARGE
    for lda_dims in (asked.lda_dims,) if large else (asked.lda_dims, 0):
        name = f"{lda_dims}-D LDA" if lda_dims else "features as they are"
        outcome, seconds = timed(data, lda_dims, k)
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20  # KiB on Linux
        bare = product_seconds(tokens, lda_dims or asked.dims)
        print(f"\n{name}, k = 1 to {k} (accuracy {outcome.accuracy[0]:.1%} to {outcome.accuracy[-1]:.1%})")
        print(f"under speaker                        {seconds:9.1f} s, {peak:.2f} GiB at most so far")
        print(
            f"bare products of all pairs           {bare:9.1f} s  (scaled up); ratio {seconds / bare:.1f}", flush=True
        )

    for dims in (asked.lda_dims, asked.dims):
        print_faiss(tokens, dims, min(tokens // speakers, 500), k)
    if large:
        return
    tokens, speakers = tokens // asked.scikit, max(2, speakers // asked.scikit)
    data = made_up(tokens, asked.dims, asked.classes, speakers)
    print(f"\nscikit-learn, unshrunk, on {tokens} tokens of {speakers} speakers:")
    for lda_dims in (asked.lda_dims, 0):
        begin = time.perf_counter()
        found, nearest = scikit_neighbours(data, lda_dims, k)
        theirs = time.perf_counter() - begin
        outcome, ours = timed(data, lda_dims, k, "none")
        assert outcome.neighbours is not None
        print(f"{f'{lda_dims}-D LDA' if lda_dims else 'features as they are':<37}{theirs:9.1f} s, ours {ours:.1f} s")
        print(f"  neighbours that agree, of {k} each   {(found == outcome.neighbours).mean():9.3%}")
        print(f"  predictions that agree, k = 1      {(nearest == outcome.predictions[:, 0]).mean():9.3%}", flush=True)


if __name__ == "__main__":
    main()
