"""Pitch and formants of a recording by Praat's own algorithms (praat-parselmouth, an optional dependency)."""

from __future__ import annotations

import importlib.util
from typing import NamedTuple

import numpy as np

from lvm_probe import InputError
from lvm_probe.analysis.shape_annotations import Float

PITCH_HZ = (60.0, 500.0)
"""Lowest and highest pitch."""
CEILING_HZ = {"F": 5500.0, "M": 5000.0, None: 5500.0}
"""Highest frequency of the five formants that are looked for, by the speaker's gender, as Praat's manual advises."""
FORMANTS = 3
"""Formants that are returned."""
STEP_S = 0.005
HINT = "Pitch and formants need praat-parselmouth: pip install 'lvm-probe[praat]'."


class Tracks(NamedTuple):
    """Pitch and formants every 5 ms: NaN where there is none.

    Attributes:
        times_s: seconds from the start of the audio.
        pitch_hz: fundamental frequency.
        formants_hz: the lowest formants, where the sound is voiced.
    """

    times_s: Float[np.ndarray, " frames"]
    pitch_hz: Float[np.ndarray, " frames"]
    formants_hz: Float[np.ndarray, "formants frames"]


def installed() -> bool:
    """Whether praat-parselmouth is."""
    return importlib.util.find_spec("parselmouth") is not None


def tracks(wave: Float[np.ndarray, " n"], rate: int, gender: str | None) -> Tracks:
    """Pitch by autocorrelation (Boersma 1993) and formants by Burg's method, as Praat computes them by default.

    Args:
        wave: audio in [-1, 1].
        rate: its sample rate in Hz.
        gender: of the speaker, F or M, which sets the ceiling of the formants; None takes a woman's.

    Raises:
        InputError: praat-parselmouth is not installed, or the audio is too short.
    """
    if not installed():
        raise InputError(HINT)
    import parselmouth

    sound = parselmouth.Sound(np.asarray(wave, np.float64), rate)
    try:
        pitch = sound.to_pitch_ac(time_step=STEP_S, pitch_floor=PITCH_HZ[0], pitch_ceiling=PITCH_HZ[1])
        formant = sound.to_formant_burg(time_step=STEP_S, maximum_formant=CEILING_HZ.get(gender, CEILING_HZ[None]))
    except parselmouth.PraatError as error:
        raise InputError(f"no pitch or formants: {str(error).splitlines()[0]}") from None
    times = pitch.xs()
    hz = pitch.selected_array["frequency"]
    voiced = hz > 0
    formants = np.array([[formant.get_value_at_time(i + 1, t) for t in times] for i in range(FORMANTS)])
    return Tracks(times, np.where(voiced, hz, np.nan), np.where(voiced, formants, np.nan))
