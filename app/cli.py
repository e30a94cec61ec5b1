"""The `probe` command line: one module per command in `app.commands`, assembled here.

A command module has

    SUMMARY          one line for `probe --help`
    EXAMPLES         command lines that work, shown by `probe COMMAND --help`
    options(parser)  adds the command's options
    run(args)        checks them, calls the library and returns an `Output`

and imports heavy libraries only in `run`, so that `--help` is fast.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from types import ModuleType
from typing import NoReturn

from lvm_probe import InputError
from lvm_probe.app.commands import (
    abx,
    align,
    boundaries,
    compare,
    convergence,
    corpus,
    demo,
    evaluate,
    explore,
    export,
    extract,
    figures,
    gaussian_limit,
    knn,
    lda,
    logistic,
    mdl,
    models,
    rate,
    ridge,
    sample,
    similarity,
    train,
    zerospeech,
)
from lvm_probe.app.options import add_general
from lvm_probe.app.output import Output
from lvm_probe.models.io.provenance import package_version

COMMANDS: dict[str, tuple[ModuleType, ...]] = {
    "start here": (demo,),
    "corpora": (corpus, align),
    "models": (models, train, evaluate, sample, gaussian_limit),
    "latents": (extract,),
    "questions to a token table": (compare, knn, lda, logistic, mdl, ridge, abx, boundaries, similarity),
    "diagnostics": (zerospeech, rate, convergence),
    "pictures": (figures, explore, export),
}


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command and return its exit code: 0 on success, 2 for a user error, 130 when interrupted."""
    args = make_parser().parse_args(argv)
    try:
        output: Output = args.run(args)
    except KeyboardInterrupt:
        print("interrupted; run the same command again to continue (train: with --resume)", file=sys.stderr)
        return 130
    except InputError as error:
        print(f"probe {args.command}: {error}", file=sys.stderr)
        return 2
    try:
        print(json.dumps(output.document, allow_nan=False) if args.json else output.text, flush=True)
    except BrokenPipeError:
        sys.stderr.close()  # the reader has closed the pipe (`probe ... | head`), which is no error
    return 0


def make_parser() -> argparse.ArgumentParser:
    """The parser of all commands."""
    listing = [
        f"{heading}:\n" + "\n".join(f"  {_name(command):<15} {command.SUMMARY}" for command in commands)
        for heading, commands in COMMANDS.items()
    ]
    parser = _Parser(
        prog="probe",
        usage="probe COMMAND [options]",
        description="Train sequential latent variable models of raw speech, and measure what their latents encode.\n\n"
        + "\n\n".join(listing),
        epilog="`probe COMMAND --help` shows the options of a command and an example.",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--version", action=_Version, nargs=0, help="show the version and exit")
    subparsers = parser.add_subparsers(
        metavar="COMMAND", dest="command", required=True, prog="probe", help=argparse.SUPPRESS
    )
    for command in (command for commands in COMMANDS.values() for command in commands):
        subparser = subparsers.add_parser(
            _name(command),
            description=f"{command.SUMMARY[0].upper()}{command.SUMMARY[1:]}.",
            epilog="\n".join(["examples:", *(f"  {example}" for example in command.EXAMPLES)]),
            formatter_class=_HelpFormatter,
            add_help=False,
        )
        command.options(subparser)
        add_general(subparser)
        subparser.usage = _usage(subparser)
        subparser.set_defaults(run=command.run)
    return parser


def _name(command: ModuleType) -> str:
    """The command's name: its module's, with hyphens."""
    return command.__name__.rpartition(".")[2].replace("_", "-")


def _usage(parser: argparse.ArgumentParser) -> str:
    """The usage line with what is required only; argparse would list every option."""
    words = [
        " ".join([*action.option_strings[:1], str(action.metavar or action.dest.upper())])
        for action in parser._actions
        if action.required
    ]
    return " ".join([parser.prog, *words, "[options]"])


class _Parser(argparse.ArgumentParser):
    """Reports a bad option on one line, like every other user error."""

    def error(self, message: str) -> NoReturn:
        self.exit(2, f"{self.prog}: {message}; see {self.prog} --help\n")


class _HelpFormatter(argparse.ArgumentDefaultsHelpFormatter, argparse.RawDescriptionHelpFormatter):
    """Keeps line breaks of descriptions, and adds defaults that are values unless the help text names its own."""

    def _get_help_string(self, action: argparse.Action) -> str | None:
        if (
            action.default is None
            or action.default is False
            or action.default == []
            or "(default" in (action.help or "")
        ):
            return action.help
        return super()._get_help_string(action)


class _Version(argparse.Action):
    """Reads the version only when it is asked for."""

    def __call__(self, parser: argparse.ArgumentParser, *_: object) -> NoReturn:
        print(f"lvm-probe {package_version()}")
        parser.exit()


if __name__ == "__main__":
    sys.exit(main())
