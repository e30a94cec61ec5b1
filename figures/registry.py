"""The figures and tables of `probe figures` by name, in the order of its report."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from importlib import import_module
from typing import cast

from lvm_probe import InputError
from lvm_probe.figures import likelihood_tables
from lvm_probe.figures.inputs import FigureInputs, FigureModule
from lvm_probe.figures.probe_table import probes
from lvm_probe.figures.table_format import Table

FIGURES: tuple[str, ...] = (
    "phonemes-lda", "phonemes-over-k", "optimism", "per-phoneme", "confusion", "speakers-over-k", "gender-density",
    "height-lda", "boundaries", "measures", "learning-curve", "erasure", "similarity", "zerospeech", "embedding",
    "durations", "kl-over-time", "autocorrelation",
)  # fmt: skip
"""Stems of their files; the modules of this folder have the same names, with underscores."""

TABLES: dict[str, Callable[[FigureInputs], Table]] = {
    "probes": probes,
    "table-1": likelihood_tables.table_1,
    "table-3": likelihood_tables.table_3,
    "table-4": likelihood_tables.table_4,
    "table-5": likelihood_tables.table_5,
}

NEED_MODEL = frozenset({"zerospeech", "kl-over-time", "autocorrelation", "table-1", "table-3", "table-4"})
"""Those that use the checkpoints and the corpus. All others are drawn from the token tables alone, and are not drawn
again when another checkpoint is given."""


def names() -> tuple[str, ...]:
    """All names, figures first."""
    return (*FIGURES, *TABLES)


def chosen(only: Iterable[str]) -> tuple[str, ...]:
    """The names asked for (none: all) in the order of the report; underscores count as hyphens.

    Raises:
        InputError: an unknown name; the message lists the known ones.
    """
    wanted = [name.replace("_", "-") for name in only]
    if unknown := [name for name in wanted if name not in names()]:
        raise InputError(f"--only {unknown[0]}: no such figure or table; there are {', '.join(names())}")
    return tuple(name for name in names() if not wanted or name in wanted)


def figure(name: str) -> FigureModule:
    """The module of a figure, imported when it is needed."""
    return cast(FigureModule, import_module(f"lvm_probe.figures.{name.replace('-', '_')}"))
