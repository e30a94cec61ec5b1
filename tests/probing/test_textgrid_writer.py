"""TextGrids that are written and read back by Praat's rule."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lvm_probe import InputError
from lvm_probe.probing.corpora import textgrid_writer
from lvm_probe.probing.corpora.corpus import Segment
from lvm_probe.probing.corpora.praat import read_text_grid, seconds

RATE = 16_000


def read_back(text: str, folder: Path) -> dict[str, list[tuple[str, int, int]]]:
    """Labels, starts and ends in samples of every tier."""
    path = folder / "written.TextGrid"
    path.write_text(text, encoding="utf-8")
    notices: list[object] = []
    tiers = read_text_grid(path, notices)  # type: ignore[arg-type]
    assert not notices
    return {
        tier.name: [
            (one.label, round(seconds(one.start) * RATE), round(seconds(one.end) * RATE)) for one in tier.intervals
        ]
        for tier in tiers
    }


def test_what_is_written_is_read_with_gaps_filled(tmp_path: Path) -> None:
    tiers = {"phones": [Segment("s", 800, 2400), Segment("iy", 2400, 4000)], "words": [Segment("see", 800, 4000)]}
    assert read_back(textgrid_writer.as_text(tiers, 8000, RATE), tmp_path) == {
        "phones": [("", 0, 800), ("s", 800, 2400), ("iy", 2400, 4000), ("", 4000, 8000)],
        "words": [("", 0, 800), ("see", 800, 4000), ("", 4000, 8000)],
    }


@given(
    labels=st.lists(st.text(st.characters(codec="utf-8", exclude_categories=("Cs", "Cc", "Zl", "Zp"))), max_size=6),
    name=st.sampled_from(["phones", 'a "quoted" name', "é ! x"]),
)
def test_any_label_comes_back(tmp_path_factory: pytest.TempPathFactory, labels: list[str], name: str) -> None:
    segments = [Segment(label, 100 * i, 100 * i + 100) for i, label in enumerate(labels)]
    text = textgrid_writer.as_text({name: segments}, 1000, RATE)
    found = read_back(text, tmp_path_factory.mktemp("grid"))
    assert [row[0] for row in found[name]][: len(labels)] == labels


def test_overlaps_and_segments_beyond_the_end_are_refused() -> None:
    with pytest.raises(InputError, match="'b' at sample 50 overlaps"):
        textgrid_writer.as_text({"words": [Segment("a", 0, 100), Segment("b", 50, 200)]}, 1000, RATE)
    with pytest.raises(InputError, match="ends at sample 200, after the recording"):
        textgrid_writer.as_text({"words": [Segment("a", 0, 200)]}, 100, RATE)


def test_overlapping_words_take_further_tiers() -> None:
    words = [Segment("d", 0, 100), Segment("b", 50, 150), Segment("c", 100, 200), Segment("a", 120, 300)]
    tiers = textgrid_writer.without_overlaps({"words": words, "phones": []})
    assert {name: [s.label for s in some] for name, some in tiers.items()} == {
        "words": ["d", "c"], "words 2": ["b"], "words 3": ["a"],
    }  # fmt: skip
    textgrid_writer.as_text(tiers, 300, 16_000)
