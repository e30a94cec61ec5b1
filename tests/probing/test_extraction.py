import multiprocessing
import os
import shutil
import signal
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import soundfile
import torch

from lvm_probe import InputError
from lvm_probe.analysis.mel import log_mel
from lvm_probe.models.checkpoints import checkpoint
from lvm_probe.models.checkpoints.checkpoint import Checkpoint
from lvm_probe.models.families.cwvae import CWVAE
from lvm_probe.models.io.files import UNFINISHED, write_json
from lvm_probe.models.model import SpeechModel
from lvm_probe.models.registry import FAMILIES, preset
from lvm_probe.probing import parallel
from lvm_probe.probing.corpora import open_corpus
from lvm_probe.probing.corpora.audio import FULL_SCALE, read_audio
from lvm_probe.probing.corpora.corpus import Corpus, Segment, Speaker, Utterance
from lvm_probe.probing.corpora.demo import CORPUS
from lvm_probe.probing.corpora.recordings import UnreadableRecording
from lvm_probe.probing.features import extraction, token_table
from lvm_probe.probing.features.encoders import Encoder, EncoderSource
from lvm_probe.probing.features.extraction import Mel, Settings, extract
from lvm_probe.probing.features.pooling import LOG_FLOOR
from lvm_probe.probing.features.sources import ModelSource
from tests.probing import miniature, reference_pooling

LATENTS = ["z1", "z1_var", "z1_logms", "z2", "z2_var", "z2_logms"]


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Checkpoint:
    """A tiny model whose random weights are larger than usual, so that its latents do depend on the audio."""
    path = tmp_path_factory.mktemp("checkpoint") / "tiny.safetensors"
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(7)
        model = CWVAE(preset("cwvae", "tiny").config)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter *= 1.5
    checkpoint.save(path, model, {"corpus": "noise"})
    return checkpoint.load(path)


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Corpus:
    return open_corpus(miniature.timit_nltk(tmp_path_factory.mktemp("corpus") / "timit"))


@pytest.fixture
def small_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(extraction, "part_size", lambda utterances: 1)


def only(corpus: Corpus, *ids: str) -> Corpus:
    return replace(corpus, utterances=tuple(u for u in corpus.utterances if u.id in ids))


def frame_of(folder: Path) -> pd.DataFrame:
    return pd.read_parquet(folder).set_index("token_id")


def array(frame: pd.DataFrame, feature: str) -> np.ndarray:
    return np.stack(list(frame[feature]))


def features(
    model: SpeechModel, utterance: Utterance, segments: Sequence[Segment], settings: Settings, memory_gb: float = 1.0
) -> dict[str, np.ndarray]:
    return extraction.features(ModelSource(model, settings, memory_gb), utterance, segments, settings)


def contents(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir() if path.name != token_table.EXTRACTION}


def test_every_segment_is_a_row_and_silences_are_too(tiny: Checkpoint, corpus: Corpus, tmp_path: Path) -> None:
    result = extract(tiny, corpus, tmp_path / "t", Settings(draws=2))
    frame = pd.read_parquet(tmp_path / "t")
    assert result.tokens == {"phoneme": 4 * len(miniature.PHONES)} == {"phoneme": len(frame)}
    assert result.features == {"z1": 8, "z1_var": 8, "z1_logms": 8, "z2": 4, "z2_var": 4, "z2_logms": 4, "mel": 80}
    assert (result.parts_done, result.parts, result.left_out) == (1, 1, ())
    assert result.audio_seconds == pytest.approx(2.0)
    one = frame[frame["utterance"] == "FVMH0_SX116"]
    found = list(zip(one["start"], one["end"], one["label"], strict=True))
    assert found == miniature.PHONES
    assert frame["token_id"].is_unique
    row = one.iloc[1]
    assert (row["speaker"], row["gender"], row["unit"], row["sample_rate"]) == ("FVMH0", "F", "phoneme", 16000)
    assert row["height_cm"] == pytest.approx(165.1)
    assert row["prompt"] == "SX116"
    assert np.isnan(row["age"])


@pytest.mark.parametrize(
    ("units", "rows"),
    [(("word",), 8), (("utterance",), 4), (("word", "phoneme", "utterance"), 32), (("word", "word"), 8)],
)
def test_units(tiny: Checkpoint, corpus: Corpus, tmp_path: Path, units: tuple[str, ...], rows: int) -> None:
    result = extract(tiny, corpus, tmp_path / "t", Settings(draws=1, units=units))
    frame = frame_of(tmp_path / "t")
    assert sum(result.tokens.values()) == len(frame) == rows
    assert frame.index.is_unique
    assert set(frame["unit"]) == set(units)
    whole = frame[frame["unit"] == "utterance"]
    assert (whole["start"] == 0).all()
    assert (whole["end"] == miniature.SAMPLES).all()


