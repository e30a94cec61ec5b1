"""What the site makes before it is built: links that mkdocstrings can follow, and the help of every command."""

import argparse
import sys
from pathlib import Path
from typing import Any

from mkdocs.structure.files import File, Files

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # mkdocs takes it away again after this module

from lvm_probe.app.cli import make_parser
from tests import link_tree


def on_startup(**_: Any) -> None:
    """Make `.links`, where the folders of the repository are one package."""
    link_tree.make()


def on_files(files: Files, config: Any) -> Files:
    """Add `commands.md`, the help of every command as `probe COMMAND --help` prints it."""
    files.append(File.generated(config, "commands.md", content=commands()))
    return files


def commands() -> str:
    top = make_parser()
    subparsers = next(action for action in top._actions if isinstance(action, argparse._SubParsersAction))
    parts = ["# Commands", "", "`probe COMMAND --help` prints the same.", "", _block(top)]
    for name, sub in subparsers.choices.items():
        parts += ["", f"## probe {name}", "", _block(sub)]
    return "\n".join(parts) + "\n"


def _block(parser: argparse.ArgumentParser) -> str:
    return f"```text\n{parser.format_help().rstrip()}\n```"
