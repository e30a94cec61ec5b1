"""TextGrids in every form and spelling that Praat reads, against a slow reader; the choice of tiers; errors."""

import codecs
import math
import re
from collections.abc import Sequence
from fractions import Fraction
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

from lvm_probe import InputError
from lvm_probe.probing.corpora import open_corpus, textgrid
from lvm_probe.probing.corpora.audio import AudioHeader
from lvm_probe.probing.corpora.corpus import Corpus, Problem, Segment
from lvm_probe.probing.corpora.intake import InvalidFile, Options
from lvm_probe.probing.corpora.praat import read_text_grid, seconds, whole_number
from tests.probing import reference_textgrid
from tests.probing.miniature import RATE, SAMPLES, text_grid, tone
from tests.probing.textgrid_agreement import checked, same

ON_DISK = settings(deadline=None, max_examples=150, suppress_health_check=[HealthCheck.function_scoped_fixture])

# --- spellings ----------------------------------------------------------------------------------------

LETTERS = st.characters(exclude_categories=["Cs"], exclude_characters="\0\r\f\x85\u2028\u2029")
LABEL = st.one_of(
    st.text(LETTERS, max_size=8),
    st.sampled_from(
        ["item [1]:", "xmin = 3", 'a "quoted" word', '"', '""', "! no comment", "<exists>", "\\ae", "a\nb"]
    ),
    st.sampled_from(["é", "ʃ", "", " a ", "0.5"]),
)
SPACES = [" ", "\n", "\t", "\n\n    ", " \n", "\v", "\f", "\u00a0", "\u3000"]
COMMENTS = ["xmin =", "item [2]:", "class =", "intervals: size =", "tiers?", "=", "é", ".5", "−3", "a!", 'b"c']
TO_THE_END_OF_LINE = ["!\n", '! 3 "x" <exists>\n', "! 7\n"]
FILLING = st.one_of(
    st.just("\n"), st.lists(st.sampled_from([*COMMENTS, *TO_THE_END_OF_LINE]), max_size=3).map(" ".join)
)


SUFFIXES = st.sampled_from(["", "", "s", ",", ";"])


@st.composite
def spelled(draw: st.DrawFn, sample: int) -> str:
    """The time of a sample as Praat may be given it."""
    exact = sample / RATE
    forms = [repr(exact), f"00{exact!r}", f"{exact:.5f}", f"{exact:.30f}", f"{exact:e}", f"{exact * 1000!r}E-3"]
    forms += [f"{sample}/{RATE}", f"{exact * 100!r}%", exact.hex(), f"0x{sample:X}p-4/1000"]
    return draw(st.sampled_from(["", "+"])) + draw(st.sampled_from(forms)) + draw(SUFFIXES)


def quoted(label: str) -> str:
    return '"' + label.replace('"', '""') + '"'


@st.composite
def contents(draw: st.DrawFn) -> list[tuple[str, str, list[tuple[int, int, str]]]]:
    """Tiers as (class, name, rows in samples); the rows of point tiers have equal starts and ends."""
    tiers = []
    for _ in range(draw(st.integers(0, 4))):
        edges = sorted(draw(st.sets(st.integers(0, SAMPLES), max_size=6)))
        if draw(st.booleans()):
            rows = [(start, end, draw(LABEL)) for start, end in pairwise(edges)]
            tiers.append(("IntervalTier", draw(LABEL), rows))
        else:
            tiers.append(("TextTier", draw(LABEL), [(edge, edge, draw(LABEL)) for edge in edges]))
    return tiers


