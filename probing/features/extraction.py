"""From a corpus, and a checkpoint or an encoder, to a token table.

A source gives the latents of an utterance (`sources`, `encoders`), `acoustic` the features of
its sound; here they become rows, part by part, so that an interrupted extraction goes on. Utterances never share a
batch, so a row is the same whatever else is in the corpus. A part depends on nothing but its job and its utterances:
it is the same wherever it is done (`probing.features.cluster`).
"""

from __future__ import annotations

import json
import math
import time
from collections.abc import Callable, Container, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import torch

from lvm_probe import InputError
from lvm_probe.analysis.mel import shortest_full_fft
from lvm_probe.analysis.shape_annotations import Float
from lvm_probe.models.checkpoints.checkpoint import Checkpoint
from lvm_probe.probing.corpora.audio import resample_segment, to_float
from lvm_probe.probing.corpora.corpus import Corpus, Segment, Utterance
from lvm_probe.probing.corpora.recordings import UnreadableRecording, read_pcm
from lvm_probe.probing.features import acoustic, token_table
from lvm_probe.probing.features.encoders import Encoder, EncoderSource
from lvm_probe.probing.features.extraction_settings import Mel, Settings
from lvm_probe.probing.features.sources import ModelSource, Source

__all__ = ["Extracted", "Job", "Mel", "Settings", "Workers", "extract", "features", "token_rows"]

UTTERANCES_A_PART = 16


@dataclass(frozen=True)
class Extracted:
    """What is in the table now. `left_out` says why, for each utterance that could not be read and is not in it.

    `audio_seconds` is the length of the utterances that are in it; `parts_done` of the `parts` were done this time.
    """

    tokens: dict[str, int]
    features: dict[str, int]
    audio_seconds: float
    parts_done: int
    parts: int
    left_out: tuple[str, ...] = ()


@dataclass(frozen=True)
class Job:
    """What all parts of an extraction have in common.

    `sizes` are the columns that `source` and `settings` make; `claim` is the text of the description in the folder
    `out` while the folder is this extraction's.
    """

    source: Source
    settings: Settings
    sizes: dict[str, int]
    out: Path
    claim: str
    strict: bool = False

    def do(self, index: int, part: Corpus, progress: Callable[[float], None] = lambda seconds: None) -> dict[str, str]:
        """Write one part of the table: these utterances. Says why, for the id of each that could not be read.

        Raises UnreadableRecording for the first of those when `strict`, and InputError when the folder is another
        extraction's by now. `progress` is called with the seconds of audio done.
        """
        left_out: dict[str, str] = {}
        rows: list[dict[str, Any]] = []
        columns: dict[str, list[np.ndarray]] = {name: [] for name in self.sizes}
        for utterance in part.utterances:
            tokens, segments = token_rows(utterance, self.settings.units)
            try:
                if tokens:
                    pooled = features(self.source, utterance, segments, self.settings)
                    rows += tokens
                    for name, values in pooled.items():
                        columns[name].append(values)
            except UnreadableRecording as error:
                if self.strict:
                    raise
                left_out[utterance.id] = str(error)
            progress(utterance.seconds)
        arrays = {name: np.concatenate([np.empty((0, self.sizes[name])), *v]) for name, v in columns.items()}
        note = token_table.PartNote(left_out, _fingerprint(part, left_out))
        if claimed(self.out) != self.claim:
            raise InputError(f"{self.out}: holds another extraction by now, or none; choose another --out")
        token_table.write_part(self.out, index, rows, arrays, self.sizes, note)
        return left_out


class Workers(Protocol):
    """Somebody else who does parts of a job, given by their numbers."""

    def do(self, job: Job, parts: Mapping[int, Corpus]) -> Iterator[tuple[int, dict[str, str]]]:
        """The number of each part as it is done, in any order, with what `Job.do` says of it."""
        ...


