"""Audio files as float32 samples in [-1, 1) on the 16-bit grid; 16-bit files are reproduced exactly.

libsndfile reads WAV, FLAC, Ogg, MP3 and NIST SPHERE (also under the name .WAV, as the LDC ships TIMIT).
It silently shortens truncated WAV and SPHERE files, so their headers are checked here too.
"""

import io
import math
import struct
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple

import numpy as np
import soundfile

from lvm_probe import InputError
from lvm_probe.analysis.shape_annotations import Float, Float32, Int16
from lvm_probe.models.io.pcm import FULL_SCALE, check_pcm
from lvm_probe.probing.corpora.corpus import Segment, Utterance

SUFFIXES = (".wav", ".flac", ".ogg", ".mp3")
"""File name suffixes of audio, in any case; the preferred one first."""

# The longest FLAC block (65,535 samples) needs about 13 bytes even for digital silence, some 5,000 samples per byte;
# a header that promises more than this is wrong in any format read here.
_MAX_SAMPLES_PER_BYTE = 8192

# Lossy codecs overshoot full scale slightly, and are clipped; a higher peak means that full scale is not 1.
_MAX_PEAK = 2.0

# Elements of the resampling filter bank (16 MB of float32): 44,100 to 16,000 Hz needs 0.1 million.
_MAX_FILTER = 4_000_000

# Largest upsampling factor: from 250 Hz to 16,000. A damaged header that says 1 Hz would turn seconds into hours.
_MAX_UPSAMPLING = 64

_BLOCK = 1 << 20

# What programs write for the size of a WAV file's data when they do not know it; the last is sox's.
_UNKNOWN_SIZES = (0, 0xFFFFFFFF, 0x7FFFF000)
_MAX_RIFF = 0xFFFFFF00


class AudioHeader(NamedTuple):
    """What the header of an audio file says.

    Attributes:
        samples: their number per channel.
        sample_rate: in Hz.
        channels: their number.
        open_end: whether it does not say the number of samples, which then go on to the end of the file.
    """

    samples: int
    sample_rate: int
    channels: int
    open_end: bool = False


def read_audio_header(path: Path) -> AudioHeader:
    """The header of an audio file, checked against the file's size; of a compressed file the last sample is decoded.

    Raises:
        InputError: the file is missing, empty, not audio, or shorter than its header promises.
    """
    if not path.is_file():
        raise InputError(f"{path}: no such audio file; restore it or remove its annotation")
    size = path.stat().st_size
    if size == 0:
        raise InputError(f"{path}: the file is empty (0 bytes); copy it again from its source")
    try:
        with _open(path) as info:
            frames, rate, channels = int(info.frames), int(info.samplerate), int(info.channels)
    except (soundfile.SoundFileError, RuntimeError) as error:
        raise InputError(f"{path}: unreadable as audio ({_reason(error)}); convert it to WAV or FLAC") from error
    data = _riff_data(path)
    open_end = data is not None and data.open_end
    promised = size if open_end else _promised_bytes(path)
    if (promised is not None and promised > size) or frames > size * _MAX_SAMPLES_PER_BYTE:
        what = f"{promised:,} bytes" if promised is not None else f"{frames:,} samples"
        raise InputError(
            f"{path}: truncated: its header promises {what}, the file has {size:,} bytes; copy it again "
            "from its source, or rewrite it with ffmpeg or sox if it was written through a pipe"
        )
    if frames < 1 or rate < 1:
        raise InputError(f"{path}: contains no samples; copy it again from its source or remove it")
    if promised is None:  # compressed: only decoding the last sample shows whether the file is complete
        try:
            with _open(path) as file:
                file.seek(frames - 1)
                last = file.read(1)
        except (soundfile.SoundFileError, RuntimeError, ValueError):  # ValueError: the decoder ended past the end
            last = ()
        if len(last) != 1:
            raise InputError(f"{path}: truncated: its last sample cannot be read; copy it again from its source")
    return AudioHeader(frames, rate, channels, open_end)


