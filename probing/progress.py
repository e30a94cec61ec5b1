"""Progress on standard error: a bar in a terminal, otherwise a line now and then."""

from __future__ import annotations

import contextlib
import sys
import threading
import time
from collections.abc import Callable, Iterator

LINE_EVERY_S = 15.0
"""Seconds between lines."""
_TICK_S = 1.0


class Progress:
    """How much of something is done; call it with the amount that was done since the last call.

    Attributes:
        total: amount that is the whole.
        done: amount so far.
        note: text behind the bar.
    """

    def __init__(self, total: float, initial: float = 0) -> None:
        self.total = total
        self.done = initial
        self.note = ""

    def __call__(self, amount: float) -> None:
        self.done = min(self.done + amount, self.total)


@contextlib.contextmanager
def bar(
    total: float, what: str, unit: str = "s of speech", delay: float = 0, shown: bool | None = None, initial: float = 0
) -> Iterator[Progress]:
    """Show how far something is, and its clock also where it does not move; yields what advances it.

    Args:
        total: amount that is the whole.
        what: text before the bar.
        unit: what is counted, in the plural; "" prints no numbers.
        delay: seconds before a bar appears.
        shown: None shows a bar in a terminal and prints a line every 15 seconds elsewhere; False shows nothing.
        initial: amount that was done before.
    """
    progress = Progress(total, initial)
    if shown is False:
        yield progress
    elif shown or sys.stderr.isatty():
        with _bar(progress, what, unit, delay):
            yield progress
    else:
        with _lines(progress, what, unit):
            yield progress


@contextlib.contextmanager
def _bar(progress: Progress, what: str, unit: str, delay: float) -> Iterator[None]:
    from tqdm import tqdm

    amount = f" {{n:.0f}}/{{total:.0f}} {unit}" if unit else ""
    form = "{desc}: {percentage:3.0f}%|{bar}| {elapsed}<{remaining}" + amount + "{postfix}"
    with tqdm(
        total=progress.total, initial=progress.done, desc=what, bar_format=form, dynamic_ncols=True, delay=delay
    ) as shown:

        def show() -> None:
            if time.monotonic() - began >= delay:
                shown.set_postfix_str(progress.note, refresh=False)
                shown.update(progress.done - shown.n)
                shown.refresh()

        began = time.monotonic()
        with _repeatedly(show, _TICK_S / 4):
            yield
        show()


@contextlib.contextmanager
def _lines(progress: Progress, what: str, unit: str) -> Iterator[None]:
    began = time.monotonic()
    first: list[float] = []  # what a resumed command finds done, and the time

    def show() -> None:
        now = time.monotonic()
        if not first:
            first.extend((progress.done, now))
        if now - last[0] >= LINE_EVERY_S:
            last[0] = now
            speed = (progress.done - first[0]) / max(now - first[1], 1e-9)
            left = (progress.total - progress.done) / speed if speed > 0 else None
            print(line(progress, what, unit, now - began, left), file=sys.stderr, flush=True)

    last = [began]
    with _repeatedly(show, min(_TICK_S, LINE_EVERY_S)):
        yield


def line(progress: Progress, what: str, unit: str, elapsed: float, left: float | None) -> str:
    """What is done, how much of it, for how long, and for how much longer (seconds, None where unknown).

    Example:
        >>> line(Progress(120, 30), "extract", "s of speech", 61, 183)
        'extract: 30 of 120 s of speech (25 %), 1:01 elapsed, about 3:03 left'
    """
    share = f"{100 * progress.done / progress.total:.0f} %" if progress.total else "100 %"
    amount = f"{progress.done:.0f} of {progress.total:.0f} {unit} ({share})" if unit else share
    note = f", {progress.note}" if progress.note else ""
    rest = "" if left is None else f", about {_clock(left)} left"
    return f"{what}: {amount}{note}, {_clock(elapsed)} elapsed{rest}"


def _clock(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02d}:{rest:02d}" if hours else f"{minutes}:{rest:02d}"


@contextlib.contextmanager
def _repeatedly(function: Callable[[], None], seconds: float) -> Iterator[None]:
    """Call a function every so many seconds, in a thread, until the block ends."""
    over = threading.Event()

    def loop() -> None:
        while not over.wait(seconds):
            function()

    thread = threading.Thread(target=loop, daemon=True)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()
