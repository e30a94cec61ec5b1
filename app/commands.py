"""What each command does: check the options, call the library, say what came out.

Heavy libraries are imported inside the functions that need them.
"""

from __future__ import annotations

import argparse
import sys
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import torch

    from models.elbo import Evaluation
    from models.training import Progress
    from probing.corpus import Corpus


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
    """Errors that are the user's to mend, one class from each room."""
    import analysis.errors
    import models.errors
    import probing.errors

    return analysis.errors.InputError, models.errors.InputError, probing.errors.InputError


def train(args: argparse.Namespace) -> Answer:
    from models.presets import preset

    chosen = preset(args.family, args.preset)
    overrides = {"updates": args.updates, "batch": args.batch, "learning_rate": args.learning_rate}
    recipe = replace(chosen.recipe, **{k: v for k, v in overrides.items() if v is not None})
    corpus = _open_corpus(args, chosen.config.sample_rate)
    split = args.split or ("train" if "train" in corpus.splits else None)
    if split:
        corpus = corpus.select(split=split)

    import torch

    from models.cwvae import CWVAE
    from models.errors import InputError
    from models.training import LAST, Trainer
    from probing.recordings import hold_out, recordings

    out = Path(args.out)
    if args.resume and not (out / LAST).exists():
        raise InputError(f"{out}: no {LAST} to resume from; leave out --resume to start, or name the run's folder")
    if not args.resume and (out / LAST).exists():
        raise InputError(f"{out}: holds a run already; go on with --resume or choose another --out")
    ours, theirs = hold_out(corpus, args.hold_out, args.seed)
    torch.manual_seed(args.seed)  # the initial weights; everything after has its own generator
    model = CWVAE(chosen.config)
    provenance = {
        "preset": args.preset,
        "corpus": corpus.name,
        "corpus_fingerprint": corpus.fingerprint(),
        "train_seconds": round(ours.seconds, 1),
        "train_speakers": [s.id for s in ours.speakers],
        "validation_speakers": [s.id for s in theirs.speakers],
        "versions": _versions(),
    }
    trainer = Trainer(
        model,
        recipe,
        recordings(ours, chosen.config.sample_rate),
        recordings(theirs, chosen.config.sample_rate),
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
    }
    text = (
        f"{trainer.update} updates in {trainer.seconds / 60:.1f} minutes; best validation "
        f"{trainer.best:.3f} bits per frame\ncheckpoint: {best}\nnext: probe extract --ckpt {out} --corpus ... "
        f"--out latents/{out.name}"
    )
    return Answer(document, text)


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


def _device(name: str) -> torch.device:
    import torch

    from models.errors import InputError

    if name == "auto":
        name = "cuda" if torch.cuda.is_available() else "cpu"
    if name == "cuda" and not torch.cuda.is_available():
        raise InputError("--device cuda: PyTorch sees no CUDA device here; use --device cpu")
    return torch.device(name)


def _versions() -> dict[str, str]:
    import platform
    from importlib.metadata import version as of

    packages = ("torch", "torchaudio", "numpy", "scikit-learn", "pyarrow")
    return {"lvm-probe": version().split()[-1], "python": platform.python_version(), **{p: of(p) for p in packages}}


class _training_bar:
    """A progress bar that shows bits per frame, and a line for every validation."""

    def __init__(self, first: int, last: int) -> None:
        self.first, self.last = first, last

    def __enter__(self) -> Any:
        from tqdm import tqdm

        self.bar = tqdm(total=self.last, initial=self.first, unit="update", dynamic_ncols=True, mininterval=1)
        self.smooth = 0.0
        return self.report

    def report(self, progress: Progress) -> None:
        self.bar.update(progress.update - self.bar.n)
        self.smooth = progress.bits_per_frame if not self.smooth else 0.98 * self.smooth + 0.02 * progress.bits_per_frame
        self.bar.set_postfix_str(f"{self.smooth:.2f} bits per frame", refresh=False)
        if progress.validation is not None:
            self.bar.write(f"update {progress.update}: validation {_bits(progress.validation)}", file=sys.stderr)

    def __exit__(self, *_: object) -> None:
        self.bar.close()


def _bits(result: Evaluation) -> str:
    kl = ", ".join(f"{layer} {bits:.4f}" for layer, bits in result.kl_bits_per_frame.items())
    return f"{result.bits_per_frame:.3f} bits per frame (KL {kl}), PCM code length {result.pcm_bits_per_frame:.3f}"
