"""Jobs in several processes, each computing on one thread."""

from __future__ import annotations

import contextlib
import math
import multiprocessing
import os
import signal
import sys
import threading
from collections.abc import Callable, Generator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from itertools import islice
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import scipy.linalg  # noqa: F401  # loads SciPy's own OpenBLAS, so that the limit on threads holds for it too
from threadpoolctl import threadpool_limits

from lvm_probe import InputError

Job = TypeVar("Job")
Result = TypeVar("Result")

_function: Callable[[Any], Any]


def usable_cores() -> int:
    """Processor cores that this process may use, by its affinity and the quota of its container."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    with contextlib.suppress(OSError, ValueError):  # the quota is "max" where there is none
        quota, period = Path("/sys/fs/cgroup/cpu.max").read_text().split()
        cores = min(cores, math.ceil(int(quota) / int(period)))
    return cores


def can_fork() -> bool:
    """Whether forks of this process are safe.

    A fork copies only the thread that calls it, so elsewhere than in the main thread another thread may hold a lock
    that is never released in the copy. On macOS, system libraries do not survive a fork.
    """
    return sys.platform == "linux" and threading.current_thread() is threading.main_thread()


def run(
    function: Callable[[Job], Result],
    jobs: Sequence[Job],
    *,
    workers: int | None = None,
    advice: str = "ask about fewer features or tokens at a time",
) -> Generator[Result, None, None]:
    """Yield `function(job)` for every job, in order; results do not depend on the number of processes.

    Where possible the processes are forks: they start at once and share the memory of this one, so that the function
    and what it refers to are not copied. Otherwise they start afresh, which takes a second or two. Each has one thread:
    more would compete for the same cores, and OpenMP's threads do not survive a fork. They are killed when the
    generator is closed, and exit by themselves when this process is killed.

    Args:
        function: called in the processes.
        jobs: its arguments.
        workers: number of processes (default: one per core).
        advice: what the user can do when a process was killed.

    Raises:
        InputError: a process was killed, most often for lack of memory.
        Exception: whatever `function` raises.
    """
    workers = min(len(jobs), workers or usable_cores())
    with threadpool_limits(1):
        if workers < 2:
            yield from map(function, jobs)
        elif can_fork():
            finished: dict[int, Result] = {}
            position = 0
            with contextlib.closing(_forked(function, jobs, workers, advice)) as results:
                for index, result in results:
                    finished[index] = result
                    while position in finished:
                        yield finished.pop(position)
                        position += 1
        else:
            import joblib

            with joblib.parallel_config("loky", inner_max_num_threads=1):
                tasks = (joblib.delayed(function)(job) for job in jobs)
                yield from joblib.Parallel(n_jobs=workers, return_as="generator")(tasks)


def _forked(
    function: Callable[[Job], Result], jobs: Sequence[Job], workers: int, advice: str
) -> Generator[tuple[int, Result], None, None]:
    """Results with the places of their jobs, as they come."""
    others = set(multiprocessing.active_children())
    pool = ProcessPoolExecutor(workers, multiprocessing.get_context("fork"), _start, (function,))
    waiting = iter(enumerate(jobs))
    running: dict[Future[Result], int] = {}
    try:
        while True:
            for index, job in islice(waiting, workers - len(running)):
                running[pool.submit(_call, job)] = index
            if not running:
                return
            for future in wait(running, return_when=FIRST_COMPLETED).done:
                yield running.pop(future), future.result()
    except BrokenProcessPool:
        raise InputError(f"a worker process was killed, most often for lack of memory; {advice}") from None
    finally:  # at once, also where the caller stops early or the user interrupts
        for process in set(multiprocessing.active_children()) - others:
            process.kill()
        pool.shutdown()


def _start(function: Callable[[Any], Any]) -> None:
    global _function
    _function = function
    # Once an array this large was freed, glibc keeps freed memory instead of fetching it anew for every array, which
    # takes a fifth of the time of a null.
    np.empty(1 << 24, dtype=np.uint8)
    os.environ["OMP_NUM_THREADS"] = "1"  # of libraries that are loaded from now on
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches the whole process group; the parent handles it
    threading.Thread(target=_exit_with_parent, daemon=True).start()


def _exit_with_parent() -> None:
    parent = multiprocessing.parent_process()
    assert parent is not None
    parent.join()
    os._exit(1)


def _call(job: Any) -> Any:
    return _function(job)
