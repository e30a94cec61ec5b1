"""`probe boundaries`: what features know of a phone before, at and after its onset and offset."""

from __future__ import annotations

import argparse
from typing import Any, get_args

from lvm_probe import InputError
from lvm_probe.app.options import milliseconds, names
from lvm_probe.app.output import Output, rows_as_json, runs_bar
from lvm_probe.app.question_command import in_options, open_tables
from lvm_probe.app.results_file import answer_file, beside, setting_words
from lvm_probe.models.io.files import write_csv
from lvm_probe.probing.corpora.phones import PhoneSet
from lvm_probe.probing.questions.question import PHONEME_TARGETS, Question

SUMMARY = "accuracy over the offset from the boundaries of phones, from single frames"
EXAMPLES = ("probe boundaries --target manner --latents latents/timit",)


def options(parser: argparse.ArgumentParser) -> None:
    question = parser.add_argument_group("question")
    question.add_argument(
        "--latents",
        metavar="TABLE",
        help="token table with phonemes and frames, from `probe extract --units phoneme,frame` (default: the newest)",
    )
    targets = ", ".join(PHONEME_TARGETS)
    question.add_argument("--target", choices=PHONEME_TARGETS, default="phoneme", metavar="NAME", help=targets)
    question.add_argument("--phones", choices=get_args(PhoneSet), help="fold TIMIT's or ARPAbet labels to this set")
    features = "columns of the table (default: each layer, the layers joined, and mel)"
    question.add_argument("--features", type=names, default=(), metavar="NAME,NAME", help=features)
    question.add_argument("--method", choices=("lda", "logistic"), default="lda", help="of the probes")
    protocol = "whole utterances held out, within one speaker, or whole speakers"
    question.add_argument("--protocol", choices=("utterance", "speaker"), default="speaker", help=protocol)
    question.add_argument(
        "--reach", type=milliseconds, default=60.0, metavar="TIME", help="how far from the boundaries (default: 60ms)"
    )
    question.add_argument("--permutations", type=int, default=1, metavar="N", help="of the labels, for the null")
    output = parser.add_argument_group("output")
    output.add_argument(
        "--out", metavar="CSV", help="file for the results (default: beside the table, named after the question)"
    )
    output.add_argument("--plot", action="store_true", help="draw the accuracies beside the results")


def run(args: argparse.Namespace) -> Output:
    """Ask every offset; write the results."""
    from lvm_probe.probing.questions.boundaries import REACH_MS, around_boundaries

    try:
        question = Question(
            args.target, args.method, args.protocol, phones=args.phones, features=args.features,
            permutations=args.permutations, seed=args.seed,
        )  # fmt: skip
        latents = None if args.latents is None else [args.latents]
        (folder,), (table,), _ = open_tables(latents, "none", question.features)
        asked = (args.method, args.target, args.protocol, *setting_words([question], permutations=1))
        reach = "" if args.reach == REACH_MS else f"{args.reach:g}ms"
        out = answer_file(args.out, beside([folder], "boundaries", *asked, reach))
        with runs_bar(f"{table.name}, boundaries") as progress:
            found = around_boundaries(table, question, reach_ms=args.reach, progress=progress)
    except InputError as error:
        raise InputError(in_options(str(error))) from None
    write_csv(out, found.frame)
    wrote = [out]
    if args.plot:
        from lvm_probe.figures import boundaries, style

        data = boundaries.tidy(found)
        wrote += style.save_with_data(boundaries.figure(data), data, out.with_name(f"{out.stem}-plot"))
    document: dict[str, Any] = {"notes": list(found.notes), "wrote": [str(path) for path in wrote]}
    document["results"] = rows_as_json(found.frame) if args.json else []
    return Output(document, "\n".join([repr(found), "", *(f"wrote {path}" for path in wrote)]))
