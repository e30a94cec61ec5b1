"""`probe train`: fit a model family to a corpus."""

from __future__ import annotations

import argparse
import contextlib
import math
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lvm_probe import InputError
from lvm_probe.app.options import (
    add_corpus,
    add_device,
    numbers,
    open_corpora,
    read_recordings,
    whole_numbers,
)
from lvm_probe.app.output import Output, exclusive_output_folder, plural, print_changed_files
from lvm_probe.models.checkpoints.shipped_checkpoints import BEST
from lvm_probe.models.device import pick_device
from lvm_probe.models.io.provenance import package_versions
from lvm_probe.probing.corpora.sequences import is_sequences
from lvm_probe.probing.progress import bar

if TYPE_CHECKING:
    from lvm_probe.models.batches import Recording
    from lvm_probe.models.checkpoints.checkpoint import Checkpoint
    from lvm_probe.models.checkpoints.cpc_audio import EncoderWeights
    from lvm_probe.models.domains.domain import Domain
    from lvm_probe.models.training.recipe import Preset, Recipe
    from lvm_probe.models.training.trainer import Progress
    from lvm_probe.probing.corpora.corpus import Corpus, SpeakerSplit
    from lvm_probe.probing.corpora.recordings import LoadedRecordings

SUMMARY = "train a model and keep the checkpoint with the best validation bound"
EXAMPLES = (
    "probe train cwvae --corpus TIMIT --preset tiny --out runs/first",
    "probe train vrnn --corpus TIMIT --likelihood gaussian --target linear --out runs/vrnn",
)

AUGMENTATION = ("quieter", "mangle", "dequantise", "flip", "pitch")
"""Options that change segments; all of them are off by default."""


def options(parser: argparse.ArgumentParser) -> None:
    model = parser.add_argument_group("model")
    model.add_argument("family", metavar="FAMILY", help="model family (`probe models` lists them)")
    model.add_argument(
        "--within-step",
        metavar="HOW",
        help="how the elements of a step depend on each other: factorised, interleave:U, random:V, rnn, masked-mlp "
        "(default: factorised)",
    )
    model.add_argument("--preset", default="small", help="size and training recipe (`probe models` lists them)")
    model.add_argument(
        "--start-from", metavar="CKPT", help="begin with the weights of this checkpoint, of the same family and sizes"
    )
    model.add_argument(
        "--encoder-weights",
        metavar="FILE",
        help="begin with the encoder of this checkpoint of CPC_audio (.pt, or .safetensors with the same names); for "
        "presets with such an encoder",
    )
    model.add_argument(
        "--freeze-encoder", action="store_true", help="do not train that encoder, or the one of --start-from"
    )
    model.add_argument(
        "--strides", type=whole_numbers, metavar="N,N", help="audio samples per step, lowest layer first, as 64,512"
    )
    model.add_argument(
        "--latents", type=whole_numbers, metavar="N,N", help="latent dimensions, lowest layer first, as 128,64"
    )
    corpus = add_corpus(
        parser,
        repeatable=True,
        help="folder of the corpus; repeatable, to train on several, all of which the options here apply to",
    )
    corpus.add_argument(
        "--domain",
        choices=("waveform", "strokes", "pianoroll", "words", "characters"),
        help="what the corpus holds (default: what its files are, and speech for folders)",
    )
    corpus.add_argument(
        "--split",
        metavar="NAME",
        help="split to train on (default: train, or everything if the corpus has no splits; for several splits give "
        "the folder of each as a --corpus)",
    )
    corpus.add_argument(
        "--hold-out",
        type=float,
        default=0.1,
        metavar="SHARE",
        help="share of each corpus's speakers held out for validation, which chooses the checkpoint",
    )
    corpus.add_argument(
        "--test",
        type=float,
        default=0.1,
        metavar="SHARE",
        help="share of each corpus's speakers held out for a test, which chooses nothing and is reported at the end; "
        "0 for none, as where the corpus has a test split of its own",
    )
    corpus.add_argument(
        "--weights",
        type=numbers,
        metavar="X,X",
        help="how often to draw from each --corpus, relative to the length of its audio (default: equally)",
    )
    output = parser.add_argument_group("output distribution")
    output.add_argument(
        "--likelihood",
        choices=("dmol", "gaussian"),
        help="discretized mixture of logistics, or mixture of Gaussians normalised by the training audio",
    )
    output.add_argument("--components", type=int, metavar="N", help="mixture components; 1 gaussian: plain Gaussian")
    output.add_argument(
        "--target",
        choices=("mulaw", "mulaw8", "linear"),
        help="scale on which audio is modelled; mulaw8: the 256 codes of 8-bit μ-law, while the encoder sees 16 bits",
    )
    output.add_argument("--every", type=int, metavar="M", help="keep one of M audio samples (stride-TIMIT)")
    output.add_argument(
        "--permute",
        type=int,
        metavar="N",
        help="put the audio samples of each block of N in another order (Perm-TIMIT)",
    )
    output.add_argument("--min-std", type=float, metavar="X", help="minimum standard deviation of gaussian")
    training = parser.add_argument_group("training (defaults: the preset's)")
    training.add_argument(
        "--stage",
        type=int,
        choices=(1, 2),
        default=1,
        help="2: train the decoder of the wavevae at --start-from on how it sounds, with a spectral loss and "
        "discriminators; such a checkpoint has no likelihood",
    )
    training.add_argument(
        "--adversarial", type=float, metavar="X", help="weight of the discriminators in stage 2; 0 for none"
    )
    training.add_argument(
        "--recipe",
        choices=("cpu", "gpu", "continue", "sequences", "paper", "tiny"),
        help="another recipe; continue: for --start-from, without ramps",
    )
    training.add_argument("--updates", type=int, metavar="N", help="length of the training")
    training.add_argument("--batch", type=int, metavar="N", help="segments per batch")
    training.add_argument("--segment", type=int, metavar="N", help="audio samples of a segment")
    training.add_argument("--quieter", type=float, metavar="DB", help="make segments quieter at random, by up to DB")
    training.add_argument(
        "--mangle",
        type=float,
        metavar="SHARE",
        help="change the phases of this share of segments by an all-pass filter",
    )
    training.add_argument(
        "--dequantise", action="store_true", default=None, help="add noise within a PCM value before other changes"
    )
    training.add_argument("--flip", action="store_true", default=None, help="change the sign of half of the segments")
    training.add_argument(
        "--pitch", type=float, metavar="SEMITONES", help="resample segments by up to so many semitones, up or down"
    )
    training.add_argument(
        "--dropout", type=float, metavar="SHARE", help="set this share of the features to zero; models on stacks only"
    )
    training.add_argument("--learning-rate", type=float, metavar="X", help="peak learning rate")
    training.add_argument(
        "--kl-weight", type=float, metavar="X", help="final weight of the KL divergence; 0: autoencode without it"
    )
    training.add_argument(
        "--upper-free-nats", type=float, metavar="X", help="multiply the free nats of the layers above the lowest by X"
    )
    compute = parser.add_argument_group("computing")
    add_device(compute)
    compute.add_argument("--devices", type=int, default=1, metavar="N", help="processes that share each batch")
    compute.add_argument(
        "--precision",
        choices=("auto", "fp32", "bf16"),
        default="auto",
        help="auto: bf16 where the hardware multiplies it natively",
    )
    compute.add_argument("--compile", action="store_true", help="compile encoder and decoder (for CUDA)")
    run_folder = parser.add_argument_group("output")
    run_folder.add_argument(
        "--out", required=True, metavar="RUN", help="run folder: checkpoints, log.csv, TensorBoard events"
    )
    run_folder.add_argument("--resume", action="store_true", help="continue from the last state in the run folder")


