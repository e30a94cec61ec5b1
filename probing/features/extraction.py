"""Extraction: from a corpus and a model to a token table.

A source (`sources`, `encoders`) gives the latents of an utterance, `acoustic` the features of its sound; here they
become the rows of a table. The table is written part by part, so that an interrupted extraction can be continued.
Utterances never share a batch and are computed on one thread, so a part depends on nothing but its job and its
utterances: it is the same in whichever process, on whichever machine (`cluster`) it is written.
"""

from __future__ import annotations

import contextlib
import json
import math
import os
import resource
import time
from collections.abc import Callable, Container, Generator, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from functools import partial
from itertools import pairwise
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import torch
from threadpoolctl import threadpool_limits

from lvm_probe import InputError
from lvm_probe.analysis import pitch_formants
from lvm_probe.analysis.mel import shortest_full_fft
from lvm_probe.analysis.shape_annotations import Float
from lvm_probe.models.checkpoints.checkpoint import Checkpoint
from lvm_probe.models.io.files import check_writable, holds_data, remove_unfinished, write_json
from lvm_probe.probing import parallel
from lvm_probe.probing.corpora import non_speech
from lvm_probe.probing.corpora.audio import resample_segment, to_float
from lvm_probe.probing.corpora.corpus import Corpus, Segment, Utterance
from lvm_probe.probing.corpora.recordings import UnreadableRecording, read_pcm
from lvm_probe.probing.features import acoustic, addition, context, token_table
from lvm_probe.probing.features.encoders import Encoder, EncoderSource
from lvm_probe.probing.features.extraction_settings import FRAME_MS, Mel, Settings
from lvm_probe.probing.features.feature import may_be_unknown
from lvm_probe.probing.features.sources import Source
from lvm_probe.probing.features.token_latents import checkpoint_source

__all__ = ["Executor", "Extracted", "Job", "Mel", "Settings", "extract", "features", "token_rows"]

PARALLEL_SECONDS = 60
"""Less audio than this is extracted by one process, unless the caller asks for more."""


@dataclass(frozen=True)
class Extracted:
    """What an extraction did, and what its table now holds.

    Attributes:
        tokens: number of rows for each unit.
        features: length of each feature.
        audio_seconds: duration of the utterances in the table.
        parts_done: number of parts written by this run.
        parts: number of parts of the table.
        left_out: for each utterance that could not be read, one line that says why.
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

    Attributes:
        source: gives the latents.
        settings: how latents become rows.
        sizes: names and lengths of the table's features.
        out: folder of the table.
        description: text of `_extraction.json` in that folder; another text means another extraction.
        strict: stop at the first utterance that cannot be read.
        table: the table whose values are taken over, if something is added to one.
    """

    source: Source
    settings: Settings
    sizes: dict[str, int]
    out: Path
    description: str
    strict: bool = False
    table: Path | None = None

    def write_part(
        self, index: int, part: Corpus, progress: Callable[[float], None] = lambda seconds: None
    ) -> dict[str, str]:
        """Write one part of the table, computing on as many threads as the caller.

        Args:
            index: number of the part, from 0.
            part: its utterances.
            progress: called after each utterance with its duration in seconds.

        Returns:
            For the id of each utterance that could not be read, why.

        Raises:
            UnreadableRecording: with `strict`, for the first utterance that cannot be read.
            InputError: the folder no longer holds this extraction, or cannot be written to.
        """
        left_out: dict[str, str] = {}
        rows: list[dict[str, Any]] = []
        columns: dict[str, list[np.ndarray]] = {name: [] for name in self.sizes}
        existing = None if self.table is None else addition.ExistingPart.read(self.table, index)
        for utterance in part.utterances:
            tokens, segments = token_rows(utterance, self.settings.units, self.settings.frame_ms)
            try:
                if tokens:
                    if existing is None:
                        pooled = features(self.source, utterance, segments, self.settings)
                    else:
                        ids = [token["token_id"] for token in tokens]
                        compute = partial(features, self.source, utterance, settings=self.settings)
                        pooled = existing.completed(ids, segments, self.sizes, compute)
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
        if read_description(self.out) != self.description:
            raise InputError(f"{self.out}: no longer holds this extraction; choose another --out")
        token_table.write_part(self.out, index, rows, arrays, self.sizes, note)
        return left_out


