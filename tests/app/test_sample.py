"""`probe sample`: WAV files from the prior, and what a model makes of a recording."""

from pathlib import Path

import numpy as np
import pytest
import soundfile

from lvm_probe.probing.corpora.demo import CORPUS
from tests.app.conftest import Probe, Refusal

RECORDING = min(CORPUS.rglob("*.FLAC"))


def test_samples_are_wav_files_of_the_length_asked_for_and_repeat_by_seed(
    tiny: Path, probe: Probe, tmp_path: Path
) -> None:
    said = probe("sample", "--ckpt", tiny, "--seconds", "0.25", "--count", "2", "--out", tmp_path / "a")
    assert said["wrote"] == [str(tmp_path / "a" / f"sample-{i}.wav") for i in (1, 2)]
    first, rate = soundfile.read(said["wrote"][0], dtype="int16")
    second, _ = soundfile.read(said["wrote"][1], dtype="int16")
    assert (rate, len(first), len(second)) == (16_000, 4_000, 4_000)
    assert first.std() > 0
    assert not np.array_equal(first, second)
    again = probe("sample", "--ckpt", tiny, "--seconds", "0.25", "--count", "2", "--out", tmp_path / "b")
    assert np.array_equal(soundfile.read(again["wrote"][0], dtype="int16")[0], first)
    other = probe("sample", "--ckpt", tiny, "--seconds", "0.25", "--count", "2", "--out", tmp_path / "b", "--seed", 1)
    assert not np.array_equal(soundfile.read(other["wrote"][0], dtype="int16")[0], first)


def test_a_reconstruction_lies_beside_its_recording(probe: Probe, tmp_path: Path) -> None:
    said = probe("sample", "--ckpt", "cwvae-small", "--reconstruct", RECORDING, "--out", tmp_path)
    names = [Path(path).name for path in said["wrote"]]
    assert names == [f"{RECORDING.stem}{end}.wav" for end in ("", "-reconstructed", "-drawn")]
    recording, centre, drawn = (soundfile.read(path)[0] for path in said["wrote"])
    assert recording.shape == centre.shape == drawn.shape
    original, _ = soundfile.read(RECORDING)
    assert np.array_equal(recording, original)
    # A trained model's expectation follows speech; on the waveform's own axis quiet noise weighs nothing.
    assert np.corrcoef(recording, centre)[0, 1] > 0.8


@pytest.mark.parametrize(
    ("more", "says"),
    [
        (["--seconds", "0"], "--seconds 0"),
        (["--seconds", "1e9"], "--seconds 1"),
        (["--count", "0"], "--count 0"),
        (["--reconstruct", "nowhere.wav"], "nowhere.wav: no such audio file"),
    ],
)
def test_bad_options(more: list[str], says: str, tiny: Path, tmp_path: Path, refused: Refusal) -> None:
    out = tmp_path / "out"
    assert says in refused("sample", "--ckpt", tiny, "--out", out, *more)
    assert not out.exists()
