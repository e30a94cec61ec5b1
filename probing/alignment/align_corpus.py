"""Alignment of a corpus: from recordings with transcripts to a folder of TextGrids that is a corpus itself."""

from __future__ import annotations

import csv
import io
import json
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

import numpy as np
import soundfile

from lvm_probe import InputError
from lvm_probe.models.io.files import holds_data, write_atomically, write_json
from lvm_probe.probing import parallel
from lvm_probe.probing.alignment import agreement, pocketsphinx_aligner, transcript
from lvm_probe.probing.alignment.agreement import Agreement
from lvm_probe.probing.alignment.lexicon import Lexicon, Pronunciation
from lvm_probe.probing.alignment.pocketsphinx_aligner import (
    FRAME_RATES,
    SAMPLE_RATE,
    AlignedUtterance,
    PocketSphinxAligner,
)
from lvm_probe.probing.corpora import phones as phone_sets
from lvm_probe.probing.corpora import textgrid, textgrid_writer
from lvm_probe.probing.corpora.audio import AudioHeader
from lvm_probe.probing.corpora.corpus import Corpus, Segment, Utterance
from lvm_probe.probing.corpora.folders import SPEAKER_COLUMNS, SPLITS
from lvm_probe.probing.corpora.intake import Options
from lvm_probe.probing.corpora.phones import NON_PHONEMES, SILENCE
from lvm_probe.probing.corpora.recordings import read_pcm

DESCRIPTION = "_alignment.json"
SPELLED = "spelled.dict"
CONFIDENCE = {"phones": "phone confidence", "words": "word confidence"}
"""Names of the tiers that hold the confidence of the segments of another."""

Audio = Literal["link", "copy", "none"]


SHOWN_WORDS = 12


@dataclass(frozen=True, repr=False)
class Alignment:
    """What an alignment did. `print` shows what the command prints.

    Attributes:
        out: the folder of the aligned corpus.
        utterances: the aligned utterances with their phones (pauses among them) and words.
        confidence: of every phone, without pauses.
        left_out: for each utterance that could not be aligned one line that says why.
        aligned_before: number of utterances that had phones, and were not aligned again.
        without_text: number of utterances without a transcript.
        spelled: pronunciation and number of tokens of each word that was pronounced by rule.
        done: number of utterances that were aligned by this run; the others had been before.
        phones: agreement of phone boundaries with those that the corpus had, where they were aligned again.
        words: the same of words; both are empty where nothing was.
    """

    out: Path
    utterances: tuple[Utterance, ...]
    confidence: np.ndarray
    left_out: tuple[str, ...]
    aligned_before: int
    without_text: int
    spelled: dict[str, tuple[Pronunciation, int]]
    done: int
    phones: Agreement
    words: Agreement

    @property
    def counts(self) -> tuple[int, int]:
        """Numbers of phones, without pauses, and of words."""
        phones = sum(phone.label not in NON_PHONEMES for one in self.utterances for phone in one.phonemes)
        return phones, sum(len(one.words) for one in self.utterances)

    def __repr__(self) -> str:
        phones, words = self.counts
        low, middle = np.quantile(self.confidence, [0.05, 0.5]).tolist()
        lines = [
            f"{_utterances(len(self.utterances))}: {phones:,} phones, {words:,} words",
            f"confidence of the phones: median {middle:.2f}, 5 % below {low:.2f}",
        ]
        for count, what in (
            (self.aligned_before, "had phones, which are not aligned again and not in the new corpus"),
            (self.without_text, "without a transcript"),
            (len(self.left_out), "could not be aligned"),
        ):
            lines += [f"{_utterances(count)} {what}"] if count else []
        if self.spelled:
            shown = [f"{word} ({' '.join(said)})" for word, (said, _) in list(self.spelled.items())[:SHOWN_WORDS]]
            more = f" ... ({len(self.spelled)} in all)" if len(self.spelled) > SHOWN_WORDS else ""
            lines.append(f"pronounced by rule: {', '.join(shown)}{more}; all are in {self.out / SPELLED}")
        if self.phones.of or self.words.of:
            lines += ["", "difference to the alignment that the corpus had:"]
            lines += [agreement.as_text({"phones": self.phones, "words": self.words})]
        return "\n".join(lines)


