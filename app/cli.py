"""The `probe` command: options, one library call each, one result printed.

Only the standard library is imported here, so that `probe --help` answers at once.
"""

from __future__ import annotations

import argparse
import atexit
import gc
import json
import sys
from collections.abc import Sequence
from typing import Any, NoReturn

from lvm_probe import InputError
from lvm_probe.app import other_commands
from lvm_probe.app.commands import convergence, explore, extract, figures, probes, rate
from lvm_probe.app.output import Answer, version
from lvm_probe.probing.corpora.registry import LAYOUTS

# Libraries make many objects and little garbage. Looking for it as often as usual takes a third of a command's start,
# and at its end as long as a question about few tokens.
gc.set_threshold(200_000, 50, 1000)
atexit.register(gc.freeze)


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command; returns the exit code: 0 done, 2 the user's to mend, 130 interrupted."""
    args = parser().parse_args(argv)
    try:
        answer: Answer = args.command(args)
    except KeyboardInterrupt:
        print("interrupted; run the same command again to go on (train: with --resume)", file=sys.stderr)
        return 130
    except InputError as error:
        print(f"probe {args.name}: {error}", file=sys.stderr)
        return 2
    try:
        print(json.dumps(answer.document, allow_nan=False) if args.json else answer.text, flush=True)
    except BrokenPipeError:
        sys.stderr.close()  # the reader has gone (`probe ... | head`); that is not an error
    return 0


class Parser(argparse.ArgumentParser):
    """Refuses bad options in one line, as every other error of the user's is reported."""

    def error(self, message: str) -> NoReturn:
        self.exit(2, f"{self.prog}: {message}; see {self.prog} --help\n")


class Defaults(argparse.ArgumentDefaultsHelpFormatter):
    """Names the defaults that are values, where the help does not say its own."""

    def _get_help_string(self, action: argparse.Action) -> str | None:
        told = action.default is None or action.default is False or "(default" in (action.help or "")
        return action.help if told else super()._get_help_string(action)


class Version(argparse.Action):
    """Looks the version up when it is asked for, which takes longer than all else in `probe --help`."""

    def __call__(self, parser: argparse.ArgumentParser, *_: object) -> NoReturn:
        print(version())
        parser.exit()


