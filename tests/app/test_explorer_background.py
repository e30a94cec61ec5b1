"""Long computations of the explorer: run once, outside the pages, cancelled at any moment."""

import os
import threading
import time
from collections.abc import Callable, Iterator

import pytest
from streamlit.testing.v1 import AppTest

from lvm_probe import InputError
from lvm_probe.app.explorer import waiting
from lvm_probe.app.explorer.background import Background
from lvm_probe.app.explorer.result_cache import ResultCache

LIMIT_S = 60
"""Only bounds how long a failure takes."""


def process(*, progress: Callable[[float], None]) -> int:
    return os.getpid()


def double(number: int, *, progress: Callable[[float], None]) -> int:
    progress(0.5)
    if number < 0:
        raise InputError("give a positive number")
    return 2 * number


def stuck(*, progress: Callable[[float], None]) -> None:
    """Never ends, and never gives another thread of its process a chance."""
    progress(0.25)
    while True:
        pass


def broken(*, progress: Callable[[float], None]) -> None:
    raise ZeroDivisionError("a bug")


def dies(*, progress: Callable[[float], None]) -> None:
    os._exit(1)


@pytest.fixture
def background() -> Iterator[Background]:
    one = Background(workers=1, results=2)
    yield one
    one.clear()


def until(true: Callable[[], bool]) -> None:
    deadline = time.monotonic() + LIMIT_S
    while not true():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def test_a_computation_runs_once_for_all(background: Background) -> None:
    first, second = (background.start("key", "doubling", double, 21) for _ in range(2))
    assert first is second
    assert first.done(LIMIT_S)
    assert (first.result(), first.share) == (42, 0.5)


def test_a_worker_is_used_again(background: Background) -> None:
    found = []
    for key in range(3):
        computation = background.start(key, "looking", process)
        assert computation.done(LIMIT_S)
        found.append(computation.result())
    assert len(set(found)) == 1
    assert found[0] != os.getpid()
    assert [background.get(key) is None for key in range(3)] == [True, False, False]  # two results are kept


def test_errors_reach_those_who_wait(background: Background) -> None:
    for key, function, arguments, kind, text in (
        ("bad", double, (-1,), InputError, "positive"),
        ("bug", broken, (), RuntimeError, "ZeroDivisionError: a bug"),
        ("dead", dies, (), InputError, "its process ended"),
        ("unsent", double, (threading.Lock(),), TypeError, "pickle"),
        ("good", double, (1,), None, ""),
    ):
        computation = background.start(key, "trying", function, *arguments)  # type: ignore[arg-type]
        assert computation.done(LIMIT_S)
        if kind is None:
            assert computation.result() == 2
        else:
            with pytest.raises(kind, match=text):
                computation.result()


def test_a_stuck_computation_is_cancelled_and_starts_again(background: Background) -> None:
    for _ in range(2):
        computation = background.start("key", "computing", stuck)
        computation.look("someone")
        until(lambda: computation.share == 0.25)  # noqa: B023
        background.cancel("key")
        assert computation.done(LIMIT_S)
        with pytest.raises(InputError, match="computing: cancelled"):
            computation.result()


def test_what_nobody_waits_for_makes_room(background: Background) -> None:
    awaited = background.start("first", "computing", stuck)
    awaited.look("someone")
    until(lambda: awaited.share == 0.25)
    second = background.start("second", "doubling", double, 1)
    second.look("another")
    assert not second.done(0.5)
    assert not second.running
    assert "waiting until another computation ends" in waiting.progress_text(second)
    assert waiting.progress_text(awaited).startswith("computing (25%, ")
    background.leave("someone")
    assert second.done(LIMIT_S)
    assert second.result() == 2
    assert background.get("first") is None


def test_only_those_who_want_the_same_wait_in_the_cache() -> None:
    cache = ResultCache(4)
    begun, go_on = threading.Event(), threading.Event()

    def slow() -> str:
        begun.set()
        assert go_on.wait(LIMIT_S)
        return "slow"

    results: list[str] = []
    threads = [threading.Thread(target=lambda: results.append(cache.get("slow", slow))) for _ in range(2)]
    for thread in threads:
        thread.start()
    assert begun.wait(LIMIT_S)
    assert cache.get("fast", lambda: "fast") == "fast"
    go_on.set()
    for thread in threads:
        thread.join()
    assert results == ["slow", "slow"]


def page() -> None:
    from lvm_probe.app.explorer.waiting import computed
    from tests.app.test_explorer_background import stuck

    computed("stuck page", "Computing for ever", stuck)


def test_a_page_says_what_it_waits_for_and_can_be_cancelled(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(waiting, "PATIENCE_S", 0.1)
    waiting.BACKGROUND.cancel("stuck page")
    one, other = (AppTest.from_function(page, default_timeout=LIMIT_S).run() for _ in range(2))
    assert [button.label for button in one.button] == ["Cancel"]
    computation = waiting.BACKGROUND.get("stuck page")
    assert computation is not None
    # Another session still waits for it.
    one = one.button[0].click().run()
    assert one.info[0].value == "Computing for ever: cancelled."
    assert waiting.BACKGROUND.get("stuck page") is computation
    other = other.run()
    assert [button.label for button in other.button] == ["Cancel"]
    other.button[0].click().run()
    assert waiting.BACKGROUND.get("stuck page") is None
    assert computation.done(LIMIT_S)
    one = one.button[0].click().run()  # Start again
    assert [button.label for button in one.button] == ["Cancel"]
    waiting.BACKGROUND.cancel("stuck page")
