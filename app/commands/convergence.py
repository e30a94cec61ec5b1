"""`probe convergence`: how many Monte Carlo samples the checkpoint at hand needs."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from lvm_probe.app.output import Answer, bar, open_corpus, pick_device, read_recordings, rows_as_json

if TYPE_CHECKING:
    import pandas as pd

    from lvm_probe.probing.diagnostics.convergence import Convergence

ESTIMATORS = ("sample", "posterior-mean")


def options(sub: argparse.ArgumentParser) -> None:
    """The command's own options."""
    sub.add_argument("--ckpt", required=True, help="checkpoint file, run folder or shipped name")
    sub.add_argument("--corpus", required=True, metavar="PATH", help="folder of a corpus with aligned phones")
    sub.add_argument("--split", default=None, help="only this split of the corpus")
    sub.add_argument("--speaker", action="append", metavar="ID", help="only these speakers (default: all)")
    sub.add_argument(
        "--utterances",
        type=int,
        default=20,
        help="about how many: whole speakers, in an order drawn with the seed, while they fit",
    )
    sub.add_argument(
        "--samples", type=_counts, default="1,2,5,10,20,50,100", metavar="N,N", help="numbers of samples to look at"
    )
    sub.add_argument(
        "--reference", type=int, default=200, help="further paths whose posterior means are what the others should find"
    )
    sub.add_argument("--out", default=None, metavar="CSV", help="also write the rows to this file")


def run(args: argparse.Namespace) -> Answer:
    """Measure, write the rows where asked, and say what they show."""
    import time

    from lvm_probe import InputError
    from lvm_probe.models.checkpoints import checkpoint
    from lvm_probe.probing.diagnostics import convergence
    from lvm_probe.probing.features.path_blocks import check_latents
    from lvm_probe.probing.features.token_table import check_writable, write_csv

    out = Path(args.out) if args.out else None
    if out is not None:
        check_writable(out.parent)
        if out.is_dir():
            raise InputError(f"{out}: a folder; give --out the name of a CSV file")
    if args.reference < 2:
        raise InputError(f"--reference {args.reference}: give 2 paths or more, well above the numbers of samples")
    loaded = checkpoint.load(args.ckpt)
    check_latents(loaded.model, str(args.ckpt))
    model = loaded.model.to(pick_device(args.device)).eval()
    corpus = open_corpus(args, model.config.sample_rate)
    if args.split or args.speaker:
        corpus = corpus.select(split=args.split, speakers=args.speaker)
    corpus = convergence.choose(corpus, args.utterances, args.seed)
    read = read_recordings(corpus, model.config.sample_rate, args)
    began = time.monotonic()
    with bar(read.corpus.seconds, "paths") as done, bar(1, "probe", unit="run", delay=1) as asked:
        found = convergence.converge(
            model,
            read.corpus,
            read.recordings,
            samples=args.samples,
            reference=args.reference,
            seed=args.seed,
            progress=done,
            asking=lambda i, n: asked(1 / n),
        )
    wall = time.monotonic() - began
    if out is not None:
        write_csv(out, found.rows)
    document = {
        "results": rows_as_json(found.rows),
        "checkpoint": str(loaded.path),
        "reference": args.reference,
        "seed": args.seed,
        "tokens": found.tokens,
        "utterances": found.utterances,
        "speakers": [speaker.id for speaker in read.corpus.speakers],
        "audio_seconds": found.seconds,
        "timed_seconds": found.timed_seconds,
        "wall_seconds": wall,
        "k": convergence.K,
        "left_out": list(read.left_out),
        "wrote": [str(out)] if out else [],
    }
    of = f"{_plural(found.utterances, 'utterance')}, {_plural(found.speakers, 'speaker')}, {found.seconds:.0f} s"
    heading = (
        f"{args.ckpt}: Monte Carlo error of the means of {found.tokens:,} phonemes ({of}), and accuracy of "
        f"k={convergence.K} nearest neighbours under `nested`; in {wall:.0f} s"
    )
    return Answer(document, "\n".join([heading, "", as_text(found), *([f"wrote {out}"] if out else [])]))


