"""`probe logistic`: accuracy of logistic regression, its penalty chosen inside the fold."""

from __future__ import annotations

import argparse

from lvm_probe.app import question_command
from lvm_probe.app.output import Output

SUMMARY = "accuracy of logistic regression, its penalty chosen inside the fold"
EXAMPLES = ("probe logistic --latents latents/timit --target manner --protocol speaker",)


def options(parser: argparse.ArgumentParser) -> None:
    question_command.add_options(parser, "logistic")


def run(args: argparse.Namespace) -> Output:
    return question_command.run(args, "logistic")
