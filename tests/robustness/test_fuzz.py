"""Every reader accepts a damaged file or refuses it in one line (`benchmarks/fuzz.py`); cases that once failed."""

import contextlib
import json
import resource
import struct
import tracemalloc
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
import torch
from safetensors.torch import load_file, save_file

from benchmarks import fuzz
from lvm_probe import InputError
from lvm_probe.models.checkpoints import checkpoint
from lvm_probe.models.io.files import write_json
from lvm_probe.models.registry import FAMILIES, config_to_dict, family, preset
from lvm_probe.probing.corpora.audio import check_resampling, read_audio_header
from lvm_probe.probing.corpora.recordings import read_pcm_file
from lvm_probe.probing.corpora.registry import LAYOUTS
from lvm_probe.probing.features import token_table

INPUTS = 60
"""Per reader; `benchmarks/fuzz.py` does many more."""

GIGABYTES = 2**31


@pytest.fixture(scope="module")
def readers(tmp_path_factory: pytest.TempPathFactory) -> dict[str, fuzz.Reader]:
    return {reader.name: reader for reader in fuzz.readers(tmp_path_factory.mktemp("fuzz"))}


def test_damaged_files_are_read_or_refused(readers: dict[str, fuzz.Reader]) -> None:
    layouts = {name.split()[0] for name in readers if " " in name}
    assert layouts == set(LAYOUTS)
    for reader in readers.values():
        if reader.name == "mp3":  # libmpg123 crashes on some of them
            continue
        for seed in reader.seeds:
            reader.path.write_bytes(seed)
            reader.read()
        outcomes = {fuzz.attempt(reader, 0, index) for index in range(INPUTS)}
        assert outcomes <= {"read", "refused"}
        reader.path.write_bytes(reader.seeds[0])
        reader.read()


# Files that claim to be huge


@pytest.fixture
def little_memory() -> Iterator[None]:
    """Limit the address space to half a gigabyte more than the process has."""
    before = resource.getrlimit(resource.RLIMIT_AS)
    now = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (now + 2**29, before[1]))
    yield
    resource.setrlimit(resource.RLIMIT_AS, before)


def sphere(samples: int = 8000, **fields: str) -> bytes:
    header = {
        "sample_count": f"-i {samples}",
        "sample_rate": "-i 16000",
        "channel_count": "-i 1",
        "sample_n_bytes": "-i 2",
    }
    header |= {"sample_byte_format": "-s2 01", "sample_sig_bits": "-i 16", "sample_coding": "-s3 pcm"} | fields
    head = "NIST_1A\n   1024\n" + "".join(f"{name} {value}\n" for name, value in header.items()) + "end_head\n"
    return head.encode().ljust(1024) + bytes(16_000)


def wav(size: int) -> bytes:
    chunk = struct.pack("<4sIHHIIHH", b"fmt ", 16, 1, 1, 16_000, 32_000, 2, 16)
    return b"RIFF" + struct.pack("<I", 36 + size) + b"WAVE" + chunk + b"data" + struct.pack("<I", size) + bytes(16_000)


def flac(path: Path, samples: int) -> bytes:
    soundfile.write(str(path), np.arange(8000, dtype=np.int16), 16_000)
    content = bytearray(path.read_bytes())
    (packed,) = struct.unpack(">Q", content[18:26])  # 36 low bits of STREAMINFO's second half are the number of samples
    content[18:26] = struct.pack(">Q", packed >> 36 << 36 | samples)
    return bytes(content)