def _utterances(count: int) -> str:
    return f"{count:,} utterance{'s' * (count != 1)}"


def align_corpus(
    corpus: Corpus,
    out: Path,
    *,
    model: Path | None = None,
    dictionary: Path | None = None,
    pronunciations: Path | None = None,
    unknown: Literal["spell", "skip"] = "spell",
    again: bool = False,
    audio: Audio = "link",
    workers: int | None = None,
    progress: Callable[[float], None] = lambda seconds: None,
) -> Alignment:
    """Write a TextGrid for every utterance that has a transcript and no phones.

    The folder becomes a corpus of layout `textgrid`: a folder for each speaker with the TextGrids, the audio beside
    them, and `speakers.csv`. An interrupted alignment is continued by the same call.

    Args:
        corpus: the recordings and their texts.
        out: folder to write to.
        model: folder of a CMU Sphinx acoustic model (default: PocketSphinx's English one).
        dictionary: its pronunciation dictionary; both or neither.
        pronunciations: a dictionary of further words, which come before the dictionary's.
        unknown: whether words that are in neither are pronounced by rule (`letter_to_sound`), or the utterances that
            have them left out.
        again: align utterances that have phones too, and compare.
        audio: whether the recordings are linked, copied (as 16-bit WAV) or left where they are. A part of a longer
            recording is copied in place of a link.
        workers: number of processes (default: one per core).
        progress: called with the seconds of audio done since the last call.

    Raises:
        InputError: PocketSphinx is missing, there is nothing to align, or the folder holds something else.
    """
    pocketsphinx_aligner.require()
    if holds_data(out) and not (out / DESCRIPTION).exists():
        raise InputError(f"{out}: not empty and not an alignment; choose another --out")
    if (model is None) != (dictionary is None):
        raise InputError("an acoustic model and its dictionary belong together; give both or neither")
    shipped = pocketsphinx_aligner.shipped_model()
    lexicon = Lexicon.read(dictionary or shipped[1])
    if pronunciations is not None:
        lexicon = lexicon.extended(Lexicon.read(pronunciations))
    chosen = [one for one in corpus.utterances if again or not one.phonemes]
    spoken = [one for one in chosen if one.text]
    if not spoken:
        why = "have no transcript" if chosen else "are aligned already; align them --again to compare"
        raise InputError(f"{corpus.root}: nothing to align: its {len(corpus.utterances):,} utterances {why}")

    left_out: dict[str, str] = {}
    words: dict[str, list[str]] = {}
    for utterance in spoken:
        try:
            words[utterance.id] = transcript.words(utterance.text or "")
        except InputError as error:
            left_out[utterance.id] = f"{utterance.id}: {error}"
    known, spelled = _pronounce(words, lexicon, unknown, left_out)
    wanted = [one for one in spoken if one.id in words and one.id not in left_out]
    if not wanted:
        raise InputError(f"{corpus.root}: no utterance can be aligned; the first: {next(iter(left_out.values()))}")

    files = _files(wanted, out)
    if audio != "none":
        _check_recordings(corpus, [_beside(files[one.id], one, audio) for one in wanted])
    description = {
        "corpus": corpus.fingerprint(),
        "model": str(model.absolute()) if model else "PocketSphinx's English model",
        "dictionary": dictionary.name if dictionary else shipped[1].name,
        "frame_rates": list(FRAME_RATES),
        "unknown": unknown,
        "again": again,
        "spelled": {word: " ".join(phones) for word, (phones, _) in spelled.items()},
        "pronunciations": None if pronunciations is None else pronunciations.read_text(encoding="utf-8"),
    }
    _start_or_continue(out, description)
    job = _Job(PocketSphinxAligner(model or shipped[0], known), words, files, audio)
    missing = [one for one in wanted if not files[one.id].exists()]
    progress(sum(one.seconds for one in corpus.utterances) - sum(one.seconds for one in missing))
    failed = parallel.run(job.write, missing, workers=workers, advice="use fewer --workers and run the command again")
    for utterance, failure in zip(missing, failed, strict=True):
        if failure is not None:
            left_out[utterance.id] = f"{utterance.id}: {failure}"
        progress(utterance.seconds)
    _write_speakers(out, corpus)
    if spelled:
        rows = [f"{word} {' '.join(phones)}\n" for word, (phones, _) in spelled.items()]
        with write_atomically(out / SPELLED) as temporary:
            temporary.write_text("".join(rows), encoding="utf-8")

    done = [one for one in wanted if one.id not in left_out]
    if not done:
        raise InputError(f"{corpus.root}: no utterance can be aligned; the first: {next(iter(left_out.values()))}")
    read = [_read(files[one.id], one) for one in done]
    phones, of_words = _agreement([pair[0] for pair in read], done) if again else (agreement.together([]),) * 2
    return Alignment(
        out=out,
        utterances=tuple(pair[0] for pair in read),
        confidence=np.concatenate([pair[1] for pair in read]),
        left_out=tuple(left_out[one.id] for one in spoken if one.id in left_out),
        aligned_before=len(corpus.utterances) - len(chosen),
        without_text=len(chosen) - len(spoken),
        spelled=spelled,
        done=len([one for one in missing if one.id not in left_out]),
        phones=phones,
        words=of_words,
    )


