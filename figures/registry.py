"""What `probe figures` can draw, in the order of its page: every figure's module and every table, by name."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from importlib import import_module
from typing import cast

from lvm_probe import InputError
from lvm_probe.figures import tables
from lvm_probe.figures.inputs import FigureModule, Material
from lvm_probe.figures.tables import Table

FIGURES: tuple[str, ...] = (
    "phonemes-lda", "phonemes-over-k", "optimism", "per-phoneme", "confusion", "speakers-over-k", "gender-density",
    "height-lda", "embedding", "durations", "kl-over-time", "autocorrelation",
)  # fmt: skip
"""Stems of their files; the modules of this folder are called the same, with underscores."""

TABLES: dict[str, Callable[[Material], Table]] = {
    "probes": tables.probes,
    "table-1": tables.table_1,
    "table-3": tables.table_3,
    "table-4": tables.table_4,
    "table-5": tables.table_5,
}

NEED_MODEL = frozenset({"kl-over-time", "autocorrelation", "table-1", "table-3", "table-4"})
"""What is shown the checkpoints and the corpus. All else is drawn from the token tables alone, and so need not be
drawn again when another checkpoint is given."""


def names() -> tuple[str, ...]:
    """All that can be drawn, figures first."""
    return (*FIGURES, *TABLES)


def chosen(only: Iterable[str]) -> tuple[str, ...]:
    """The names asked for (all, where none is), in the order of the page; an underscore is as good as a hyphen.

    Raises InputError, listing the names, when there is none like it.
    """
    wanted = [name.replace("_", "-") for name in only]
    if strangers := [name for name in wanted if name not in names()]:
        raise InputError(f"--only {strangers[0]}: no such figure or table; there are {', '.join(names())}")
    return tuple(name for name in names() if not wanted or name in wanted)


def figure(name: str) -> FigureModule:
    """The module of a figure, imported when it is asked for."""
    return cast(FigureModule, import_module(f"lvm_probe.figures.{name.replace('-', '_')}"))
