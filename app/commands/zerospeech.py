"""`probe zerospeech`: ABX over frames, as the ZeroSpeech challenges and fastabx do it."""

from __future__ import annotations

import argparse
from fractions import Fraction
from pathlib import Path

from lvm_probe.app.options import names
from lvm_probe.app.output import Output, rows_as_json, runs_bar
from lvm_probe.app.results_file import answer_file, csv_name, listed
from lvm_probe.models.io.files import write_csv

SUMMARY = "ABX over frames with warping in time, as ZeroSpeech and fastabx do it"
EXAMPLES = ("probe zerospeech --frames frames/timit --speakers within --context any --max-tokens 5",)
SPEAKERS, CONTEXT = ("within", "across"), ("within",)
"""What is compared where the options are not given."""


def options(parser: argparse.ArgumentParser) -> None:
    what = parser.add_argument_group("what to compare")
    what.add_argument(
        "--frames", required=True, metavar="DIR", help="what `probe export --frames` writes, or folders of FILE.npy"
    )
    what.add_argument(
        "--layer", type=names, action="extend", metavar="NAME,NAME", help="folders in --frames (default: all)"
    )
    what.add_argument(
        "--frequency",
        type=_frequency,
        metavar="HZ",
        help="frames per second, such as 50 or 16000/512 (default: what frames.json says)",
    )
    what.add_argument(
        "--unit",
        choices=("phoneme", "triphone"),
        default="phoneme",
        help="whose item file in --frames lists the tokens",
    )
    what.add_argument("--item", metavar="FILE", help="another item file (default: that of --unit)")
    task = parser.add_argument_group("task")
    task.add_argument("--speakers", type=names, default=SPEAKERS, metavar="HOW", help="within, across (default: both)")
    task.add_argument(
        "--context",
        type=names,
        default=CONTEXT,
        metavar="HOW",
        help="within: A, B and X have the same neighbours; any (default: within)",
    )
    task.add_argument(
        "--max-tokens",
        type=int,
        metavar="N",
        help="at most N tokens of a phone, speaker and context, drawn at random; for --context any (default: all)",
    )
    output = parser.add_argument_group("output")
    output.add_argument("--out", metavar="FILE", help="CSV of the scores (default: in --frames, named by the options)")
    output.add_argument("--plot", action="store_true", help="draw the scores beside them")


def run(args: argparse.Namespace) -> Output:
    """The error rate of every layer and task."""
    from lvm_probe.probing.questions import zerospeech

    folder = Path(args.frames)
    out = answer_file(args.out, folder / _results_file(args))
    with runs_bar("zerospeech") as progress:
        found = zerospeech.scores(
            folder,
            layers=args.layer or (),
            frequency=args.frequency,
            unit=args.unit,
            item=Path(args.item) if args.item else None,
            speakers=args.speakers,
            context=args.context,
            max_tokens=args.max_tokens,
            seed=args.seed,
            progress=progress,
        )
    write_csv(out, found.frame)
    wrote = [out]
    if args.plot:
        from lvm_probe.figures import style
        from lvm_probe.figures import zerospeech as picture

        wrote += style.save_with_data(picture.figure(found.frame), found.frame, out.with_name(f"{out.stem}-plot"))
    document = {"results": rows_as_json(found.frame), "wrote": [str(path) for path in wrote]}
    return Output(document, "\n".join([repr(found), "", *(f"wrote {path}" for path in wrote)]))


def _results_file(args: argparse.Namespace) -> str:
    """Named after every option that is not the default."""
    return csv_name(
        "zerospeech",
        listed(args.layer, "layers") if args.layer else "",
        "" if args.unit == "phoneme" else args.unit,
        listed([Path(args.item).stem], "item") if args.item else "",
        f"{float(args.frequency):g}hz" if args.frequency else "",
        "" if args.speakers == SPEAKERS else listed(args.speakers, "ways"),
        "" if args.context == CONTEXT else listed(args.context, "contexts"),
        f"{args.max_tokens}tokens" if args.max_tokens is not None else "",
        f"seed{args.seed}" if args.seed else "",
    )


def _frequency(text: str) -> Fraction:
    try:
        value = Fraction(text)
    except (ValueError, ZeroDivisionError):
        value = Fraction(0)
    if value <= 0:
        raise argparse.ArgumentTypeError(f"'{text}': give frames per second, such as 50 or 16000/512")
    return value
