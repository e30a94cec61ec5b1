"""The commands that ask a token table (knn, lda, logistic, mdl, ridge, abx): their options, and how they ask."""

from __future__ import annotations

import argparse
import re
import sys
from collections.abc import Callable, Sequence
from dataclasses import fields, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, get_args

from lvm_probe import InputError
from lvm_probe.app.options import PHONE_SET, PHONES, names
from lvm_probe.app.output import Output, rows_as_json, runs_bar
from lvm_probe.app.results_file import answer_file, results_file
from lvm_probe.models.io.files import write_csv
from lvm_probe.probing.corpora.phones import LabelSet, PhoneSet
from lvm_probe.probing.features.feature import Feature, columns_of
from lvm_probe.probing.questions.question import (
    ABX_PROTOCOLS,
    PROTOCOLS_OF,
    TARGETS_OF,
    Concept,
    Distance,
    Method,
    Normalise,
    Question,
    RowUnit,
    default_protocol,
    uses,
)
from lvm_probe.probing.questions.untrained import SUFFIX, untrained_folder, untrained_table

if TYPE_CHECKING:
    from lvm_probe.probing.features.token_table import TokenTable

PROTOCOLS = {
    "paper": "everything is fitted to all rows, the judged ones included: biased upward, for comparison",
    "nested": "each row is held out by itself; everything is refitted without it",
    "utterance": "whole utterances are held out, within one speaker",
    "speaker": "whole speakers are held out",
    "speaker+prompt": "whole speakers, and what they read is not trained on as read by others",
    "transfer": "of --test: fitted to one table, asked of another",
    "within": "A, B and X are tokens of one speaker",
    "across": "A and B are tokens of one speaker, X is of another",
    "across+prompt": "and X was said in another sentence than A and B",
}
CLASSIFIERS: tuple[Method, ...] = ("knn", "lda", "logistic")
FLAGS = {
    "target": "--target",
    "features": "--features",
    "rows": "--rows",
    "speakers": "--speaker",
    "gender": "--gender",
    "phones": "--phones",
    "phone_set": "--phone-set",
    "min_count": "--min-count",
    "height_edges": "--height-edges",
    "ks": "--k",
    "lda_dims": "--lda-dims",
    "shrinkage": "--shrinkage",
    "distance": "--distance",
    "match_dims": "--match-dims",
    "context": "--context",
    "normalise": "--normalise",
    "erase": "--erase",
    "permutations": "--permutations",
    "control": "--control",
    "orders": "--orders",
    "keep_closures": "--closures",
    "keep_sa": "--sa",
    "keep_silence": "--silence",
    "protocol": "--protocol",
}
"""Options by the field of `Question` that they fill in."""
MAX_RANGE = 10_000
"""Numbers of neighbours in one range of `--k`."""


