"""How a page waits for a long computation.

It ends with what it waits for and how far that is, and is drawn again when it is done; meanwhile the session is free.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Hashable, Mapping
from typing import Any
from uuid import uuid4

import streamlit as st

from lvm_probe.app.explorer.background import Background, Computation
from lvm_probe.app.explorer.views import plain

PATIENCE_S = 1.0
"""Computations that take less are waited for without a word."""
LOOK_EVERY_S = 0.5

BACKGROUND = Background()
"""The computations of this server."""
_SESSION, _CANCELLED = "session", "cancelled computations"


def computed(key: Hashable, what: str, function: Callable[..., Any], *arguments: Any) -> Any:
    """The result of a function as `Background.start` calls it; until it is there, the page ends with what it waits for.

    Raises:
        InputError: and any other error of the function, which is called again the next time.
    """
    cancelled: set[Hashable] = st.session_state.setdefault(_CANCELLED, set())
    if key in cancelled:
        st.info(f"{plain(what)}: cancelled.")
        st.button("Start again", on_click=cancelled.discard, args=(key,), icon=":material/play_arrow:")
        st.stop()
    computation = BACKGROUND.start(key, what, function, *arguments)
    wait_for({key: computation}, cancelled.add)
    return taken(key, computation)


def wait_for(
    computations: Mapping[Hashable, Computation], note: Callable[[Hashable], object] = lambda key: None
) -> None:
    """Return if these computations are done; otherwise end the page with what it waits for.

    `note` is called with each key that the user cancels.
    """
    deadline = time.monotonic() + PATIENCE_S
    missing = [key for key, one in computations.items() if not one.done(max(0, deadline - time.monotonic()))]
    if missing:
        _show_progress(missing, note)
        st.stop()


def taken(key: Hashable, computation: Computation) -> Any:
    """The result of a computation that is done; an error is raised and not kept."""
    if computation.failed:
        BACKGROUND.cancel(key)
    return computation.result()


def leave() -> None:
    """Note that this session waits for nothing: the page that is opened now says what it waits for."""
    BACKGROUND.leave(_session())


@st.fragment(run_every=LOOK_EVERY_S)
def _show_progress(keys: list[Hashable], note: Callable[[Hashable], object]) -> None:
    """What the page waits for, how far it is, and a button that cancels it."""
    found = [BACKGROUND.get(key) for key in keys]
    waiting = [computation for computation in found if computation is not None and not computation.done()]
    if len(waiting) < len(keys):
        st.rerun()
    for computation in waiting:
        computation.look(_session())
        st.progress(min(computation.share, 1.0), progress_text(computation))
    st.button("Cancel", on_click=_cancel, args=(keys, note), icon=":material/close:")


def progress_text(computation: Computation) -> str:
    """What is computed, and how far it is."""
    if not computation.running:
        return f"{plain(computation.what)}: waiting until another computation ends ({computation.seconds:.0f} s)"
    share = f"{computation.share:.0%}, " if computation.share else ""
    return f"{plain(computation.what)} ({share}{computation.seconds:.0f} s)"


def _cancel(keys: list[Hashable], note: Callable[[Hashable], object]) -> None:
    """End computations for which no other session waits."""
    for key in keys:
        note(key)
        computation = BACKGROUND.get(key)
        if computation is not None:
            computation.leave(_session())
            if not computation.awaited:
                BACKGROUND.cancel(key)


def _session() -> str:
    return str(st.session_state.setdefault(_SESSION, uuid4().hex))
