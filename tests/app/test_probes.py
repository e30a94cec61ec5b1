"""The probes beyond kNN and LDA of phonemes, through the command line."""

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

import lvm_probe
from lvm_probe.probing.features import token_table
from tests.app.conftest import Probe, Refusal, quietly


@pytest.fixture(scope="module")
def latents(tmp_path_factory: pytest.TempPathFactory, tiny: Path, small: Path) -> Path:
    """A table, and the untrained model's next to it."""
    folder = tmp_path_factory.mktemp("latents")
    argv = ("extract", "--ckpt", tiny, "--corpus", small, "--samples", 1, "--units", "phoneme,word")
    quietly(*argv, "--out", folder / "t")
    quietly(*argv, "--out", folder / "t-untrained", "--untrained", "--seed", 1)
    return folder / "t"


def test_features_in_context(tiny: Path, small: Path, probe: Probe, tmp_path: Path) -> None:
    argv = ("extract", "--ckpt", tiny, "--corpus", small, "--samples", 1, "--out")
    probe(*argv, tmp_path / "t", "--context", "40ms")
    probe(*argv, tmp_path / "t-untrained", "--context", "40ms", "--untrained", "--seed", 1)
    asked = ("lda", "--features", "z1,mel", "--permutations", 1, "--latents")
    document = probe(*asked, tmp_path / "t", "--context")
    found = {row["feature"]: row for row in document["results"] if not row["speaker"]}
    alone = {row["feature"]: row for row in probe(*asked, tmp_path / "t")["results"] if not row["speaker"]}
    for name, row in found.items():
        assert (row["dims"], row["context_ms"]) == (3 * alone[name]["dims"], 40)
    assert found["z1"]["untrained_accuracy"] is not None
    assert found["mel"]["untrained_accuracy"] is None
    assert Path(document["wrote"][0]).name == "t-lda-phoneme-utterance-z1,mel-context-null1.csv"


def test_the_untrained_table_next_to_it_is_found(latents: Path, probe: Probe, refused: Refusal, tmp_path: Path) -> None:
    argv = ("lda", "--latents", latents, "--features", "z1,mel", "--permutations", 1, "--out", tmp_path / "r.csv")
    found = {row["feature"]: row for row in probe(*argv)["results"] if not row["speaker"]}
    assert found["z1"]["untrained_accuracy"] is not None
    assert found["mel"]["untrained_accuracy"] is None
    without = {row["feature"]: row for row in probe(*argv, "--untrained", "none")["results"] if not row["speaker"]}
    assert without["z1"]["untrained_accuracy"] is None
    assert without["z1"]["accuracy"] == found["z1"]["accuracy"]
    untrained = latents.with_name("t-untrained")
    named = {r["feature"]: r for r in probe(*argv, "--untrained", untrained)["results"] if not r["speaker"]}
    assert named["z1"] == found["z1"]
    assert "not the untrained model of" in refused(*argv, "--untrained", latents)
    assert "which of the 2 tables" in refused(*argv, "--latents", untrained, "--untrained", untrained)


def test_a_table_of_another_model_is_not_used_as_untrained(latents: Path, tmp_path: Path, capsys: Any) -> None:
    shutil.copytree(latents, tmp_path / "t")
    shutil.copytree(latents, tmp_path / "t-untrained")
    quietly("lda", "--latents", tmp_path / "t", "--features", "z1", "--permutations", 0)
    assert "t-untrained: not the untrained model of" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("command", "options", "rows"),
    [
        ("knn", ["--target", "manner", "--k", 1], "token"),
        ("knn", ["--target", "place", "--k", 1, "--match-dims"], "token"),
        ("knn", ["--target", "speaker", "--k", 1], "utterance"),
        ("knn", ["--target", "gender", "--k", 1, "--rows", "token"], "token"),
        ("lda", ["--target", "word", "--min-count", 2, "--protocol", "speaker"], "token"),
        ("lda", ["--target", "phoneme", "--protocol", "speaker", "--normalise", "speaker"], "token"),
        ("lda", ["--target", "manner", "--control", 1, "--match-dims", 4], "token"),
        ("logistic", ["--target", "manner", "--protocol", "speaker", "--phones", "timit39"], "token"),
        ("abx", ["--distance", "euclidean", "--phones", "timit39"], "token"),
    ],
)
def test_every_question_has_an_answer(
    latents: Path, probe: Probe, tmp_path: Path, command: str, options: list[object], rows: str
) -> None:
    argv = (command, "--latents", latents, "--features", "z1,mel", "--out", tmp_path / "r.csv", *options)
    document = probe(*argv, *([] if command == "abx" else ["--permutations", 1]))
    pooled = [row for row in document["results"] if not row["speaker"]]
    assert {row["feature"] for row in pooled} == {"z1", "mel"}
    assert all(0 <= row["accuracy"] <= 1 for row in pooled)
    assert {row["rows"] for row in pooled} == {rows}
    if command != "abx":
        assert all(row["null_accuracy"] is not None for row in pooled)
        recall = pd.read_csv(tmp_path / "r-recall.csv")
        assert recall["n"].sum() == pd.read_csv(tmp_path / "r-confusion.csv")["count"].sum()