class Executor(Protocol):
    """Writes the parts of an extraction, in this process or elsewhere."""

    def run(self, job: Job, parts: Mapping[int, Corpus]) -> Iterator[tuple[int, dict[str, str]]]:
        """Yield the number of each part once it is written, in any order, with what `Job.write_part` returned."""
        ...


@contextlib.contextmanager
def one_thread() -> Iterator[None]:
    """Compute on one thread: the order in which products are summed, and so their last bits, depends on the number."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        with threadpool_limits(1, user_api="blas"):
            yield
    finally:
        torch.set_num_threads(threads)


@one_thread()
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
    workers: int | None = None,
    executor: Executor | None = None,
    add: bool = False,
) -> Extracted:
    """Write the token table of a corpus; parts that are there already are kept.

    An utterance whose audio is damaged is left out, unless `strict`. Its part is written again by the next run, in
    case the file has been restored.

    Args:
        given: the model.
        corpus: its utterances become rows.
        out: folder of the table; an interrupted extraction of the same kind continues there.
        settings: how latents become rows.
        device: where to compute (default: the CPU).
        memory_gb: memory limit for the Monte Carlo draws of an utterance, in each worker.
        strict: stop at the first damaged utterance.
        versions: versions of the software, for `_extraction.json`.
        progress: called with the seconds of audio done since the last call.
        workers: number of processes that write parts (default: one per core, as far as memory allows; one on a GPU).
            The table is the same for every number.
        executor: writes the parts instead.
        add: add the units and features of the settings to the table in `out`, which must have been made in the same
            way. The result is the table that an extraction of everything at once would give.

    Raises:
        InputError: the folder holds something else, the corpus has none of the units, the options do not fit
            together, or a worker was killed.
        UnreadableRecording: with `strict`, for the first damaged utterance.
    """
    if not 0 < memory_gb < math.inf:
        raise InputError(f"--memory {memory_gb}: give a positive number of gigabytes, such as 1")
    device = device or torch.device("cpu")
    _check_workers(workers, device)
    check_writable(out)
    addition.resume(out)
    if add:
        settings = addition.extended(settings, out)
    counts = {
        unit: sum(len(_segments(u, unit, settings.frame_ms)) for u in corpus.utterances) for unit in settings.units
    }
    if not sum(counts.values()):
        raise InputError(
            f"{corpus.root}: no {' and no '.join(settings.units)} in this corpus's alignments; give it TextGrids, or "
            "take whole utterances: --units utterance"
        )
    source = _source(given, corpus, settings, device, memory_gb)
    sizes = feature_sizes(source, settings)
    parts = split(corpus)
    description = _describe(source, corpus, settings, sizes, counts, len(parts), versions or {})
    table = out
    if add:
        if executor is not None:
            raise InputError("--add: works on this machine only; leave --cluster out")
        add = addition.is_needed(table, description)
    if add:
        out = addition.begin(table, description)
    _start_or_continue(out, description, parts)
    job = Job(source, settings, sizes, out, read_description(out), strict, table if add else None)
    missing: dict[int, Corpus] = {}
    for index, part in enumerate(parts):
        if not (out / token_table.part_name(index)).exists() or token_table.read_note(out, index).left_out:
            missing[index] = part
        else:
            progress(part.seconds)
    if executor is not None:
        results = _run(executor, job, missing, progress)
    elif (count := _worker_count(workers, source, device, missing, memory_gb)) > 1:
        results = _run_in_processes(job, missing, count, progress)
    else:
        results = ((index, job.write_part(index, part, progress)) for index, part in missing.items())
    with contextlib.closing(results):
        left_out = dict(results)
    if add:
        addition.finish(table, len(parts))
        out = table
    rows_by_unit, present = token_table.count_rows(out, len(parts))
    tokens_by_unit = {unit: rows_by_unit.get(unit, 0) for unit in settings.units}
    seconds = math.fsum(u.seconds for u in corpus.utterances if u.id in present)
    reasons = tuple(reason for index in sorted(left_out) for reason in left_out[index].values())
    return Extracted(tokens_by_unit, sizes, seconds, len(missing), len(parts), reasons)


Results = Generator[tuple[int, dict[str, str]], None, None]


def _run(executor: Executor, job: Job, parts: Mapping[int, Corpus], progress: Callable[[float], None]) -> Results:
    for index, left_out in executor.run(job, parts):
        progress(parts[index].seconds)
        yield index, left_out


def _run_in_processes(
    job: Job, parts: Mapping[int, Corpus], workers: int, progress: Callable[[float], None]
) -> Results:
    advice = "use fewer --workers or lower --memory, and run the same command again: it does only what is missing"
    written = parallel.run(
        lambda index: job.write_part(index, parts[index]), list(parts), workers=workers, advice=advice
    )
    try:
        with contextlib.closing(written):
            for index, left_out in zip(parts, written, strict=True):
                progress(parts[index].seconds)
                yield index, left_out
    finally:
        remove_unfinished(job.out)  # what a worker was writing when it was killed


def _check_workers(asked: int | None, device: torch.device) -> None:
    if asked is None or asked == 1:
        return
    if asked < 1:
        raise InputError(f"--workers {asked}: give a whole number from 1")
    if device.type != "cpu":
        raise InputError(f"--workers {asked}: one process feeds a GPU; leave --workers out, or give --device cpu")
    if not parallel.can_fork():
        raise InputError(f"--workers {asked}: needs Linux, and a call from the main thread; leave it out")


def _worker_count(
    asked: int | None, source: Source, device: torch.device, parts: Mapping[int, Corpus], memory_gb: float
) -> int:
    """The number of processes that write parts: the number asked for, or as many as the machine has room for."""
    if asked is not None:
        return min(asked, len(parts))
    audio = math.fsum(part.seconds for part in parts.values())
    if device.type != "cpu" or not source.forkable or not parallel.can_fork() or audio < PARALLEL_SECONDS:
        return 1
    needed = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 + memory_gb * 1e9
    room = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / needed
    return max(1, min(parallel.usable_cores(), len(parts), int(room)))


def part_size(utterances: int) -> int:
    """How many utterances a part of a corpus of so many has.

    About 32 parts keep several workers busy to the end; 16 utterances are enough for a part of a large corpus. The
    number of workers does not matter, so that the table is the same for every number.
    """
    return min(16, max(4, utterances // 32))


def split(corpus: Corpus) -> list[Corpus]:
    """The utterances of each part, in order."""
    size = part_size(len(corpus.utterances))
    return [
        replace(corpus, utterances=corpus.utterances[i : i + size], problems=())
        for i in range(0, len(corpus.utterances), size)
    ]


def _source(
    given: Checkpoint | Encoder, corpus: Corpus, settings: Settings, device: torch.device, memory_gb: float
) -> Source:
    if isinstance(given, Checkpoint):
        return checkpoint_source(given, settings, device, memory_gb)
    if "states" in settings.also:
        raise InputError(f"--also states: {given.name} has no states beside its layers; leave it out, or give --ckpt")
    return EncoderSource.of(given, corpus, seed=settings.seed, halves="halves" in settings.also)


def feature_sizes(source: Source, settings: Settings) -> dict[str, int]:
    """Names and lengths of the table's features."""
    sizes = source.sizes | acoustic.sizes(settings, source.sample_rate)
    return sizes if settings.context_ms is None else context.with_context(sizes)


