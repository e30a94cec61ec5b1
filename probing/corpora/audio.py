"""Audio files into samples: 16-bit PCM as float32 in [-1, 1), exact for 16-bit files.

libsndfile reads WAV, FLAC, Ogg, MP3 and NIST SPHERE (also under the name .WAV, as the LDC ships TIMIT).
It shortens a truncated WAV or SPHERE file without a word, so their headers are checked here too.
"""

import math
import struct
from pathlib import Path
from typing import NamedTuple

import numpy as np
import soundfile

from lvm_probe import InputError
from lvm_probe.analysis.shape_annotations import Float, Float32, Int16
from lvm_probe.models.io.pcm import FULL_SCALE, check_pcm
from lvm_probe.probing.corpora.corpus import Segment, Utterance

SUFFIXES = (".wav", ".flac", ".ogg", ".mp3")
"""File name endings taken for audio (in any case), the preferred one first."""

# The longest FLAC block (65,535 samples) needs about 13 bytes even for digital silence, some 5,000 samples
# a byte; a header that promises more than this cannot be true of any format read here.
_MOST_SAMPLES_PER_BYTE = 8192

# Lossy codecs overshoot full scale a little, and are clipped; beyond this the file is not on a scale of 1.
_MOST_OVERSHOOT = 2.0

# Elements of the polyphase filter bank (16 MB of float32): 44,100 to 16,000 Hz needs 0.1 million.
_LARGEST_FILTER = 4_000_000

# Times that a rate may grow: from 250 Hz to 16,000. A damaged header that says 1 Hz would make hours of seconds.
_MOST_GROWTH = 64

_BLOCK = 1 << 20


class AudioHeader(NamedTuple):
    """What an audio file's header says: samples per channel, samples per second, channels."""

    samples: int
    sample_rate: int
    channels: int


def probe_audio(path: Path) -> AudioHeader:
    """Samples, sample rate (Hz) and channels, from the header and, of a compressed file, the last sample.

    Raises InputError when the file is missing, empty, no audio, or shorter than its header promises.
    """
    if not path.is_file():
        raise InputError(f"{path}: no such audio file; restore it or remove its annotation")
    size = path.stat().st_size
    if size == 0:
        raise InputError(f"{path}: the file is empty (0 bytes); copy it again from its source")
    try:
        info = soundfile.info(str(path))
    except (soundfile.SoundFileError, RuntimeError) as error:
        raise InputError(f"{path}: unreadable as audio ({_reason(error)}); convert it to WAV or FLAC") from error
    promised = _promised_bytes(path)
    if (promised is not None and promised > size) or info.frames > size * _MOST_SAMPLES_PER_BYTE:
        what = f"{promised:,} bytes" if promised is not None else f"{info.frames:,} samples"
        raise InputError(
            f"{path}: truncated: its header promises {what}, the file has {size:,} bytes; copy it again "
            "from its source, or rewrite it with ffmpeg or sox if it was made by a pipe"
        )
    if info.frames < 1 or info.samplerate < 1:
        raise InputError(f"{path}: holds no samples; copy it again from its source or remove it")
    if promised is None:  # compressed: only the last sample shows that all of them are there
        try:
            with soundfile.SoundFile(str(path)) as file:
                file.seek(info.frames - 1)
                last = file.read(1)
        except (soundfile.SoundFileError, RuntimeError, ValueError):  # ValueError: it came out past its end
            last = ()
        if len(last) != 1:
            raise InputError(f"{path}: truncated: its last sample cannot be read; copy it again from its source")
    return AudioHeader(int(info.frames), int(info.samplerate), int(info.channels))


def read_audio(utterance: Utterance, sample_rate: int) -> Float32[np.ndarray, " n"]:
    """The utterance's samples in [-1, 1) at `sample_rate` (Hz), multiples of 1/32768 unless resampled.

    Deeper files are rounded to 16 bits. Resampling is torchaudio's windowed sinc (Hann, 6 zero crossings);
    it gives ceil(samples * sample_rate / own rate) samples, clipped to full scale. Raises InputError, naming
    the file, when it is missing, empty, truncated, changed, not finite or not mono.
    """
    path = utterance.audio
    header = probe_audio(path)
    if header.channels != 1:
        raise InputError(not_mono(path, header.channels))
    pcm = _read_pcm16(path, header.samples)
    if len(pcm) != utterance.samples or header.sample_rate != utterance.sample_rate:
        raise InputError(
            f"{path}: {len(pcm)} samples at {header.sample_rate} Hz, but {utterance.samples} at "
            f"{utterance.sample_rate} Hz when the corpus was opened; open it again"
        )
    return resample(to_float(pcm), header.sample_rate, sample_rate, path)


def to_float(pcm: Int16[np.ndarray, " n"]) -> Float32[np.ndarray, " n"]:
    """16-bit PCM as float32 in [-1, 1). Raises InputError for anything but int16."""
    return check_pcm(pcm).astype(np.float32) / np.float32(FULL_SCALE)


def to_pcm(wave: Float[np.ndarray, " n"]) -> Int16[np.ndarray, " n"]:
    """Audio in [-1, 1] rounded to 16-bit PCM and clipped at full scale: the inverse of `to_float`."""
    return np.clip(np.rint(wave * FULL_SCALE), -FULL_SCALE, FULL_SCALE - 1).astype(np.int16)


