"""Encoders of anybody's: what they may return, what is refused, and the columns that come of it."""

import hashlib
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch

from lvm_probe import InputError
from lvm_probe.probing.corpora import open_corpus
from lvm_probe.probing.corpora.audio import read_audio
from lvm_probe.probing.corpora.corpus import Corpus
from lvm_probe.probing.corpora.recordings import UnreadableRecording
from lvm_probe.probing.features import token_table
from lvm_probe.probing.features.encoder_import import import_encoder
from lvm_probe.probing.features.encoders import Encoder, EncoderSource, Layer, as_layers, fit_length
from lvm_probe.probing.features.extraction import Settings, extract
from lvm_probe.probing.features.source_spec import SourceSpec
from tests.probing import miniature
from tests.probing import reference_pooling as reference

CPU = torch.device("cpu")
MEAN = np.arange(20.0).reshape(10, 2)


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Corpus:
    return open_corpus(miniature.timit_nltk(tmp_path_factory.mktemp("corpus") / "timit"))


def blocks(wave: np.ndarray, stride: int = 100) -> np.ndarray:
    """The last step may be of fewer samples."""
    parts = [wave[t : t + stride] for t in range(0, len(wave), stride)]
    return np.stack([[part.mean(), part.std()] for part in parts])


# What an encoder may return


@pytest.mark.parametrize(
    ("found", "names"),
    [
        (Layer("a", MEAN, None, 64), ["a"]),
        ((MEAN, None, 64), ["layer1"]),
        ((torch.from_numpy(MEAN).requires_grad_(), torch.ones(10, 2), np.int64(64)), ["layer1"]),
        ([(MEAN, MEAN, 64), Layer("top", MEAN.astype(np.float16), None, 512)], ["layer1", "top"]),
        (((MEAN, None, 64), (MEAN, None, 64), (MEAN, None, 64)), ["layer1", "layer2", "layer3"]),
        ({"a": (MEAN, None, 64), "b": (torch.from_numpy(MEAN).bfloat16(), None, 128)}, ["a", "b"]),
        ({"a": Layer("renamed", MEAN, None, 64)}, ["renamed"]),
        ((MEAN.astype(int), None, 64), ["layer1"]),
    ],
)
def test_every_form_becomes_layers(found: Any, names: list[str]) -> None:
    checked = as_layers(found)
    assert [layer.name for layer in checked] == names
    for layer in checked:
        assert (layer.mean.dtype, layer.mean.shape, type(layer.stride)) == (np.float32, (10, 2), int)
        np.testing.assert_allclose(layer.mean, MEAN, rtol=1e-2)


@pytest.mark.parametrize(
    ("found", "says"),
    [
        (None, "it returned NoneType for layer 'layer1'; give Layer"),
        (MEAN, "it returned ndarray for layer 'layer1'; give Layer"),
        ([], "it returned no layer"),
        ({}, "it returned no layer"),
        ({"a": (MEAN, 64)}, "it returned tuple for layer 'a'"),
        ((MEAN[0], None, 64), r"mean of layer 'layer1' has shape \(2,\)"),
        ((MEAN[None], None, 64), r"shape \(1, 10, 2\) .*\(steps, dims\); leave out the batch axis"),
        ((MEAN[:0], None, 64), r"shape \(0, 2\)"),
        ((MEAN.astype(complex), None, 64), "type complex128"),
        ((MEAN + np.nan, None, 64), "mean of layer 'layer1' holds NaN or infinity"),
        ((MEAN + 1e39, None, 64), "holds NaN or infinity"),
        ((MEAN, MEAN[:, :1], 64), r"variance of layer 'layer1' has shape \(10, 1\)"),
        ((MEAN, MEAN + np.inf, 64), "variance of layer 'layer1' holds NaN"),
        ((MEAN, -MEAN, 64), "minimum -19; give one .* without negative values"),
        ((MEAN, None, 0), "layer 'layer1' has a stride of 0"),
        (Layer("a", MEAN, None, 64.0), "layer 'a' has a stride of 64.0; give a whole number"),  # type: ignore[arg-type]
        ({"my layer": (MEAN, None, 64)}, "'my layer': not an identifier"),
        ({"mel": (MEAN, None, 64)}, "'mel': the table has a column of that name"),
        ({"start": (MEAN, None, 64)}, "'start': the table has a column of that name"),
        ({"a_var": (MEAN, None, 64)}, "layer 'a_var' is named like a column derived from a layer"),
        ([Layer("a", MEAN, None, 64), Layer("a", MEAN, None, 64)], "two layers have one name"),
    ],
)
def test_what_is_no_layer_is_refused(found: Any, says: str) -> None:
    with pytest.raises(InputError, match=says):
        as_layers(found)


