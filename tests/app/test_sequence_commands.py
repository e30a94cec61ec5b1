"""`probe train`, `evaluate` and `sample` on piano rolls, pen strokes and text."""

from pathlib import Path

import pytest

from lvm_probe.models.checkpoints import checkpoint
from lvm_probe.probing.corpora.demo import CORPUS
from tests.app.conftest import TINY, Probe, Refusal, quietly
from tests.probing.sequence_miniatures import MINIATURES

HERE = ("--device", "cpu")
CASES = {
    "pianoroll": ("mat", "lstm", "masked-mlp", (".mid", ".wav")),
    "strokes": ("sketches", "vrnn", "rnn", (".svg", ".png")),
    "words": ("prose", "srnn", None, (".txt",)),
}
"""By domain: a miniature, a family, a within-step factorisation, the files that samples are written to."""


def corpus_of(domain: str, root: Path) -> Path:
    name = CASES[domain][0]
    found = next(m for key, m in MINIATURES.items() if m.domain == domain and (key == name or domain != "pianoroll"))
    root.mkdir(exist_ok=True)
    return found.write(root)


@pytest.mark.parametrize("domain", CASES)
def test_train_evaluate_and_sample(domain: str, probe: Probe, refused: Refusal, tmp_path: Path) -> None:
    _, family, within, endings = CASES[domain]
    corpus, run = corpus_of(domain, tmp_path / "data"), tmp_path / "run"
    how = ("--domain", domain, "--hold-out", "0.3", "--test", "0.3", "--segment", "5")
    within_step = ("--within-step", within) if within else ()
    trained = probe("train", family, "--corpus", corpus, "--out", run, *TINY, *how, *within_step)
    kept = checkpoint.load(run, any_domain=True)
    model = kept.model
    assert kept.provenance["recipe"]["segment"] == 5 * model.config.output.step  # in elements
    assert model.config.output.name == domain
    assert model.config.within_step == (within or "factorised")
    assert trained["test_nats_per_step"] < 0 or domain == "strokes"
    evaluate = ("evaluate", "--ckpt", run, "--corpus", corpus, "--split", "test", *HERE)
    assert "--strict: " in refused(*evaluate, "--strict")
    found = probe(*evaluate)
    assert found["domain"] == domain
    assert found["nats_per_step"] == pytest.approx(found["elbo_nats"] * model.config.output.step / found["frames"])
    assert found["nats_per_step"] == pytest.approx(trained["test_nats_per_step"])
    assert found["warnings"] == [warning for warning in trained["warnings"] if "carries nothing" in warning]
    seen = probe("evaluate", "--ckpt", run, "--corpus", corpus, "--split", "valid", *HERE)
    assert "its checkpoint was chosen by these sequences" in seen["warnings"]
    drawn = probe("sample", "--ckpt", run, "--steps", "7", "--count", "2", "--out", tmp_path / "samples", *HERE)
    wanted = [f"sample-{i}{ending}" for i in (1, 2) for ending in endings]
    assert [Path(path).name for path in drawn["wrote"]] == wanted
    assert all(Path(path).stat().st_size > 0 or domain == "words" for path in drawn["wrote"])


def test_a_recipe_for_speech_leaves_other_data_as_loud_as_they_are(probe: Probe, tmp_path: Path) -> None:
    corpus = corpus_of("pianoroll", tmp_path / "data")
    probe("train", "lstm", "--corpus", corpus, "--out", tmp_path / "run", *TINY, "--recipe", "gpu", "--segment", "5")
    assert checkpoint.load(tmp_path / "run", any_domain=True).provenance["recipe"]["quieter"] == 0


def test_what_does_not_go_together_is_refused(refused: Refusal, tmp_path: Path) -> None:
    roll, out = corpus_of("pianoroll", tmp_path / "a"), tmp_path / "run"
    train = ("--corpus", roll, "--out", out, *TINY)
    assert "cwvae is for waveforms; pianoroll can be modelled by vrnn, srnn" in refused("train", "cwvae", *train)
    assert "--quieter: for speech only" in refused("train", "lstm", *train, "--quieter", "6")
    for option in (("--likelihood", "dmol"), ("--every", "2"), ("--permute", "8"), ("--stage", "2"), ("--flip",)):
        assert f"{option[0]}: for speech only" in refused("train", "lstm", *train, *option)
    nats = ("--upper-free-nats", "2")
    assert "--upper-free-nats: the recipe has no free nats" in refused("train", "stcn", *train, *nats)
    assert "pianoroll have no mixture" in refused("train", "lstm", *train, "--components", "3")
    assert "several --corpus are for speech" in refused("train", "lstm", *train, "--corpus", roll)
    assert "not words" in refused("train", "lstm", *train, "--domain", "words")
    assert "cuts it" in refused("train", "lstm", *train, "--strides", "3")
    assert "unknown within-step" in refused("train", "lstm", *train, "--within-step", "some")
    assert "has no such choice" in refused("train", "cwvae", "--within-step", "rnn", *train[2:], "--corpus", tmp_path)
    assert not out.exists()
    evaluate = ("evaluate", "--ckpt", "vrnn-small", "--corpus", roll, *HERE)
    assert "these checkpoints model waveform" in refused(*evaluate)
    assert "a baseline of waveforms" in refused("evaluate", "--ckpt", "flac", "--corpus", roll, *HERE)
    run = tmp_path / "thinned"
    shape = ("--every", "4", "--permute", "64", "--kl-weight", "0", "--within-step", "rnn")
    quietly("train", "vrnn", "--corpus", CORPUS, "--out", run, *TINY, *shape)
    assert "cannot be listened to" in refused("sample", "--ckpt", run, *HERE)
    assert "this needs one of speech" in refused("extract", "--ckpt", run, "--corpus", CORPUS, "--out", tmp_path / "l")
