"""What the commands share: their answer, the corpus they were given, a device, a progress bar.

Heavy libraries are imported inside the functions that need them.
"""

from __future__ import annotations

import argparse
import functools
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lvm_probe.models.device import pick_device as pick_device
from lvm_probe.models.io.provenance import package_versions as package_versions
from lvm_probe.probing.progress import bar as bar

if TYPE_CHECKING:
    import pandas as pd

    from lvm_probe.probing.corpora.corpus import Corpus
    from lvm_probe.probing.corpora.recordings import LoadedRecordings


def rows_as_json(frame: pd.DataFrame) -> list[dict[str, Any]]:
    """The rows of a data frame, null where a number is not known."""
    columns = [
        [None if isinstance(value, float) and value != value else value for value in frame[name].tolist()]
        for name in frame
    ]
    names = [str(name) for name in frame]
    return [dict(zip(names, row, strict=True)) for row in zip(*columns, strict=True)]


@dataclass(frozen=True)
class Answer:
    """One result, for machines and for people."""

    document: dict[str, Any]
    text: str


def alone(run: Callable[[argparse.Namespace], Answer]) -> Callable[[argparse.Namespace], Answer]:
    """The command with its --out folder to itself: a second run there is refused while the first is at work.

    Of processes that share the work (--devices), the first holds the folder for all.
    """

    @functools.wraps(run)
    def held(args: argparse.Namespace) -> Answer:
        from lvm_probe.models.io.lock import locked
        from lvm_probe.probing.features.token_table import check_writable

        if getattr(args, "devices", 1) > 1:
            from lvm_probe.models.training.distributed import is_secondary_process

            if is_secondary_process():
                return run(args)
        check_writable(Path(args.out))
        with locked(Path(args.out)):
            return run(args)

    return held


def version() -> str:
    from lvm_probe.models.io.provenance import package_version

    return f"lvm-probe {package_version()}"


def open_corpus(args: argparse.Namespace, sample_rate: int = 16_000) -> Corpus:
    from lvm_probe.probing import corpora

    path = args.path if "path" in args else args.corpus
    opened = corpora.open_corpus(
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


def read_recordings(corpus: Corpus, sample_rate: int, args: argparse.Namespace) -> LoadedRecordings:
    """The recordings that can be read; says which cannot."""
    from lvm_probe.probing.corpora.recordings import load_recordings

    with bar(corpus.seconds, "read", delay=1) as done:
        reading = load_recordings(corpus, sample_rate, strict=args.strict, progress=done)
    say_left_out(reading.left_out)
    return reading


def say_left_out(reasons: Sequence[str]) -> None:
    for reason in reasons:
        print(f"left out: {reason}", file=sys.stderr)


def say_changed(corpus: Corpus, left_out: Sequence[str] = ()) -> list[str]:
    """What has changed in a corpus while the command was at work, but for what is left out because of it."""
    said = [line for line in corpus.changed() if not any(reason.startswith(line) for reason in left_out)]
    for line in said[:20]:
        print(f"notice: {line}; the result is of what it held before", file=sys.stderr)
    if len(said) > 20:
        print(f"notice: ... and {len(said) - 20} files more", file=sys.stderr)
    return said