@exclusive_output_folder
def run(args: argparse.Namespace) -> Output:
    """Train, or continue a run; the document has the best checkpoint and its validation figures."""
    if args.domain not in (None, "waveform") or any(is_sequences(path) for path in args.corpus):
        return _on_sequences(args)
    preset, out = _preset(args), Path(args.out)
    from lvm_probe.models.families.dmol import Unconditional
    from lvm_probe.models.training.trainer import autocast
    from lvm_probe.probing.corpora.training_corpora import check_disjoint, check_unheard, describe_training, merge

    _check_run_folder(out, args.resume)
    ignored = [
        f"--{name.replace('_', '-')}"
        for name in ("start_from", "weights", "dropout", *AUGMENTATION)
        if getattr(args, name)
    ]
    if ignored and args.family == Unconditional.family:
        raise InputError(f"{', '.join(ignored)}: {args.family} is fitted to all of the audio at once; leave it out")
    if args.stage == 1 and args.adversarial is not None:
        raise InputError("--adversarial: there are discriminators in --stage 2 only; leave it out")
    if args.stage == 2 and args.start_from is None:
        raise InputError("--stage 2: give the checkpoint of stage one with --start-from")
    start = _starting_point(args, preset)
    encoder = _encoder_weights(args, preset)
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
        document, text = _fit(args, preset, training, validation, provenance)
        further = []
    else:
        about = [*_parts(opened, splits), *notices]
        document, text = _train(
            args, preset, start, training.recordings, validation.recordings, provenance, about, encoder
        )
        further = [f"next: probe extract --ckpt {out} --corpus ... --out latents/{out.name}"]
    tested, lines = _test(document["checkpoint"], tests, args)
    document |= tested
    document["left_out"] = [line for read in (training, validation, *tests) for line in read.left_out]
    document["changed"] = print_changed_files(merge(corpora), document["left_out"])
    lines += [f"warning: {warning}" for warning in document["warnings"]]
    return Output(document, "\n".join([text, *lines, *further]))