@st.composite
def text_grids(draw: st.DrawFn, tiers: Any) -> bytes:
    """A TextGrid of these tiers in any of Praat's forms, with any spacing, comments, numbers and encoding."""

    def times(kind: str, start: int, end: int) -> list[str]:
        return [draw(spelled(sample)) for sample in ((start, end) if kind == "IntervalTier" else (start,))]

    data = ["0", draw(spelled(SAMPLES))]
    chronological = draw(st.booleans())
    if chronological:
        data = ['"Praat chronological TextGrid text file"', *data, str(len(tiers))]
        for kind, name, _ in tiers:
            data += [quoted(kind), quoted(name), "0", draw(spelled(SAMPLES))]
        every = [(number, kind, row) for number, (kind, _, rows) in enumerate(tiers, start=1) for row in rows]
        for number, kind, (start, end, label) in sorted(every, key=lambda one: (one[2][0], one[0])):
            data += [str(number), *times(kind, start, end), quoted(label)]
    else:
        kind_of_file = draw(st.sampled_from(["ooTextFile", "ooTextFile short"]))
        data = [quoted(kind_of_file), '"TextGrid"', *data, "<exists>", str(len(tiers))]
        for kind, name, rows in tiers:
            data += [quoted(kind), quoted(name), "0", draw(spelled(SAMPLES)), str(len(rows))]
            for start, end, label in rows:
                data += [*times(kind, start, end), quoted(label)]
    text = draw(st.sampled_from(["", "File type = "])) * (not chronological)
    for token in data:
        text += token + ("\n" if "ooTextFile" in token else draw(st.sampled_from(SPACES)))  # Praat needs that line
        if draw(st.integers(0, 3)) == 0:
            text += draw(FILLING) + draw(st.sampled_from(SPACES))
    if draw(st.booleans()):
        text = text.rstrip()
    text = text.replace("\n", draw(st.sampled_from(["\n", "\r\n", "\r"])))
    return draw(encoded(text))


@st.composite
def encoded(draw: st.DrawFn, text: str) -> bytes:
    encodings = {
        "utf-8": b"",
        "utf-8-sig": b"",
        "utf-16-le": codecs.BOM_UTF16_LE,
        "utf-16-be": codecs.BOM_UTF16_BE,
        "cp1252": b"",
    }
    name = draw(st.sampled_from(list(encodings)))
    try:
        content = encodings[name] + text.encode(name)
        return content if name != "cp1252" or reference_textgrid.decode(content) == text else text.encode()
    except UnicodeEncodeError:
        return text.encode()


@ON_DISK
@given(data=st.data(), tiers=contents())
def test_every_spelling_is_read_as_praat_reads_it(tmp_path: Path, data: st.DataObject, tiers: Any) -> None:
    content = data.draw(text_grids(tiers))
    (tmp_path / "a.TextGrid").write_bytes(content)
    found = checked(read_text_grid(tmp_path / "a.TextGrid", []))
    assert same(found, reference_textgrid.read(reference_textgrid.decode(content)))
    for (kind, name, rows), (wanted_kind, wanted_name, wanted_rows) in zip(found, tiers, strict=True):
        assert (kind, name) == (wanted_kind, wanted_name)
        assert [row[-1] for row in rows] == [label for *_, label in wanted_rows]
        for row, (start, end, _) in zip(rows, wanted_rows, strict=True):
            assert {math.floor(time * RATE + 0.5) for time in row[:-1]} == {start, end}


@ON_DISK
@given(data=st.data(), tiers=contents())
def test_the_reference_reads_as_praat_itself(tmp_path: Path, data: st.DataObject, tiers: Any) -> None:
    praat = pytest.importorskip("parselmouth", reason="needs praat-parselmouth, which is not among the dependencies")
    path = tmp_path / "a.TextGrid"
    content = data.draw(text_grids(tiers))
    assume("0x" not in reference_textgrid.decode(content))  # parselmouth has a version of Praat that reads 0
    assume(len(content) > 100 and not content.startswith(b'\xef\xbb\xbf"Praat'))  # not recognized as chronological
    path.write_bytes(content)
    wanted = reference_textgrid.read(reference_textgrid.decode(path.read_bytes()))
    call = praat.praat.call
    (grid,) = call("Read from file...", str(path))
    found = []
    for number in range(1, int(call(grid, "Get number of tiers")) + 1):
        intervals = bool(call(grid, "Is interval tier", number))
        names = ("Get start time of interval", "Get end time of interval", "Get label of interval")
        names = names if intervals else ("Get time of point", "Get label of point")
        size = int(call(grid, f"Get number of {'intervals' if intervals else 'points'}", number))
        rows = [tuple(call(grid, name, number, row) for name in names) for row in range(1, size + 1)]
        rows = rows if wanted[number - 1].rows else []  # Praat gives a tier without intervals an empty one
        kind = "IntervalTier" if intervals else "TextTier"
        found.append(reference_textgrid.Tier(kind, call(grid, "Get tier name", number), rows))
    assert same(found, wanted)


