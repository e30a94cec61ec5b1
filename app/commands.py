"""What each command does: check the options, call the library, say what came out.

Heavy libraries are imported inside the functions that need them.
"""

from __future__ import annotations

import argparse
import contextlib
import math
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import torch

    from models.elbo import Evaluation
    from models.training import Progress
    from probing.corpus import Corpus
    from probing.recordings import Reading


MOST_NUMBERS = 10_000
"""Most numbers of neighbours in one range of --k."""


@dataclass(frozen=True)
class Answer:
    """One result, for machines and for people."""

    document: dict[str, Any]
    text: str


def version() -> str:
    from importlib.metadata import PackageNotFoundError, version

    try:
        return f"lvm-probe {version('lvm-probe')}"
    except PackageNotFoundError:
        return "lvm-probe (not installed)"


def user_errors() -> tuple[type[Exception], ...]:
    """Errors that are the user's to mend: those of the two rooms of the ground floor."""
    import analysis.errors
    import models.errors

    return analysis.errors.InputError, models.errors.InputError


def demo(args: argparse.Namespace) -> Answer:
    from app.demo import run

    return run(Path(args.out), seed=args.seed, device=_device(args.device), versions=_versions())


def models(args: argparse.Namespace) -> Answer:
    from models.families import FAMILIES, shipped

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

    document = describe(_open_corpus(args))
    return Answer(document, as_text(document))


def train(args: argparse.Namespace) -> Answer:
    from models.families import preset
    from probing.errors import InputError
    from probing.table import check_writable

    chosen = preset(args.family, args.preset)
    overrides = {"updates": args.updates, "batch": args.batch, "learning_rate": args.learning_rate}
    for name, value in overrides.items():
        if value is not None and not 0 < value < math.inf:
            raise InputError(f"--{name.replace('_', '-')} {value}: give a positive number")
    recipe = replace(chosen.recipe, **{k: v for k, v in overrides.items() if v is not None})
    out = Path(args.out)
    check_writable(out)
    corpus = _open_corpus(args, chosen.config.sample_rate)
    split = args.split or ("train" if "train" in corpus.splits else None)
    if split is None and len(corpus.splits) > 1:
        raise InputError(f"{corpus.root}: splits {', '.join(corpus.splits)}; name the one to train on with --split")
    if split:
        corpus = corpus.select(split=split)

    from models.checkpoint import BEST
    from models.families import family
    from models.training import LAST, Trainer
    from probing.recordings import hold_out

    if args.resume and not (out / LAST).exists():
        raise InputError(f"{out}: no {LAST} to resume from; leave out --resume to start, or name the run's folder")
    if not args.resume and (out / LAST).exists():
        raise InputError(f"{out}: holds a run already; go on with --resume or choose another --out")
    if not args.resume and (out / BEST).exists():
        raise InputError(f"{out}: holds a checkpoint already; choose another --out")
    ours, theirs = (_read(part, chosen.config.sample_rate, args) for part in hold_out(corpus, args.hold_out, args.seed))
    model = family(args.family).seeded(chosen.config, args.seed)
    provenance = {
        "preset": args.preset,
        "corpus": corpus.name,
        "corpus_fingerprint": corpus.fingerprint(),
        "train_seconds": round(ours.corpus.seconds, 1),
        "train_speakers": [s.id for s in ours.corpus.speakers],
        "validation_speakers": [s.id for s in theirs.corpus.speakers],
        "versions": _versions(),
    }
    trainer = Trainer(
        model,
        recipe,
        ours.recordings,
        theirs.recordings,
        out,
        seed=args.seed,
        device=_device(args.device),
        precision=args.precision,
        provenance=provenance,
    )
    if args.resume:
        trainer.resume()
    with _training_bar(trainer.update, recipe.updates) as report:
        best = trainer.run(report)
    document = {
        "checkpoint": str(best),
        "updates": trainer.update,
        "validation_bits_per_frame": trainer.best,
        "seconds": round(trainer.seconds, 1),
        "parameters": sum(p.numel() for p in model.parameters()),
        "left_out": [*ours.left_out, *theirs.left_out],
    }
    text = (
        f"{trainer.update} updates in {trainer.seconds / 60:.1f} minutes; best validation "
        f"{trainer.best:.3f} bits per frame\ncheckpoint: {best}\nnext: probe extract --ckpt {out} --corpus ... "
        f"--out latents/{out.name}"
    )
    return Answer(document, text)


