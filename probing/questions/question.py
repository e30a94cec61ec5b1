"""What a probe is asked, and what it answers: tidy rows that hold a figure and everything needed to judge it."""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import signal
import sys
import threading
from collections.abc import Callable, Collection, Generator, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from queue import SimpleQueue
from typing import TYPE_CHECKING, Any, Literal, TypeVar

import numpy as np
from threadpoolctl import threadpool_limits

from lvm_probe import InputError
from lvm_probe.analysis.lda import Shrinkage
from lvm_probe.analysis.shape_annotations import Float, Int
from lvm_probe.probing.features.token_table import TokenTable
from lvm_probe.probing.questions.targets import Asked, Selection

if TYPE_CHECKING:
    import pandas as pd

COLUMNS = [
    "feature", "target", "protocol", "speaker", "k", "n", "n_classes",
    "accuracy", "balanced_accuracy", "ci_low", "ci_high", "chance", "null_accuracy",
]  # fmt: skip
"""The columns of a result that are fixed; accuracies are fractions."""

MORE_COLUMNS = [
    "p_null", "paper_accuracy", "optimism", "untrained_accuracy", "control_accuracy", "selectivity",
    "minus_mel", "p_minus_mel", "table", "method", "rows", "dims", "match_dims", "normalise", "lda_dims", "shrinkage",
    "permutations", "null_n", "speakers", "interval",
]  # fmt: skip

CONFUSION_COLUMNS = ["table", "feature", "target", "method", "protocol", "k", "label", "predicted", "count"]

SHOWN_KS = (1, 5, 10, 20, 50)
"""The ks that are printed, and whose confusions are kept: fixed beforehand, so that no figure chooses them."""

Method = Literal["knn", "lda", "logistic", "ridge", "abx"]
Normalise = Literal["none", "speaker", "utterance"]

NULL_JUDGED, NULL_REFITTED, NULL_PRINTED = 5_000, 1_000, 500_000
"""Rows that the null of a feature judges altogether where the number of permutations is not told: usually, where each
costs a fit of its own, and for what is printed. A null of 5 per cent then has a standard error of 0.3, 0.7 and less
than 0.1 points."""

LEAST_FOR_P = 19
"""Permutations; of fewer not even the best of labels could reach p = 0.05, and no p is told."""


@dataclass(frozen=True)
class Question(Selection):
    """What to ask of which rows.

    None takes what there is: 5 discriminants and k up to 50, or fewer; for the null as many permutations and judged
    rows as tell its mean (see `rounds` and `share_judged`), where a number means that each permutation judges all.
    `match_dims` reduces every feature to that many principal components inside the fold (0: to the dimensions of the
    smallest). `normalise` centres and scales a feature over each speaker's or utterance's own rows, which takes no
    label but does take the speaker's other tokens. `control` is the number of control tasks.
    """

    method: Method = "knn"
    features: tuple[str, ...] = ()
    lda_dims: int | None = None
    ks: tuple[int, ...] | None = None
    shrinkage: Shrinkage = "ledoit-wolf"
    match_dims: int | None = None
    normalise: Normalise = "none"
    distance: Literal["cosine", "euclidean"] = "cosine"
    permutations: int | None = None
    control: int = 0
    seed: int = 0


@dataclass(frozen=True)
class Findings:
    """Result rows (`COLUMNS` and more), the confusions behind the pooled ones, and what the user should know."""

    results: pd.DataFrame
    confusion: pd.DataFrame
    notes: tuple[str, ...] = ()


