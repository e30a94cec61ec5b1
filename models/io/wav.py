"""WAV files of 16-bit PCM."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import soundfile
from jaxtyping import Int16

from lvm_probe.models.io.files import write_atomically


def write_wav(path: Path, pcm: Int16[np.ndarray, " samples"], sample_rate: int) -> Path:
    """Write one channel, whole or not at all; returns the path.

    Raises:
        InputError: if it cannot be written.
    """
    with write_atomically(path) as temporary:
        soundfile.write(temporary, pcm, sample_rate, subtype="PCM_16", format="WAV")
    return path