def features(
    source: Source, utterance: Utterance, segments: Sequence[Segment], settings: Settings, *, run_model: bool = True
) -> dict[str, Float[np.ndarray, "tokens _size"]]:
    """Every feature of some segments of an utterance.

    Args:
        source: gives the latents.
        utterance: the recording.
        segments: in audio samples at the utterance's own rate.
        settings: how latents become rows.
        run_model: False gives only the features that need no model.

    Returns:
        For each feature an array with one row per segment.

    Raises:
        InputError: a feature is not finite.
        UnreadableRecording: the audio is damaged.
    """
    pcm = read_pcm(utterance, source.sample_rate)
    segments = segments_at_rate(segments, utterance.sample_rate, source.sample_rate, len(pcm))
    tokens = len(segments)
    if settings.context_ms is not None:
        reach = max(1, round(settings.context_ms * source.sample_rate / 1000))
        segments += context.around(segments, reach, len(pcm))
    pooled = source.pooled(utterance.id, pcm, segments) if run_model else {}
    gender = utterance.speaker.gender
    pooled |= acoustic.pooled(to_float(pcm), segments, settings, source.sample_rate, source.hop, gender=gender)
    if settings.context_ms is not None:
        pooled = context.as_columns(pooled, tokens)
    for name, values in pooled.items():
        if not may_be_unknown(name) and not np.isfinite(values).all():
            raise InputError(f"{utterance.audio}: feature '{name}' is not finite; the checkpoint is damaged")
    return pooled


