"""Train on the speakers of one corpus of speech or several."""

from __future__ import annotations

import argparse
import math
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lvm_probe import InputError
from lvm_probe.app.options import open_corpora, read_recordings
from lvm_probe.app.output import Output, plural, print_changed_files
from lvm_probe.app.training.fitting import check_run_folder, fit, train
from lvm_probe.app.training.preset_options import (
    AUGMENTATION,
    NUMBERS,
    chosen_preset,
    encoder_weights,
    given,
    starting_point,
)
from lvm_probe.models.device import pick_device
from lvm_probe.models.io.provenance import package_versions
from lvm_probe.probing.progress import bar

if TYPE_CHECKING:
    from lvm_probe.probing.corpora.corpus import Corpus, SpeakerSplit
    from lvm_probe.probing.corpora.recordings import LoadedRecordings

OF_THE_BOUND = ("kl_weight", "upper_free_nats")
"""Options of what is trained on in stage one."""

OF_UPDATES = (
    "recipe", *NUMBERS, "kl_weight", "optimizer", "start_from", "weights", "dropout", *AUGMENTATION, "stage",
    "devices", "precision", "compile",
)  # fmt: skip
"""Options that mean nothing where a model is fitted at once."""


def train_on_speech(args: argparse.Namespace) -> Output:
    """Train on some speakers; others choose the checkpoint, and the bound of further ones is reported."""
    from lvm_probe.models.families.dmol import Unconditional
    from lvm_probe.models.training.trainer import autocast
    from lvm_probe.probing.corpora.training_corpora import check_disjoint, check_unheard, describe_training, merge

    if args.family == Unconditional.family and (options := given(args, OF_UPDATES)):
        raise InputError(f"{options}: {args.family} is fitted to all of the audio at once; leave it out")
    if args.stage == 2 and (options := given(args, OF_THE_BOUND)):
        raise InputError(f"{options}: --stage 2 does not train on the bound; leave it out")
    if args.stage == 2 and args.devices > 1:
        raise InputError(
            "--devices: in --stage 2 processes would each learn by discriminators of their own; leave it out"
        )
    if args.stage == 1 and args.adversarial is not None:
        raise InputError("--adversarial: there are discriminators in --stage 2 only; leave it out")
    if args.adversarial is not None and not 0 <= args.adversarial < math.inf:
        raise InputError(f"--adversarial {args.adversarial}: give a number from 0")
    if args.stage == 2 and args.start_from is None:
        raise InputError("--stage 2: give the checkpoint of stage one with --start-from")
    preset, out = chosen_preset(args), Path(args.out)
    check_run_folder(out, args.resume)
    start = starting_point(args, preset)
    encoder = encoder_weights(args, preset)
    rate = preset.config.sample_rate
    autocast(pick_device(args.device), args.precision)  # refuses before the corpora are read
    opened = open_corpora(args, rate)
    corpora = [_training_part(corpus, args.split) for corpus in opened]
    notices = [f"notice: {notice}" for notice in check_disjoint(corpora)]
    if encoder is not None:
        notices.append(f"notice: {encoder.name} does not say whom it has heard; held-out speakers may be among them")
    splits = [corpus.split_speakers(args.hold_out, args.test, args.seed) for corpus in corpora]
    if start is not None:
        notices += [f"notice: {notice}" for notice in check_unheard(start, corpora, splits)]
    training = read_recordings(merge([split.train for split in splits]), rate, args)
    validation = read_recordings(merge([split.validation for split in splits]), rate, args)
    tests = [read_recordings(split.test, rate, args) for split in splits if args.test]
    provenance = {
        "preset": args.preset,
        **describe_training(corpora, training.corpus, validation.corpus, merge([split.test for split in splits])),
        "versions": package_versions(),
    }
    if start is not None:
        provenance["started_from"] = {"name": start.name, "sha256": start.sha256} | start.provenance
    if encoder is not None or args.freeze_encoder:
        file = {} if encoder is None else {"file": encoder.name, "sha256": encoder.sha256}
        provenance["encoder"] = {**file, "frozen": args.freeze_encoder}
    if args.family == Unconditional.family:  # has a direct fit, without updates
        document, text = fit(args, preset, training, validation, provenance)
        further = []
    else:
        about = [*_parts(opened, splits), *notices]
        document, text = train(
            args, preset, start, training.recordings, validation.recordings, provenance, about, encoder
        )
        further = [f"next: probe extract --ckpt {out} --corpus ... --out latents/{out.name}"]
    tested, lines = _test(document["checkpoint"], tests, args)
    document |= tested
    document["left_out"] = [line for read in (training, validation, *tests) for line in read.left_out]
    document["changed"] = print_changed_files(merge(corpora), document["left_out"])
    lines += [f"warning: {warning}" for warning in document["warnings"]]
    return Output(document, "\n".join([text, *lines, *further]))


