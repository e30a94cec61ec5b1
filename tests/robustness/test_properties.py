"""Properties of all alignments and token tables: what is written is read back completely and in order."""

import json
import shutil
import unicodedata
from collections.abc import Callable
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from lvm_probe.models.io.files import write_json
from lvm_probe.probing.corpora import lab, open_corpus, textgrid
from lvm_probe.probing.corpora.audio import resample_segment
from lvm_probe.probing.corpora.corpus import Segment, Speaker, Utterance
from lvm_probe.probing.corpora.phones import TIMIT61
from lvm_probe.probing.features import token_table
from lvm_probe.probing.features.extraction import token_rows
from tests.probing import miniature

SAMPLES, RATE = miniature.SAMPLES, miniature.RATE
ON_DISK = settings(deadline=None, max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture])

LETTERS = st.characters(exclude_categories=["C", "Z"], exclude_characters='"{}')
WORD = st.text(LETTERS, min_size=1, max_size=8).filter(
    lambda word: word.strip() == word == unicodedata.normalize("NFC", word)  # other forms are normalised
)
# No pauses: their labels change or are dropped, which other tests check.
SPOKEN = WORD.filter(lambda word: textgrid.NON_SPEECH.name(word, is_phone=True) is None)
PHONE = st.text(LETTERS.filter(lambda letter: letter not in ";-"), min_size=1, max_size=8).filter(
    lambda phone: lab.NON_SPEECH.name(phone, is_phone=True) is None and phone == unicodedata.normalize("NFC", phone)
)
ANY_TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=12)


@st.composite
def spans(draw: st.DrawFn, most: int = 12) -> list[tuple[int, int]]:
    """Disjoint spans in order, with or without gaps."""
    edges = sorted(draw(st.sets(st.integers(0, SAMPLES), min_size=2, max_size=2 * most)))
    touching = list(pairwise(edges))
    return touching if draw(st.booleans()) else touching[::2]


@st.composite
def overlapping(draw: st.DrawFn) -> list[tuple[int, int]]:
    """Spans ordered by their starts that may overlap, as words of TIMIT do."""
    starts = sorted(draw(st.lists(st.integers(0, SAMPLES - 1), min_size=1, max_size=10)))
    return [(start, draw(st.integers(start + 1, SAMPLES))) for start in starts]


