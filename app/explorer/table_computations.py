"""What the pages compute of a whole table, as functions for `background`; each worker loads a table once."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import lru_cache
from pathlib import Path
from typing import Any

from lvm_probe.app.explorer import latent_probes
from lvm_probe.probing.corpora.corpus import Segment
from lvm_probe.probing.features import token_table
from lvm_probe.probing.features.token_table import TokenTable
from lvm_probe.probing.questions.ask import ask
from lvm_probe.probing.questions.compare import Comparison, compare
from lvm_probe.probing.questions.plan import make_plan
from lvm_probe.probing.questions.question import Question, Target
from lvm_probe.probing.questions.results import Answer
from lvm_probe.probing.questions.untrained import untrained_table


def answer(
    folder: Path, name: str, question: Question, test: tuple[Path, str] | None, *, progress: Callable[[float], None]
) -> Answer:
    """The answer to a question about a table, which is called `name` in it; `test` is the table of `transfer`.

    It is compared with the untrained model where the command line would find that model's table, beside this one.
    """
    other = None if test is None else replace(_table(test[0]), name=test[1])
    untrained, notices = _untrained_table(folder)
    untrained_test, more = (None, ()) if test is None or untrained is None else _untrained_table(test[0])
    found = ask(
        replace(_table(folder), name=name), question, test=other,
        untrained=untrained if test is None or untrained_test is not None else None, untrained_test=untrained_test,
        progress=lambda done, of: progress(done / of),
    )  # fmt: skip
    return replace(found, notes=(*notices, *more, *found.notes))


def comparison(
    folder: Path, name: str, target: Target, features: tuple[str, ...], rows: Mapping[str, Any], *,
    progress: Callable[[float], None],
) -> Comparison:  # fmt: skip
    """What `probe compare` says of features of a table, which is called `name` in it."""
    table = replace(_table(folder), name=name)
    untrained, notices = _untrained_table(folder)
    plan = make_plan(table, [target], features=features, rows=rows, untrained=untrained is not None)
    shares: list[int] = []

    def report(done: int, of: int) -> None:  # `done` begins anew with every probe
        shares.append(done)
        progress(min(len(shares) / of, 1.0))

    found = compare(table, plan, untrained=untrained, progress=report)
    return replace(found, notes=(*notices, *found.notes))


def predicted_phones(
    folder: Path, feature: str, utterance: str, *, progress: Callable[[float], None]
) -> tuple[list[Segment], list[str]]:
    """`latent_probes.predicted_phones`."""
    return latent_probes.predicted_phones(_table(folder), feature, utterance)


@lru_cache(maxsize=2)
def _untrained_table(folder: Path) -> tuple[TokenTable | None, tuple[str, ...]]:
    """The untrained model's table if it lies beside a table, and why one that lies there is not used."""
    notices: list[str] = []
    return untrained_table(_table(folder), notice=notices.append), tuple(notices)


@lru_cache(maxsize=2)
def _table(folder: Path) -> TokenTable:
    return token_table.load(folder)
