"""`probe train`: a model, a recipe and a corpus to a checkpoint."""

from __future__ import annotations

import argparse
import math
import sys
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lvm_probe.app.output import (
    Answer,
    alone,
    bar,
    open_corpus,
    package_versions,
    pick_device,
    read_recordings,
    say_changed,
)

if TYPE_CHECKING:
    from lvm_probe.models.likelihood.elbo import Evaluation
    from lvm_probe.models.training.recipe import Preset
    from lvm_probe.models.training.trainer import Progress
    from lvm_probe.probing.corpora.corpus import Corpus
    from lvm_probe.probing.corpora.recordings import LoadedRecordings


@alone
def run(args: argparse.Namespace) -> Answer:
    from lvm_probe import InputError
    from lvm_probe.probing.features.token_table import check_writable

    chosen = _chosen(args)
    overrides = {"updates": args.updates, "batch": args.batch, "learning_rate": args.learning_rate}
    overrides |= {"upper_free_nats": args.upper_free_nats}
    for name, value in overrides.items():
        if value is not None and not 0 < value < math.inf:
            raise InputError(f"--{name.replace('_', '-')} {value}: give a positive number")
    recipe = replace(chosen.recipe, **{k: v for k, v in overrides.items() if v is not None})
    out = Path(args.out)
    check_writable(out)
    from lvm_probe.models.checkpoints.shipped_checkpoints import BEST
    from lvm_probe.models.families.dmol import Unconditional
    from lvm_probe.models.registry import family
    from lvm_probe.models.training import distributed
    from lvm_probe.models.training.trainer import LAST, Trainer, normalised_output

    if args.resume and not (out / LAST).exists():
        raise InputError(f"{out}: no {LAST} to resume from; leave out --resume to start, or name the run's folder")
    if not args.resume and (out / LAST).exists():
        raise InputError(f"{out}: holds a run already; go on with --resume or choose another --out")
    if not args.resume and (out / BEST).exists():
        raise InputError(f"{out}: holds a checkpoint already; choose another --out")
    corpus = _training_part(args, chosen.config.sample_rate)
    parts = corpus.hold_out_speakers(args.hold_out, args.seed)
    ours, theirs = (read_recordings(part, chosen.config.sample_rate, args) for part in parts)
    provenance = {
        "preset": args.preset,
        "corpus": corpus.name,
        "corpus_fingerprint": corpus.fingerprint(),
        "train_seconds": round(ours.corpus.seconds, 1),
        "train_speakers": [s.id for s in ours.corpus.speakers],
        "validation_speakers": [s.id for s in theirs.corpus.speakers],
        "versions": package_versions(),
    }
    if args.family == Unconditional.family:  # the one that needs no updates
        return _fitted(args, chosen, out, ours, theirs, provenance)
    output = normalised_output(chosen.config.output, ours.recordings)
    model = family(args.family).seeded(replace(chosen.config, output=output), args.seed)
    device = pick_device(args.device)
    ranks = distributed.launch_processes(args.devices, device.type, recipe.batch)
    trainer = Trainer(
        model,
        recipe,
        ours.recordings,
        theirs.recordings,
        out,
        seed=args.seed,
        device=ranks.device or device,
        precision=args.precision,
        compile=args.compile,
        group=ranks,
        provenance=provenance,
    )
    if args.resume:
        trainer.resume()
    if ranks.rank:  # the first process reports
        trainer.run(lambda progress: None)
        sys.exit(0)
    with _training_bar(trainer.update, recipe.updates) as report:
        best = trainer.run(report)
    warnings = collapse_warnings(trainer.active_units, model.latents)
    document = {
        "checkpoint": str(best),
        "updates": trainer.update,
        "validation_bits_per_frame": trainer.best,
        "active_units": trainer.active_units,
        "warnings": warnings,
        "seconds": round(trainer.seconds, 1),
        "parameters": sum(p.numel() for p in model.parameters()),
        "left_out": [*ours.left_out, *theirs.left_out],
        "changed": _changed(ours, theirs),
    }
    text = (
        f"{trainer.update} updates in {trainer.seconds / 60:.1f} minutes; best validation "
        f"{trainer.best:.3f} bits per frame\ncheckpoint: {best}\nnext: probe extract --ckpt {out} --corpus ... "
        f"--out latents/{out.name}"
    )
    return Answer(document, "\n".join([text, *(f"warning: {warning}" for warning in warnings)]))


def _training_part(args: argparse.Namespace, sample_rate: int) -> Corpus:
    """The split of the corpus that is there to be trained on."""
    from lvm_probe import InputError

    corpus = open_corpus(args, sample_rate)
    split = args.split or ("train" if "train" in corpus.splits else None)
    if split is None and len(corpus.splits) > 1:
        raise InputError(f"{corpus.root}: splits {', '.join(corpus.splits)}; name the one to train on with --split")
    if split:
        corpus = corpus.select(split=split)
    return corpus