def test_extraction_json_says_how_the_table_was_made(tiny: Checkpoint, corpus: Corpus, tmp_path: Path) -> None:
    settings = Settings(draws=3, estimator="posterior-mean", seed=5)
    extract(tiny, corpus, tmp_path / "t", settings, versions={"torch": "2"})
    said = token_table.read_extraction(tmp_path / "t")
    assert said["checkpoint"]["sha256"] == tiny.sha256
    assert said["model"]["family"] == "cwvae"
    assert said["model"]["strides"] == [64, 512]
    assert said["corpus"]["fingerprint"] == corpus.fingerprint()
    assert (said["samples"], said["estimator"], said["seed"]) == (3, "posterior-mean", 5)
    assert said["mel"] == {"bins": 80, "window": 256, "n_fft": 512, "hop": 64}
    assert said["versions"] == {"torch": "2"}


@pytest.mark.parametrize("estimator", ["sample", "posterior-mean"])
def test_latents_are_those_of_one_slow_pass_a_sample(tiny: Checkpoint, corpus: Corpus, estimator: Any) -> None:
    utterance = corpus.utterances[0]
    pcm = (read_audio(utterance, 16000) * FULL_SCALE).astype(np.int16)
    segments = [*utterance.phonemes, Segment("short", 700, 710), Segment("end", 7990, 8000)]
    settings = Settings(draws=5, estimator=estimator, seed=3)
    found = features(tiny.model, utterance, segments, settings)
    expected = reference_pooling.latents(tiny.model, utterance.id, pcm, segments, 5, estimator, 3, LOG_FLOOR)
    for name in LATENTS:
        # Single precision, in batches of another size; a variance is a difference of such numbers, squared.
        np.testing.assert_allclose(found[name], expected[name], rtol=1e-3, atol=1e-5 if "_var" not in name else 1e-9)


@pytest.mark.parametrize("family", ["vrnn", "srnn"])
def test_latents_of_every_family_are_those_of_one_slow_pass_a_sample(family: str, corpus: Corpus) -> None:
    model = FAMILIES[family].seeded(preset(family, "tiny").config, 3).eval()
    utterance = corpus.utterances[0]
    pcm = (read_audio(utterance, 16000) * FULL_SCALE).astype(np.int16)
    segments = [*utterance.phonemes, Segment("end", 7990, 8000)]
    settings = Settings(draws=4, estimator="sample")
    assert extraction.feature_sizes(ModelSource(model, settings), settings) == {
        "z1": 8,
        "z1_var": 8,
        "z1_logms": 8,
        "mel": 80,
    }
    found = features(model, utterance, segments, settings, memory_gb=1e-9)  # one sample at a time
    expected = reference_pooling.latents(model, utterance.id, pcm, segments, 4, "sample", 0, LOG_FLOOR)
    for name in LATENTS[:3]:
        np.testing.assert_allclose(found[name], expected[name], rtol=1e-3, atol=1e-5 if "_var" not in name else 1e-9)


def test_a_model_without_latents_gives_its_states(corpus: Corpus) -> None:
    model = FAMILIES["lstm"].seeded(preset("lstm", "tiny").config, 3).eval()
    utterance = corpus.utterances[0]
    pcm = (read_audio(utterance, 16000) * FULL_SCALE).astype(np.int16)
    found = features(model, utterance, utterance.phonemes, Settings(draws=4))
    assert found.keys() == extraction.feature_sizes(ModelSource(model), Settings()).keys() == {"h1", "mel"}
    with torch.no_grad():
        (states,) = model.encode(model.pad(torch.from_numpy(pcm)[None]), torch.tensor([len(pcm)]))
    for row, segment in zip(found["h1"], utterance.phonemes, strict=True):
        expected = reference_pooling.pooled_mean(states[:, 0].numpy(), segment, model.stride)
        np.testing.assert_allclose(row, expected, rtol=1e-4, atol=1e-6)  # single precision


def test_mel_is_pooled_from_frames_on_the_grid_of_the_lowest_layer(tiny: Checkpoint, corpus: Corpus) -> None:
    utterance = corpus.utterances[1]
    wave = read_audio(utterance, 16000)
    settings = Settings(draws=1, mel=Mel(bins=40, window=400))
    found = features(tiny.model, utterance, utterance.phonemes, settings)["mel"]
    frames = log_mel(wave, sample_rate=16000, hop=64, window=400, bins=40)
    for row, segment in zip(found, utterance.phonemes, strict=True):
        expected = reference_pooling.pooled_mean(frames, segment, 64)
        np.testing.assert_allclose(row, expected, rtol=1e-4, atol=1e-4)


