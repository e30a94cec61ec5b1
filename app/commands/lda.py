"""`probe lda`: the linear discriminant classifier."""

from __future__ import annotations

import argparse

from lvm_probe.app.commands import probes
from lvm_probe.app.output import Output

SUMMARY = "accuracy of the linear discriminant classifier"
EXAMPLES = ("probe lda --latents latents/timit --target gender",)


def options(parser: argparse.ArgumentParser) -> None:
    probes.options(parser, "lda")


def run(args: argparse.Namespace) -> Output:
    return probes.run(args, "lda")