def _preset(args: argparse.Namespace, domain: Domain | None = None) -> Preset:
    """The preset with the changes that the options ask for; `domain` is that of a corpus that is not speech."""
    from lvm_probe.models.registry import override_config, preset
    from lvm_probe.models.training.recipe import RECIPES

    chosen = preset(args.family, args.preset)
    recipe = {name: getattr(args, name) for name in ("updates", "batch", "segment", "learning_rate", "upper_free_nats")}
    recipe = {name: value for name, value in recipe.items() if value is not None}
    for name, value in recipe.items():
        if not 0 < value < math.inf:
            raise InputError(f"--{name.replace('_', '-')} {value}: give a positive number")
    changes = {name: getattr(args, name) for name in (*AUGMENTATION, "dropout")}
    recipe |= {name: value for name, value in changes.items() if value is not None}
    if args.kl_weight is not None and not 0 <= args.kl_weight < math.inf:
        raise InputError(f"--kl-weight {args.kl_weight}: give a number from 0")
    basis = RECIPES[args.recipe] if args.recipe else chosen.recipe
    if domain is not None:
        chosen, basis = _of_domain(args, chosen, domain)
    output = {name: getattr(args, name) for name in ("likelihood", "components", "target", "min_std", "every")}
    output["permuted"] = args.permute
    config = override_config(
        chosen.config,
        strides=args.strides or (),
        latents=args.latents or (),
        output={name: value for name, value in output.items() if value is not None},
    )
    if args.within_step is not None:
        if not hasattr(config, "within_step"):
            raise InputError(f"--within-step: {args.family} has no such choice; leave it out")
        config = replace(config, within_step=args.within_step)
    if args.kl_weight is not None:
        first, _, share = basis.beta
        recipe["beta"] = (min(first, args.kl_weight), args.kl_weight, share)
    return replace(chosen, config=config, recipe=replace(basis, **recipe))


def _of_domain(args: argparse.Namespace, chosen: Preset, domain: Domain) -> tuple[Preset, Recipe]:
    """The preset on another domain than waveforms, and its recipe, whose segments are steps of the domain."""
    from lvm_probe.models.domains.strokes import Strokes
    from lvm_probe.models.registry import FAMILIES
    from lvm_probe.models.training.recipe import RECIPES

    if not hasattr(chosen.config, "within_step"):
        able = [n for n, cls in FAMILIES.items() if hasattr(cls.presets["small"].config, "within_step")]
        raise InputError(f"{args.family} is for waveforms; {domain.name} can be modelled by {', '.join(able)}")
    own = isinstance(chosen.config.output, type(domain))  # a preset that was made for this domain keeps its components
    recipe = RECIPES[args.recipe] if args.recipe else chosen.recipe if own else RECIPES["sequences"]
    recipe = replace(recipe, segment=recipe.segment * domain.step, auxiliary=(0.0, 0.0, 0.0))
    if isinstance(domain, Strokes) and isinstance(chosen.config.output, Strokes):
        domain = chosen.config.output
    return replace(chosen, config=replace(chosen.config, output=domain, stride=domain.step)), recipe


SPEECH_ONLY = (
    "speaker_from", "strict", "no_resample", "phoneme_tier", "word_tier", "non_speech", "weights", "likelihood",
    "target", "every", "permute", "adversarial", "encoder_weights", "freeze_encoder", *AUGMENTATION,
)  # fmt: skip
"""Options that mean nothing for other data."""


def _on_sequences(args: argparse.Namespace) -> Output:
    """`run` for piano rolls, pen strokes and text; training, validation and test splits are those of the files."""
    from lvm_probe.models.checkpoints import checkpoint
    from lvm_probe.models.domains.registry import domain_of
    from lvm_probe.models.likelihood.elbo import evaluate
    from lvm_probe.models.likelihood.summary import summary
    from lvm_probe.models.training.trainer import autocast
    from lvm_probe.probing.corpora.sequences import open_sequences

    out = Path(args.out)
    _check_run_folder(out, args.resume)
    given = [f"--{name.replace('_', '-')}" for name in SPEECH_ONLY if getattr(args, name)]
    given += ["--layout"] * (args.layout != "auto") + ["--stage"] * (args.stage != 1)
    if given:
        raise InputError(f"{', '.join(given)}: for speech only; leave out")
    if len(args.corpus) > 1:
        raise InputError("several --corpus are for speech; give one")
    started = checkpoint.load(args.start_from, any_domain=True) if args.start_from else None
    vocabulary = getattr(started.model.config.output, "vocabulary", None) if started else None
    corpus = open_sequences(args.corpus[0], args.domain, vocabulary)
    if corpus.domain != "strokes" and (args.components, args.min_std) != (None, None):
        raise InputError(f"--components, --min-std: {corpus.domain} have no mixture; leave out")
    preset = _preset(args, domain_of(corpus.domain, corpus.vocabulary))
    start = _starting_point(args, preset)
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
    document, text = _train(args, preset, start, parts["train"], parts["valid"], provenance, about)
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


