"""The Python interface as a user calls it: `import lvm_probe` and its public names."""

import re
import shutil
import subprocess
import sys
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import soundfile
import torch

import lvm_probe
from lvm_probe import InputError
from lvm_probe.app.cli import main
from lvm_probe.models.checkpoints import checkpoint
from lvm_probe.models.registry import FAMILIES, preset
from tests.probing import miniature
from tests.probing.reference_pooling import pooled_mean
from tests.probing.synthetic_tables import made_up

ROOT = Path(__file__).parents[1]


def save_tiny(folder: Path, family: str) -> Path:
    file = folder / f"{family}.safetensors"
    checkpoint.save(file, FAMILIES[family].seeded(preset(family, "tiny").config, 3), {"corpus": "none"})
    return file


@pytest.fixture(scope="module")
def checkpoints(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("checkpoints")
    return {family: save_tiny(folder, family) for family in ("cwvae", "vrnn", "lstm", "dmol")}


@pytest.fixture(scope="module")
def model(checkpoints: dict[str, Path]) -> lvm_probe.Model:
    return lvm_probe.load_model(checkpoints["cwvae"], device="cpu")


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> lvm_probe.Corpus:
    return lvm_probe.open_corpus(miniature.timit_nltk(tmp_path_factory.mktemp("corpus") / "timit"))


@pytest.fixture
def pcm(corpus: lvm_probe.Corpus) -> np.ndarray:
    return soundfile.read(corpus.utterances[0].audio, dtype="int16")[0]


def conv(wave: np.ndarray) -> dict[str, Any]:
    """A user's encoder: the mean and range of 160 samples."""
    steps = wave[: len(wave) // 160 * 160].reshape(-1, 160)
    return {"frames": (np.stack([steps.mean(1), np.ptp(steps, axis=1)], 1), None, 160)}


# The names


def run_python(code: str) -> str:
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    return done.stdout


def test_importing_it_imports_no_library() -> None:
    said = run_python("import sys, lvm_probe; dir(lvm_probe), lvm_probe.__version__; print(*sys.modules)")
    assert not {"torch", "pandas", "numpy", "scipy", "sklearn", "matplotlib"} & set(said.split())


def test_opening_corpora_and_tables_imports_neither_torch_nor_pandas() -> None:
    said = run_python("import sys; from lvm_probe import open_corpus, load_table, load_model, ask; print(*sys.modules)")
    assert not {"torch", "pandas", "sklearn", "matplotlib"} & set(said.split())


def test_every_public_name_is_there_and_documented() -> None:
    for name in lvm_probe.__all__:
        assert getattr(lvm_probe, name).__doc__, name
    assert set(lvm_probe.__all__) < set(dir(lvm_probe))
    assert lvm_probe.__version__[0].isdigit()
    with pytest.raises(AttributeError, match="module 'lvm_probe' has no attribute 'load_modle'"):
        lvm_probe.load_modle  # noqa: B018


def test_every_public_name_is_in_the_reference() -> None:
    documented = set(re.findall(r"^::: (.*)$", (ROOT / "docs" / "reference.md").read_text(), re.MULTILINE))
    for name in set(lvm_probe.__all__):
        home = getattr(lvm_probe, name)
        assert {home.__module__, f"{home.__module__}.{home.__qualname__}"} & documented, name


def test_the_package_is_the_command() -> None:
    done = subprocess.run([sys.executable, "-m", "lvm_probe", "--help"], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0
    assert done.stdout.startswith("usage: probe")


# Latents of a wave


def test_floating_point_audio_and_pcm_give_the_same_latents(model: lvm_probe.Model, pcm: np.ndarray) -> None:
    of_pcm = model.latents(pcm, sample_rate=16_000, samples=2)
    assert list(of_pcm) == ["z1", "z2"]
    waves = (pcm / 32768, (pcm / 32768).astype(np.float32), torch.from_numpy(pcm) / 32768, list(pcm / 32768))
    for wave in waves:
        of_wave = model.latents(wave, sample_rate=16_000, samples=2)
        for name, layer in of_pcm.items():
            assert layer.stride == model.strides[name]
            assert len(layer.mean) == -(-len(pcm) // layer.stride)
            np.testing.assert_array_equal(of_wave[name].mean, layer.mean)
            np.testing.assert_array_equal(of_wave[name].variance, layer.variance)
    assert repr(of_pcm["z1"]) == "Latents(125 steps of 64 samples, 8 dims)"


def test_latents_are_those_of_the_token_table(model: lvm_probe.Model, corpus: lvm_probe.Corpus, tmp_path: Path) -> None:
    table = lvm_probe.extract(corpus, model, tmp_path / "t", samples=3, seed=5)
    utterance = corpus.utterances[1]
    wave, rate = soundfile.read(utterance.audio)
    latents = model.latents(wave, sample_rate=rate, samples=3, seed=5, utterance=utterance.id)
    rows = table.columns["utterance"] == utterance.id
    for name, layer in latents.items():
        means = [pooled_mean(layer.mean, segment, layer.stride) for segment in utterance.phonemes]
        np.testing.assert_allclose(table.features[name][rows], means, rtol=1e-5, atol=1e-6)  # single precision
    other = model.latents(wave, sample_rate=rate, samples=3, seed=6, utterance=utterance.id)
    assert not np.array_equal(other["z1"].mean, latents["z1"].mean)


def test_variance_is_that_of_the_mean_over_draws(model: lvm_probe.Model, pcm: np.ndarray) -> None:
    options: Any = {"sample_rate": 16_000, "estimator": "sample", "samples": 4}
    runs = [model.latents(pcm[:2000], seed=seed, **options)["z1"] for seed in range(60)]
    spread = np.var([run.mean for run in runs], axis=0, ddof=1).mean()
    said = np.mean([run.variance for run in runs])
    assert said == pytest.approx(spread, rel=0.1)  # over 32 steps of 8 dimensions
    one = model.latents(pcm, sample_rate=16_000, samples=1)["z1"]
    assert np.isnan(one.variance).all()


def test_another_rate_is_resampled_as_files_are_or_refused(
    model: lvm_probe.Model, pcm: np.ndarray, tmp_path: Path
) -> None:
    soundfile.write(tmp_path / "anna_1.wav", pcm, 22_050)
    miniature.text_grid(tmp_path / "anna_1.TextGrid", phones=[(0, 0.2, "sh"), (0.2, 0.3, "iy")])
    corpus = lvm_probe.open_corpus(tmp_path)
    table = lvm_probe.extract(corpus, model, tmp_path / "t", samples=1, units="utterance")
    latents = model.latents(pcm, sample_rate=22_050, samples=1, utterance=corpus.utterances[0].id)
    samples = -(-len(pcm) * 16_000 // 22_050)
    assert len(latents["z1"].mean) == -(-samples // 64)
    weights = np.diff([*range(0, samples, 64), samples])
    np.testing.assert_allclose(
        table.features["z1"][0], np.average(latents["z1"].mean, axis=0, weights=weights), rtol=1e-5, atol=1e-6
    )
    with pytest.raises(InputError, match="wave: 22050 Hz, but cwvae takes 16000 Hz"):
        model.latents(pcm, sample_rate=22_050, resample=False)


def test_a_deterministic_model_has_states(checkpoints: dict[str, Path], pcm: np.ndarray) -> None:
    lstm = lvm_probe.load_model(checkpoints["lstm"], device="cpu")
    latents = lstm.latents(pcm, sample_rate=16_000)
    assert list(latents) == list(lstm.strides) == ["h1"]
    assert not latents["h1"].variance.any()
    with pytest.raises(InputError, match="neither latents nor states"):
        lvm_probe.load_model(checkpoints["dmol"], device="cpu").latents(pcm, sample_rate=16_000)


@pytest.mark.parametrize(
    ("wave", "says"),
    [
        (np.zeros(100, np.int32), "wave: values of type int32"),
        (np.zeros(100, np.uint8), "wave: values of type uint8"),
        (np.zeros(100, bool), "wave: values of type bool"),
        (np.zeros(100, complex), "wave: values of type complex128"),
        ([0, 1, -1], "wave: values of type int64"),
        (["a"], "wave: values of type <U1"),
        ("speech.wav", "wave: values of type <U10"),
        (None, "wave: values of type object"),
        ([[0.0], [0.0, 1.0]], "wave: list is no array"),
        (torch.zeros(3, requires_grad=True), "wave: Tensor is no array"),
        (np.zeros((2, 100)), r"wave: shape \(2, 100\); give one channel"),
        (np.zeros((1, 100), np.int16), r"wave: shape \(1, 100\)"),
        (np.float64(0), r"wave: shape \(\)"),
        (np.zeros(0), r"wave: shape \(0,\)"),
        (np.full(100, np.nan), "wave: holds NaN or infinity"),
        (np.full(100, -np.inf), "wave: holds NaN or infinity"),
        (np.full(100, 1.01), "wave: reaches 1.01; scale floating-point audio"),
        (np.full(100, -20_000.0), "wave: reaches 2e.04; scale floating-point audio"),
    ],
)
def test_any_other_wave_is_refused(model: lvm_probe.Model, wave: Any, says: str) -> None:
    with pytest.raises(InputError, match=says):
        model.latents(wave, sample_rate=16_000)


@pytest.mark.parametrize("rate", [16_000.0, "16000", True, 0, -1, None])
def test_any_other_sample_rate_is_refused(model: lvm_probe.Model, pcm: np.ndarray, rate: Any) -> None:
    with pytest.raises(InputError, match="sample_rate .*: give a whole number of samples per second"):
        model.latents(pcm, sample_rate=rate)


@pytest.mark.parametrize(
    ("options", "says"), [({"samples": 0}, "samples 0"), ({"estimator": "mean"}, "estimator mean")]
)
def test_any_other_option_is_refused(model: lvm_probe.Model, pcm: np.ndarray, options: Any, says: str) -> None:
    with pytest.raises(InputError, match=says):
        model.latents(pcm, sample_rate=16_000, **options)


def test_full_scale_is_clipped(model: lvm_probe.Model) -> None:
    loudest = model.latents(np.ones(64), sample_rate=16_000)["z1"].mean
    np.testing.assert_array_equal(loudest, model.latents(np.full(64, 32_767, np.int16), sample_rate=16_000)["z1"].mean)


def test_models_are_found_by_name_file_and_run_folder(checkpoints: dict[str, Path], tmp_path: Path) -> None:
    assert repr(lvm_probe.load_model("cwvae-small", device="cpu")) == (
        "Model(cwvae-small: cwvae, z1 every 64 samples, z2 every 512 samples, 16,000 Hz, on cpu)"
    )
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "best.safetensors").write_bytes(checkpoints["vrnn"].read_bytes())
    assert lvm_probe.load_model(tmp_path / "run").name == "run"
    assert lvm_probe.load_model(str(checkpoints["vrnn"])).network.family == "vrnn"
    with pytest.raises(InputError, match="cwvae-smal: no such checkpoint"):
        lvm_probe.load_model("cwvae-smal")
    with pytest.raises(InputError, match="device gpu: unknown to PyTorch"):
        lvm_probe.load_model("cwvae-small", device="gpu")


# Tables


def test_a_corpus_says_what_it_holds(corpus: lvm_probe.Corpus) -> None:
    assert str(corpus).splitlines() == [
        f"Corpus {corpus.root} (timit)",
        "  utterances  4, 0.0 minutes",
        "  speakers    2 (1 F, 1 M)",
        "  segments    20 phonemes, 8 words",
    ]


def test_a_table_says_what_it_holds(model: lvm_probe.Model, corpus: lvm_probe.Corpus, tmp_path: Path) -> None:
    table = lvm_probe.extract(corpus, model, tmp_path / "t", samples=2, units=["phoneme", "word"])
    assert str(table).splitlines() == [
        f"Token table {tmp_path / 't'}",
        "  rows      20 phoneme, 8 word",
        "  speakers  2 (1 F, 1 M)",
        "  features  z1 (8), z1_var (8), z1_logms (8), z2 (4), z2_var (4), z2_logms (4), mel (80)",
        "  from      cwvae; 2 draws (posterior-mean), seed 0; 4 utterances of timit",
    ]
    assert repr(lvm_probe.load_table(tmp_path / "t")) == repr(table)
    assert "word" not in repr(table.select(table.columns["unit"] == "phoneme"))
    mine = table.with_feature("mine", np.zeros((28, 3)))
    assert "mel (80), mine (3)" in repr(mine)
    assert lvm_probe.load_table(mine.save(tmp_path / "mine")).features["mine"].shape == (28, 3)
    assert len(pd.read_parquet(tmp_path / "mine")) == len(table.tokens) == 28


class Loud:
    sample_rate = 8_000

    def encode(self, wave: np.ndarray) -> Any:
        return (np.abs(wave[: len(wave) // 80 * 80]).reshape(-1, 80), None, 80)


class Net(torch.nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.conv = torch.nn.Conv1d(1, 4, kernel_size=160, stride=160)

    def encode(self, wave: np.ndarray) -> Any:
        assert not self.training
        return {"conv": (self.conv(torch.from_numpy(wave)[None]).T, None, 160)}


@pytest.mark.parametrize(
    ("encoder", "layer", "name"),
    [
        (conv, "frames", "conv"),
        (Loud(), "layer1", "Loud"),
        (Net(), "conv", "Net"),
        (lambda wave: conv(wave), "frames", "<lambda>"),
        (lvm_probe.Encoder("mine", conv), "frames", "mine"),
    ],
    ids=["function", "object", "module", "lambda", "Encoder"],
)
def test_a_model_of_ones_own(encoder: Any, layer: str, name: str, corpus: lvm_probe.Corpus, tmp_path: Path) -> None:
    table = lvm_probe.extract(corpus, encoder, tmp_path / "t", also="halves")
    assert layer in table.features
    assert f"{layer}_halves" in table.features
    assert table.extraction["encoder"]["name"].endswith(name)
    assert f"{name}; 4 utterances of timit" in repr(table)


def test_an_extraction_is_continued_only_by_the_same_encoder(corpus: lvm_probe.Corpus, tmp_path: Path) -> None:
    first = lvm_probe.extract(corpus, conv, tmp_path / "t")
    again = lvm_probe.extract(corpus, conv, tmp_path / "t")
    np.testing.assert_array_equal(first.features["frames"], again.features["frames"])

    def louder(wave: np.ndarray) -> Any:
        return conv(2 * wave)

    louder.__qualname__ = "conv"
    with pytest.raises(InputError, match="holds another extraction"):
        lvm_probe.extract(corpus, louder, tmp_path / "t")


@pytest.mark.parametrize(
    ("call", "says"),
    [
        (
            lambda corpus, model, out: lvm_probe.extract("TIMIT", model, out),
            "corpus: a str; give what lvm_probe.open_c",
        ),
        (lambda corpus, model, out: lvm_probe.extract(corpus, "cwvae-small", out), "model: 'cwvae-small' is a name"),
        (lambda corpus, model, out: lvm_probe.extract(corpus, 3, out), "'int' is a int; give a function encode"),
        (lambda corpus, model, out: lvm_probe.extract(corpus, Loud, out), "'Loud' is a class; give a function encode"),
        (lambda corpus, model, out: lvm_probe.extract(corpus, conv, out, samples=3), "samples: for a model of"),
        (lambda corpus, model, out: lvm_probe.extract(corpus, conv, out, untrained=True), "untrained: for a model of"),
        (lambda corpus, model, out: lvm_probe.extract(corpus, conv, out, also="states"), "has no states"),
        (lambda corpus, model, out: lvm_probe.extract(corpus, model, out, units="phone"), "units phone"),
        (lambda corpus, model, out: lvm_probe.extract(corpus, model, out, also=["mfc"]), "also mfc"),
        (lambda corpus, model, out: lvm_probe.load_table(out), "no token table"),
        (lambda corpus, model, out: lvm_probe.open_corpus(out), "no such folder"),
    ],
)
def test_what_makes_no_sense_is_refused(
    call: Callable[..., Any], says: str, corpus: lvm_probe.Corpus, model: lvm_probe.Model, tmp_path: Path
) -> None:
    with pytest.raises(InputError, match=says):
        call(corpus, model, tmp_path / "t")
    assert not (tmp_path / "t").exists()


def test_untrained_weights_depend_on_the_seed(model: lvm_probe.Model, corpus: lvm_probe.Corpus, tmp_path: Path) -> None:
    made = [
        lvm_probe.extract(corpus, model, tmp_path / f"{i}", samples=1, untrained=True, seed=seed)
        for i, seed in enumerate((1, 1, 2))
    ]
    z1 = [table.features["z1"] for table in made]
    np.testing.assert_array_equal(z1[0], z1[1])
    assert not np.array_equal(z1[0], z1[2])
    assert "untrained cwvae" in repr(made[0])


def test_damaged_recordings_are_left_out_with_a_warning(model: lvm_probe.Model, tmp_path: Path) -> None:
    corpus_folder = tmp_path / "c"
    for name in ("anna_1", "anna_2"):
        miniature.noise(corpus_folder / f"{name}.flac")
        miniature.text_grid(corpus_folder / f"{name}.TextGrid", phones=[(0, 0.2, "sh"), (0.2, 0.3, "iy")])
    corpus = lvm_probe.open_corpus(corpus_folder)
    miniature.zero_the_middle(corpus_folder / "anna_2.flac")
    with pytest.warns(UserWarning, match="left out: .*anna_2.flac"):
        table = lvm_probe.extract(corpus, model, tmp_path / "t", samples=1)
    assert set(table.tokens["utterance"]) == {"anna_1"}
    with pytest.raises(InputError, match="anna_2.flac"):
        lvm_probe.extract(corpus, model, tmp_path / "strict", samples=1, strict=True)


def test_a_progress_bar_where_it_is_wanted(
    model: lvm_probe.Model, corpus: lvm_probe.Corpus, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for progress in (True, False, None):
            lvm_probe.extract(corpus, model, tmp_path / f"{progress}", samples=1, progress=progress)
            said = capsys.readouterr()
            assert said.out == ""
            assert ("100%" in said.err) == (progress is True)


# Questions


@pytest.fixture
def table() -> lvm_probe.TokenTable:
    return made_up(speakers=4, each=48)


def test_an_answer_is_a_frame_and_prints_what_the_command_prints(
    table: lvm_probe.TokenTable, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = table.save(tmp_path / "t")
    answer = lvm_probe.ask(
        lvm_probe.load_table(folder), "phoneme", "knn", "nested", features=["z1+z2", "mel"], permutations=2
    )
    assert list(dict.fromkeys(answer.frame["feature"])) == ["z1+z2", "mel"]
    assert answer.frame["accuracy"].between(0, 1).all()
    argv = ["knn", "--latents", str(folder), "--protocol", "nested", "--features", "z1+z2,mel", "--permutations", "2"]
    assert main(argv) == 0
    printed = capsys.readouterr().out
    assert printed.startswith(str(answer))
    assert len(str(answer).splitlines()) > 5
    assert "<table" in answer._repr_html_()


def test_one_feature_and_other_options(table: lvm_probe.TokenTable) -> None:
    answer = lvm_probe.ask(
        table.with_feature("mine", np.arange(len(table))), features="mine", ks=3, speakers="FS0", permutations=0
    )
    assert set(answer.frame["feature"]) == {"mine"}
    assert set(answer.frame["k"]) == {3}
    assert set(answer.frame["protocol"]) == {"utterance"}
    assert lvm_probe.ask(table, method="abx").question.protocol == "within"


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"target": "phonemes"}, "target is 'phonemes'; choose one of phoneme, manner"),
        ({"method": "svm"}, "method is 'svm'; choose one of knn, lda"),
        ({"protocol": "nestd"}, "protocol is 'nestd'; choose one of paper, nested, utterance, speaker"),
        ({"features": ["z9"]}, "no feature 'z9'"),
        ({"features": "z1+z9"}, "no feature 'z9'"),
        ({"target": "height-cm"}, "method knn cannot predict height-cm"),
        ({"protocol": "within"}, "method knn has no protocol within"),
        ({"method": "abx", "ks": [1]}, "ks: only for the methods knn"),
        ({"speakers": ["nobody"]}, "nobody"),
        ({"k": 5}, "ask has no option 'k'; it has target, method, protocol"),
        ({"permutation": 5}, "ask has no option 'permutation'"),
        ({"untrained": "nowhere"}, "nowhere: no token table"),
    ],
)
def test_questions_that_make_no_sense_are_refused(
    table: lvm_probe.TokenTable, options: dict[str, Any], says: str
) -> None:
    with pytest.raises(InputError, match=says):
        lvm_probe.ask(table, **options)


def test_what_is_no_table_is_refused() -> None:
    with pytest.raises(InputError, match="table: a str; give what lvm_probe.load_table returns"):
        lvm_probe.ask("latents/cwvae")  # type: ignore[arg-type]


def test_the_untrained_table_is_found_by_its_name_or_given(
    model: lvm_probe.Model, corpus: lvm_probe.Corpus, tmp_path: Path
) -> None:
    table = lvm_probe.extract(corpus, model, tmp_path / "t", samples=1)
    options: Any = {"protocol": "paper", "features": "z1", "ks": 1, "permutations": 0, "lda_dims": 0}

    def compared(**more: Any) -> bool:
        return bool(lvm_probe.ask(table, **options, **more).frame["untrained_accuracy"].notna().all())

    assert not compared()
    other = lvm_probe.extract(corpus, model, tmp_path / "t-untrained", samples=1, untrained=True)
    assert compared()
    assert compared(untrained=other)
    assert compared(untrained=tmp_path / "t-untrained")
    assert not compared(untrained=None)
    with pytest.raises(InputError, match="not the untrained model of"):
        compared(untrained=table)
    shutil.rmtree(tmp_path / "t-untrained")
    lvm_probe.extract(corpus, conv, tmp_path / "t-untrained")
    with pytest.warns(UserWarning, match="t-untrained: not the untrained model of .*; it is not used"):
        assert not compared()
