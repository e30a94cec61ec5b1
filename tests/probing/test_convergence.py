import math
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from lvm_probe import InputError
from lvm_probe.models.checkpoints import checkpoint
from lvm_probe.models.checkpoints.checkpoint import Checkpoint
from lvm_probe.models.families.cwvae import CWVAE
from lvm_probe.models.registry import FAMILIES, preset
from lvm_probe.probing.corpora import open_corpus
from lvm_probe.probing.corpora.corpus import Corpus, Segment, Speaker, Utterance
from lvm_probe.probing.corpora.recordings import open_recordings
from lvm_probe.probing.diagnostics.convergence import (
    Convergence,
    _Estimate,
    choose_utterances,
    measure,
    relative_errors,
)
from lvm_probe.probing.features import token_table
from lvm_probe.probing.features.extraction import Settings, extract
from lvm_probe.probing.features.extraction_settings import Estimator
from lvm_probe.probing.questions.ask import ask
from lvm_probe.probing.questions.question import Question
from tests.probing import miniature

NS = (1, 3, 6)
REFERENCE = 40


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Corpus:
    return open_corpus(miniature.timit_nltk(tmp_path_factory.mktemp("corpus") / "timit"))


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Checkpoint:
    """Random weights, larger than usual, so that the latents do depend on the audio."""
    path = tmp_path_factory.mktemp("checkpoint") / "tiny.safetensors"
    model = CWVAE.seeded(preset("cwvae", "tiny").config, 7)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter *= 1.5
    checkpoint.save(path, model, {"corpus": "noise"})
    return checkpoint.load(path)


@pytest.fixture(scope="module")
def found(tiny: Checkpoint, corpus: Corpus) -> Convergence:
    return measure(tiny.model.eval(), corpus, open_recordings(corpus, 16_000), draws=NS, reference=REFERENCE)


@pytest.mark.parametrize("estimator", ["sample", "posterior-mean"])
def test_a_row_is_what_a_table_of_so_many_samples_holds(
    estimator: Estimator, found: Convergence, tiny: Checkpoint, corpus: Corpus, tmp_path: Path
) -> None:
    extract(tiny, corpus, tmp_path / "t", Settings(draws=3, estimator=estimator))
    extracted = token_table.load(tmp_path / "t")
    results = ask(extracted, Question(protocol="nested", features=("z1", "z2"), ks=(5,), permutations=0)).frame
    rows = found.rows[(found.rows["estimator"] == estimator) & (found.rows["samples"] == 3)].set_index("layer")
    spoken = extracted.tokens["label"] != "h#"
    for layer in ("z1", "z2"):
        answer = results[(results["feature"] == layer) & (results["speaker"] == "")].iloc[0]
        for name in ("accuracy", "n", "n_classes"):
            assert rows.loc[layer, name] == answer[name]
        variance = extracted.features[f"{layer}_var"][spoken.to_numpy()].astype(np.float64)
        said = rows.loc[layer, "predicted_error"] * rows.loc[layer, "spread"]
        assert said == pytest.approx(math.sqrt(variance.mean(0).sum()), rel=1e-3)  # single precision


def test_rows_are_all_there_and_errors_fall(found: Convergence) -> None:
    assert (found.tokens, found.speakers, found.utterances) == (12, 2, 4)
    assert found.seconds == pytest.approx(2)
    for _, mine in found.rows.groupby("layer"):
        assert list(mine["samples"]) == [*NS, *NS, REFERENCE]
        for _, some in mine[mine["estimator"] != "reference"].groupby("estimator"):
            assert math.isnan(some["predicted_error"].iloc[0])  # one path does not know its variance
            assert some["error"].iloc[0] > some["error"].iloc[-1]
        reference = mine.iloc[-1]
        assert math.isnan(reference["error"])
        assert reference["predicted_error"] == reference["reference_error"]
        one = mine[mine["samples"] == 1].set_index("estimator")["error"]
        assert one["posterior-mean"] < one["sample"]
    assert (found.rows["seconds_per_second"] > 0).all()


def test_a_speaker_who_cannot_be_probed_is_left_out(tiny: Checkpoint, corpus: Corpus) -> None:
    utterances = [[u for u in corpus.utterances if u.speaker == one] for one in corpus.speakers]
    few = [replace(u, phonemes=u.phonemes[1:2]) for u in utterances[1][:1]]
    part = replace(corpus, utterances=(*utterances[0], *few))
    found = measure(tiny.model.eval(), part, open_recordings(part, 16_000), draws=(1,), reference=2)
    assert found.tokens == found.rows["n"].iloc[0] + 1
    assert found.speakers == 2


