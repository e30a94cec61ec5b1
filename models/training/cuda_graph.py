"""Training updates on a GPU, each replayed as one CUDA graph.

An update of a CW-VAE launches thousands of small kernels, one after another; a graph launches them all at once. The
audio stays on the GPU and the graph cuts its segments there, so an update transfers a few numbers per segment. What
changes from update to update is written into the graph's inputs before it runs. Noise is drawn by the GPU's generator
from the seed and the update's number, so that a resumed run draws what an uninterrupted one does.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from dataclasses import astuple

import numpy as np
import torch
from jaxtyping import Float64, Int, Int16
from torch import Tensor

from lvm_probe.models.batches import Recording
from lvm_probe.models.io.pcm import check_pcm
from lvm_probe.models.model import SpeechModel
from lvm_probe.models.noise import utterance_seed
from lvm_probe.models.training.loss import Schedule
from lvm_probe.models.training.recipe import Recipe
from lvm_probe.models.training.segments import draw_segments, with_gain

WARM_UP = 3
"""Updates before the capture, in which libraries allocate what they need."""

Update = Callable[
    [Int16[Tensor, "rows samples"], Int[Tensor, " rows"], Sequence[Tensor], Schedule], Float64[Tensor, " parts"]
]
"""Makes an update from a batch, its lengths, noise and schedule without waiting for the GPU; says what to report."""

_capture = threading.Lock()


class GraphedUpdates:
    """Makes updates on a GPU from segments of recordings.

    Args:
        update: the work of one update.
        model: on the GPU.
        recordings: to train on; all of their audio is copied to the GPU.
        recipe: with segments, not whole utterances.
        seed: of batches and noise.
        weights: how often each recording is drawn, relative to its length.
    """

    def __init__(
        self,
        update: Update,
        model: SpeechModel,
        recordings: Sequence[Recording],
        recipe: Recipe,
        seed: int,
        weights: Float64[np.ndarray, " recordings"] | None = None,
    ) -> None:
        self._update, self._recipe, self._seed, self._weights = update, recipe, seed, weights
        self._device = device = model.parameter.device
        self._sizes = np.array([r.samples for r in recordings])
        self._first = np.cumsum(self._sizes) - self._sizes
        self._audio = torch.cat([torch.from_numpy(check_pcm(r.read(0, r.samples))) for r in recordings]).to(device)
        self._starts = torch.zeros(recipe.batch, dtype=torch.int64, device=device)
        self._lengths = torch.zeros_like(self._starts)
        self._gains = torch.zeros(recipe.batch, device=device)
        self._schedule = torch.zeros(len(Schedule.__dataclass_fields__), device=device)
        self._samples = torch.zeros((), device=device)
        noise = model.noise(recipe.segment, recipe.batch, torch.Generator())
        self._noise = [n.to(device) for n in noise]
        self._generator = torch.Generator(device)
        self._padded = -(-recipe.segment // model.coarsest_stride) * model.coarsest_stride
        self._stream = torch.cuda.Stream(device)
        self._graph: torch.cuda.CUDAGraph | None = None
        self._parts = torch.empty(0)
        self._made = 0

    def __call__(self, number: int, schedule: Schedule) -> tuple[Float64[Tensor, " parts"], int, list[int]]:
        """Make an update.

        Args:
            number: of the update.
            schedule: of the update, in numbers.

        Returns:
            What the update reports, on the GPU; the audio samples of the batch; and the numbers of its recordings.
        """
        drawn = draw_segments(self._sizes, self._recipe, self._seed, number, self._weights)
        self._stream.wait_stream(torch.cuda.current_stream(self._device))
        with torch.cuda.stream(self._stream):
            self._starts.copy_(torch.from_numpy(self._first[drawn.recordings] + drawn.starts))
            self._lengths.copy_(torch.from_numpy(drawn.lengths))
            self._gains.copy_(torch.from_numpy(drawn.gains))
            self._schedule.copy_(torch.tensor(astuple(schedule)))
            self._generator.manual_seed(utterance_seed(self._seed, f"update {number}"))
            for noise in self._noise:
                noise.normal_(generator=self._generator)
            if self._made < WARM_UP:
                with _capture:
                    self._parts = self._work()
            else:
                self._replay()
        torch.cuda.current_stream(self._device).wait_stream(self._stream)
        self._made += 1
        return self._parts, int(drawn.lengths.sum()), drawn.recordings.tolist()

    def _replay(self) -> None:
        if self._graph is None:
            self._graph = torch.cuda.CUDAGraph()
            with _capture, torch.cuda.graph(self._graph, stream=self._stream, capture_error_mode="thread_local"):
                self._parts = self._work()
        self._graph.replay()

    def _work(self) -> Tensor:
        return self._update(self._batch(), self._lengths, self._noise, Schedule(*self._schedule.unbind()))

    def _batch(self) -> Int16[Tensor, "rows samples"]:
        offsets = torch.arange(self._padded, device=self._device)
        inside = offsets < self._lengths.unsqueeze(1)
        where = (self._starts.unsqueeze(1) + offsets).clamp(max=len(self._audio) - 1)
        return with_gain(self._audio[where] * inside, self._gains)
