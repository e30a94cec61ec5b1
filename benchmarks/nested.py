"""Times the `nested` protocol against fitting everything again for every held-out point, and times `probe knn`.

    OMP_NUM_THREADS=1 python benchmarks/nested.py

The plain way standardises, estimates and shrinks the covariance and solves the generalised eigenproblem
from scratch with numpy, scipy and scikit-learn. It runs on a few of the points and is scaled up to all.

Then the whole command answers the default question about a made-up table of 14 speakers' tokens in 58 classes: once
as users run it, and once with its parts timed by the processor's clock.
"""

import argparse
import contextlib
import io
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from scipy.linalg import eigh
from sklearn.covariance import ledoit_wolf
from sklearn.preprocessing import StandardScaler

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from lvm_probe.analysis import downdate, few, protocols
from lvm_probe.analysis.lda import standardised
from lvm_probe.analysis.protocols import nested
from lvm_probe.app import cli
from lvm_probe.probing import parallel
from lvm_probe.probing.features import token_table
from lvm_probe.probing.questions import classification

ROOT = Path(__file__).resolve().parents[1]
SPEAKERS, CLASSES = 14, 58
SIZES = {"z1": 64, "z1_logms": 64, "z2": 64, "mel": 80}


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


def against_refitting(n: int, dims: int, classes: int, sample_size: int, rng: np.random.Generator) -> None:
    """Prints how much longer the plain way takes for so many points; of few, in fewer classes."""
    classes = min(classes, n // 7)
    labels = rng.permutation(np.arange(n) % classes)
    points = rng.normal(size=(n, dims)) + rng.normal(size=(classes, dims))[labels]
    k, lda_dims = min(50, n - 1), min(5, classes - 1)
    nested(points, labels, lda_dims=1, ks=(1,), judged=np.arange(2))  # libraries load

    begin = time.process_time()
    outcome = nested(points, labels, lda_dims=lda_dims, ks=range(1, k + 1))
    found = time.process_time() - begin

    sample = rng.choice(n, size=min(sample_size, n), replace=False)
    begin = time.process_time()
    plain = np.array([refitted_neighbours(points, labels, i, lda_dims, k) for i in sample])
    refit = (time.process_time() - begin) * n / len(sample)

    way = few if n < downdate.LEAST_POINTS else downdate
    together = way.without_each(standardised(points), labels, classes, lda_dims, "ledoit-wolf", np.arange(n))
    certified = sum(len(some.rows) for some in together) / n
    assert outcome.neighbours is not None
    same = (outcome.neighbours[sample] == plain).mean()
    print(f"{n} points, {dims} dimensions, {classes} classes, {lda_dims}-D LDA; seconds of the processor")
    print(f"  nested                              {found:9.4f} s")
    print(f"  fitted again for every point        {refit:9.4f} s  (scaled up from {len(sample)} points)")
    print(f"  ratio                               {refit / found:9.1f}")
    print(f"  folds found together                {certified:9.1%}  (the others one by one)")
    print(f"  neighbours that agree, of {k} each   {same:9.1%}\n")


def made_up(folder: Path, n: int, rng: np.random.Generator) -> Path:
    """A token table of so many phonemes, spread over the speakers."""
    tokens = [
        {
            "token_id": f"U{i % SPEAKERS}_{i}", "utterance": f"U{i % SPEAKERS}", "speaker": f"S{i % SPEAKERS:02}",
            "gender": "FM"[i % 2], "height_cm": None, "dialect": None, "split": None, "unit": "phoneme",
            "label": f"p{rng.integers(CLASSES):02}", "start": 1000 * i, "end": 1000 * i + 900, "sample_rate": 16_000,
        }
        for i in range(n)
    ]  # fmt: skip
    codes = np.array([int(token["label"][1:]) for token in tokens])
    features = {}
    for name, size in SIZES.items():  # classes lie apart in some directions more than in others, as phonemes do
        means = rng.normal(size=(CLASSES, size)) * 2 / np.sqrt(1 + np.arange(size))
        features[name] = (rng.normal(size=(n, size)) + means[codes]) @ rng.normal(size=(size, size))
    token_table.write_part(folder, 0, tokens, features, SIZES)
    token_table.write_json(folder / token_table.EXTRACTION, {"parts": 1, "features": SIZES, "layers": ["z1", "z2"]})
    return folder


def whole_command(n: int, permutations: int | None, turns: int, rng: np.random.Generator) -> None:
    """Prints what `probe knn` takes for a table of so many rows, in some turns, and where the fastest's goes."""
    with tempfile.TemporaryDirectory() as temporary:
        folder = made_up(Path(temporary) / "table", n, rng)
        told = ["knn", "--latents", str(folder), "--out", f"{temporary}/out.csv"]
        told += [] if permutations is None else ["--permutations", str(permutations)]
        environment = os.environ | {"PYTHONPATH": str(ROOT)}
        command = [sys.executable, "-m", "lvm_probe", *told]
        walls, used = [], np.inf
        for _ in range(turns):
            before, begin = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
            subprocess.run(command, env=environment, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
            walls.append(time.perf_counter() - begin)
            after = resource.getrusage(resource.RUSAGE_CHILDREN)
            used = min(used, after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime)

        spent: Counter[str] = Counter()
        for part, module, name in (
            ("reading the table", token_table, "load"),
            ("nested, with its null", protocols, "nested"),
            ("the paper's reading", protocols, "paper"),
            ("intervals", classification, "token_bootstrap_interval"),
            ("writing", token_table, "write_csv"),
        ):
            setattr(module, name, timed(getattr(module, name), part, spent))
        parallel._usable_cores = lambda: 1
        start = time.process_time()
        with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
            cli.main(told)
        everything = time.process_time() - start
    null = "the usual null" if permutations is None else f"{permutations} permutations"
    print(f"probe knn, {n} rows, {len(SIZES) + 1} features, {null}")
    print(f"  all in, slowest of {turns:<4}{max(walls):28.2f} s")
    print(f"  all in, median{statistics.median(walls):33.2f} s")
    print(f"  all in, fastest{min(walls):32.2f} s, of the processor {used:.2f} s, of these about")
    for part, seconds in spent.items():
        print(f"    {part:34}{seconds:9.2f} s")
    print(f"    {'other work':34}{everything - spent.total():9.2f} s")
    print(f"    {'starting, and other processes':34}{used - everything:9.2f} s")


def timed(function: Callable[..., Any], part: str, spent: Counter[str]) -> Callable[..., Any]:
    def measured(*args: Any, **kwargs: Any) -> Any:
        begin = time.process_time()
        try:
            return function(*args, **kwargs)
        finally:
            spent[part] += time.process_time() - begin

    return measured


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--points", type=int, nargs="+", default=[14, 370, 5000])
    parser.add_argument("--dims", type=int, default=128)
    parser.add_argument("--classes", type=int, default=38)
    parser.add_argument("--sample", type=int, default=40, help="points that the plain way is timed on")
    parser.add_argument("--rows", type=int, default=5000, help="of the made-up table")
    parser.add_argument("--permutations", type=int, help="of the null (default: as the command has it)")
    parser.add_argument("--turns", type=int, default=3, help="times that the command is run; the fastest counts")
    parser.add_argument("--seed", type=int, default=0)
    asked = parser.parse_args()
    rng = np.random.default_rng(asked.seed)
    for n in asked.points:
        against_refitting(n, asked.dims, asked.classes, asked.sample, rng)
    whole_command(asked.rows, asked.permutations, asked.turns, rng)


if __name__ == "__main__":
    main()
