"""Columns of what lies right before and right after a token."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

import lvm_probe
from lvm_probe import InputError
from lvm_probe.analysis.mel import log_mel
from lvm_probe.models.families.cwvae import CWVAE
from lvm_probe.models.registry import preset
from lvm_probe.probing.corpora import open_corpus
from lvm_probe.probing.corpora.audio import to_float
from lvm_probe.probing.corpora.corpus import Corpus, Segment
from lvm_probe.probing.corpora.recordings import read_pcm
from lvm_probe.probing.features import context
from lvm_probe.probing.features.encoders import EncoderSource, as_encoder
from lvm_probe.probing.features.extraction import feature_sizes, features
from lvm_probe.probing.features.extraction_settings import ALSO, Settings
from lvm_probe.probing.features.feature import may_be_unknown
from lvm_probe.probing.features.sources import ModelSource
from lvm_probe.probing.features.token_table import TokenTable
from lvm_probe.probing.questions.ask import ask
from lvm_probe.probing.questions.question import Method, Question
from tests.probing import miniature
from tests.probing import reference_pooling as reference
from tests.probing.synthetic_tables import at, made_up

RATE = 16_000


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Corpus:
    return open_corpus(miniature.timit_nltk(tmp_path_factory.mktemp("corpus") / "timit"))


@pytest.fixture(autouse=True)
def _no_gradients() -> Iterator[None]:
    with torch.no_grad():
        yield


def encode(wave: np.ndarray) -> dict[str, tuple[np.ndarray, np.ndarray, int]]:
    mean = np.stack([[wave[t : t + 100].mean(), wave[t : t + 100].std()] for t in range(0, len(wave), 100)])
    return {"level": (mean, mean**2, 100)}


@given(st.integers(1, 300), st.integers(1, 50), st.data())
def test_the_stretches_are_the_samples_that_are_there(samples: int, reach: int, data: st.DataObject) -> None:
    start = data.draw(st.integers(0, samples - 1))
    end = data.draw(st.integers(start + 1, samples))
    before, after = context.around([Segment("x", start, end)], reach, samples)
    there = range(samples)
    assert list(range(before.start, before.end)) == ([t for t in there if start - reach <= t < start] or [0])
    assert list(range(after.start, after.end)) == ([t for t in there if end <= t < end + reach] or [samples - 1])


def test_all_stretches_before_come_first() -> None:
    tokens = [Segment("a", 0, 400), Segment("b", 400, 1000)]
    assert context.around(tokens, 100, 1050) == [
        Segment("a", 0, 1),
        Segment("b", 300, 400),
        Segment("a", 400, 500),
        Segment("b", 1000, 1050),
    ]


def test_context_is_the_mean_over_the_samples_beside_the_token(corpus: Corpus) -> None:
    utterance = corpus.utterances[0]
    pcm = read_pcm(utterance, RATE)
    samples = len(pcm)
    tokens = [Segment("a", 0, 500), Segment("b", 500, 501), Segment("c", 1230, 4000), Segment("d", 7000, samples)]
    settings = Settings(context_ms=40)
    source = EncoderSource.of(as_encoder(encode), corpus, seed=0, halves=False)
    found = features(source, utterance, tokens, settings)
    assert {name: values.shape[1] for name, values in found.items()} == feature_sizes(source, settings)
    assert list(found) == ["level", "level_before", "level_after", "level_var", "mel", "mel_before", "mel_after"]
    steps = {
        "level": (encode(to_float(pcm))["level"][0], 100),
        "mel": (log_mel(to_float(pcm), sample_rate=RATE, hop=64), 64),
    }
    for row, token in enumerate(tokens):
        beside = {
            "": token,
            "_before": Segment("", max(0, token.start - 640), token.start) if token.start else Segment("", 0, 1),
            "_after": Segment("", token.end, min(samples, token.end + 640))
            if token.end < samples
            else Segment("", samples - 1, samples),
        }
        for name, (values, stride) in steps.items():
            for ending, segment in beside.items():
                # Single precision; log energies are about -10.
                expected = reference.pooled_mean(values, segment, stride)
                np.testing.assert_allclose(found[name + ending][row], expected, rtol=1e-5, atol=1e-5)


def test_context_has_the_same_features_as_a_token_has(corpus: Corpus) -> None:
    utterance = corpus.utterances[0]
    segments = list(utterance.phonemes)
    settings = Settings(draws=2, also=ALSO)
    source = ModelSource(CWVAE.seeded(preset("cwvae", "tiny").config, 3).eval(), settings)
    plain = features(source, utterance, segments, settings)
    found = features(source, utterance, segments, replace(settings, context_ms=12.5))
    beside = context.around(segments, 200, utterance.samples)
    alone = features(source, utterance, beside, settings)
    count = len(segments)
    for name, values in plain.items():
        np.testing.assert_array_equal(found.pop(name), values)
        if not may_be_unknown(name):
            np.testing.assert_array_equal(found.pop(f"{name}_before"), alone[name][:count])
            np.testing.assert_array_equal(found.pop(f"{name}_after"), alone[name][count:])
    assert not found
    assert {"z1_logms", "z1_halves", "h2", "mel", "mfcc", "stats"} <= plain.keys()


def test_the_table_says_which_context_it_has(corpus: Corpus, tmp_path: Path) -> None:
    table = lvm_probe.extract(corpus, encode, tmp_path / "t", context_ms=40)
    assert table.extraction["context_ms"] == 40
    assert "40 ms of context" in repr(table)
    assert table.matrix("mel_before+mel+mel_after").shape == (len(table), 240)
    assert np.isfinite(table.matrix("level_before+level_after")).all()
    without = lvm_probe.extract(corpus, encode, tmp_path / "without")
    assert without.extraction["context_ms"] is None
    np.testing.assert_array_equal(without.features["mel"], table.features["mel"])
    with pytest.raises(InputError, match="another extraction .its context_ms, features differ.; give --add"):
        lvm_probe.extract(corpus, encode, tmp_path / "without", context_ms=40)


@pytest.fixture
def beside() -> TokenTable:
    """Made-up features and the context of all but z2."""
    columns = ("z1_before", "z1", "z1_after", "z2", "mel_before", "mel", "mel_after")
    table = made_up(speakers=4, dims=dict.fromkeys(columns, 4))
    return replace(table, extraction={"context_ms": 25.0})


def test_asked_in_context_a_feature_is_its_three_columns(beside: TokenTable) -> None:
    how = {"method": "lda", "permutations": 0, "untrained": None}
    found = lvm_probe.ask(beside, features=["z1", "mel"], context=True, **how).frame
    joined = lvm_probe.ask(beside, features=["z1_before+z1+z1_after", "mel_before+mel+mel_after"], **how).frame
    np.testing.assert_array_equal(found["accuracy"], joined["accuracy"])
    assert (found["dims"] == 12).all()
    assert (found["context_ms"] == 25).all()
    assert (joined["context_ms"] == 0).all()
    difference = {name: at(found, feature=name, speaker="")["accuracy"] for name in ("z1", "mel")}
    # To Mel in the same context.
    assert at(found, feature="z1", speaker="")["minus_mel"] == pytest.approx(difference["z1"] - difference["mel"])


@pytest.mark.parametrize("method", ["knn", "lda", "logistic", "abx"])
def test_the_answer_says_which_context_it_has(beside: TokenTable, method: Method) -> None:
    answer = lvm_probe.ask(beside, method=method, features=["z1", "mel"], context=True, untrained=None)
    assert ", with 25 ms of context on either side: " in str(answer).splitlines()[0]
    assert "context" not in str(lvm_probe.ask(beside, method=method, features=["z1"], untrained=None)).splitlines()[0]


def test_a_feature_without_context_is_left_out_by_name(beside: TokenTable) -> None:
    how = {"method": "lda", "context": True, "untrained": None}
    answer = lvm_probe.ask(beside, features=["z1+z2", "mel", "mel_before"], **how)
    assert set(answer.frame["feature"]) == {"mel"}
    assert "left out, feature z1+z2: the table has no context of z2" in answer.notes
    assert "left out, feature mel_before: the table has no context of mel_before" in answer.notes
    with pytest.raises(InputError, match="no feature 'z9'"):
        lvm_probe.ask(beside, features=["z9"], **how)


def test_tables_without_context_or_with_another_are_refused(beside: TokenTable) -> None:
    how = {"method": "lda", "features": ["z1", "mel"], "context": True}
    without, shorter = (replace(beside, extraction={"context_ms": ms}) for ms in (None, 10.0))
    with pytest.raises(InputError, match="made-up: has no context; add it with `probe extract --add --context 40ms`"):
        lvm_probe.ask(without, untrained=None, **how)
    others = replace(shorter, columns=shorter.columns | {"speaker": shorter.columns["speaker"] + "x"})
    with pytest.raises(InputError, match="has 10 ms of context and .* 25 ms; extract both"):
        ask(beside, Question(protocol="transfer", **how), test=others)
    for other, says in ((without, "has no context"), (shorter, "has 10 ms of context and .* 25 ms; extract both")):
        question = Question(**how)
        with pytest.raises(InputError, match=says):
            ask(beside, question, untrained=other)


@pytest.mark.parametrize("wrong", [0, -1, float("nan"), float("inf")])
def test_no_context_is_not_a_context(corpus: Corpus, tmp_path: Path, wrong: float) -> None:
    with pytest.raises(InputError, match="--context .*: give more than nothing, such as 40ms, or leave it out"):
        lvm_probe.extract(corpus, encode, tmp_path / "t", context_ms=wrong)
    assert not (tmp_path / "t").exists()
