"""Folders of recordings with Praat TextGrids, as aligners (MFA, WebMAUS) and phoneticians write them.

P. Boersma, D. Weenink, "Praat: doing phonetics by computer", https://www.praat.org; how their files are read: see
`praat.py`. The licence is that of the recordings.

Which files belong together, who speaks, and the file `speakers.csv`: see `folders.py`.

Tiers are found by their usual names, also with a speaker before them as MFA writes (`anna - phones`), or given by the
user, by name or number. Of several usual names the preferred one is taken, with a notice; an utterance with several
tiers of that name is left out.
Phones without a label or labelled as silence become `h#`, those labelled as noise or as an unknown word `spn`, as MFA
calls a word that is missing from its dictionary; words with such labels are dropped (`non_speech.ALIGNERS`). Other
labels stay as written: Praat's backslash codes, such as `\\ae` for æ, are not converted.

Times in seconds are rounded to the nearest sample of the audio file and only then compared. An overlap of one sample,
and one sample before or after the audio, are cut off. Intervals without a sample are dropped, with a notice if they
have a label.
"""

import re
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

from lvm_probe.probing.corpora.audio import AudioHeader
from lvm_probe.probing.corpora.corpus import Problem, Segment, Utterance
from lvm_probe.probing.corpora.folders import Annotation, read_folders
from lvm_probe.probing.corpora.intake import (
    END_TOLERANCE_MS,
    InvalidFile,
    Options,
    Row,
    Tree,
    segments,
    to_sample,
)
from lvm_probe.probing.corpora.non_speech import ALIGNERS
from lvm_probe.probing.corpora.praat import Interval, Tier, read_text_grid, seconds, whole_number


class _Content(NamedTuple):
    """What a tier may hold, and how it is recognised.

    Attributes:
        what: in messages.
        names: usual names of such tiers in any case, the preferred one first.
        similar: words in the names of other tiers that could be meant.
        option: by which the user chooses the tier.
    """

    what: str
    names: tuple[str, ...]
    similar: frozenset[str]
    option: str


_PHONES = _Content(
    "phones",
    ("phones", "phone", "phonemes", "phoneme", "segments", "segment", "mau", "phn"),
    frozenset({"phones", "phone", "phonemes", "phoneme"}),
    "--phoneme-tier",
)
_WORDS = _Content(
    "words", ("words", "word", "ort-mau", "ort", "orthography", "wrd"), frozenset({"words", "word"}), "--word-tier"
)

NON_SPEECH = ALIGNERS

_MAX_SECONDS = 1e7  # no recording is that long


def sign(tree: Tree) -> Path | None:
    """A TextGrid."""
    return next(iter(tree.by_suffix(".textgrid")), None)


def read(tree: Tree, options: Options) -> tuple[list[Utterance], list[Problem]]:
    """Every usable utterance, and everything that is wrong with the files."""

    def annotation(path: Path, audio: Path, header: AudioHeader, notices: list[Problem]) -> Annotation:
        left_out: list[str] = []
        phonemes, words = read_tiers(path, header, options, notices, left_out)
        text = " ".join(word.label for word in words) or None
        return Annotation(phonemes, words, text, non_speech=tuple(left_out))

    return read_folders(tree, options, ".TextGrid", annotation)


def read_tiers(
    path: Path, header: AudioHeader, options: Options, notices: list[Problem], left_out: list[str]
) -> tuple[tuple[Segment, ...], tuple[Segment, ...]]:
    """Phonemes and words of a TextGrid, in samples.

    Args:
        path: the TextGrid.
        header: of its audio.
        options: the user's options.
        notices: notices are appended here.
        left_out: labels that are no speech are appended here.

    Raises:
        InvalidFile: it has neither tier or is malformed.
    """
    tiers = read_text_grid(path, notices)
    phoneme_tier = _choose(path, tiers, _PHONES, options.phoneme_tier, notices)
    word_tier = _choose(path, tiers, _WORDS, options.word_tier, notices)
    if phoneme_tier is None and word_tier is None:
        message = f"no tier of phones or words (its interval tiers: {_listed(tiers)}); name the tiers to use"
        raise InvalidFile(path, None, message)
    if phoneme_tier is None or word_tier is None:
        missing = _PHONES if phoneme_tier is None else _WORDS
        cure = f"they are unknown; choose one with {missing.option} if it has another name"
        message = f"no tier of {missing.what} (its interval tiers: {_listed(tiers)}): {cure}"
        notices.append(Problem(path, None, message, "notice", f"no tier of {missing.what}: {cure}"))
    elif options.phoneme_tier is None or options.word_tier is None:
        _check_same_talker(path, phoneme_tier, word_tier)
    non_speech = NON_SPEECH.changed(options.non_speech)
    phonemes = segments(_rows(path, phoneme_tier, header, notices), path, header, notices)
    words = non_speech.without(_rows(path, word_tier, header, notices), left_out)
    return non_speech.renamed(phonemes, left_out), segments(words, path, header, notices)