def read_audio(utterance: Utterance, sample_rate: int) -> Float32[np.ndarray, " n"]:
    """The audio of an utterance.

    Deeper files are rounded to 16 bits; another rate is resampled (see `resample`).

    Args:
        utterance: the recording to read.
        sample_rate: the wanted rate in Hz.

    Returns:
        Samples in [-1, 1), multiples of 1/32768 unless resampled; ceil(samples * sample_rate / own rate) of them.

    Raises:
        InputError: the file is missing, empty, truncated, not finite, not mono, or its length or rate has changed.
    """
    path = utterance.audio
    header = read_audio_header(path)
    check_mono(path, header.channels)
    start, samples = (0, header.samples) if utterance.offset is None else (utterance.offset, utterance.samples)
    if header.samples < start + samples:
        raise InputError(f"{path}: ends before {utterance.id}, which ends at sample {start + samples}; open it again")
    pcm = _read_pcm16(path, start, samples)
    if samples != utterance.samples or header.sample_rate != utterance.sample_rate:
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
    wave: Float32[np.ndarray, " n"], old_rate: int, new_rate: int, name: str | Path
) -> Float32[np.ndarray, " resampled"]:
    """Resample audio by torchaudio's windowed sinc (Hann window, 6 zero crossings), clipped to full scale.

    Args:
        wave: audio in [-1, 1).
        old_rate: its sample rate in Hz.
        new_rate: the wanted sample rate in Hz.
        name: what an error message calls the audio, such as its file.

    Returns:
        ceil(n * new_rate / old_rate) samples.

    Raises:
        InputError: the rates are not supported (see `check_resampling`).
    """
    if old_rate == new_rate:
        return wave
    check_resampling(name, old_rate, new_rate)

    import torch  # here because it takes a second to import, and most corpora need no resampling
    from torchaudio import functional

    resampled = functional.resample(torch.from_numpy(wave), old_rate, new_rate).numpy()
    return np.clip(resampled, -1.0, np.float32((FULL_SCALE - 1) / FULL_SCALE)).astype(np.float32)


def check_mono(path: Path, channels: int) -> None:
    """Raise InputError unless a file has one channel."""
    if channels != 1:
        raise InputError(
            f"{path}: {channels} channels, but one is needed; mix them down or pick one, e.g. sox IN OUT remix 1"
        )


