"""From a checkpoint and a corpus to a token table.

The encoder sees an utterance once; its Monte Carlo samples are rows of one batch that share the encoding, and
nothing below the latents is decoded. The noise of a sample depends on the seed, the utterance's name and the
sample's number only, and utterances never share a batch, so a row is the same whatever else is in the corpus.
"""

from __future__ import annotations

import json
import math
import time
from collections.abc import Callable, Container, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from jaxtyping import Float

from analysis.mel import log_mel, shortest_full_fft
from models.checkpoint import Checkpoint
from models.chunks import cut
from models.elbo import utterance_seed
from models.model import SpeechModel
from probing import table
from probing.audio import FULL_SCALE, to_rate
from probing.corpus import Corpus, Segment, Utterance
from probing.errors import InputError
from probing.pooling import Pooling
from probing.recordings import CorpusRecording, Unreadable

UNITS = ("phoneme", "word", "utterance")
UTTERANCES_A_PART = 16

Estimator = Literal["sample", "posterior-mean"]


@dataclass(frozen=True)
class Mel:
    """The Mel baseline: the paper's window of 256 and 80 bands; its hop is the lowest stride, or 64 where that is 1."""

    bins: int = 80
    window: int = 256
    n_fft: int | None = None

    def __post_init__(self) -> None:
        if min(self.bins, self.window) < 1:
            raise InputError(f"--mel-bins {self.bins}, --mel-window {self.window}: give positive numbers")
        if self.n_fft is not None and (self.n_fft < self.window or self.n_fft % 2):
            raise InputError(
                f"--mel-fft {self.n_fft}: give an even number, at least the window's {self.window} samples"
            )


@dataclass(frozen=True)
class Settings:
    """How latents become tokens. What changes a row is here, and in `_extraction.json`.

    `sample` averages z over the samples, as the paper does; `posterior-mean` averages the posterior's means
    along the sampled paths, which has the same expectation and less noise.
    """

    samples: int = 100
    estimator: Estimator = "sample"
    seed: int = 0
    units: tuple[str, ...] = ("phoneme",)
    untrained: bool = False
    mel: Mel = Mel()

    def __post_init__(self) -> None:
        if self.samples < 1:
            raise InputError(f"--samples {self.samples}: at least one sample is needed")
        strangers = [unit for unit in self.units if unit not in UNITS]
        if strangers or not self.units:
            raise InputError(f"--units {','.join(self.units) or '(none)'}: choose among {', '.join(UNITS)}")
        object.__setattr__(self, "units", tuple(dict.fromkeys(self.units)))
        if self.estimator not in ("sample", "posterior-mean"):
            raise InputError(f"--estimator {self.estimator}: choose sample or posterior-mean")


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
    checkpoint: Checkpoint,
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
    model = checkpoint.model
    if settings.untrained:
        model = type(model).seeded(model.config, settings.seed)
    model = model.to(device or torch.device("cpu")).eval()
    counts = {unit: sum(len(_segments(u, unit)) for u in corpus.utterances) for unit in settings.units}
    if not sum(counts.values()):
        raise InputError(
            f"{corpus.root}: no {' and no '.join(settings.units)} in this corpus's alignments; give it TextGrids, or "
            "take whole utterances: --units utterance"
        )
    sizes = feature_sizes(model, settings)
    parts = [corpus.utterances[i : i + UTTERANCES_A_PART] for i in range(0, len(corpus.utterances), UTTERANCES_A_PART)]
    description = _describe(checkpoint, corpus, settings, sizes, counts, len(parts), versions or {})
    _claim(out, description, corpus, parts)
    done = 0
    reasons: list[str] = []
    for index, utterances in enumerate(parts):
        if not (out / table.part_name(index)).exists() or table.read_note(out, index).left_out:
            left_out: dict[str, str] = {}
            rows: list[dict[str, Any]] = []
            columns: dict[str, list[np.ndarray]] = {name: [] for name in sizes}
            for utterance in utterances:
                tokens, segments = _tokens(utterance, settings.units)
                try:
                    if tokens:
                        pooled = features(model, utterance, segments, settings, memory_gb)
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


