"""Figures and tables in one folder, with a report on one page."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import matplotlib
import seaborn

from lvm_probe import InputError
from lvm_probe.figures import html_report, registry, report_contents, style
from lvm_probe.figures.figure_cache import AnswerCache, FigureFolder, ReportItem, digest, table_digest
from lvm_probe.figures.html_report import MissingItem
from lvm_probe.figures.inputs import FigureInputs, Progress
from lvm_probe.figures.report_contents import without_paths


@dataclass(frozen=True)
class Drawn:
    """The result of `draw`.

    Attributes:
        wrote: files written now, the report last.
        kept: files that were up to date.
        missing: figures and tables that cannot be drawn from the inputs, with the reason.
        shown: names of all figures and tables in the report.
        notices: those given, and files of the corpus that changed meanwhile.
    """

    wrote: tuple[Path, ...]
    kept: tuple[Path, ...]
    missing: tuple[MissingItem, ...]
    shown: frozenset[str]
    notices: tuple[str, ...]

    @property
    def report(self) -> Path:
        return self.wrote[-1]


def draw(
    inputs: FigureInputs,
    names: Sequence[str],
    out: Path,
    *,
    versions: Mapping[str, str],
    command: Callable[[Sequence[str]], str],
    progress: Callable[[str], AbstractContextManager[Progress]],
    changed: Callable[[], Sequence[str]] = tuple,
    notices: Sequence[str] = (),
    again: bool = False,
) -> Drawn:
    """Draw figures and tables into a folder and write the report of all that it holds.

    What is up to date is not drawn again, so an interrupted run continues.

    Args:
        inputs: the data.
        names: figures and tables to draw, as `registry.chosen` gives them.
        out: the folder.
        versions: of the packages that results depend on.
        command: the command line that makes the report, given the names it is limited to (none: all).
        progress: a context that shows the progress of one figure or table, by its name.
        changed: called at the end for lines about corpus files that changed meanwhile.
        notices: lines for the reader of the report.
        again: draw what is up to date too.

    Raises:
        InputError: a file cannot be written.
    """
    versions = {**versions, "matplotlib": matplotlib.__version__, "seaborn": seaborn.__version__}
    made_from = _made_from(inputs, versions)
    keys = _keys(inputs, made_from)
    folder, answers = FigureFolder(out), AnswerCache(out, digest(made_from))
    if again:
        answers.clear()
    inputs = replace(inputs, answers=answers)
    wrote: list[Path] = []
    kept: list[Path] = []
    missing: list[MissingItem] = []
    for name in names:
        item = None if again else folder.current(name, keys[name])
        if item is not None:
            kept += [out / file for file in item.files]
            continue
        with progress(name) as report_progress:
            made = _make(name, replace(inputs, progress=report_progress), out)
        if isinstance(made, MissingItem):
            missing.append(made)
            folder.remove(name)
        else:
            folder.add(made, keys[name])
            wrote += [out / file for file in made.files]
    answers.clear()
    items = [item for name in registry.names() if (item := folder.current(name, keys[name])) is not None]
    shown = frozenset(item.name for item in items)
    complete = shown | {item.name for item in missing}
    only = [] if complete == set(registry.names()) else [name for name in registry.names() if name in complete]
    notices = (*notices, *changed())
    report = report_contents.contents(inputs, items, missing, notices=notices, command=command(only), versions=versions)
    wrote.append(html_report.write(report, out))
    return Drawn(tuple(wrote), tuple(kept), tuple(missing), shown, notices)


def _make(name: str, inputs: FigureInputs, out: Path) -> ReportItem | MissingItem:
    """The figure or table, written, or why it is missing. Only user errors are caught."""
    if name not in registry.NEED_MODEL:
        inputs = replace(inputs, checkpoint=None, checkpoints={}, corpus=None)
    try:
        if name in registry.TABLES:
            table = registry.TABLES[name](inputs)
            table = replace(table, caption=without_paths(table.caption, inputs))
        else:
            module = registry.figure(name)
            data = module.data(inputs)
            figure, caption = module.figure(data), without_paths(module.caption(data, inputs), inputs)
    except InputError as error:
        return MissingItem(name, str(error))
    if name in registry.TABLES:
        return ReportItem.of(name, table.title, table.caption, table.write(out / name), table)
    return ReportItem.of(name, module.TITLE, caption, style.save_with_data(figure, data, out / module.NAME))


def _made_from(inputs: FigureInputs, versions: Mapping[str, str]) -> dict[str, Any]:
    """What every figure and table is made from: tables, options, versions."""
    tables = (inputs.table, inputs.untrained, *inputs.others)
    return {
        "tables": [None if table is None else [table.name, table_digest(table)] for table in tables],
        "options": [inputs.speaker, inputs.fit, inputs.phones, inputs.phone_set, inputs.permutations, inputs.seed],
        "versions": dict(versions),
    }


def _keys(inputs: FigureInputs, made_from: dict[str, Any]) -> dict[str, str]:
    """For every figure and table the digest of what it is made from."""
    model = {
        "checkpoint": inputs.checkpoint and inputs.checkpoint.sha256,
        "checkpoints": {name: loaded.sha256 for name, loaded in inputs.checkpoints.items()},
        "corpus": inputs.corpus and inputs.corpus.fingerprint(),
    }
    return {
        name: digest([name, made_from, model if name in registry.NEED_MODEL else None]) for name in registry.names()
    }
