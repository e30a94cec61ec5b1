"""Folders of recordings with Praat TextGrids, as aligners (MFA, WebMAUS) and phoneticians write them.

P. Boersma, D. Weenink, "Praat: doing phonetics by computer", https://www.praat.org; the files are read by
praatio (T. Mahrt, https://github.com/timmahrt/praatIO, MIT). The licence is that of the recordings.

Which files belong together, who speaks, and the file `speakers.csv`: see `folders.py`.

Tiers are found by their usual names, also with a speaker before them as MFA writes (`anna - phones`), or named by
the user. Phones without a label or labelled as silence become `h#`; words without a label, or with a label that
P2FA and FAVE give to pauses and noises (`sp`, `sil`, `{SL}`, `{NS}`), are dropped. MFA's phone `spn`, for a word that
is missing from its dictionary, stays `spn`: it is speech, not silence, but it is not a phoneme either.
Times in seconds are rounded to the nearest sample of the audio file.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from lvm_probe.probing.corpora.audio import AudioHeader
from lvm_probe.probing.corpora.corpus import Problem, Segment, Utterance
from lvm_probe.probing.corpora.folders import Annotation, read_folders
from lvm_probe.probing.corpora.intake import (
    END_TOLERANCE_MS,
    InvalidFile,
    Options,
    Row,
    Tree,
    check_size,
    notice_early_end,
    segments,
    to_sample,
)
from lvm_probe.probing.corpora.phones import NON_PHONEMES, SILENCE

PHONEME_TIERS = ("phones", "phone", "phonemes", "phoneme", "segments", "segment", "mau", "phn")
WORD_TIERS = ("words", "word", "ort-mau", "ort", "orthography", "wrd")
"""Usual tier names in any case, the preferred one first."""

_PAUSES = frozenset({"", "sil", "sp", "<sil>", "<p:>", "<eps>"})
NON_PHONEME_LABELS: Mapping[str, str] = {
    **dict.fromkeys(_PAUSES | {"#"}, SILENCE),
    **{label: label for label in NON_PHONEMES},
}

_MAX_SECONDS = 1e7  # no recording is that long; larger times are NaN, infinite or garbage


def sign(tree: Tree) -> Path | None:
    """A TextGrid."""
    return next(iter(tree.by_suffix(".textgrid")), None)


def read(tree: Tree, options: Options) -> tuple[list[Utterance], list[Problem]]:
    """Every usable utterance, and everything that is wrong with the files."""

    def annotation(path: Path, audio: Path, header: AudioHeader, notices: list[Problem]) -> Annotation:
        phonemes, words = read_tiers(path, header, options, notices)
        return Annotation(phonemes, words, " ".join(word.label for word in words) or None)

    return read_folders(tree, options, ".TextGrid", annotation)


def read_tiers(
    path: Path, header: AudioHeader, options: Options, notices: list[Problem]
) -> tuple[tuple[Segment, ...], tuple[Segment, ...]]:
    """Phonemes and words of a TextGrid, in samples; raises InvalidFile if it has neither tier or is malformed."""
    tiers = _open(path)
    phoneme_tier = _choose(path, tiers, PHONEME_TIERS, options.phoneme_tier, "phoneme_tier")
    word_tier = _choose(path, tiers, WORD_TIERS, options.word_tier, "word_tier")
    if phoneme_tier is None and word_tier is None:
        names = ", ".join(map(repr, tiers)) or "none"
        message = f"no tier of phones or words (its interval tiers: {names}); name the tiers to use"
        raise InvalidFile(path, None, message)
    if phoneme_tier is None or word_tier is None:
        missing = "phones" if phoneme_tier is None else "words"
        notices.append(Problem(path, None, f"no tier of {missing}: they are unknown", "notice"))
    phonemes = _rows(path, tiers, phoneme_tier, header, notices)
    words = [row for row in _rows(path, tiers, word_tier, header, notices) if _is_word(row.label)]
    return (
        segments(phonemes, path, header, notices, non_phonemes=NON_PHONEME_LABELS),
        segments(words, path, header, notices),
    )


def _is_word(label: str) -> bool:
    return label.casefold() not in _PAUSES and not (label.startswith("{") and label.endswith("}"))


def _open(path: Path) -> dict[str, tuple[Any, ...]]:
    """praatio's intervals, empty ones included, by the name of their tier; point tiers are not used."""
    from praatio import textgrid as praat  # here because only TextGrids need it

    check_size(path)
    try:
        grid = praat.openTextgrid(
            str(path), includeEmptyIntervals=True, reportingMode="silence", duplicateNamesMode="rename"
        )
        return {
            name: tuple(grid.getTier(name).entries)
            for name in grid.tierNames
            if isinstance(grid.getTier(name), praat.IntervalTier)
        }
    except Exception as error:  # praatio raises errors of many types for malformed files
        reason = " ".join(str(error).split())[:100] or type(error).__name__
        message = f"not a usable TextGrid ({reason}); fix it, or save it again from Praat as text"
        raise InvalidFile(path, None, message) from error


def _rows(
    path: Path,
    tiers: dict[str, tuple[Any, ...]],
    name: str | None,
    header: AudioHeader,
    notices: list[Problem],
) -> list[Row]:
    """The intervals of a tier in samples.

    Praat's tiers always reach the end of the audio, so one that does not may come from a truncated file, of which
    praatio reads what is left.
    """
    if name is None:
        return []
    rows = []
    for interval in tiers[name]:
        times = float(interval.start), float(interval.end)
        if not all(abs(time) < _MAX_SECONDS for time in times) or "\0" in interval.label:
            message = f"interval {interval.label[:20]!r} has impossible times or NUL bytes; fix the TextGrid"
            raise InvalidFile(path, None, message)
        start, end = (to_sample(time, header.sample_rate) for time in times)
        rows.append(Row(None, start, end, " ".join(interval.label.split())))
    end = rows[-1].end if rows else 0
    notice_early_end(path, f"tier {name!r}", end, header, notices, tolerance_ms=END_TOLERANCE_MS)
    return rows


def _choose(
    path: Path, tiers: dict[str, tuple[Any, ...]], usual: tuple[str, ...], chosen: str | None, option: str
) -> str | None:
    """The tier that the user chose, or the one with the most usual name; `None` if there is none."""
    if chosen is not None:
        if chosen not in tiers:
            names = ", ".join(map(repr, tiers)) or "none"
            raise InvalidFile(path, None, f"no interval tier {chosen!r} (there are: {names}); change {option}")
        return chosen
    for name in usual:
        matching = [tier for tier in tiers if tier.split(" - ")[-1].strip().casefold() == name]
        if len(matching) > 1:
            names = ", ".join(map(repr, matching))
            raise InvalidFile(path, None, f"several tiers have a usual name ({names}); choose one with {option}")
        if matching:
            return matching[0]
    return None
