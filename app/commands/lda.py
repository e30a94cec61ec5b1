"""`probe lda`: accuracy of a linear discriminant classifier."""

from __future__ import annotations

import argparse

from lvm_probe.app import question_command
from lvm_probe.app.output import Output

SUMMARY = "accuracy of a linear discriminant classifier"
EXAMPLES = ("probe lda --latents latents/timit --target gender",)


def options(parser: argparse.ArgumentParser) -> None:
    question_command.add_options(parser, "lda")


def run(args: argparse.Namespace) -> Output:
    return question_command.run(args, "lda")
