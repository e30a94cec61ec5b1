"""16-bit PCM: its full scale, and the one check that samples are 16-bit integers."""

from __future__ import annotations

from typing import Any, TypeVar

from lvm_probe import InputError

FULL_SCALE = 32_768
"""PCM value of an amplitude of 1."""

Samples = TypeVar("Samples", bound=Any)


def check_pcm(pcm: Samples) -> Samples:
    """Return an array or tensor of 16-bit PCM as it is.

    Floating-point audio in [-1, 1] passes for near silence where PCM is expected, so nothing else may slip through.

    Raises:
        InputError: if its values are not 16-bit integers.
    """
    name = str(pcm.dtype).removeprefix("torch.")
    if name != "int16":
        raise InputError(
            f"16-bit PCM is needed, not {name}: pass int16, or give floating-point audio in [-1, 1] to "
            "lvm_probe.load_model(...).latents"
        )
    return pcm
