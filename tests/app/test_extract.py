"""`probe extract` with more features, your own encoder, and torchaudio's models."""

import hashlib
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch

from lvm_probe.app.cli import main
from lvm_probe.probing.features import token_table, torchaudio_models
from tests.app.conftest import Probe, Refusal
from tests.probing import miniature, tiny_wav2vec2

ENCODER = """\
import numpy as np

def steps(wave, stride):
    return np.stack([wave[t : t + stride].std() * np.ones(3) for t in range(0, len(wave), stride)])

def encode(wave):
    return {"level": (steps(wave, 160), None, 160)}

class Model:
    sample_rate = 8000

    def encode(self, wave, sample_rate):
        assert sample_rate == 8000
        mean = steps(wave, 80)
        return [(mean, mean**2, 80)]

broken = 3
"""


@pytest.fixture
def corpus(tmp_path: Path) -> Path:
    return miniature.timit_nltk(tmp_path / "corpus")


@pytest.fixture
def encoder(tmp_path: Path) -> Path:
    path = tmp_path / "mine.py"
    path.write_text(ENCODER)
    return path


def test_more_features(tiny: Path, corpus: Path, probe: Probe, tmp_path: Path) -> None:
    argv = ("extract", "--ckpt", tiny, "--corpus", corpus, "--out", tmp_path / "t", "--samples", 2)
    document = probe(*argv, "--also", "stats, mfcc,states,halves")
    assert list(document["features"]) == [
        "z1", "z1_var", "z1_logms", "z1_halves", "z1_logms_halves", "z2", "z2_var", "z2_logms", "z2_halves",
        "z2_logms_halves", "h1", "h1_halves", "h2", "h2_halves", "mel", "mel_halves", "mfcc", "mfcc_halves", "stats",
    ]  # fmt: skip
    description = token_table.read_extraction(tmp_path / "t")
    assert (description["also"], description["layers"]) == (["mfcc", "stats", "states", "halves"], ["z1", "z2"])
    assert len(pd.read_parquet(tmp_path / "t")) == 20
    assert probe(*argv, "--also", "mfcc,stats,halves,states")["parts_done"] == 0


def test_boundaries_are_moved_and_the_table_says_it(
    corpus: Path, encoder: Path, probe: Probe, refused: Refusal, tmp_path: Path
) -> None:
    argv = ("extract", "--encoder", f"{encoder}:encode", "--corpus", corpus, "--out")
    probe(*argv, tmp_path / "t")
    probe(*argv, tmp_path / "moved", "--move-boundaries", "10ms")
    table, moved = (token_table.load(tmp_path / name) for name in ("t", "moved"))
    assert moved.extraction["corpus"]["moved_ms"] == 10
    assert moved.columns["token_id"].tolist() == table.columns["token_id"].tolist()
    assert moved.columns["start"].tolist() != table.columns["start"].tolist()
    assert "holds another extraction" in refused(*argv, tmp_path / "t", "--move-boundaries", "10ms")


def test_context(corpus: Path, encoder: Path, probe: Probe, tmp_path: Path) -> None:
    argv = ("extract", "--corpus", corpus, "--encoder", encoder)
    document = probe(*argv, "--out", tmp_path / "t", "--context", "40ms")
    assert document["features"] == {
        "level": 3, "level_before": 3, "level_after": 3, "mel": 80, "mel_before": 80, "mel_after": 80,
    }  # fmt: skip
    assert token_table.read_extraction(tmp_path / "t")["context_ms"] == 40
    assert probe(*argv, "--out", tmp_path / "t", "--context", "0.04s")["parts_done"] == 0
    probe(*argv, "--out", tmp_path / "later")
    probe(*argv, "--out", tmp_path / "later", "--context", "40 ms", "--add")
    one, other = (token_table.load(tmp_path / name).features for name in ("t", "later"))
    assert one.keys() == other.keys()
    for name, values in one.items():
        np.testing.assert_array_equal(values, other[name])


def test_your_own_encoder(corpus: Path, encoder: Path, probe: Probe, tmp_path: Path) -> None:
    argv = ("extract", "--corpus", corpus, "--encoder")
    document = probe(*argv, encoder, "--out", tmp_path / "a", "--also", "halves")
    assert document["features"] == {"level": 3, "level_halves": 6, "mel": 80, "mel_halves": 160}
    document = probe(*argv, f"{encoder}:Model", "--out", tmp_path / "b")
    assert document["features"] == {"layer1": 3, "layer1_var": 3, "mel": 80}
    description = token_table.read_extraction(tmp_path / "b")
    assert description["encoder"] == {
        "name": "mine.py:Model", "sample_rate": 8000, "strides": {"layer1": 80},
        "sha256": hashlib.sha256(encoder.read_bytes()).hexdigest(),
    }  # fmt: skip
    loaded = token_table.load(tmp_path / "b")
    assert (loaded.features["layer1_var"] > 0).all()
    assert probe(*argv, f"{encoder}:Model", "--out", tmp_path / "b")["parts_done"] == 0


