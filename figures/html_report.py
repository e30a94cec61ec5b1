"""The report: one page with figures, tables, captions, what is missing, and how everything was made.

It is a single HTML file without scripts, fonts or network access, which its own policy forbids. Figures are embedded as
separate SVG documents, so that their identifiers cannot clash. It holds no dates: the same folder gives the same bytes.
"""

from __future__ import annotations

import base64
import re
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape
from pathlib import Path

from lvm_probe.figures.figure_cache import ReportItem
from lvm_probe.models.io.files import write_atomically

REPORT = "report.html"

LARGEST_SVG = 1_500_000
"""Bytes; a larger figure is embedded as PNG."""

SCALE = 1.45
"""Figures are drawn at their printed size, with text of 7 points, which is small on a screen."""


@dataclass(frozen=True)
class MissingItem:
    """A figure or table that could not be made, and why."""

    name: str
    reason: str


@dataclass(frozen=True)
class Report:
    """The contents of the report.

    Attributes:
        title: heading of the page.
        about: a sentence below it on the model and the data.
        items: figures, then tables.
        missing: what could not be made.
        notices: warnings about the inputs.
        command: the command line that makes the report.
        facts: groups of (name, value), each with a heading.
        cards: model cards (Markdown) of shipped checkpoints, by name.
    """

    title: str
    about: str
    items: tuple[ReportItem, ...]
    missing: tuple[MissingItem, ...]
    notices: tuple[str, ...]
    command: str
    facts: tuple[tuple[str, tuple[tuple[str, str], ...]], ...]
    cards: tuple[tuple[str, str], ...] = ()


def write(report: Report, folder: Path) -> Path:
    """Write the report next to the files of its figures, completely or not at all.

    Raises:
        InputError: the folder cannot be written to.
    """
    path = folder / REPORT
    with write_atomically(path) as temporary:
        temporary.write_text(as_html(report, folder), encoding="utf-8")
    return path


def as_html(report: Report, folder: Path) -> str:
    """The HTML document; figures are read from the folder."""
    drawn = [item for item in report.items if not item.head]
    tables = [item for item in report.items if item.head]
    figures = [_section(item, _image(item, folder)) for item in drawn]
    printed = [_section(item, _table(item.head, item.rows, item.text_columns)) for item in tables]
    contents = [(item.name, item.title) for item in report.items]
    contents += [("missing", "Missing")] if report.missing else []
    contents += [("made", "How this was made"), *(("card", "Model card") for _ in report.cards[:1])]
    links = "".join(f'<li><a href="#{escape(at)}">{escape(title)}</a></li>' for at, title in contents)
    return "\n".join([
        "<!DOCTYPE html>", '<html lang="en">', "<head>", '<meta charset="utf-8">',
        '<meta name="viewport" content="width=device-width, initial-scale=1">',
        "<meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; img-src data:; "
        "style-src 'unsafe-inline'\">",
        f"<title>{escape(report.title)}</title>", f"<style>{_STYLE}</style>", "</head>", "<body>", "<main>",
        f"<header><h1>{escape(report.title)}</h1><p>{escape(report.about)}</p></header>",
        f'<nav aria-label="Contents"><ul>{links}</ul></nav>',
        *figures, *printed, _missing(report.missing), _made(report), _cards(report.cards),
        "</main>", "</body>", "</html>", "",
    ])  # fmt: skip


def _section(item: ReportItem, content: str) -> str:
    files = ", ".join(f"<code>{escape(file)}</code>" for file in item.files)
    return (
        f'<section id="{escape(item.name)}"><h2>{escape(item.title)}</h2>\n<figure>{content}'
        f'<figcaption>{_code(item.caption)} <span class="files">Files: {files}</span></figcaption>'
        "</figure></section>"
    )


def _image(item: ReportItem, folder: Path) -> str:
    """The figure as an embedded image: SVG, or PNG if that is too large."""
    by_kind = {Path(file).suffix: folder / file for file in item.files}
    svg = by_kind[".svg"].read_bytes()
    kind, data = ("svg+xml", svg) if len(svg) <= LARGEST_SVG else ("png", by_kind[".png"].read_bytes())
    match = re.search(rb'<svg[^>]*\bwidth="([0-9.]+)pt"', svg)
    width = f' width="{float(match[1]) * 4 / 3 * SCALE:.0f}"' if match else ""
    encoded = base64.b64encode(data).decode()
    return f'<img alt="{escape(item.title)}"{width} src="data:image/{kind};base64,{encoded}">'


def _table(head: Sequence[str], rows: Sequence[Sequence[str]], text_columns: int) -> str:
    def line(cells: Sequence[str], tag: str) -> str:
        kinds = ["" if i < text_columns else ' class="number"' for i in range(len(cells))]
        return "<tr>" + "".join(f"<{tag}{k}>{_cell(c)}</{tag}>" for c, k in zip(cells, kinds, strict=True)) + "</tr>"

    body = "".join(line(row, "td") for row in rows)
    return f'<div class="wide"><table><thead>{line(head, "th")}</thead><tbody>{body}</tbody></table></div>'


def _cell(text: str) -> str:
    return escape(text).replace("; ", ";<br>")


def _missing(items: Sequence[MissingItem]) -> str:
    if not items:
        return ""
    rows = "".join(f"<dt><code>{escape(one.name)}</code></dt><dd>{_code(one.reason)}</dd>" for one in items)
    return f'<section id="missing"><h2>Missing</h2><dl>{rows}</dl></section>'