def rounds(question: Question, rows: int, most: int | None = None) -> int:
    """Permutations of the null: as told, else 100 for one row a speaker, and for others up to 10, 2 if slow.

    Args:
        question: what is asked.
        rows: of the whole question.
        most: rows to judge altogether; None takes the usual number.
    """
    if question.permutations is not None:
        return question.permutations
    if question.row == "speaker":
        return 20 if question.method == "logistic" else 100
    most = most or (NULL_REFITTED if _refitted(question) else NULL_JUDGED)
    return int(np.clip(most // max(rows, 1), 1, 2 if question.method == "logistic" else 10))


def share_judged(question: Question, rows: int) -> float:
    """The share of the rows that each permutation judges: all where the number of permutations was told."""
    if question.permutations is not None or question.row == "speaker" or not _refitted(question):
        return 1.0
    return min(1.0, NULL_REFITTED / max(rows, 1))


def _refitted(question: Question) -> bool:
    """Whether judging a row costs a fit without it in every permutation; regression fits before it permutes."""
    classified = question.method in ("knn", "lda") and question.target != "height-cm"
    return question.protocol == "nested" and classified and question.lda_dims != 0


def default_features(table: TokenTable) -> tuple[str, ...]:
    """The layers of the model, all of them together as the paper has them, the same pooled better, and Mel.

    The lowest latent layer codes phase, which the mean over a token washes out and the log mean square keeps
    (docs/results.md): of it `z1_logms` stands for the better pooling, joined with the means of the upper layers.
    """
    return _usual(table.extraction, table.features)


def _usual(extraction: Mapping[str, Any], names: Collection[str]) -> tuple[str, ...]:
    layers = extraction.get("layers")
    if layers is None:  # a table that does not say: the latents, or the states of a model that has none
        latents, states = ([n for n in names if n[0] == kind and n[1:].isdigit()] for kind in "zh")
        layers = latents or states
    together = ["+".join(layers)] if len(layers) > 1 else []
    lowest = f"{layers[0]}_logms" if layers else ""
    better = ["+".join([lowest, *layers[1:]])] if lowest in names else []
    return (*layers, *together, *better, *(["mel"] if "mel" in names else []))


def feature_names(table: TokenTable, question: Question) -> tuple[str, ...]:
    """The features asked for, each once."""
    return tuple(dict.fromkeys(question.features)) or default_features(table)


def columns_of(extraction: Mapping[str, Any], features: Sequence[str]) -> frozenset[str] | None:
    """The columns that features asked for, or the default ones, are made of; None where the table lacks one of them."""
    names = features or _usual(extraction, extraction["features"])
    columns = frozenset(part for name in names for part in name.split("+"))
    return columns if columns <= set(extraction["features"]) else None


def matrix(found: Asked, feature: str, normalise: Normalise, rows: Any = slice(None)) -> Float[np.ndarray, "rows dims"]:
    """The feature's points in these rows; refuses the variance of a single sample, which is not known.

    The rows must be all of what they are normalised over.
    """
    table = found.table
    points = table.matrix(feature, rows)
    for part in feature.split("+"):
        if part.endswith("_var") and not np.isfinite(table.features[part][rows]).all():
            raise InputError(
                f"{table.path}: feature '{part}' is unknown, for a single Monte Carlo sample has no variance; "
                "extract into another folder with --samples 2 or more"
            )
    if normalise == "none":
        return points
    _, place = np.unique(table.columns[normalise][rows].astype(str), return_inverse=True)
    sizes = np.bincount(place)[:, None]

    def mean(values: np.ndarray) -> np.ndarray:
        return np.stack([np.bincount(place, column) for column in values.T], axis=1) / sizes

    points -= mean(points)[place]
    spread = np.sqrt(mean(points**2))
    return points / np.where(spread > 0, spread, 1.0)[place]


def groups_of(table: TokenTable) -> tuple[Any, Int[np.ndarray, " rows"]]:
    """The speakers' ids, and for every row the place of its own among them."""
    names, groups = np.unique(table.columns["speaker"], return_inverse=True)
    return names, groups


@contextlib.contextmanager
def named(who: str, feature: str) -> Iterator[None]:
    """Says in an error of the analysis whose points they were."""
    try:
        yield
    except InputError as error:
        raise InputError(f"{f'speaker {who}, ' if who else ''}feature {feature}: {error}") from None


Made = TypeVar("Made")

_WORTH_COPIES, _WORTH_PROCESSES = 0.2, 5.0
"""Seconds of work below which copies of this process, and processes that start afresh, cost more than they save."""


def side_by_side(
    function: Callable[..., Made],
    arguments: Callable[[int], tuple[Any, ...]],
    jobs: int,
    seconds: float = np.inf,
) -> Generator[Made, None, None]:
    """What the function makes of the arguments of every job, in order, side by side where there are several jobs.

    The figures do not depend on it. All of it takes so many `seconds`, about, where known. Threads share little of it.
    Copies of this process are there in 0.02 s and share all; others take a second or two to start. The linear algebra
    has one thread in each case, here too until all is made or the generator closed: on small arrays several would only
    wait.
    """
    usable = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    workers = max(1, min(jobs, usable))
    # A copy lacks the other threads, and must not wait for what they held: OpenMP's, which work that is not known may
    # need, a server's, where this is not the main thread, or those of the system's libraries elsewhere than on Linux.
    copies = sys.platform == "linux" and seconds < np.inf and threading.current_thread() is threading.main_thread()
    with threadpool_limits(1, user_api="blas"):
        if workers > 1 and seconds > (_WORTH_COPIES if copies else _WORTH_PROCESSES):
            yield from (_by_copies if copies else _by_processes)(function, arguments, jobs, workers)
            return
        with ThreadPoolExecutor(workers) as pool:
            yield from pool.map(lambda job: function(*arguments(job)), range(jobs))


def _by_processes(
    function: Callable[..., Made], arguments: Callable[[int], tuple[Any, ...]], jobs: int, workers: int
) -> Iterator[Made]:
    import joblib

    workers = min(workers, joblib.cpu_count())  # those that a container may use, not the machine's
    with joblib.parallel_config("loky", inner_max_num_threads=1):
        tasks = (joblib.delayed(function)(*arguments(job)) for job in range(jobs))
        yield from joblib.Parallel(n_jobs=workers, return_as="generator")(tasks)


def _by_copies(
    function: Callable[..., Made], arguments: Callable[[int], tuple[Any, ...]], jobs: int, workers: int
) -> Iterator[Made]:
    """By copies of this process, which hold all arguments; each is told on a line of its own which job is next."""
    fork = multiprocessing.get_context("fork")
    # glibc gives freed memory back, to fetch it anew a moment later, unless it has seen as large a piece come and go.
    np.empty(1 << 24, dtype=np.uint8)
    copies = []
    idle: SimpleQueue[Any] = SimpleQueue()

    def made(job: int) -> Made:
        line = idle.get()
        try:
            line.send(job)
            result, error = line.recv()
        except (EOFError, OSError):
            raise InputError(
                "a process that shared the work was ended from outside, most often for want of memory; ask about fewer "
                "features or tokens at a time"
            ) from None
        finally:
            idle.put(line)
        if error is not None:
            raise error
        return result

    with ThreadPoolExecutor(workers) as pool:
        try:
            for _ in range(workers):
                ours, theirs = fork.Pipe()
                copies.append(fork.Process(target=_serve, args=(function, arguments, theirs, ours), daemon=True))
                copies[-1].start()
                theirs.close()
                idle.put(ours)
            yield from pool.map(made, range(jobs))
        finally:
            for copy in copies:
                copy.kill()
            for copy in copies:
                copy.join()


def _serve(
    function: Callable[..., Any], arguments: Callable[[int], tuple[Any, ...]], line: Any, other_end: Any
) -> None:
    """What a copy does until the process that it works for ends it, or ends."""
    other_end.close()  # so that the line ends with that process
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    os.environ["OMP_NUM_THREADS"] = "1"  # of libraries that are loaded from now on
    with contextlib.suppress(EOFError, BrokenPipeError):
        while True:
            job = line.recv()
            try:
                answer: tuple[Any, Exception | None] = function(*arguments(job)), None
            except Exception as error:
                answer = None, error
            line.send(answer)
