"""The selection on the map, kept in the session from a click or a lasso to the next run of the script."""

from __future__ import annotations

from collections.abc import Sequence

import streamlit as st

from lvm_probe.app.explorer.views import MapView

STATE = "map view"
_CLICKED, _OUTLINE, _BEFORE, _PLAY = "map tokens clicked", "map outline", "map selections before", "map clicked"

Outline = list[list[float]]
"""Corners of a box or lasso, in the coordinates of the map."""


def take(tokens: Sequence[str], outline: Outline, plane: str) -> None:
    """Select tokens that were clicked, or surrounded by a line on the map that `plane` identifies."""
    _remember()
    st.session_state[_CLICKED] = tuple(dict.fromkeys(tokens))
    st.session_state[_OUTLINE] = (plane, outline)
    st.session_state[_PLAY] = True


def select(tokens: Sequence[str]) -> None:
    """Select these tokens instead, before the page is drawn again."""
    take(tokens, [], "")


def back() -> None:
    """Select what was selected before."""
    before = st.session_state.get(_BEFORE, [])
    if before:
        st.session_state[_CLICKED], st.session_state[_OUTLINE] = before.pop()
        st.session_state[_PLAY] = False


def can_go_back() -> bool:
    """Whether something was selected before."""
    return bool(st.session_state.get(_BEFORE))


def current(view: MapView) -> tuple[str, ...]:
    """The selected tokens: by the last click, lasso or button, or by the address at the start."""
    return tuple(st.session_state.pop(_CLICKED, view.tokens))


def outline(plane: str) -> Outline:
    """The line that was drawn around the selection on this map."""
    drawn_on, corners = st.session_state.get(_OUTLINE, ("", []))
    return corners if drawn_on == plane else []


def clicked() -> bool:
    """Whether a token was clicked in this session, so that it may be heard at once."""
    return bool(st.session_state.get(_PLAY))


def _remember() -> None:
    view: MapView | None = st.session_state.get(STATE)
    if view is not None and view.tokens:
        before = st.session_state.setdefault(_BEFORE, [])
        before.append((view.tokens, st.session_state.get(_OUTLINE, ("", []))))
        del before[:-20]