def test_posterior_means_vary_less_than_samples(tiny: Checkpoint, corpus: Corpus) -> None:
    utterance = corpus.utterances[0]
    by = {
        estimator: features(tiny.model, utterance, utterance.phonemes, Settings(draws=20, estimator=estimator))
        for estimator in ("sample", "posterior-mean")
    }
    for name in ("z1_var", "z2_var"):
        assert by["posterior-mean"][name].mean() < 0.5 * by["sample"][name].mean()
    for name in ("z1", "z2"):  # the same expectation: within 6 standard errors of the noisier one
        gap = np.abs(by["posterior-mean"][name] - by["sample"][name])
        assert (gap < 6 * np.sqrt(by["sample"][name + "_var"] + by["posterior-mean"][name + "_var"])).all()


def test_the_variance_is_that_of_the_mean(tiny: Checkpoint, corpus: Corpus) -> None:
    utterance = corpus.utterances[0]
    runs = [features(tiny.model, utterance, utterance.phonemes, Settings(draws=8, seed=seed)) for seed in range(40)]
    for name in ("z1", "z2"):
        over_runs = np.var([run[name] for run in runs], axis=0, ddof=1).mean()
        said = np.mean([run[name + "_var"] for run in runs])
        # 40 runs of some 40 numbers: the ratio is within 15 % or so.
        assert 0.6 < said / over_runs < 1.6


def test_one_sample_has_no_variance(tiny: Checkpoint, corpus: Corpus, tmp_path: Path) -> None:
    extract(tiny, only(corpus, "FVMH0_SA1"), tmp_path / "t", Settings(draws=1))
    loaded = token_table.load(tmp_path / "t")
    assert np.isnan(loaded.features["z1_var"]).all()
    assert np.isnan(loaded.features["z2_var"]).all()
    assert np.isfinite(loaded.features["z1"]).all()


def test_a_row_is_the_same_in_any_company(tiny: Checkpoint, corpus: Corpus, tmp_path: Path) -> None:
    extract(tiny, corpus, tmp_path / "all", Settings(draws=3))
    extract(tiny, only(corpus, "MCPM0_SX116"), tmp_path / "one", Settings(draws=3))
    everything, alone = frame_of(tmp_path / "all"), frame_of(tmp_path / "one")
    for name in (*LATENTS, "mel"):
        np.testing.assert_array_equal(array(everything.loc[alone.index], name), array(alone, name))


def test_neither_units_nor_memory_change_a_row(tiny: Checkpoint, corpus: Corpus, tmp_path: Path) -> None:
    settings = Settings(draws=7)
    extract(tiny, corpus, tmp_path / "a", settings)
    extract(tiny, corpus, tmp_path / "b", settings, memory_gb=1e-9)  # one sample at a time
    extract(tiny, corpus, tmp_path / "c", replace(settings, units=("word", "phoneme")), memory_gb=1e-3)
    frames = [frame_of(tmp_path / name) for name in "abc"]
    for name in (*LATENTS, "mel"):
        for other in frames[1:]:
            np.testing.assert_allclose(array(other.loc[frames[0].index], name), array(frames[0], name), atol=1e-5)


def test_another_seed_gives_other_latents_and_the_same_mel(tiny: Checkpoint, corpus: Corpus, tmp_path: Path) -> None:
    torch.manual_seed(0)
    extract(tiny, corpus, tmp_path / "a", Settings(draws=2))
    torch.manual_seed(1)  # the global generator is not asked
    extract(tiny, corpus, tmp_path / "again", Settings(draws=2))
    extract(tiny, corpus, tmp_path / "b", Settings(draws=2, seed=1))
    assert contents(tmp_path / "a") == contents(tmp_path / "again")
    a, b = frame_of(tmp_path / "a"), frame_of(tmp_path / "b")
    assert (array(a, "z1") != array(b, "z1")).any(axis=1).all()
    np.testing.assert_array_equal(array(a, "mel"), array(b, "mel"))


def test_what_is_done_is_not_done_again(tiny: Checkpoint, corpus: Corpus, tmp_path: Path, small_parts: None) -> None:
    first = extract(tiny, corpus, tmp_path / "t", Settings(draws=2))
    before = contents(tmp_path / "t")
    heard: list[float] = []
    second = extract(tiny, corpus, tmp_path / "t", Settings(draws=2), progress=heard.append)
    assert (first.parts_done, second.parts_done, second.parts) == (4, 0, 4)
    assert second.tokens == first.tokens
    assert contents(tmp_path / "t") == before
    assert sum(heard) == pytest.approx(corpus.seconds)


