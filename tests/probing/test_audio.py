"""Reading audio: exact where it can be, one clear line where it cannot."""

import struct
import tracemalloc
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
from hypothesis import given
from hypothesis import strategies as st

from lvm_probe import InputError
from lvm_probe.probing.corpora.audio import read_audio, read_audio_header, resample_segment
from lvm_probe.probing.corpora.corpus import Segment, Speaker, Utterance
from tests.probing.miniature import tone

RAMP = np.arange(-32768, 32768, 4, dtype=np.int16)


def utterance(path: Path, samples: int = len(RAMP), rate: int = 16000) -> Utterance:
    return Utterance("u", Speaker("s"), path, samples, rate)


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("a.wav", {"subtype": "PCM_16"}),
        ("a.flac", {"subtype": "PCM_16"}),
        ("A.WAV", {"format": "NIST", "subtype": "PCM_16"}),
        ("deep.wav", {"subtype": "PCM_24"}),
        ("deep.flac", {"subtype": "PCM_24"}),
        ("real.wav", {"subtype": "FLOAT"}),
    ],
)
def test_sixteen_bits_come_back_exactly(tmp_path: Path, name: str, options: dict[str, Any]) -> None:
    path = tmp_path / name
    wave = RAMP / 32768 if options["subtype"] == "FLOAT" else RAMP
    soundfile.write(str(path), wave, 16000, **options)
    assert read_audio_header(path) == (len(RAMP), 16000, 1, False)
    audio = read_audio(utterance(path), 16000)
    assert audio.dtype == np.float32
    # 16-bit integers and their division by 2**15 are exact in float32.
    np.testing.assert_array_equal(audio * 32768, RAMP)


def test_deeper_audio_is_rounded_and_clipped(tmp_path: Path) -> None:
    levels = np.array([0.4, 0.6, -0.6, 40000, -40000])
    soundfile.write(str(tmp_path / "a.wav"), levels / 32768, 16000, subtype="DOUBLE")
    audio = read_audio(utterance(tmp_path / "a.wav", len(levels)), 16000)
    np.testing.assert_array_equal(audio * 32768, [0, 1, -1, 32767, -32768])


@pytest.mark.parametrize("name", ["a.mp3", "a.ogg"])
def test_lossy_audio_is_read(tmp_path: Path, name: str) -> None:
    path = tone(tmp_path / name, 16000)
    header = read_audio_header(path)
    audio = read_audio(utterance(path, header.samples), 16000)
    # The sine has amplitude 12000/32768; the codecs keep its power to well within a tenth.
    assert np.sqrt(2 * np.mean(audio**2)) == pytest.approx(12000 / 32768, rel=0.1)


def test_resampling_keeps_pitch_and_range(tmp_path: Path) -> None:
    rate, hertz = 22050, 441
    wave = np.sign(np.sin(2 * np.pi * hertz * np.arange(rate) / rate))  # a square wave overshoots when filtered
    soundfile.write(str(tmp_path / "a.wav"), wave, rate)
    audio = read_audio(utterance(tmp_path / "a.wav", rate, rate), 16000)
    assert audio.shape == (16000,)
    assert audio.dtype == np.float32
    assert audio.min() >= -1
    assert audio.max() < 1
    assert np.abs(np.fft.rfft(audio)).argmax() == hertz  # one second: bins are hertz


def _cut(path: Path, keep: float = 0.5) -> None:
    path.write_bytes(path.read_bytes()[: int(path.stat().st_size * keep)])


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("a.wav", {}),
        ("a.flac", {}),
        ("a.mp3", {}),
        ("A.WAV", {"format": "NIST", "subtype": "PCM_16"}),
    ],
)
def test_truncated_audio_is_named(tmp_path: Path, name: str, options: dict[str, Any]) -> None:
    path = tone(tmp_path / name, len(RAMP), **options)
    _cut(path)
    with pytest.raises(InputError, match=f"{name}.*(truncated|damaged)"):
        read_audio(utterance(path), 16000)


def test_a_header_that_promises_gigabytes_is_not_believed(tmp_path: Path) -> None:
    wav, flac = tone(tmp_path / "a.wav", len(RAMP)), tone(tmp_path / "a.flac", len(RAMP))
    raw = wav.read_bytes()
    at = raw.index(b"data") + 4
    wav.write_bytes(raw[:at] + struct.pack("<I", 0xFFFFFFF0) + raw[at + 4 :])
    stream = bytearray(flac.read_bytes())
    stream[8 + 13] |= 0x0F  # the high bits of STREAMINFO's number of samples
    flac.write_bytes(bytes(stream))
    tracemalloc.start()
    for path in (wav, flac):
        with pytest.raises(InputError, match="truncated: its header promises"):
            read_audio(utterance(path), 16000)
    assert tracemalloc.get_traced_memory()[1] < 10_000_000
    tracemalloc.stop()


def test_bad_audio_gives_one_line(tmp_path: Path) -> None:
    real = np.zeros(100)
    real[7] = np.nan
    soundfile.write(str(tmp_path / "nan.wav"), real, 16000, subtype="FLOAT")
    soundfile.write(str(tmp_path / "loud.wav"), np.full(100, 9000.0), 16000, subtype="FLOAT")
    soundfile.write(str(tmp_path / "none.wav"), np.zeros(0), 16000)
    (tmp_path / "zero.wav").write_bytes(b"")
    (tmp_path / "junk.wav").write_bytes(b"not audio at all")
    tone(tmp_path / "two.wav", 100, channels=2)
    tone(tmp_path / "odd.wav", 100, rate=15999)
    messages = {
        "nan.wav": "not finite",
        "loud.wav": "full scale is 1",
        "none.wav": "contains no samples",
        "zero.wav": "empty",
        "junk.wav": "unreadable",
        "two.wav": "2 channels",
        "odd.wav": "15999 Hz",
        "gone.wav": "no such audio",
    }
    for name, words in messages.items():
        rate = 15999 if name == "odd.wav" else 16000
        with pytest.raises(InputError, match=words) as caught:
            read_audio(utterance(tmp_path / name, 100, rate), 16000)
        assert str(caught.value).startswith(f"{tmp_path / name}: ")
        assert "\n" not in str(caught.value)


def test_audio_that_changed_is_noticed(tmp_path: Path) -> None:
    path = tone(tmp_path / "a.wav", 200)
    with pytest.raises(InputError, match="when the corpus was opened"):
        read_audio(utterance(path, 100), 16000)


@given(st.integers(0, 10**6), st.integers(1, 10**5), st.integers(0, 10**5), st.sampled_from([8000, 22050, 44100]))
def test_positions_at_another_rate(start: int, length: int, rest: int, rate: int) -> None:
    segment = Segment("a", start, start + length)
    total = start + length + rest
    moved = resample_segment(segment, rate, 16000)
    assert moved.end <= -(-total * 16000 // rate)  # read_audio gives this many samples: the ceiling
    assert abs(moved.end - segment.end * 16000 / rate) <= 1
    assert abs(moved.start - segment.start * 16000 / rate) <= 1.5
    assert resample_segment(segment, rate, rate) == segment


def test_real_timit_in_both_layouts_has_the_same_samples(timit_sample: Path, timit_ldc: Path) -> None:
    riff, sphere = (
        timit_sample / "dr1-fvmh0" / "sx116.wav",
        timit_ldc / "TRAIN" / "DR1" / "FVMH0" / "SX116.WAV",
    )
    header = read_audio_header(sphere)
    assert header == read_audio_header(riff)
    one, other = (read_audio(utterance(path, header.samples), 16000) for path in (riff, sphere))
    np.testing.assert_array_equal(one, other)