def feature_sizes(model: SpeechModel, settings: Settings) -> dict[str, int]:
    """Columns of the table and their lengths.

    A deterministic model has no latents: its state after each stack of samples is `h1`.
    """
    sizes: dict[str, int] = {}
    for l, size in enumerate(model.latents):
        sizes |= {f"z{l + 1}": size, f"z{l + 1}_var": size, f"z{l + 1}_logms": size}
    if model.deterministic:
        device = model.parameter.device
        silence = torch.zeros(1, model.stride, dtype=torch.int16, device=device)
        with torch.inference_mode():
            sizes["h1"] = model.encode(silence, torch.tensor([model.stride], device=device))[0].shape[-1]
        if not sizes["h1"]:
            raise InputError(
                f"a model of family {model.family} has neither latents nor states: there is nothing to probe"
            )
    return sizes | {"mel": settings.mel.bins}


@torch.inference_mode()
def features(
    model: SpeechModel,
    utterance: Utterance,
    segments: Sequence[Segment],
    settings: Settings,
    memory_gb: float = 1.0,
) -> dict[str, Float[np.ndarray, "tokens _size"]]:
    """Every feature of the given segments of one utterance (at its own sample rate), one row a segment.

    For each layer l: `zl`, the Monte Carlo mean averaged over the segment; `zl_var`, the Monte Carlo variance of
    that mean (NaN for a single sample); `zl_logms`, the log mean square over the segment of the mean per step. A
    deterministic model has `h1`, its state averaged over the segment.
    """
    rate = model.config.sample_rate
    pcm = CorpusRecording(utterance, rate, keep=False).read(0, 1 << 62)
    segments = [to_rate(segment, utterance.sample_rate, rate) for segment in segments]
    # A position rounded to the model's rate may pass the end of the resampled audio by one sample.
    segments = [Segment(s.label, min(s.start, len(pcm) - 1), min(s.end, len(pcm))) for s in segments]
    pooled = _latents(model, utterance.id, pcm, segments, settings, memory_gb)
    wave = pcm.astype(np.float32) / FULL_SCALE
    mel = settings.mel
    hop = _mel_hop(model)
    frames = log_mel(wave, sample_rate=rate, hop=hop, window=mel.window, bins=mel.bins, n_fft=mel.n_fft)
    pooled["mel"] = Pooling(segments, hop, len(frames)).mean(frames)
    for name, values in pooled.items():
        if not name.endswith("_var") and not np.isfinite(values).all():
            raise InputError(f"{utterance.audio}: feature '{name}' is not finite; the checkpoint is damaged")
    return pooled


def _mel_hop(model: SpeechModel) -> int:
    return model.stride if model.stride > 1 else 64


