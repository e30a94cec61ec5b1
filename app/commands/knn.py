"""`probe knn`: accuracy of k nearest neighbours among linear discriminants."""

from __future__ import annotations

import argparse

from lvm_probe.app import question_command
from lvm_probe.app.output import Output

SUMMARY = "accuracy of k nearest neighbours among linear discriminants"
EXAMPLES = (
    "probe knn --latents latents/timit --target phoneme --features z1+z2,mel",
    "probe knn --latents latents/timit --protocol paper --protocol utterance --k 1-20 --plot",
)


def options(parser: argparse.ArgumentParser) -> None:
    question_command.add_options(parser, "knn")


def run(args: argparse.Namespace) -> Output:
    return question_command.run(args, "knn")
