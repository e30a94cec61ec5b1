"""ABX as ZeroSpeech does it: arrays of frames and an item file, from any model and corpus.

The arrays and item files are those of `exports/frames.py`, or others of the same form: `FOLDER/FILE.npy` (steps, dims)
for every `#file` of the item file, whose columns are `#file onset offset #phone prev-phone next-phone speaker`.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any, Literal, get_args

import numpy as np
import pandas as pd

from lvm_probe import InputError
from lvm_probe.analysis.frame_abx import FrameAbx, Mode, Tokens, frame_abx, frame_bounds
from lvm_probe.analysis.statistics import Jackknife, mean_interval
from lvm_probe.probing.corpora.intake import InvalidFile, read_lines
from lvm_probe.probing.questions.formatting import as_percent, as_signed_range

Unit = Literal["phoneme", "triphone"]
Context = Literal["within", "any"]

ITEMS: dict[Unit, str] = {"phoneme": "phones.item", "triphone": "triphones.item"}
"""The item files beside the arrays of `exports/frames.py`, by what their tokens are."""

COLUMNS = ("#file", "onset", "offset", "#phone", "prev-phone", "next-phone", "speaker")


@dataclass(frozen=True)
class Item:
    """A row of an item file; times in seconds, exact."""

    line: int
    file: str
    onset: Fraction
    offset: Fraction
    phone: str
    context: tuple[str, str]
    speaker: str


def read_items(path: Path) -> list[Item]:
    """The rows of an item file.

    Raises:
        InputError: it cannot be read, lacks a column, or has a row that is malformed.
    """
    lines = list(read_lines(path))
    if not lines:
        raise InputError(f"{path}: is empty; the first line names the columns: {' '.join(COLUMNS)}")
    head = lines[0][1].split()
    if missing := [name for name in COLUMNS if name not in head]:
        raise InvalidFile(path, lines[0][0], f"no column {missing[0]}; the columns are {' '.join(COLUMNS)}")
    items = []
    for number, line in lines[1:]:
        cells = dict(zip(head, line.split(), strict=False))
        try:
            onset, offset = Fraction(cells["onset"]), Fraction(cells["offset"])
            names = [cells[name] for name in ("#file", "#phone", "prev-phone", "next-phone", "speaker")]
        except (KeyError, ValueError, ZeroDivisionError):
            raise InvalidFile(
                path, number, f"{line.strip()[:60]!r} is not a row `{' '.join(COLUMNS)}`; fix it"
            ) from None
        if not 0 <= onset < offset:
            raise InvalidFile(path, number, f"spans {cells['onset']} to {cells['offset']} s; fix its times")
        items.append(Item(number, names[0], onset, offset, names[1], (names[2], names[3]), names[4]))
    return items


@dataclass(frozen=True, repr=False, eq=False)
class ZeroSpeech:
    """Error rates of ABX over frames. `print` shows what the command prints.

    Attributes:
        frame: a row for each layer and task: `error` with its interval (fractions), and how many tokens, cells and
            triples it is of.
    """

    frame: pd.DataFrame

    def __repr__(self) -> str:
        rows = self.frame
        shown = rows[["layer", "unit", "speakers", "context"]].copy()
        shown["error"] = rows["error"].map(as_percent)
        shown["95 %"] = [
            as_signed_range(as_percent(low), as_percent(high))
            for low, high in zip(rows["ci_low"], rows["ci_high"], strict=True)
        ]
        for head, name in (("tokens", "tokens"), ("no frame", "without_a_frame"), ("triples", "triples")):
            shown[head] = rows[name].map("{:,}".format)
        return f"ABX error rate in per cent (chance 50):\n{shown.to_string(index=False)}"


def scores(
    frames: Path,
    *,
    layers: Sequence[str] = (),
    frequency: Fraction | None = None,
    unit: Unit = "phoneme",
    item: Path | None = None,
    speakers: Sequence[Mode] = ("within", "across"),
    context: Sequence[Context] = ("within",),
    max_tokens: int | None = None,
    seed: int = 0,
    progress: Callable[[int, int], None] = lambda done, of: None,
) -> ZeroSpeech:
    """The ABX error rate of every layer under every task.

    Args:
        frames: what `exports/frames.py` writes, or a folder with a folder of `FILE.npy` for each layer.
        layers: names of its folders (default: all).
        frequency: frames per second (default: what `frames.json` says).
        unit: whose item file in `frames` lists the tokens.
        item: another item file.
        speakers: X is of the speaker of A and B (`within`), or of another (`across`).
        context: A, B and X have the same neighbours (`within`), or `any`.
        max_tokens: at most so many tokens of a phone, speaker and context, drawn at random (default: all).
        seed: of the draw.
        progress: called with the number of scores done and of all, after each.

    Raises:
        InputError: an unknown name, a file that is missing or malformed, or a task without a triple.
    """
    for option, given, known in (("speakers", speakers, get_args(Mode)), ("context", context, get_args(Context))):
        if not given or not set(given) <= set(known):
            raise InputError(f"--{option} {','.join(given)}: give {' or '.join(known)}, or both")
    if unit not in ITEMS:
        raise InputError(f"--unit {unit}: give {' or '.join(ITEMS)}")
    if max_tokens is not None and max_tokens < 2:
        raise InputError(f"--max-tokens {max_tokens}: give 2 or more, for A and X are two tokens")
    frequencies = _frequencies(frames, layers, frequency)
    items = read_items(item or frames / ITEMS[unit])
    tasks = [(layer, mode, which) for layer in frequencies for mode in speakers for which in context]
    rows: list[dict[str, Any]] = []
    for layer, mode, which in tasks:
        try:
            found = score(
                frames / layer, frequencies[layer], items, mode=mode, within_context=which == "within",
                max_tokens=max_tokens, seed=seed,
            )  # fmt: skip
        except InputError as error:
            raise InputError(f"{layer}, {mode} speakers, {which} context: {error}") from None
        rows.append(
            {
                "layer": layer, "unit": item.name if item else unit, "speakers": mode, "context": which,
                "error": found.result.error, "ci_low": found.interval[0], "ci_high": found.interval[1], "chance": 0.5,
                "frequency_hz": float(frequencies[layer]), "tokens": found.tokens,
                "without_a_frame": found.left_out[0], "not_drawn": found.left_out[1], "cells": found.result.cells,
                "triples": found.result.triples,
            }
        )  # fmt: skip
        progress(len(rows), len(tasks))
    return ZeroSpeech(pd.DataFrame(rows))


def _frequencies(folder: Path, layers: Sequence[str], given: Fraction | None) -> dict[str, Fraction]:
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
    if unknown := [name for name in layers if name not in found or not (folder / name).is_dir()]:
        raise InputError(f"--layer {unknown[0]}: not in {folder}; it has {', '.join(found)}")
    if not found:
        raise InputError(f"{folder}: no folders of arrays here; give --frames their parent")
    return {name: found[name] for name in layers or found}


@dataclass(frozen=True)
class ZeroSpeechScore:
    """An error rate with its interval.

    Attributes:
        result: as `frame_abx` gives it.
        interval: of 95 %, by the jackknife over speakers; NaN for fewer than three.
        tokens: number of tokens that were compared.
        left_out: number of tokens without a frame of their own, and drawn away by `max_tokens`.
    """

    result: FrameAbx
    interval: tuple[float, float]
    tokens: int
    left_out: tuple[int, int]


def score(
    folder: Path,
    frequency: Fraction,
    items: list[Item],
    *,
    mode: Mode = "within",
    within_context: bool = True,
    max_tokens: int | None = None,
    seed: int = 0,
) -> ZeroSpeechScore:
    """The ABX error rate of the arrays in a folder.

    Args:
        folder: of `FILE.npy`.
        frequency: frames per second.
        items: as `read_items` gives them.
        mode: X is of the speaker of A and B, or of another.
        within_context: whether A, B and X have the same neighbours.
        max_tokens: at most so many tokens of a phone, speaker and context, drawn at random (default: all).
        seed: of the draw.

    Raises:
        InputError: an array is missing or ends before its tokens, or there is no triple.
    """
    kept = items if max_tokens is None else _drawn(items, max_tokens, seed, within_context)
    arrays: dict[str, np.ndarray] = {}
    frames, spoken = [], []
    for item in kept:
        if item.file not in arrays:
            arrays[item.file] = _read(folder / f"{item.file}.npy")
        first, last = frame_bounds(item.onset, item.offset, frequency)
        if last <= first:
            continue
        array = arrays[item.file]
        if last > len(array) + 1:
            raise InputError(
                f"{folder / item.file}.npy: {len(array)} frames, but the token at {float(item.onset):.3f} s ends with "
                f"number {last}; give the arrays' true frequency"
            )
        if first < len(array):  # the last frame of a recording may lack
            frames.append(array[first:last])
            spoken.append(item)
    if not spoken:
        raise InputError(f"{folder}: no token has a frame of its own at {float(frequency):g} Hz; give longer units")
    labels, speakers, contexts = (
        np.unique([name(item) for item in spoken], return_inverse=True)[1]
        for name in (lambda i: i.phone, lambda i: i.speaker, lambda i: " ".join(i.context))
    )
    result = frame_abx(Tokens(frames, labels, speakers, contexts if within_context else None), mode=mode)
    without = np.array(list(result.without.values()))
    jackknife = Jackknife(np.array([result.error]), without[:, None], np.ones(len(without)))
    interval = mean_interval(jackknife)
    both = (float(interval.low[0]), float(interval.high[0]))
    return ZeroSpeechScore(result, both, len(spoken), (len(kept) - len(spoken), len(items) - len(kept)))


def _drawn(items: list[Item], at_most: int, seed: int, within_context: bool) -> list[Item]:
    groups: dict[tuple[str, ...], list[Item]] = {}
    for item in items:
        key = (item.phone, item.speaker, *(item.context if within_context else ()))
        groups.setdefault(key, []).append(item)
    kept: list[Item] = []
    for key, group in groups.items():
        generator = np.random.default_rng([seed, *" ".join(key).encode()])
        chosen = generator.permutation(len(group))[:at_most]
        kept += [group[i] for i in sorted(chosen)]
    return sorted(kept, key=lambda item: item.line)


def _read(path: Path) -> np.ndarray:
    try:
        array = np.load(path, allow_pickle=False)
    except (OSError, ValueError) as error:
        raise InputError(f"{path}: no readable array ({type(error).__name__}); export the frames again") from None
    if array.ndim != 2 or array.dtype.kind != "f":
        raise InputError(f"{path}: an array of shape {array.shape} and type {array.dtype}; give floats (frames, dims)")
    return np.asarray(array)
