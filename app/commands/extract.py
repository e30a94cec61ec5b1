"""`probe extract`: a token table from a corpus and a checkpoint, an encoder of one's own, or a torchaudio model."""

from __future__ import annotations

import argparse
import contextlib
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lvm_probe.app.output import (
    Answer,
    alone,
    bar,
    open_corpus,
    package_versions,
    pick_device,
    say_changed,
    say_left_out,
)

if TYPE_CHECKING:
    from lvm_probe.probing.features.cluster import DaskExecutor
    from lvm_probe.probing.features.source_spec import SourceSpec

MONTE_CARLO: dict[str, Any] = {"samples": None, "estimator": "posterior-mean", "memory": 1.0}
"""Options of a checkpoint alone, and their defaults: nothing else is sampled."""


def options(sub: argparse.ArgumentParser) -> None:
    given = sub.add_mutually_exclusive_group(required=True)
    given.add_argument("--ckpt", help="checkpoint file, run folder or shipped name")
    given.add_argument(
        "--encoder",
        metavar="FILE.py:NAME",
        help="your own encode(wave), also as package.module:NAME; the current folder is importable; see "
        "docs/own-features.md",
    )
    given.add_argument(
        "--torchaudio", metavar="MODEL", help="a speech model as torchaudio builds it, such as hubert_base"
    )
    sub.add_argument("--weights", metavar="FILE", help="state dict of the torchaudio model; nothing is downloaded")
    sub.add_argument("--layer", type=int, action="append", metavar="L", help="layer of it, from 1; may be repeated")
    sub.add_argument("--corpus", required=True, metavar="PATH", help="folder of the corpus")
    sub.add_argument("--split", default=None, help="only this split of the corpus")
    sub.add_argument("--out", required=True, metavar="TABLE", help="folder of the token table")
    sub.add_argument(
        "--samples",
        type=int,
        default=None,
        help="Monte Carlo samples an utterance (default: 12 with posterior-mean, 100 with sample)",
    )
    sub.add_argument(
        "--estimator",
        choices=("sample", "posterior-mean"),
        default=None,
        help="average the samples (the paper: 100), or the posterior means along them (default: posterior-mean)",
    )
    sub.add_argument("--units", default="phoneme", help="comma-separated: phoneme, word, utterance")
    sub.add_argument(
        "--also",
        default="",
        metavar="WHAT",
        help="more features, comma-separated: mfcc, stats (of raw frames), states (h1, ... of a model with latents), "
        "halves (means of a token's halves, of layers and Mel) (default: none)",
    )
    sub.add_argument("--untrained", action="store_true", help="the same model with random weights, as a baseline")
    sub.add_argument(
        "--memory",
        type=float,
        default=None,
        metavar="GB",
        help="memory limit for the Monte Carlo draws, in each worker (default: 1.0)",
    )
    sub.add_argument(
        "--workers",
        type=int,
        metavar="N",
        help="processes that extract side by side, each on one thread; the table is the same for every N (default: "
        "one per core, as far as memory allows; one on a GPU)",
    )
    sub.add_argument(
        "--cluster",
        metavar="ADDRESS",
        help="Dask scheduler, such as tcp://host:8786, whose workers extract instead (pip install "
        "'lvm-probe[cluster]'); corpus, checkpoint and table must have the same paths on all machines, and --device is "
        "that of the workers; the table is the same",
    )
    sub.add_argument("--mel-bins", type=int, default=80, help="Mel bands")
    sub.add_argument("--mel-window", type=int, default=256, help="samples of a Mel frame's window")
    sub.add_argument("--mel-fft", type=int, default=None, help="FFT size (default: the shortest with no empty band)")


@alone
def run(args: argparse.Namespace) -> Answer:
    import time

    from lvm_probe.models.checkpoints.checkpoint import Checkpoint
    from lvm_probe.probing.features import extraction, token_table

    out = Path(args.out)
    token_table.check_writable(out)
    _check(args)
    spec = _spec(args)
    args.corpus = str(Path(args.corpus).expanduser().absolute())  # the table says of a file where it lay
    sampling = {
        name: value if getattr(args, name) is None else getattr(args, name) for name, value in MONTE_CARLO.items()
    }
    settings = extraction.Settings.of(
        samples=args.samples,
        estimator=sampling["estimator"],
        seed=args.seed,
        units=_names(args.units),
        untrained=args.untrained,
        mel=extraction.Mel(args.mel_bins, args.mel_window, args.mel_fft),
        also=_names(args.also),
    )
    began = time.monotonic()
    with _executor(args, spec, sampling["memory"]) as executor:
        device = pick_device("cpu" if executor else args.device)
        opened = spec.open(device)
        rate = opened.model.config.sample_rate if isinstance(opened, Checkpoint) else opened.sample_rate
        corpus = open_corpus(args, rate)
        if args.split:
            corpus = corpus.select(split=args.split)
        with bar(corpus.seconds, "extract") as done:
            result = extraction.extract(
                opened,
                corpus,
                out,
                settings,
                device=device,
                memory_gb=sampling["memory"],
                strict=args.strict,
                versions=package_versions(),
                progress=done,
                workers=args.workers,
                executor=executor,
            )
    wall = time.monotonic() - began
    say_left_out(result.left_out)
    changed = say_changed(corpus, result.left_out)
    document = {
        "tokens": sum(result.tokens.values()),
        "tokens_by_unit": result.tokens,
        "features": result.features,
        "audio_seconds": result.audio_seconds,
        "wall_seconds": wall,
        "parts": result.parts,
        "parts_done": result.parts_done,
        "left_out": list(result.left_out),
        "changed": changed,
        "table": str(out),
    }
    counts = ", ".join(f"{count:,} {unit} rows" for unit, count in result.tokens.items())
    names = ", ".join(f"{name} ({size})" for name, size in result.features.items())
    target = "phoneme" if result.tokens.get("phoneme") else "gender"
    resumed = "" if result.parts_done == result.parts else f" ({result.parts - result.parts_done} parts were there)"
    text = (
        f"{counts}\nfeatures: {names}\n{result.audio_seconds:.0f} s of speech in {wall:.0f} s{resumed}\n"
        f"table: {out}\nnext: probe knn --target {target} --latents {out}"
    )
    return Answer(document, text)


def _names(text: str) -> tuple[str, ...]:
    return tuple(name.strip() for name in text.split(",") if name.strip())


def _check(args: argparse.Namespace) -> None:
    """Refuse options that what is given has no use for."""
    from lvm_probe import InputError

    for name in MONTE_CARLO:
        if not args.ckpt and getattr(args, name) is not None:
            raise InputError(f"--{name}: only a --ckpt is sampled; leave it out")
    if not args.torchaudio and (args.weights or args.layer):
        raise InputError(f"{'--weights' if args.weights else '--layer'}: belongs to --torchaudio MODEL; leave it out")
    if args.cluster and args.workers is not None:
        raise InputError("--workers: those of --cluster are started on its machines; leave it out")
    if args.encoder and args.untrained:
        raise InputError("--untrained: your encoder's weights are its own affair; leave it out")


def _spec(args: argparse.Namespace) -> SourceSpec:
    """The name of the model."""
    from lvm_probe.probing.features.source_spec import SourceSpec

    return SourceSpec(
        checkpoint=args.ckpt,
        encoder=args.encoder,
        torchaudio=args.torchaudio,
        weights=Path(args.weights) if args.weights else None,
        layers=tuple(args.layer or ()),
        untrained_seed=args.seed if args.untrained else None,
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
