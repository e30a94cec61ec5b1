"""Progress bars on standard error."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator


@contextlib.contextmanager
def bar(
    total: float, what: str, unit: str = "s", delay: float = 0, shown: bool | None = None
) -> Iterator[Callable[[float], None]]:
    """Show a progress bar; yields the function that advances it.

    Args:
        total: amount that is the whole.
        what: text before the bar.
        unit: "s" prints seconds of speech.
        delay: seconds before it appears.
        shown: None shows it in a terminal only.
    """
    from tqdm import tqdm

    form = "{desc}: {percentage:3.0f}%|{bar}| {elapsed}<{remaining}"
    if unit == "s":
        form += " {n:.0f}/{total:.0f} s of speech"
    disable = None if shown is None else not shown
    with tqdm(total=total, desc=what, bar_format=form, dynamic_ncols=True, disable=disable, delay=delay) as progress:

        def advance(amount: float) -> None:
            progress.update(min(amount, total - progress.n))

        yield advance
