"""`probe similarity`: how alike layers, features, checkpoints and seeds are, by CKA, PWCCA, RSA and shape distance."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from lvm_probe import InputError
from lvm_probe.app.options import names
from lvm_probe.app.output import Output, rows_as_json, runs_bar
from lvm_probe.app.question_command import add_rows, in_options, open_tables
from lvm_probe.app.results_file import answer_file, beside, listed, setting_words
from lvm_probe.models.io.files import write_csv
from lvm_probe.probing.questions.question import Question

SUMMARY = "how alike layers, features, checkpoints and seeds are, by CKA, PWCCA and RSA"
EXAMPLES = (
    "probe similarity --latents latents/timit",
    "probe similarity --latents latents/timit --features z1,z2,mel --measure cka,shape",
)
MEASURE, PERMUTATIONS, TOKENS = ("cka", "pwcca", "rsa"), 20, 400
"""What the options are where they are not given."""
_ROWS = (
    "rows", "speakers", "gender", "phones", "phone_set", "min_count", "keep_closures", "keep_sa", "keep_silence",
)  # fmt: skip


def options(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group("what is compared")
    group.add_argument(
        "--latents",
        action="append",
        metavar="TABLE",
        help="token table; repeatable, for checkpoints, seeds or random weights on the same tokens (default: the "
        "newest under latents/)",
    )
    features = "columns of the tables, z1+z2 joins two (default: each layer, mel and mfcc)"
    group.add_argument("--features", type=names, default=(), metavar="NAME,NAME", help=features)
    measures = "cka, pwcca, rsa, and shape for latents with variances (default: cka,pwcca,rsa)"
    group.add_argument("--measure", type=names, default=MEASURE, metavar="NAME,NAME", help=measures)
    add_rows(parser, lambda field: field in _ROWS)
    settings = parser.add_argument_group("method")
    null = "permutations of the tokens, for the null of independent inputs (shape: 3 at most)"
    settings.add_argument("--permutations", type=int, default=PERMUTATIONS, metavar="N", help=null)
    tokens = "tokens drawn for rsa, whose distances grow with their square"
    settings.add_argument("--tokens", type=int, default=TOKENS, metavar="N", help=tokens)
    output = parser.add_argument_group("output")
    output.add_argument(
        "--out", metavar="CSV", help="file for the results (default: beside the first table, named after the question)"
    )
    output.add_argument("--plot", action="store_true", help="draw the heat maps beside the results")


def run(args: argparse.Namespace) -> Output:
    from lvm_probe.probing.questions.similarity import similarities

    folders, tables, _ = open_tables(args.latents, "none", None)
    rows = {field: getattr(args, field) for field in _ROWS}
    try:
        out = answer_file(args.out, _results_file(folders, args, rows))
        with runs_bar(f"{'+'.join(folder.name for folder in folders)}, similarity") as progress:
            found = similarities(
                tables,
                args.features,
                measures=args.measure,
                rows=rows,
                permutations=args.permutations,
                tokens=args.tokens,
                seed=args.seed,
                progress=progress,
            )
    except InputError as error:
        raise InputError(in_options(str(error))) from None
    write_csv(out, found.frame)
    wrote = [out]
    if args.plot:
        from lvm_probe.figures import similarity, style

        data = similarity.tidy(found)
        wrote += style.save_with_data(similarity.figure(data), data, out.with_name(f"{out.stem}-map"))
    document = {
        "notes": list(found.notes),
        "results": rows_as_json(found.frame),
        "wrote": [str(path) for path in wrote],
    }
    return Output(document, "\n".join([str(found), "", *(f"wrote {path}" for path in wrote)]))


def _results_file(folders: Sequence[Path], args: argparse.Namespace, rows: dict[str, Any]) -> Path:
    """Named after the tables and every option that is not the default."""
    asked = Question(method="lda", features=args.features, permutations=args.permutations, seed=args.seed, **rows)
    measures = "" if args.measure == MEASURE else listed(args.measure, "measures")
    tokens = "" if args.tokens == TOKENS else f"{args.tokens}tokens"
    return beside(folders, "similarity", *setting_words([asked], permutations=PERMUTATIONS), measures, tokens)
