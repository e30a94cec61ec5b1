"""A forward pass over long utterances in chunks that carry the recurrent state, with the results of a single pass.

Encoder and decoder look at a bounded stretch around a step, so they run on a window that exceeds the chunk by their
reach. The recurrence continues from where the chunk before stopped. What is kept for longer than a chunk has the rate
of the latents; the sequences at the rate of the audio are what needs memory.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float, Int, Shaped
from torch import Tensor

from lvm_probe.models.domains.domain import Distributions
from lvm_probe.models.model import SpeechModel
from lvm_probe.models.trajectory import Trajectory

MOST_SAMPLES = 1_000_000
"""Audio samples of a padded batch, and of a chunk of a longer utterance."""


@dataclass(frozen=True)
class Chunk:
    """A stretch of a batch.

    Attributes:
        pcm: its audio.
        lengths: audio samples of each row in it, before the padding.
        layers: its trajectories, lowest layer first.
        output: its distributions.
    """

    pcm: Shaped[Tensor, "batch samples"]
    lengths: Int[Tensor, " batch"]
    layers: tuple[Trajectory, ...]
    output: Distributions


def chunks(
    model: SpeechModel,
    pcm: Shaped[Tensor, "batch samples"],
    lengths: Int[Tensor, " batch"],
    noise: Sequence[Float[Tensor, "_time batch _latent"]],
    size: int,
) -> Iterator[Chunk]:
    """A forward pass over a batch, some samples at a time.

    Args:
        model: any.
        pcm: 16-bit PCM, padded to whole steps of the coarsest layer (`model.pad`).
        lengths: audio samples of each row before the padding.
        noise: standard normal, as `model.noise` returns it.
        size: audio samples of a chunk, rounded up to whole steps of the coarsest layer.

    Yields:
        The chunks in order.
    """
    total, coarsest = pcm.shape[1], model.coarsest_stride
    size = -(-size // coarsest) * coarsest
    if total <= size:
        encoded = model.encode(pcm, lengths)
        layers = model.infer(encoded, noise)
        yield Chunk(pcm, lengths, layers, model.decode(encoded, layers, lengths)[0])
        return
    whole = model.encode(pcm, lengths) if model.encode_reach is None else None
    behind, ahead = (-(-reach // coarsest) * coarsest for reach in model.decode_reach)
    held: list[tuple[int, tuple[Tensor, ...], tuple[Trajectory, ...]]] = []  # start, encoding, trajectories
    pending: list[tuple[int, int]] = []
    before: tuple[Trajectory, ...] = ()
    for start in range(0, total, size):
        stop = min(start + size, total)
        encoded = cut(whole, total, start, stop) if whole is not None else _encode(model, pcm, lengths, start, stop)
        parts = [n[start // s : stop // s] for n, s in zip(noise, model.strides, strict=True)]
        layers = model.infer(encoded, parts, before)
        before = model.continuing(before, layers)
        held.append((start, encoded, layers))
        pending.append((start, stop))
        while pending and (stop == total or pending[0][1] + ahead <= stop):
            yield _decode(model, pcm, lengths, held, *pending.pop(0), behind, ahead, stop)
        oldest = pending[0][0] - behind if pending else stop - behind
        while len(held) > 1 and held[1][0] <= oldest:
            held.pop(0)


def _encode(model: SpeechModel, pcm: Tensor, lengths: Tensor, start: int, stop: int) -> tuple[Tensor, ...]:
    assert model.encode_reach is not None
    before, after = (-(-reach // model.coarsest_stride) * model.coarsest_stride for reach in model.encode_reach)
    first, last = max(0, start - before), min(pcm.shape[1], stop + after)
    encoded = model.encode(pcm[:, first:last], (lengths - first).clamp(0, last - first))
    return cut(encoded, last - first, start - first, stop - first)


def _decode(
    model: SpeechModel,
    pcm: Tensor,
    lengths: Tensor,
    held: Sequence[tuple[int, tuple[Tensor, ...], tuple[Trajectory, ...]]],
    start: int,
    stop: int,
    behind: int,
    ahead: int,
    known: int,
) -> Chunk:
    """Decode samples [start, stop) with what is held around them, up to sample `known`."""
    origin = held[0][0]
    first, last = max(origin, start - behind), min(known, stop + ahead)
    encoded = tuple(torch.cat(parts) for parts in zip(*(e for _, e, _ in held), strict=True))
    encoded = cut(encoded, known - origin, first - origin, last - origin)
    joined = tuple(Trajectory.concatenate(parts) for parts in zip(*(layers for _, _, layers in held), strict=True))

    def steps(a: int, b: int) -> tuple[Trajectory, ...]:
        spans = zip(joined, model.strides, strict=True)
        return tuple(layer.steps((a - origin) // s, (b - origin) // s) for layer, s in spans)

    output, _ = model.decode(encoded, steps(first, last), (lengths - first).clamp(0, last - first))
    output = output.elements(start - first, stop - first)
    return Chunk(pcm[:, start:stop], (lengths - start).clamp(0, stop - start), steps(start, stop), output)


def cut(encoded: Sequence[Tensor], samples: int, start: int, stop: int) -> tuple[Tensor, ...]:
    """The steps that cover samples [start, stop), of an encoding of `samples` samples."""
    return tuple(e[start * len(e) // samples : stop * len(e) // samples] for e in encoded)