def test_an_interrupted_extraction_continues_to_the_same_table(
    tiny: Checkpoint, corpus: Corpus, tmp_path: Path, small_parts: None
) -> None:
    settings = Settings(draws=2)
    extract(tiny, corpus, tmp_path / "whole", settings)

    def interrupt_after(count: int) -> Callable[[float], None]:
        calls = iter(range(count - 1))

        def progress(seconds: float) -> None:
            if next(calls, None) is None:
                raise KeyboardInterrupt

        return progress

    with pytest.raises(KeyboardInterrupt):
        extract(tiny, corpus, tmp_path / "t", settings, progress=interrupt_after(3))
    assert sorted(contents(tmp_path / "t")) == ["part-00000.parquet", "part-00001.parquet"]
    with pytest.raises(InputError, match="2 of 4 parts are missing"):
        token_table.load(tmp_path / "t")
    result = extract(tiny, corpus, tmp_path / "t", settings)
    assert result.parts_done == 2
    assert result.tokens == {"phoneme": 20}
    assert contents(tmp_path / "t") == contents(tmp_path / "whole")


# Several workers


@pytest.fixture
def workers(monkeypatch: pytest.MonkeyPatch) -> None:
    """As on a machine with three cores, where even a short corpus is worth several processes."""
    monkeypatch.setattr(parallel, "usable_cores", lambda: 3)
    monkeypatch.setattr(extraction, "PARALLEL_SECONDS", 0)


def test_the_table_does_not_depend_on_workers_or_threads(
    tiny: Checkpoint, corpus: Corpus, tmp_path: Path, small_parts: None, workers: None
) -> None:
    """To the last bit; also where PyTorch has computed on two threads before the workers are forked."""
    settings = Settings(draws=3, also=("mfcc", "stats", "states", "halves"))
    first = extract(tiny, corpus, tmp_path / "1", settings, workers=1)
    threads = torch.get_num_threads()
    try:
        torch.set_num_threads(2)
        torch.randn(500, 500) @ torch.randn(500, 500)
        for count in (1, 2, 9, None):
            progress: list[float] = []
            out = tmp_path / f"of-{count}"
            assert extract(tiny, corpus, out, settings, workers=count, progress=progress.append) == first
            assert contents(out) == contents(tmp_path / "1")
            assert sum(progress) == pytest.approx(corpus.seconds)
            assert torch.get_num_threads() == 2
            assert not multiprocessing.active_children()
    finally:
        torch.set_num_threads(threads)


def test_every_part_is_computed_on_one_thread(corpus: Corpus, tmp_path: Path, workers: None) -> None:
    def encode(wave: np.ndarray) -> Any:
        return {f"on_{torch.get_num_threads()}": (np.ones((80, 1)), None, 100)}

    threads = torch.get_num_threads()
    try:
        torch.set_num_threads(2)
        for count in (1, 2):
            result = extract(Encoder("mine", encode), corpus, tmp_path / f"{count}", Settings(), workers=count)
            assert "on_1" in result.features
    finally:
        torch.set_num_threads(threads)


