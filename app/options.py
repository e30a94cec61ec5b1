"""Options that several commands share, and what they open: a corpus, its recordings, a device."""

from __future__ import annotations

import argparse
import math
import re
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from lvm_probe import InputError
from lvm_probe.app.output import print_left_out
from lvm_probe.probing.corpora.registry import LAYOUTS
from lvm_probe.probing.progress import bar

if TYPE_CHECKING:
    from lvm_probe.probing.corpora.corpus import Corpus
    from lvm_probe.probing.corpora.recordings import LoadedRecordings

SHOWN_PROBLEMS = 20
PHONES = "fold TIMIT's or ARPAbet labels to this set (default: labels as they are); arpabet is ARPAbet without stress"
PHONE_SET = "what the phone labels are written in (default: recognised); others are left out by name"
CKPT = "checkpoint file, run folder or shipped name"


def add_general(parser: argparse.ArgumentParser) -> None:
    """`--help`, `--seed` and `--json`, which every command has."""
    group = parser.add_argument_group("general")
    group.add_argument("--seed", type=_seed, default=0, metavar="N", help="seed of all random numbers")
    group.add_argument("--json", action="store_true", help="print one JSON document; messages go to standard error")
    group.add_argument("-h", "--help", action="help", help="show this help and exit")


def add_device(group: argparse._ActionsContainer) -> None:
    """`--device`; see `models.device.pick_device`."""
    group.add_argument("--device", choices=("auto", "cpu", "cuda"), default="auto", help="where to compute")


def add_corpus(
    parser: argparse.ArgumentParser,
    *,
    required: bool = True,
    repeatable: bool = False,
    help: str = "folder of the corpus",
) -> argparse._ArgumentGroup:
    """The group of `--corpus` and the options of how to read it; see `open_corpus`, or if repeatable `open_corpora`."""
    group = parser.add_argument_group("corpus")
    action = "append" if repeatable else "store"
    group.add_argument("--corpus", required=required, action=action, metavar="PATH", help=help)
    add_reading(group)
    return group


def add_reading(group: argparse._ActionsContainer) -> None:
    """How to read a corpus."""
    group.add_argument(
        "--layout", choices=("auto", *LAYOUTS), default="auto", help="how files and annotations are laid out"
    )
    group.add_argument(
        "--speaker-from",
        metavar="RULE",
        help="what names the speakers of TextGrid, .lab and CTM folders: a folder level (1, 2, ... from the corpus, "
        "-1 for the file's own), a table.csv with the columns file,speaker, or a pattern such as '([a-z]+)_' (default: "
        "the nearest folder, or the file name up to the first _ or -)",
    )
    group.add_argument("--strict", action="store_true", help="stop at the first unusable utterance")
    group.add_argument("--no-resample", action="store_true", help="leave out audio of another sample rate")
    group.add_argument(
        "--phoneme-tier",
        metavar="NAME",
        help="TextGrid tier of the phonemes, by name or number, or their CTM file (default: usual names)",
    )
    group.add_argument("--word-tier", metavar="NAME", help="TextGrid tier or CTM file of the words, likewise")
    group.add_argument(
        "--non-speech",
        metavar="LABEL,LABEL",
        help="more labels of noises and unknown words, which are neither phonemes nor words; <>, [] and {} stand for "
        "all labels in such brackets, and a - says that a label is speech, as in --non-speech=-br,-[]",
    )


def refuse_reading(args: argparse.Namespace) -> None:
    """Raise InputError if how to read speech is said of a corpus that holds none."""
    reading = argparse.ArgumentParser(add_help=False)
    add_reading(reading)
    for name, default in vars(reading.parse_args([])).items():
        if getattr(args, name) != default:
            raise InputError(f"--{name.replace('_', '-')}: {args.corpus} holds no speech; leave it out")


def add_part(group: argparse._ActionsContainer) -> None:
    """`--split` and `--speaker`: the part of the corpus to use."""
    group.add_argument("--split", metavar="NAME", help="only this split of the corpus")
    group.add_argument(
        "--speaker", type=names, action="extend", metavar="ID,ID", help="only these speakers; repeatable"
    )