# --- numbers ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("token", "value"),
    [
        *[("0", 0), ("-0", 0), ("+1.5", 1.5), ("-0.02", -0.02), ("2.", 2), ("007", 7), ("1e3", 1000), ("1E+3", 1000)],
        *[("25e-2", 0.25), ("25%", 0.25), ("-5e1%", -0.5), ("1/4", 0.25), ("25%/100%", 0.25), ("-3/-4", 0.75)],
        *[("0x1F", 31), ("-0X1.8", -1.5), ("0x1p-2", 0.25), ("0.5s", 0.5), ("0.5,", 0.5), ("50%;", 0.5), ("2!", 2)],
        *[("0x", 0), ("0x1pz", 1)],
    ],
)
def test_numbers(token: str, value: float) -> None:
    assert seconds(token) == value
    assert reference_textgrid.real(token) == Fraction(value).limit_denominator(1000)


NEARLY_NUMBERS = ["0,5", "1:30", "0.5.1", "0.5x7", "5e", "1e-", "1.e", "1e400", "0x1p99999"]


@pytest.mark.parametrize(
    "token",
    ["-", "+", "-+1", "--undefined--", "−1", "٣", "0.5é", "1/0", "1/x", *NEARLY_NUMBERS],
)
def test_no_numbers_and_numbers_that_could_be_meant_in_two_ways(token: str) -> None:
    with pytest.raises(ValueError, match=re.escape(token.rpartition("/")[2])):
        seconds(token)


@pytest.mark.parametrize(
    ("token", "value"),
    [("3", 3), ("+3", 3), ("3.0", 3), ("3,", 3), ("3.5", -1), ("-3", -1), ("3e1", -1), ("9" * 30, -1), ("x", -1)],
)
def test_whole_numbers(token: str, value: int) -> None:
    assert whole_number(token) == value


# --- rounding -----------------------------------------------------------------------------------------

SHIFT = st.sampled_from([-0.9, -0.6, -0.4, -0.1, 0, 0.1, 0.4, 0.6, 0.9])
"""Of a time, in samples. No halves: in floating point they may be rounded to either side."""


@ON_DISK
@given(
    data=st.data(),
    rate=st.sampled_from([8000, 11_025, 16_000, 44_100]),
    edges=st.sets(st.integers(0, 300), min_size=2, max_size=12),
)
def test_times_are_compared_after_rounding(tmp_path: Path, data: st.DataObject, rate: int, edges: set[int]) -> None:
    """Gaps, overlaps and slivers of less than a sample, some more than that; judged by the reference in fractions."""
    samples = max(edges)
    header = AudioHeader(samples, rate, 1)
    spans = [(start + data.draw(SHIFT), end + data.draw(SHIFT)) for start, end in pairwise(sorted(edges))]
    rows = [(f"{start:.6f}/{rate}", f"{end:.6f}/{rate}", f"l{n}") for n, (start, end) in enumerate(spans)]
    body = "".join(f'{start} {end} "{label}"\n' for start, end, label in rows)
    path = tmp_path / "a.TextGrid"
    head = '"ooTextFile"\n"TextGrid"\n0 1 <exists> 1 "IntervalTier" "phones" 0 1'
    path.write_text(f"{head} {len(rows)}\n{body}")
    (tier,) = reference_textgrid.read(path.read_text())
    try:
        wanted = [Segment(label, *span) for *span, label in reference_textgrid.segments(tier, rate, samples)]
    except ValueError:
        with pytest.raises(InvalidFile, match=r"a.TextGrid:[0-9]+: tier 'phones', interval [0-9]+: 'l[0-9]+' "):
            textgrid.read_tiers(path, header, Options(), [], [])
        return
    notices: list[Problem] = []
    phonemes, _ = textgrid.read_tiers(path, header, Options(), notices, [])
    assert list(phonemes) == wanted
    dropped = len(rows) - len(wanted)
    messages = [notice.message for notice in notices if "holds no sample" in notice.message]
    assert len(messages) == (dropped > 0)
    assert all(f"{dropped} such in all" in message for message in messages)


