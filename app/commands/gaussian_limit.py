"""`probe gaussian-limit`: the largest log likelihood that Gaussians with a minimum standard deviation can reach."""

from __future__ import annotations

import argparse

from lvm_probe.app.output import Output, in_columns

SUMMARY = "largest log likelihood of Gaussians with a minimum standard deviation"
EXAMPLES = ("probe gaussian-limit --frames 48000",)


def options(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group("data")
    group.add_argument(
        "--frames",
        type=float,
        default=49_367.3,
        help="audio samples per utterance (default: 49367.3, the mean of TIMIT's test set)",
    )


def run(args: argparse.Namespace) -> Output:
    """Equation 13 of Havtorn et al. (2022); for the frames of their table 5 also the values printed there."""
    from lvm_probe.models.likelihood.baselines import PAPER_SAMPLES, TABLE_5, largest_gaussian_likelihood, table_5

    if args.frames == PAPER_SAMPLES:
        results = [vars(row) for row in table_5()]
        rows = [["min std", "nats", "paper"]]
        rows += [[f"{row['min_std']:g}", f"{row['nats']:,.0f}", f"{row['paper_nats']:,}"] for row in results]
    else:
        results = [{"min_std": std, "nats": largest_gaussian_likelihood(std, args.frames)} for std in TABLE_5]
        rows = [["min std", "nats"], *([f"{row['min_std']:g}", f"{row['nats']:,.0f}"] for row in results)]
    lines = [f"Largest log likelihood of {args.frames:,} frames under Gaussians, by minimum standard deviation"]
    lines += in_columns(rows, left=1)
    lines += [f"{row['min_std']:g}: {row['note']}" for row in results if row.get("note")]
    return Output({"frames": args.frames, "results": results}, "\n".join(lines))
