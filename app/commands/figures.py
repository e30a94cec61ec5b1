"""`probe figures`: the figures and tables of the paper for your own token tables and checkpoints, on one page."""

from __future__ import annotations

import argparse
import shlex
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, get_args

from lvm_probe import InputError
from lvm_probe.app.options import CKPT, PHONE_SET, PHONES, add_corpus, add_device, open_corpus
from lvm_probe.app.output import Output, check_outside_tables, exclusive_output_folder, print_changed_files
from lvm_probe.app.question_command import open_tables
from lvm_probe.models.checkpoints.shipped_checkpoints import BEST, shipped
from lvm_probe.models.device import pick_device
from lvm_probe.models.io.files import check_writable
from lvm_probe.models.io.provenance import package_versions
from lvm_probe.probing.corpora.phones import LabelSet, PhoneSet
from lvm_probe.probing.progress import bar
from lvm_probe.probing.questions.untrained import SUFFIX

if TYPE_CHECKING:
    from lvm_probe.figures.inputs import FigureInputs, Progress
    from lvm_probe.models.checkpoints.checkpoint import Checkpoint
    from lvm_probe.probing.features.token_table import TokenTable

SUMMARY = "draw the paper's figures and tables for your token tables, on one page"
EXAMPLES = (
    "probe figures --latents latents/timit --out figures",
    "probe figures --latents latents/timit --ckpt cwvae-small --corpus TIMIT --only table-1 --out figures",
)

SECONDS_WORTH_A_LINE = 1

COMMAND_OPTIONS = (
    "latents", "untrained", "ckpt", "corpus", "layout", "phoneme_tier", "word_tier", "speaker_from", "non_speech",
    "speaker", "phones", "phone_set", "fit", "only", "permutations", "seed", "strict", "no_resample",
)  # fmt: skip
"""Options that change the report, which prints the command line that made it."""
DEFAULTS = {"layout": "auto", "fit": "held-out", "seed": 0}


def options(parser: argparse.ArgumentParser) -> None:
    what = parser.add_argument_group("what to draw")
    what.add_argument(
        "--latents",
        action="append",
        metavar="TABLE",
        help="token table to draw; further ones are compared with it (default: the newest under latents/)",
    )
    what.add_argument(
        "--untrained",
        metavar="TABLE",
        help="token table of the untrained model, or `none` (default: the table named like the first with "
        f"{SUFFIX}, if there is one)",
    )
    what.add_argument(
        "--ckpt",
        action="append",
        help=f"{CKPT}: first the one that the table was made with, then others for the tables of likelihoods; "
        "repeatable (default: the table's checkpoint if it is a shipped one)",
    )
    what.add_argument("--only", action="append", metavar="NAME", help="only this figure or table; repeatable")
    what.add_argument("--phones", choices=get_args(PhoneSet), help=PHONES)
    what.add_argument("--phone-set", choices=get_args(LabelSet), help=PHONE_SET)
    what.add_argument("--speaker", metavar="ID", help="for figures of one speaker (default: who has most phonemes)")
    add_corpus(parser, required=False, help="folder of the corpus, for likelihoods and KL (default: none)")
    method = parser.add_argument_group("method")
    method.add_argument(
        "--fit",
        choices=("held-out", "paper"),
        default="held-out",
        help="fit LDA axes on other tokens than are shown, or on the same ones as the paper does",
    )
    method.add_argument(
        "--permutations",
        type=int,
        metavar="N",
        help="label permutations for the nulls (default: 10; 100 with one row per speaker)",
    )
    add_device(method)
    output = parser.add_argument_group("output")
    output.add_argument("--out", required=True, metavar="DIR", help="folder for figures, tables and report.html")
    output.add_argument("--again", action="store_true", help="draw what is up to date too")


@exclusive_output_folder
def run(args: argparse.Namespace) -> Output:
    """Draw what the inputs allow, name what they do not, and put it all on one page."""
    from lvm_probe.figures import collection, registry

    if (args.permutations or 0) < 0:
        raise InputError(f"--permutations {args.permutations}: give 0 (no null) or more")
    wanted, out = registry.chosen(args.only or ()), Path(args.out)
    check_writable(out)
    check_outside_tables(out)
    inputs, notices = _figure_inputs(args)
    corpus = inputs.corpus
    drawn = collection.draw(
        inputs,
        wanted,
        out,
        versions=package_versions(),
        command=lambda only: _command(args, only),
        progress=_progress,
        changed=lambda: print_changed_files(corpus) if corpus is not None else [],
        notices=notices,
        again=args.again,
    )
    document = {
        "wrote": [str(path) for path in drawn.wrote],
        "kept": [str(path) for path in drawn.kept],
        "left_out": [{"figure": piece.name, "reason": piece.reason} for piece in drawn.missing],
        "notices": list(drawn.notices),
        "report": str(drawn.report),
    }
    lines = [f"{', '.join(name for name in wanted if name in drawn.shown) or 'nothing'}: in {out}/"]
    lines += [f"{len(drawn.kept)} files were up to date; --again draws them again"] if drawn.kept else []
    lines += [f"left out {piece.name}: {piece.reason}" for piece in drawn.missing]
    return Output(document, "\n".join([*lines, f"wrote {drawn.report}"]))