def test_slivers_of_pauses_are_dropped_without_a_notice(tmp_path: Path) -> None:
    tone(tmp_path / "a_1.wav")
    rows = [(0, 0.25, "a"), (0.25, 0.25, "sp"), (0.25, 0.25001, ""), (0.25001, 0.25002, "b"), (0.25, 0.5, "c")]
    text_grid(tmp_path / "a_1.TextGrid", phones=rows, words=[(0, 0.5, "w")])
    corpus = open_corpus(tmp_path)
    assert corpus.utterances[0].phonemes == (Segment("a", 0, 4000), Segment("c", 4000, 8000))
    assert messages_of(corpus) == [
        "a_1.TextGrid:22: tier 'phones', interval 4: 'b' holds no sample and is dropped; 1 such in all"
    ]


# --- the tier that is meant ---------------------------------------------------------------------------

HALF = [(0, 0.5, "a")]


def messages_of(corpus: Corpus) -> list[str]:
    """The problems of a corpus without its folder, except that there is no speakers.csv."""
    texts = [str(problem).removeprefix(f"{corpus.root}/") for problem in corpus.problems]
    return [text for text in texts if not text.startswith("speakers.csv")]


def one_grid(folder: Path, *tiers: tuple[str, Sequence[tuple[float, float, str]]], **options: Any) -> Corpus:
    """A corpus of one recording; tiers may have equal names."""
    tone(folder / "a_1.wav")
    names = {f"@{number}@": rows for number, (_, rows) in enumerate(tiers)}
    path = text_grid(folder / "a_1.TextGrid", **names)
    text = path.read_text()
    for number, (name, _) in enumerate(tiers):
        text = text.replace(f"@{number}@", name)
    path.write_text(text)
    return open_corpus(folder, **options)


def test_tiers_of_one_name_are_refused_until_a_number_is_given(tmp_path: Path) -> None:
    tiers = [("words", HALF), ("phones", HALF), ("words", [(0, 0.5, "x")]), ("phones", [(0, 0.5, "y")])]
    with pytest.raises(
        InputError, match=r"several tiers could be the phones \(2 'phones', 4 'phones'\).*phoneme-tier 2"
    ):
        one_grid(tmp_path, *tiers)
    with pytest.raises(InputError, match=r"several tiers could be the words \(1 'words', 3 'words'\).*--word-tier 1"):
        one_grid(tmp_path, *tiers, phoneme_tier="4")
    with pytest.raises(InputError, match=r"several tiers are named 'phones' \(2 'phones', 4 'phones'\).*by its number"):
        one_grid(tmp_path, *tiers, phoneme_tier="phones", word_tier="3")
    corpus = one_grid(tmp_path, *tiers, phoneme_tier="4", word_tier="3")
    assert (corpus.utterances[0].phonemes[0].label, corpus.utterances[0].words[0].label) == ("y", "x")
    assert messages_of(corpus) == []


def test_tiers_of_two_speakers_are_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="several tiers could be the phones .*'A - phones'.*'B - phones'"):
        one_grid(tmp_path, ("A - words", HALF), ("A - phones", HALF), ("B - phones", HALF))
    with pytest.raises(InputError, match="phones and words are those of two speakers"):
        one_grid(tmp_path, ("A - words", HALF), ("B - phones", HALF))
    with pytest.raises(InputError, match="phones and words are those of two speakers"):
        one_grid(tmp_path, ("A - words", HALF), ("B - phones", HALF), word_tier="1")
    assert (
        messages_of(one_grid(tmp_path, ("A - words", HALF), ("B - phones", HALF), word_tier="1", phoneme_tier="2"))
        == []
    )
    assert messages_of(one_grid(tmp_path, ("A - words", HALF), ("phones", HALF))) == []


@pytest.mark.parametrize("other", ["segments", "PHONE", "phones_B", "phones 2", "old phones", "A - Phonemes"])
def test_other_tiers_that_could_be_meant_are_named(tmp_path: Path, other: str) -> None:
    corpus = one_grid(tmp_path, ("words", HALF), (other, [(0, 0.5, "x")]), ("phones", HALF))
    assert corpus.utterances[0].phonemes[0].label == "a"
    assert messages_of(corpus) == [
        f"a_1.TextGrid: the phones are those of tier 3 'phones', but others could be meant (2 {other!r}); "
        "choose with --phoneme-tier"
    ]


