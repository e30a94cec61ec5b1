"""`probe extract`: a token table from a corpus and a checkpoint, your own encoder, or a speech model of a library."""

from __future__ import annotations

import argparse
import contextlib
import functools
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lvm_probe import InputError
from lvm_probe.app.options import CKPT, add_corpus, add_device, add_part, milliseconds, names, open_corpus, seeds
from lvm_probe.app.output import Output, print_changed_files, print_left_out
from lvm_probe.models.device import pick_device
from lvm_probe.models.io.files import check_writable
from lvm_probe.models.io.lock import locked
from lvm_probe.models.io.provenance import package_versions
from lvm_probe.probing.progress import bar

if TYPE_CHECKING:
    from lvm_probe.probing.corpora.corpus import Corpus
    from lvm_probe.probing.features.cluster import DaskExecutor
    from lvm_probe.probing.features.source_spec import SourceSpec

SUMMARY = "turn a corpus into a token table of latents and Mel features"
EXAMPLES = (
    "probe extract --ckpt cwvae-small --corpus TIMIT --out latents/timit",
    "probe extract --ckpt cwvae-small --corpus TIMIT --untrained --out latents/timit-untrained",
    "probe extract --ckpt cwvae-small --corpus TIMIT --out latents/timit --add --units frame --also measures",
)

MONTE_CARLO: dict[str, Any] = {"samples": None, "estimator": "posterior-mean", "memory": 1.0}
"""Options that only a checkpoint has, and their defaults: nothing else is sampled."""


def options(parser: argparse.ArgumentParser) -> None:
    model = parser.add_argument_group("model (one of the first four)")
    source = model.add_mutually_exclusive_group(required=True)
    source.add_argument("--ckpt", help=CKPT)
    source.add_argument(
        "--encoder",
        metavar="FILE.py:NAME",
        help="your own encode(wave), or package.module:NAME, with the current folder importable; of a module hubconf "
        "an s3prl upstream; see docs/own-features.md",
    )
    source.add_argument("--torchaudio", metavar="MODEL", help="a speech model of torchaudio, such as hubert_base")
    source.add_argument(
        "--hf",
        metavar="FOLDER",
        help="a speech model of Hugging Face's transformers in a local folder: wav2vec 2.0, HuBERT, WavLM, Whisper's "
        "encoder; nothing is downloaded",
    )
    model.add_argument(
        "--weights",
        metavar="FILE",
        help="state dict of the torchaudio model, or checkpoint of the s3prl upstream; nothing is downloaded",
    )
    model.add_argument(
        "--layer",
        type=int,
        action="append",
        metavar="L",
        help="layer of the torchaudio model, from 1, or of the --hf model, from 0; repeatable (default for --hf: all)",
    )
    model.add_argument("--untrained", action="store_true", help="random weights instead, as a baseline")
    model.add_argument(
        "--seeds",
        type=seeds,
        metavar="N,N",
        help="of the random weights, a table each: TABLE for the first, TABLE-N for every further seed N (default: "
        "--seed alone)",
    )
    add_part(add_corpus(parser))
    rows = parser.add_argument_group("rows and columns of the table")
    rows.add_argument(
        "--units",
        type=names,
        metavar="UNIT,UNIT",
        help="phoneme, word, utterance, frame (default: phoneme; with --add none beside those of the table)",
    )
    rows.add_argument(
        "--frame-step",
        type=milliseconds,
        metavar="TIME",
        help="length of the unit frame, such as 4ms for each step of 64 samples (default: 10ms)",
    )
    rows.add_argument(
        "--also",
        type=names,
        default="",
        metavar="WHAT,WHAT",
        help="more features: mfcc; stats (frame statistics); measures (pitch, formants, ... to be predicted by probe "
        "ridge); states (h1, ... of a model with latents); halves (means over a token's first and second half) "
        "(default: none)",
    )
    rows.add_argument(
        "--context",
        type=milliseconds,
        metavar="TIME",
        help="two more columns for every feature F: F_before and F_after, from so much audio on either side of each "
        "token, such as 40ms (default: none)",
    )
    rows.add_argument(
        "--move-boundaries",
        type=milliseconds,
        metavar="TIME",
        help="move every boundary of phones and words at random, with this standard deviation, such as 20ms, to see "
        "what errors of alignment do (default: none)",
    )
    rows.add_argument("--mel-bins", type=int, default=80, metavar="N", help="Mel bands")
    rows.add_argument("--mel-window", type=int, default=256, metavar="N", help="audio samples in a Mel window")
    rows.add_argument("--mel-fft", type=int, metavar="N", help="FFT size (default: the smallest without an empty band)")
    draws = parser.add_argument_group("Monte Carlo draws (of a checkpoint's latents)")
    draws.add_argument(
        "--samples",
        type=int,
        metavar="N",
        help="draws per utterance (default: 12; 100 with --estimator sample)",
    )
    draws.add_argument(
        "--estimator",
        choices=("sample", "posterior-mean"),
        help="average the drawn latents, as the paper does, or the posterior means along them, which needs fewer draws "
        "(default: posterior-mean)",
    )
    draws.add_argument("--memory", type=float, metavar="GB", help="memory limit of each worker (default: 1.0)")
    compute = parser.add_argument_group("computing")
    add_device(compute)
    compute.add_argument(
        "--workers",
        type=int,
        metavar="N",
        help="processes that extract side by side, each on one thread; the table does not depend on N (default: one "
        "per core, as far as memory allows; one on a GPU)",
    )
    compute.add_argument(
        "--cluster",
        metavar="ADDRESS",
        help="Dask scheduler, such as tcp://host:8786, whose workers extract instead (pip install "
        "'lvm-probe[cluster]'); corpus, checkpoint and table must have the same paths on all machines, and --device is "
        "that of the workers; the table is the same (default: this machine alone)",
    )
    output = parser.add_argument_group("output")
    output.add_argument(
        "--out", required=True, metavar="TABLE", help="folder of the token table; an interrupted run continues there"
    )
    output.add_argument(
        "--add",
        action="store_true",
        help="add these --units, --also and --context to the table in --out, made with the same other options; only "
        "what is missing is computed",
    )