def check_resampling(name: str | Path, old_rate: int, new_rate: int) -> None:
    """Raise InputError if resampling between two rates (Hz) would need gigabytes of memory."""
    common = math.gcd(old_rate, new_rate)
    if new_rate > old_rate * _MAX_UPSAMPLING or (old_rate // common) * (new_rate // common) > _MAX_FILTER:
        raise InputError(
            f"{name}: resampling from {old_rate} Hz to {new_rate} Hz is not supported; convert it with sox or ffmpeg"
        )


def resample_segment(segment: Segment, old_rate: int, new_rate: int) -> Segment:
    """The same stretch at another sample rate (Hz), its positions rounded to the nearest sample (halves up).

    At least one sample remains, and a segment inside the audio stays inside the resampled audio.

    Example:
        >>> resample_segment(Segment("sh", 1001, 2400), 48000, 16000)
        Segment(label='sh', start=334, end=800)
    """
    if old_rate == new_rate:
        return segment
    start, end = ((2 * at * new_rate + old_rate) // (2 * old_rate) for at in (segment.start, segment.end))
    end = max(end, 1)
    return Segment(segment.label, min(start, end - 1), end)


@contextmanager
def _open(path: Path) -> Iterator[soundfile.SoundFile]:
    """An audio file opened by its handle: by its name libsndfile takes a macOS file `._NAME` beside it for a part."""
    data = _riff_data(path)
    with path.open("rb") as handle:
        if data is not None and data.open_end:
            with soundfile.SoundFile(_OpenEnd(handle, data)) as file:
                yield file
        else:
            with soundfile.SoundFile(handle.fileno(), closefd=False) as file:
                yield file


class _RiffData(NamedTuple):
    """The data chunk of a WAV file: where its content starts, its size by the header, and the size of the file."""

    start: int
    size: int
    file_size: int
    open_end: bool


class _OpenEnd(io.RawIOBase):
    """A WAV file whose header does not say its length, with the length that it has."""

    def __init__(self, handle: BinaryIO, data: _RiffData) -> None:
        self._handle = handle
        size = min(data.file_size - data.start, _MAX_RIFF)
        self._sizes = {4: struct.pack("<I", data.start - 8 + size), data.start - 4: struct.pack("<I", size)}

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def seek(self, offset: int, whence: int = 0) -> int:
        return self._handle.seek(offset, whence)

    def tell(self) -> int:
        return self._handle.tell()

    def readinto(self, buffer: Any) -> int:
        at = self._handle.tell()
        content = bytearray(self._handle.read(len(buffer)))
        for place, size in self._sizes.items():
            for i, byte in enumerate(size, start=place - at):
                if 0 <= i < len(content):
                    content[i] = byte
        buffer[: len(content)] = content
        return len(content)


def _read_pcm16(path: Path, start: int, samples: int) -> Int16[np.ndarray, " n"]:
    """Samples as 16-bit PCM, read in blocks so that memory follows the data, not the header's promise."""
    blocks: list[np.ndarray] = []
    missing = samples
    try:
        with _open(path) as file:
            if start:
                file.seek(start)
            while len(block := _read_block(file, path, min(_BLOCK, missing))):
                blocks.append(block)
                missing -= len(block)
    except InputError:
        raise
    except (soundfile.SoundFileError, RuntimeError, ValueError) as error:  # ValueError: the decoder ended past the end
        raise InputError(f"{path}: damaged ({_reason(error)}); copy it again from its source") from error
    pcm = np.concatenate(blocks) if blocks else np.zeros(0, dtype=np.int16)
    if len(pcm) != samples:
        raise InputError(
            f"{path}: truncated: its header promises {samples:,} samples, {len(pcm):,} could be read; "
            "copy it again from its source"
        )
    return pcm


def _read_block(file: soundfile.SoundFile, path: Path, samples: int) -> Int16[np.ndarray, " n"]:
    match file.subtype:
        case "PCM_16" | "PCM_U8" | "PCM_S8" | "ULAW" | "ALAW":
            return file.read(samples, dtype="int16")
        case "PCM_24" | "PCM_32":
            wide = file.read(samples, dtype="int32").astype(np.int64)
            return np.minimum((wide + (1 << 15)) >> 16, FULL_SCALE - 1).astype(np.int16)
        case _:
            real = file.read(samples, dtype="float64")
            if not np.isfinite(real).all():
                raise InputError(f"{path}: contains samples that are not finite (NaN or infinity); export it again")
            if len(real) and (peak := float(np.abs(real).max())) > _MAX_PEAK:
                raise InputError(f"{path}: samples reach {peak:.4g} where full scale is 1; scale the file to [-1, 1]")
            return to_pcm(real)


def _promised_bytes(path: Path) -> int | None:
    """The file size that a RIFF or NIST SPHERE header implies; None where it implies none."""
    if data := _riff_data(path):
        return data.start + data.size
    with path.open("rb") as file:
        head = file.read(1024)
    return _promised_by_sphere(head) if head.startswith(b"NIST") else None


def _riff_data(path: Path) -> _RiffData | None:
    """The data chunk of a WAV file; None where there is none."""
    with path.open("rb") as file:
        head = file.read(12)
        if head[:4] != b"RIFF" or head[8:] != b"WAVE":
            return None
        file_size = file.seek(0, io.SEEK_END)
        at = 12
        for _ in range(1000):
            file.seek(at)
            name, size = _chunk(file.read(8))
            if size is None:
                return None
            at += 8
            if name == b"data":
                # Nothing but zero or the largest number can be written before the length is known, as into a pipe.
                # A data chunk of size 0 may also be empty: then another chunk, or nothing, follows it.
                following, following_size = _chunk(file.read(8))
                empty = at == file_size or (following.strip().isalnum() and following_size == file_size - at - 8)
                return _RiffData(at, size, file_size, size in _UNKNOWN_SIZES and not empty)
            at += size + size % 2
        return None


def _chunk(head: bytes) -> tuple[bytes, int | None]:
    """Name and size of a RIFF chunk from its first eight bytes; the size is None if there are fewer."""
    return head[:4], struct.unpack("<I", head[4:])[0] if len(head) == 8 else None


def _promised_by_sphere(head: bytes) -> int | None:
    """Header plus samples of an uncompressed SPHERE file; None if a field is missing or malformed."""
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
    """libsndfile's message in one line, without the path that the caller names already."""
    return str(getattr(error, "error_string", error)).strip().rstrip(".").replace("\n", " ")
