"""What Streamlit runs: the pages on what `probe explore` was given, which follows `--` on its command line."""

from __future__ import annotations

import importlib
import importlib.util
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path

import streamlit as st

from lvm_probe.app.explorer.inputs import Given
from lvm_probe.app.explorer.views import plain

# Modules, their titles and icons; each module has `show(given)`.
PAGES = (
    ("map", "Map", ":material/scatter_plot:"),
    ("questions", "Questions", ":material/help:"),
    ("utterance", "Utterance", ":material/graphic_eq:"),
    ("change", "Change a latent", ":material/tune:"),
)


# Less empty space than Streamlit leaves above and beside a page, so that a laptop shows the map whole.
LOOK = """<style>
.stMainBlockContainer {padding: 3.4rem 2rem 1rem 2rem}
.stMainBlockContainer h1 {font-size: 1.7rem; padding: 0}
.stSidebar [data-testid="stSidebarHeader"] {height: 2.6rem; padding-bottom: 0}
.st-key-ahead {position: absolute; height: 0; overflow: hidden}
.stMainBlockContainer [data-testid="stButtonGroup"] button {min-height: 1.5rem; padding: 0 .45rem}
</style>"""


def given_by(arguments: list[str]) -> Given:
    """What `app.commands.explore.arguments` wrote."""
    latents, corpus, checkpoint = [], None, None
    for name, value in zip(arguments[::2], arguments[1::2], strict=True):
        match name:
            case "--latents":
                latents.append(Path(value))
            case "--corpus":
                corpus = Path(value)
            case "--ckpt":
                checkpoint = value
    return Given(tuple(latents), corpus, checkpoint)


@st.cache_resource(show_spinner="Reading the table")
def _given(arguments: tuple[str, ...]) -> Given:
    given = given_by(list(arguments))
    _ = given.tables
    return given


def _page(module: str, given: Given) -> None:
    show: Callable[[Given], None] = importlib.import_module(f"lvm_probe.app.explorer.pages.{module}").show
    show(given)


def main() -> None:
    st.set_page_config(page_title="Latent explorer", page_icon="🔎", layout="wide")
    st.html(LOOK)
    try:
        given = _given(tuple(sys.argv[1:]))
    except ValueError as error:  # every InputError is one
        st.error(plain(error))
        return
    there = [page for page in PAGES if importlib.util.find_spec(f"lvm_probe.app.explorer.pages.{page[0]}")]
    pages = [
        st.Page(partial(_page, module, given), title=title, icon=icon, url_path=module,
                default=module == "map")
        for module, title, icon in there
    ]  # fmt: skip
    st.navigation(pages, position="top").run()


if __name__ == "__main__":
    main()
