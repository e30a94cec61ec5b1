"""`probe mdl`: online code length of the labels given a feature, by logistic regression."""

from __future__ import annotations

import argparse

from lvm_probe.app import question_command
from lvm_probe.app.output import Output

SUMMARY = "online code length of the labels: accuracy, and how much there is to learn"
EXAMPLES = (
    "probe mdl --latents latents/timit --target manner --protocol utterance --protocol speaker",
    "probe mdl --latents latents/timit --target gender --features z1+z2,mel --control 2",
)


def options(parser: argparse.ArgumentParser) -> None:
    question_command.add_options(parser, "mdl")


def run(args: argparse.Namespace) -> Output:
    return question_command.run(args, "mdl")