def run(args: argparse.Namespace) -> Output:
    """Extract the parts of the table, or of the tables of several seeds, that are not there yet."""
    _check(args)
    args.corpus = str(Path(args.corpus).expanduser().absolute())  # error messages and the table name its files
    out, (first, *others) = Path(args.out), args.seeds or (args.seed,)
    tables = {first: out} | {seed: out.with_name(f"{out.name}-{seed}") for seed in others}
    for table in tables.values():
        check_writable(table)

    @functools.cache
    def corpus_at(sample_rate: int) -> Corpus:
        corpus = open_corpus(args, sample_rate).select(split=args.split, speakers=args.speaker)
        return corpus if args.move_boundaries is None else corpus.with_moved_boundaries(args.move_boundaries, args.seed)

    outputs = []
    for seed, table in tables.items():
        with locked(table):
            outputs.append(_write_table(args, seed, table, corpus_at))
    if args.seeds is None:
        return outputs[0]
    return Output({"tables": [output.document for output in outputs]}, "\n\n".join(output.text for output in outputs))


def _write_table(args: argparse.Namespace, seed: int, out: Path, corpus_at: Callable[[int], Corpus]) -> Output:
    """Extract the parts of one table that are not there yet.

    Args:
        args: the options.
        seed: of the draws and of untrained weights.
        out: folder of the table, locked.
        corpus_at: opens the corpus for a model of this sample rate.
    """
    from lvm_probe.models.checkpoints.checkpoint import Checkpoint
    from lvm_probe.probing.corpora import non_speech
    from lvm_probe.probing.corpora.corpus import abbreviated, unaligned
    from lvm_probe.probing.features import addition, extraction

    spec = _spec(args, seed)
    sampling = {
        name: value if getattr(args, name) is None else getattr(args, name) for name, value in MONTE_CARLO.items()
    }
    settings = extraction.Settings.of(
        samples=args.samples,
        estimator=sampling["estimator"],
        seed=seed,
        units=addition.units_wanted(args.units, out, add=args.add),
        untrained=args.untrained,
        mel=extraction.Mel(args.mel_bins, args.mel_window, args.mel_fft),
        also=args.also,
        context_ms=args.context,
        frame_ms=addition.frame_step(args.frame_step, out, add=args.add),
    )
    began = time.monotonic()
    with _executor(args, spec, sampling["memory"]) as executor:
        device = pick_device("cpu" if executor else args.device)
        opened = spec.open(device)
        rate = opened.model.config.sample_rate if isinstance(opened, Checkpoint) else opened.sample_rate
        corpus = corpus_at(rate)
        with bar(corpus.seconds, "extract") as advance:
            result = extraction.extract(
                opened,
                corpus,
                out,
                settings,
                device=device,
                memory_gb=sampling["memory"],
                strict=args.strict,
                versions=package_versions(),
                progress=advance,
                workers=args.workers,
                executor=executor,
                add=args.add,
            )
    seconds = time.monotonic() - began
    print_left_out(result.left_out)
    changed = print_changed_files(corpus, result.left_out)
    without = unaligned(corpus.utterances)
    left_out_labels = non_speech.count(corpus.utterances)
    labels = f"{non_speech.as_text(left_out_labels)}\n" if left_out_labels else ""
    document = {
        "tokens": sum(result.tokens.values()),
        "tokens_by_unit": result.tokens,
        "features": result.features,
        "audio_seconds": result.audio_seconds,
        "wall_seconds": seconds,
        "parts": result.parts,
        "parts_done": result.parts_done,
        "aligned": len(corpus.utterances) - len(without),
        "unaligned": without,
        "non_speech": left_out_labels,
        "left_out": list(result.left_out),
        "changed": changed,
        "table": str(out),
    }
    counts = ", ".join(f"{count:,} {unit} rows" for unit, count in result.tokens.items())
    features = ", ".join(f"{name} ({size})" for name, size in result.features.items())
    target = next((unit for unit in ("phoneme", "word") if result.tokens.get(unit)), "gender")
    there = result.parts - result.parts_done
    resumed = f" ({there} of {result.parts} parts were there already)" if there else ""
    rest = f"; no rows of phones or words: {abbreviated(without, 3)}" if without else ""
    aligned = f"aligned {len(corpus.utterances) - len(without):,} of {len(corpus.utterances):,} utterances{rest}"
    text = (
        f"{counts}\n{aligned}\n{labels}features: {features}\n"
        f"{result.audio_seconds:.0f} s of speech in {seconds:.0f} s{resumed}\n"
        f"table: {out}\nnext: probe compare --target {target} --latents {out}"
    )
    return Output(document, text)