def segments_at_rate(segments: Sequence[Segment], old: int, new: int, samples: int) -> list[Segment]:
    """Segments moved from one sample rate to another, inside the `samples` that the audio has at the new rate.

    A rounded position may pass the end of the resampled audio by one sample.
    """
    moved = (resample_segment(segment, old, new) for segment in segments)
    return [Segment(s.label, min(s.start, samples - 1), min(s.end, samples)) for s in moved]


def _segments(utterance: Utterance, unit: str, frame_ms: float) -> Sequence[Segment]:
    match unit:
        case "phoneme":
            return utterance.phonemes
        case "word":
            return utterance.words
        case "utterance":
            return (Segment(utterance.text or utterance.id, 0, utterance.samples),)
        case "frame":
            return frames(utterance, frame_ms)
        case _:
            raise ValueError(f"unknown unit {unit}")


def frames(utterance: Utterance, step_ms: float) -> list[Segment]:
    """Stretches of equal length, from the first sample on; each has the label of the phone that covers its middle.

    Where no phone does, the label is empty. The last frame ends with the audio.

    Args:
        utterance: the recording.
        step_ms: length of a frame in milliseconds.

    Example:
        >>> from lvm_probe.probing.corpora.corpus import Speaker
        >>> phones = (Segment("s", 100, 300), Segment("iy", 300, 420))
        >>> utterance = Utterance("a_1", Speaker("a"), Path("a.wav"), samples=500, sample_rate=16000, phonemes=phones)
        >>> [frame.label for frame in frames(utterance, 10)]
        ['', 's', 'iy', '']
    """
    step = step_ms * utterance.sample_rate / 1000
    count = math.ceil(utterance.samples / step)
    edges = np.minimum(np.round(step * np.arange(count + 1)).astype(int), utterance.samples)
    edges = np.unique(edges)  # rounding may leave nothing of the last one
    middles = (edges[:-1] + edges[1:]) // 2
    starts = np.array([phone.start for phone in utterance.phonemes], dtype=int)
    place = np.searchsorted(starts, middles, side="right") - 1
    labels = [
        utterance.phonemes[i].label if i >= 0 and middle < utterance.phonemes[i].end else ""
        for i, middle in zip(place.tolist(), middles.tolist(), strict=True)
    ]
    return [Segment(label, start, end) for label, (start, end) in zip(labels, pairwise(edges.tolist()), strict=True)]


