"""Agreement of boundaries: known shifts are found, and labels are matched as an exhaustive search matches them."""

from functools import cache
from itertools import pairwise

import numpy as np
import pytest

from lvm_probe.probing.alignment import agreement
from lvm_probe.probing.corpora.corpus import Segment

RATE = 16_000


def segments(*labels: str, samples: int = 800, shift: int = 0) -> list[Segment]:
    return [Segment(label, i * samples + shift, (i + 1) * samples + shift) for i, label in enumerate(labels)]


def test_a_shift_is_the_bias() -> None:
    hand = segments("h#", "sh", "iy", "h#")
    same = agreement.of_phones(segments("h#", "SH", "IY", "h#", shift=160), hand, RATE, ("arpabet", "timit"))
    assert same.errors_ms.tolist() == [10.0, 10.0, 10.0]
    assert (same.bias_ms, same.median_ms, same.p95_ms, same.within, same.compared) == (10.0, 10.0, 10.0, 1.0, 1.0)
    far = agreement.of_phones(segments("h#", "SH", "IY", "h#", shift=400), hand, RATE, ("arpabet", "timit"))
    assert (far.bias_ms, far.median_ms, far.within) == (25.0, 25.0, 0.0)


def test_closures_belong_to_their_stops_and_pauses_are_one() -> None:
    hand = segments("h#", "epi", "kcl", "k", "ae", "tcl", "h#")
    ours = [Segment("h#", 0, 1600), Segment("K", 1600, 3200), Segment("AE", 3200, 4000), Segment("T", 4000, 4800)]
    found = agreement.of_phones([*ours, Segment("h#", 4800, 5600)], hand, RATE, ("arpabet", "timit"))
    assert found.errors_ms.tolist() == [0.0, 0.0, 0.0, 0.0]
    assert found.compared == 1.0


def test_boundaries_of_other_phones_are_not_compared() -> None:
    hand = segments("h#", "s", "ih", "t", "h#")
    ours = agreement.of_phones(segments("h#", "S", "AA", "T", "h#"), hand, RATE, ("arpabet", "timit"))
    assert len(ours.errors_ms) == 2  # h#-s and t-h#
    assert ours.compared == 0.5


def test_labels_that_cannot_be_folded_are_compared_as_written() -> None:
    found = agreement.of_phones(segments("tʃ", "a"), segments("tʃ", "a"), RATE, ("ipa", None))
    assert found.errors_ms.tolist() == [0.0]


def test_words_in_any_case_and_number() -> None:
    hand = segments("well", "known", "dogs")
    ours = [Segment("well-known", 0, 1600), Segment("Dogs", 1632, 2400)]
    found = agreement.of_words(ours, hand, RATE)
    assert found.errors_ms.tolist() == [2.0, 0.0]
    assert found.of == 6


def test_nothing_to_compare() -> None:
    empty = agreement.together([])
    assert empty.document() == {
        "boundaries": 0, "compared": None, "bias_ms": None, "median_ms": None, "p95_ms": None, "within": None
    }  # fmt: skip


@pytest.mark.parametrize("seed", range(20))
def test_matching_is_that_of_an_exhaustive_search(seed: int) -> None:
    generator = np.random.default_rng(seed)
    ours, theirs = (
        [Segment(str(label), i, i + 1) for i, label in enumerate(generator.integers(0, 3, 6))] for _ in "ab"
    )

    @cache
    def edits(i: int, j: int) -> int:
        if not (i and j):
            return i + j
        return min(
            edits(i - 1, j) + 1, edits(i, j - 1) + 1, edits(i - 1, j - 1) + (ours[i - 1].label != theirs[j - 1].label)
        )

    partner = agreement._matched(ours, theirs)
    assert all(ours[mine].label == theirs[other].label for other, mine in partner.items())
    assert [mine for _, mine in sorted(partner.items())] == sorted(partner.values())
    # So many edits at least remain between the matched ones: no more than the exhaustive search needs.
    places = [(-1, -1), *((mine, other) for other, mine in sorted(partner.items())), (len(ours), len(theirs))]
    gaps = [max(m2 - m1, o2 - o1) - 1 for (m1, o1), (m2, o2) in pairwise(places)]
    assert sum(gaps) == edits(len(ours), len(theirs))
