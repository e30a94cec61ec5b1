"""`probe zerospeech`: ABX over frames, as the ZeroSpeech challenges and fastabx do it."""

from __future__ import annotations

import argparse
import json
from fractions import Fraction
from pathlib import Path
from typing import Any, get_args

from lvm_probe import InputError
from lvm_probe.app.options import names
from lvm_probe.app.output import Output, csv_file, in_columns, rows_as_json
from lvm_probe.models.io.files import write_csv
from lvm_probe.probing.progress import bar

SUMMARY = "ABX over frames with warping in time, as ZeroSpeech and fastabx do it"
EXAMPLES = ("probe zerospeech --frames frames/timit --speakers within --context any --max-tokens 5",)

ITEMS = {"phoneme": "phones.item", "triphone": "triphones.item"}
CONTEXTS = ("within", "any")


def options(parser: argparse.ArgumentParser) -> None:
    what = parser.add_argument_group("what to compare")
    what.add_argument(
        "--frames", required=True, metavar="DIR", help="what `probe export --frames` writes, or folders of FILE.npy"
    )
    what.add_argument(
        "--layer", type=names, action="extend", metavar="NAME,NAME", help="folders in --frames (default: all)"
    )
    what.add_argument(
        "--frequency",
        type=_frequency,
        metavar="HZ",
        help="frames per second, such as 50 or 16000/512 (default: what frames.json says)",
    )
    what.add_argument(
        "--unit", choices=tuple(ITEMS), default="phoneme", help="whose item file in --frames lists the tokens"
    )
    what.add_argument("--item", metavar="FILE", help="another item file (default: that of --unit)")
    task = parser.add_argument_group("task")
    task.add_argument(
        "--speakers", type=names, default=("within", "across"), metavar="HOW", help="within, across (default: both)"
    )
    task.add_argument(
        "--context",
        type=names,
        default=("within",),
        metavar="HOW",
        help="within: A, B and X have the same neighbours; any (default: within)",
    )
    task.add_argument(
        "--max-tokens",
        type=int,
        metavar="N",
        help="at most N tokens of a phone, speaker and context, drawn at random; for --context any (default: all)",
    )
    output = parser.add_argument_group("output")
    output.add_argument("--out", metavar="FILE", help="CSV of the scores (default: zerospeech.csv in --frames)")


def run(args: argparse.Namespace) -> Output:
    """The error rate of every layer and task."""
    import pandas as pd

    from lvm_probe.analysis.frame_abx import Mode
    from lvm_probe.probing.questions import zerospeech

    folder = Path(args.frames)
    for option, given, known in (("--speakers", args.speakers, get_args(Mode)), ("--context", args.context, CONTEXTS)):
        if not given or not set(given) <= set(known):
            raise InputError(f"{option} {','.join(given)}: give {' or '.join(known)}, or both")
    if args.max_tokens is not None and args.max_tokens < 2:
        raise InputError(f"--max-tokens {args.max_tokens}: give 2 or more, for A and X are two tokens")
    frequencies = _frequencies(folder, args.layer, args.frequency)
    items = zerospeech.read_items(Path(args.item) if args.item else folder / ITEMS[args.unit])
    out = csv_file(args.out or folder / "zerospeech.csv")
    rows: list[dict[str, Any]] = []
    tasks = [(layer, mode, context) for layer in frequencies for mode in args.speakers for context in args.context]
    with bar(len(tasks), "zerospeech", unit="run") as advance:
        for layer, mode, context in tasks:
            try:
                found = zerospeech.score(
                    folder / layer, frequencies[layer], items, mode=mode, within_context=context == "within",
                    max_tokens=args.max_tokens, seed=args.seed,
                )  # fmt: skip
            except InputError as error:
                raise InputError(f"{layer}, {mode} speakers, {context} context: {error}") from None
            rows.append(
                {
                    "layer": layer, "unit": Path(args.item).name if args.item else args.unit, "speakers": mode,
                    "context": context, "error": found.result.error, "ci_low": found.interval[0],
                    "ci_high": found.interval[1], "chance": 0.5, "frequency_hz": float(frequencies[layer]),
                    "tokens": found.tokens, "without_a_frame": found.left_out[0], "not_drawn": found.left_out[1],
                    "cells": found.result.cells, "triples": found.result.triples,
                }
            )  # fmt: skip
            advance(1)
    frame = pd.DataFrame(rows)
    write_csv(out, frame)
    table = [["layer", "speakers", "context", "error", "95 %", "tokens", "no frame", "triples"]]
    for row in rows:
        interval = f"{row['ci_low']:.1%} to {row['ci_high']:.1%}" if row["ci_low"] == row["ci_low"] else ""
        table.append(
            [
                row["layer"], row["speakers"], row["context"], f"{row['error']:.1%}", interval, f"{row['tokens']:,}",
                f"{row['without_a_frame']:,}", f"{row['triples']:,}",
            ]
        )  # fmt: skip
    text = "\n".join(["ABX error rate (chance 50 %):", *in_columns(table, left=3), "", f"wrote {out}"])
    return Output({"results": rows_as_json(frame), "wrote": [str(out)]}, text)


def _frequencies(folder: Path, layers: list[str] | None, given: Fraction | None) -> dict[str, Fraction]:
    """The frequency of every layer, exact: the sample rate over the stride."""
    index = folder / "frames.json"
    if given is not None:
        found = {name: given for name in layers or sorted(path.name for path in folder.glob("*") if path.is_dir())}
    elif index.is_file():
        try:
            document = json.loads(index.read_text(encoding="utf-8"))
            found = {
                name: Fraction(document["sample_rate"], layer["stride"]) for name, layer in document["layers"].items()
            }
        except (ValueError, KeyError, TypeError, ZeroDivisionError):
            raise InputError(f"{index}: is not what `probe export --frames` writes; export again") from None
    else:
        raise InputError(f"{folder}: no frames.json here; give --frequency, the frames per second of your arrays")
    if unknown := [name for name in layers or () if name not in found or not (folder / name).is_dir()]:
        raise InputError(f"--layer {unknown[0]}: not in {folder}; it has {', '.join(found)}")
    if not found:
        raise InputError(f"{folder}: no folders of arrays here; give --frames their parent")
    return {name: found[name] for name in layers or found}


def _frequency(text: str) -> Fraction:
    try:
        value = Fraction(text)
    except (ValueError, ZeroDivisionError):
        value = Fraction(0)
    if value <= 0:
        raise argparse.ArgumentTypeError(f"'{text}': give frames per second, such as 50 or 16000/512")
    return value