def _choose(
    path: Path, tiers: list[Tier], content: _Content, chosen: str | None, notices: list[Problem]
) -> Tier | None:
    """The tier that the user chose, or the one with the most usual name; None if there is none."""
    if chosen is not None:
        return _chosen(path, tiers, content, chosen)
    possible = [tier for tier in tiers if not tier.has_points and _could_be(tier, content)]
    usual = [name for name in content.names if any(_usual_name(tier) == name for tier in possible)]
    if not usual:
        return None
    best = [tier for tier in possible if _usual_name(tier) == usual[0]]
    if len(best) > 1:
        message = f"several tiers could be the {content.what} ({_listed(best)}); choose one by name or number"
        raise InvalidFile(path, None, f"{message}, such as {content.option} {best[0].number}")
    if others := [tier for tier in possible if tier not in best]:
        message = f"the {content.what} are those of tier {_listed(best)}, but others could be meant"
        message += f" ({_listed(others)}); choose with {content.option}"
        topic = f"the {content.what} are those of tier {best[0].name!r}, but others could be meant; "
        topic += f"choose with {content.option}"
        notices.append(Problem(path, None, message, "notice", topic))
    return best[0]


def _chosen(path: Path, tiers: list[Tier], content: _Content, chosen: str) -> Tier:
    """The interval tier of this name, or else of this number."""
    matching = [tier for tier in tiers if tier.name == chosen and not tier.has_points]
    matching = matching or [tier for tier in tiers if str(tier.number) == chosen and not tier.has_points]
    if not matching:
        message = f"no interval tier {chosen!r} (there are: {_listed(tiers)}); change {content.option}"
        raise InvalidFile(path, None, message)
    if len(matching) > 1:
        message = f"several tiers are named {chosen!r} ({_listed(matching)}); choose one by its number"
        raise InvalidFile(path, None, f"{message}, such as {content.option} {matching[0].number}")
    return matching[0]


def _usual_name(tier: Tier) -> str:
    """The name of a tier without its speaker."""
    return tier.name.rpartition(" - ")[2].strip().casefold()


def _could_be(tier: Tier, content: _Content) -> bool:
    parts = re.findall(r"[^\W\d_]+", tier.name.casefold())
    return _usual_name(tier) in content.names or not (content.similar.isdisjoint(parts) or "confidence" in parts)


def _check_same_talker(path: Path, phoneme_tier: Tier, word_tier: Tier) -> None:
    """Raise InvalidFile if the tiers have the names of two speakers before them."""
    talkers = {tier.name.rpartition(" - ")[0].strip() for tier in (phoneme_tier, word_tier)}
    if len(talkers - {""}) > 1:
        message = f"phones and words are those of two speakers ({_listed([phoneme_tier, word_tier])})"
        raise InvalidFile(path, None, f"{message}; choose with {_PHONES.option} and {_WORDS.option}")


def _listed(tiers: list[Tier]) -> str:
    """Interval tiers with their numbers, for messages."""
    return ", ".join(f"{tier.number} {tier.name!r}" for tier in tiers if not tier.has_points) or "none"


def _rows(path: Path, tier: Tier | None, header: AudioHeader, notices: list[Problem]) -> list[Row]:
    """The intervals of a tier in samples, without those that hold no sample."""
    if tier is None:
        return []
    if tier.size is not None and whole_number(tier.size) != len(tier.intervals):
        message = f"tier {tier.name!r} declares {tier.size[:20]} intervals but has {len(tier.intervals)}"
        raise InvalidFile(path, tier.line, f"{message}; restore the file, or fix the size of the tier")
    if _seconds(path, tier.line, f"tier {tier.name!r}: ", tier.start) * 1000 > END_TOLERANCE_MS:
        topic = f"tier {tier.name!r} starts after 0 s; check whether its times count from the beginning of the audio"
        message = topic.replace("after 0 s", f"at {tier.start[:20]} s")
        notices.append(Problem(path, tier.line, message, "notice", topic))
    rows: list[Row] = []
    dropped: list[Row] = []
    for number, interval in enumerate(tier.intervals, start=1):
        row = _to_samples(path, f"tier {tier.name!r}, interval {number}: ", interval, header)
        if rows and row.start == rows[-1].end - 1:
            row = replace(row, start=rows[-1].end)
        if row.start < row.end:
            rows.append(row)
        elif NON_SPEECH.name(row.label, is_phone=True) is None:
            dropped.append(row)
    if dropped:
        message = f"{dropped[0].place}{dropped[0].label!r} holds no sample and is dropped; {len(dropped)} such in all"
        topic = f"tier {tier.name!r}: intervals that hold no sample are dropped"
        notices.append(Problem(path, dropped[0].line, message, "notice", topic))
    return rows


def _seconds(path: Path, line: int, place: str, token: str) -> float:
    try:
        return seconds(token)
    except ValueError as error:
        raise InvalidFile(path, line, f"{place}{token[:40]!r} is not a time in seconds; fix it") from error


def _to_samples(path: Path, place: str, interval: Interval, header: AudioHeader) -> Row:
    """An interval in samples, without a sample before or after the audio. It may be empty, or end before it starts."""
    label = " ".join(interval.label.split())
    start, end = (_seconds(path, interval.line, place, token) for token in (interval.start, interval.end))
    if max(abs(start), abs(end)) > _MAX_SECONDS:
        problem = "is longer than any recording; fix its times"
    else:
        first, last = to_sample(start, header.sample_rate), to_sample(end, header.sample_rate)
        if first < -1:
            problem = "starts before the audio; cut that off, or shift all times of the TextGrid"
        elif last < first - 1:
            problem = "ends before it starts; fix its times"
        else:
            last -= last == header.samples + 1
            return Row(interval.line, max(first, 0), last, label, place)
    raise InvalidFile(path, interval.line, f"{place}{label[:40]!r} from {start:g} to {end:g} s {problem}")