def _latents(
    model: SpeechModel,
    name: str,
    pcm: np.ndarray,
    segments: Sequence[Segment],
    settings: Settings,
    memory_gb: float,
) -> dict[str, np.ndarray]:
    device = next(model.parameters()).device
    wave = torch.from_numpy(pcm).unsqueeze(0).to(device)
    encoded = model.encode(wave, torch.tensor([len(pcm)], device=device))
    if model.deterministic:
        states = encoded[0][: -(-len(pcm) // model.stride), 0].cpu().numpy()
        return {"h1": Pooling(segments, model.stride, len(states)).mean(states)}
    steps = [-(-len(pcm) // stride) for stride in model.strides]
    pools = [Pooling(segments, stride, n) for stride, n in zip(model.strides, steps, strict=True)]
    per_step = [np.zeros((n, z)) for n, z in zip(steps, model.latents, strict=True)]
    total = [np.zeros((len(segments), z)) for z in model.latents]
    square = [np.zeros((len(segments), z)) for z in model.latents]
    shift: list[np.ndarray] = []
    at_once = max(1, int(memory_gb * 1e9 / _bytes_a_path(model, encoded, len(pcm))))
    for first in range(0, settings.samples, at_once):
        paths = range(first, min(first + at_once, settings.samples))
        trajectories = model.infer(encoded, _noise(model, name, len(pcm), paths, settings.seed, device))
        for l, trajectory in enumerate(trajectories):
            values = trajectory.z if settings.estimator == "sample" else trajectory.posterior.mean
            values = values[: steps[l]]
            per_step[l] += values.sum(1, dtype=torch.float64).cpu().numpy()
            flat = values.flatten(1).cpu().numpy()
            tokens = pools[l].mean(flat).reshape(len(segments), len(paths), -1).astype(np.float64)
            if first == 0:  # squares about the first sample's value do not cancel
                shift.append(tokens[:, 0].copy())
            tokens -= shift[l][:, None]
            total[l] += tokens.sum(1)
            square[l] += np.square(tokens).sum(1)
    n = settings.samples
    pooled = {}
    for l in range(len(steps)):
        mean = total[l] / n
        spread = square[l] / n - np.square(mean)
        variance = np.maximum(spread, 0) / (n - 1) if n > 1 else np.full_like(mean, np.nan)
        mean_steps = (per_step[l] / n).astype(np.float32)
        pooled[f"z{l + 1}"] = mean + shift[l]
        pooled[f"z{l + 1}_var"] = variance
        pooled[f"z{l + 1}_logms"] = pools[l].log_mean_square(mean_steps)
    return pooled


def _noise(
    model: SpeechModel, name: str, samples: int, paths: Sequence[int], seed: int, device: torch.device
) -> list[torch.Tensor]:
    """Noise of the given paths side by side, each from a generator of its own."""
    drawn = [
        model.noise(samples, 1, torch.Generator().manual_seed(utterance_seed(seed, f"{name} path {path}")))
        for path in paths
    ]
    return [torch.cat(layer, 1).to(device) for layer in zip(*drawn, strict=True)]


def _bytes_a_path(model: SpeechModel, encoded: Sequence[torch.Tensor], samples: int) -> float:
    """Memory of one sample's pass: states, latents and distributions, by what the first steps need."""
    coarsest = model.coarsest_stride
    padded = -(-samples // coarsest) * coarsest
    noise = [n.to(encoded[0].device) for n in model.noise(1, 1, torch.Generator())]
    layers = model.infer(cut(encoded, padded, 0, coarsest), noise)
    floats = sum(len(layer.z) * (8 * layer.h.shape[-1] + 12 * layer.z.shape[-1]) for layer in layers)
    return 6.0 * floats * padded / coarsest


def _segments(utterance: Utterance, unit: str) -> tuple[Segment, ...]:
    match unit:
        case "phoneme":
            return utterance.phonemes
        case "word":
            return utterance.words
        case _:
            return (Segment(utterance.text or utterance.id, 0, utterance.samples),)


def _tokens(utterance: Utterance, units: Sequence[str]) -> tuple[list[dict[str, Any]], list[Segment]]:
    """The utterance's rows without features, and their segments."""
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
    checkpoint: Checkpoint,
    corpus: Corpus,
    settings: Settings,
    sizes: dict[str, int],
    counts: dict[str, int],
    parts: int,
    versions: dict[str, str],
) -> dict[str, Any]:
    mel = asdict(settings.mel)
    if mel["n_fft"] is None:
        mel["n_fft"] = shortest_full_fft(
            sample_rate=checkpoint.model.config.sample_rate, window=mel["window"], bins=mel["bins"]
        )
    return {
        "checkpoint": {
            "name": checkpoint.path.parent.name if checkpoint.path.stem == "best" else checkpoint.path.stem,
            "sha256": checkpoint.sha256,
            "trained_on": checkpoint.provenance.get("corpus"),
        },
        "model": {"family": checkpoint.model.family, **asdict(checkpoint.model.config)},
        "corpus": {
            "name": corpus.name,
            "fingerprint": corpus.fingerprint(),
            "utterances": len(corpus.utterances),
        },
        "samples": settings.samples,
        "estimator": settings.estimator,
        "seed": settings.seed,
        "untrained": settings.untrained,
        "mel": mel | {"hop": _mel_hop(checkpoint.model)},
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
        found = table.read_extraction(out)
        passing = ("begun", "versions")
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