def add_options(parser: argparse.ArgumentParser, method: Method) -> None:
    """The options of a method: those that fill in a field of `Question` that it uses, and where results go."""

    def add(group: argparse._ArgumentGroup, field: str, **kwargs: Any) -> None:
        if uses(method, field):
            group.add_argument(FLAGS[field], dest=field, **kwargs)

    targets, protocols = TARGETS_OF[method], PROTOCOLS_OF[method]
    question = parser.add_argument_group("question")
    question.add_argument(
        "--latents",
        action="append",
        metavar="TABLE",
        help="token table to ask; repeatable (default: the newest under latents/)",
    )
    if method in CLASSIFIERS:
        question.add_argument(
            "--test",
            metavar="TABLE",
            help="fit to the other table and ask this one, of other speakers or another corpus (protocol transfer)",
        )
    if method != "ridge":
        question.add_argument(
            "--as-seeds",
            action="store_true",
            help="the tables are of one model trained from several seeds: print the spread over trainings too",
        )
    add(question, "target", choices=targets, default=targets[0], metavar="NAME", help=", ".join(targets))
    features = (
        "columns of the table, z1+z2 joins two (default: each layer, the layers joined, these with the lowest layer "
        "pooled by log mean square, and mel)"
    )
    add(question, "features", type=names, default=(), metavar="NAME,NAME", help=features)

    held_out = "\n".join(f"{name:<10} {PROTOCOLS[name]}" for name in protocols)
    parser.add_argument_group("protocols", held_out).add_argument(
        "--protocol",
        dest="protocols",
        choices=protocols,
        action="append",
        metavar="NAME",
        help=f"repeatable (default: {_default_protocols(method)})",
    )

    add_rows(parser, lambda field: uses(method, field))

    settings = parser.add_argument_group("method")
    ks = "numbers of neighbours, as 5, 1-50 or 1,5,10 (default: 1-50, or as many as there are)"
    add(settings, "ks", type=_ranges, metavar="K", help=ks)
    dims = "linear discriminants to keep, 0 for no LDA (default: 5, or as many as there are)"
    add(settings, "lda_dims", type=int, metavar="N", help=dims)
    shrinkage = "of the covariance within classes: ledoit-wolf, none, or a number from 0 to 1; none under paper"
    add(settings, "shrinkage", type=_shrinkage, default="ledoit-wolf", metavar="S", help=shrinkage)
    add(settings, "distance", choices=get_args(Distance), default="cosine", help="between tokens")
    match = "reduce features to N principal components inside the fold; without N, to the size of the smallest feature"
    add(settings, "match_dims", type=int, nargs="?", const=0, metavar="N", help=match)
    context = "ask every feature with its context, of which a table has columns if extracted with --context"
    add(settings, "context", action="store_true", help=context)
    normalise = "centre and scale features over each speaker's or utterance's own rows first"
    add(settings, "normalise", choices=get_args(Normalise), default="none", help=normalise)
    erase = "erase what tells the speaker, the gender or the phoneme from the features, inside the fold (LEACE)"
    add(settings, "erase", choices=get_args(Concept), help=erase)

    orders = "random orders of speakers, utterances or rows that the code length is the mean of"
    add(settings, "orders", type=int, default=3, metavar="N", help=orders)

    baselines = parser.add_argument_group("baselines")
    baselines.add_argument(
        "--untrained",
        metavar="TABLE",
        help=f"token table of the untrained model, or `none` (default: the table named like this one with {SUFFIX}, if "
        "there is one)",
    )
    counts = {"ridge": "100, 10, 20", "logistic": "20, 10, 2", "mdl": "20, 10, 2"}.get(
        method, "100, 10, 5, and 2 if nested"
    )
    null = f"label permutations (default for rows that are speakers, utterances, tokens: {counts})"
    add(baselines, "permutations", type=int, metavar="N", help=null)
    control = "control tasks (Hewitt and Liang 2019), for the selectivity"
    add(baselines, "control", type=int, default=0, metavar="N", help=control)

    output = parser.add_argument_group("output")
    output.add_argument(
        "--out", metavar="CSV", help="file for the results (default: beside the table, named after the question)"
    )
    at_k = ", at k=5" if method == "knn" else ""
    output.add_argument("--by-speaker", action="store_true", help=f"print the results of every speaker too{at_k}")
    if method in CLASSIFIERS:
        output.add_argument("--by-class", action="store_true", help=f"print the recall of every class too{at_k}")
    if method == "knn":
        output.add_argument("--plot", action="store_true", help="draw accuracy over k beside the results")


def add_rows(parser: argparse.ArgumentParser, used: Callable[[str], bool]) -> None:
    """The options that say which rows are asked, for the fields of `Question` that are used."""

    def add(field: str, **kwargs: Any) -> None:
        if used(field):
            rows.add_argument(FLAGS[field], dest=field, **kwargs)

    rows = parser.add_argument_group("rows")
    row = "frame: a row for each frame, of the phone in its middle; for attributes of speakers also token, "
    row += "utterance, speaker (default: tokens; of attributes a speaker under protocol speaker, else an utterance)"
    add("rows", choices=get_args(RowUnit), help=row)
    add("speakers", action="append", default=[], metavar="ID", help="only this speaker; repeatable")
    add("gender", choices=("F", "M"), help="only speakers of this gender")
    phones = f"{PHONES}, sil of timit39 is closures, and silences with --silence keep"
    add("phones", choices=get_args(PhoneSet), help=phones)
    add("phone_set", choices=get_args(LabelSet), help=PHONE_SET)
    count = "drop labels with fewer than N tokens (default: 5 for words, 1 otherwise)"
    add("min_count", type=int, metavar="N", help=count)
    heights = "boundaries of the classes of the target height"
    add("height_edges", type=_heights, default="175,185", metavar="CM,CM", help=heights)
    for field, default, kept in (
        ("keep_closures", "keep", "TIMIT's closures (bcl to tcl)"),
        ("keep_sa", "keep", "TIMIT's two dialect sentences, which all speakers read"),
        ("keep_silence", "drop", "labels that are no phonemes, such as h#, pau and epi"),
    ):
        add(field, type=_keep, default=default, metavar="{keep,drop}", help=kept)