def _fitted(
    args: argparse.Namespace,
    chosen: Preset,
    out: Path,
    ours: LoadedRecordings,
    theirs: LoadedRecordings,
    provenance: dict[str, Any],
) -> Answer:
    """The distribution without a network, at the maximum of its likelihood."""
    import time

    from lvm_probe.models.checkpoints import checkpoint
    from lvm_probe.models.checkpoints.shipped_checkpoints import BEST
    from lvm_probe.models.families import dmol
    from lvm_probe.models.likelihood import elbo

    began = time.monotonic()
    with bar(ours.corpus.seconds, "fit", delay=1) as done:
        model = dmol.fit(
            chosen.config, ours.recordings, progress=lambda samples: done(samples / chosen.config.sample_rate)
        )
    result = elbo.evaluate(model, theirs.recordings, seed=args.seed)
    seconds = round(time.monotonic() - began, 1)
    more = {"validation_bits_per_frame": result.bits_per_frame, "training_seconds": seconds, "seed": args.seed}
    checkpoint.save(out / BEST, model, provenance | more)
    document = {
        "checkpoint": str(out / BEST),
        "updates": 0,
        "validation_bits_per_frame": result.bits_per_frame,
        "active_units": {},
        "warnings": [],
        "seconds": seconds,
        "parameters": sum(p.numel() for p in model.parameters()),
        "left_out": [*ours.left_out, *theirs.left_out],
        "changed": _changed(ours, theirs),
    }
    text = f"fitted in {seconds:.1f} s; validation {bits(result)}\ncheckpoint: {out / BEST}"
    return Answer(document, text)


def _changed(ours: LoadedRecordings, theirs: LoadedRecordings) -> list[str]:
    """Says which recordings have changed since they were read, and so are no longer what this was trained on."""
    return say_changed(replace(ours.corpus, utterances=(*ours.corpus.utterances, *theirs.corpus.utterances)))


def _chosen(args: argparse.Namespace) -> Preset:
    """The preset with what the options change of it."""
    from lvm_probe.models.registry import override_config, preset

    chosen = preset(args.family, args.preset)
    output = {"likelihood": args.likelihood, "components": args.components, "target": args.target}
    output |= {"min_std": args.min_std}
    config = override_config(
        chosen.config,
        strides=args.strides or (),
        latents=args.latents or (),
        output={name: value for name, value in output.items() if value is not None},
    )
    return replace(chosen, config=config)


def collapse_warnings(active: dict[str, int], latents: tuple[int, ...]) -> list[str]:
    """In plain words, which layers carry nothing."""
    from lvm_probe.models.likelihood.elbo import ACTIVE_NATS

    return [
        f"{layer} carries nothing: none of its {size} dimensions moves {ACTIVE_NATS} nats a step from its prior, so "
        "what a probe finds in it does not come from the recording"
        for (layer, units), size in zip(active.items(), latents, strict=True)
        if units == 0
    ]


class _training_bar:
    """A progress bar that shows bits per frame, and a line for every validation."""

    def __init__(self, first: int, last: int) -> None:
        self.first, self.last = first, last

    def __enter__(self) -> Any:
        from tqdm import tqdm

        self.bar = tqdm(total=self.last, initial=self.first, unit="update", dynamic_ncols=True, disable=None)
        self.smooth = 0.0
        return self.report

    def report(self, progress: Progress) -> None:
        self.bar.update(progress.update - self.bar.n)
        self.smooth = (
            progress.bits_per_frame if not self.smooth else 0.98 * self.smooth + 0.02 * progress.bits_per_frame
        )
        self.bar.set_postfix_str(f"{self.smooth:.2f} bits per frame", refresh=False)
        if progress.validation is not None:
            self.bar.write(f"update {progress.update}: validation {bits(progress.validation)}", file=sys.stderr)

    def __exit__(self, *_: object) -> None:
        self.bar.close()


def bits(result: Evaluation) -> str:
    """A line for an evaluation: bits per frame, each layer's share and active units, and the PCM's code length."""
    active = result.active_units
    layers = [
        f"{layer} {kl:.4f} with {active[layer]} of {len(dimensions)} active"
        for (layer, kl), dimensions in zip(result.kl_bits_per_frame.items(), result.kl, strict=True)
    ]
    kl = f" (KL {', '.join(layers)})" if layers else ""
    return f"{result.bits_per_frame:.3f} bits per frame{kl}, PCM code length {result.pcm_bits_per_frame:.3f}"