@pytest.mark.parametrize("kind", ["sphere", "wav", "flac"])
def test_audio_that_promises_two_gigabytes(kind: str, tmp_path: Path, little_memory: None) -> None:
    path = tmp_path / {"sphere": "A.WAV", "wav": "a.wav", "flac": "a.flac"}[kind]
    good, promising = {
        "sphere": lambda: (sphere(), sphere(GIGABYTES // 2)),
        "wav": lambda: (wav(16_000), wav(GIGABYTES)),
        "flac": lambda: (flac(path, 8000), flac(path, GIGABYTES // 2)),
    }[kind]()
    path.write_bytes(good)
    assert len(read_pcm_file(path, 16_000)) == 8000
    path.write_bytes(promising)
    tracemalloc.start()
    with pytest.raises(InputError, match=f"{path.name}: truncated: its header promises"):
        read_pcm_file(path, 16_000)
    assert tracemalloc.get_traced_memory()[1] < 1_000_000  # the file is 17 kB, and so little is read of it
    tracemalloc.stop()


def test_a_textgrid_that_promises_two_thousand_million_intervals(
    readers: dict[str, fuzz.Reader], little_memory: None
) -> None:
    reader = readers["textgrid .textgrid"]
    short, long, *_ = reader.seeds
    for content in (
        short.replace(b"0.5\n4\n", b"0.5\n2000000000\n"),
        long.replace(b"size = 4", b"size = 2000000000"),
    ):
        assert b"2000000000" in content
        reader.path.write_bytes(content)
        with pytest.raises(InputError, match="declares 2000000000 intervals but has 4"):
            reader.read()
    reader.path.write_bytes(short)


@pytest.mark.parametrize("name", ["timit .phn", "timit .wrd", "textgrid .textgrid", "lab .lab"])
def test_an_annotation_of_gigabytes(name: str, readers: dict[str, fuzz.Reader], little_memory: None) -> None:
    reader = readers[name]
    with reader.path.open("wb") as file:
        file.truncate(4 * GIGABYTES)  # a sparse file: it takes no space on disk
    with pytest.raises(InputError, match=f"{reader.path.name}: 8,589,934,592 bytes are too many for an annotation"):
        reader.read()
    reader.path.write_bytes(reader.seeds[0])


def test_a_rate_that_would_make_hours_of_seconds(tmp_path: Path, little_memory: None) -> None:
    """Found by fuzzing: half a second with a rate of 1 Hz in its header became two hours at 16,000 Hz."""
    for rate in (1, 7, 100):
        (tmp_path / "A.WAV").write_bytes(sphere(sample_rate=f"-i {rate}"))
        assert read_audio_header(tmp_path / "A.WAV").sample_rate == rate
        with pytest.raises(InputError, match=f"A.WAV: resampling from {rate} Hz to 16000 Hz is not supported"):
            read_pcm_file(tmp_path / "A.WAV", 16_000)
    for rate in (250, 8000, 11_025, 44_100, 48_000, 192_000):
        check_resampling(tmp_path, rate, 16_000)


def test_audio_whose_reader_comes_out_past_its_end(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Found by fuzzing an MP3: soundfile then asks NumPy for a negative number of samples."""

    def negative(*args: object, **options: object) -> None:
        np.empty(-1)

    for path in (tmp_path / "a.wav", tmp_path / "a.flac"):
        soundfile.write(str(path), np.zeros(100), 16_000)
        with monkeypatch.context() as patch:
            patch.setattr(soundfile.SoundFile, "read", negative)
            with pytest.raises(InputError, match=f"{path.name}: (damaged|truncated)"):
                read_pcm_file(path, 16_000)
        assert len(read_pcm_file(path, 16_000)) == 100


@pytest.fixture
def saved(tmp_path: Path) -> Path:
    path = tmp_path / "m.safetensors"
    checkpoint.save(path, family("cwvae").seeded(preset("cwvae", "tiny").config, 0), {"corpus": "none"})
    return path


def reheaded(path: Path, **metadata: Any) -> None:
    """The same tensors under other metadata."""
    text = {"format": checkpoint.FORMAT, "family": "cwvae", "provenance": "{}"}
    text["config"] = json.dumps(config_to_dict(preset("cwvae", "tiny").config))
    save_file(load_file(path), path, metadata=text | metadata)


def test_a_checkpoint_that_promises_two_gigabytes(saved: Path, little_memory: None) -> None:
    content = saved.read_bytes()
    for size in (GIGABYTES, 2**40, 2**63):
        saved.write_bytes(struct.pack("<Q", size) + content[8:])
        with pytest.raises(InputError, match="not a complete safetensors file"):
            checkpoint.load(saved)
    head = {"w": {"dtype": "F32", "shape": [GIGABYTES // 4], "data_offsets": [0, GIGABYTES]}}
    text = json.dumps(head).encode()
    saved.write_bytes(struct.pack("<Q", len(text)) + text + bytes(1000))
    with pytest.raises(InputError, match="not a complete safetensors file"):
        checkpoint.load(saved)


@pytest.mark.parametrize("name", FAMILIES)
def test_a_configuration_that_wants_gigabytes(name: str, tmp_path: Path, little_memory: None) -> None:
    """It is compared with the tensors that are there before anything is allocated or built a billion times."""
    path, config = tmp_path / "m.safetensors", preset(name, "tiny").config
    checkpoint.save(path, family(name).seeded(config, 0), {})
    values = config_to_dict(config)
    sizes = [
        key for key, value in values.items() if isinstance(value, int | list | tuple) and not isinstance(value, bool)
    ]
    for key in sizes:
        for number in (10**5, 10**9, 2**62, 10**30):
            value = number if isinstance(values[key], int) else [*values[key][:-1], number]
            reheaded(path, family=name, config=json.dumps(values | {key: value}))
            with contextlib.suppress(InputError):  # not all of them make the model larger
                checkpoint.load(path)


def test_metadata_that_is_not_what_it_was(saved: Path) -> None:
    for metadata in (
        {"format": "a\nb"},
        {"config": "[" * 100_000},
        {"config": '{"layers": ' + "9" * 5000 + "}"},
        {"provenance": "[]"},
        {"provenance": "3"},
        {"provenance": "[" * 100_000},
    ):
        reheaded(saved, **metadata)
        with pytest.raises(InputError, match="m.safetensors: (its metadata cannot be read|not a checkpoint)") as caught:
            checkpoint.load(saved)
        assert "\n" not in str(caught.value)


@pytest.mark.parametrize("dtype", [torch.int8, torch.bool, torch.float8_e4m3fn])
def test_weights_of_another_kind(saved: Path, dtype: torch.dtype) -> None:
    tensors = load_file(saved)
    first = sorted(tensors)[0]
    save_file(tensors | {first: tensors[first].to(dtype)}, saved, metadata={
        "format": checkpoint.FORMAT, "family": "cwvae", "provenance": "{}",
        "config": json.dumps(config_to_dict(preset("cwvae", "tiny").config)),
    })  # fmt: skip
    with pytest.raises(InputError, match=f"tensor '{first}' is of type {dtype}"):
        checkpoint.load(saved)


# Tables


@pytest.mark.parametrize(
    "changes",
    [
        {"parts": True},
        {"parts": 0},
        {"parts": -1},
        {"parts": 10**40},
        {"features": {"z1": "3"}},
        {"features": {"z1": 0}},
        {"features": {"z1": -3}},
        {"features": {"z1": 2.5}},
        {"features": {"z1": 10**12}},
        {"features": {"label": 3}},
        {"checkpoint": [1]},
        {"corpus": "timit"},
        {"added": {"z1": 1}},
    ],
)
def test_an_extraction_file_of_another_kind(changes: dict[str, Any], tmp_path: Path) -> None:
    write_json(tmp_path / token_table.EXTRACTION, {"parts": 1, "features": {"z1": 3}} | changes)
    with pytest.raises(InputError, match="_extraction.json: not what `probe extract` writes"):
        token_table.load(tmp_path)


def test_a_hundred_million_parts_are_missing_at_once(tmp_path: Path) -> None:
    write_json(tmp_path / token_table.EXTRACTION, {"parts": 10**8, "features": {"z1": 3}})
    (tmp_path / "part-000000.parquet").touch()  # no name of a part
    (tmp_path / "part-00007.parquet").touch()
    with pytest.raises(InputError, match="99999999 of 100000000 parts are missing"):
        token_table.load(tmp_path)


def test_deep_nesting_is_no_table(tmp_path: Path) -> None:
    (tmp_path / token_table.EXTRACTION).write_text("[" * 100_000)
    with pytest.raises(InputError, match="_extraction.json: unreadable"):
        token_table.load(tmp_path)


def test_text_in_a_part_that_is_not_utf_8(readers: dict[str, fuzz.Reader]) -> None:
    """Found by fuzzing: Parquet does not check that strings are UTF-8."""
    reader = readers["part"]
    content = reader.seeds[0]
    assert content.count(b"U:19") > 0
    reader.path.write_bytes(content.replace(b"U:19", b"\xff:19"))
    with pytest.raises(InputError, match="part-00000.parquet: this part cannot be read .*UTF"):
        reader.read()