def _figure_inputs(args: argparse.Namespace) -> tuple[FigureInputs, list[str]]:
    """The inputs, opened, and notices about what does not fit together."""
    from lvm_probe.figures.inputs import FigureInputs
    from lvm_probe.probing.features import token_table

    named = args.latents or [str(token_table.newest())]
    _, [first], [untrained] = open_tables(named[:1], args.untrained)
    others: list[TokenTable] = []
    if named[1:]:
        _, others, _ = open_tables(named[1:], "none")
    others = [other for other in others if other.path.resolve() != first.path.resolve()]
    if args.speaker and args.speaker not in set(first.tokens["speaker"]):
        known = ", ".join(sorted(set(first.tokens["speaker"])))
        raise InputError(f"{first.path}: no speaker {args.speaker}; it has {known}")
    checkpoints = _checkpoints(args.ckpt, first)
    notices = []
    sha256 = first.extraction.get("checkpoint", {}).get("sha256")
    own = next((loaded for loaded in checkpoints.values() if loaded.sha256 == sha256), None)
    if checkpoints and own is None:
        name, own = next(iter(checkpoints.items()))
        notices.append(
            f"{name} is not the checkpoint that {first.name} was made with: figures drawn from the model and figures "
            "drawn from the table show different models"
        )
    corpus = None
    if args.corpus:
        rate = own.model.config.sample_rate if own else 16_000
        corpus = open_corpus(args, rate)
        made_from = first.extraction.get("corpus", {}).get("fingerprint")
        if made_from and made_from != corpus.fingerprint():
            notices.append(
                f"{corpus.name} ({len(corpus.utterances)} utterances) is not the corpus that {first.name} was made "
                "from: likelihoods and KL are of other recordings than those probed"
            )
    for notice in notices:
        print(f"notice: {notice}", file=sys.stderr)
    device = pick_device(args.device)
    for loaded in checkpoints.values():
        loaded.model.to(device)
    inputs = FigureInputs(
        first,
        untrained=untrained,
        others=tuple(others),
        checkpoint=own,
        checkpoints=checkpoints,
        corpus=corpus,
        speaker=args.speaker,
        phones=args.phones,
        phone_set=args.phone_set,
        fit=args.fit,
        permutations=args.permutations,
        seed=args.seed,
    )
    return inputs, notices


def _checkpoints(names: Sequence[str] | None, first: TokenTable) -> dict[str, Checkpoint]:
    """The checkpoints by short names: those named, or the shipped one that the table was made with, or none."""
    from lvm_probe.figures.report_contents import file_sha256
    from lvm_probe.models.checkpoints import checkpoint

    if not names:
        sha256 = first.extraction.get("checkpoint", {}).get("sha256")
        names = [name for name, _, path in shipped() if file_sha256(path) == sha256]
    loaded = [checkpoint.load(name) for name in dict.fromkeys(names)]
    named: dict[str, Checkpoint] = {}
    for found in loaded:
        folder = found.path.name == BEST
        name = found.path.absolute().parent.name if folder else found.path.stem
        while name in named and named[name].sha256 != found.sha256:
            name += "'"
        named[name] = found
    return named


def _command(args: argparse.Namespace, only: Sequence[str]) -> str:
    """The command line that makes the report in an empty folder, with names in place of absolute paths."""
    words = ["probe", "figures"]
    values = vars(args) | {"only": list(only)}
    for option in COMMAND_OPTIONS:
        value, flag = values[option], f"--{option.replace('_', '-')}"
        if value is None or value is False or value == DEFAULTS.get(option):
            continue
        words += [flag] if value is True else []
        for word in [] if value is True else value if isinstance(value, list) else [value]:
            path = Path(str(word))
            text = path.name if path.is_absolute() else str(word)
            words += [f"{flag}={text}"] if text.startswith("-") else [flag, text]
    return f"{shlex.join(words)} --out DIR"


@contextmanager
def _progress(name: str) -> Iterator[Progress]:
    """The progress of one figure or table, with what is being computed; a line for each where there is no terminal."""
    began = time.monotonic()
    with bar(1, name, unit="") as advance:

        def progress(what: str, share: float = 0.0, /) -> None:
            advance.note = what
            advance(share - advance.done)

        yield progress
    if not sys.stderr.isatty() and (seconds := time.monotonic() - began) >= SECONDS_WORTH_A_LINE:
        print(f"{name}: done in {seconds:.0f} s", file=sys.stderr, flush=True)