def extract(
    given: Checkpoint | Encoder,
    corpus: Corpus,
    out: Path,
    settings: Settings,
    *,
    device: torch.device | None = None,
    memory_gb: float = 1.0,
    strict: bool = False,
    versions: dict[str, str] | None = None,
    progress: Callable[[float], None] = lambda seconds: None,
    workers: Workers | None = None,
) -> Extracted:
    """Write the token table of `corpus` to the folder `out`, part by part; parts already there are not done again.

    An utterance whose audio turns out to be damaged is left out, unless `strict`; its part says so, and is done again
    the next time, when the file may have been restored. Raises InputError when the folder holds another extraction or
    the corpus has none of the units asked for. `progress` is called with the seconds of audio done. Where there are
    `workers`, they do the parts; the table is the same.
    """
    if not 0 < memory_gb < math.inf:
        raise InputError(f"--memory {memory_gb}: give a positive number of gigabytes, such as 1")
    token_table.check_writable(out)
    counts = {unit: sum(len(_segments(u, unit)) for u in corpus.utterances) for unit in settings.units}
    if not sum(counts.values()):
        raise InputError(
            f"{corpus.root}: no {' and no '.join(settings.units)} in this corpus's alignments; give it TextGrids, or "
            "take whole utterances: --units utterance"
        )
    source = _source(given, corpus, settings, device or torch.device("cpu"), memory_gb)
    sizes = feature_sizes(source, settings)
    parts = [
        replace(corpus, utterances=corpus.utterances[i : i + UTTERANCES_A_PART], problems=())
        for i in range(0, len(corpus.utterances), UTTERANCES_A_PART)
    ]
    _claim(out, _describe(source, corpus, settings, sizes, counts, len(parts), versions or {}), parts)
    job = Job(source, settings, sizes, out, claimed(out), strict)
    missing: dict[int, Corpus] = {}
    for index, part in enumerate(parts):
        if not (out / token_table.part_name(index)).exists() or token_table.read_note(out, index).left_out:
            missing[index] = part
        else:
            progress(part.seconds)
    left_out: dict[int, dict[str, str]] = {}
    if workers is None:
        for index, part in missing.items():
            left_out[index] = job.do(index, part, progress)
    else:
        for index, left_out[index] in workers.do(job, missing):
            progress(missing[index].seconds)
    rows_by_unit, present = token_table.counted(out, len(parts))
    tokens_by_unit = {unit: rows_by_unit.get(unit, 0) for unit in settings.units}
    seconds = math.fsum(u.seconds for u in corpus.utterances if u.id in present)
    reasons = tuple(reason for index in sorted(left_out) for reason in left_out[index].values())
    return Extracted(tokens_by_unit, sizes, seconds, len(missing), len(parts), reasons)


def _source(
    given: Checkpoint | Encoder, corpus: Corpus, settings: Settings, device: torch.device, memory_gb: float
) -> Source:
    if isinstance(given, Checkpoint):
        return ModelSource.of(given, settings, device, memory_gb)
    if "states" in settings.also:
        raise InputError(f"--also states: {given.name} has no states beside its layers; leave it out, or give --ckpt")
    return EncoderSource.of(given, corpus, seed=settings.seed, halves="halves" in settings.also)


def feature_sizes(source: Source, settings: Settings) -> dict[str, int]:
    """Columns of the table and their lengths."""
    return source.sizes | acoustic.sizes(settings, source.sample_rate)


def features(
    source: Source, utterance: Utterance, segments: Sequence[Segment], settings: Settings
) -> dict[str, Float[np.ndarray, "tokens _size"]]:
    """Every feature of the given segments of one utterance (at its own sample rate), one row a segment."""
    rate = source.sample_rate
    pcm = read_pcm(utterance, rate)
    segments = [resample_segment(segment, utterance.sample_rate, rate) for segment in segments]
    # A position rounded to the source's rate may pass the end of the resampled audio by one sample.
    segments = [Segment(s.label, min(s.start, len(pcm) - 1), min(s.end, len(pcm))) for s in segments]
    pooled = source.pooled(utterance.id, pcm, segments)
    pooled |= acoustic.pooled(to_float(pcm), segments, settings, rate, source.hop)
    for name, values in pooled.items():
        if not name.endswith("_var") and not np.isfinite(values).all():
            raise InputError(f"{utterance.audio}: feature '{name}' is not finite; the checkpoint is damaged")
    return pooled


