"""What each command does: check the options, call the library, say what came out.

Heavy libraries are imported inside the functions that need them.
"""

from __future__ import annotations

import argparse
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

from app.shared import Answer, bar, open_corpus, package_versions, pick_device, say_left_out

MOST_NUMBERS = 10_000
"""Most numbers of neighbours in one range of --k."""


def user_errors() -> tuple[type[Exception], ...]:
    """Errors that are the user's to mend: those of the two rooms of the ground floor."""
    import analysis.errors
    import models.errors

    return analysis.errors.InputError, models.errors.InputError


def demo(args: argparse.Namespace) -> Answer:
    from app.demo import run

    return run(Path(args.out), seed=args.seed, device=pick_device(args.device), versions=package_versions())


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
    device = pick_device(args.device)
    corpus = open_corpus(args, loaded.model.config.sample_rate)
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
            versions=package_versions(),
            progress=done,
        )
    wall = time.monotonic() - began
    say_left_out(result.left_out)
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