def _made(report: Report) -> str:
    notices = "".join(f'<p class="notice">{escape(notice)}</p>' for notice in report.notices)
    groups = "".join(
        f"<h3>{escape(heading)}</h3><dl>"
        + "".join(f"<dt>{escape(what)}</dt><dd>{escape(value)}</dd>" for what, value in facts)
        + "</dl>"
        for heading, facts in report.facts
    )
    command = f"<pre><code>{escape(report.command)}</code></pre>"
    return f'<section id="made"><h2>How this was made</h2>{notices}{command}{groups}</section>'


def _cards(cards: Sequence[tuple[str, str]]) -> str:
    if not cards:
        return ""
    texts = "".join(f'<article class="card">{card_as_html(text)}</article>' for _, text in cards)
    return f'<section id="card"><h2>Model card</h2>{texts}</section>'


def card_as_html(markdown: str) -> str:
    """HTML of the Markdown that model cards use: headings, tables, paragraphs, `code`, **bold**, [links](x).

    Everything is escaped; links become plain text.
    """
    blocks = []
    for block in re.split(r"\n\s*\n", markdown.strip()):
        lines = block.strip().splitlines()
        if lines[0].startswith("#"):
            blocks.append(f"<h3>{_inline(lines[0].lstrip('# '))}</h3>")
            lines = lines[1:]
        if lines and all(line.startswith("|") for line in lines):
            cells = [[_inline(cell.strip()) for cell in line.strip("| ").split("|")] for line in lines]
            cells = [row for row in cells if not all(re.fullmatch(r":?-+:?", cell) for cell in row)]
            rows = "".join("<tr>" + "".join(f"<td>{cell}</td>" for cell in row) + "</tr>" for row in cells if any(row))
            blocks.append(f'<div class="wide"><table>{rows}</table></div>')
        elif lines:
            blocks.append(f"<p>{_inline(' '.join(lines))}</p>")
    return "".join(blocks)


def _inline(text: str) -> str:
    text = re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", _code(text))
    return re.sub(r"\*\*([^*]+)\*\*", r"<b>\1</b>", text)


def _code(text: str) -> str:
    """Escaped text, with what stands between backticks as code."""
    return re.sub(r"`([^`]*)`", r"<code>\1</code>", escape(text))


_STYLE = """
:root { color-scheme: light dark; --ink: #1b1b1b; --soft: #5c5c5c; --paper: #fdfdfb; --line: #d9d9d4; --sheet: #f3f3ee;
  --link: #0b5cad; }
@media (prefers-color-scheme: dark) {
  :root { --ink: #e6e6e2; --soft: #a3a3a0; --paper: #17181a; --line: #3a3c40; --sheet: #222428; --link: #7db7ff; }
}
* { box-sizing: border-box; }
body { margin: 0; background: var(--paper); color: var(--ink); line-height: 1.55;
  font: 1rem/1.55 system-ui, -apple-system, "Segoe UI", Roboto, "Helvetica Neue", Arial, sans-serif; }
main { max-width: 72rem; margin: 0 auto; padding: 2.5rem 1.25rem 5rem; }
h1 { font-size: 1.9rem; line-height: 1.2; margin: 0 0 .4rem; }
h2 { font-size: 1.25rem; margin: 3rem 0 .8rem; padding-top: .8rem; border-top: 1px solid var(--line); }
h3 { font-size: 1rem; margin: 1.6rem 0 .4rem; }
p, dd, figcaption { max-width: 46rem; }
header p, .files { color: var(--soft); }
a { color: var(--link); text-decoration: none; }
a:hover, a:focus { text-decoration: underline; }
nav ul { columns: 18rem 3; column-gap: 2rem; padding-left: 1.4rem; margin: 1.5rem 0 0; }
figure { margin: 0; }
figure img { display: block; max-width: 100%; height: auto; background: #fff; padding: .8rem;
  border: 1px solid var(--line); border-radius: 4px; }
figcaption { margin-top: .8rem; font-size: .92rem; }
.files { display: block; margin-top: .3rem; font-size: .82rem; }
.wide { overflow-x: auto; }
table { border-collapse: collapse; font-size: .84rem; font-variant-numeric: tabular-nums;
  border-top: 2px solid var(--ink); border-bottom: 2px solid var(--ink); }
th, td { padding: .26rem .48rem; text-align: left; vertical-align: top; }
th { font-weight: 600; border-bottom: 1px solid var(--ink); vertical-align: bottom; }
td.number, th.number { text-align: right; }
td.number { white-space: nowrap; }
tbody tr:nth-child(even) { background: var(--sheet); }
code, pre { font-family: ui-monospace, SFMono-Regular, Menlo, Consolas, monospace; font-size: .88em;
  overflow-wrap: anywhere; }
pre { background: var(--sheet); padding: .8rem 1rem; border-radius: 4px; white-space: pre-wrap; }
dl { display: grid; grid-template-columns: minmax(9rem, max-content) 1fr; gap: .25rem 1.2rem; margin: 0;
  font-size: .92rem; }
dt { color: var(--soft); }
dd { margin: 0; overflow-wrap: anywhere; }
.notice { border-left: 3px solid #c98a00; padding-left: .8rem; }
.card { background: var(--sheet); padding: .2rem 1.2rem 1rem; border-radius: 4px; margin-bottom: 1rem; }
@media print { nav { display: none; } section { break-inside: avoid; } }
@media (max-width: 40rem) { dl { grid-template-columns: 1fr; } dd { margin-bottom: .5rem; } }
"""