@pytest.mark.parametrize(
    ("words", "phones", "others"),
    [
        ("words", "phones", ["utterances", "notes", "comments"]),
        ("ORT-MAU", "MAU", ["KAN-MAU", "TRN"]),  # as WebMAUS writes
        ("anna - words", "anna - phones", []),  # as the Montreal Forced Aligner writes
        ("word", "phone", ["syllable", "segmentation"]),
    ],
)
def test_usual_sets_of_tiers_are_read_without_a_word(
    tmp_path: Path, words: str, phones: str, others: list[str]
) -> None:
    corpus = one_grid(tmp_path, (words, [(0, 0.5, "w")]), *[(name, HALF) for name in others], (phones, HALF))
    assert (corpus.utterances[0].phonemes[0].label, corpus.utterances[0].words[0].label) == ("a", "w")
    assert messages_of(corpus) == []


def test_a_name_comes_before_a_number_and_points_are_no_intervals(tmp_path: Path) -> None:
    tiers = [("2", [(0, 0.5, "one")]), ("phones", [(0, 0.5, "two")])]
    assert one_grid(tmp_path, *tiers, phoneme_tier="2").utterances[0].phonemes[0].label == "one"
    assert one_grid(tmp_path, *tiers, phoneme_tier="1").utterances[0].phonemes[0].label == "one"
    path = tmp_path / "a_1.TextGrid"
    path.write_text(f'{HEAD} 2 "TextTier" "phones" 0 0.5 1 0.25 "p" "IntervalTier" "phones" 0 0.5 1 0 0.5 "i"')
    assert open_corpus(tmp_path).utterances[0].phonemes == (Segment("i", 0, 8000),)
    with pytest.raises(InputError, match=r"no interval tier '1' \(there are: 2 'phones'\); change --phoneme-tier"):
        open_corpus(tmp_path, phoneme_tier="1")


# --- malformed files ----------------------------------------------------------------------------------

HEAD = '"ooTextFile"\n"TextGrid"\n0 0.5 <exists>'
TIER = '"IntervalTier" "phones" 0 0.5'


@pytest.fixture
def grid(tmp_path: Path) -> Path:
    tone(tmp_path / "a_1.wav")
    return tmp_path / "a_1.TextGrid"


@pytest.mark.parametrize(
    ("rows", "line", "interval", "message"),
    [
        ('-0.02 0.25 "a"\n0.25 0.5 "b"', 5, 1, "'a' from -0.02 to 0.25 s starts before the audio"),
        ('0 0.25 "a"\n0.25 0.2 "b"', 6, 2, "'b' from 0.25 to 0.2 s ends before it starts"),
        ('0 0.25 "a"\n0.2 0.5 "b"', 6, 2, "'b' at samples 3200 to 8000 overlaps the segment above it"),
        ('0.2 0.25 "a"\n0 0.1 "b"', 6, 2, "'b' at samples 0 to 1600 starts before the segment above it"),
        ('0 0.25 "a"\n0.25 0.6 "b"', 6, 2, "'b' at samples 4000 to 9600 ends 1600 samples after the audio"),
        ('0 0.25 "a"\n0.25 1e9 "b"', 6, 2, "'b' from 0.25 to 1e[+]09 s is longer than any recording"),
        ('0 0.25 "a"\n0,25 0.5 "b"', 6, 2, "'0,25' is not a time in seconds"),
        ('0 0.25 "a"\n.25 0.5 "b"', 6, 2, "there is the text 'b' where its end should be"),
        ('0 0.25 "a"\n−0.25 0.5 "b"', 6, 2, "there is the text 'b' where its end should be"),
        ('0 0.25 "a"\n0.25', 6, 2, "the file ends where its end should be"),
        ('0 0.25 "a"b"\n0.25 0.5 "b"', 5, 1, "a text or flag is not closed, or a quote in a text is not doubled"),
        ('0 0.25 "a"\n0.25 0.5 "b', 6, 2, "a text or flag is not closed, or a quote in a text is not doubled"),
    ],
)
def test_malformed_rows_are_refused_by_tier_interval_and_line(
    grid: Path, rows: str, line: int, interval: int, message: str
) -> None:
    grid.write_text(f"{HEAD} 1\n{TIER} 2\n{rows}")
    with pytest.raises(InputError, match=f"a_1.TextGrid:{line}: tier 'phones', interval {interval}: {message}"):
        open_corpus(grid.parent)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (f'{HEAD} 1\n{TIER} 3\n0 0.25 "a"\n0.25 0.5 "b"', ":4: tier 'phones' declares 3 intervals but has 2"),
        (f'{HEAD} 1\n{TIER} 1\n0 0.25 "a"\n0.25 0.5 "b"', ":4: tier 'phones' declares 1 intervals but has 2"),
        (f'{HEAD} 1\n{TIER} 1\n0 0.5 "a"\n{TIER} 1\n0 0.5 "b"', ":6: the TextGrid declares 1 tiers, but here is"),
        (f'{HEAD} 2\n{TIER} 1\n0 0.5 "a"', ":5: tier 2: the file ends where its class should be"),
        (f'{HEAD} 1\n"PitchTier" "phones" 0 0.5 1', ":4: tier 1: its class is 'PitchTier', not IntervalTier or"),
        ('"ooTextFile"\n"TextGrid"\n0 0.5 <absent>', ":3: its tiers are <absent>, not <exists>"),
        ('"ooTextFile"\n"Collection"\n1 "TextGrid" "a"', ": holds a 'Collection' of Praat, not a TextGrid"),
        ('"Praat chronological TextGrid text file"\n0 1 1 "TextTier" "p" 0 1\n2 0 "a"', ":3: there is no tier 2, the"),
        ("ooBinaryFile\bTextGrid", ": is a binary file of Praat; save it from Praat as a text file"),
        ("nothing of the kind", ": not a usable TextGrid: it does not begin with"),
        ("", ": not a usable TextGrid"),
        (f'{HEAD} 1\n{TIER} 1\n0 0.5 "a\0"', ":5: contains NUL bytes"),
    ],
)
def test_malformed_files_are_refused(grid: Path, text: str, message: str) -> None:
    grid.write_text(text)
    with pytest.raises(InputError, match=f"a_1.TextGrid{message}"):
        open_corpus(grid.parent)