def _training_part(corpus: Corpus, split: str | None) -> Corpus:
    """The split to train on; a test split is never taken unasked."""
    split = split or ("train" if "train" in corpus.splits else None)
    if split is None and len(corpus.splits) > 1:
        raise InputError(f"{corpus.root}: splits {', '.join(corpus.splits)}; name the one to train on with --split")
    return corpus.select(split=split) if split else corpus


def _parts(corpora: Sequence[Corpus], splits: Sequence[SpeakerSplit]) -> list[str]:
    """One line for each corpus: what of it is used for what."""
    lines = []
    for corpus, parts in zip(corpora, splits, strict=True):
        used = parts.train.only_split
        unused = [f"split {split} is not used" for split in corpus.splits if used is not None and split != used]
        counts = [
            f"{plural(len(part.speakers), 'speaker')} ({part.seconds / 60:.1f} minutes) for {name}"
            for name, part in zip(("training", "validation", "test"), parts, strict=True)
            if part.utterances
        ]
        lines.append(f"{corpus.root}{f', split {used}' if used else ''}: {', '.join(counts + unused)}")
    return lines


def _test(path: str, tests: Sequence[LoadedRecordings], args: argparse.Namespace) -> tuple[dict[str, Any], list[str]]:
    """The bound of the best checkpoint on the test speakers, of each corpus and of all."""
    from lvm_probe.models.checkpoints import checkpoint
    from lvm_probe.models.likelihood.elbo import evaluate
    from lvm_probe.models.likelihood.summary import bits_text, summary

    if not tests:
        return {"test_bits_per_frame": None, "test": []}, []
    model = checkpoint.load(path, any_domain=True).model.to(pick_device(args.device))
    if model.no_likelihood is not None:
        return {"test_bits_per_frame": None, "test": []}, [f"no test of the likelihood: {model.no_likelihood}"]
    rate = model.config.sample_rate
    rows: list[dict[str, Any]] = []
    lines = []
    for test in tests:
        with bar(test.corpus.seconds, "test", delay=1) as advance:
            result = evaluate(model, test.recordings, seed=args.seed, progress=lambda n: advance(n / rate))
        rows.append(
            {
                "corpus": str(test.corpus.root),
                "speakers": len(test.corpus.speakers),
                "frames": result.samples,
                "bits_per_frame": result.bits_per_frame,
                "pcm_bits_per_frame": result.pcm_bits_per_frame,
                "eight_bit": result.eight_bit,
            }
        )
        speakers = plural(len(test.corpus.speakers), "test speaker")
        lines.append(f"{speakers} of {test.corpus.root}, which chose nothing: {summary(result)}")
    frames = sum(row["frames"] for row in rows)
    bits = sum(row["frames"] * row["bits_per_frame"] for row in rows) / frames
    if len(rows) > 1:
        lines.append(f"all test speakers: {bits_text(model.config.output, bits)}")
    return {"test_bits_per_frame": bits, "test": rows}, lines