def evaluate(args: argparse.Namespace) -> Answer:
    from models import checkpoint, elbo
    from probing.errors import InputError

    loaded = checkpoint.load(args.ckpt)
    device = _device(args.device)
    corpus = _open_corpus(args, loaded.model.config.sample_rate)
    if args.split == "validation" and "validation" not in corpus.splits:
        held = loaded.provenance.get("validation_speakers", [])
        if not held or not set(held) <= {s.id for s in corpus.speakers}:
            raise InputError(
                f"{corpus.root}: not the corpus that {loaded.path} was trained on: its validation speakers are not here"
            )
        corpus = corpus.select(speakers=held)
    elif args.split:
        corpus = corpus.select(split=args.split)
    rate = loaded.model.config.sample_rate
    read = _read(corpus, rate, args)
    with bar(read.corpus.seconds, "evaluate") as done:
        result = elbo.evaluate(
            loaded.model.to(device),
            read.recordings,
            seed=args.seed,
            progress=lambda samples: done(samples / rate),
        )
    document = {
        "bits_per_frame": result.bits_per_frame,
        "pcm_bits_per_frame": result.pcm_bits_per_frame,
        "elbo_nats": result.elbo,
        "kl_bits_per_frame": result.kl_bits_per_frame,
        "frames": result.frames,
        "utterances": result.utterances,
        "speakers": len(read.corpus.speakers),
        "left_out": list(read.left_out),
        "seed": args.seed,
        "checkpoint": str(loaded.path),
    }
    text = (
        f"{_bits(result)}\none-sample ELBO {result.elbo:,.0f} nats over {result.frames:,} frames of "
        f"{result.utterances} utterances, {len(read.corpus.speakers)} speakers"
    )
    return Answer(document, text)