def token_rows(
    utterance: Utterance, units: Sequence[str], frame_ms: float = FRAME_MS
) -> tuple[list[dict[str, Any]], list[Segment]]:
    """The rows of an utterance's tokens without features, and their segments (at its own sample rate)."""
    speaker = utterance.speaker
    rows, segments = [], []
    for unit in units:
        for index, segment in enumerate(_segments(utterance, unit, frame_ms)):
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
                    "prompt": utterance.prompt,
                    "age": speaker.age,
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
    """What `_extraction.json` says."""
    mel = asdict(settings.mel)
    if mel["n_fft"] is None:
        mel["n_fft"] = shortest_full_fft(sample_rate=source.sample_rate, window=mel["window"], bins=mel["bins"])
    description = {
        "corpus": {
            "name": corpus.name,
            "fingerprint": corpus.fingerprint(),
            "utterances": len(corpus.utterances),
            "non_speech": non_speech.count(corpus.utterances),
            **({} if corpus.only_split is None else {"split": corpus.only_split}),
            **({} if corpus.moved_ms is None else {"moved_ms": corpus.moved_ms}),
            **({} if corpus.only_speakers is None else {"speakers": list(corpus.only_speakers)}),
        },
        **source.provenance,
        "seed": settings.seed,
        "untrained": settings.untrained,
        "mel": mel | {"hop": source.hop},
        **({"mfcc": {"derivatives": "within the token"}} if "mfcc" in sizes else {}),  # once over the whole utterance
        **({"frame": {"step_ms": settings.frame_ms}} if "frame" in counts else {}),
        **({"f0": {"by": pitch_formants.engine()}} if "f0" in sizes else {}),
        "also": list(settings.also),
        "context_ms": settings.context_ms,
        "layers": list(source.layers),
        "expected_tokens": counts,
        "features": sizes,
        "parts": parts,
        "versions": versions,
        "begun": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
    }
    return dict(json.loads(json.dumps(description)))  # as it is read again


def _fingerprint(part: Corpus, left_out: Container[str]) -> str:
    return replace(part, utterances=tuple(u for u in part.utterances if u.id not in left_out)).fingerprint()


def read_description(out: Path) -> str:
    """The text of `_extraction.json` in a table's folder; empty where there is none."""
    try:
        return (out / token_table.EXTRACTION).read_text(encoding="utf-8")
    except OSError:
        return ""


def _start_or_continue(out: Path, description: dict[str, Any], parts: Sequence[Corpus]) -> None:
    """Start the table in `out`, or check that the folder holds the same extraction, interrupted.

    The corpus may have changed where nothing has been written yet: a recording that was left out and is restored has
    another size.
    """

    def unchanged(index: int) -> bool:
        note = token_table.read_note(out, index)
        known = note.left_out.keys() <= {utterance.id for utterance in parts[index].utterances}
        return known and note.fingerprint == _fingerprint(parts[index], note.left_out)

    if (out / token_table.EXTRACTION).exists():
        found = {"also": []} | token_table.read_extraction(out)  # early versions did not write `also`
        if "added" in found:
            raise InputError(f"{out}: holds a table with features of your own; choose another --out or delete it")
        ignored = ("begun", "versions", "layers")
        differing = [k for k in description if k not in ignored and found.get(k) != description[k]]
        written = token_table.existing_parts(out, found["parts"])
        if differing and written and not (differing == ["corpus"] and all(unchanged(index) for index in written)):
            others = set(differing) - {"expected_tokens", "features", "also", "context_ms"}
            cure = "choose another --out or delete it" if others else "give --add to add to it, or choose another --out"
            raise InputError(f"{out}: holds another extraction (its {', '.join(differing)} differ); {cure}")
        if differing:
            write_json(out / token_table.EXTRACTION, description)
        return
    if holds_data(out):
        raise InputError(f"{out}: not empty and not a token table; choose another --out")
    write_json(out / token_table.EXTRACTION, description)
