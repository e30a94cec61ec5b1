"""What each command does: check the options, call the library, say what came out.

Heavy libraries are imported inside the functions that need them.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from app.shared import Answer, open_corpus, package_versions, pick_device


def user_errors() -> tuple[type[Exception], ...]:
    """Errors that are the user's to mend: those of the two rooms of the ground floor."""
    import analysis.errors
    import models.errors

    return analysis.errors.InputError, models.errors.InputError


def demo(args: argparse.Namespace) -> Answer:
    from app.demo import run

    return run(Path(args.out), seed=args.seed, device=pick_device(args.device), versions=package_versions())


def models(args: argparse.Namespace) -> Answer:
    from models.families import FAMILIES
    from models.shelf import shipped

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
    from probing.describe import as_text, describe

    document = describe(open_corpus(args))
    return Answer(document, as_text(document))


def train(args: argparse.Namespace) -> Answer:
    from app import training

    return training.run(args)


def evaluate(args: argparse.Namespace) -> Answer:
    from app import likelihood

    return likelihood.run(args)


def gaussian_limit(args: argparse.Namespace) -> Answer:
    from app import likelihood

    return likelihood.gaussian_limit(args.frames)


def sample(args: argparse.Namespace) -> Answer:
    from app import sampling

    return sampling.run(args)