def test_memory_does_not_change_the_result(found: Convergence, tiny: Checkpoint, corpus: Corpus) -> None:
    model = tiny.model.eval()
    other = measure(model, corpus, open_recordings(corpus, 16_000), draws=NS, reference=REFERENCE, memory_gb=1e-9)
    for name in ("error", "predicted_error", "reference_error", "spread"):
        # Single precision, in batches of another size; an error is a difference of such numbers.
        np.testing.assert_allclose(other.rows[name], found.rows[name], rtol=1e-3, atol=1e-6)


def test_errors_by_hand() -> None:
    reference = _Estimate(np.array([[0.0, 7.0], [2.0, 7.0]]), np.array([[0.1, 0.0], [0.1, 0.2]]))
    estimate = _Estimate(np.array([[1.0, 7.0], [1.0, 7.0]]), np.array([[0.5, 0.1], [0.3, 0.1]]))
    found = relative_errors(estimate, reference)
    # Spread: variance 1 in the first dimension, 0 in the second.
    assert found["spread"] == pytest.approx(1)
    assert found["error"] == pytest.approx(math.sqrt((0.9 + 0.9) / 2 + (0 - 0.2) / 2))
    assert found["predicted_error"] == pytest.approx(math.sqrt(0.4 + 0.1))
    assert found["reference_error"] == pytest.approx(math.sqrt(0.1 + 0.1))


def test_the_error_of_known_noise_is_found() -> None:
    """Means of N normal values, against the mean of others: the reference's own error must not be counted."""
    rng = np.random.default_rng(0)
    truth = rng.normal(0, 2, (400, 1, 10))
    scale = np.linspace(0, 1, 10)  # the first dimension has no noise
    draws = truth + scale * rng.normal(size=(400, 60, 10))
    estimate, reference = _Estimate.of(draws[:, :20]), _Estimate.of(draws[:, 20:])
    found = relative_errors(estimate, reference)
    spread = math.sqrt(truth[:, 0].var(0).sum())
    expected = math.sqrt(np.square(scale).sum() / 20) / spread
    # 4,000 squares: 3 % of their mean, of which the reference takes off half again; the root halves it.
    assert found["error"] == pytest.approx(expected, rel=0.06)
    assert found["predicted_error"] == pytest.approx(expected, rel=0.02)
    assert found["reference_error"] == pytest.approx(expected / math.sqrt(2), rel=0.02)
    assert found["spread"] == pytest.approx(spread, rel=0.02)


def test_an_error_too_small_to_tell_is_zero_and_nothing_to_hold_it_against_is_unknown() -> None:
    still = _Estimate(np.ones((3, 1)), np.ones((3, 1)))
    assert math.isnan(relative_errors(still, still)["error"])
    moving = _Estimate(np.array([[0.0], [1.0]]), np.ones((2, 1)))
    assert relative_errors(moving, moving)["error"] == 0


def of_speakers(counts: Sequence[int]) -> Corpus:
    utterances = [
        Utterance(f"S{s}_{i}", Speaker(f"S{s}"), Path("x.wav"), 8000, 16000, phonemes=(Segment("aa", 0, 8000),))
        for s, count in enumerate(counts)
        for i in range(count)
    ]
    return Corpus("made", Path("made"), tuple(utterances))


def test_speakers_are_taken_whole_while_they_fit() -> None:
    corpus = of_speakers([3, 3, 3, 3])
    chosen = choose_utterances(corpus, 7)
    assert len(chosen.utterances) == 6
    assert len(chosen.speakers) == 2
    assert choose_utterances(corpus, 7) == chosen
    assert len({choose_utterances(corpus, 7, seed).speakers for seed in range(20)}) > 1
    assert choose_utterances(corpus, 100).utterances == corpus.utterances
    assert len(choose_utterances(of_speakers([9, 9]), 4).utterances) == 4
    assert len(choose_utterances(of_speakers([9, 9]), 4).speakers) == 1
    mixed = choose_utterances(of_speakers([9, 2, 9, 1]), 4)
    assert {s.id for s in mixed.speakers} == {"S1", "S3"}  # those who fit, wherever they stand


def test_refusals(tiny: Checkpoint, corpus: Corpus) -> None:
    silent = replace(corpus, utterances=tuple(replace(u, phonemes=u.phonemes[:1]) for u in corpus.utterances))
    with pytest.raises(InputError, match="no phonemes"):
        choose_utterances(silent, 4)
    with pytest.raises(InputError, match="--utterances 0"):
        choose_utterances(corpus, 0)
    mine = open_recordings(corpus, 16_000)
    for draws, reference in (((0, 1), 10), ((1,), 1), ((), 10)):
        with pytest.raises(InputError, match="--reference"):
            measure(tiny.model, corpus, mine, draws=draws, reference=reference)
    lstm = FAMILIES["lstm"].seeded(preset("lstm", "tiny").config, 3).eval()
    with pytest.raises(InputError, match="nothing is sampled"):
        measure(lstm, corpus, mine)
