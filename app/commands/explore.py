"""`probe explore`: the latent explorer, served in a browser on this machine."""

from __future__ import annotations

import argparse
import contextlib
import importlib
import socket
import sys
import threading
import time
import webbrowser
from pathlib import Path
from typing import Any

import lvm_probe
from lvm_probe import InputError
from lvm_probe.app.options import CKPT
from lvm_probe.app.output import Output
from lvm_probe.models.checkpoints.shipped_checkpoints import resolve, shipped
from lvm_probe.models.io.provenance import package_version

SUMMARY = "explore token tables in a browser: map, questions, audio, changed latents"
EXAMPLES = ("probe explore --demo", "probe explore --latents latents/timit --corpus TIMIT --ckpt cwvae-small")

HOST = "127.0.0.1"
ACCENTS = {"light": "#2A6FB0", "dark": "#63ADE8"}
"""Accent colour of the pages by theme; red is kept for wrong predictions."""
DEMO_CHECKPOINT = "cwvae-small"
DEMO_DRAWS = 4


def options(parser: argparse.ArgumentParser) -> None:
    what = parser.add_argument_group("what to explore")
    what.add_argument(
        "--latents",
        action="append",
        metavar="TABLE",
        help="token table; repeatable (default: the newest under latents/)",
    )
    what.add_argument("--corpus", metavar="PATH", help="folder of the corpus, to show and play its audio")
    what.add_argument("--ckpt", help=f"{CKPT}, to decode changed latents")
    what.add_argument("--demo", action="store_true", help="explore the embedded corpus; no data needed")
    server = parser.add_argument_group("server")
    server.add_argument("--port", type=int, default=8501, help="port of the page, reachable from this machine only")
    server.add_argument("--no-browser", action="store_true", help="do not open a browser")


def run(args: argparse.Namespace) -> Output:
    """Check the inputs, then serve the pages until interrupted."""
    from lvm_probe.probing.features import token_table

    if not 1 <= args.port <= 65535:
        raise InputError(f"--port {args.port}: give a number from 1 to 65535")
    with socket.socket() as attempt:
        attempt.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            attempt.bind((HOST, args.port))
        except OSError as error:
            raise InputError(f"--port {args.port}: {error.strerror}; choose another, such as 8502") from None
    if args.demo:
        if args.latents or args.corpus or args.ckpt:
            raise InputError("--demo brings its own table, corpus and checkpoint; leave out the others")
        latents, corpus, checkpoint = [demo_table()], str(_demo_corpus()), DEMO_CHECKPOINT
    else:
        latents = [Path(path) for path in args.latents or ()] or [token_table.newest()]
        corpus, checkpoint = args.corpus, args.ckpt
        for folder in latents:
            token_table.read_extraction(folder)
        if corpus is not None and not Path(corpus).is_dir():
            raise InputError(f"--corpus {corpus}: no such folder")
        if checkpoint is not None:
            resolve(checkpoint)
    address = f"http://{HOST}:{args.port}"
    print(f"explorer: {address}  (Ctrl-C ends it)", file=sys.stderr)
    _serve(arguments(latents, corpus, checkpoint), args.port, browser=not args.no_browser)
    return Output({"address": address, "latents": [str(path) for path in latents]}, "the explorer has ended")


def arguments(latents: list[Path], corpus: str | None, checkpoint: str | None) -> list[str]:
    """The command line of the page, which `app.explorer.entry` reads."""
    words = [word for folder in latents for word in ("--latents", str(folder))]
    words += ["--corpus", corpus] if corpus is not None else []
    return words + (["--ckpt", checkpoint] if checkpoint is not None else [])


def demo_table() -> Path:
    """The token table of the embedded corpus, extracted once into the user's cache folder."""
    from lvm_probe.app.explorer.result_cache import cache_folder, digest
    from lvm_probe.probing.features import token_table

    weights = next(path for name, _, path in shipped() if name == DEMO_CHECKPOINT)
    folder = cache_folder() / "demo" / digest(package_version(), Path(weights), DEMO_DRAWS) / DEMO_CHECKPOINT
    if (folder / token_table.EXTRACTION).exists():
        parts = token_table.read_extraction(folder)["parts"]
        if all((folder / token_table.part_name(i)).exists() for i in range(parts)):
            return folder
    print("explorer: extracting the embedded corpus, once", file=sys.stderr)
    corpus, model = lvm_probe.open_corpus(_demo_corpus()), lvm_probe.load_model(DEMO_CHECKPOINT, device="cpu")
    lvm_probe.extract(corpus, model, folder, samples=DEMO_DRAWS, units=("phoneme", "word"))
    return folder


def _demo_corpus() -> Path:
    from lvm_probe.probing.corpora.demo import CORPUS

    return CORPUS


def _serve(words: list[str], port: int, *, browser: bool) -> None:
    from streamlit.web import bootstrap

    settings: dict[str, Any] = {
        "server_address": HOST,
        "server_port": port,
        "server_headless": True,
        "server_fileWatcherType": "none",
        "browser_gatherUsageStats": False,
        "browser_serverAddress": HOST,
        "client_toolbarMode": "minimal",
        "global_developmentMode": False,
        "runner_magicEnabled": False,
        **{f"theme_{theme}_primaryColor": colour for theme, colour in ACCENTS.items()},
    }
    bootstrap.load_config_options(settings)
    # Import what the first page needs while the browser is still opening.
    threading.Thread(target=importlib.import_module, args=("lvm_probe.app.explorer.pages.map",), daemon=True).start()
    if browser:
        threading.Thread(target=_open_browser, args=(port,), daemon=True).start()
    with contextlib.redirect_stdout(sys.stderr):  # standard output is for the result
        script = Path(__file__).parents[1] / "explorer" / "entry.py"
        bootstrap.run_asgi_app(str(script), "lvm_probe.app.explorer.server:app", words, settings)


def _open_browser(port: int) -> None:
    """Open the page once the server answers."""
    while True:
        with socket.socket() as attempt:
            if attempt.connect_ex((HOST, port)) == 0:
                break
        time.sleep(0.1)
    webbrowser.open(f"http://{HOST}:{port}")
