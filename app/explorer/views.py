"""What a page shows, as a frozen view that a web address can hold, so that a link opens the same view.

An address names only what differs from the defaults. It comes from outside: unknown names and values of the wrong kind
are ignored, and the pages use only values that are among their choices.
"""

from __future__ import annotations

import re
import string
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields, replace
from typing import Any, TypeVar

import streamlit as st

MAX_TOKENS = 40
"""Selected tokens that an address holds; a longer selection can be exported."""

_PUNCTUATION = re.compile(f"([{re.escape(string.punctuation)}])")


@dataclass(frozen=True)
class MapView:
    """The map. Empty texts take the page's first choice, empty tuples everything.

    Attributes:
        table: name of the token table.
        feature: feature that places the tokens.
        layout: how it is reduced to two dimensions.
        target: what the axes of LDA separate and the kNN predicts.
        colour: what colours the tokens.
        unit: phoneme, word or utterance.
        phones: phone set that labels are folded to.
        speakers, gender, split: of the tokens in colour; with `alone`, of all tokens on the map.
        silence: whether silences are on the map.
        search, shortest, longest, verdict: of the tokens in colour; durations in ms, a longest of 0 is none.
        only: classes in colour.
        tokens: the selection.
        k: neighbours that vote.
        near: which neighbours are listed.
        second, other: feature and table of a second map; no feature, no map.
    """

    table: str = ""
    feature: str = ""
    layout: str = "LDA"
    target: str = ""
    colour: str = ""
    unit: str = ""
    phones: str = "as labelled"
    speakers: tuple[str, ...] = ()
    gender: str = "all"
    split: str = "all"
    alone: bool = False
    silence: bool = False
    search: str = ""
    shortest: int = 0
    longest: int = 0
    verdict: str = "all"
    only: tuple[str, ...] = ()
    tokens: tuple[str, ...] = ()
    k: int = 5
    near: str = ""
    second: str = ""
    other: str = ""


@dataclass(frozen=True)
class QuestionsView:
    """The questions.

    `test` is the table that is judged under the protocol `transfer`; `matrix` names table, feature and protocol of the
    confusions, `true` and `predicted` one of its cells.
    """

    tables: tuple[str, ...] = ()
    features: tuple[str, ...] = ()
    method: str = "knn"
    target: str = "phoneme"
    protocols: tuple[str, ...] = ()
    test: str = ""
    phones: str = "as labelled"
    matrix: str = ""
    k: int = 5
    true: str = ""
    predicted: str = ""


View = TypeVar("View", MapView, QuestionsView)


def to_address(view: MapView | QuestionsView) -> dict[str, list[str]]:
    """The query of an address: every field that differs from its default."""
    query: dict[str, list[str]] = {}
    for field in fields(view):
        value = getattr(view, field.name)
        if value == field.default or (field.name == "tokens" and len(value) > MAX_TOKENS):
            continue
        query[field.name] = [str(part) for part in value] if isinstance(value, tuple) else [_text(value)]
    return query


def from_address(kind: type[View], query: Mapping[str, Sequence[str]]) -> View:
    """The view that a query describes."""
    values: dict[str, Any] = {}
    for field in fields(kind):
        texts = list(query.get(field.name, ()))
        if not texts:
            continue
        match field.default:
            case bool():
                values[field.name] = texts[-1] == "yes"
            case int():
                if re.fullmatch(r"[0-9]{1,6}", texts[-1], re.ASCII):
                    values[field.name] = int(texts[-1])
            case tuple():
                values[field.name] = tuple(dict.fromkeys(texts))
            case _:
                values[field.name] = texts[-1]
    return replace(kind(), **values)


def current_view(kind: type[View], state: str) -> View:
    """The view that this session keeps under a name, or the one that the address describes."""
    view: View | None = st.session_state.get(state)
    return from_address(kind, _query()) if view is None else view


def keep_view(view: MapView | QuestionsView, state: str) -> None:
    """Keep the view in this session under a name, and in the address."""
    st.session_state[state] = view
    query = to_address(view)
    if _query() != query:
        st.query_params.from_dict(query)


def plain(text: object) -> str:
    """Text from a file or an error as Markdown that shows it unchanged: one line, all punctuation escaped."""
    return _PUNCTUATION.sub(r"\\\1", " ".join(str(text).split()))


def _query() -> dict[str, list[str]]:
    return {name: st.query_params.get_all(name) for name in st.query_params}


def _text(value: object) -> str:
    return ("yes" if value else "no") if isinstance(value, bool) else str(value)