def parser() -> argparse.ArgumentParser:
    """All commands and their options."""
    top = Parser(
        prog="probe",
        description="Train sequential latent variable models of raw speech, and find out without fooling "
        "yourself what their latents know.",
        epilog="Start with `probe demo`. Each command explains itself: `probe knn --help`.",
    )
    top.add_argument("--version", action=Version, nargs=0, help="show the version and exit")
    table = top.add_subparsers(metavar="command", required=True)

    def add(name: str, help: str, run: Any, **kwargs: Any) -> argparse.ArgumentParser:
        sub = table.add_parser(
            name,
            help=help,
            description=help[0].upper() + help[1:] + ".",
            formatter_class=Defaults,
            **kwargs,
        )
        sub.set_defaults(command=run, name=name)
        sub.add_argument("--json", action="store_true", help="print one JSON document; logs go to standard error")
        sub.add_argument("--seed", type=_seed, default=0, help="seed of everything random")
        return sub

    def device(sub: argparse.ArgumentParser) -> None:
        sub.add_argument("--device", choices=("auto", "cpu", "cuda"), default="auto", help="where to compute")

    def corpus(sub: argparse.ArgumentParser) -> None:
        sub.add_argument(
            "--layout",
            choices=("auto", *LAYOUTS),
            default="auto",
            help="how the corpus is laid out",
        )
        sub.add_argument("--strict", action="store_true", help="stop at the first bad utterance")
        sub.add_argument("--no-resample", action="store_true", help="refuse audio of another rate")
        sub.add_argument("--phoneme-tier", metavar="NAME", help="TextGrid tier of the phonemes (default: usual names)")
        sub.add_argument("--word-tier", metavar="NAME", help="TextGrid tier of the words (default: usual names)")

    sub = add("demo", "everything, end to end, on an embedded corpus", other_commands.demo)
    sub.add_argument("--out", default="demo-out", help="folder for latents, tables and pictures")
    device(sub)

    add("models", "list model families, presets and shipped checkpoints", other_commands.models)

    sub = add("corpus", "say what a corpus holds, and every problem found", other_commands.corpus)
    sub.add_argument("path", help="the corpus's folder")
    corpus(sub)

    sub = add("train", "train a model and keep the checkpoint that validates best", other_commands.train)
    sub.add_argument("family", help="model family (see `probe models`)")
    sub.add_argument("--corpus", required=True, metavar="PATH", help="folder of the corpus to train on")
    sub.add_argument("--split", default=None, help="split to train on (default: train, or all where nothing is split)")
    sub.add_argument("--preset", default="small", help="size and recipe (see `probe models`)")
    sub.add_argument("--out", required=True, metavar="RUN", help="run folder: checkpoints, log.csv, TensorBoard events")
    sub.add_argument("--updates", type=int, default=None, help="length of the recipe (default: the preset's)")
    sub.add_argument("--batch", type=int, default=None, help="segments a batch (default: the preset's)")
    sub.add_argument("--learning-rate", type=float, default=None, help="peak rate (default: the preset's)")
    sub.add_argument(
        "--upper-free-nats",
        type=float,
        default=None,
        metavar="X",
        help="multiply the free nats of the layers above the lowest by X (default: the preset's)",
    )
    sub.add_argument("--strides", type=_sizes, default=None, help="samples a step, lowest layer first, as 64,512")
    sub.add_argument("--latents", type=_sizes, default=None, help="latent dimensions, lowest layer first, as 128,64")
    sub.add_argument(
        "--likelihood",
        choices=("dmol", "gaussian"),
        default=None,
        help="discretized mixture of logistics, or mixture of Gaussians normalised by the training audio",
    )
    sub.add_argument("--components", type=int, default=None, help="of the mixture; 1 gaussian is a plain Gaussian")
    sub.add_argument("--target", choices=("mulaw", "linear"), default=None, help="scale on which audio is modelled")
    sub.add_argument("--min-std", type=float, default=None, help="floor of a gaussian's standard deviations")
    sub.add_argument("--hold-out", type=float, default=0.1, help="share of the speakers kept for validation")
    sub.add_argument(
        "--precision",
        choices=("auto", "fp32", "bf16"),
        default="auto",
        help="bf16 where the hardware multiplies it natively (auto)",
    )
    sub.add_argument("--compile", action="store_true", help="compile encoder and decoder (for CUDA)")
    sub.add_argument("--devices", type=int, default=1, metavar="N", help="processes that share each batch")
    sub.add_argument("--resume", action="store_true", help="go on from the run folder's last state")
    corpus(sub)
    device(sub)

    sub = add(
        "evaluate", "likelihood of a corpus under one or several models, in bits per frame", other_commands.evaluate
    )
    sub.add_argument(
        "--ckpt",
        required=True,
        action="append",
        help="checkpoint file, run folder or shipped name, or a baseline: uniform, flac; may be given several times",
    )
    sub.add_argument("--corpus", required=True, metavar="PATH", help="folder of the corpus")
    sub.add_argument(
        "--split",
        default=None,
        help="a split of the corpus, or `validation`: the speakers held out when the checkpoint was "
        "trained on this corpus (default: all)",
    )
    sub.add_argument(
        "--iwae", type=int, default=0, metavar="K", help="also the importance-weighted bound with K samples"
    )
    sub.add_argument(
        "--without",
        action="append",
        metavar="LAYER",
        help="also the bound when this layer (as z2) is left to its prior: what inferring it is worth; may be repeated",
    )
    sub.add_argument("--chunk", type=float, default=60, metavar="S", help="longer recordings go in chunks of S seconds")
    sub.add_argument(
        "--out", action="append", metavar="FILE", help="also write the table: .csv, .json or .tex; may be repeated"
    )
    corpus(sub)
    device(sub)

    sub = add(
        "sample", "listen to a model: audio from its prior, or what it makes of a recording", other_commands.sample
    )
    sub.add_argument("--ckpt", required=True, help="checkpoint file, run folder or shipped name")
    sub.add_argument("--out", default="samples", metavar="DIR", help="folder for the WAV files")
    sub.add_argument("--seconds", type=float, default=3.0, help="length of each sample")
    sub.add_argument("--count", type=int, default=4, help="how many samples")
    sub.add_argument("--reconstruct", action="append", metavar="FILE", help="encode and decode this recording instead")
    device(sub)

    sub = add(
        "gaussian-limit",
        "largest log likelihood that Gaussians of a least width can reach",
        other_commands.gaussian_limit,
    )
    sub.add_argument("--frames", type=float, default=49_367.3, help="samples an utterance (TIMIT's test set: 49,367.3)")

    sub = add("convergence", "how many Monte Carlo samples a checkpoint needs", convergence.run)
    convergence.options(sub)
    corpus(sub)
    device(sub)

    sub = add("rate", "what the layers spend their bits on, and how long they remember", rate.run)
    rate.options(sub)
    corpus(sub)
    device(sub)

    sub = add("extract", "turn a corpus into a token table of latents and Mel features", extract.run)
    extract.options(sub)
    corpus(sub)
    device(sub)

    sub = add("figures", "draw what the paper shows from token tables and checkpoints, on one page", figures.run)
    figures.options(sub)
    corpus(sub)
    device(sub)

    sub = add("explore", "see, hear and question the latents in a browser", explore.run)
    explore.options(sub)

    for name, what in probes.COMMANDS.items():
        sub = add(name, what, lambda args: probes.run(args, args.name))
        probes.options(sub, name)
    return top


def _seed(text: str) -> int:
    if not (text.isascii() and text.isdigit() and int(text) < 1 << 63):
        raise argparse.ArgumentTypeError(f"'{text}' is no whole number from 0 to 2^63 - 1")
    return int(text)


def _sizes(text: str) -> tuple[int, ...]:
    try:
        sizes = tuple(int(part) for part in text.split(","))
    except ValueError:
        raise argparse.ArgumentTypeError(f"'{text}' is no list of whole numbers such as 64,512") from None
    if min(sizes) < 1:
        raise argparse.ArgumentTypeError(f"'{text}': sizes are counted from 1")
    return sizes


if __name__ == "__main__":
    sys.exit(main())
