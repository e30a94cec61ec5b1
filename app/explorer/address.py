"""The page's view between two runs of its script: in the session, and in the address, so that a link opens it again."""

from __future__ import annotations

import streamlit as st

from lvm_probe.app.explorer.views import MapView, QuestionsView, View, from_address, to_address


def recalled(kind: type[View], state: str) -> View:
    """The view that this session has under the name, or the one that the address speaks of."""
    view: View | None = st.session_state.get(state)
    return from_address(kind, _query()) if view is None else view


def remember(view: MapView | QuestionsView, state: str) -> None:
    """Keep the view in this session under the name, and in the address."""
    st.session_state[state] = view
    query = to_address(view)
    if _query() != query:
        st.query_params.from_dict(query)


def _query() -> dict[str, list[str]]:
    return {name: st.query_params.get_all(name) for name in st.query_params}
