"""`probe sample`: WAV files drawn from the prior, and reconstructions."""

from pathlib import Path

import numpy as np
import pytest
import soundfile

from lvm_probe.probing.corpora.demo import CORPUS
from tests.app.conftest import Probe, Refusal

RECORDING = min(CORPUS.rglob("*.FLAC"))


def test_samples_have_the_requested_length_and_repeat_with_the_seed(tiny: Path, probe: Probe, tmp_path: Path) -> None:
    result = probe("sample", "--ckpt", tiny, "--seconds", "0.25", "--count", "2", "--out", tmp_path / "a")
    assert result["wrote"] == [str(tmp_path / "a" / f"sample-{i}.wav") for i in (1, 2)]
    first, rate = soundfile.read(result["wrote"][0], dtype="int16")
    second, _ = soundfile.read(result["wrote"][1], dtype="int16")
    assert (rate, len(first), len(second)) == (16_000, 4_000, 4_000)
    assert first.std() > 0
    assert not np.array_equal(first, second)
    again = probe("sample", "--ckpt", tiny, "--seconds", "0.25", "--count", "2", "--out", tmp_path / "b")
    assert np.array_equal(soundfile.read(again["wrote"][0], dtype="int16")[0], first)
    other = probe("sample", "--ckpt", tiny, "--seconds", "0.25", "--count", "2", "--out", tmp_path / "b", "--seed", 1)
    assert not np.array_equal(soundfile.read(other["wrote"][0], dtype="int16")[0], first)


def test_a_reconstruction_is_written_beside_its_recording(probe: Probe, tmp_path: Path) -> None:
    result = probe("sample", "--ckpt", "cwvae-small", "--reconstruct", RECORDING, "--out", tmp_path)
    names = [Path(path).name for path in result["wrote"]]
    assert names == [f"{RECORDING.stem}{end}.wav" for end in ("", "-reconstructed", "-drawn")]
    recording, centre, drawn = (soundfile.read(path)[0] for path in result["wrote"])
    assert recording.shape == centre.shape == drawn.shape
    original, _ = soundfile.read(RECORDING)
    assert np.array_equal(recording, original)
    # The expectation of a trained model follows speech; the quiet noise of a recording hardly affects a correlation.
    assert np.corrcoef(recording, centre)[0, 1] > 0.8


def test_a_reconstruction_replaces_no_recording(tiny: Path, tmp_path: Path, refused: Refusal) -> None:
    for name in ("a/x.wav", "b/x.wav", "b/x-drawn.wav"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        soundfile.write(tmp_path / name, np.zeros(800), 22_050, "PCM_24")
    (tmp_path / "linked").symlink_to(tmp_path / "a")
    recordings = {path: path.read_bytes() for path in tmp_path.rglob("*.wav")}
    for names, out, says in (
        (["a/x.wav"], "a", "a/x.wav: would be replaced by what is written; choose another --out"),
        (["a/x.wav"], "linked", "a/x.wav: would be replaced"),
        (["a/x.wav", "b/x-drawn.wav"], "b", "b/x-drawn.wav: would be replaced"),
        (["a/x.wav", "b/x.wav"], "out", "b/x.wav: two recordings would be written as x.wav; reconstruct this"),
        (["a/x.wav", "b/x-drawn.wav"], "out", "b/x-drawn.wav: two recordings would be written as x-drawn.wav"),
    ):
        given = [word for name in names for word in ("--reconstruct", tmp_path / name)]
        assert says in refused("sample", "--ckpt", tiny, "--out", tmp_path / out, *given)
    assert {path: path.read_bytes() for path in tmp_path.rglob("*.wav")} == recordings


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