def test_missing_steps_repeat_the_last_and_surplus_ones_go() -> None:
    layer = Layer("a", MEAN, MEAN, 320)
    for samples, steps in ((3200, 10), (3199, 10), (3201, 11), (3839, 12), (2881, 10), (2880, 9), (2561, 9)):
        found = fit_length(layer, samples, 16_000)
        assert found.variance is not None
        assert len(found.mean) == len(found.variance) == steps == -(-samples // 320)
        kept = min(steps, 10)
        np.testing.assert_array_equal(found.mean[:kept], MEAN[:kept])
        np.testing.assert_array_equal(found.mean[kept:], np.tile(MEAN[-1], (steps - kept, 1)))
    for samples in (10 * 320 + 801, 10 * 320 - 801):  # 50 ms are 800 samples
        with pytest.raises(InputError, match="layer 'a' has 10 steps of 320 samples for .* give its true stride"):
            fit_length(layer, samples, 16_000)


def test_convolutions_without_padding_fit_at_any_length() -> None:
    """wav2vec 2.0: a field of view of 400 samples every 320."""
    for samples in range(16_000, 16_400):
        steps = (samples - 400) // 320 + 1
        assert len(fit_length(Layer("a", np.ones((steps, 1)), None, 320), samples, 16_000).mean) == -(-samples // 320)


# As a source


def test_columns_are_averages_over_the_segment(corpus: Corpus, tmp_path: Path) -> None:
    def encode(wave: np.ndarray) -> Any:
        return {"slow": (blocks(wave, 300), None, 300), "fast": (blocks(wave), np.square(blocks(wave)), 100)}

    settings = Settings(also=("halves", "mfcc"))
    result = extract(Encoder("mine", encode), corpus, tmp_path / "t", settings)
    acoustic = {"mel": 80, "mel_halves": 160, "mfcc": 39, "mfcc_halves": 78}
    assert result.features == {"slow": 2, "slow_halves": 4, "fast": 2, "fast_var": 2, "fast_halves": 4} | acoustic
    loaded = token_table.load(tmp_path / "t")
    assert loaded.extraction["layers"] == ["slow", "fast"]
    assert loaded.extraction["encoder"]["strides"] == {"slow": 300, "fast": 100}
    utterance = corpus.utterances[1]
    wave = read_audio(utterance, 16_000)
    rows = loaded.select((loaded.tokens["utterance"] == utterance.id).to_numpy())
    for i, segment in enumerate(utterance.phonemes):
        expected = {
            "slow": reference.pooled_mean(blocks(wave, 300), segment, 300),
            "fast": reference.pooled_mean(blocks(wave), segment, 100),
            "fast_var": reference.pooled_mean(np.square(blocks(wave)), segment, 100),
        }
        for name, values in expected.items():
            np.testing.assert_allclose(rows.features[name][i], values, rtol=1e-4, atol=1e-6)  # single precision


def test_the_sample_rate_is_given_to_whoever_asks() -> None:
    wave = np.zeros(100, np.float32)
    told: list[Any] = []

    def named(wave: np.ndarray, scale: float = 1.0, *, sample_rate: int) -> Any:
        told.append((scale, sample_rate))
        return blocks(wave), None, 100

    def second(wave: np.ndarray, rate: int) -> Any:
        told.append(rate)
        return blocks(wave), None, 100

    def optional(wave: np.ndarray, layer: int = 3) -> Any:
        told.append(layer)
        return blocks(wave), None, 100

    for encode in (named, second, optional):
        Encoder("mine", encode, 8000)(wave, "u")
    assert told == [(1.0, 8000), 8000, 3]


def test_a_row_is_the_same_in_any_company_even_if_it_is_drawn(corpus: Corpus, tmp_path: Path) -> None:
    def encode(wave: np.ndarray) -> Any:
        return torch.randn(len(wave) // 100, 3), None, 100

    def rows(name: str, seed: int = 0, some: Corpus = corpus) -> pd.Series:
        extract(Encoder("mine", encode), some, tmp_path / name, Settings(seed=seed))
        return pd.read_parquet(tmp_path / name).set_index("token_id")["layer1"]

    state = torch.get_rng_state()
    everything, again, other = rows("a"), rows("again"), rows("other", seed=1)
    assert torch.equal(torch.get_rng_state(), state)
    alone = rows("alone", some=replace(corpus, utterances=corpus.utterances[2:3]))
    np.testing.assert_array_equal(np.stack(everything), np.stack(again))
    np.testing.assert_array_equal(np.stack(everything.loc[alone.index]), np.stack(alone))
    assert (np.stack(everything) != np.stack(other)).all()


def test_layers_must_be_the_same_for_every_utterance(corpus: Corpus, tmp_path: Path) -> None:
    calls = iter(range(100))

    def encode(wave: np.ndarray) -> Any:
        return (blocks(wave)[:, : 2 if next(calls) < 2 else 1], None, 100)

    with pytest.raises(
        InputError, match=r"mine: layers layer1 \(1 dims, .* but layer1 \(2 dims, 100 samples per step\) on the"
    ):
        extract(Encoder("mine", encode), corpus, tmp_path / "t", Settings())


def test_what_an_encoder_raises_is_one_line_with_its_place(corpus: Corpus, tmp_path: Path) -> None:
    def encode(wave: np.ndarray) -> Any:
        raise RuntimeError("sizes\ndo not fit")

    with pytest.raises(InputError, match=r"mine: RuntimeError at test_encoders.py:\d+: sizes do not fit on utterance"):
        extract(Encoder("mine", encode), corpus, tmp_path / "t", Settings())
    assert not (tmp_path / "t").exists()


def test_the_first_utterance_that_can_be_read_shows_the_layers(tmp_path: Path) -> None:
    corpus = open_corpus(miniature.librispeech(tmp_path / "c"))
    bad = corpus.utterances[0].audio
    bad.write_bytes(bad.read_bytes()[:-200])
    encoder = Encoder("mine", lambda wave: (blocks(wave), None, 100))
    settings = Settings(units=("utterance",))
    assert extract(encoder, corpus, tmp_path / "t", settings).tokens == {"utterance": 3}
    with pytest.raises(UnreadableRecording, match=bad.name):
        extract(encoder, corpus, tmp_path / "u", settings, strict=True)
    with pytest.raises(InputError, match="no utterance of it can be read"):
        EncoderSource.of(encoder, replace(corpus, utterances=corpus.utterances[:1]), seed=0, halves=False)


# From a file or a module


@pytest.fixture(autouse=True)
def _own_modules_are_forgotten(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setattr(sys, "path", [*sys.path])
    yield
    for name in [name for name in sys.modules if name.split(".")[0] in ("own", "helpers", "mine", "broken")]:
        del sys.modules[name]


def written(tmp_path: Path, text: str, name: str = "mine.py") -> Path:
    path = tmp_path / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    return path


OWN = """\
import torch
from helpers.constants import CONSTANT

def encode(wave): return CONSTANT

class Plain:
    sample_rate = 8000
    def encode(self, wave): return 2

class Net(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.w = torch.nn.Linear(2, 1)
    def encode(self, wave): return self.training

drawn = torch.randn(3)
thing = Plain()
"""


@pytest.mark.parametrize(
    ("place", "beside"), [("own/mine.py", "helpers"), ("own/mine.py", "own/helpers"), ("own.mine", "helpers")]
)
def test_functions_classes_and_objects(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, place: str, beside: str
) -> None:
    """From a file or a module, with the user's other modules beside the file or in the current folder."""
    written(tmp_path, OWN, "own/mine.py")
    written(tmp_path, "CONSTANT = 1\n", f"{beside}/constants.py")
    monkeypatch.chdir(tmp_path)
    for name, value, rate in (("", 1, 16000), (":encode", 1, 16000), (":Plain", 2, 8000), (":thing", 2, 8000)):
        encoder = import_encoder(f"{place}{name}", CPU)
        assert (encoder.encode(None), encoder.sample_rate) == (value, rate)
    assert encoder.name == f"{Path(place).name}:thing"
    assert encoder.provenance == {"sha256": hashlib.sha256(OWN.encode()).hexdigest()}
    nets = [import_encoder(f"{place}:Net", CPU).encode for _ in range(2)]
    assert nets[0](None) is False
    assert torch.equal(*(net.__self__.w.weight for net in nets))  # type: ignore[attr-defined]


def test_a_user_s_module_comes_before_an_installed_one_of_its_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    written(tmp_path / "installed", "", "helpers/__init__.py")
    written(tmp_path, "", "helpers/__init__.py")
    written(tmp_path, "CONSTANT = 1\n", "helpers/constants.py")
    written(tmp_path, OWN)
    monkeypatch.chdir(tmp_path)
    sys.path.insert(0, str(tmp_path / "installed"))
    assert import_encoder("mine:encode", CPU).encode(None) == 1


def test_an_encoder_that_starts_threads_is_not_forked(tmp_path: Path, corpus: Corpus) -> None:
    """They would be missing in the fork, and the encoder would wait for them for ever."""
    text = "import threading, time\ndef start(): threading.Thread(target=time.sleep, args=(5,), daemon=True).start()\n"
    result = "    return wave[:8000].reshape(-1, 100), None, 100\n"
    for name, code, forkable in (
        ("none", "def encode(wave):\n" + result, True),
        ("at_import", text + "start()\ndef encode(wave):\n" + result, False),
        ("at_work", text + "def encode(wave):\n    start()\n" + result, False),
    ):
        encoder = SourceSpec(encoder=str(written(tmp_path, code, f"{name}.py"))).open(CPU)
        assert isinstance(encoder, Encoder)
        assert EncoderSource.of(encoder, corpus, seed=0, halves=False).forkable == forkable


@pytest.mark.parametrize(
    ("text", "spec", "says"),
    [
        ("x = 1", ":encode", "mine.py: has no 'encode'; name its encoder: --encoder .*mine.py:NAME"),
        ("encode = 1", "", "'encode' is a int; give a function"),
        ("def encode(:", "", "mine.py: cannot be imported .*line 1.*; fix the file"),
        ("import nowhere_to_be_found", "", r"ModuleNotFoundError at mine.py:1: No module named 'nowhere_to_be_found'"),
        ("class A:\n    def __init__(self, x): pass", ":A", r"mine.py: A\(\) cannot be made \(TypeError"),
        ("def encode(w): pass\nencode.sample_rate = '8k'", "", "encode' is '8k'"),
    ],
)
def test_files_that_hold_no_encoder(tmp_path: Path, text: str, spec: str, says: str) -> None:
    path = written(tmp_path, text)
    with pytest.raises(InputError, match=says) as caught:
        import_encoder(f"{path}{spec}", CPU)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("spec", "says"),
    [
        ("none.py", "--encoder none.py: no such Python file; give FILE.py:NAME or package.module:NAME"),
        ("none.py:encode", "--encoder none.py:encode: no such Python file"),
        ("folder/net.pt:encode", "--encoder folder/net.pt:encode: no such Python file"),
        ("encode", "--encoder encode: no module 'encode' in .* or among the installed packages; give FILE.py:NAME or"),
        ("net.pt:encode", "no module 'net.pt' in"),
        ("mine.more:encode", "no module 'mine.more' in"),
        ("", "no module '' in"),
        (".mine:encode", "no module '.mine' in"),
        ("mine:other", "mine.py: has no 'other'; name its encoder: --encoder mine:NAME"),
        ("broken:encode", r"module 'broken': cannot be imported \(ModuleNotFoundError at broken.py:1: No module named"),
    ],
)
def test_no_such_encoder(tmp_path: Path, spec: str, says: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    written(tmp_path, "def encode(wave): pass")
    written(tmp_path, "import nowhere_to_be_found", "broken.py")
    with pytest.raises(InputError, match=says) as caught:
        import_encoder(spec, CPU)
    assert "\n" not in str(caught.value)
