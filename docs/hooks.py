"""What the site makes before it is built: links that mkdocstrings can follow, and the help of every command."""

import argparse
import sys
from pathlib import Path
from typing import Any

from mkdocs.structure.files import File, Files

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))


def on_startup(**_: Any) -> None:
    """Make `.links`, where the folders of the repository are one package."""
    from tests.link_tree import make

    make()


def on_files(files: Files, config: Any) -> Files:
    """Add `commands.md`, the help of every command as `probe COMMAND --help` prints it."""
    files.append(File.generated(config, "commands.md", content=commands()))
    return files


def commands() -> str:
    from lvm_probe.app.cli import parser

    top = parser()
    subparsers = next(action for action in top._actions if isinstance(action, argparse._SubParsersAction))
    parts = ["# Commands", "", "`probe COMMAND --help` prints the same.", "", _block(top)]
    for name, sub in subparsers.choices.items():
        parts += ["", f"## probe {name}", "", _block(sub)]
    return "\n".join(parts) + "\n"


def _block(parser: argparse.ArgumentParser) -> str:
    return f"```text\n{parser.format_help().rstrip()}\n```"
