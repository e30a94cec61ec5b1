"""`probe logistic`: logistic regression."""

from __future__ import annotations

import argparse

from lvm_probe.app.commands import probes
from lvm_probe.app.output import Output

SUMMARY = "accuracy of logistic regression"
EXAMPLES = ("probe logistic --latents latents/timit --target manner --protocol speaker",)


def options(parser: argparse.ArgumentParser) -> None:
    probes.options(parser, "logistic")


def run(args: argparse.Namespace) -> Output:
    return probes.run(args, "logistic")
