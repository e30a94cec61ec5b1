"""Jobs in several processes, each with one thread of linear algebra."""

from __future__ import annotations

import multiprocessing
import os
import signal
import sys
import threading
from collections.abc import Callable, Generator, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from typing import Any, TypeVar

import numpy as np
import scipy.linalg  # noqa: F401  # loads SciPy's own OpenBLAS, so that the limit on threads holds for it too
from threadpoolctl import threadpool_limits

from lvm_probe import InputError

Job = TypeVar("Job")
Result = TypeVar("Result")

_function: Callable[[Any], Any]


def run(function: Callable[[Job], Result], jobs: Sequence[Job]) -> Generator[Result, None, None]:
    """Yield `function(job)` for every job, in order; results do not depend on the number of processes.

    On Linux the processes are forked: they start at once and share the memory of this one. A fork copies only the
    thread that calls it, so elsewhere than in the main thread, where another thread may hold a lock, and on other
    systems the processes start afresh, which takes a second or two.

    Raises:
        InputError: a process was killed, most often for lack of memory; or what the function raises.
    """
    workers = min(len(jobs), _usable_cores())
    with threadpool_limits(1):  # several threads would only wait for each other on arrays this small
        if workers < 2:
            yield from map(function, jobs)
        elif sys.platform == "linux" and threading.current_thread() is threading.main_thread():
            yield from _forked(function, jobs, workers)
        else:
            import joblib

            with joblib.parallel_config("loky", inner_max_num_threads=1):
                tasks = (joblib.delayed(function)(job) for job in jobs)
                yield from joblib.Parallel(n_jobs=workers, return_as="generator")(tasks)


def _usable_cores() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _forked(function: Callable[[Job], Result], jobs: Sequence[Job], workers: int) -> Iterator[Result]:
    others = set(multiprocessing.active_children())
    pool = ProcessPoolExecutor(workers, multiprocessing.get_context("fork"), _start, (function,))
    results = pool.map(_call, jobs)  # starts all processes
    ours = set(multiprocessing.active_children()) - others
    try:
        yield from results
    except BrokenProcessPool:
        raise InputError(
            "a process that shared the work was killed, most often for lack of memory; ask about fewer features or "
            "tokens at a time"
        ) from None
    finally:  # at once, also where the caller stops early or the user interrupts
        pool.shutdown(wait=False, cancel_futures=True)
        for process in ours:
            process.kill()


def _start(function: Callable[[Any], Any]) -> None:
    global _function
    _function = function
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent handles it
    # Once an array this large was freed, glibc keeps freed memory instead of fetching it anew for every array: a fifth
    # of the time of a null.
    np.empty(1 << 24, dtype=np.uint8)


def _call(job: Any) -> Any:
    return _function(job)
