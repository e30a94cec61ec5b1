"""ABX as ZeroSpeech does it: arrays of frames and an item file, from any model and corpus.

The arrays and item files are those of `exports/frames.py`, or others of the same form: `FOLDER/FILE.npy` (steps, dims)
for every `#file` of the item file, whose columns are `#file onset offset #phone prev-phone next-phone speaker`.
"""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

import numpy as np

from lvm_probe import InputError
from lvm_probe.analysis.frame_abx import FrameAbx, Mode, Tokens, frame_abx, frame_bounds
from lvm_probe.analysis.statistics import Jackknife, mean_interval
from lvm_probe.probing.corpora.intake import InvalidFile, read_lines

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