def extract(args: argparse.Namespace) -> Answer:
    import time

    from models import checkpoint
    from probing import extraction, table

    out = Path(args.out)
    table.check_writable(out)
    settings = extraction.Settings(
        samples=args.samples,
        estimator=args.estimator,
        seed=args.seed,
        units=tuple(unit.strip() for unit in args.units.split(",") if unit.strip()),
        untrained=args.untrained,
        mel=extraction.Mel(args.mel_bins, args.mel_window, args.mel_fft),
    )
    began = time.monotonic()
    loaded = checkpoint.load(args.ckpt)
    device = _device(args.device)
    corpus = _open_corpus(args, loaded.model.config.sample_rate)
    if args.split:
        corpus = corpus.select(split=args.split)
    with bar(corpus.seconds, "extract") as done:
        result = extraction.extract(
            loaded,
            corpus,
            out,
            settings,
            device=device,
            memory_gb=args.memory,
            strict=args.strict,
            versions=_versions(),
            progress=done,
        )
    wall = time.monotonic() - began
    _say_left_out(result.left_out)
    document = {
        "tokens": sum(result.tokens.values()),
        "tokens_by_unit": result.tokens,
        "features": result.features,
        "audio_seconds": result.audio_seconds,
        "wall_seconds": wall,
        "parts": result.parts,
        "parts_done": result.parts_done,
        "left_out": list(result.left_out),
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


def knn(args: argparse.Namespace) -> Answer:
    return _probe(args, "knn")


def lda(args: argparse.Namespace) -> Answer:
    return _probe(args, "lda")


def _probe(args: argparse.Namespace, method: Any) -> Answer:
    from app.report import as_text, by_speaker, results_path, rows_as_json
    from probing import probes, table
    from probing.errors import InputError

    if args.permutations < 0:
        raise InputError(f"--permutations {args.permutations}: give 0 (no null) or more")
    if args.phones and args.target != "phoneme":
        raise InputError(f"--phones {args.phones}: folds phonemes, and the target is {args.target}; leave it out")
    ks = _numbers(args.k) if method == "knn" and args.k else None
    named = [Path(path) for path in args.latents or []] or [table.newest()]
    folders = list(dict.fromkeys(path if path.name not in ("", "..") else path.resolve() for path in named))
    tables = [table.load(folder) for folder in folders]
    if len({loaded.name for loaded in tables}) < len(tables):
        tables = [replace(loaded, name=str(loaded.path)) for loaded in tables]
    protocols = list(dict.fromkeys(args.protocol or [probes.default_protocol(args.target)]))
    left = (("no-sa", args.sa == "drop"), ("no-closures", args.closures == "drop"), ("silence", args.silence == "keep"))
    choices = [*([args.phones] if args.phones else []), *(word for word, chosen in left if chosen)]
    usual = results_path(folders, method, args.target, protocols, args.speaker or (), choices)
    out = Path(args.out) if args.out else usual
    table.check_writable(out.parent)
    if out.is_dir():
        raise InputError(f"{out}: a folder; give --out the name of a CSV file")
    if (out.parent / table.EXTRACTION).exists():
        raise InputError(f"{out}: inside a token table, where all files are its parts; choose another --out")

    import pandas as pd

    asked = [
        (
            loaded,
            probes.Question(
                target=args.target,
                method=method,
                protocol=protocol,
                features=tuple(name.strip() for name in (args.features or "").split(",") if name.strip()),
                speakers=tuple(args.speaker or ()),
                phones=args.phones,
                keep_sa=args.sa == "keep",
                keep_silence=args.silence == "keep",
                keep_closures=args.closures == "keep",
                lda_dims=args.lda_dims if method == "knn" else None,
                ks=ks,
                shrinkage=args.shrinkage,
                permutations=args.permutations,
                seed=args.seed,
            ),
        )
        for loaded in tables
        for protocol in protocols
    ]
    results = []
    for loaded, question in asked:
        with bar(1, f"{loaded.name}, {question.protocol}", unit="run") as done:
            results.append(probes.ask(loaded, question, lambda i, n, done=done: done(1 / n)))  # type: ignore[misc]
    frame = pd.concat(results, ignore_index=True)
    if not args.out and out.exists():
        print(f"notice: {out} is replaced; keep several with --out", file=sys.stderr)
    table.write_csv(out, frame)
    wrote = [out]
    if method == "knn" and args.plot:
        from figures import accuracy_over_k

        wrote += accuracy_over_k.write(frame, out.with_name(f"{out.stem}-over-k"))
    document = {"results": rows_as_json(frame), "wrote": [str(path) for path in wrote]}
    parts = [as_text(frame), *([by_speaker(frame)] if args.by_speaker else []), *(f"wrote {path}" for path in wrote)]
    return Answer(document, "\n".join(parts))


def _numbers(text: str) -> tuple[int, ...]:
    """`1-50`, `5` or `1,5,10-20` as numbers in rising order."""
    from probing.errors import InputError

    numbers: set[int] = set()
    for part in text.split(","):
        first, _, last = part.strip().partition("-")
        try:
            span = range(int(first), int(last or first) + 1)
            if not 0 < len(span) <= MOST_NUMBERS:
                raise ValueError
            numbers |= set(span)
        except ValueError:
            raise InputError(f"--k {text}: give a number, a range or a list, such as 1-50 or 1,5,10") from None
    if not numbers or min(numbers) < 1:
        raise InputError(f"--k {text}: neighbours are counted from 1")
    return tuple(sorted(numbers))


def _open_corpus(args: argparse.Namespace, sample_rate: int = 16_000) -> Corpus:
    from probing.corpora import open_corpus

    path = args.path if "path" in args else args.corpus
    opened = open_corpus(
        Path(path),
        layout=args.layout,
        strict=args.strict,
        resample=not args.no_resample,
        sample_rate=sample_rate,
        phoneme_tier=args.phoneme_tier,
        word_tier=args.word_tier,
    )
    if args.name != "corpus":  # which lists them itself
        for problem in opened.problems[:20]:
            print(f"{problem.severity}: {problem}", file=sys.stderr)
        if len(opened.problems) > 20:
            print(f"... and {len(opened.problems) - 20} more: probe corpus {path}", file=sys.stderr)
    return opened


def _read(corpus: Corpus, sample_rate: int, args: argparse.Namespace) -> Reading:
    """The recordings that can be read; says which cannot."""
    from probing.recordings import readable

    with bar(corpus.seconds, "read", delay=1) as done:
        reading = readable(corpus, sample_rate, strict=args.strict, progress=done)
    _say_left_out(reading.left_out)
    return reading


def _say_left_out(reasons: Sequence[str]) -> None:
    for reason in reasons:
        print(f"left out: {reason}", file=sys.stderr)


def _device(name: str) -> torch.device:
    import torch

    from probing.errors import InputError

    if name == "auto":
        name = "cuda" if torch.cuda.is_available() else "cpu"
    if name == "cuda" and not torch.cuda.is_available():
        raise InputError("--device cuda: PyTorch sees no CUDA device here; use --device cpu")
    return torch.device(name)


def _versions() -> dict[str, str]:
    import platform
    from importlib.metadata import version as of

    packages = ("torch", "torchaudio", "numpy", "scikit-learn", "pyarrow")
    return {
        "lvm-probe": version().split()[-1],
        "python": platform.python_version(),
        **{p: of(p) for p in packages},
    }


@contextlib.contextmanager
def bar(total: float, what: str, unit: str = "s", delay: float = 0) -> Iterator[Callable[[float], None]]:
    """A progress bar on standard error, shown after `delay` seconds; yields the function that moves it on."""
    from tqdm import tqdm

    form = "{desc}: {percentage:3.0f}%|{bar}| {elapsed}<{remaining}"
    if unit == "s":
        form += " {n:.0f}/{total:.0f} s of speech"
    with tqdm(total=total, desc=what, bar_format=form, dynamic_ncols=True, disable=None, delay=delay) as shown:

        def move(amount: float) -> None:
            shown.update(min(amount, total - shown.n))

        yield move


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
            self.bar.write(f"update {progress.update}: validation {_bits(progress.validation)}", file=sys.stderr)

    def __exit__(self, *_: object) -> None:
        self.bar.close()


def _bits(result: Evaluation) -> str:
    kl = ", ".join(f"{layer} {bits:.4f}" for layer, bits in result.kl_bits_per_frame.items())
    return f"{result.bits_per_frame:.3f} bits per frame (KL {kl}), PCM code length {result.pcm_bits_per_frame:.3f}"
