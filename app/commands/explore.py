"""`probe explore`: the latent explorer in a browser, on this machine alone."""

from __future__ import annotations

import argparse
import contextlib
import importlib
import sys
import threading
from pathlib import Path
from typing import Any

from lvm_probe.app.output import Answer, bar

HOST = "127.0.0.1"
ACCENTS = {"light": "#2A6FB0", "dark": "#63ADE8"}
"""Colour of what is chosen on the pages, by theme; red is for answers that are wrong."""
DEMO_CHECKPOINT = "cwvae-small"
DEMO_SAMPLES = 4


def options(sub: argparse.ArgumentParser) -> None:
    sub.add_argument(
        "--latents",
        action="append",
        metavar="TABLE",
        help="a token table; may be given several times (default: the newest under latents/)",
    )
    sub.add_argument("--corpus", default=None, metavar="PATH", help="folder of the corpus, to hear and see its sound")
    sub.add_argument("--ckpt", default=None, help="checkpoint file, run folder or shipped name, to change its latents")
    sub.add_argument("--demo", action="store_true", help="explore the embedded corpus: no data of your own is needed")
    sub.add_argument("--port", type=int, default=8501, help="where the page is served, on this machine only")
    sub.add_argument("--no-browser", action="store_true", help="do not open a browser; print the address")


def run(args: argparse.Namespace) -> Answer:
    """Check what was given, then serve until interrupted."""
    import socket

    from lvm_probe import InputError
    from lvm_probe.models.checkpoints.shipped_checkpoints import resolve
    from lvm_probe.probing.features import token_table

    if not 1 <= args.port <= 65535:
        raise InputError(f"--port {args.port}: give a number from 1 to 65535")
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((HOST, args.port))
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
    return Answer({"address": address, "latents": [str(path) for path in latents]}, "the explorer has ended")


def arguments(latents: list[Path], corpus: str | None, checkpoint: str | None) -> list[str]:
    """What the page is told on its command line; `app.explorer.entry.given_by` reads it."""
    told = [part for folder in latents for part in ("--latents", str(folder))]
    told += ["--corpus", corpus] if corpus is not None else []
    return told + (["--ckpt", checkpoint] if checkpoint is not None else [])


def demo_table() -> Path:
    """The token table of the embedded corpus, made once and kept in the user's cache folder."""
    from lvm_probe.app.explorer.cache import cache_folder, digest
    from lvm_probe.app.output import version
    from lvm_probe.models.checkpoints.shipped_checkpoints import shipped
    from lvm_probe.probing.features import token_table

    weights = next(path for name, _, path in shipped() if name == DEMO_CHECKPOINT)
    folder = cache_folder() / "demo" / digest(version(), Path(weights), DEMO_SAMPLES) / DEMO_CHECKPOINT
    if (folder / token_table.EXTRACTION).exists():
        parts = token_table.read_extraction(folder)["parts"]
        if all((folder / token_table.part_name(i)).exists() for i in range(parts)):
            return folder
    import torch

    from lvm_probe.app.output import package_versions
    from lvm_probe.models.checkpoints import checkpoint
    from lvm_probe.probing.corpora import open_corpus
    from lvm_probe.probing.features import extraction

    corpus = open_corpus(_demo_corpus())
    settings = extraction.Settings(draws=DEMO_SAMPLES, estimator="posterior-mean", units=("phoneme", "word"))
    with bar(corpus.seconds, "extract, once") as done:
        extraction.extract(
            checkpoint.load(DEMO_CHECKPOINT), corpus, folder, settings, device=torch.device("cpu"),
            versions=package_versions(), progress=done,
        )  # fmt: skip
    return folder


def _demo_corpus() -> Path:
    from lvm_probe.probing.corpora.demo import CORPUS

    return CORPUS


def _serve(told: list[str], port: int, *, browser: bool) -> None:
    from streamlit.web import bootstrap

    settings: dict[str, Any] = {
        "server_address": HOST,
        "server_port": port,
        "server_headless": not browser,
        "server_fileWatcherType": "none",
        "browser_gatherUsageStats": False,
        "browser_serverAddress": HOST,
        "client_toolbarMode": "minimal",
        "global_developmentMode": False,
        "runner_magicEnabled": False,
        **{f"theme_{theme}_primaryColor": colour for theme, colour in ACCENTS.items()},
    }
    bootstrap.load_config_options(settings)
    # What the first page imports, while the browser is still opening.
    threading.Thread(target=importlib.import_module, args=("lvm_probe.app.explorer.pages.map",), daemon=True).start()
    with contextlib.redirect_stdout(sys.stderr):  # standard output is for the answer
        bootstrap.run(str(Path(__file__).parents[1] / "explorer" / "entry.py"), False, told, settings)
