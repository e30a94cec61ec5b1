"""Tiers of exported segments."""

from lvm_probe.probing.corpora.corpus import Segment
from lvm_probe.probing.exports.segments import _layers


def test_segments_that_overlap_go_to_tiers_of_their_own() -> None:
    one, two, three = Segment("a", 0, 10), Segment("b", 8, 20), Segment("c", 20, 30)
    assert _layers("words", [one, two, three]) == {"words": [one, three], "words 2": [two]}
    assert _layers("words", []) == {}
