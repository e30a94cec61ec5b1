"""`probe models`: model families, presets and shipped checkpoints."""

from __future__ import annotations

import argparse

from lvm_probe.app.output import Output, in_columns
from lvm_probe.models.checkpoints.shipped_checkpoints import shipped

SUMMARY = "list model families, presets and shipped checkpoints"
EXAMPLES = ("probe models",)


def options(parser: argparse.ArgumentParser) -> None:
    """No options of its own."""


def run(args: argparse.Namespace) -> Output:
    from lvm_probe.models.registry import FAMILIES

    presets = [(family, name, preset.note) for family in FAMILIES for name, preset in FAMILIES[family].presets.items()]
    checkpoints = [(name, family, str(path)) for name, family, path in shipped()]
    lines = ["families and presets:", *in_columns(presets, left=3), "", "shipped checkpoints:"]
    lines += in_columns(checkpoints, left=3) if checkpoints else ["none"]
    document = {
        "families": list(FAMILIES),
        "presets": [f"{family}/{name}" for family, name, _ in presets],
        "checkpoints": [{"name": name, "family": family, "path": path} for name, family, path in checkpoints],
    }
    return Output(document, "\n".join(lines))
