"""The explorer's server: Streamlit's application, with an answer of its own to the addresses of pages.

Opened at the address of a page, such as /questions, Streamlit's frontend first looks for its server below that address
and then at the root; the first attempt leaves two errors in the browser's console. So these pages name the root.
"""

from __future__ import annotations

from pathlib import Path

import streamlit as st
from starlette.requests import Request
from starlette.responses import HTMLResponse
from starlette.routing import Route
from streamlit.runtime.pages_manager import PagesManager

from lvm_probe.app.explorer.entry import PAGES

SCRIPT = Path(__file__).with_name("entry.py")
ROOT = '<script>window.__streamlit = {BACKEND_BASE_URL: new URL(".", location.href).href}</script>'
"""The folder of the page's address, which a proxy may have moved below the root of its host."""


def _page(request: Request) -> HTMLResponse:
    html = (Path(st.__file__).parent / "static" / "index.html").read_text(encoding="utf-8")
    return HTMLResponse(html.replace("<head>", f"<head>{ROOT}", 1), headers={"Cache-Control": "no-cache"})


# The first session may open the address of a page. Streamlit would take the folder `pages` for scripts of its own and
# show an empty page, until `entry` has once called `st.navigation`.
PagesManager.uses_pages_directory = False

app = st.App(SCRIPT, routes=[Route(f"/{name}", _page) for name, _, _ in PAGES[1:]])  # the first is at the root
