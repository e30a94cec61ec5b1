"""How far the boundaries of an alignment lie from those of another, such as one made by hand.

Phones are compared in folded labels (Lee and Hon 1989), in which a stop is one segment with its closure. The two
sequences are matched by edit distance, as an aligner's dictionary and a transcriber's ear write different phones. A
boundary is compared where both of its phones, or the phone and the pause, have been matched with the same label.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd

from lvm_probe.analysis.shape_annotations import Float
from lvm_probe.probing.corpora.corpus import Segment
from lvm_probe.probing.corpora.phones import CLOSURES, SILENCES, UNKNOWN, LabelSet, fold

WITHIN_MS = 20.0
"""The usual tolerance in the literature on forced alignment."""

PAUSE = "h#"


@dataclass(frozen=True)
class Agreement:
    """Differences between the boundaries of an alignment and of a reference.

    Attributes:
        errors_ms: times of the alignment less those of the reference, in milliseconds.
        of: number of boundaries of the reference.
    """

    errors_ms: Float[np.ndarray, " boundaries"]
    of: int

    @property
    def compared(self) -> float:
        """Share of the reference's boundaries that could be compared."""
        return len(self.errors_ms) / self.of if self.of else np.nan

    @property
    def bias_ms(self) -> float:
        """Median of the differences; positive where the alignment is late."""
        return self._quantile(self.errors_ms, 0.5)

    @property
    def median_ms(self) -> float:
        """Median of the absolute differences."""
        return self._quantile(np.abs(self.errors_ms), 0.5)

    @property
    def p95_ms(self) -> float:
        """Their 95th percentile."""
        return self._quantile(np.abs(self.errors_ms), 0.95)

    @property
    def within(self) -> float:
        """Share of the compared boundaries within `WITHIN_MS`."""
        return float(np.mean(np.abs(self.errors_ms) <= WITHIN_MS)) if len(self.errors_ms) else np.nan

    @staticmethod
    def _quantile(values: np.ndarray, share: float) -> float:
        return float(np.quantile(values, share)) if len(values) else np.nan

    def document(self) -> dict[str, float | int | None]:
        """The figures by name, for JSON."""
        figures = {name: getattr(self, name) for name in ("compared", "bias_ms", "median_ms", "p95_ms", "within")}
        return {"boundaries": self.of} | {name: None if np.isnan(value) else value for name, value in figures.items()}


def as_text(parts: Mapping[str, Agreement]) -> str:
    """A table of how far the boundaries lie from the reference, by name."""
    rows = [
        {
            "boundaries": name, "of": f"{part.of:,}", "compared": f"{part.compared:.0%}", "bias (ms)": part.bias_ms,
            "median (ms)": part.median_ms, "95 % (ms)": part.p95_ms, "within 20 ms": f"{part.within:.1%}",
        }
        for name, part in parts.items()
    ]  # fmt: skip
    return pd.DataFrame(rows).to_string(index=False, float_format="{:.1f}".format)


def together(parts: Sequence[Agreement]) -> Agreement:
    """The agreement over several utterances."""
    return Agreement(np.concatenate([np.empty(0), *(part.errors_ms for part in parts)]), sum(part.of for part in parts))


def of_words(aligned: Sequence[Segment], reference: Sequence[Segment], sample_rate: int) -> Agreement:
    """Starts and ends of the words that are written alike, in any case.

    Example:
        >>> of_words([Segment("do", 160, 800)], [Segment("do", 0, 800)], 16000).errors_ms.tolist()
        [10.0, 0.0]
    """
    ours, theirs = ([replace(word, label=word.label.casefold()) for word in some] for some in (aligned, reference))
    both = [(ours[mine], theirs[i]) for i, mine in sorted(_matched(ours, theirs).items())]
    pairs = [pair for a, r in both for pair in ((a.start, r.start), (a.end, r.end))]
    return Agreement(_milliseconds(pairs, sample_rate), 2 * len(reference))


def of_phones(
    aligned: Sequence[Segment],
    reference: Sequence[Segment],
    sample_rate: int,
    label_sets: tuple[LabelSet | None, LabelSet | None],
) -> Agreement:
    """Boundaries of phones, pauses among them.

    Args:
        aligned: phones with pauses (`h#`) in between.
        reference: the same.
        sample_rate: of the positions, in Hz.
        label_sets: what the labels of either are written in; where they cannot be folded they are compared as written.
    """
    ours, theirs = (
        _folded(phones, label_set if None not in label_sets else None)
        for phones, label_set in zip((aligned, reference), label_sets, strict=True)
    )
    partner = _matched(ours, theirs)
    pairs = []
    for i in range(len(theirs) - 1):
        mine, next_one = partner.get(i), partner.get(i + 1)
        if mine is not None and next_one == mine + 1:
            pairs.append((ours[next_one].start, theirs[i + 1].start))
    return Agreement(_milliseconds(pairs, sample_rate), max(len(theirs) - 1, 0))


def _milliseconds(pairs: Sequence[tuple[int, int]], sample_rate: int) -> Float[np.ndarray, " boundaries"]:
    return np.array([1000 * (a - r) / sample_rate for a, r in pairs], dtype=np.float64)


def _folded(phones: Sequence[Segment], label_set: LabelSet | None) -> list[Segment]:
    """Phones in folded labels; closures are joined with what follows, neighbouring pauses with each other."""
    found: list[Segment] = []
    for phone in phones:
        label = PAUSE if phone.label in SILENCES else phone.label
        if label_set in ("timit", "arpabet") and label not in CLOSURES | {PAUSE, UNKNOWN}:
            assert label_set is not None
            label = fold(label, "timit39", label_set) or label
        before = found[-1] if found and found[-1].end == phone.start else None
        pauses = before is not None and before.label == label == PAUSE
        stop = before is not None and before.label in CLOSURES and label.startswith(before.label[0])
        if before is not None and (pauses or stop):
            found.pop()
            phone = replace(phone, start=before.start)
        found.append(replace(phone, label=label))
    return [replace(one, label=one.label[0]) if one.label in CLOSURES else one for one in found]


def _matched(ours: Sequence[Segment], theirs: Sequence[Segment]) -> dict[int, int]:
    """For segments of the second sequence the one of the first with the same label, at the least number of edits.

    Of several ways with as few edits, the one whose paired segments lie closest in time.
    """
    best: list[list[tuple[int, int]]] = [[(0, 0)] * (len(theirs) + 1) for _ in range(len(ours) + 1)]

    def paired(i: int, j: int) -> tuple[int, int]:
        mine, other = ours[i - 1], theirs[j - 1]
        edits, apart = best[i - 1][j - 1]
        return edits + (mine.label != other.label), apart + abs(mine.start + mine.end - other.start - other.end)

    def one_more(before: tuple[int, int]) -> tuple[int, int]:
        return before[0] + 1, before[1]

    for i in range(len(ours) + 1):
        for j in range(len(theirs) + 1):
            ways = [paired(i, j)] if i and j else []
            ways += [one_more(best[i - 1][j])] if i else []
            ways += [one_more(best[i][j - 1])] if j else []
            best[i][j] = min(ways, default=(0, 0))
    partner: dict[int, int] = {}
    i, j = len(ours), len(theirs)
    while i and j:
        if best[i][j] == paired(i, j):
            if ours[i - 1].label == theirs[j - 1].label:
                partner[j - 1] = i - 1
            i, j = i - 1, j - 1
        elif best[i][j] == one_more(best[i - 1][j]):
            i -= 1
        else:
            j -= 1
    return partner