def test_a_killed_worker_is_one_line_and_costs_only_its_part(
    tiny: Checkpoint, corpus: Corpus, tmp_path: Path, small_parts: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = Settings(draws=2)
    extract(tiny, corpus, tmp_path / "whole", settings)
    write, parent = token_table.write_part, os.getpid()

    def out_of_memory(folder: Path, index: int, *rest: Any) -> None:
        if index == 2 and os.getpid() != parent:
            until = time.monotonic() + 60
            while time.monotonic() < until and not all((folder / token_table.part_name(n)).exists() for n in (0, 1)):
                time.sleep(0.01)
            os.kill(os.getpid(), signal.SIGKILL)
        write(folder, index, *rest)

    with monkeypatch.context() as patch:
        patch.setattr(token_table, "write_part", out_of_memory)
        with pytest.raises(
            InputError, match="worker process was killed, .* lack of memory; use fewer --workers"
        ) as error:
            extract(tiny, corpus, tmp_path / "t", settings, workers=2)
    assert "\n" not in str(error.value)
    assert not multiprocessing.active_children()
    done = contents(tmp_path / "t")
    assert {"part-00000.parquet", "part-00001.parquet"} <= done.keys() < contents(tmp_path / "whole").keys()
    assert extract(tiny, corpus, tmp_path / "t", settings, workers=2).parts_done == 4 - len(done)
    assert contents(tmp_path / "t") == contents(tmp_path / "whole")


def test_an_interrupted_extraction_with_workers_is_continued(
    tiny: Checkpoint, corpus: Corpus, tmp_path: Path, small_parts: None
) -> None:
    settings = Settings(draws=2)
    extract(tiny, corpus, tmp_path / "whole", settings)

    def interrupt(seconds: float) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        extract(tiny, corpus, tmp_path / "t", settings, progress=interrupt, workers=2)
    assert not multiprocessing.active_children()
    assert not list((tmp_path / "t").glob(f".*{UNFINISHED}"))
    done = len(contents(tmp_path / "t"))
    assert 1 <= done < 4
    assert extract(tiny, corpus, tmp_path / "t", settings).parts_done == 4 - done
    assert contents(tmp_path / "t") == contents(tmp_path / "whole")


def test_an_error_in_a_worker_is_that_of_one_process(tiny: Checkpoint, tmp_path: Path, small_parts: None) -> None:
    corpus, bad, _ = spoilt(tmp_path / "c")
    settings = Settings(draws=1, units=("utterance",))
    messages = set()
    for count in (1, 2):
        with pytest.raises(UnreadableRecording, match=bad.name) as error:
            extract(tiny, corpus, tmp_path / f"{count}", settings, strict=True, workers=count)
        messages.add(str(error.value))
    assert len(messages) == 1


def test_the_number_of_workers(tiny: Checkpoint, corpus: Corpus, monkeypatch: pytest.MonkeyPatch) -> None:
    """One per core, as far as memory and parts go; one where others are not worth their start, or cannot be forked."""
    cpu, cuda = torch.device("cpu"), torch.device("cuda")
    source = ModelSource(tiny.model)
    parts = dict.fromkeys(range(40), corpus)

    def count(asked: int | None = None, device: torch.device = cpu, some: Any = parts, memory_gb: float = 0.01) -> int:
        return extraction._worker_count(asked, source, device, some, memory_gb)

    monkeypatch.setattr(parallel, "usable_cores", lambda: 3)
    assert (count(), count(5), count(50), count(1)) == (3, 5, 40, 1)
    assert count(memory_gb=1e6) == 1
    assert count(some={0: corpus, 1: corpus}) == 1  # 4 s of audio
    assert count(some={}) == 1
    assert count(2, some={}) == 0
    assert count(device=cuda) == 1
    with pytest.raises(InputError, match="--workers 2: one process feeds a GPU"):
        extraction._check_workers(2, cuda)
    for number in (0, -1):
        with pytest.raises(InputError, match=f"--workers {number}: give a whole number from 1"):
            extraction._check_workers(number, cpu)
    encoder = EncoderSource(Encoder("mine", lambda wave: None), ())
    assert extraction._worker_count(None, encoder, cpu, parts, 0.01) == 1
    monkeypatch.setattr(parallel, "can_fork", lambda: False)
    assert count() == 1
    with pytest.raises(InputError, match="--workers 2: needs Linux"):
        extraction._check_workers(2, cpu)


def test_parts_keep_several_workers_busy_and_do_not_grow(corpus: Corpus) -> None:
    assert [extraction.part_size(n) for n in (1, 140, 251, 600, 281_241)] == [4, 4, 7, 16, 16]
    assert [len(part.utterances) for part in extraction.split(corpus)] == [4]


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ({"draws": 3}, "samples"),
        ({"seed": 1}, "seed"),
        ({"estimator": "sample"}, "estimator"),
        ({"units": ("word",)}, "expected_tokens"),
        ({"untrained": True}, "untrained"),
        ({"mel": Mel(bins=40)}, "features, mel|mel, features"),
    ],
)
def test_other_settings_want_another_folder(
    tiny: Checkpoint, corpus: Corpus, tmp_path: Path, change: dict[str, Any], named: str
) -> None:
    settings = Settings(draws=2)
    one = only(corpus, "FVMH0_SA1")
    extract(tiny, one, tmp_path / "t", settings)
    before = contents(tmp_path / "t")
    with pytest.raises(InputError, match=f"t: holds another extraction .*({named}).*choose another --out"):
        extract(tiny, one, tmp_path / "t", replace(settings, **change))
    assert contents(tmp_path / "t") == before


def test_another_corpus_wants_another_folder(tiny: Checkpoint, corpus: Corpus, tmp_path: Path) -> None:
    extract(tiny, only(corpus, "FVMH0_SA1"), tmp_path / "t", Settings(draws=1))
    with pytest.raises(InputError, match="holds another extraction .*corpus"):
        extract(tiny, only(corpus, "MCPM0_SA1"), tmp_path / "t", Settings(draws=1))


def test_a_folder_without_parts_may_be_begun_otherwise(tiny: Checkpoint, corpus: Corpus, tmp_path: Path) -> None:
    def stop(seconds: float) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        extract(tiny, corpus, tmp_path / "t", Settings(draws=1), progress=stop)
    extract(tiny, corpus, tmp_path / "t", Settings(draws=2))
    assert token_table.load(tmp_path / "t").extraction["samples"] == 2


