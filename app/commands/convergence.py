"""`probe convergence`: how many Monte Carlo draws a checkpoint needs."""

from __future__ import annotations

import argparse
import time
from typing import TYPE_CHECKING

from lvm_probe import InputError
from lvm_probe.app.options import CKPT, add_corpus, add_device, add_part, open_corpus, read_recordings, whole_numbers
from lvm_probe.app.output import Output, csv_file, in_columns, plural, rows_as_json, runs_bar
from lvm_probe.models.device import pick_device
from lvm_probe.models.io.files import write_csv
from lvm_probe.probing.progress import bar

if TYPE_CHECKING:
    import pandas as pd

    from lvm_probe.probing.diagnostics.convergence import Convergence

SUMMARY = "error and accuracy of token means over the number of Monte Carlo draws"
EXAMPLES = ("probe convergence --ckpt cwvae-small --corpus TIMIT --utterances 10 --samples 1,4,16 --reference 32",)
ESTIMATORS = ("sample", "posterior-mean")


def options(parser: argparse.ArgumentParser) -> None:
    model = parser.add_argument_group("model")
    model.add_argument("--ckpt", required=True, help=CKPT)
    add_device(model)
    corpus = add_corpus(parser, help="folder of a corpus with aligned phones")
    add_part(corpus)
    corpus.add_argument(
        "--utterances",
        type=int,
        default=20,
        metavar="N",
        help="about N utterances: whole speakers, in random order, as long as they fit",
    )
    draws = parser.add_argument_group("Monte Carlo draws")
    draws.add_argument(
        "--samples", type=whole_numbers, default="1,2,5,10,20,50,100", metavar="N,N", help="numbers of draws to compare"
    )
    draws.add_argument(
        "--reference",
        type=int,
        default=200,
        metavar="N",
        help="further draws, whose mean posterior means stand for the true values",
    )
    output = parser.add_argument_group("output")
    output.add_argument("--out", metavar="CSV", help="write the rows to this file (default: write no file)")


def run(args: argparse.Namespace) -> Output:
    """Measure error, accuracy and cost for every number of draws."""
    from lvm_probe.models.checkpoints import checkpoint
    from lvm_probe.probing.diagnostics import convergence
    from lvm_probe.probing.features.posterior_sampler import require_latents

    out = csv_file(args.out) if args.out else None
    if args.reference < 2:
        raise InputError(f"--reference {args.reference}: give 2 or more, well above the numbers in --samples")
    loaded = checkpoint.load(args.ckpt)
    require_latents(loaded.model, str(args.ckpt))
    model = loaded.model.to(pick_device(args.device)).eval()
    corpus = open_corpus(args, model.config.sample_rate).select(split=args.split, speakers=args.speaker)
    reading = read_recordings(
        convergence.choose_utterances(corpus, args.utterances, args.seed), model.config.sample_rate, args
    )
    began = time.monotonic()
    with (
        bar(reading.corpus.seconds, "draws") as advance,
        runs_bar("probe", delay=1) as advance_probe,
    ):
        result = convergence.measure(
            model,
            reading.corpus,
            reading.recordings,
            draws=sorted(set(args.samples)),
            reference=args.reference,
            seed=args.seed,
            progress=advance,
            probe_progress=advance_probe,
        )
    seconds = time.monotonic() - began
    if out is not None:
        write_csv(out, result.rows)
    document = {
        "results": rows_as_json(result.rows),
        "checkpoint": str(loaded.path),
        "reference": args.reference,
        "seed": args.seed,
        "tokens": result.tokens,
        "utterances": result.utterances,
        "speakers": [speaker.id for speaker in reading.corpus.speakers],
        "audio_seconds": result.seconds,
        "timed_seconds": result.timed_seconds,
        "wall_seconds": seconds,
        "k": convergence.K,
        "left_out": list(reading.left_out),
        "wrote": [str(out)] if out else [],
    }
    heading = (
        f"{args.ckpt}: Monte Carlo error of the means of {plural(result.tokens, 'phoneme')} "
        f"({plural(result.utterances, 'utterance')}, {plural(result.speakers, 'speaker')}, {result.seconds:.0f} s) and "
        f"accuracy of k={convergence.K} nearest neighbours under protocol nested; took {seconds:.0f} s"
    )
    return Output(document, "\n".join([heading, "", as_text(result), *([f"wrote {out}"] if out else [])]))


def as_text(result: Convergence) -> str:
    """For each layer a table with both estimators, then a summary."""
    lines: list[str] = []
    for layer, rows in result.rows.groupby("layer", sort=False):
        lines += [str(layer), *_table(rows), ""]
    for layer, rows in result.rows.groupby("layer", sort=False):
        lines += _sentences(str(layer), rows)
    reference = result.rows[result.rows["estimator"] == "reference"].iloc[0]
    over = f"over {reference['interval']}" if reference["interval"] != "none" else "too few speakers for any"
    lines.append(
        "Error: rms over tokens and dimensions in per cent of the tokens' spread, against the posterior means of "
        f"{reference['samples']} other draws, whose own error is subtracted. Predicted: the error that the Monte Carlo "
        f"variances predict. Accuracy in per cent; intervals: {over}. Cost: "
        f"seconds of computing per second of audio, for one utterance of {result.timed_seconds:.1f} s."
    )
    return "\n".join(lines)


def _table(rows: pd.DataFrame) -> list[str]:
    by = {name: some.set_index("samples") for name, some in rows.groupby("estimator")}
    table = [["draws", *["error", "predicted", "accuracy", "95 %"] * len(ESTIMATORS), "cost"]]
    for n in by["sample"].index:
        cells = [cell for estimator in ESTIMATORS for cell in _cells(by[estimator].loc[n])]
        table.append([f"{n:,}", *cells, f"{by['sample'].loc[n, 'seconds_per_second']:.2f}"])
    n, reference = f"{by['reference'].index[0]:,} (reference)", by["reference"].iloc[0]
    table.append([n, "", "", "", "", *_cells(reference), f"{reference['seconds_per_second']:.2f}"])
    widths = [max(map(len, column)) for column in zip(*table, strict=True)]
    width = sum(widths[1:5]) + 2 * 3
    headings = " " * (widths[0] + 2) + "  ".join(f"{estimator:-^{width}}" for estimator in ESTIMATORS)
    return [headings, *in_columns(table)]


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
    enough = means[means["error"] <= most["error"]]
    claim = (
        f"{layer}: averaging {plural(most['samples'], 'draw')} of the latents leaves an error of "
        f"{_percent(most['error'])} % of the tokens' spread"
    )
    if enough.empty:
        sentences = [f"{claim}; averaging posterior means leaves more at every number of draws tried."]
    else:
        first = enough.iloc[0]
        sentences = [
            f"{claim}; averaging posterior means reaches that with {plural(first['samples'], 'draw')} "
            f"({_percent(first['error'])} %)."
        ]
    known = rows[(rows["predicted_error"] > 0) & (rows["error"] > 0)]
    ratios = known["predicted_error"] / known["error"]
    if len(ratios):
        sentences.append(
            f"{layer}: the error predicted from the Monte Carlo variances is {ratios.min():.2f} to {ratios.max():.2f} "
            "times the measured error."
        )
    return sentences


def _percent(value: float) -> str:
    return "" if value != value else f"{100 * value:.2f}"