def _segments(utterance: Utterance, unit: str) -> tuple[Segment, ...]:
    match unit:
        case "phoneme":
            return utterance.phonemes
        case "word":
            return utterance.words
        case _:
            return (Segment(utterance.text or utterance.id, 0, utterance.samples),)


def token_rows(utterance: Utterance, units: Sequence[str]) -> tuple[list[dict[str, Any]], list[Segment]]:
    """The rows of an utterance's tokens without features, and their segments (at its own sample rate)."""
    speaker = utterance.speaker
    rows, segments = [], []
    for unit in units:
        for index, segment in enumerate(_segments(utterance, unit)):
            segments.append(segment)
            rows.append(
                {
                    "token_id": f"{utterance.id}:{unit}:{index:04d}",
                    "utterance": utterance.id,
                    "speaker": speaker.id,
                    "gender": speaker.gender,
                    "height_cm": speaker.height_cm,
                    "dialect": speaker.dialect,
                    "split": utterance.split,
                    "unit": unit,
                    "label": segment.label,
                    "start": segment.start,
                    "end": segment.end,
                    "sample_rate": utterance.sample_rate,
                }
            )
    return rows, segments


def _describe(
    source: Source,
    corpus: Corpus,
    settings: Settings,
    sizes: dict[str, int],
    counts: dict[str, int],
    parts: int,
    versions: dict[str, str],
) -> dict[str, Any]:
    mel = asdict(settings.mel)
    if mel["n_fft"] is None:
        mel["n_fft"] = shortest_full_fft(sample_rate=source.sample_rate, window=mel["window"], bins=mel["bins"])
    return {
        "corpus": {
            "name": corpus.name,
            "fingerprint": corpus.fingerprint(),
            "utterances": len(corpus.utterances),
        },
        **source.provenance,
        "seed": settings.seed,
        "untrained": settings.untrained,
        "mel": mel | {"hop": source.hop},
        "also": list(settings.also),
        "layers": list(source.layers),
        "expected_tokens": counts,
        "features": sizes,
        "parts": parts,
        "versions": versions,
        "begun": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
    }


def _fingerprint(part: Corpus, left_out: Container[str]) -> str:
    return replace(part, utterances=tuple(u for u in part.utterances if u.id not in left_out)).fingerprint()


def claimed(out: Path) -> str:
    """The text of the description in a table's folder; nothing where there is none."""
    try:
        return (out / token_table.EXTRACTION).read_text(encoding="utf-8")
    except OSError:
        return ""


def _claim(out: Path, description: dict[str, Any], parts: Sequence[Corpus]) -> None:
    """Begin the table in `out`, or take up the same extraction where it stopped.

    The corpus may have changed where nothing has been written yet: a recording that was left out and is restored
    has another size.
    """

    def same(index: int) -> bool:
        note = token_table.read_note(out, index)
        known = note.left_out.keys() <= {utterance.id for utterance in parts[index].utterances}
        return known and note.fingerprint == _fingerprint(parts[index], note.left_out)

    if (out / token_table.EXTRACTION).exists():
        found = {"also": []} | token_table.read_extraction(out)  # tables from before there were any say nothing
        if "added" in found:
            raise InputError(f"{out}: holds a table with features of your own; choose another --out or delete it")
        passing = ("begun", "versions", "layers")
        wanted = json.loads(json.dumps(description))
        differing = [k for k in wanted if k not in passing and found.get(k) != wanted[k]]
        begun = token_table.parts_there(out, found["parts"])
        if differing and begun and not (differing == ["corpus"] and all(same(index) for index in begun)):
            raise InputError(
                f"{out}: holds another extraction (its {', '.join(differing)} differ); choose another --out or "
                "delete it"
            )
        if differing:
            token_table.write_json(out / token_table.EXTRACTION, description)
        return
    if out.exists() and any(not path.name.startswith(".") for path in out.iterdir()):  # hidden files are nobody's data
        raise InputError(f"{out}: not empty and not a token table; choose another --out")
    token_table.write_json(out / token_table.EXTRACTION, description)
