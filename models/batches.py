"""Recordings as batches of elements, such as 16-bit PCM: padding, lengths, masks for what lies beyond the end."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, Protocol, runtime_checkable

import numpy as np
import torch
from jaxtyping import Float, Int, Int64, Shaped
from torch import Tensor

from lvm_probe.models.io.pcm import check_pcm
from lvm_probe.models.likelihood import mulaw

if TYPE_CHECKING:
    from lvm_probe.models.domains.domain import Domain


@runtime_checkable
class Recording(Protocol):
    """What training and evaluation need of a recording, or of a sequence of another domain than waveforms.

    Corpora (`lvm_probe.probing.corpora`) provide it.
    """

    @property
    def name(self) -> str:
        """Unique in the corpus; seeds the recording's noise."""

    @property
    def samples(self) -> int:
        """Length in elements: audio samples, at the model's sample rate."""

    def read(self, start: int, stop: int) -> Shaped[np.ndarray, " n"]:
        """Elements [start, stop), such as 16-bit PCM."""


def collate(
    recordings: Sequence[Recording], domain: Domain
) -> tuple[Shaped[Tensor, "batch elements"], Int[Tensor, " batch"]]:
    """Read whole recordings into one batch.

    Args:
        recordings: the rows of the batch.
        domain: what they are made of.

    Returns:
        Their elements, such as 16-bit PCM, zero-padded at the end, and the length of every row in elements.

    Raises:
        InputError: if a recording is of another domain.
    """
    lengths = torch.tensor([recording.samples for recording in recordings])
    elements = torch.zeros(len(recordings), int(lengths.max()), dtype=domain.dtype)
    for row, recording in zip(elements, recordings, strict=True):
        row[: recording.samples] = torch.from_numpy(domain.check(recording.read(0, recording.samples)))
    return elements, lengths


def batches_by_length(recordings: Sequence[Recording], most_samples: int) -> Iterator[list[Recording]]:
    """Group recordings of similar length, so that little of a batch is padding.

    Args:
        recordings: in any order.
        most_samples: audio samples of a padded batch; a longer recording is a batch of its own.

    Yields:
        The recordings of one batch, shortest first.
    """
    batch: list[Recording] = []
    for recording in sorted(recordings, key=lambda r: (r.samples, r.name)):
        if batch and (len(batch) + 1) * recording.samples > most_samples:
            yield batch
            batch = []
        batch.append(recording)
    if batch:
        yield batch


def pcm_histogram(
    recordings: Sequence[Recording], progress: Callable[[int], None] = lambda samples: None
) -> Int64[np.ndarray, " 65536"]:
    """Count how often each 16-bit PCM value occurs.

    Args:
        recordings: read whole, one after another.
        progress: called with the samples of each recording.

    Returns:
        Counts of the values from -32,768 to 32,767.
    """
    counts = np.zeros(mulaw.PCM_VALUES, np.int64)
    for recording in recordings:
        pcm = check_pcm(recording.read(0, recording.samples)).astype(np.int64)
        counts += np.bincount(pcm + mulaw.FULL_SCALE, minlength=mulaw.PCM_VALUES)
        progress(recording.samples)
    return counts


def step_counts(lengths: Int[Tensor, " batch"], stride: int) -> Int[Tensor, " batch"]:
    """Steps of `stride` samples that each utterance touches: ceil(length / stride)."""
    return (lengths + stride - 1) // stride


def step_mask(lengths: Int[Tensor, " batch"], stride: int, size: int) -> Float[Tensor, "size batch 1"]:
    """One for the steps of `stride` samples that touch the utterance, else zero; time first."""
    inside = torch.arange(size, device=lengths.device).unsqueeze(1) < step_counts(lengths, stride)
    return inside.unsqueeze(-1).float()


def sample_mask(lengths: Int[Tensor, " batch"], size: int) -> Float[Tensor, "batch size"]:
    """One for the samples inside the utterance, else zero; batch first."""
    return (torch.arange(size, device=lengths.device) < lengths.unsqueeze(1)).float()
