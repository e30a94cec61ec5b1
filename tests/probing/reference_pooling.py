"""Pooling by loops over single samples, and extraction by loops over single Monte Carlo samples."""

import math
from collections.abc import Sequence
from typing import Literal

import numpy as np
import torch

from lvm_probe.models.model import SpeechModel
from lvm_probe.models.noise import utterance_seed
from lvm_probe.probing.corpora.corpus import Segment


def pooled_mean(steps: np.ndarray, segment: Segment, stride: int) -> np.ndarray:
    """Give every sample its step's value, and average the samples of the segment."""
    total = np.zeros(steps.shape[1])
    for sample in range(segment.start, segment.end):
        total += steps[sample // stride].astype(np.float64)
    return total / (segment.end - segment.start)


def pooled_log_mean_square(steps: np.ndarray, segment: Segment, stride: int, floor: float) -> np.ndarray:
    """Likewise for the squares, then the natural logarithm."""
    squares = pooled_mean(np.asarray(steps, dtype=np.float64) ** 2, segment, stride)
    return np.array([math.log(square + floor) for square in squares])


def latents(
    model: SpeechModel,
    name: str,
    pcm: np.ndarray,
    segments: Sequence[Segment],
    samples: int,
    estimator: Literal["sample", "posterior-mean"],
    seed: int,
    floor: float,
) -> dict[str, np.ndarray]:
    """What extraction says of one utterance, from one pass of the model a sample, each by itself."""
    paths: list[list[np.ndarray]] = []  # per sample, per layer: (steps, latent)
    for path in range(samples):
        generator = torch.Generator().manual_seed(utterance_seed(seed, f"{name} path {path}"))
        noise = model.noise(len(pcm), 1, generator)
        wave = torch.from_numpy(pcm)[None]
        with torch.no_grad():
            layers = model.infer(model.encode(wave, torch.tensor([len(pcm)])), noise)
        chosen = [layer.z if estimator == "sample" else layer.posterior.mean for layer in layers]
        paths.append([z[:, 0].double().numpy() for z in chosen])
    found = {}
    for level, stride in enumerate(model.strides):
        of_layer = [path[level] for path in paths]
        mean_of_steps = sum(of_layer) / samples
        rows = {"": [], "_var": [], "_logms": []}
        for segment in segments:
            values = [pooled_mean(steps, segment, stride) for steps in of_layer]
            mean = sum(values) / samples
            squares = sum((value - mean) ** 2 for value in values)
            rows[""].append(mean)
            rows["_var"].append(squares / (samples - 1) / samples)
            rows["_logms"].append(pooled_log_mean_square(mean_of_steps, segment, stride, floor))
        for ending, values in rows.items():
            found[f"z{level + 1}{ending}"] = np.array(values)
    return found
