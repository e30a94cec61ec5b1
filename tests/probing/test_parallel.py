import multiprocessing
import os
import sys
import threading
import time

import numpy as np
import pytest

from lvm_probe import InputError
from lvm_probe.probing import parallel


@pytest.fixture(autouse=True)
def two_cores(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(parallel, "usable_cores", lambda: 2)


def row(i: int) -> np.ndarray:
    return np.full(3, 2 * i)


def refuse(i: int) -> None:
    raise InputError(f"k is {i}")


def seconds_of_all_threads(size: int) -> float:
    """Processor seconds per second of a product and an eigenvalue problem: more than 1 where threads share them."""
    import scipy.linalg

    matrix = np.random.default_rng(0).normal(size=(size, size))
    wall, used = time.perf_counter(), time.process_time()
    for _ in range(3):
        scipy.linalg.eigh(matrix @ matrix.T)
    return (time.process_time() - used) / (time.perf_counter() - wall)


def everywhere(function, jobs):
    """The results in the main thread, where processes are forked, and in another, where they start afresh."""
    results = []

    def work() -> None:
        try:
            results.append(list(parallel.run(function, jobs)))
        except InputError as error:
            results.append(str(error))

    work()
    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    return results


def test_results_come_in_order_and_errors_come_through() -> None:
    for found in everywhere(row, range(20)):
        np.testing.assert_array_equal(found, np.outer(range(0, 40, 2), np.ones(3)))
    assert everywhere(row, []) == [[], []]
    assert all("k is" in found for found in everywhere(refuse, range(20)))


def test_one_core_does_without_processes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(parallel, "usable_cores", lambda: 1)
    assert list(parallel.run(lambda i: os.getpid(), range(3))) == 3 * [os.getpid()]


def test_a_job_has_one_thread_of_linear_algebra() -> None:
    for found in everywhere(seconds_of_all_threads, [300, 300]):
        assert max(found) < 1.2


@pytest.mark.skipif(sys.platform != "linux", reason="processes are forked on Linux only")
def test_a_killed_process_is_an_error_and_none_is_left() -> None:
    others = set(multiprocessing.active_children())
    with pytest.raises(InputError, match="lack of memory"):
        list(parallel.run(os._exit, range(8)))
    results = parallel.run(time.sleep, [0, *[60] * 7])
    next(results)
    results.close()  # as where the caller is interrupted
    for process in set(multiprocessing.active_children()) - others:
        process.join(10)
    assert set(multiprocessing.active_children()) <= others