def _check_run_folder(out: Path, resume: bool) -> None:
    """Raise InputError when there is no run to resume, or one that would be overwritten."""
    from lvm_probe.models.training.trainer import LAST

    if resume and not (out / LAST).exists():
        raise InputError(f"{out}: no {LAST} to resume from; leave out --resume to start, or name the run's folder")
    if not resume and (out / LAST).exists():
        raise InputError(f"{out}: holds a run already; continue it with --resume or choose another --out")
    if not resume and (out / BEST).exists():
        raise InputError(f"{out}: holds a checkpoint already; choose another --out")


def _starting_point(args: argparse.Namespace, preset: Preset) -> Checkpoint | None:
    """The checkpoint at `--start-from`; its output keeps the normalisation that it was trained with."""
    if args.start_from is None:
        return None
    from lvm_probe.models.checkpoints import checkpoint

    start = checkpoint.load(args.start_from, any_domain=True)
    if start.model.family != args.family:
        raise InputError(f"{start.path}: is of the family {start.model.family}, not {args.family}")
    own, asked = asdict(start.model.config), asdict(preset.config)
    for config in (own, asked):
        config["output"] |= {"shift": 0.0, "scale": 1.0}
    if different := [name for name in own if own[name] != asked[name]]:
        raise InputError(
            f"{start.path}: differs from --preset {args.preset} in {', '.join(different)}; choose the preset and the "
            "options that it was trained with"
        )
    return start


def _encoder_weights(args: argparse.Namespace, preset: Preset) -> EncoderWeights | None:
    """Those of `--encoder-weights`, for presets that have such an encoder."""
    from lvm_probe.models.checkpoints.cpc_audio import read_encoder
    from lvm_probe.models.families.cwvae import CWVAE

    options = ("encoder_weights", "freeze_encoder")
    given = ", ".join(f"--{name.replace('_', '-')}" for name in options if getattr(args, name))
    if not given:
        return None
    if getattr(preset.config, "encoder", None) != "cpc":
        able = [name for name, other in CWVAE.presets.items() if other.config.encoder == "cpc"]
        raise InputError(
            f"{given}: {args.family} {args.preset} has no such encoder; choose {CWVAE.family} with --preset "
            f"{', '.join(able)}"
        )
    if args.encoder_weights is None:
        if args.start_from is None:
            raise InputError("--freeze-encoder: its weights would stay random; give --encoder-weights or --start-from")
        return None
    if args.start_from is not None:
        raise InputError("--encoder-weights: the checkpoint at --start-from has an encoder; leave one of them out")
    path = Path(args.encoder_weights)
    weights, channels = read_encoder(path), preset.config.cpc_channels
    if weights.channels != channels:
        raise InputError(
            f"{path}: an encoder of {weights.channels} channels, where --preset {args.preset} has {channels}; choose "
            "another preset (`probe models`)"
        )
    return weights


def _weights(args: argparse.Namespace, recordings: Sequence[Recording]) -> list[float] | None:
    """How often to draw each recording, by its corpus."""
    from lvm_probe.probing.corpora.training_corpora import prefixes

    if args.weights is None:
        return None
    if len(args.weights) != len(args.corpus) or min(args.weights) <= 0:
        raise InputError(f"--weights: give a positive number for each of the {len(args.corpus)} corpora")
    by_prefix = list(zip(prefixes([Path(root) for root in args.corpus]), args.weights, strict=True))
    return [next(weight for prefix, weight in by_prefix if r.name.startswith(prefix)) for r in recordings]


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


def _train(
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


def _fit(
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


@contextlib.contextmanager
def _training_bar(first: int, last: int, domain: Domain) -> Iterator[Callable[[Progress], None]]:
    """Progress with smoothed bits per frame, and a line for every validation."""
    from tqdm import tqdm

    from lvm_probe.models.likelihood.summary import bits_text, summary

    smooth = 0.0
    with bar(last, "train", unit="update", initial=first) as advance:

        def report(progress: Progress) -> None:
            nonlocal smooth
            advance(progress.update - advance.done)
            smooth = 0.98 * smooth + 0.02 * progress.bits_per_frame if smooth else progress.bits_per_frame
            advance.note = bits_text(domain, smooth, 2)
            if progress.validation is not None:
                tqdm.write(f"update {progress.update}: validation {summary(progress.validation)}", file=sys.stderr)

        yield report