def _pronounce(
    words: Mapping[str, Sequence[str]], lexicon: Lexicon, unknown: str, left_out: dict[str, str]
) -> tuple[dict[str, Sequence[Pronunciation]], dict[str, tuple[Pronunciation, int]]]:
    """The pronunciations of all words; of those that the lexicon lacks by rule, or their utterances are left out."""
    counts = Counter(word for some in words.values() for word in some)
    known: dict[str, Sequence[Pronunciation]] = {
        word: said for word in counts if (said := lexicon.pronunciations(word))
    }
    spelled: dict[str, tuple[Pronunciation, int]] = {}
    why: dict[str, str] = {}
    for word in sorted(counts.keys() - known.keys()):
        if unknown == "skip":
            why[word] = f"{word!r} is not in the dictionary; add it with --pronunciations"
            continue
        try:
            spelled[word] = (lexicon.spelled(word), counts[word])
        except InputError as error:
            why[word] = str(error)
    for id, some in words.items():
        if reasons := [why[word] for word in some if word in why]:
            left_out[id] = f"{id}: {reasons[0]}"
    return {**known, **{word: (phones,) for word, (phones, _) in spelled.items()}}, spelled


def _files(utterances: Sequence[Utterance], out: Path) -> dict[str, Path]:
    """The TextGrid of each utterance."""
    files: dict[str, Path] = {}
    for utterance in utterances:
        speaker, name = (text.replace("/", "_") for text in (utterance.speaker.id, utterance.id))
        split = utterance.split if utterance.split in SPLITS.values() else None
        files[utterance.id] = out / (split or "") / speaker / f"{name}.TextGrid"
    return files


def _is_linked(utterance: Utterance, audio: Audio) -> bool:
    """Whether the recording can be linked; a part of a longer one cannot."""
    return audio == "link" and utterance.offset is None


def _beside(text_grid: Path, utterance: Utterance, audio: Audio) -> Path:
    """Where the recording is linked or copied to."""
    return text_grid.with_suffix(utterance.audio.suffix if _is_linked(utterance, audio) else ".wav")


def _check_recordings(corpus: Corpus, places: Sequence[Path]) -> None:
    """Refuse to write where a recording of the corpus lies; a link that leads to one may be replaced."""

    def place(path: Path) -> Path:
        return path.parent.resolve() / path.name

    recordings = {place(utterance.audio) for utterance in corpus.utterances}
    for path in places:
        if place(path) in recordings:
            raise InputError(f"{path}: is a recording of the corpus; choose another --out")


def _start_or_continue(out: Path, description: dict[str, Any]) -> None:
    path = out / DESCRIPTION
    if path.exists():
        try:
            before = json.loads(path.read_text(encoding="utf-8"))
        except (OSError, ValueError):
            before = None
        if before != description:
            changed = [name for name in description if (before or {}).get(name) != description[name]]
            raise InputError(f"{out}: holds another alignment (other {', '.join(changed)}); choose another --out")
    else:
        write_json(path, description)


