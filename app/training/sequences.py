"""Train on piano rolls, pen strokes or text."""

from __future__ import annotations

import argparse
from pathlib import Path

from lvm_probe import InputError
from lvm_probe.app.output import Output, plural
from lvm_probe.app.training.fitting import check_run_folder, train
from lvm_probe.app.training.preset_options import AUGMENTATION, chosen_preset, given, starting_point
from lvm_probe.models.device import pick_device
from lvm_probe.models.io.provenance import package_versions

SPEECH_ONLY = (
    "layout", "speaker_from", "strict", "no_resample", "phoneme_tier", "word_tier", "non_speech", "weights",
    "likelihood", "target", "every", "permute", "stage", "adversarial", "encoder_weights", "freeze_encoder",
    *AUGMENTATION,
)  # fmt: skip
"""Options that mean nothing for other data."""


def train_on_sequences(args: argparse.Namespace) -> Output:
    """Train on the files' own training split, or on a part of the sequences where there are no splits."""
    from lvm_probe.models.checkpoints import checkpoint
    from lvm_probe.models.domains.registry import domain_of
    from lvm_probe.models.likelihood.elbo import evaluate
    from lvm_probe.models.likelihood.summary import summary
    from lvm_probe.models.training.trainer import autocast
    from lvm_probe.probing.corpora.sequences import open_sequences

    out = Path(args.out)
    check_run_folder(out, args.resume)
    if options := given(args, SPEECH_ONLY):
        raise InputError(f"{options}: for speech only; leave out")
    if len(args.corpus) > 1:
        raise InputError("several --corpus are for speech; give one")
    started = checkpoint.load(args.start_from, any_domain=True) if args.start_from else None
    vocabulary = getattr(started.model.config.output, "vocabulary", None) if started else None
    corpus = open_sequences(args.corpus[0], args.domain, vocabulary)
    if corpus.domain != "strokes" and (args.components, args.min_std) != (None, None):
        raise InputError(f"--components, --min-std: {corpus.domain} have no mixture; leave out")
    preset = chosen_preset(args, domain_of(corpus.domain, corpus.vocabulary))
    start = starting_point(args, preset)
    autocast(pick_device(args.device), args.precision)
    parts = corpus.divided(args.split, args.hold_out, args.test, args.seed)
    provenance = {
        "preset": args.preset,
        "corpus": str(corpus.root),
        "corpus_fingerprint": corpus.fingerprint(),
        "domain": corpus.domain,
        "splits": {name: [r.name for r in part] if name != "train" else len(part) for name, part in parts.items()},
        "versions": package_versions(),
    }
    if start is not None:
        provenance["started_from"] = {"name": start.name, "sha256": start.sha256} | start.provenance
    steps = {name: sum(r.samples for r in part) // corpus.step for name, part in parts.items()}
    counts = [f"{plural(len(part), 'sequence')} ({steps[name]:,} steps) for {name}" for name, part in parts.items()]
    about = [f"{corpus.root} ({corpus.domain}): {', '.join(counts)}", *(f"notice: {n}" for n in corpus.notices)]
    document, text = train(args, preset, start, parts["train"], parts["valid"], provenance, about)
    lines = []
    document["test_nats_per_step"] = None
    if parts["test"]:
        model = checkpoint.load(document["checkpoint"], any_domain=True).model.to(pick_device(args.device))
        result = evaluate(model, parts["test"], seed=args.seed)
        document["test_nats_per_step"] = result.nats_per_step
        lines = [f"test split, which chose nothing: {summary(result)}"]
    lines += [f"warning: {warning}" for warning in document["warnings"]]
    lines.append(f"next: probe evaluate --ckpt {out} --corpus {corpus.root} --split test")
    return Output(document, "\n".join([text, *lines]))
