"""`probe compare`: one target by every method and protocol at once, as differences to Mel, MFCC and random weights."""

from __future__ import annotations

import argparse
from dataclasses import replace
from pathlib import Path
from typing import Any

from lvm_probe import InputError
from lvm_probe.app.options import names
from lvm_probe.app.output import Output, rows_as_json, runs_bar
from lvm_probe.app.question_command import add_rows, in_options, open_tables
from lvm_probe.app.results_file import answer_file, results_file
from lvm_probe.models.io.files import write_csv
from lvm_probe.probing.questions.probe import METHOD_NAMES
from lvm_probe.probing.questions.question import ROWS, TARGETS, Question
from lvm_probe.probing.questions.untrained import SUFFIX

SUMMARY = "the first question: is a feature better than Mel, by every method at once"
EXAMPLES = (
    "probe compare --latents latents/timit --target phoneme",
    "probe compare --latents latents/timit --target phoneme,word --plan plan.toml",
)


def options(parser: argparse.ArgumentParser) -> None:
    question = parser.add_argument_group("question")
    question.add_argument("--latents", metavar="TABLE", help="token table to ask (default: the newest under latents/)")
    question.add_argument("--target", type=names, metavar="NAME,NAME", help=f"{', '.join(TARGETS)} (default: phoneme)")
    features = "columns of the table, z1+z2 joins two; mel and mfcc are asked too where the table has them (default: "
    features += "each layer, the layers joined, and these with the lowest layer pooled by log mean square)"
    question.add_argument("--features", type=names, default=(), metavar="NAME,NAME", help=features)
    methods = f"{', '.join(METHOD_NAMES)} (default: knn, lda and abx; ridge for numbers; logistic is slow)"
    question.add_argument("--method", type=names, default=(), metavar="NAME,NAME", help=methods)
    protocols = "see `probe knn` and `probe abx` (default for tokens: utterance and within, speaker and across; for "
    protocols += "words within, speaker+prompt and across+prompt; for attributes of speakers speaker)"
    question.add_argument("--protocol", type=names, default=(), metavar="NAME,NAME", help=protocols)
    question.add_argument(
        "--plan",
        metavar="FILE",
        help="what is asked, in TOML: a new file is written before anything is computed; an existing one is asked, and "
        "what other options add to it is marked as outside the plan",
    )

    add_rows(parser, lambda field: field in ROWS)

    settings = parser.add_argument_group("method")
    settings.add_argument("--k", type=int, metavar="K", help="nearest neighbours (default: 5)")
    dims = "linear discriminants for nearest neighbours, 0 for no LDA (default: 5, or as many as there are)"
    context = "ask every feature with its context, of which a table has columns if extracted with --context"
    settings.add_argument("--context", action="store_true", help=context)
    settings.add_argument("--lda-dims", type=int, metavar="N", help=dims)
    settings.add_argument(
        "--untrained",
        metavar="TABLE",
        help=f"token table of the untrained model, or `none` (default: the table named like this one with {SUFFIX}, if "
        "there is one)",
    )

    output = parser.add_argument_group("output")
    output.add_argument(
        "--out", metavar="CSV", help="file for the differences (default: beside the table, named after the question)"
    )


def run(args: argparse.Namespace) -> Output:
    """Ask; write the differences, and before them a new plan."""
    try:
        return _compared(args)
    except InputError as error:
        raise InputError(in_options(str(error))) from None


def _compared(args: argparse.Namespace) -> Output:
    from lvm_probe.probing.features import token_table
    from lvm_probe.probing.questions.compare import compare
    from lvm_probe.probing.questions.plan import check_fits, features_to_compare, make_plan, read_plan

    file = Path(args.plan) if args.plan else None
    written = read_plan(file) if file is not None and file.exists() else None
    folder = Path(args.latents) if args.latents else token_table.newest()
    extraction = token_table.read_extraction(folder)
    named = (*(written.features if written else ()), *args.features)
    (folder,), (table,), (untrained,) = open_tables(
        [str(folder)], args.untrained, features_to_compare(named, extraction, extraction["features"])
    )
    if file is not None and written is not None:
        check_fits(written, file, table, untrained=untrained is not None)
    asked = make_plan(
        table,
        args.target or (),
        features=args.features,
        methods=args.method,
        protocols=args.protocol,
        k=args.k,
        lda_dims=args.lda_dims,
        seed=args.seed or None,
        rows=_rows(args),
        untrained=untrained is not None,
        beyond=written,
    )
    settings = replace(asked, beyond=None).questions
    out = answer_file(args.out, results_file([folder], settings, untrained=args.untrained))
    with runs_bar(f"{table.name}, compare") as progress:
        comparison = compare(table, asked, untrained=untrained, file=file, progress=progress)
    comparison = replace(comparison, notes=tuple(map(in_options, comparison.notes)))
    write_csv(out, comparison.frame)
    document: dict[str, Any] = {
        "plan": comparison.planned,
        "sentences": comparison.sentences,
        "notes": list(comparison.notes),
        "results": rows_as_json(comparison.frame) if args.json else [],
        "wrote": [str(out)],
    }
    return Output(document, f"{comparison}\n\nwrote {out}")


def _rows(args: argparse.Namespace) -> dict[str, Any]:
    """The options of the rows that are not left at their default."""
    defaults = {name: Question.__dataclass_fields__[name].default for name in ROWS}
    given = {name: getattr(args, name) for name in ROWS}
    given["speakers"] = tuple(given["speakers"])
    return {name: value for name, value in given.items() if value != defaults[name]}
