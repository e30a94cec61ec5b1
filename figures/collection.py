"""All figures and tables of one material in one folder, with a report page."""

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
from lvm_probe.figures.figure_cache import Answers, Folder, Piece, key, table_digest
from lvm_probe.figures.html_report import LeftOutPiece
from lvm_probe.figures.inputs import Material, Progress
from lvm_probe.figures.report_contents import without_paths


@dataclass(frozen=True)
class Drawn:
    """The result of `draw`.

    Attributes:
        wrote: files written now, the report last.
        kept: files that were there already and up to date.
        left_out: figures and tables that the material does not allow, with the reason.
        shown: names of all figures and tables in the report.
        notices: those given, and files of the corpus that changed meanwhile.
    """

    wrote: tuple[Path, ...]
    kept: tuple[Path, ...]
    left_out: tuple[LeftOutPiece, ...]
    shown: frozenset[str]
    notices: tuple[str, ...]

    @property
    def report(self) -> Path:
        return self.wrote[-1]


def draw(
    material: Material,
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
        material: the data.
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
    inputs = _inputs(material, versions)
    keys = _keys(material, inputs)
    folder, answers = Folder(out), Answers(out, key(inputs))
    if again:
        answers.clear()
    material = replace(material, answers=answers)
    wrote: list[Path] = []
    kept: list[Path] = []
    left_out: list[LeftOutPiece] = []
    for name in names:
        piece = None if again else folder.current(name, keys[name])
        if piece is not None:
            kept += [out / file for file in piece.files]
            continue
        with progress(name) as report_progress:
            made = _make(name, replace(material, progress=report_progress), out)
        if isinstance(made, LeftOutPiece):
            left_out.append(made)
            folder.drop(name)
        else:
            folder.keep(made, keys[name])
            wrote += [out / file for file in made.files]
    answers.clear()
    pieces = [piece for name in registry.names() if (piece := folder.current(name, keys[name])) is not None]
    shown = frozenset(piece.name for piece in pieces)
    complete = shown | {piece.name for piece in left_out}
    only = [] if complete == set(registry.names()) else [name for name in registry.names() if name in complete]
    notices = (*notices, *changed())
    page = report_contents.page(material, pieces, left_out, notices=notices, command=command(only), versions=versions)
    wrote.append(html_report.write(page, out))
    return Drawn(tuple(wrote), tuple(kept), tuple(left_out), shown, notices)


def _make(name: str, material: Material, out: Path) -> Piece | LeftOutPiece:
    """The figure or table, written; or why it is left out. Only errors of the user's data are caught."""
    if name not in registry.NEED_MODEL:
        material = replace(material, checkpoint=None, checkpoints={}, corpus=None)
    try:
        if name in registry.TABLES:
            table = registry.TABLES[name](material)
            table = replace(table, caption=without_paths(table.caption, material))
        else:
            module = registry.figure(name)
            data = module.data(material)
            figure, caption = module.figure(data), without_paths(module.caption(data, material), material)
    except InputError as error:
        return LeftOutPiece(name, str(error))
    if name in registry.TABLES:
        return Piece.of(name, table.title, table.caption, table.write(out / name), table)
    return Piece.of(name, module.TITLE, caption, style.save_with_data(figure, data, out / module.NAME))


def _inputs(material: Material, versions: Mapping[str, str]) -> dict[str, Any]:
    """What every figure and table is made from: tables, options, versions."""
    tables = (material.table, material.untrained, *material.others)
    return {
        "tables": [None if table is None else [table.name, table_digest(table)] for table in tables],
        "options": [material.speaker, material.fit, material.permutations, material.seed],
        "versions": dict(versions),
    }


def _keys(material: Material, inputs: dict[str, Any]) -> dict[str, str]:
    """For every figure and table the digest of what it is made from."""
    model = {
        "checkpoint": material.checkpoint and material.checkpoint.sha256,
        "checkpoints": {name: loaded.sha256 for name, loaded in material.checkpoints.items()},
        "corpus": material.corpus and material.corpus.fingerprint(),
    }
    return {name: key([name, inputs, model if name in registry.NEED_MODEL else None]) for name in registry.names()}