def seeds(text: str) -> tuple[int, ...]:
    """The type of options such as `--seeds 0,1,2`."""
    numbers = tuple(_seed(part.strip()) for part in text.split(","))
    if len(set(numbers)) < len(numbers):
        raise argparse.ArgumentTypeError(f"'{text}': give each seed once")
    return numbers


def milliseconds(text: str) -> float:
    """The type of options such as `--context 40ms`, which may be in seconds too, as in `0.04s`."""
    found = re.fullmatch(r"([0-9]+(?:\.[0-9]+)?) ?(ms|s)", text.strip())
    if found is None:
        raise argparse.ArgumentTypeError(f"'{text}': give a time with its unit, such as 40ms or 0.04s")
    return round(float(found[1]) * (1000 if found[2] == "s" else 1), 6)


def whole_numbers(text: str) -> tuple[int, ...]:
    """The type of options such as `--strides 64,512`: whole numbers from 1, in the order given."""
    try:
        numbers = tuple(int(part) for part in text.split(","))
    except ValueError:
        raise argparse.ArgumentTypeError(f"'{text}' is no list of whole numbers such as 64,512") from None
    if min(numbers) < 1:
        raise argparse.ArgumentTypeError(f"'{text}': give whole numbers from 1")
    return numbers


def numbers(text: str) -> tuple[float, ...]:
    """The type of options such as `--gain -20,0`: finite numbers, in the order given."""
    try:
        found = tuple(float(part) for part in text.split(","))
    except ValueError:
        raise argparse.ArgumentTypeError(f"'{text}' is no list of numbers such as -20,0") from None
    if not all(math.isfinite(number) for number in found):
        raise argparse.ArgumentTypeError(f"'{text}': give finite numbers")
    return found


def names(text: str) -> tuple[str, ...]:
    """The type of options such as `--units phoneme,word`."""
    return tuple(name.strip() for name in text.split(",") if name.strip())


def open_corpus(args: argparse.Namespace, sample_rate: int = 16_000, *, print_problems: bool = True) -> Corpus:
    """The corpus at `--corpus`; its problems are printed on standard error."""
    return _open(args.corpus, args, sample_rate, print_problems)


def open_corpora(args: argparse.Namespace, sample_rate: int) -> list[Corpus]:
    """The corpora at a repeatable `--corpus`, all read by the same options; refuses a folder that is given twice."""
    from lvm_probe.probing.corpora.training_corpora import prefixes

    prefixes([Path(path) for path in args.corpus])
    return [_open(path, args, sample_rate, print_problems=True) for path in args.corpus]


def _open(path: str, args: argparse.Namespace, sample_rate: int, print_problems: bool) -> Corpus:
    from lvm_probe.probing import corpora

    corpus = corpora.open_corpus(
        Path(path),
        layout=args.layout,
        strict=args.strict,
        resample=not args.no_resample,
        sample_rate=sample_rate,
        phoneme_tier=args.phoneme_tier,
        word_tier=args.word_tier,
        speaker_from=args.speaker_from,
        non_speech=names(args.non_speech or ""),
    )
    if print_problems:
        for problem in corpus.problems[:SHOWN_PROBLEMS]:
            print(f"{problem.severity}: {problem}", file=sys.stderr)
        if len(corpus.problems) > SHOWN_PROBLEMS:
            more = len(corpus.problems) - SHOWN_PROBLEMS
            print(f"... and {more} more: probe corpus {path}", file=sys.stderr)
    return corpus


def read_recordings(corpus: Corpus, sample_rate: int, args: argparse.Namespace) -> LoadedRecordings:
    """The recordings that can be read; the others are named on standard error."""
    from lvm_probe.probing.corpora.recordings import load_recordings

    with bar(corpus.seconds, "read", delay=1) as advance:
        reading = load_recordings(corpus, sample_rate, strict=args.strict, progress=advance)
    print_left_out(reading.left_out)
    return reading


def _seed(text: str) -> int:
    if not (text.isascii() and text.isdigit() and int(text) < 1 << 63):
        raise argparse.ArgumentTypeError(f"'{text}' is no whole number from 0 to 2^63 - 1")
    return int(text)
