"""`probe knn`, `lda`, `logistic`, `ridge` and `abx`: one question, several tables and protocols, one tidy answer."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lvm_probe.app.output import Output, rows_as_json
from lvm_probe.probing.features.feature import Feature, columns_of
from lvm_probe.probing.progress import bar
from lvm_probe.probing.questions.question import HEIGHT_EDGES, PROTOCOLS_OF, TARGETS_OF, Question, default_protocol
from lvm_probe.probing.questions.untrained import SUFFIX, untrained_folder, untrained_table

if TYPE_CHECKING:
    from lvm_probe.probing.features.token_table import TokenTable

COMMANDS = {
    "knn": "k-nearest-neighbour accuracy of what the latents know",
    "lda": "accuracy of the linear discriminant classifier",
    "logistic": "accuracy of logistic regression, its penalty chosen inside the fold",
    "ridge": "error of ridge regression of the height in centimetres, within gender",
    "abx": "ABX discriminability: is a token nearer to its own kind than to another",
}
MOST_NUMBERS = 10_000
"""Most numbers of neighbours in one range of --k."""

MAX_NAMED_SPEAKERS = 3
"""Speakers that a file's name lists; more are counted."""


def options(sub: argparse.ArgumentParser, method: Any) -> None:
    """The options of one probe."""
    knn, abx, ridge = method == "knn", method == "abx", method == "ridge"
    sub.add_argument(
        "--latents",
        action="append",
        metavar="TABLE",
        help="a token table; may be given several times (default: the newest under latents/)",
    )
    sub.add_argument("--target", choices=TARGETS_OF[method], default=TARGETS_OF[method][0], help="what to predict")
    sub.add_argument(
        "--protocol",
        choices=PROTOCOLS_OF[method],
        action="append",
        default=None,
        help="A, B and X of one speaker, or X of another; may be given twice (default: both)"
        if abx
        else "may be given several times (default: utterance for phonemes and their classes, nested for the target "
        "speaker, speaker for words and attributes of the speaker)",
    )
    if not abx:
        sub.add_argument(
            "--rows",
            choices=("speaker", "utterance", "token"),
            default=None,
            help="for attributes: one row a speaker, an utterance or a token (default: a speaker under `speaker`, "
            "else an utterance)",
        )
    sub.add_argument("--speaker", action="append", metavar="ID", help="only these speakers (default: all)")
    sub.add_argument("--gender", choices=("F", "M"), default=None, help="only speakers of this gender")
    sub.add_argument(
        "--features",
        default=None,
        help="comma-separated; z1+z2 joins two (default: each layer, the layers together, the same with the lowest "
        "pooled by its log mean square, and mel)",
    )
    sub.add_argument(
        "--untrained",
        default=None,
        metavar="TABLE",
        help=f"the untrained model's table (default: the table named like this one with {SUFFIX} if it is there; "
        "`none` for none)",
    )
    if not ridge:
        sub.add_argument(
            "--phones",
            choices=("timit61", "timit48", "timit39"),
            default=None,
            help="fold TIMIT's phone labels (default: as labelled); the class `sil` of timit39 is Lee and Hon's, of "
            "closures and silences: of closures alone, unless --silence keep",
        )
        sub.add_argument(
            "--min-count",
            type=int,
            default=None,
            metavar="N",
            help="drop labels with fewer than N tokens (default: 5 for words, 1 otherwise)",
        )
    sub.add_argument(
        "--closures",
        choices=("keep", "drop"),
        default="keep",
        help="TIMIT's bcl to tcl, each a class of its own; with timit48 they are two, cl and vcl, with timit39 sil",
    )
    sub.add_argument("--sa", choices=("keep", "drop"), default="keep", help="TIMIT's two dialect sentences")
    sub.add_argument("--silence", choices=("keep", "drop"), default="drop", help="h#, pau and epi (and spn)")
    if method in ("knn", "lda", "logistic"):
        sub.add_argument(
            "--height-edges", type=_edges, default=HEIGHT_EDGES, metavar="CM,CM", help="classes of the target height"
        )
        sub.add_argument(
            "--control", type=int, default=0, metavar="N", help="control tasks for the selectivity (Hewitt and Liang)"
        )
    if method in ("knn", "lda"):
        sub.add_argument(
            "--shrinkage",
            type=_shrinkage,
            default="ledoit-wolf",
            help="of the within-class scatter: ledoit-wolf, none, or a number from 0 to 1 (never under `paper`)",
        )
    if abx:
        sub.add_argument("--distance", choices=("cosine", "euclidean"), default="cosine", help="between tokens")
    else:
        sub.add_argument(
            "--match-dims",
            type=int,
            nargs="?",
            const=0,
            default=None,
            metavar="D",
            help="reduce every feature to D principal components inside the fold; without a number, to the "
            "dimensions of the smallest",
        )
        sub.add_argument(
            "--permutations",
            type=int,
            default=None,
            help="label permutations for the null (default: 10; 100 where one row is a speaker; 2 for tokens under "
            "nested and logistic regression)",
        )
    if not ridge:
        sub.add_argument(
            "--normalise",
            choices=("none", "speaker", "utterance"),
            default="none",
            help="centre and scale features over each speaker's (utterance's) own rows first",
        )
    sub.add_argument(
        "--out",
        default=None,
        metavar="CSV",
        help="file for the results (default: beside the table, named after the question)",
    )
    sub.add_argument("--by-speaker", action="store_true", help="print every speaker's accuracy too (k=5)")
    if not abx and not ridge:
        sub.add_argument("--by-class", action="store_true", help="print every class's recall too (k=5)")
    if knn:
        sub.add_argument(
            "--lda-dims",
            type=int,
            default=None,
            help="discriminants kept; 0: no LDA (default: 5, or as many as there are)",
        )
        sub.add_argument(
            "--k", default=None, help="neighbours: a number, a range or a list (default: 1-50, or as many as there are)"
        )
        sub.add_argument("--plot", action="store_true", help="draw accuracy over k beside the CSV")


