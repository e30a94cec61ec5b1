"""`probe ridge`: ridge regression of body height."""

from __future__ import annotations

import argparse

from lvm_probe.app.commands import probes
from lvm_probe.app.output import Output

SUMMARY = "error of ridge regression of body height"
EXAMPLES = ("probe ridge --latents latents/timit",)


def options(parser: argparse.ArgumentParser) -> None:
    probes.options(parser, "ridge")


def run(args: argparse.Namespace) -> Output:
    return probes.run(args, "ridge")