def test_a_bad_tier_that_is_not_used_harms_nobody(grid: Path) -> None:
    bad = ['-3 -1 "a" 0,5 1e999 "b" 0.2 0.1 "c" 0.15 9 "d"', '0 nan1 -- "x"']
    for size, rows in ((4, bad[0]), (7, bad[0]), (2, bad[0]), (1, bad[0]), (0, "")):
        grid.write_text(
            f'{HEAD} 4 "IntervalTier" "notes" 0 0.5 {size} {rows} {TIER} 1 0 0.5 "p" '
            f'"IntervalTier" "words" 0 0.5 1 0 0.5 "w" "IntervalTier" "more notes" 0 - {size} {rows}'
        )
        corpus = open_corpus(grid.parent)
        assert messages_of(corpus) == []
        assert corpus.utterances[0].phonemes == (Segment("p", 0, 8000),)
        assert corpus.utterances[0].words == (Segment("w", 0, 8000),)
    grid.write_text(grid.read_text().replace('"notes"', '"word"', 1))
    assert "but others could be meant (1 'word')" in str(messages_of(open_corpus(grid.parent)))


@pytest.mark.parametrize("more", ["", "\n", " the end", "\n! 3", "\x1a", "\0\0"])
def test_no_data_after_the_end_is_fine(grid: Path, more: str) -> None:
    grid.write_text(f'{HEAD} 2 {TIER} 1 0 0.5 "p" "IntervalTier" "words" 0 0.5 1 0 0.5 "w"\n{more}')
    corpus = open_corpus(grid.parent)
    assert (corpus.utterances[0].words, messages_of(corpus)) == ((Segment("w", 0, 8000),), [])


@pytest.mark.parametrize("more", ["7", '"x"', "<exists>", '"', "0.5 0.6"])
def test_data_after_the_end_are_ignored_as_praat_does_with_a_notice(grid: Path, more: str) -> None:
    grid.write_text(f'{HEAD} 2 {TIER} 1 0 0.5 "p" "IntervalTier" "words" 0 0.5 1 0 0.5 "w"\n{more}')
    corpus = open_corpus(grid.parent)
    assert corpus.utterances[0].words == (Segment("w", 0, 8000),)
    assert [text.partition(", because")[0] for text in messages_of(corpus)] == ["a_1.TextGrid:4: ignored from here on"]


# --- encodings ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-16-be", "utf-16-le with mark", "utf-16-be with mark"]
)
def test_unicode(grid: Path, encoding: str) -> None:
    name, _, mark = encoding.partition(" with ")
    text = f'{HEAD} 2 {TIER} 1 0 0.5 "ʃ" "IntervalTier" "words" 0 0.5 1 0 0.5 "šíř"'
    grid.write_bytes((("\ufeff" if mark else "") + text).encode(name) + b"\n")  # an odd byte at the end of UTF-16
    corpus = open_corpus(grid.parent)
    assert (corpus.utterances[0].phonemes[0].label, corpus.utterances[0].text) == ("ʃ", "šíř")
    assert messages_of(corpus) == []


