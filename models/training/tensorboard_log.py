"""Training curves for TensorBoard, written without a background thread.

PyTorch's SummaryWriter writes in a thread, where a full disk is not reported to the run. The format is TensorFlow's:
records with checksums (`tensorboard.summary.writer.record_writer`), so a reader stops before a truncated record.
"""

from __future__ import annotations

import io
import os
import socket
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Int16

from lvm_probe.models.io.files import reporting_write_errors
from lvm_probe.models.io.pcm import FULL_SCALE

EDGES = 1e-12 * 1.1 ** np.arange(774)
"""Edges of a histogram's bins on either side of 0, up to 1e20, as in TensorBoard."""


class EventFile:
    """An event file in a run's folder. Raises InputError, naming the file, if it cannot be written.

    Args:
        folder: of the run.
        first: the next update; TensorBoard then ignores what earlier files say about it or later ones.
    """

    def __init__(self, folder: Path, first: int) -> None:
        from tensorboard.compat.proto.event_pb2 import Event, SessionLog

        self.path = folder / f"events.out.tfevents.{int(time.time()):010d}.{socket.gethostname()}.{os.getpid()}"
        with reporting_write_errors(self.path):
            self._handle = os.open(self.path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
        self._event = Event
        self._write(file_version="brain.Event:2")
        self._write(step=first, session_log=SessionLog(status=SessionLog.START))

    def __enter__(self) -> EventFile:
        return self

    def __exit__(self, *_: object) -> None:
        os.close(self._handle)

    def add_scalar(self, name: str, value: float | int, update: int) -> None:
        """Add a point to a curve."""
        from torch.utils.tensorboard.summary import scalar

        self._write(step=update, summary=scalar(name, value))

    def add_histogram(self, name: str, values: Any, update: int) -> None:
        """Add the distribution of values at an update."""
        from torch.utils.tensorboard.summary import histogram

        self._write(step=update, summary=histogram(name, values, [*-EDGES[::-1], 0, *EDGES]))

    def add_audio(self, name: str, pcm: Int16[np.ndarray, " samples"], sample_rate: int, update: int) -> None:
        """Add a recording to listen to."""
        from torch.utils.tensorboard.summary import audio

        wave = torch.from_numpy(pcm.astype(np.float32) / FULL_SCALE).unsqueeze(0)
        self._write(step=update, summary=audio(name, wave, sample_rate=sample_rate))

    def _write(self, **fields: Any) -> None:
        from tensorboard.summary.writer.record_writer import RecordWriter

        record = io.BytesIO()
        RecordWriter(record).write(self._event(wall_time=time.time(), **fields).SerializeToString())
        rest = record.getvalue()
        with reporting_write_errors(self.path):
            while rest:
                rest = rest[os.write(self._handle, rest) :]
