"""From a corpus, and a checkpoint or an encoder, to a token table.

A source gives the latents of an utterance (`probing.sources`, `probing.encoders`), `probing.acoustic` the features of
its sound; here they become rows, part by part, so that an interrupted extraction goes on. Utterances never share a
batch, so a row is the same whatever else is in the corpus.
"""

from __future__ import annotations

import json
import math
import time
from collections.abc import Callable, Container, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Float

from analysis.mel import shortest_full_fft
from models.checkpoint import Checkpoint
from probing import acoustic, table
from probing.audio import FULL_SCALE, to_rate
from probing.corpus import Corpus, Segment, Utterance
from probing.encoders import Encoder, EncoderSource
from probing.errors import InputError
from probing.recordings import CorpusRecording, Unreadable
from probing.settings import Mel, Settings
from probing.sources import ModelSource, Source

__all__ = ["Extracted", "Mel", "Settings", "extract", "features", "token_rows"]

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
) -> Extracted:
    """Write the token table of `corpus` to the folder `out`, part by part; parts already there are not done again.

    An utterance whose audio turns out to be damaged is left out, unless `strict`; its part says so, and is done again
    the next time, when the file may have been restored. Raises InputError when the folder holds another extraction or
    the corpus has none of the units asked for. `progress` is called with the seconds of audio done.
    """
    if not 0 < memory_gb < math.inf:
        raise InputError(f"--memory {memory_gb}: give a positive number of gigabytes, such as 1")
    table.check_writable(out)
    counts = {unit: sum(len(_segments(u, unit)) for u in corpus.utterances) for unit in settings.units}
    if not sum(counts.values()):
        raise InputError(
            f"{corpus.root}: no {' and no '.join(settings.units)} in this corpus's alignments; give it TextGrids, or "
            "take whole utterances: --units utterance"
        )
    source = _source(given, corpus, settings, device or torch.device("cpu"), memory_gb)
    sizes = feature_sizes(source, settings)
    parts = [corpus.utterances[i : i + UTTERANCES_A_PART] for i in range(0, len(corpus.utterances), UTTERANCES_A_PART)]
    description = _describe(source, corpus, settings, sizes, counts, len(parts), versions or {})
    _claim(out, description, corpus, parts)
    done = 0
    reasons: list[str] = []
    for index, utterances in enumerate(parts):
        if not (out / table.part_name(index)).exists() or table.read_note(out, index).left_out:
            left_out: dict[str, str] = {}
            rows: list[dict[str, Any]] = []
            columns: dict[str, list[np.ndarray]] = {name: [] for name in sizes}
            for utterance in utterances:
                tokens, segments = token_rows(utterance, settings.units)
                try:
                    if tokens:
                        pooled = features(source, utterance, segments, settings)
                        rows += tokens
                        for name, values in pooled.items():
                            columns[name].append(values)
                except Unreadable as error:
                    if strict:
                        raise
                    left_out[utterance.id] = str(error)
                progress(utterance.seconds)
            arrays = {name: np.concatenate([np.empty((0, sizes[name])), *v]) for name, v in columns.items()}
            note = table.PartNote(left_out, _fingerprint(corpus, utterances, left_out))
            table.write_part(out, index, rows, arrays, sizes, note)
            reasons += left_out.values()
            done += 1
        else:
            progress(sum(u.seconds for u in utterances))
    rows_by_unit, present = table.counted(out, len(parts))
    tokens_by_unit = {unit: rows_by_unit.get(unit, 0) for unit in settings.units}
    seconds = math.fsum(u.seconds for u in corpus.utterances if u.id in present)
    return Extracted(tokens_by_unit, sizes, seconds, done, len(parts), tuple(reasons))


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
    pcm = CorpusRecording(utterance, rate, keep=False).read(0, 1 << 62)
    segments = [to_rate(segment, utterance.sample_rate, rate) for segment in segments]
    # A position rounded to the source's rate may pass the end of the resampled audio by one sample.
    segments = [Segment(s.label, min(s.start, len(pcm) - 1), min(s.end, len(pcm))) for s in segments]
    pooled = source.pooled(utterance.id, pcm, segments)
    pooled |= acoustic.pooled(pcm.astype(np.float32) / FULL_SCALE, segments, settings, rate, source.hop)
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


def _fingerprint(corpus: Corpus, utterances: Sequence[Utterance], left_out: Container[str]) -> str:
    return replace(corpus, utterances=tuple(u for u in utterances if u.id not in left_out)).fingerprint()


def _claim(out: Path, description: dict[str, Any], corpus: Corpus, parts: Sequence[Sequence[Utterance]]) -> None:
    """Begin the table in `out`, or take up the same extraction where it stopped.

    The corpus may have changed where nothing has been written yet: a recording that was left out and is restored
    has another size.
    """

    def same(index: int) -> bool:
        note = table.read_note(out, index)
        known = note.left_out.keys() <= {utterance.id for utterance in parts[index]}
        return known and note.fingerprint == _fingerprint(corpus, parts[index], note.left_out)

    if (out / table.EXTRACTION).exists():
        found = {"also": []} | table.read_extraction(out)  # tables from before there were any say nothing
        if "added" in found:
            raise InputError(f"{out}: holds a table with features of your own; choose another --out or delete it")
        passing = ("begun", "versions", "layers")
        wanted = json.loads(json.dumps(description))
        differing = [k for k in wanted if k not in passing and found.get(k) != wanted[k]]
        begun = [index for index in range(found["parts"]) if (out / table.part_name(index)).exists()]
        if differing and begun and not (differing == ["corpus"] and all(same(index) for index in begun)):
            raise InputError(
                f"{out}: holds another extraction (its {', '.join(differing)} differ); choose another --out or "
                "delete it"
            )
        if differing:
            table.write_json(out / table.EXTRACTION, description)
        return
    if out.exists() and any(out.iterdir()):
        raise InputError(f"{out}: not empty and not a token table; choose another --out")
    table.write_json(out / table.EXTRACTION, description)
