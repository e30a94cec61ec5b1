"""`probe ridge`: numbers by ridge regression, of speakers (height, age) or of tokens (pitch, formants, ...)."""

from __future__ import annotations

import argparse

from lvm_probe.app import question_command
from lvm_probe.app.output import Output

SUMMARY = "R² and error of ridge regression: height, age, pitch, formants, duration, ..."
EXAMPLES = (
    "probe ridge --latents latents/timit",
    "probe ridge --target f0 --latents latents/timit --protocol utterance --protocol speaker",
)


def options(parser: argparse.ArgumentParser) -> None:
    question_command.add_options(parser, "ridge")


def run(args: argparse.Namespace) -> Output:
    return question_command.run(args, "ridge")
