"""The `probe` command as a user sees it: results on standard output, one line of error, exit codes."""

import json
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch

import lvm_probe.probing.corpora.demo
from lvm_probe.app.cli import main
from lvm_probe.models.checkpoints import checkpoint
from lvm_probe.probing.corpora.demo import CORPUS
from lvm_probe.probing.features import extraction, token_table
from tests.app.conftest import TINY, Probe, Refusal, quietly
from tests.probing import miniature, sequence_miniatures

RESULT = {
    "feature", "target", "protocol", "speaker", "k", "n", "n_classes", "accuracy", "balanced_accuracy",
    "ci_low", "ci_high", "chance", "null_accuracy",
}  # fmt: skip


@pytest.fixture(scope="module")
def latents(tmp_path_factory: pytest.TempPathFactory, tiny: Path, small: Path) -> Path:
    out = tmp_path_factory.mktemp("latents") / "tiny"
    quietly("extract", "--ckpt", tiny, "--corpus", small, "--out", out, "--samples", 2)
    return out


# Help and overviews


@pytest.mark.parametrize("argv", [["--help"], ["knn", "--help"], ["--version"]])
def test_help_imports_nothing_heavy(argv: list[str]) -> None:
    code = (
        "import sys\nfrom lvm_probe.app.cli import main\n"
        f"try:\n    main({argv})\nexcept SystemExit as stop:\n    assert not stop.code\n"
        "heavy = {'torch', 'torchaudio', 'numpy', 'scipy', 'pandas', 'sklearn', 'pyarrow', 'matplotlib'}\n"
        "print(sorted(heavy & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "[]"
    assert done.stderr == ""


def test_models(probe: Probe) -> None:
    document = probe("models")
    assert document["families"][:2] == ["cwvae", "vrnn"]
    assert {"cwvae/small", "cwvae/small-3", "cwvae/paper", "cwvae/paper-1", "cwvae/tiny"} <= set(document["presets"])
    assert {f"{family}/{name}" for family in document["families"] for name in ("small", "tiny")} <= set(
        document["presets"]
    )
    for shipped in document["checkpoints"]:
        assert {"name", "family", "path"} <= shipped.keys()
        assert Path(shipped["path"]).is_file()


def test_corpus(probe: Probe, capsys: pytest.CaptureFixture[str]) -> None:
    document = probe("corpus", CORPUS)
    assert (document["utterances"], document["speakers"], document["problems"]) == (100, 10, [])
    assert document["tokens"].keys() == {"phoneme", "word"}
    assert document["seconds"] > 0
    quietly("corpus", CORPUS)
    assert "10 (5 F, 5 M" in capsys.readouterr().out


def test_corpus_of_sequences(
    probe: Probe, refused: Refusal, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    songs, text = sequence_miniatures.mat(tmp_path), sequence_miniatures.lines(tmp_path)
    document = probe("corpus", songs)
    assert (document["domain"], document["step"]) == ("pianoroll", 88)
    assert document["splits"]["train"] == {"sequences": 2, "steps": 5, "shortest": 2, "longest": 3}
    assert document["notes_per_step"] == 11 / 9
    assert probe("corpus", text, "--domain", "words")["vocabulary"] == 10
    quietly("corpus", sequence_miniatures.sketches(tmp_path))
    assert "dx -0.2 ± 3.19, dy 2.2 ± 2.48" in capsys.readouterr().out
    quietly("corpus", text, "--domain", "characters")
    assert re.search("vocabulary  [0-9]+: <unk> <eos> .*space", capsys.readouterr().out)
    assert "choose with --domain" in refused("corpus", text)
    assert "--strict: " in refused("corpus", songs, "--strict")
    assert "--domain words: " in refused("corpus", CORPUS, "--domain", "words")


# From training to a result


def test_training(trained: Path, probe: Probe, capsys: pytest.CaptureFixture[str]) -> None:
    assert {"best.safetensors", "last.safetensors", "log.csv"} <= {path.name for path in trained.iterdir()}
    assert any(path.name.startswith("events.") for path in trained.iterdir())
    assert pd.read_csv(trained / "log.csv")["update"].max() == 6
    before = (trained / "best.safetensors").read_bytes()
    document = probe("train", "cwvae", "--corpus", CORPUS, "--out", trained, *TINY, "--resume")
    assert document["updates"] == 6
    assert np.isfinite(document["validation_bits_per_frame"])
    assert (trained / "best.safetensors").read_bytes() == before


@pytest.mark.parametrize(("family", "layers"), [("vrnn", {"z1"}), ("lstm", set())])
def test_other_families_train_evaluate_and_extract(
    family: str, layers: set[str], small: Path, probe: Probe, tmp_path: Path
) -> None:
    run = tmp_path / "run"
    trained = probe("train", family, "--corpus", small, "--out", run, "--hold-out", 0.5, "--test", 0, *TINY)
    assert trained["updates"] == 6
    result = probe("evaluate", "--ckpt", run, "--corpus", small, "--split", "validation")
    assert result["kl_bits_per_frame"].keys() == layers
    assert result["bits_per_frame"] == pytest.approx(trained["validation_bits_per_frame"], rel=1e-6)
    extracted = probe("extract", "--ckpt", run, "--corpus", small, "--out", tmp_path / "t", "--samples", 2)
    assert extracted["features"].keys() == ({"z1", "z1_var", "z1_logms", "mel"} if layers else {"h1", "mel"})


def test_training_never_takes_a_test_split_by_default(refused: Refusal, tmp_path: Path) -> None:
    corpus = miniature.librispeech(tmp_path / "corpus")
    (corpus / "test-clean").mkdir()
    (corpus / "dev-clean" / "1034").rename(corpus / "test-clean" / "1034")
    message = refused("train", "cwvae", "--corpus", corpus, "--out", tmp_path / "run", *TINY)
    assert "name the one to train on" in message


def test_evaluation(trained: Path, small: Path, probe: Probe, refused: Refusal) -> None:
    document = probe("evaluate", "--ckpt", trained, "--corpus", CORPUS, "--split", "validation")
    assert {
        "bits_per_frame", "pcm_bits_per_frame", "elbo_nats", "kl_bits_per_frame", "frames", "utterances",
    } <= document.keys()  # fmt: skip
    assert document["kl_bits_per_frame"].keys() == {"z1", "z2"}
    assert (document["utterances"], document["speakers"]) == (10, 1)
    expected = checkpoint.load(trained).provenance["validation_bits_per_frame"]
    assert document["bits_per_frame"] == pytest.approx(expected, rel=1e-6)
    assert document["bits_per_frame"] == pytest.approx(
        -document["elbo_nats"] / document["frames"] / np.log(2), rel=1e-9
    )
    assert probe("evaluate", "--ckpt", trained, "--corpus", small, "--split", "test")["utterances"] == 6
    assert "best.safetensors" in refused("evaluate", "--ckpt", trained, "--corpus", small, "--split", "validation")
    assert "no split 'dev'" in refused("evaluate", "--ckpt", trained, "--corpus", small, "--split", "dev")


def test_extraction(trained: Path, small: Path, probe: Probe, tmp_path: Path) -> None:
    argv = ("extract", "--ckpt", trained, "--corpus", small, "--out", tmp_path / "t", "--samples", 2)
    document = probe(*argv, "--units", "phoneme, word", "--split", "test")
    assert {"tokens", "features", "audio_seconds", "wall_seconds"} <= document.keys()
    assert document["features"]["z1"] == 8
    frame = pd.read_parquet(tmp_path / "t")
    assert document["tokens"] == len(frame)
    assert set(frame["split"]) == {"test"}
    assert document["parts_done"] == 2  # of 4 and 2 utterances
    assert probe(*argv, "--units", "phoneme,word", "--split", "test")["parts_done"] == 0


def test_knn(latents: Path, probe: Probe, tmp_path: Path) -> None:
    document = probe(
        "knn", "--latents", latents, "--protocol", "paper", "--protocol", "nested", "--k", "1,3-5", "--features", "z2",
        "--permutations", 1, "--out", tmp_path / "r.csv", "--phones", "timit39", "--plot",
    )  # fmt: skip
    rows = document["results"]
    assert all(row.keys() >= RESULT for row in rows)
    assert {(row["protocol"], row["k"]) for row in rows} == {(p, k) for p in ("paper", "nested") for k in (1, 3, 4, 5)}
    assert all(0 <= row["accuracy"] <= 1 for row in rows)
    written = pd.read_csv(tmp_path / "r.csv")
    assert written["accuracy"].tolist() == pytest.approx([row["accuracy"] for row in rows])
    assert all(Path(path).is_file() for path in document["wrote"])
    assert (tmp_path / "r.csv").as_posix() in document["wrote"]
    assert len(document["wrote"]) > 1


def test_results_are_written_beside_the_table(latents: Path, probe: Probe, monkeypatch: pytest.MonkeyPatch) -> None:
    argv = ("--features", "z1", "--k", 1, "--permutations", 0, "--target", "gender")
    rows = probe("knn", *argv, "--latents", latents)
    assert rows["wrote"] == [
        str(latents.parent / f"tiny-knn-gender-speaker-z1-k1-null0{m}.csv") for m in ("", "-recall", "-confusion")
    ]
    assert {row["n"] for row in rows["results"]} == {4}
    assert rows["results"][0]["null_accuracy"] is None
    monkeypatch.chdir(latents)
    assert probe("knn", *argv, "--latents", ".") == rows
    monkeypatch.chdir(latents.parent)
    twice = probe("knn", *argv, "--latents", "tiny", "--latents", latents)
    assert twice["wrote"][0] == "tiny+tiny-knn-gender-speaker-z1-k1-null0.csv"
    assert len(twice["results"]) == 2
    assert len(pd.read_parquet(latents)) > 0


def test_lda(latents: Path, probe: Probe) -> None:
    document = probe("lda", "--latents", latents, "--features", "z1,mel", "--permutations", 1)
    assert {(row["feature"], row["k"], row["protocol"]) for row in document["results"]} == {
        ("z1", 0, "utterance"), ("mel", 0, "utterance"),
    }  # fmt: skip
    assert all(row.keys() >= RESULT for row in document["results"])


def test_the_printed_table_is_interpreted(latents: Path, capsys: pytest.CaptureFixture[str]) -> None:
    quietly("knn", "--latents", latents, "--features", "z1,mel", "--k", 5, "--permutations", 2, "--protocol", "paper",
            "--protocol", "nested", "--by-speaker")  # fmt: skip
    out, err = capsys.readouterr()
    assert out.startswith("Predicting the phoneme by k nearest neighbours among 5 linear discriminants, k=5: ")
    assert "Intervals and tests: over speakers." in out
    assert "p after Holm for 2 tests" in out
    assert "so its accuracies are biased upward." in out
    assert "mean over 2 permutations" in out
    assert "On the same rows the paper protocol overestimates accuracy by up to" in out
    assert not re.search(r"\bnan\b", out)
    assert "wrote " in out
    assert err == ""


def test_the_printed_table_describes_the_null(latents: Path, capsys: pytest.CaptureFixture[str]) -> None:
    argv = ("knn", "--latents", latents, "--features", "mel", "--k", 5)
    quietly(*argv)
    assert "Null: mean over 5 permutations of the labels." in capsys.readouterr().out
    quietly(*argv, "--protocol", "paper", "--protocol", "nested")
    assert "Null: mean over 5 (paper), 2 (nested) permutations of the labels." in capsys.readouterr().out
    quietly(*argv, "--permutations", 0)
    assert "Null" not in capsys.readouterr().out


def test_different_questions_go_to_different_files(
    latents: Path, probe: Probe, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    shutil.copytree(latents, tmp_path / "t")
    speakers = sorted(set(token_table.load(latents).tokens["speaker"]))
    every = [option for speaker in speakers for option in ("--speaker", speaker)]
    for options, name in (
        (["--protocol", "paper"], "t-knn-phoneme-paper-z2-k1-null0.csv"),
        (["--protocol", "paper", "--protocol", "nested"], "t-knn-phoneme-paper+nested-z2-k1-null0.csv"),
        (every[:2], f"t-knn-phoneme-utterance-z2-{speakers[0]}-k1-null0.csv"),
        (every[:4], f"t-knn-phoneme-utterance-z2-{speakers[0]},{speakers[1]}-k1-null0.csv"),
        (["--phones", "timit39", "--closures", "drop"],
         "t-knn-phoneme-utterance-z2-timit39-no-closures-k1-null0.csv"),
        (["--sa", "drop", "--silence", "keep", "--protocol", "nested"],
         "t-knn-phoneme-nested-z2-no-sa-silence-k1-null0.csv"),
    ):  # fmt: skip
        argv = ("knn", "--latents", tmp_path / "t", "--features", "z2", "--k", 1, "--permutations", 0, *options)
        assert probe(*argv)["wrote"][0] == str(tmp_path / name)
    quietly(*argv)
    assert capsys.readouterr().err == f"notice: {tmp_path / name}, the answer to the same question, is replaced\n"


def test_results_of_a_single_speaker_name_the_speaker(latents: Path, tmp_path: Path, capsys: Any) -> None:
    argv = ("knn", "--latents", latents, "--features", "z1,mel", "--permutations", 0, "--out", tmp_path / "r.csv")
    quietly(*argv, "--speaker", "FADA9", "--protocol", "paper", "--plot", "--by-speaker")
    out = capsys.readouterr().out
    assert out.startswith("Predicting the phoneme by k nearest neighbours")
    assert "tokens in 41 classes of speaker FADA9; one speaker at a time" in out.splitlines()[0]
    assert "add another --protocol to see by how much" in out
    assert (tmp_path / "r-over-k.png").is_file()
    quietly(*argv, "--protocol", "paper", "--protocol", "nested")
    assert "add another --protocol" not in capsys.readouterr().out
    quietly(*argv, "--protocol", "speaker", "--k", 5, "--by-speaker")
    lines = capsys.readouterr().out.splitlines()
    assert any(line.startswith("FADA9 ") for line in lines)
    assert any(line.startswith("all ") for line in lines)


def test_tables_of_the_same_name_are_distinguished(latents: Path, probe: Probe, tmp_path: Path) -> None:
    other = tmp_path / latents.name
    shutil.copytree(latents, other)
    argv = ["knn", "--features", "z1", "--k", 1, "--permutations", 0, "--out", tmp_path / "r.csv"]
    argv += ["--protocol", "paper", "--protocol", "nested"]
    rows = probe(*argv, "--latents", latents, "--latents", other, "--latents", latents)["results"]
    assert {row["table"] for row in rows} == {str(latents), str(other)}
    assert len(rows) == 2 * len(probe(*argv, "--latents", latents)["results"])


def test_demo(tiny: Path, small: Path, probe: Probe, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("lvm_probe.app.commands.demo.CHECKPOINT", str(tiny))
    monkeypatch.setattr("lvm_probe.app.commands.demo.DRAWS", 1)
    monkeypatch.setattr("lvm_probe.app.commands.demo.PERMUTATIONS", 1)
    monkeypatch.setattr(lvm_probe.probing.corpora.demo, "CORPUS", small)
    document = probe("demo", "--out", tmp_path / "demo", "--device", "cpu")
    assert document.keys() >= {"wrote", "results"}
    assert all(Path(path).exists() for path in document["wrote"])
    assert any(path.endswith(".png") for path in document["wrote"])
    assert {row["protocol"] for row in document["results"]} == {"paper", "utterance"}
    assert {row["feature"] for row in document["results"]} == {"z1", "z2", "z1+z2", "z1_logms+z2", "mel"}
    assert all(row.keys() >= RESULT for row in document["results"])


# Bad input: options


@pytest.mark.parametrize(
    ("argv", "says"),
    [
        ([], "probe: .*COMMAND; see probe --help"),
        (["frobnicate"], "invalid choice: 'frobnicate'"),
        (["knn", "--frobnicate"], "unrecognized arguments: --frobnicate"),
        (["extract"], "probe extract: .*--corpus, --out; see probe extract --help"),
        (["knn", "--protocol", "mine"], "invalid choice: 'mine' .*paper.*nested.*utterance.*speaker"),
        (["knn", "--seed", "-1"], "--seed: '-1' is no whole number"),
        (["knn", "--seed", "one"], "'one' is no whole number"),
        (["knn", "--seed", str(1 << 64)], "is no whole number from 0"),
        (["knn", "--shrinkage", "3"], "--shrinkage is 3.0; give ledoit-wolf, none, or a number"),
        (["lda", "--shrinkage", "much"], "--shrinkage is 'much'; give ledoit-wolf"),
        (["train", "vrnn9", "--corpus", "C", "--out", "R"], "unknown model family 'vrnn9': choose one of cwvae"),
        (["train", "cwvae", "--preset", "huge", "--corpus", "C", "--out", "R"], "unknown preset 'huge'.*small"),
        (["train", "cwvae", "--updates", "0", "--corpus", "C", "--out", "R"], "--updates 0: give a positive number"),
        (["train", "cwvae", "--batch", "-2", "--corpus", "C", "--out", "R"], "--batch -2: give a positive number"),
        (["train", "cwvae", "--learning-rate", "nan", "--corpus", "C", "--out", "R"], "--learning-rate nan: give"),
    ],
)  # fmt: skip
def test_bad_options(argv: Sequence[str], says: str, refused: Refusal) -> None:
    assert re.search(says, refused(*argv))


def test_bad_questions(latents: Path, refused: Refusal, tmp_path: Path) -> None:
    before = sorted(path.name for path in latents.parent.iterdir())
    for options, says in (
        (["--k", 999], f"{latents}: 999 neighbours need 999 rows of the speaker that are not held out together"),
        (["--k", "x"], "--k: 'x': give numbers from 1, or ranges, such as 1-50 or 1,5,10"),
        (["--k", "5-1"], "--k: '5-1': give numbers"),
        (["--k", "1-999999999999"], "999999': give numbers from 1"),
        (["--k", "0"], "--k: '0': give numbers from 1"),
        (["--lda-dims", 99], "99 LDA dimensions, but"),
        (["--lda-dims", -1], "--lda-dims is -1; give 0 or more"),
        (["--speaker", "NOBODY"], f"{latents}: no speaker NOBODY; it has FADA9"),
        (["--features", "z1,z7"], f"{latents}: no feature 'z7'; it has z1, z1_var"),
        (["--target", "gender", "--speaker", "FEVE9"], "target gender has one class"),
        (
            ["--target", "gender", "--phones", "timit39"],
            "phones: only for the targets phoneme, manner, place",
        ),
        (["--permutations", -1], "permutations is -1; give 0 or more"),
        (["--protocol", "speaker", "--speaker", "FEVE9"], "needs two or more; use --protocol nested"),
        (["--out", latents], f"{latents}: a folder; give --out the name of a CSV file"),
        (["--out", latents / "r.csv"], "inside a token table"),
    ):
        assert says in refused("knn", "--latents", latents, *options)
    assert sorted(path.name for path in latents.parent.iterdir()) == before
    assert len(token_table.load(latents).tokens) > 0


def test_bad_tables(latents: Path, refused: Refusal, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert "no token table under latents/: make one with `probe extract`" in refused("knn")
    assert "nowhere: no token table" in refused("knn", "--latents", "nowhere")
    shutil.copytree(latents, tmp_path / "t")
    part = tmp_path / "t" / "part-00000.parquet"
    part.write_bytes(part.read_bytes()[:1000])
    assert "t/part-00000.parquet: this part cannot be read" in refused("lda", "--latents", "t")
    part.unlink()
    assert "t: 1 of 3 parts are missing" in refused("lda", "--latents", "t")


# Bad input: checkpoints


def test_bad_checkpoints(tiny: Path, small: Path, refused: Refusal, tmp_path: Path) -> None:
    whole = tiny.read_bytes()
    (tmp_path / "cut").write_bytes(whole[: len(whole) // 2])
    (tmp_path / "head").write_bytes(whole[:50])
    (tmp_path / "empty").touch()
    (tmp_path / "text").write_text("weights: none\n" * 99)
    (tmp_path / "folder").mkdir()
    torch.save({"weights": torch.zeros(3)}, tmp_path / "pickle")
    checkpoint.save_tensors(tmp_path / "foreign", {"weights": torch.zeros(3)}, {"format": "pt"})
    broken = checkpoint.load(tiny).model
    with torch.no_grad():
        broken.head.bias[0] = float("nan")
    checkpoint.save(tmp_path / "nan", broken, {})
    for name, says in {
        "missing": "no such checkpoint; give a file, a run folder, or a shipped name",
        "cut": "not a complete safetensors file",
        "head": "not a complete safetensors file",
        "empty": "not a complete safetensors file",
        "text": "not a complete safetensors file",
        "pickle": "not a complete safetensors file",
        "folder": "no best.safetensors in this folder yet",
        "foreign": "not a checkpoint of lvm-probe",
        "nan": "tensor 'head.bias' holds NaN or infinity",
    }.items():
        for command in (["evaluate"], ["extract", "--out", tmp_path / "out"]):
            message = refused(*command, "--ckpt", tmp_path / name, "--corpus", small)
            assert f"{tmp_path / name}: {says}" in message
    assert not (tmp_path / "out").exists()


# Bad input: where to write


def test_unwritable_output(tiny: Path, small: Path, latents: Path, refused: Refusal, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("mine")
    for out in (tmp_path / "file" / "below", tmp_path / "file"):
        for argv in (
            ("extract", "--ckpt", tiny, "--corpus", small, "--samples", 1),
            ("train", "cwvae", "--corpus", CORPUS, *TINY),
            ("demo",),
        ):
            assert "cannot write here" in refused(*argv, "--out", out)
    for command in ("knn", "lda"):
        message = refused(command, "--latents", latents, "--out", tmp_path / "file" / "r.csv")
        assert f"{tmp_path / 'file'}: cannot write here" in message
    assert (tmp_path / "file").read_text() == "mine"


def test_runs_are_neither_overwritten_nor_invented(trained: Path, refused: Refusal, tmp_path: Path) -> None:
    before = {path.name: path.read_bytes() for path in trained.iterdir() if path.is_file()}
    argv = ("train", "cwvae", "--corpus", CORPUS, *TINY, "--out")
    assert f"{trained}: holds a run already; continue it with --resume" in refused(*argv, trained)
    assert "give the same options" in refused(*argv, trained, "--resume", "--seed", 1)
    assert "no last.safetensors to resume from; leave out --resume" in refused(*argv, tmp_path / "new", "--resume")
    assert "must lie between 0 and 1" in refused(*argv, tmp_path / "new", "--hold-out", 1.5)
    assert "none remains to train on" in refused(*argv, tmp_path / "new", "--hold-out", 0.99)
    assert not (tmp_path / "new").exists()
    shutil.copy(trained / "best.safetensors", tmp_path)
    assert f"{tmp_path}: holds a checkpoint already" in refused(*argv, tmp_path)
    assert {path.name: path.read_bytes() for path in trained.iterdir() if path.is_file()} == before


def test_bad_extractions(tiny: Path, small: Path, latents: Path, refused: Refusal, tmp_path: Path) -> None:
    argv = ("extract", "--ckpt", tiny, "--corpus", small, "--out", tmp_path / "t", "--samples")
    for options, says in (
        ([0], "--samples 0: at least one draw is needed"),
        ([1, "--units", "phones"], "--units phones: choose among phoneme, word, utterance"),
        ([1, "--units", ","], "--units (none)"),
        ([1, "--memory", "nan"], "--memory nan: give a positive number"),
        ([1, "--mel-bins", 0], "--mel-bins 0"),
        ([1, "--mel-bins", 700, "--mel-window", 64], "too narrow"),
        ([1, "--mel-fft", 100], "--mel-fft 100: give an even number"),
        ([1, "--split", "dev"], f"{small}: no split 'dev' in this corpus; it has test, train"),
    ):
        assert says in refused(*argv, *options)
    assert not (tmp_path / "t").exists()
    other = refused("extract", "--ckpt", tiny, "--corpus", small, "--out", latents, "--samples", 3)
    assert f"{latents}: holds another extraction (its samples differ)" in other


# Bad input: corpora


def test_no_corpus(tiny: Path, refused: Refusal, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    (tmp_path / "text").mkdir()
    (tmp_path / "text" / "notes.md").touch()
    for name, says in (
        ("missing", "no such folder"), ("empty", "the folder is empty"), ("text", "1 files but no audio"),
    ):  # fmt: skip
        path = tmp_path / name
        for argv in (
            ("corpus", path),
            ("evaluate", "--ckpt", tiny, "--corpus", path),
            ("extract", "--ckpt", tiny, "--corpus", path, "--out", tmp_path / "t"),
            ("train", "cwvae", "--corpus", path, *TINY, "--out", tmp_path / "r"),
        ):
            assert f"{path}: {says}" in refused(*argv)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["empty", "text"]


def _phn(*rows: str) -> Callable[[Path], None]:
    return lambda stem: stem.with_suffix(".phn").write_text("".join(row + "\n" for row in rows))  # type: ignore[return-value]


FAULTS: dict[str, tuple[Callable[[Path], Any], str]] = {
    "no audio": (lambda stem: stem.with_suffix(".wav").unlink(), "sa1"),
    "empty audio": (lambda stem: stem.with_suffix(".wav").write_bytes(b""), "sa1.wav: the file is empty"),
    "no sound": (lambda stem: miniature.tone(stem.with_suffix(".wav"), samples=0), "sa1.wav: .*no samples"),
    "truncated": (
        lambda stem: stem.with_suffix(".wav").write_bytes(stem.with_suffix(".wav").read_bytes()[:5000]),
        "sa1.wav: truncated",
    ),
    "stereo": (lambda stem: miniature.tone(stem.with_suffix(".wav"), channels=2), "sa1.wav: 2 channels"),
    "past the end": (_phn("0 4000 sh", "4000 9000 iy"), "sa1.phn:2: .*ends 1000 samples after the audio"),
    "overlap": (_phn("0 1000 h#", "900 2000 iy"), "sa1.phn:2: .*overlaps"),
    "out of order": (_phn("1000 2000 iy", "0 1000 h#"), "sa1.phn:2: .*sort the annotation"),
    "malformed": (_phn("0 1000 h#", "1000 x iy"), "sa1.phn:2: "),
    "unknown label": (_phn("0 1000 h#", "1000 2000 foo"), "sa1.phn:2: .*foo"),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_one_bad_utterance(
    fault: str, tiny: Path, probe: Probe, refused: Refusal, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """It is listed with file and line and left out; with --strict it stops everything before anything is written."""
    root = miniature.timit_nltk(tmp_path / "c")
    spoil, says = FAULTS[fault]
    spoil(root / "dr1-fvmh0" / "sa1")
    document = probe("corpus", root)
    assert document["utterances"] == 3
    assert re.search(says, json.dumps(document["problems"]))
    strict = refused("corpus", root, "--strict")
    assert re.search(says, strict)
    argv = ("extract", "--ckpt", tiny, "--corpus", root, "--out", tmp_path / "t", "--samples", 1)
    assert re.search(says, refused(*argv, "--strict"))
    assert not (tmp_path / "t").exists()
    quietly(*argv)
    assert re.search(says, capsys.readouterr().err)
    assert set(token_table.load(tmp_path / "t").tokens["utterance"]) == {"FVMH0_SX116", "MCPM0_SA1", "MCPM0_SX116"}


def test_a_recording_damaged_inside(
    tiny: Path, probe: Probe, refused: Refusal, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """It is found when it is read: left out, with its name in the document; with --strict it stops the command."""
    root = miniature.librispeech(tmp_path / "c")
    damaged = miniature.noise(root / "dev-clean" / "103" / "1240" / "103-1240-0001.flac")
    miniature.zero_the_middle(damaged)
    assert probe("corpus", root)["utterances"] == 4
    evaluating = ("evaluate", "--ckpt", tiny, "--corpus", root)
    training = ("train", "cwvae", "--corpus", root, "--test", 0, "--out", tmp_path / "run", *TINY)
    extracting = ("extract", "--ckpt", tiny, "--corpus", root, "--out", tmp_path / "t", "--samples", 1)
    for argv in (evaluating, training, (*extracting, "--units", "utterance")):
        assert f"{damaged}: damaged" in refused(*argv, "--strict")
        assert argv != training or not (tmp_path / "run").exists()
        left_out = probe(*argv)["left_out"]
        assert len(left_out) == 1
        assert f"{damaged}: damaged" in left_out[0]
    resumed = probe(*training, "--resume")
    assert (resumed["left_out"], resumed["updates"]) == (left_out, 6)
    assert probe(*extracting, "--units", "utterance")["left_out"] == left_out
    capsys.readouterr()
    quietly(*evaluating)
    out, err = capsys.readouterr()
    assert err == f"left out: {left_out[0]}\n"
    assert "3 utterances, 2 speakers" in out
    assert probe(*evaluating)["utterances"] == 3


def test_a_speaker_absent_from_spkrinfo_is_kept_with_a_notice(probe: Probe, tmp_path: Path) -> None:
    root = miniature.timit_nltk(tmp_path / "c")
    (root / "spkrinfo.txt").write_text(miniature.SPKRINFO.replace("CPM0", "XYZ0"))
    document = probe("corpus", root)
    assert (document["utterances"], document["speakers"]) == (4, 2)
    assert document["problems"] == []
    assert any("is not listed: height unknown, gender M" in notice for notice in document["notices"])


def test_another_rate_is_resampled_with_a_notice_or_refused(
    tiny: Path, probe: Probe, refused: Refusal, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    root = miniature.timit_nltk(tmp_path / "c")
    miniature.tone(root / "dr1-fvmh0" / "sa1.wav", rate=8000)
    quietly("evaluate", "--ckpt", tiny, "--corpus", root)
    assert "sa1.wav: resampled from 8000 to 16000 Hz" in capsys.readouterr().err
    assert probe("corpus", root, "--no-resample")["utterances"] == 3
    assert "sa1.wav: needs resampling" in refused("corpus", root, "--no-resample", "--strict")


def test_no_alignments(tiny: Path, probe: Probe, refused: Refusal, tmp_path: Path) -> None:
    root = miniature.librispeech(tmp_path / "c")
    argv = ("extract", "--ckpt", tiny, "--corpus", root, "--out", tmp_path / "t", "--samples", 1)
    assert "--units utterance" in refused(*argv)
    assert probe(*argv, "--units", "utterance")["tokens"] == 4
    message = refused("knn", "--latents", tmp_path / "t")
    assert f"{tmp_path / 't'}: no phoneme rows, only utterance" in message


# Interruptions


def test_an_interrupted_extraction_continues(
    tiny: Path, small: Path, probe: Probe, tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    argv = ("extract", "--ckpt", tiny, "--corpus", small, "--samples", 1, "--out")
    probe(*argv, tmp_path / "whole")
    features, calls = extraction.features, iter(range(7))

    def interrupted(*args: Any) -> Any:
        if next(calls, None) is None:
            raise KeyboardInterrupt
        return features(*args)

    with monkeypatch.context() as patch:
        patch.setattr(extraction, "features", interrupted)
        assert main([str(a) for a in (*argv, tmp_path / "t")]) == 130
    assert "interrupted; run the same command again" in capsys.readouterr().err
    assert sorted(path.name for path in (tmp_path / "t").iterdir()) == [token_table.EXTRACTION, "part-00000.parquet"]
    document = probe(*argv, tmp_path / "t")
    assert (document["parts"], document["parts_done"]) == (3, 2)
    for part in (tmp_path / "whole").glob("*.parquet"):
        assert (tmp_path / "t" / part.name).read_bytes() == part.read_bytes()


def test_training_is_resumed_after_control_c(tmp_path: Path, probe: Probe) -> None:
    """A process that is interrupted and resumed ends with the numbers of an uninterrupted run."""
    recipe = ("--preset", "tiny", "--updates", "40", "--batch", "1", "--precision", "fp32", "--device", "cpu")
    argv = [str(a) for a in ("train", "cwvae", "--corpus", CORPUS, *recipe, "--out")]
    command = [sys.executable, "-m", "lvm_probe", *argv, str(tmp_path / "cut")]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        for _ in range(600):
            if (tmp_path / "cut" / "best.safetensors").exists() or process.poll() is not None:
                break
            time.sleep(0.05)
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=60)
    if process.returncode != 0:  # otherwise it had finished before the signal
        assert process.returncode == 130, err
        assert err.splitlines()[-1].startswith("interrupted;")
        assert "Traceback" not in err
        assert out == ""
    resumed = probe(*argv, tmp_path / "cut", "--resume")
    straight = probe(*argv, tmp_path / "straight")
    assert resumed["updates"] == straight["updates"] == 40
    assert resumed["validation_bits_per_frame"] == straight["validation_bits_per_frame"]


# As a process of its own


def test_standard_output_is_one_document_and_errors_are_one_line(latents: Path, tiny: Path, tmp_path: Path) -> None:
    def run(*argv: object) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-m", "lvm_probe", *map(str, argv)]
        return subprocess.run(command, capture_output=True, text=True, cwd=Path(__file__).parents[2], check=False)

    done = run("knn", "--latents", latents, "--features", "z1", "--speaker", "FADA9", "--k", "1-3", "--json")
    assert done.returncode == 0
    assert len(json.loads(done.stdout)["results"]) == 3
    assert done.stderr == ""
    done = run("evaluate", "--ckpt", tiny, "--corpus", tmp_path)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == (
        f"probe evaluate: {tmp_path}: the folder is empty; give a folder that holds .wav, .flac, .ogg, .mp3 files\n"
    )