def test_what_is_not_utf_8_is_windows_latin_1_with_a_notice(grid: Path) -> None:
    text = f'{HEAD} 2 {TIER} 1 0 0.5 "p"\n"IntervalTier" "words" 0 0.5 1 0 0.5 "été œuf"'
    grid.write_bytes(text.encode("cp1252"))
    corpus = open_corpus(grid.parent)
    assert corpus.utterances[0].text == "été œuf"
    (message,) = messages_of(corpus)
    assert message.startswith("a_1.TextGrid:4: not UTF-8: read as Windows Latin-1, such as 'é'; check the labels")


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("é".encode() + b"\xe9", ":4: is not UTF-8 text"),  # a damaged byte, not another encoding
        (b"\x81", ":4: is not UTF-8 text"),
        (b"\0x", ":4: contains NUL bytes"),
    ],
)
def test_broken_text(grid: Path, content: bytes, message: str) -> None:
    grid.write_bytes(f'{HEAD} 1 {TIER} 1\n0 0.5 "'.encode() + content + b'"')
    with pytest.raises(InputError, match=f"a_1.TextGrid{message}"):
        open_corpus(grid.parent)


# --- the cases of issue 18 ----------------------------------------------------------------------------


def test_a_label_that_looks_like_a_field(grid: Path) -> None:
    words = [(0, 0.25, "see item [1] here"), (0.25, 0.5, 'xmin = 3 "" intervals [2]: text')]
    text_grid(grid, long=True, phones=HALF, words=words)
    assert [word.label for word in open_corpus(grid.parent).utterances[0].words] == [
        "see item [1] here",
        'xmin = 3 " intervals [2]: text',
    ]


@pytest.mark.parametrize("long", [False, True])
def test_a_negative_start_is_refused_in_both_forms(grid: Path, long: bool) -> None:
    text_grid(grid, long=long, phones=[(-0.02, 0.2, "AH0"), (0.2, 0.5, "")])
    with pytest.raises(
        InputError, match="tier 'phones', interval 1: 'AH0' from -0.02 to 0.2 s starts before the audio"
    ):
        open_corpus(grid.parent)


def test_intervals_that_touch_but_for_rounding(grid: Path) -> None:
    text_grid(grid, long=True, phones=[(0, 0.2000001, ""), (0.2, 0.5, "AH0")], words=HALF)
    corpus = open_corpus(grid.parent)
    assert corpus.utterances[0].phonemes == (Segment("h#", 0, 3200), Segment("AH0", 3200, 8000))
    assert messages_of(corpus) == []


def test_a_part_of_a_recording_with_the_times_of_the_whole(grid: Path) -> None:
    grid.write_text(f'{HEAD} 2 "IntervalTier" "phones" 0.2 0.5\n1 0.2 0.5 "a" "IntervalTier" "words" 0 0.5 0')
    assert messages_of(open_corpus(grid.parent)) == [
        "a_1.TextGrid:3: tier 'phones' starts at 0.2 s; check whether its times count from the beginning of the audio"
    ]


CASES = Path(__file__).resolve().parents[3] / "shared" / "cases"


@pytest.mark.parametrize(
    ("name", "answer"),
    [
        ("textgrid-duplicate-tier-names", "several tiers could be the phones"),
        ("textgrid-negative-start", "interval 1: 'AH0' from -0.02 to 0.2 s starts before the audio"),
        ("textgrid-label-with-item", ["see item [1] here", "x"]),
        ("textgrid-rounding-overlap", ["us", "ah"]),
    ],
)
def test_the_cases_that_once_failed(name: str, answer: str | list[str]) -> None:
    if not (CASES / name).is_dir():
        pytest.skip(f"{CASES / name} is not there")
    if isinstance(answer, str):
        with pytest.raises(InputError, match=answer):
            open_corpus(CASES / name)
    else:
        corpus = open_corpus(CASES / name)
        assert [word.label for word in corpus.utterances[0].words] == answer
        assert messages_of(corpus) == []
