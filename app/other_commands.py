"""What each command does: check the options, call the library, say what came out.

Heavy libraries are imported inside the functions that need them.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from lvm_probe.app.output import Answer, open_corpus, package_versions, pick_device


def demo(args: argparse.Namespace) -> Answer:
    from lvm_probe.app.commands.demo import run

    return run(Path(args.out), seed=args.seed, device=pick_device(args.device), versions=package_versions())


def models(args: argparse.Namespace) -> Answer:
    from lvm_probe.models.checkpoints.shipped_checkpoints import shipped
    from lvm_probe.models.registry import FAMILIES

    families = list(FAMILIES)
    presets = [f"{family}/{name}" for family in families for name in FAMILIES[family].presets]
    checkpoints = [{"name": name, "family": family, "path": str(path)} for name, family, path in shipped()]
    lines = ["families and presets:"]
    for family in families:
        lines += [f"  {family:8} {name:8} {chosen.note}" for name, chosen in FAMILIES[family].presets.items()]
    lines.append("shipped checkpoints:")
    lines += [f"  {c['name']:20} {c['family']:8} {c['path']}" for c in checkpoints] or ["  none"]
    return Answer({"families": families, "presets": presets, "checkpoints": checkpoints}, "\n".join(lines))


def corpus(args: argparse.Namespace) -> Answer:
    from lvm_probe.probing.corpora.summary import as_text, describe

    document = describe(open_corpus(args))
    return Answer(document, as_text(document))


def train(args: argparse.Namespace) -> Answer:
    from lvm_probe.app.commands import train

    return train.run(args)


def evaluate(args: argparse.Namespace) -> Answer:
    from lvm_probe.app.commands import evaluate

    return evaluate.run(args)


def gaussian_limit(args: argparse.Namespace) -> Answer:
    from lvm_probe.app.commands import evaluate

    return evaluate.gaussian_limit(args.frames)


def sample(args: argparse.Namespace) -> Answer:
    from lvm_probe.app.commands import sample

    return sample.run(args)
