"""`probe abx`: ABX discriminability."""

from __future__ import annotations

import argparse

from lvm_probe.app.commands import probes
from lvm_probe.app.output import Output

SUMMARY = "ABX discriminability"
EXAMPLES = ("probe abx --latents latents/timit --phones timit39",)


def options(parser: argparse.ArgumentParser) -> None:
    probes.options(parser, "abx")


def run(args: argparse.Namespace) -> Output:
    return probes.run(args, "abx")