def run(args: argparse.Namespace, method: Any) -> Output:
    """Ask every table under every protocol; write the rows, the confusions and the recalls."""
    from lvm_probe import InputError
    from lvm_probe.probing.features import token_table
    from lvm_probe.probing.questions.ask import ask
    from lvm_probe.probing.questions.report import as_text, by_class, by_speaker

    usual_protocols = ["within", "across"] if method == "abx" else [default_protocol(args.target)]
    protocols = list(dict.fromkeys(args.protocol or usual_protocols))
    questions = [_question(args, method, protocol) for protocol in protocols]
    folders, tables, twins = opened(args.latents, args.untrained, _features(args))
    out = Path(args.out) if args.out else results_path(folders, method, args.target, protocols, *_choices(args))
    token_table.check_writable(out.parent)
    if out.is_dir():
        raise InputError(f"{out}: a folder; give --out the name of a CSV file")
    if (out.parent / token_table.EXTRACTION).exists():
        raise InputError(f"{out}: inside a token table, where all files are its parts; choose another --out")

    answers = []
    for loaded, twin in zip(tables, twins, strict=True):
        for question in questions:
            with bar(1, f"{loaded.name}, {question.protocol}", unit="run") as done:
                answers.append(ask(loaded, question, untrained=twin, progress=lambda i, n, d=done: d(1 / n)))  # type: ignore[misc]
    import pandas as pd

    frame = pd.concat([answer.frame for answer in answers], ignore_index=True)
    notes = list(dict.fromkeys(note for answer in answers for note in answer.notes))
    if not args.out and out.exists():
        print(f"notice: {out} is replaced; keep several with --out", file=sys.stderr)
    token_table.write_csv(out, frame)
    wrote = [out]
    document: dict[str, Any] = {"notes": notes}
    if args.json:  # thousands of rows
        document["results"] = rows_as_json(frame)
    parts = [as_text(frame, notes)]
    if method in ("knn", "lda", "logistic"):
        recall = pd.concat([answer.recall for answer in answers], ignore_index=True)
        confusion = pd.concat([answer.confusion for answer in answers], ignore_index=True)
        for name, some in (("recall", recall), ("confusion", confusion)):
            wrote.append(out.with_name(f"{out.stem}-{name}.csv"))
            token_table.write_csv(wrote[-1], some)
        if args.json:
            document["recall"] = rows_as_json(recall)
        if args.by_class:
            parts.append(by_class(recall))
    if args.by_speaker:
        parts.append(by_speaker(frame))
    if method == "knn" and args.plot and frame["accuracy"].notna().any():
        from lvm_probe.figures import accuracy_over_k

        wrote += accuracy_over_k.write(frame, out.with_name(f"{out.stem}-over-k"))
    document["wrote"] = [str(path) for path in wrote]
    return Output(document, "\n".join([*parts, *(f"wrote {path}" for path in wrote)]))


def results_path(
    tables: Sequence[Path],
    method: str,
    target: str,
    protocols: Sequence[str],
    speakers: Sequence[str] = (),
    choices: Sequence[str] = (),
) -> Path:
    """Where results go by default: beside the first table, in a file named after the question."""
    names = sorted(set(speakers))
    parts = [
        "+".join(path.name for path in tables),
        method,
        target,
        "+".join(protocols),
        "+".join(names) if len(names) <= MAX_NAMED_SPEAKERS else f"{len(names)}speakers",
        *choices,
    ]
    return tables[0].parent / f"{'-'.join(part for part in parts if part)}.csv"