_FIELD = "|".join(FLAGS)
_VALUE = re.compile(rf"(?<![\w/.-])({_FIELD})='?([\w-]+)'?")
_NAME = re.compile(rf"^({_FIELD})(?=(?: is| are|:) )|(?<![\w/.-])(ks|\w+_\w+)(?![\w/.-])")


def in_options(text: str) -> str:
    """A message with the options of the command in place of the fields of `Question`, which Python's users know.

    Example:
        >>> in_options("lda_dims is -1; give 0 or more, or use distance='euclidean', or keep_sa=False")
        '--lda-dims is -1; give 0 or more, or use --distance euclidean, or --sa drop'
    """
    values = {"True": "keep", "False": "drop"}
    text = _VALUE.sub(lambda found: f"{FLAGS[found[1]]} {values.get(found[2], found[2])}", text)
    return _NAME.sub(lambda found: FLAGS.get(found[0], found[0]), text)


def run(args: argparse.Namespace, method: Method) -> Output:
    """Ask every table under every protocol; write results, confusions and recalls."""
    try:
        return _asked(args, method)
    except InputError as error:
        raise InputError(in_options(str(error))) from None


def _asked(args: argparse.Namespace, method: Method) -> Output:
    from lvm_probe.probing.questions.ask import ask
    from lvm_probe.probing.questions.report import as_text, by_class, by_speaker
    from lvm_probe.probing.questions.results import with_adjusted_p
    from lvm_probe.probing.questions.seeds import as_text as seeds_as_text
    from lvm_probe.probing.questions.seeds import check_same_recipe, over_trainings

    test = getattr(args, "test", None)
    if test is not None and args.protocols not in (None, ["transfer"]):
        raise InputError(f"--test {test}: its protocol is transfer, not {', '.join(args.protocols)}; leave that out")
    usual = ["transfer"] if test else ABX_PROTOCOLS if method == "abx" else [default_protocol(args.target)]
    protocols = args.protocols or usual
    values = {field.name: getattr(args, field.name) for field in fields(Question) if hasattr(args, field.name)}
    questions = [Question(**values, method=method, protocol=protocol) for protocol in dict.fromkeys(protocols)]
    folders, tables, untrained = open_tables(args.latents, args.untrained, questions[0].features)
    tests: dict[str, Any] = {}
    if test is not None:
        _, (tests["test"],), (tests["untrained_test"],) = open_tables(
            [test], "none" if args.untrained == "none" else None, questions[0].features
        )
    if as_seeds := getattr(args, "as_seeds", False):
        check_same_recipe(tables)
    out = answer_file(args.out, results_file(folders, questions, test, args.untrained))

    answers = []
    for table, baseline in zip(tables, untrained, strict=True):
        for question in questions:
            with runs_bar(f"{table.name}, {question.protocol}") as progress:
                answers.append(ask(table, question, untrained=baseline, progress=progress, **tests))
    import pandas as pd

    def joined(part: str) -> pd.DataFrame:
        return pd.concat([getattr(answer, part) for answer in answers], ignore_index=True)

    frame = with_adjusted_p(joined("frame"))
    notes = list(dict.fromkeys(in_options(note) for answer in answers for note in answer.notes))
    write_csv(out, frame)
    wrote, texts = [out], [as_text(frame, notes)]
    document: dict[str, Any] = {"notes": notes, "results": rows_as_json(frame) if args.json else []}
    if method in CLASSIFIERS:
        for part in ("recall", "confusion"):
            wrote.append(out.with_name(f"{out.stem}-{part}.csv"))
            write_csv(wrote[-1], joined(part))
        document["recall"] = rows_as_json(joined("recall")) if args.json else []
        texts += [by_class(joined("recall"))] if args.by_class else []
    if method == "mdl":
        wrote.append(out.with_name(f"{out.stem}-curve.csv"))
        write_csv(wrote[-1], joined("curve"))
        document["curve"] = rows_as_json(joined("curve")) if args.json else []
    texts += [by_speaker(frame)] if args.by_speaker else []
    if as_seeds:
        spread = over_trainings(frame)
        document["over_trainings"] = rows_as_json(spread) if args.json else []
        texts.append(seeds_as_text(spread))
    if method == "knn" and args.plot and frame["accuracy"].notna().any():
        from lvm_probe.figures import accuracy_over_k

        wrote += accuracy_over_k.write(frame, out.with_name(f"{out.stem}-over-k"))
    document["wrote"] = [str(path) for path in wrote]
    ks = frame["k"].nunique()
    lines = [f"wrote {path}" + (f" (all {ks} k)" if path == out and ks > 1 else "") for path in wrote]
    return Output(document, "\n".join([*texts, "", *lines]))