def _check(args: argparse.Namespace) -> None:
    """Refuse options that do not apply to the model."""
    for name in MONTE_CARLO:
        if not args.ckpt and getattr(args, name) is not None:
            raise InputError(f"--{name}: only a --ckpt is sampled; leave it out")
    if args.weights and not (args.torchaudio or args.encoder):
        raise InputError("--weights: belongs to --torchaudio MODEL or an s3prl --encoder; leave it out")
    if args.layer and not (args.torchaudio or args.hf):
        raise InputError("--layer: belongs to --torchaudio MODEL or --hf FOLDER; leave it out")
    if args.cluster and args.workers is not None:
        raise InputError("--workers: those of --cluster are started on its machines; leave it out")
    if args.encoder and args.untrained:
        raise InputError("--untrained: needs --ckpt, --torchaudio or --hf; give an encoder with random weights instead")
    if args.seeds and not args.untrained:
        raise InputError("--seeds: draws the weights of --untrained; leave it out, or give --untrained")
    if args.seeds and args.seed:
        raise InputError(f"--seed {args.seed}: --seeds names them all; leave --seed out")


def _spec(args: argparse.Namespace, seed: int) -> SourceSpec:
    """The model by name."""
    from lvm_probe.probing.features.source_spec import SourceSpec

    return SourceSpec(
        checkpoint=args.ckpt,
        encoder=args.encoder,
        torchaudio=args.torchaudio,
        hf=Path(args.hf) if args.hf else None,
        weights=Path(args.weights) if args.weights else None,
        layers=tuple(args.layer or ()),
        untrained_seed=seed if args.untrained else None,
    )


@contextlib.contextmanager
def _executor(args: argparse.Namespace, spec: SourceSpec, memory_gb: float) -> Iterator[DaskExecutor | None]:
    """The cluster of `--cluster`, or None."""
    if args.cluster is None:
        yield None
        return
    from tqdm import tqdm

    from lvm_probe.probing.features.cluster import DaskExecutor, connect

    device = pick_device("auto").type if args.device == "auto" else args.device
    with connect(args.cluster) as client:
        yield DaskExecutor(client, spec, device, memory_gb, notice=lambda line: tqdm.write(line, file=sys.stderr))
