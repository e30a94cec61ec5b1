from dataclasses import fields
from pathlib import Path
from typing import Any

import pytest

from lvm_probe import InputError
from lvm_probe.app.output import csv_file
from lvm_probe.app.results_file import _WORDS, results_file
from lvm_probe.probing.questions.question import Question

TABLE = [Path("latents/t")]


def name(**question: Any) -> str:
    return results_file(TABLE, [Question(**question)]).name


def test_every_field_has_a_word() -> None:
    assert set(_WORDS) == {field.name for field in fields(Question)}


@pytest.mark.parametrize(
    ("question", "expected"),
    [
        ({}, "t-knn-phoneme-utterance.csv"),
        ({"features": ("mel",)}, "t-knn-phoneme-utterance-mel.csv"),
        ({"features": ("z1+z2", "z1"), "lda_dims": 3}, "t-knn-phoneme-utterance-z1+z2,z1-3dims.csv"),
        ({"lda_dims": 0, "ks": (5,)}, "t-knn-phoneme-utterance-k5-no-lda.csv"),
        ({"ks": (1, 2, 3, 7)}, "t-knn-phoneme-utterance-k1-3,7.csv"),
        ({"method": "lda", "shrinkage": "none"}, "t-lda-phoneme-utterance-none-shrinkage.csv"),
        ({"method": "lda", "shrinkage": 0.2}, "t-lda-phoneme-utterance-shrinkage0.2.csv"),
        ({"speakers": ("B", "A"), "seed": 3}, "t-knn-phoneme-utterance-A,B-seed3.csv"),
        ({"target": "gender", "rows": "token", "permutations": 0},
         "t-knn-gender-speaker-token-rows-null0.csv"),
        ({"target": "height", "height_edges": (170,)}, "t-knn-height-speaker-170.csv"),
        ({"method": "abx", "distance": "euclidean"}, "t-abx-phoneme-within-euclidean.csv"),
        ({"match_dims": 0, "phones": "timit39"}, "t-knn-phoneme-utterance-timit39-matched.csv"),
    ],
)  # fmt: skip
def test_names_are_words(question: dict[str, Any], expected: str) -> None:
    assert name(**question) == expected


def test_long_lists_are_counted_and_told_apart() -> None:
    many = tuple(f"SPEAKER{i}" for i in range(20))
    one, other = name(speakers=many), name(speakers=(*many[1:], "SPEAKER99"))
    assert one != other
    assert one.startswith("t-knn-phoneme-utterance-20speakers-")
    assert len(one) < 60
    assert "/" not in name(speakers=("anna/session1",))


def test_several_protocols_and_tables() -> None:
    questions = [Question(protocol="paper"), Question(protocol="utterance")]
    path = results_file([Path("a/x"), Path("b/y")], questions)
    assert path == Path("a/x+y-knn-phoneme-paper+utterance.csv")


def test_many_tables_are_counted() -> None:
    folders = [Path(f"a/cwvae-small-librispeech-100h-seed-{seed}") for seed in range(8)]
    path, fewer = (results_file(some, [Question()]) for some in (folders, folders[1:]))
    assert path.name.startswith("8tables-")
    assert len(path.name) < 60
    assert path.name[1:] != fewer.name[1:]


@pytest.mark.parametrize(
    ("untrained", "word"), [(None, ""), ("none", "-no-untrained"), ("b/t-untrained", "-against-t-untrained")]
)
def test_the_untrained_table_is_part_of_the_question(untrained: str | None, word: str) -> None:
    assert results_file(TABLE, [Question()], untrained=untrained).name == f"t-knn-phoneme-utterance{word}.csv"


def test_files_in_a_token_table_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    inside = tmp_path / "t" / "more"
    inside.mkdir(parents=True)
    (tmp_path / "t" / "_extraction.json").touch()
    monkeypatch.chdir(inside)
    for name in ("r.csv", "../r.csv", inside / "r.csv"):
        with pytest.raises(InputError, match="inside a token table"):
            csv_file(name)
    assert csv_file("../../r.csv") == Path("../../r.csv")


def test_settings_of_any_of_the_questions_are_named() -> None:
    questions = [Question(method="lda"), Question(ks=(3,)), Question(ks=(3,), protocol="nested")]
    assert results_file(TABLE, questions).name == "t-lda+knn-phoneme-utterance+nested-k3.csv"