def open_tables(
    latents: Sequence[str] | None, untrained: str | None, features: Sequence[str | Feature] | None = ()
) -> tuple[list[Path], list[TokenTable], list[TokenTable | None]]:
    """The token tables named (by default the newest), and the untrained model's table of each, if there is one.

    Of the columns only those that these features (by default the usual ones) consist of are read, or all for None.
    Tables of the same name are renamed to their paths.
    """
    from lvm_probe.probing.features import token_table

    paths = [Path(path) for path in latents or []] or [token_table.newest()]
    folders = list(dict.fromkeys(path if path.name not in ("", "..") else path.resolve() for path in paths))
    columns: list[frozenset[str] | None] = [None] * len(folders)
    if features is not None:
        parts = tuple(map(Feature.parse, features))
        columns = [columns_of(token_table.read_extraction(folder), parts) for folder in folders]
    tables = [token_table.load(folder, only) for folder, only in zip(folders, columns, strict=True)]
    if len({table.name for table in tables}) < len(tables):
        tables = [replace(table, name=str(table.path)) for table in tables]
    if untrained not in (None, "none") and len(tables) > 1:
        raise InputError(f"--untrained {untrained}: belongs to which of the {len(tables)} tables? ask one at a time")
    asked = {folder.absolute() for folder in folders}

    def baseline(table: TokenTable) -> TokenTable | None:
        if untrained == "none" or (untrained is None and untrained_folder(table.path) in asked):
            return None
        return untrained_table(table, untrained or "auto", lambda line: print(f"notice: {line}", file=sys.stderr))

    return folders, tables, [baseline(table) for table in tables]


def _default_protocols(method: Method) -> str:
    """The default for every target, in words."""
    if method == "abx":
        return " and ".join(ABX_PROTOCOLS)
    by_protocol: dict[str, list[str]] = {}
    for target in TARGETS_OF[method]:
        by_protocol.setdefault(default_protocol(target, method), []).append(target)
    if len(by_protocol) == 1:
        return next(iter(by_protocol))
    return "; ".join(f"{protocol} for {', '.join(targets)}" for protocol, targets in by_protocol.items())


def _keep(text: str) -> bool:
    if text not in ("keep", "drop"):
        raise argparse.ArgumentTypeError(f"'{text}': give keep or drop")
    return text == "keep"


def _ranges(text: str) -> tuple[int, ...]:
    """`1-50`, `5` or `1,5,10-20` as numbers in rising order."""
    numbers: set[int] = set()
    for part in text.split(","):
        first, _, last = part.strip().partition("-")
        try:
            span = range(int(first), int(last or first) + 1)
        except ValueError:
            span = range(0)
        if not 0 < len(span) <= MAX_RANGE or span[0] < 1:
            raise argparse.ArgumentTypeError(f"'{text}': give numbers from 1, or ranges, such as 1-50 or 1,5,10")
        numbers |= set(span)
    return tuple(sorted(numbers))


def _heights(text: str) -> tuple[float, ...]:
    try:
        return tuple(float(part) for part in text.split(","))
    except ValueError:
        raise argparse.ArgumentTypeError(f"'{text}' is no list of heights in cm such as 175,185") from None


def _shrinkage(text: str) -> str | float:
    try:
        return float(text)
    except ValueError:
        return text