@pytest.fixture(scope="module")
def timit(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return miniature.timit_nltk(tmp_path_factory.mktemp("properties") / "timit")


@pytest.fixture(scope="module")
def grids(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return miniature.grids(tmp_path_factory.mktemp("properties") / "grids")


@pytest.fixture(scope="module")
def arctic(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return miniature.arctic(tmp_path_factory.mktemp("properties") / "arctic")


# Alignments


@ON_DISK
@given(data=st.data(), stretches=spans(), words=overlapping())
def test_rows_of_timit_are_read_back(timit: Path, data: st.DataObject, stretches: Any, words: Any) -> None:
    stem = timit / "dr1-fvmh0" / "sa1"
    phones = [(*span, data.draw(st.sampled_from(sorted(TIMIT61)))) for span in stretches]
    spoken = [(*span, data.draw(WORD)) for span in words]
    miniature.rows(stem.with_suffix(".phn"), phones)
    end = data.draw(st.sampled_from(["\n", "\r\n", "\r"]))
    text = "".join(f"{start} {stop}\t{label}{end}" for start, stop, label in spoken)
    stem.with_suffix(".wrd").write_bytes(text.encode())
    utterance = open_corpus(timit, strict=True).utterances[0]
    assert utterance.phonemes == tuple(Segment(label, *span) for *span, label in phones)
    assert utterance.words == tuple(Segment(label, *span) for *span, label in spoken)


@ON_DISK
@given(data=st.data(), edges=st.sets(st.integers(1, SAMPLES - 1), max_size=12))
def test_times_of_a_textgrid_are_rounded_to_their_samples(grids: Path, data: st.DataObject, edges: set[int]) -> None:
    """Seconds written with six digits or with all of them round to the same samples."""
    inside = list(pairwise([0, *sorted(edges), SAMPLES]))
    phones = [(*span, data.draw(SPOKEN)) for span in inside]
    words = [(*span, data.draw(st.one_of(st.just(""), SPOKEN))) for span in inside]
    form: Callable[[float], float] = data.draw(st.sampled_from([lambda s: s, lambda s: round(s, 6)]))
    tiers = {
        name: [(form(start / RATE), form(end / RATE), label) for start, end, label in rows]
        for name, rows in (("phones", phones), ("words", words))
    }
    miniature.text_grid(grids / "anna" / "s1.TextGrid", **tiers)
    utterance = open_corpus(grids, strict=True).utterances[0]
    assert utterance.phonemes == tuple(Segment(label, *span) for *span, label in phones)
    assert utterance.words == tuple(Segment(label, *span) for *span, label in words if label)
    assert sum(segment.samples for segment in utterance.phonemes) == SAMPLES
    assert utterance.text == (" ".join(label for *_, label in words if label) or None)


@ON_DISK
@given(
    data=st.data(), edges=st.sets(st.integers(1, SAMPLES - 1), max_size=12), form=st.sampled_from(["festival", "htk"])
)
def test_labels_are_read_back(arctic: Path, data: st.DataObject, edges: set[int], form: str) -> None:
    spans = list(pairwise([0, *sorted(edges), SAMPLES]))
    table = [(*span, data.draw(st.one_of(PHONE, st.sampled_from(["pau", "H#", "SIL"])))) for span in spans]
    write = miniature.festival_labels if form == "festival" else miniature.htk_labels
    write(arctic / "cmu_us_bdl_arctic" / "lab" / "arctic_a0001.lab", table)
    utterance = open_corpus(arctic, strict=True).utterances[0]
    expected = [(*span, lab.NON_SPEECH.name(label, is_phone=True) or label) for *span, label in table]
    assert utterance.phonemes == tuple(Segment(label, *span) for *span, label in expected)


@settings(deadline=None)
@given(stretches=spans(), rate=st.sampled_from([8000, 11_025, 22_050, 44_100, 48_000]))
def test_resampled_segments_keep_their_order_and_their_neighbours(stretches: Any, rate: int) -> None:
    moved = [resample_segment(Segment("a", *span), rate, RATE) for span in stretches]
    assert all(segment.samples >= 1 for segment in moved)
    for (before, after), ((_, end), (start, _)) in zip(pairwise(moved), pairwise(stretches), strict=True):
        assert before.start <= after.start
        assert before.end <= after.end
        assert after.start <= before.end or end < start  # no gap where there was none
        assert before.end <= after.start + 1  # at most the one sample that a short segment was given


@settings(deadline=None)
@given(data=st.data(), stretches=spans(), words=overlapping())
def test_every_segment_is_one_row_in_order(data: st.DataObject, stretches: Any, words: Any) -> None:
    utterance = Utterance(
        "u", Speaker("s"), Path("u.wav"), SAMPLES, RATE,
        phonemes=tuple(Segment(data.draw(WORD), *span) for span in stretches),
        words=tuple(Segment(data.draw(WORD), *span) for span in words),
    )  # fmt: skip
    units = data.draw(st.permutations(["phoneme", "word", "utterance"]))
    rows, segments = token_rows(utterance, units)
    assert [(row["label"], row["start"], row["end"]) for row in rows] == [(s.label, s.start, s.end) for s in segments]
    assert len({row["token_id"] for row in rows}) == len(rows)
    for unit, wanted in (("phoneme", utterance.phonemes), ("word", utterance.words)):
        found = [s for s, row in zip(segments, rows, strict=True) if row["unit"] == unit]
        assert tuple(found) == wanted
    (whole,) = [row for row in rows if row["unit"] == "utterance"]
    assert (whole["start"], whole["end"]) == (0, SAMPLES)


@ON_DISK
@given(stretches=spans(), speaker=WORD, split=st.none() | WORD)
def test_fingerprints_differ_where_alignments_do(timit: Path, stretches: Any, speaker: str, split: str | None) -> None:
    corpus = open_corpus(timit)
    first, *others = corpus.utterances
    changed = replace(first, phonemes=tuple(Segment("sh", *span) for span in stretches), words=())
    again = replace(corpus, utterances=(*reversed(others), changed))
    assert (again.fingerprint() == corpus.fingerprint()) == (again.utterances == corpus.utterances)
    assert again.fingerprint() == replace(again, utterances=again.utterances[::-1]).fingerprint()
    moved = replace(changed, split=split, speaker=Speaker(speaker))
    assert (replace(corpus, utterances=(moved, *others)).fingerprint() == again.fingerprint()) == (moved == changed)


# Token tables

NUMBERS = st.floats(width=32, allow_nan=False, allow_infinity=False)


@st.composite
def parts(draw: st.DrawFn) -> tuple[dict[str, int], list[list[dict[str, Any]]], list[dict[str, np.ndarray]]]:
    """Sizes of features, and the rows and arrays of each part; parts may be empty."""
    names = st.from_regex(r"[a-z][a-z0-9]{0,5}", fullmatch=True).filter(
        lambda n: n not in dict(token_table.TOKEN_FIELDS)
    )
    sizes = draw(st.dictionaries(names, st.integers(1, 4), min_size=1, max_size=3))
    maybe = st.none() | ANY_TEXT
    row = st.fixed_dictionaries(
        dict.fromkeys(("token_id", "utterance", "speaker", "label"), ANY_TEXT)
        | dict.fromkeys(("gender", "dialect", "split", "prompt"), maybe)
        | {"unit": st.sampled_from(["phoneme", "word", "utterance"])}
        | {"height_cm": st.none() | st.floats(50, 250), "age": st.none() | st.floats(1, 100)}
        | dict.fromkeys(("start", "end", "sample_rate"), st.integers(0, 2**62))
    )
    rows = draw(st.lists(st.lists(row, max_size=5), min_size=1, max_size=3))
    arrays = [
        {
            name: np.array(draw(st.lists(NUMBERS, min_size=size * len(some), max_size=size * len(some)))).reshape(
                -1, size
            )
            for name, size in sizes.items()
        }
        for some in rows
    ]
    return sizes, rows, arrays


def written(folder: Path, made: Any) -> Path:
    shutil.rmtree(folder, ignore_errors=True)
    sizes, rows, arrays = made
    write_json(folder / token_table.EXTRACTION, {"parts": len(rows), "features": sizes})
    for index, (some, values) in enumerate(zip(rows, arrays, strict=True)):
        token_table.write_part(folder, index, some, values, sizes)
    return folder


def as_written(tokens: pd.DataFrame) -> list[dict[str, Any]]:
    return [
        {str(name): None if pd.isna(value) else value for name, value in row.items()}
        for row in tokens.to_dict("records")
    ]


@ON_DISK
@given(made=parts())
def test_a_table_is_read_back_completely_and_in_order(tmp_path: Path, made: Any) -> None:
    sizes, rows, arrays = made
    folder = written(tmp_path / "t", made)
    loaded = token_table.load(folder)
    everything = [row for some in rows for row in some]
    assert as_written(loaded.tokens) == everything
    for name, size in sizes.items():
        wanted = np.concatenate([values[name] for values in arrays]).astype(np.float32)
        assert loaded.features[name].shape == (len(everything), size)
        np.testing.assert_array_equal(loaded.features[name], wanted)
    units, utterances = token_table.count_rows(folder, len(rows))
    assert sum(units.values()) == len(everything)
    assert utterances == {row["utterance"] for row in everything}
    assert pd.read_parquet(folder)["token_id"].tolist() == [row["token_id"] for row in everything]


@ON_DISK
@given(made=parts(), data=st.data())
def test_saving_a_loaded_table_does_not_change_it(tmp_path: Path, made: Any, data: st.DataObject) -> None:
    loaded = token_table.load(written(tmp_path / "t", made))
    chosen = np.array(
        data.draw(st.lists(st.booleans(), min_size=len(loaded.tokens), max_size=len(loaded.tokens))), bool
    )
    shutil.rmtree(tmp_path / "again", ignore_errors=True)
    again = token_table.load(loaded.select(chosen).save(tmp_path / "again"))
    kept = [row for row, keep in zip(as_written(loaded.tokens), chosen, strict=True) if keep]
    assert as_written(again.tokens) == kept
    for name, values in loaded.features.items():
        np.testing.assert_array_equal(again.features[name], values[chosen])


@ON_DISK
@given(left_out=st.dictionaries(ANY_TEXT, ANY_TEXT, max_size=4), fingerprint=ANY_TEXT)
def test_the_note_of_a_part_is_read_back(tmp_path: Path, left_out: dict[str, str], fingerprint: str) -> None:
    note = token_table.PartNote(left_out, fingerprint)
    token_table.write_part(tmp_path, 0, [], {"z1": np.empty((0, 1))}, {"z1": 1}, note)
    assert token_table.read_note(tmp_path, 0) == note


@ON_DISK
@given(
    document=st.dictionaries(
        ANY_TEXT,
        st.recursive(st.none() | st.integers() | ANY_TEXT, lambda inner: st.lists(inner, max_size=3)),
        max_size=4,
    )
)
def test_a_document_is_read_back(tmp_path: Path, document: dict[str, Any]) -> None:
    write_json(tmp_path / "x.json", document)
    assert json.loads((tmp_path / "x.json").read_text(encoding="utf-8")) == document
