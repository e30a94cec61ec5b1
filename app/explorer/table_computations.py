"""What the pages compute of a whole table, as functions for `background`; each worker loads a table once."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import lru_cache
from pathlib import Path

from lvm_probe.probing.features import token_table
from lvm_probe.probing.features.token_table import TokenTable
from lvm_probe.probing.questions.ask import ask
from lvm_probe.probing.questions.question import Question
from lvm_probe.probing.questions.results import Answer


def answer(folder: Path, name: str, question: Question, *, progress: Callable[[float], None]) -> Answer:
    """The answer to a question about a table, which is called `name` in it."""
    return ask(replace(_table(folder), name=name), question, progress=lambda done, of: progress(done / of))


@lru_cache(maxsize=1)
def _table(folder: Path) -> TokenTable:
    return token_table.load(folder)
