"""Fit a model to recordings or sequences, with progress, and write its checkpoint."""

from __future__ import annotations

import argparse
import contextlib
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lvm_probe import InputError
from lvm_probe.models.checkpoints.shipped_checkpoints import BEST
from lvm_probe.models.device import pick_device
from lvm_probe.probing.progress import bar

if TYPE_CHECKING:
    from lvm_probe.models.batches import Recording
    from lvm_probe.models.checkpoints.checkpoint import Checkpoint
    from lvm_probe.models.checkpoints.cpc_audio import EncoderWeights
    from lvm_probe.models.domains.domain import Domain
    from lvm_probe.models.training.recipe import Preset
    from lvm_probe.models.training.trainer import Progress
    from lvm_probe.probing.corpora.recordings import LoadedRecordings


def check_run_folder(out: Path, resume: bool) -> None:
    """Raise InputError when there is no run to resume, or one that would be overwritten."""
    from lvm_probe.models.training.trainer import LAST

    if resume and not (out / LAST).exists():
        raise InputError(f"{out}: no {LAST} to resume from; leave out --resume to start, or name the run's folder")
    if not resume and (out / LAST).exists():
        raise InputError(f"{out}: holds a run already; continue it with --resume or choose another --out")
    if not resume and (out / BEST).exists():
        raise InputError(f"{out}: holds a checkpoint already; choose another --out")


def train(
    args: argparse.Namespace,
    preset: Preset,
    start: Checkpoint | None,
    training: Sequence[Recording],
    validation: Sequence[Recording],
    provenance: dict[str, Any],
    about: Sequence[str],
    encoder: EncoderWeights | None = None,
) -> tuple[dict[str, Any], str]:
    """Train by gradient descent, on several processes where asked; `about` is printed when training begins."""
    from lvm_probe.models.checkpoints.cpc_audio import begin_with_encoder
    from lvm_probe.models.likelihood.summary import bits_text, collapse_warnings
    from lvm_probe.models.registry import family
    from lvm_probe.models.training import distributed
    from lvm_probe.models.training.perceptual import Perception, PerceptualTrainer, begin_stage_two
    from lvm_probe.models.training.trainer import Trainer

    if start is None:
        output = preset.config.output.normalised(training)
        model = family(args.family).seeded(replace(preset.config, output=output), args.seed)
    else:
        model = start.model.train()
    if encoder is not None or args.freeze_encoder:
        begin_with_encoder(model, encoder, frozen=args.freeze_encoder)
    kind, options = Trainer, dict[str, Any]()
    if args.stage == 2:
        kind, model = PerceptualTrainer, begin_stage_two(model)
        options["perception"] = Perception() if args.adversarial is None else Perception(args.adversarial)
    device = pick_device(args.device)
    ranks = distributed.launch_processes(args.devices, device.type, preset.recipe.batch)
    trainer = kind(
        model,
        preset.recipe,
        training,
        validation,
        Path(args.out),
        seed=args.seed,
        device=ranks.device or device,
        precision=args.precision,
        compile=args.compile,
        group=ranks,
        provenance=provenance,
        weights=_weights(args, training),
        **options,
    )
    if args.resume:
        trainer.resume()
    if ranks.rank:  # the first process reports
        trainer.run(lambda progress: None)
        sys.exit(0)
    for line in about:
        print(line, file=sys.stderr)
    with _training_bar(trainer.update, preset.recipe.updates, model.config.output) as report:
        best = trainer.run(report)
    document = {
        "checkpoint": str(best),
        "updates": trainer.update,
        trainer.criterion: trainer.best,
        "eight_bit": model.config.output.is_eight_bit(),
        "active_units": trainer.active_units,
        "warnings": collapse_warnings(trainer.active_units, model.latents),
        "seconds": round(trainer.seconds, 1),
        "parameters": sum(p.numel() for p in model.parameters()),
    }
    unit = bits_text(model.config.output, trainer.best)
    text = (
        f"{trainer.update} updates in {trainer.seconds / 60:.1f} minutes; best "
        + (f"validation bound {unit}" if args.stage == 1 else f"spectral distance {trainer.best:.3f}")
        + f"\ncheckpoint: {best}"
    )
    return document, text


def fit(
    args: argparse.Namespace,
    preset: Preset,
    training: LoadedRecordings,
    validation: LoadedRecordings,
    provenance: dict[str, Any],
) -> tuple[dict[str, Any], str]:
    """Fit the one distribution without a network, which takes no updates."""
    from lvm_probe.models.checkpoints import checkpoint
    from lvm_probe.models.families import dmol
    from lvm_probe.models.likelihood import elbo
    from lvm_probe.models.likelihood.summary import summary

    path, rate = Path(args.out) / BEST, preset.config.sample_rate
    began = time.monotonic()
    with bar(training.corpus.seconds, "fit", delay=1) as advance:
        model = dmol.fit(preset.config, training.recordings, progress=lambda samples: advance(samples / rate))
    result = elbo.evaluate(model, validation.recordings, seed=args.seed)
    seconds = round(time.monotonic() - began, 1)
    figures = {"validation_bits_per_frame": result.bits_per_frame, "training_seconds": seconds, "seed": args.seed}
    checkpoint.save(path, model, provenance | figures)
    document = {
        "checkpoint": str(path),
        "updates": 0,
        "validation_bits_per_frame": result.bits_per_frame,
        "eight_bit": result.eight_bit,
        "active_units": {},
        "warnings": [],
        "seconds": seconds,
        "parameters": sum(p.numel() for p in model.parameters()),
    }
    return document, f"fitted in {seconds:.1f} s; validation: {summary(result)}\ncheckpoint: {path}"


def _weights(args: argparse.Namespace, recordings: Sequence[Recording]) -> list[float] | None:
    """How often to draw each recording, by its corpus."""
    from lvm_probe.probing.corpora.training_corpora import prefixes

    if args.weights is None:
        return None
    if len(args.weights) != len(args.corpus) or min(args.weights) <= 0:
        raise InputError(f"--weights: give a positive number for each of the {len(args.corpus)} corpora")
    by_prefix = list(zip(prefixes([Path(root) for root in args.corpus]), args.weights, strict=True))
    return [next(weight for prefix, weight in by_prefix if r.name.startswith(prefix)) for r in recordings]


@contextlib.contextmanager
def _training_bar(first: int, last: int, domain: Domain) -> Iterator[Callable[[Progress], None]]:
    """Progress with smoothed bits per frame, and a line for every validation."""
    from tqdm import tqdm

    from lvm_probe.models.likelihood.summary import bits_text, summary

    smooth = 0.0
    with bar(last, "train", unit="updates", initial=first) as advance:

        def report(progress: Progress) -> None:
            nonlocal smooth
            advance(progress.update - advance.done)
            if progress.validation is None:
                smooth = 0.98 * smooth + 0.02 * progress.bits_per_frame if smooth else progress.bits_per_frame
            advance.note = bits_text(domain, smooth, 2) + (", validating" if progress.validating else "")
            if progress.validation is not None:
                tqdm.write(f"update {progress.update}: validation {summary(progress.validation)}", file=sys.stderr)

        yield report
