"""The script that Streamlit runs: the pages for the command line of `probe explore`, which follows `--`."""

from __future__ import annotations

import importlib
import sys
from functools import partial
from pathlib import Path

import streamlit as st

from lvm_probe import InputError
from lvm_probe.app.explorer import waiting
from lvm_probe.app.explorer.inputs import ExplorerInputs
from lvm_probe.app.explorer.views import plain

PAGES = (
    ("map", "Map", ":material/scatter_plot:"),
    ("dimensions", "Dimensions", ":material/bar_chart:"),
    ("questions", "Questions", ":material/help:"),
    ("utterance", "Utterance", ":material/graphic_eq:"),
    ("change", "Change a latent", ":material/tune:"),
    ("walk", "Walk", ":material/route:"),
)
"""Modules in `pages`, each with a function `show(inputs)`, their titles and icons."""

# Less empty space around a page than Streamlit's default, so that a laptop shows the whole map; and on a phone, words
# beside the arrows behind which Streamlit puts the pages and the map's controls.
STYLE = """<style>
.stMainBlockContainer {padding: 3.4rem 1.2rem 1rem 1.2rem}
.stMainBlockContainer h1 {font-size: 1.7rem; padding: 0}
.stSidebar [data-testid="stSidebarHeader"] {height: 2.6rem; padding-bottom: 0}
[data-testid="stLayoutWrapper"]:has(> [class*="st-key-preload"]) {position: absolute; height: 0; overflow: hidden}
.stMainBlockContainer [data-testid="stButtonGroup"] button {min-height: 1.5rem; padding: 0 .45rem}
.st-key-map-title {position: absolute; width: 1px; height: 1px; overflow: hidden}
.st-key-map-legend {max-height: 9.5rem; overflow-y: auto}
@media (max-width: 640px) {
  [data-testid="stExpandSidebarButton"] {width: auto}
  [data-testid="stExpandSidebarButton"]::after {content: "Pages and settings"; padding-left: .3rem; white-space: nowrap}
}
@media (min-width: 641px) {
  .st-key-map-row > * > [data-testid="stHorizontalBlock"] {flex-wrap: nowrap}
  .st-key-map-row > * > * > [data-testid="stColumn"]:first-child {flex: 1 1 0; min-width: 0}
  .st-key-map-row > * > * > [data-testid="stColumn"]:last-child {flex: 0 0 clamp(19rem, 24vw, 26rem); min-width: 0}
  .st-key-map-side {max-height: calc(100vh - 5.4rem); overflow-y: auto; padding-right: .4rem}
}
</style>"""


def parse(arguments: list[str]) -> ExplorerInputs:
    """The inputs of a command line that `app.commands.explore.arguments` wrote."""
    options: dict[str, list[str]] = {}
    for name, value in zip(arguments[::2], arguments[1::2], strict=True):
        options.setdefault(name, []).append(value)
    corpus, checkpoint = options.get("--corpus"), options.get("--ckpt")
    return ExplorerInputs(
        tuple(map(Path, options.get("--latents", []))),
        Path(corpus[0]) if corpus else None,
        checkpoint[0] if checkpoint else None,
    )


@st.cache_resource(show_spinner="Reading the table")
def _inputs(arguments: tuple[str, ...]) -> ExplorerInputs:
    inputs = parse(list(arguments))
    _ = inputs.tables
    return inputs


def _show(module: str, inputs: ExplorerInputs) -> None:
    importlib.import_module(f"lvm_probe.app.explorer.pages.{module}").show(inputs)


def main() -> None:
    st.set_page_config(page_title="Latent explorer", page_icon="🔎", layout="wide", initial_sidebar_state=256)
    st.html(STYLE)
    waiting.leave()
    try:
        inputs = _inputs(tuple(sys.argv[1:]))
    except InputError as error:
        st.error(plain(error))
        return
    pages = [
        st.Page(partial(_show, module, inputs), title=title, icon=icon, url_path=module, default=module == "map")
        for module, title, icon in PAGES
    ]
    st.navigation(pages, position="top").run()


if __name__ == "__main__":
    main()