@dataclass(frozen=True)
class _Job:
    """Aligns an utterance and writes its files.

    Attributes:
        aligner: for all words.
        words: of every utterance, by its id.
        files: TextGrid of every utterance, by its id.
        audio: what becomes of the recordings.
    """

    aligner: PocketSphinxAligner
    words: Mapping[str, Sequence[str]]
    files: Mapping[str, Path]
    audio: Audio

    def write(self, utterance: Utterance) -> str | None:
        """Align one utterance; returns why it could not be aligned, if so."""
        try:
            pcm = read_pcm(utterance, SAMPLE_RATE)
            aligned = self.aligner.align(pcm, self.words[utterance.id])
        except InputError as error:
            return str(error)
        path = self.files[utterance.id]
        text = textgrid_writer.as_text(_tiers(aligned), len(pcm), SAMPLE_RATE)
        if self.audio != "none":
            _write_audio(utterance, _beside(path, utterance, self.audio), self.audio)
        with write_atomically(path) as temporary:
            temporary.write_text(text, encoding="utf-8")
        return None


def _tiers(aligned: AlignedUtterance) -> dict[str, list[Segment]]:
    tiers: dict[str, list[Segment]] = {}
    for name, some in (("phones", aligned.phones), ("words", aligned.words)):
        tiers[name] = [one.segment for one in some]
        tiers[CONFIDENCE[name]] = [Segment(f"{one.confidence:.2f}", one.segment.start, one.segment.end) for one in some]
    return tiers


def _write_audio(utterance: Utterance, path: Path, audio: Audio) -> None:
    if _is_linked(utterance, audio):
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.unlink(missing_ok=True)
            path.symlink_to(utterance.audio.resolve())
        except OSError as error:
            raise InputError(f"{path}: cannot make a link here ({error.strerror}); use --audio copy") from None
        return
    with write_atomically(path) as temporary, temporary.open("wb") as file:
        soundfile.write(file, read_pcm(utterance, utterance.sample_rate), utterance.sample_rate, "PCM_16", format="WAV")


def _write_speakers(out: Path, corpus: Corpus) -> None:
    """`speakers.csv`, as `folders` reads it."""
    text = io.StringIO()
    rows = csv.writer(text, lineterminator="\n")
    rows.writerow(SPEAKER_COLUMNS)
    for one in corpus.speakers:
        cells = (one.id.replace("/", "_"), one.gender, one.height_cm, one.dialect, one.age)
        rows.writerow(["" if cell is None else cell for cell in cells])
    with write_atomically(out / "speakers.csv") as temporary:
        temporary.write_text(text.getvalue(), encoding="utf-8")


def _read(path: Path, utterance: Utterance) -> tuple[Utterance, np.ndarray]:
    """The utterance with the phones and words of its TextGrid, and the confidence of every phone."""
    header = AudioHeader(utterance.samples, utterance.sample_rate, 1)
    phones, words = textgrid.read_tiers(path, header, Options(), [], [])
    confidence, _ = textgrid.read_tiers(path, header, Options(phoneme_tier=CONFIDENCE["phones"]), [], [])
    values = np.array([float(one.label) for one in confidence if one.label != SILENCE])
    return replace(utterance, phonemes=phones, words=words, non_speech=()), values


def _agreement(aligned: Sequence[Utterance], reference: Sequence[Utterance]) -> tuple[Agreement, Agreement]:
    """Of phones and of words, over the utterances that have them."""
    mine, theirs = (
        phone_sets.recognised(phone.label for utterance in some for phone in utterance.phonemes)
        for some in (aligned, reference)
    )
    pairs = list(zip(aligned, reference, strict=True))
    return (
        agreement.together(
            [agreement.of_phones(a.phonemes, r.phonemes, r.sample_rate, (mine, theirs)) for a, r in pairs if r.phonemes]
        ),
        agreement.together([agreement.of_words(a.words, r.words, r.sample_rate) for a, r in pairs if r.words]),
    )
