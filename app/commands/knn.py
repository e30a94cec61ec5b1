"""`probe knn`: k nearest neighbours."""

from __future__ import annotations

import argparse

from lvm_probe.app.commands import probes
from lvm_probe.app.output import Output

SUMMARY = "accuracy of k nearest neighbours"
EXAMPLES = ("probe knn --latents latents/timit --target phoneme --features z1+z2,mel",)


def options(parser: argparse.ArgumentParser) -> None:
    probes.options(parser, "knn")


def run(args: argparse.Namespace) -> Output:
    return probes.run(args, "knn")