def test_printed_answers(latents: Path, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    argv = ("--latents", latents, "--out", tmp_path / "r.csv")
    quietly("abx", *argv, "--protocol", "within", "--by-speaker")
    assert "ABX with cosine distance" in capsys.readouterr().out
    quietly("lda", *argv, "--target", "manner", "--permutations", 0, "--by-class")
    out = capsys.readouterr().out
    assert "the paper protocol overestimates accuracy by up to" in out
    assert "fricative" in out


@pytest.mark.parametrize(
    ("argv", "says"),
    [
        (["knn", "--target", "height-cm"], "invalid choice: 'height-cm'"),
        (["lda", "--target", "height-cm"], "invalid choice: 'height-cm'"),
        (["ridge"], "speakers of known height; the mean of the others needs three"),
        (["knn", "--target", "speaker", "--protocol", "speaker"], "holds out the very speaker"),
        (["abx", "--protocol", "nested"], "invalid choice: 'nested'"),
        (["knn", "--target", "height", "--height-edges", "tall"], "'tall' is no list of heights in cm"),
        (
            ["knn", "--target", "height", "--height-edges", "1,2"],
            "--height-edges: give one height in cm or more, all different",
        ),
        (["knn", "--untrained", "nowhere"], "nowhere: no token table"),
        (["knn", "--match-dims", -1], "probe knn: --match-dims is -1; give 0 or more"),
    ],
)
def test_bad_questions(latents: Path, refused: Refusal, argv: list[object], says: str) -> None:
    assert says in refused(argv[0], "--latents", latents, *argv[1:])


def test_json_has_no_nan(latents: Path, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    quietly("abx", "--latents", latents, "--json", "--out", tmp_path / "r.csv")
    document = json.loads(capsys.readouterr().out, parse_constant=lambda name: pytest.fail(name))
    assert document["results"]


@pytest.mark.parametrize("damage", ["unfinished", "unreadable", "other-tokens"])
def test_an_untrained_table_that_nobody_named_stops_no_question(
    latents: Path, tmp_path: Path, capsys: Any, refused: Refusal, damage: str
) -> None:
    shutil.copytree(latents, tmp_path / "t")
    sibling = tmp_path / "t-untrained"
    shutil.copytree(latents.with_name("t-untrained"), sibling)
    match damage:
        case "unfinished":
            sorted(sibling.glob("*.parquet"))[-1].unlink()
        case "unreadable":
            (sibling / "_extraction.json").write_text("{")
        case "other-tokens":
            table = token_table.load(sibling)
            shutil.rmtree(sibling)
            table.select(np.arange(len(table)) > 99).save(sibling)
    argv = ("lda", "--latents", tmp_path / "t", "--features", "z1", "--permutations", 0)
    quietly(*argv)
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith(f"notice: {sibling}")
    assert line.endswith("; the comparison with the untrained model is left out")
    assert str(sibling) in refused(*argv, "--untrained", sibling)


def test_an_untrained_table_of_fewer_units_is_compared_where_it_can_be(latents: Path, tmp_path: Path) -> None:
    shutil.copytree(latents, tmp_path / "t")
    whole = token_table.load(latents.with_name("t-untrained"))
    assert {"phoneme", "word"} <= {*whole.columns["unit"]}
    fewer = whole.select(whole.columns["unit"] == "phoneme").save(tmp_path / "t-untrained")
    asked: dict[str, Any] = {"method": "lda", "features": ["z1"], "permutations": 0}
    table = lvm_probe.load_table(tmp_path / "t")
    phones = lvm_probe.ask(table, "phoneme", **asked)
    assert phones.frame["untrained_accuracy"].notna().all()
    words = lvm_probe.ask(table, "word", protocol="speaker", min_count=1, **asked)
    assert words.frame["untrained_accuracy"].isna().all()
    assert f"the comparison with the untrained model is left out: {fewer.name}: no word rows" in words.notes


def test_a_second_question_has_a_file_of_its_own(latents: Path, tmp_path: Path, capsys: Any) -> None:
    shutil.copytree(latents, tmp_path / "t")
    argv = ("knn", "--latents", tmp_path / "t", "--k", 1, "--permutations", 0)
    for more in (("--features", "z1"), ("--features", "z1,mel"), ("--features", "z1", "--shrinkage", "none")):
        quietly(*argv, *more)
    capsys.readouterr()
    names = {path.name for path in tmp_path.glob("*.csv") if not path.stem.endswith(("-recall", "-confusion"))}
    assert names == {f"t-knn-phoneme-utterance-{words}-null0.csv" for words in ("z1-k1", "z1,mel-k1")} | {
        "t-knn-phoneme-utterance-z1-k1-none-shrinkage-null0.csv"
    }
    quietly(*argv, "--features", "z1")
    assert "t-knn-phoneme-utterance-z1-k1-null0.csv, the answer to the same question, is replaced" in (
        capsys.readouterr().err
    )
    assert {path.name for path in tmp_path.glob("*.csv")} >= names


def test_similarities_and_answers_without_the_untrained_table_have_files_of_their_own(
    latents: Path, probe: Probe, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    shutil.copytree(latents, tmp_path / "t")
    argv = ("--latents", tmp_path / "t", "--features", "z1,mel", "--permutations", 0)
    for command, words in (
        (("lda", "--untrained", "none"), "lda-phoneme-utterance-z1,mel-null0-no-untrained"),
        (("similarity", "--measure", "cka"), "similarity-z1,mel-null0-cka"),
        (("similarity", "--measure", "cka", "--phones", "timit39"), "similarity-z1,mel-timit39-null0-cka"),
    ):
        assert probe(command[0], *argv, *command[1:])["wrote"][0] == str(tmp_path / f"t-{words}.csv")
    quietly(command[0], *argv, *command[1:])
    assert f"t-{words}.csv, the answer to the same question, is replaced" in capsys.readouterr().err


def test_words_name_the_command_that_extracts_them(latents: Path, tmp_path: Path, refused: Refusal) -> None:
    table = token_table.load(latents)
    table.select((table.tokens["unit"] == "phoneme").to_numpy()).save(tmp_path / "phonemes")
    said = refused("knn", "--target", "word", "--latents", tmp_path / "phonemes")
    assert "no word rows, only phoneme; add them: probe extract --ckpt " in said
    how = f"--out {tmp_path / 'phonemes'} --add --units word, with the options that the table was made with"
    assert said.rstrip().endswith(how)


def test_one_table_is_fitted_and_another_asked(
    tiny: Path, small: Path, probe: Probe, refused: Refusal, tmp_path: Path
) -> None:
    speakers = sorted(path.name.upper() for path in small.glob("*/*/*") if path.is_dir())
    half = len(speakers) // 2
    for name, some in (("fit", speakers[:half]), ("ask", speakers[half:])):
        quietly("extract", "--ckpt", tiny, "--corpus", small, "--samples", 1, "--speaker", ",".join(some), "--out",
                tmp_path / name)  # fmt: skip
    argv = ("lda", "--target", "manner", "--features", "z1,mel", "--latents", tmp_path / "fit", "--test")
    found = probe(*argv, tmp_path / "ask")
    assert {row["speaker"] for row in found["results"]} == {"", *speakers[half:]}
    assert {(row["protocol"], row["test"]) for row in found["results"]} == {("transfer", "ask")}
    assert Path(found["wrote"][0]).name.startswith("fit-on-ask-lda-manner-transfer")
    assert "the probe would know the voice" in refused(*argv, tmp_path / "fit")
    assert "its protocol is transfer, not speaker" in refused(*argv, tmp_path / "ask", "--protocol", "speaker")


def test_tables_of_several_seeds_have_a_spread(latents: Path, probe: Probe, refused: Refusal, tmp_path: Path) -> None:
    for seed in (1, 2):
        shutil.copytree(latents, tmp_path / f"seed{seed}")
    argv = ("lda", "--features", "z1,mel", "--permutations", 0, "--as-seeds", "--out", tmp_path / "r.csv")
    tables = ("--latents", tmp_path / "seed1", "--latents", tmp_path / "seed2")
    (z1, mel) = probe(*argv, *tables)["over_trainings"]
    assert (z1["trainings"], z1["accuracy_sd"], mel["minus_mel"]) == (2, 0.0, None)
    assert "two or more seeds" in refused(*argv, "--latents", latents)


def test_compare_writes_a_plan_and_marks_what_is_beyond_it(
    latents: Path, probe: Probe, refused: Refusal, tmp_path: Path
) -> None:
    argv = ("compare", "--latents", latents, "--method", "lda", "--plan", tmp_path / "plan.toml")
    first = probe(*argv, "--target", "manner", "--features", "z1", "--out", tmp_path / "first.csv")
    assert "nothing here is outside it" in first["plan"]
    assert first["sentences"][0].startswith("Compared with Mel: z1 is ")
    assert {row["compared_with"] for row in first["results"]} == {"Mel", "untrained", ""}
    assert len(pd.read_csv(tmp_path / "first.csv")) == len(first["results"])
    again = probe(*argv[:3], *argv[5:], "--features", "z2", "--out", tmp_path / "again.csv")
    outside = {(row["feature"], row["outside_plan"]) for row in again["results"]}
    assert outside == {("z1", False), ("mel", False), ("z2", True)}
    assert [row for row in again["results"] if not row["outside_plan"]] == first["results"]
    assert "--keep-sa" not in refused(*argv, "--sa", "drop", "--target", "gender", "--protocol", "utterance")
    assert "compares with the untrained model, whose table is not here" in refused(*argv, "--untrained", "none")
    assert "inside a token table" in refused(*argv[:5], "--out", latents / "x.csv")


def test_compare_prints_one_table(latents: Path, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    quietly("compare", "--latents", latents, "--method", "lda,abx", "--phones", "timit39", "--out", tmp_path / "c.csv")
    out = capsys.readouterr().out
    for heading in ("difference to Mel (points)", "difference to the untrained model (points)", "accuracy (per cent)"):
        assert f"\n{heading}\n" in out
    assert max(map(len, out.splitlines()[:-1])) <= 120