def test_other_people_s_folders_are_left_alone(tiny: Checkpoint, corpus: Corpus, tmp_path: Path) -> None:
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.tex").touch()
    with pytest.raises(InputError, match="mine: not empty and not a token table"):
        extract(tiny, corpus, tmp_path / "mine", Settings(draws=1))
    with pytest.raises(InputError, match="thesis.tex: cannot write here"):
        extract(tiny, corpus, tmp_path / "mine" / "thesis.tex", Settings(draws=1))
    (tmp_path / "empty").mkdir()
    extract(tiny, only(corpus, "FVMH0_SA1"), tmp_path / "empty", Settings(draws=1))


def test_without_alignments_the_cure_is_named(tiny: Checkpoint, tmp_path: Path) -> None:
    corpus = open_corpus(miniature.librispeech(tmp_path / "c"))
    with pytest.raises(InputError, match="no phoneme in this corpus's alignments; .*--units utterance"):
        extract(tiny, corpus, tmp_path / "t", Settings(draws=1))
    assert not (tmp_path / "t").exists()
    assert extract(tiny, corpus, tmp_path / "t", Settings(draws=1, units=("utterance",))).tokens == {"utterance": 4}
    assert set(frame_of(tmp_path / "t")["label"]) == {"SHE HAD"}


def test_audio_found_damaged_is_left_out_unless_strict(tiny: Checkpoint, tmp_path: Path) -> None:
    corpus = open_corpus(miniature.librispeech(tmp_path / "c"))
    settings = Settings(draws=1, units=("utterance",))
    bad = corpus.utterances[1].audio
    bad.write_bytes(bad.read_bytes()[:-200])
    with pytest.raises(UnreadableRecording, match=bad.name):
        extract(tiny, corpus, tmp_path / "strict", settings, strict=True)
    assert contents(tmp_path / "strict") == {}
    result = extract(tiny, corpus, tmp_path / "t", settings)
    assert result.tokens == {"utterance": 3}
    assert len(result.left_out) == 1
    assert bad.name in result.left_out[0]
    assert corpus.utterances[1].id not in set(token_table.load(tmp_path / "t").tokens["utterance"])
    assert result.audio_seconds == pytest.approx(1.5)


def spoilt(root: Path) -> tuple[Corpus, Path, bytes]:
    """A corpus of four recordings, the second one damaged inside, and what that file should hold."""
    miniature.librispeech(root)
    bad = miniature.noise(root / "dev-clean/103/1240/103-1240-0001.flac")
    whole = miniature.zero_the_middle(bad)
    return open_corpus(root, strict=True), bad, whole


def test_what_was_left_out_is_said_again_and_not_counted(tiny: Checkpoint, tmp_path: Path, small_parts: None) -> None:
    corpus, bad, _ = spoilt(tmp_path / "c")
    settings = Settings(draws=1, units=("utterance",))
    first = extract(tiny, corpus, tmp_path / "t", settings)
    before = contents(tmp_path / "t")
    again = extract(tiny, corpus, tmp_path / "t", settings)
    assert (first.parts_done, again.parts_done) == (4, 1)  # the part that lacks something is tried again
    for result in (first, again):
        assert result.tokens == {"utterance": 3}
        assert result.audio_seconds == pytest.approx(1.5)
        assert len(result.left_out) == 1
        assert f"{bad}: damaged" in result.left_out[0]
    assert contents(tmp_path / "t") == before
    assert len(pd.read_parquet(tmp_path / "t")) == 3
    assert "tokens" not in token_table.read_extraction(tmp_path / "t")
    assert token_table.read_note(tmp_path / "t", 1).left_out.keys() == {"103-1240-0001"}
    with pytest.raises(UnreadableRecording, match=bad.name):
        extract(tiny, corpus, tmp_path / "t", settings, strict=True)
    assert contents(tmp_path / "t") == before


@pytest.mark.parametrize("size", ["same size", "other size"])
@pytest.mark.parametrize("a_part", [1, 16])
def test_a_restored_file_is_picked_up(
    tiny: Checkpoint, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, size: str, a_part: int
) -> None:
    monkeypatch.setattr(extraction, "part_size", lambda utterances: a_part)
    corpus, bad, whole = spoilt(tmp_path / "c")
    if size == "other size":
        bad.write_bytes(bad.read_bytes() + bytes(10))
    settings = Settings(draws=1, units=("utterance",))
    extract(tiny, corpus, tmp_path / "t", settings)
    bad.write_bytes(whole)
    corpus = open_corpus(corpus.root)
    restored = extract(tiny, corpus, tmp_path / "t", settings)
    assert (restored.tokens, restored.left_out, restored.parts_done) == ({"utterance": 4}, (), 1)
    assert restored.audio_seconds == pytest.approx(corpus.seconds)
    extract(tiny, corpus, tmp_path / "whole", settings)
    assert contents(tmp_path / "t") == contents(tmp_path / "whole")
    said = [token_table.read_extraction(tmp_path / name)["corpus"] for name in ("t", "whole")]
    assert said[0] == said[1]
    assert extract(tiny, corpus, tmp_path / "t", settings).parts_done == 0