def opened(
    latents: Sequence[str] | None, untrained: str | None, features: Sequence[Feature] = ()
) -> tuple[list[Path], list[TokenTable], list[TokenTable | None]]:
    """The tables asked for (the newest, if none), by distinct names, and the untrained model's where there is one.

    Of the columns only those that these features (by default the usual ones) are made of.
    """
    from lvm_probe import InputError
    from lvm_probe.probing.features import token_table

    named = [Path(path) for path in latents or []] or [token_table.newest()]
    folders = list(dict.fromkeys(path if path.name not in ("", "..") else path.resolve() for path in named))
    columns = [columns_of(token_table.read_extraction(folder), features) for folder in folders]
    tables = [token_table.load(folder, only) for folder, only in zip(folders, columns, strict=True)]
    if len({loaded.name for loaded in tables}) < len(tables):
        tables = [replace(loaded, name=str(loaded.path)) for loaded in tables]
    if untrained not in (None, "none") and len(tables) > 1:
        raise InputError(f"--untrained {untrained}: of which of the {len(tables)} tables? ask one at a time")

    asked = {folder.absolute() for folder in folders}

    def of(loaded: TokenTable) -> TokenTable | None:
        if untrained == "none" or (untrained is None and untrained_folder(loaded.path) in asked):
            return None
        return untrained_table(loaded, untrained or "auto", lambda line: print(f"notice: {line}", file=sys.stderr))

    return folders, tables, [of(loaded) for loaded in tables]


def _choices(args: argparse.Namespace) -> tuple[list[str], list[str]]:
    """What a file's name tells of the question: the speakers, and what differs from the defaults."""

    def chosen(name: str) -> Any:
        return getattr(args, name, None)

    words = [args.phones] if chosen("phones") else []
    words += [f"{chosen('rows')}-rows"] if chosen("rows") else []
    words += [str(args.gender)] if args.gender else []
    words += [word for word, option, value in (
        ("no-sa", "sa", "drop"), ("no-closures", "closures", "drop"), ("silence", "silence", "keep"),
        ("by-speaker", "normalise", "speaker"), ("by-utterance", "normalise", "utterance"),
        ("euclidean", "distance", "euclidean"),
    ) if chosen(option) == value]  # fmt: skip
    if chosen("match_dims") is not None:
        words.append(f"matched{args.match_dims or ''}")
    return list(args.speaker or ()), words


def _features(args: argparse.Namespace) -> tuple[Feature, ...]:
    return tuple(Feature.parse(name) for name in (args.features or "").split(",") if name.strip())


def _question(args: argparse.Namespace, method: Any, protocol: Any) -> Question:
    def given(name: str, otherwise: Any = None) -> Any:
        return getattr(args, name, otherwise)

    return Question(
        target=args.target,
        protocol=protocol,
        rows=given("rows"),
        speakers=tuple(args.speaker or ()),
        gender=args.gender,
        phones=given("phones"),
        keep_sa=args.sa == "keep",
        keep_silence=args.silence == "keep",
        keep_closures=args.closures == "keep",
        min_count=given("min_count"),
        height_edges=given("height_edges", HEIGHT_EDGES),
        method=method,
        features=_features(args),
        lda_dims=given("lda_dims"),
        ks=_numbers(args.k) if given("k") else None,
        shrinkage=given("shrinkage", "ledoit-wolf"),
        match_dims=given("match_dims"),
        normalise=given("normalise", "none"),
        distance=given("distance", "cosine"),
        permutations=given("permutations"),
        control=given("control", 0),
        seed=args.seed,
    )


def _numbers(text: str) -> tuple[int, ...]:
    """`1-50`, `5` or `1,5,10-20` as numbers in rising order."""
    from lvm_probe import InputError

    numbers: set[int] = set()
    for part in text.split(","):
        first, _, last = part.strip().partition("-")
        try:
            span = range(int(first), int(last or first) + 1)
            if not 0 < len(span) <= MOST_NUMBERS:
                raise ValueError
            numbers |= set(span)
        except ValueError:
            raise InputError(f"--k {text}: give a number, a range or a list, such as 1-50 or 1,5,10") from None
    if not numbers or min(numbers) < 1:
        raise InputError(f"--k {text}: neighbours are counted from 1")
    return tuple(sorted(numbers))


def _edges(text: str) -> tuple[float, ...]:
    try:
        edges = tuple(float(part) for part in text.split(","))
    except ValueError:
        raise argparse.ArgumentTypeError(f"'{text}' is no list of heights in cm such as 175,185") from None
    if not all(50 < edge < 300 for edge in edges) or len(set(edges)) < len(edges):
        raise argparse.ArgumentTypeError(f"'{text}': give different heights in cm, such as 175,185")
    return edges


def _shrinkage(text: str) -> str | float:
    if text in ("ledoit-wolf", "none"):
        return text
    try:
        value = float(text)
    except ValueError:
        raise argparse.ArgumentTypeError(f"'{text}' is none of ledoit-wolf, none, or a number from 0 to 1") from None
    if not 0 <= value <= 1:
        raise argparse.ArgumentTypeError(f"{value} does not lie between 0 and 1")
    return value