def as_text(found: Convergence) -> str:
    """A block a layer, both estimators side by side, and what they say."""
    lines: list[str] = []
    for layer, rows in found.rows.groupby("layer", sort=False):
        lines += [str(layer), *_block(rows), ""]
    for layer, rows in found.rows.groupby("layer", sort=False):
        lines += _sentences(str(layer), rows)
    from lvm_probe.probing.questions.report import MIN_SPEAKERS_FOR_TEST

    reference = found.rows[found.rows["estimator"] == "reference"].iloc[0]
    few = ", too few to speak for others" if 1 < found.speakers < MIN_SPEAKERS_FOR_TEST else ""
    lines.append(
        f"Error: rms over tokens and dimensions, over the tokens' own spread, in per cent; against the posterior means "
        f"of {reference['samples']} other paths, whose own error is taken off. By variance: what the Monte Carlo "
        f"variances predict. Accuracy in per cent; intervals: bootstrap over {reference['interval']}{few}. Seconds of "
        f"computing for each of audio were taken on one utterance of {found.timed_seconds:.1f} s."
    )
    return "\n".join(lines)


def _block(rows: pd.DataFrame) -> list[str]:
    single = ["error", "by variance", "accuracy", "95 %"]
    header = ["paths", *single, *single, "s per s"]
    body = []
    by = {name: some.set_index("samples") for name, some in rows.groupby("estimator")}
    for n in by["sample"].index:
        cells = [f"{n:,}"]
        for estimator in ESTIMATORS:
            cells += _cells(by[estimator].loc[n])
        body.append([*cells, f"{by['sample'].loc[n, 'seconds_per_second']:.2f}"])
    last = by["reference"].iloc[0]
    n = f"ref {by['reference'].index[0]:,}"
    body.append([n, "", "", "", "", *_cells(last), f"{last['seconds_per_second']:.2f}"])
    widths = [max(len(row[i]) for row in [header, *body]) for i in range(len(header))]
    group = sum(widths[1:5]) + 2 * 3
    over = " " * (widths[0] + 2) + "  ".join(f"{estimator:-^{group}}" for estimator in ESTIMATORS)
    return [
        over,
        *("  ".join(c.rjust(w) for c, w in zip(row, widths, strict=True)).rstrip() for row in [header, *body]),
    ]


def _cells(row: pd.Series) -> list[str]:
    return [
        _percent(row["error"]),
        _percent(row["predicted_error"]),
        f"{100 * row['accuracy']:.1f}",
        "" if row["ci_low"] != row["ci_low"] else f"{100 * row['ci_low']:.1f}-{100 * row['ci_high']:.1f}",
    ]


def _sentences(layer: str, rows: pd.DataFrame) -> list[str]:
    samples, means = (rows[rows["estimator"] == estimator] for estimator in ESTIMATORS)
    most = samples.iloc[-1]
    few = means[means["error"] <= most["error"]]
    counted = _plural(most["samples"], "sample")
    where = f"{layer}: averaging {counted} leaves an error of {_percent(most['error'])} % of the tokens' spread"
    if few.empty:
        said = [f"{where}; averaging posterior means leaves more at every number of paths looked at."]
    else:
        first = few.iloc[0]
        said = [
            f"{where}; averaging posterior means needs no more than {_plural(first['samples'], 'path')} for that "
            f"({_percent(first['error'])} %)."
        ]
    known = rows[(rows["predicted_error"] > 0) & (rows["error"] > 0)]
    ratios = known["predicted_error"] / known["error"]
    if len(ratios):
        said.append(
            f"{layer}: the error that the Monte Carlo variances predict is {ratios.min():.2f} to {ratios.max():.2f} "
            "times the error found."
        )
    return said


def _plural(count: int, noun: str) -> str:
    return f"{count:,} {noun}{'' if count == 1 else 's'}"


def _percent(value: float) -> str:
    return "" if value != value else f"{100 * value:.2f}"


def _counts(text: str) -> Sequence[int]:
    try:
        counts = [int(part) for part in text.split(",")]
    except ValueError:
        raise argparse.ArgumentTypeError(f"'{text}' is no list of whole numbers such as 1,10,100") from None
    if min(counts) < 1:
        raise argparse.ArgumentTypeError(f"'{text}': samples are counted from 1")
    return sorted(set(counts))