def test_where_something_was_left_out_another_extraction_is_still_refused(tiny: Checkpoint, tmp_path: Path) -> None:
    corpus, bad, whole = spoilt(tmp_path / "c")
    settings = Settings(draws=1, units=("utterance",))
    extract(tiny, corpus, tmp_path / "t", settings)
    before = contents(tmp_path / "t")
    bad.write_bytes(whole + bytes(10))
    with pytest.raises(InputError, match=r"holds another extraction \(its corpus, samples differ\)"):
        extract(tiny, corpus, tmp_path / "t", replace(settings, draws=2))
    other = corpus.utterances[2].audio
    other.write_bytes(other.read_bytes() + bytes(10))
    with pytest.raises(InputError, match=r"holds another extraction \(its corpus differ\)"):
        extract(tiny, corpus, tmp_path / "t", settings)
    assert contents(tmp_path / "t") == before


def test_a_part_done_again_is_interrupted_without_loss(
    tiny: Checkpoint, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    corpus, bad, whole = spoilt(tmp_path / "c")
    settings = Settings(draws=1, units=("utterance",))
    extract(tiny, corpus, tmp_path / "t", settings)
    before = contents(tmp_path / "t")
    bad.write_bytes(whole + bytes(10))
    corpus = open_corpus(corpus.root)

    def interrupted(seconds: float) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        extract(tiny, corpus, tmp_path / "t", settings, progress=interrupted)
    assert contents(tmp_path / "t") == before
    assert extract(tiny, corpus, tmp_path / "t", settings).tokens == {"utterance": 4}


def test_utterances_without_tokens_are_no_audio_of_the_table(tiny: Checkpoint, corpus: Corpus, tmp_path: Path) -> None:
    first, *others = corpus.utterances
    some = replace(corpus, utterances=(replace(first, words=()), *others))
    assert extract(tiny, some, tmp_path / "t", Settings(draws=1, units=("word",))).audio_seconds == pytest.approx(1.5)


def test_labels_keep_their_place_when_audio_is_resampled(tiny: Checkpoint, tmp_path: Path) -> None:
    """8 kHz audio gives what its resampled version gives with labels at twice the positions."""
    low = miniature.tone(tmp_path / "low.wav", samples=4001, rate=8000)
    speaker, spans = Speaker("S"), [("h#", 0, 700), ("iy", 700, 1500), ("t", 1500, 1501), ("h#", 1501, 4001)]
    at_low = Utterance("u", speaker, low, 4001, 8000, phonemes=tuple(Segment(*s) for s in spans))
    wave = np.rint(read_audio(at_low, 16000) * FULL_SCALE).astype(np.int16)
    soundfile.write(tmp_path / "high.wav", wave, 16000)
    doubled = tuple(Segment(label, 2 * start, 2 * end) for label, start, end in spans)
    at_high = Utterance("u", speaker, tmp_path / "high.wav", 8002, 16000, phonemes=doubled)
    for name, utterance in (("low", at_low), ("high", at_high)):
        extract(tiny, Corpus("made-up", tmp_path, (utterance,)), tmp_path / f"t-{name}", Settings(draws=2))
    a, b = frame_of(tmp_path / "t-low"), frame_of(tmp_path / "t-high")
    for feature in (*LATENTS, "mel"):
        np.testing.assert_array_equal(array(a, feature), array(b, feature))
    assert a["sample_rate"].tolist() == [8000] * 4
    assert list(zip(a["label"], a["start"], a["end"], strict=True)) == spans


@pytest.mark.parametrize("rate", [11025, 22050, 44100, 48000])
def test_a_label_up_to_the_end_fits_at_any_rate(tiny: Checkpoint, tmp_path: Path, rate: int) -> None:
    for samples in (rate // 10, rate // 10 + 1, rate // 10 + 2):
        audio = miniature.tone(tmp_path / f"{samples}.wav", samples=samples, rate=rate)
        segments = (Segment("a", 0, samples - 1), Segment("b", samples - 1, samples))
        utterance = Utterance("u", Speaker("S"), audio, samples, rate, phonemes=segments)
        found = features(tiny.model, utterance, segments, Settings(draws=1))
        assert np.isfinite(found["z2"]).all()


def test_untrained_is_another_model_and_always_the_same(tiny: Checkpoint, corpus: Corpus, tmp_path: Path) -> None:
    one = only(corpus, "FVMH0_SA1")
    for seed, name in ((0, "a"), (1, "b")):
        torch.manual_seed(seed)
        state = torch.get_rng_state()
        extract(tiny, one, tmp_path / name, Settings(draws=2, untrained=True))
        assert torch.equal(torch.get_rng_state(), state)
    extract(tiny, one, tmp_path / "trained", Settings(draws=2))
    assert contents(tmp_path / "a") == contents(tmp_path / "b")
    untrained, trained = frame_of(tmp_path / "a"), frame_of(tmp_path / "trained")
    assert (array(untrained, "z1") != array(trained, "z1")).all()
    np.testing.assert_array_equal(array(untrained, "mel"), array(trained, "mel"))
    assert token_table.read_extraction(tmp_path / "a")["untrained"] is True


@pytest.mark.parametrize(
    ("make", "says"),
    [
        (lambda: Settings(draws=0), "--samples 0"),
        (lambda: Settings(units=("phone",)), "--units phone: choose among phoneme, word, utterance"),
        (lambda: Settings(units=()), r"--units \(none\)"),
        (lambda: Settings(estimator="median"), "--estimator median"),  # type: ignore[arg-type]
        (lambda: Mel(bins=0), "--mel-bins 0"),
        (lambda: Mel(window=-1), "--mel-window -1"),
        (lambda: Mel(n_fft=100), "--mel-fft 100: give an even number, at least the window's 256"),
        (lambda: Mel(n_fft=301), "--mel-fft 301"),
    ],
)
def test_settings_out_of_range_are_refused(make: Callable[[], Any], says: str) -> None:
    with pytest.raises(InputError, match=says):
        make()


@pytest.mark.parametrize("memory", [0.0, -1.0, float("nan"), float("inf")])
def test_memory_must_be_a_positive_number(tiny: Checkpoint, corpus: Corpus, tmp_path: Path, memory: float) -> None:
    with pytest.raises(InputError, match="--memory"):
        extract(tiny, corpus, tmp_path / "t", Settings(draws=1), memory_gb=memory)
    assert not (tmp_path / "t").exists()


def test_latents_that_are_not_finite_name_the_file(tiny: Checkpoint, corpus: Corpus, tmp_path: Path) -> None:
    shutil.copy(tiny.path, tmp_path / "copy.safetensors")
    broken = checkpoint.load(tmp_path / "copy.safetensors")
    with torch.no_grad():
        for parameter in broken.model.parameters():
            parameter.fill_(1e38)
    with pytest.raises(InputError, match=r"sa1.wav: feature 'z\d\w*' is not finite; the checkpoint is damaged"):
        extract(broken, corpus, tmp_path / "t", Settings(draws=1))
    assert contents(tmp_path / "t") == {}


def test_demo_corpus(tiny: Checkpoint, tmp_path: Path) -> None:
    demo = open_corpus(CORPUS)
    some = replace(demo, utterances=demo.utterances[::15])
    result = extract(tiny, some, tmp_path / "t", Settings(draws=1, units=("phoneme", "word")))
    frame = frame_of(tmp_path / "t")
    assert len(frame) == sum(result.tokens.values())
    assert {"test", "train"} == set(frame["split"])
    assert frame["height_cm"].notna().all()
    assert (frame[frame["unit"] == "phoneme"].groupby("utterance")["label"].first() == "h#").all()


def test_real_speech(tiny: Checkpoint, timit_sample: Path, tmp_path: Path) -> None:
    """Two sentences of every speaker; `test_corpora` counts them all."""
    real = open_corpus(timit_sample)
    some = replace(real, utterances=real.utterances[::5])
    rows = sum(len(u.audio.with_suffix(".phn").read_text().splitlines()) for u in some.utterances)
    result = extract(tiny, some, tmp_path / "t", Settings(draws=2, estimator="posterior-mean"))
    assert result.tokens == {"phoneme": rows}
    loaded = token_table.load(tmp_path / "t")
    assert len(loaded.tokens) == rows
    assert sorted(loaded.tokens["speaker"].value_counts().index) == sorted(s.id for s in real.speakers)


def test_a_table_from_before_there_were_more_features_goes_on(
    tiny: Checkpoint, corpus: Corpus, tmp_path: Path, small_parts: None
) -> None:
    settings = Settings(draws=1)
    extract(tiny, corpus, tmp_path / "t", settings)
    said = token_table.read_extraction(tmp_path / "t")
    write_json(tmp_path / "t" / token_table.EXTRACTION, {k: v for k, v in said.items() if k not in ("also", "layers")})
    (tmp_path / "t" / token_table.part_name(2)).unlink()
    assert extract(tiny, corpus, tmp_path / "t", settings).parts_done == 1
    with pytest.raises(InputError, match=r"holds another extraction \(its also, features differ\)"):
        extract(tiny, corpus, tmp_path / "t", replace(settings, also=("stats",)))
