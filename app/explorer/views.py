"""What the pages show, as frozen views that an address can hold: a link opens the same view.

An address names only what differs from the defaults. It comes from outside: names that are none of the view's and
values of the wrong kind are passed over, and the pages take of the others only what is among their choices.
"""

from __future__ import annotations

import re
import string
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields, replace
from typing import Any, TypeVar

MOST_TOKENS = 40
"""Selected tokens that an address holds; a longer selection is exported instead."""

_PUNCTUATION = re.compile(f"([{re.escape(string.punctuation)}])")


@dataclass(frozen=True)
class MapView:
    """The map. Empty texts and tuples take the page's first choice, or all there are.

    `ask` is what the axes of LDA and the kNN are asked for, `only` the classes in colour, `tokens` those selected.
    """

    table: str = ""
    feature: str = ""
    layout: str = "LDA"
    ask: str = ""
    colour: str = ""
    unit: str = ""
    phones: str = "as labelled"
    speakers: tuple[str, ...] = ()
    gender: str = "all"
    split: str = "all"
    silence: bool = False
    only: tuple[str, ...] = ()
    tokens: tuple[str, ...] = ()
    k: int = 5


@dataclass(frozen=True)
class QuestionsView:
    """The questions; `shown` is the panel of confusions: table, feature and protocol. `said`, `taken` are its cell."""

    tables: tuple[str, ...] = ()
    features: tuple[str, ...] = ()
    ask: str = "phoneme"
    protocols: tuple[str, ...] = ()
    phones: str = "as labelled"
    shown: str = ""
    k: int = 5
    said: str = ""
    taken: str = ""


View = TypeVar("View", MapView, QuestionsView)


def to_address(view: MapView | QuestionsView) -> dict[str, list[str]]:
    """The query of an address: every field that is not as by default."""
    query: dict[str, list[str]] = {}
    for field in fields(view):
        value = getattr(view, field.name)
        if value == field.default or (field.name == "tokens" and len(value) > MOST_TOKENS):
            continue
        query[field.name] = [str(part) for part in value] if isinstance(value, tuple) else [_text(value)]
    return query


def from_address(kind: type[View], query: Mapping[str, Sequence[str]]) -> View:
    """The view that a query speaks of."""
    given: dict[str, Any] = {}
    for field in fields(kind):
        texts = list(query.get(field.name, ()))
        if not texts:
            continue
        match field.default:
            case bool():
                given[field.name] = texts[-1] == "yes"
            case int():
                if re.fullmatch(r"[0-9]{1,3}", texts[-1], re.ASCII):
                    given[field.name] = int(texts[-1])
            case tuple():
                given[field.name] = tuple(dict.fromkeys(texts))
            case _:
                given[field.name] = texts[-1]
    return replace(kind(), **given)


def plain(text: object) -> str:
    """Text from a file, so that Markdown shows it as it stands: one line, every mark of punctuation escaped."""
    return _PUNCTUATION.sub(r"\\\1", " ".join(str(text).split()))


def _text(value: object) -> str:
    return ("yes" if value else "no") if isinstance(value, bool) else str(value)