def test_a_torchaudio_model(corpus: Path, probe: Probe, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(torchaudio_models.BUILDERS, "hubert_base", (tiny_wav2vec2.tiny, False))
    torch.save(tiny_wav2vec2.tiny().state_dict(), tmp_path / "weights.pt")
    argv = ("extract", "--torchaudio", "hubert_base", "--corpus", corpus, "--layer", 9, "--layer", 2)
    weights = ("--weights", tmp_path / "weights.pt")
    document = probe(*argv, *weights, "--out", tmp_path / "t")
    assert document["features"] == {"hubert_base_2": 8, "hubert_base_9": 8, "mel": 80}
    probe(*argv, "--untrained", "--out", tmp_path / "u")
    trained, untrained = token_table.load(tmp_path / "t"), token_table.load(tmp_path / "u")
    assert (trained.features["hubert_base_2"] != untrained.features["hubert_base_2"]).any()
    np.testing.assert_array_equal(trained.features["mel"], untrained.features["mel"])
    assert (trained.extraction["untrained"], untrained.extraction["untrained"]) == (False, True)
    assert trained.extraction["encoder"]["weights"] == "weights.pt"


def test_untrained_models_of_several_seeds(tiny: Path, corpus: Path, probe: Probe, tmp_path: Path) -> None:
    argv = ("extract", "--ckpt", tiny, "--corpus", corpus, "--untrained", "--samples", 2)
    first = probe(*argv, "--out", tmp_path / "u")
    three = (*argv, "--out", tmp_path / "u", "--seeds", "0,1,12")
    documents = probe(*three)["tables"]
    assert documents[0]["table"] == first["table"]
    assert [Path(document["table"]).name for document in documents] == ["u", "u-1", "u-12"]
    assert [document["parts_done"] for document in documents] == [0, first["parts"], first["parts"]]
    assert all(document["parts_done"] == 0 for document in probe(*three)["tables"])
    tables = [token_table.load(tmp_path / name) for name in ("u", "u-1", "u-12")]
    assert [table.extraction["seed"] for table in tables] == [0, 1, 12]
    assert all(table.extraction["untrained"] for table in tables)
    probe(*argv, "--out", tmp_path / "alone", "--seed", 12)
    alone = token_table.load(tmp_path / "alone")
    for name, values in tables[2].features.items():
        np.testing.assert_array_equal(values, alone.features[name])
    assert (tables[0].features["z1"] != tables[1].features["z1"]).any()
    np.testing.assert_array_equal(tables[0].features["mel"], tables[1].features["mel"])


def test_a_table_of_another_seed_in_the_way(
    tiny: Path, corpus: Path, probe: Probe, refused: Refusal, tmp_path: Path
) -> None:
    argv = ("extract", "--ckpt", tiny, "--corpus", corpus, "--untrained", "--samples", 2)
    probe(*argv, "--out", tmp_path / "u-1", "--seed", 7)
    assert "u-1: holds another extraction (its seed differ)" in refused(
        *argv, "--out", tmp_path / "u", "--seeds", "0,1"
    )


def test_refusals(
    tiny: Path, corpus: Path, encoder: Path, refused: Refusal, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(torchaudio_models.BUILDERS, "hubert_base", (tiny_wav2vec2.tiny, False))
    argv = ("extract", "--corpus", corpus, "--out", tmp_path / "t")
    named = ("--torchaudio", "hubert_base")
    for options, says in (
        ((), "one of the arguments --ckpt --encoder --torchaudio --hf is required"),
        (("--ckpt", tiny, "--encoder", encoder), "--encoder: not allowed with argument --ckpt"),
        (
            ("--ckpt", tiny, "--also", "mfcc,pitch"),
            "--also mfcc,pitch: choose among mfcc, stats, measures, states, halves",
        ),
        (("--ckpt", tiny, "--also", "mfcc", "--mel-bins", 12), "13 coefficients need as many --mel-bins, not 12"),
        (("--ckpt", tiny, "--also", "stats", "--mel-window", 8, "--mel-bins", 2), "--also stats: needs --mel-window"),
        (("--ckpt", tiny, "--layer", 3), "--layer: belongs to --torchaudio"),
        (("--ckpt", tiny, "--weights", "x"), "--weights: belongs to --torchaudio"),
        (("--encoder", encoder, "--samples", 3), "--samples: only a --ckpt is sampled"),
        (("--encoder", encoder, "--memory", 3), "--memory: only a --ckpt is sampled"),
        (("--ckpt", tiny, "--workers", 0), "--workers 0: give a whole number from 1"),
        (("--ckpt", tiny, "--workers", 2, "--cluster", "tcp://x:1"), "--workers: those of --cluster are started"),
        (("--encoder", encoder, "--context", "40"), "--context: '40': give a time with its unit, such as 40ms"),
        (("--encoder", encoder, "--context", "0ms"), "--context 0ms: give more than nothing, such as 40ms"),
        (("--ckpt", tiny, "--seeds", "0,1"), "--seeds: draws the weights of --untrained; leave it out, or give"),
        (("--ckpt", tiny, "--untrained", "--seeds", "0,1,0"), "--seeds: '0,1,0': give each seed once"),
        (("--ckpt", tiny, "--untrained", "--seeds", "0,b"), "--seeds: 'b' is no whole number"),
        (("--ckpt", tiny, "--untrained", "--seeds", "0,1", "--seed", 3), "--seed 3: --seeds names them all; leave"),
        (("--encoder", "no.such:encode"), "--encoder no.such:encode: no module 'no.such' in"),
        (("--encoder", encoder, "--untrained"), "--untrained: needs --ckpt, --torchaudio or --hf"),
        (("--encoder", encoder, "--also", "states"), "--also states: mine.py:encode has no states"),
        (("--encoder", f"{encoder}:other"), f"{encoder}: has no 'other'"),
        (("--encoder", f"{encoder}:broken"), f"{encoder}: 'broken' is a int; give a function"),
        (("--encoder", tmp_path / "none.py"), "none.py: no such Python file; give FILE.py:NAME"),
        (("--torchaudio", "hubert", "--untrained"), "--torchaudio hubert: unknown; choose among wav2vec2_base,"),
        (named, "give either --weights FILE (nothing is downloaded) or --untrained"),
        ((*named, "--untrained"), "--layer: none given; hubert_base has layers 1 to 9"),
        ((*named, "--untrained", "--layer", 10), "--layer: 10; hubert_base has layers 1 to 9"),
        ((*named, "--weights", tmp_path / "none.pt", "--layer", 1), "none.pt: no such file"),
    ):
        assert says in refused(*argv, *options), options
    assert not (tmp_path / "t").exists()


def test_other_features_or_another_encoder_need_another_folder(
    tiny: Path, corpus: Path, encoder: Path, refused: Refusal, probe: Probe, tmp_path: Path
) -> None:
    argv = ("extract", "--corpus", corpus, "--out", tmp_path / "t")
    probe(*argv, "--encoder", encoder)
    assert "holds another extraction (its also, features differ)" in refused(
        *argv, "--encoder", encoder, "--also", "stats"
    )
    assert "holds another extraction (its checkpoint, model, samples, estimator, " in refused(*argv, "--ckpt", tiny)
    encoder.write_text(ENCODER + "# another version\n")
    assert "holds another extraction (its encoder differ)" in refused(*argv, "--encoder", encoder)
    tokens = token_table.load(tmp_path / "t")
    tokens.with_feature("mine", np.zeros((20, 1))).save(tmp_path / "mine")
    mine = ("extract", "--corpus", corpus, "--out", tmp_path / "mine", "--encoder", encoder)
    assert "holds a table with features of your own" in refused(*mine)


def test_the_help_names_all_three_kinds_of_model(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["extract", "--help"])
    text = capsys.readouterr().out
    assert all(way in text for way in ("--ckpt CKPT", "--encoder FILE.py:NAME", "--torchaudio MODEL", "--hf FOLDER"))


def test_speakers_are_chosen_and_units_added(
    tiny: Path, corpus: Path, probe: Probe, refused: Refusal, tmp_path: Path
) -> None:
    argv = ("extract", "--ckpt", tiny, "--corpus", corpus, "--out", tmp_path / "t", "--samples", 2)
    assert "no speaker NOBODY in this corpus" in refused(*argv, "--speaker", "FVMH0,NOBODY")
    assert probe(*argv, "--speaker", "FVMH0")["tokens_by_unit"] == {"phoneme": 10}
    assert "give --add to add to it" in refused(*argv, "--speaker", "FVMH0", "--units", "word")
    added = probe(*argv, "--speaker", "FVMH0", "--add", "--units", "word")
    assert added["tokens_by_unit"] == {"phoneme": 10, "word": 4}
    added = probe(*argv, "--speaker", "FVMH0", "--add", "--also", "mfcc")
    assert (added["tokens_by_unit"], list(added["features"])[-1]) == ({"phoneme": 10, "word": 4}, "mfcc")
    assert "corpus differ" in refused(*argv, "--add", "--also", "stats")
    assert token_table.read_extraction(tmp_path / "t")["corpus"]["speakers"] == ["FVMH0"]
