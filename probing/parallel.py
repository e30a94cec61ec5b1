"""Jobs in several processes, each computing on one thread."""

from __future__ import annotations

import multiprocessing
import os
import signal
import sys
import threading
from collections.abc import Callable, Generator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from itertools import islice
from typing import Any, TypeVar

from threadpoolctl import threadpool_limits

from lvm_probe import InputError

Job = TypeVar("Job")
Result = TypeVar("Result")

_function: Callable[[Any], Any]


def usable_cores() -> int:
    """Processor cores that this process may use: what its affinity, its container and `LOKY_MAX_CPU_COUNT` allow."""
    import joblib

    return int(joblib.cpu_count())


def can_fork() -> bool:
    """Whether this process can be forked safely.

    A fork copies only the thread that calls it, so elsewhere than in the main thread another thread may hold a lock
    that is never released in the copy. On macOS, system libraries do not survive a fork.
    """
    return sys.platform == "linux" and threading.current_thread() is threading.main_thread()


def run_forked(
    function: Callable[[Job], Result], jobs: Sequence[Job], workers: int, advice: str
) -> Generator[tuple[int, Result], None, None]:
    """Call `function` with every job in forks of this process.

    Forks start at once and share this process's memory, so neither the function nor what it refers to is pickled. They
    compute on one thread: more would compete for the same cores, and OpenMP's threads do not survive a fork. They are
    killed when the generator is closed, and exit by themselves when this process is killed.

    Args:
        function: called in the workers.
        jobs: its arguments.
        workers: number of processes.
        advice: what the user can do when a worker was killed.

    Yields:
        The place of a job in `jobs` and what `function` returned for it, in the order in which jobs finish.

    Raises:
        InputError: a worker was killed, most often for lack of memory.
        Exception: whatever `function` raises.
    """
    others = set(multiprocessing.active_children())
    waiting = iter(enumerate(jobs))
    running: dict[Future[Result], int] = {}
    with threadpool_limits(1):
        pool = ProcessPoolExecutor(workers, multiprocessing.get_context("fork"), _start, (function,))
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
        finally:
            for process in set(multiprocessing.active_children()) - others:
                process.kill()
            pool.shutdown()


def _start(function: Callable[[Any], Any]) -> None:
    global _function
    _function = function
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches the whole process group; the parent handles it
    threading.Thread(target=_exit_with_parent, daemon=True).start()


def _exit_with_parent() -> None:
    parent = multiprocessing.parent_process()
    assert parent is not None
    parent.join()
    os._exit(1)


def _call(job: Any) -> Any:
    return _function(job)
