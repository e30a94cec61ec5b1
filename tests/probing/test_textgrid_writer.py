"""TextGrids that are written are those that are read."""

from pathlib import Path
from typing import Any

import pytest

from lvm_probe import InputError
from lvm_probe.probing.corpora.corpus import Segment
from lvm_probe.probing.corpora.praat import read_text_grid
from lvm_probe.probing.corpora.textgrid_writer import as_text
from lvm_probe.probing.exports.segments import _layers


def test_what_is_written_is_read(tmp_path: Path) -> None:
    segments = [Segment('say "ʃ"', 1600, 3200), Segment("é", 3200, 4000), Segment("t", 8000, 16000)]
    path = tmp_path / "a.TextGrid"
    path.write_text(as_text({"phones": segments, 'a "tier"': []}, 16000, 16000), encoding="utf-8")
    notices: list[Any] = []
    first, second = read_text_grid(path, notices)
    assert notices == []
    assert (first.name, second.name) == ("phones", 'a "tier"')
    assert [row.label for row in first.intervals] == ["", 'say "ʃ"', "é", "", "t"]
    assert [row.label for row in second.intervals] == [""]


def test_overlaps_and_ends_beyond_the_recording_are_refused() -> None:
    with pytest.raises(InputError, match="'t' at sample 5 overlaps"):
        as_text({"phones": [Segment("s", 0, 10), Segment("t", 5, 20)]}, 100, 10)
    with pytest.raises(InputError, match="ends at sample 200"):
        as_text({"phones": [Segment("s", 0, 200)]}, 100, 10)


def test_segments_that_overlap_go_to_tiers_of_their_own() -> None:
    one, two, three = Segment("a", 0, 10), Segment("b", 8, 20), Segment("c", 20, 30)
    assert _layers("words", [one, two, three]) == {"words": [one, three], "words 2": [two]}
    assert _layers("words", []) == {}
