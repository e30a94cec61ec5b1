"""Praat's TextGrid, in its long text form (https://www.fon.hum.uva.nl/praat/manual/TextGrid_file_formats.html)."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from lvm_probe import InputError
from lvm_probe.probing.corpora.corpus import Segment


def as_text(tiers: Mapping[str, Sequence[Segment]], samples: int, sample_rate: int) -> str:
    """The TextGrid of a recording, with an interval tier for each name; what lies between segments has no label.

    Args:
        tiers: segments by the tier's name, in any order.
        samples: length of the recording.
        sample_rate: of the positions, in Hz.

    Raises:
        InputError: segments overlap, or end after the recording.

    Example:
        >>> print(as_text({"phones": [Segment("s", 0, 8000)]}, 16000, 16000).splitlines()[-5].strip())
        text = "s"
    """
    lines = ['File type = "ooTextFile"', 'Object class = "TextGrid"', "", "xmin = 0", f"xmax = {samples / sample_rate}",
             "tiers? <exists>", f"size = {len(tiers)}", "item []:"]  # fmt: skip
    for i, (name, segments) in enumerate(tiers.items(), 1):
        intervals = list(_filled(name, segments, samples))
        lines += [f"    item [{i}]:", '        class = "IntervalTier"', f'        name = "{_quoted(name)}"',
                  "        xmin = 0", f"        xmax = {samples / sample_rate}",
                  f"        intervals: size = {len(intervals)}"]  # fmt: skip
        for j, one in enumerate(intervals, 1):
            lines += [f"        intervals [{j}]:", f"            xmin = {one.start / sample_rate}",
                      f"            xmax = {one.end / sample_rate}",
                      f'            text = "{_quoted(one.label)}"']  # fmt: skip
    return "\n".join([*lines, ""])


def without_overlaps(tiers: Mapping[str, Sequence[Segment]]) -> dict[str, list[Segment]]:
    """Tiers without overlaps, which interval tiers cannot hold: a segment that overlaps another goes to `NAME 2`, ...

    Words of TIMIT overlap now and then. A tier without segments is left out.

    Example:
        >>> words = [Segment("do", 0, 90), Segment("it", 80, 120), Segment("now", 120, 200)]
        >>> {name: [one.label for one in tier] for name, tier in without_overlaps({"words": words}).items()}
        {'words': ['do', 'now'], 'words 2': ['it']}
    """
    found: dict[str, list[Segment]] = {}
    for name, segments in tiers.items():
        for segment in sorted(segments, key=lambda one: one.start):
            turn, place = 1, name
            while (before := found.get(place)) and before[-1].end > segment.start:
                turn += 1
                place = f"{name} {turn}"
            found.setdefault(place, []).append(segment)
    return found


def _filled(name: str, segments: Sequence[Segment], samples: int) -> Iterator[Segment]:
    """The segments with empty ones between them, from the start to the end of the recording."""
    at = 0
    for segment in sorted(segments, key=lambda one: one.start):
        if segment.start < at:
            raise InputError(f"tier {name}: '{segment.label}' at sample {segment.start} overlaps the segment before it")
        if segment.start > at:
            yield Segment("", at, segment.start)
        yield segment
        at = segment.end
    if at > samples:
        raise InputError(f"tier {name}: ends at sample {at}, after the recording ({samples} samples)")
    if at < samples:
        yield Segment("", at, samples)


def _quoted(text: str) -> str:
    return text.replace('"', '""')
