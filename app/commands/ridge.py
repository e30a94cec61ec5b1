"""`probe ridge`: error of ridge regression of body height, within gender."""

from __future__ import annotations

import argparse

from lvm_probe.app import question_command
from lvm_probe.app.output import Output

SUMMARY = "error of ridge regression of body height, within gender"
EXAMPLES = ("probe ridge --latents latents/timit",)


def options(parser: argparse.ArgumentParser) -> None:
    question_command.add_options(parser, "ridge")


def run(args: argparse.Namespace) -> Output:
    return question_command.run(args, "ridge")