def resample(
    wave: Float32[np.ndarray, " n"], from_rate: int, to_rate: int, name: str | Path
) -> Float32[np.ndarray, " resampled"]:
    """Resample audio by torchaudio's windowed sinc (Hann, 6 zero crossings), clipped to full scale.

    Gives ceil(n * to_rate / from_rate) samples. Raises InputError, naming `name`, for rates that `check_rates` refuses.
    """
    if from_rate == to_rate:
        return wave
    check_rates(name, from_rate, to_rate)

    import torch  # only when needed: it costs a second
    from torchaudio import functional

    resampled = functional.resample(torch.from_numpy(wave), from_rate, to_rate).numpy()
    return np.clip(resampled, -1.0, np.float32((FULL_SCALE - 1) / FULL_SCALE)).astype(np.float32)


def check_rates(name: str | Path, from_rate: int, to_rate: int) -> None:
    """Raise InputError when resampling would need gigabytes: rates (Hz) far apart, or with little in common."""
    common = math.gcd(from_rate, to_rate)
    if to_rate > from_rate * _MOST_GROWTH or (from_rate // common) * (to_rate // common) > _LARGEST_FILTER:
        raise InputError(
            f"{name}: {from_rate} Hz cannot well be turned into {to_rate} Hz here; resample it with sox or ffmpeg"
        )


def to_rate(segment: Segment, from_rate: int, to_rate: int) -> Segment:
    """The same stretch at another rate (Hz): positions rounded to the nearest sample (halves up).

    At least one sample remains, and a segment inside the audio stays inside the resampled audio.
    """
    if from_rate == to_rate:
        return segment
    start, end = ((2 * at * to_rate + from_rate) // (2 * from_rate) for at in (segment.start, segment.end))
    end = max(end, 1)
    return Segment(segment.label, min(start, end - 1), end)


def not_mono(path: Path, channels: int) -> str:
    """The one line for a file of several channels."""
    return f"{path}: {channels} channels, one is needed; mix it down or pick one, e.g. sox IN OUT remix 1"


def _read_pcm16(path: Path, samples: int) -> Int16[np.ndarray, " n"]:
    """All samples as 16-bit PCM, read block by block: memory follows the data, not the header's promise."""
    blocks: list[np.ndarray] = []
    try:
        with soundfile.SoundFile(str(path)) as file:
            while len(block := _read_block(file, path)):
                blocks.append(block)
    except InputError:
        raise
    except (soundfile.SoundFileError, RuntimeError, ValueError) as error:  # ValueError: it came out past its end
        raise InputError(f"{path}: damaged ({_reason(error)}); copy it again from its source") from error
    pcm = np.concatenate(blocks) if blocks else np.zeros(0, dtype=np.int16)
    if len(pcm) != samples:
        raise InputError(
            f"{path}: truncated: its header promises {samples:,} samples, {len(pcm):,} could be read; "
            "copy it again from its source"
        )
    return pcm


def _read_block(file: soundfile.SoundFile, path: Path) -> Int16[np.ndarray, " n"]:
    match file.subtype:
        case "PCM_16" | "PCM_U8" | "PCM_S8" | "ULAW" | "ALAW":
            return file.read(_BLOCK, dtype="int16")
        case "PCM_24" | "PCM_32":
            wide = file.read(_BLOCK, dtype="int32").astype(np.int64)
            return np.minimum((wide + (1 << 15)) >> 16, FULL_SCALE - 1).astype(np.int16)
        case _:
            real = file.read(_BLOCK, dtype="float64")
            if not np.isfinite(real).all():
                raise InputError(f"{path}: holds samples that are not finite (NaN or infinite); export it again")
            if len(real) and (peak := float(np.abs(real).max())) > _MOST_OVERSHOOT:
                raise InputError(f"{path}: samples reach {peak:.4g} where full scale is 1; scale the file to [-1, 1]")
            return to_pcm(real)


def _promised_bytes(path: Path) -> int | None:
    """The file size that a RIFF or NIST SPHERE header implies; None where it implies none."""
    with path.open("rb") as file:
        head = file.read(1024)
        match head[:4]:
            case b"RIFF" if head[8:12] == b"WAVE":
                at = 12
                for _ in range(1000):
                    file.seek(at)
                    chunk = file.read(8)
                    if len(chunk) < 8:
                        return None
                    size: int = struct.unpack("<I", chunk[4:])[0]
                    if chunk[:4] == b"data":
                        return at + 8 + size
                    at += 8 + size + size % 2
                return None
            case b"NIST":
                return _promised_by_sphere(head)
            case _:
                return None


def _promised_by_sphere(head: bytes) -> int | None:
    """Header plus samples of an uncompressed SPHERE file; None when a field is missing or odd."""
    fields: dict[str, str] = {}
    lines = head.decode("latin-1").split("\n")
    for line in lines[2:]:
        match line.split(" ", 2):
            case [name, _, value]:
                fields[name] = value.strip()
    if fields.get("sample_coding", "pcm") != "pcm":
        return None
    try:
        size, count = int(lines[1].strip()), int(fields["sample_count"])
        return size + count * int(fields.get("channel_count", "1")) * int(fields["sample_n_bytes"])
    except (KeyError, ValueError, IndexError):
        return None


def _reason(error: Exception) -> str:
    """libsndfile's own words, in one line and without the path that the caller already names."""
    return str(getattr(error, "error_string", error)).strip().rstrip(".").replace("\n", " ")
