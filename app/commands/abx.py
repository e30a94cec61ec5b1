"""`probe abx`: ABX discriminability: is a token nearer to its own kind than to another."""

from __future__ import annotations

import argparse

from lvm_probe.app import question_command
from lvm_probe.app.output import Output

SUMMARY = "ABX discriminability: is a token nearer to its own kind than to another"
EXAMPLES = ("probe abx --latents latents/timit --phones timit39",)


def options(parser: argparse.ArgumentParser) -> None:
    question_command.add_options(parser, "abx")


def run(args: argparse.Namespace) -> Output:
    return question_command.run(args, "abx")
