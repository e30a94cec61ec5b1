import re
from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd
import pytest

from lvm_probe.probing.questions.ask import ask
from lvm_probe.probing.questions.question import Question
from lvm_probe.probing.questions.report import as_text, by_class, by_speaker
from lvm_probe.probing.questions.results import with_adjusted_p
from tests.probing.synthetic_tables import changed, made_up


def test_an_answer_says_what_was_asked_and_what_it_means() -> None:
    table = made_up(speakers=6)
    untrained = made_up(speakers=6, signal=0)
    untrained.features["z2"][:] = table.features["z2"] + np.random.default_rng(0).normal(0, 0.01, size=(288, 6))
    lines = str(ask(table, Question(ks=(1, 2, 3, 4, 5), permutations=1), untrained=untrained)).splitlines()
    assert lines[0] == (
        "Predicting the phoneme by k nearest neighbours among 3 linear discriminants, k=1 to 5: 288 tokens in 4 "
        "classes of 6 speakers; one speaker at a time, whole utterances held out (utterance); accuracies in per cent."
    )
    assert re.fullmatch(
        r"The trained model is not better than the untrained one for z2 \(utterance, k=5: [\d.]+ against .*, p=.*\)\.",
        lines[2],
    )
    assert lines[3].startswith("The trained model is better than the untrained one for z1 (utterance, k=5: ")
    assert re.fullmatch(
        r"utterance, k=5: z1 gets [\d.]+ % right, [\d.]+ points above Mel \(\+.* to \+.*, p[=<].*\)\.", lines[4]
    )
    top = next(i for i, line in enumerate(lines) if line.strip().startswith("balanced"))
    assert re.split(r"\s{2,}", lines[top].strip()) == ["balanced", "paper"]
    heads = re.split(r"\s{2,}", lines[top + 1])
    assert heads == [
        "feature", "protocol", "k", "accuracy", "95 % interval", "accuracy", "chance", "null", "untrained", "protocol",
    ]  # fmt: skip
    differences = next(i for i, line in enumerate(lines) if line.startswith("Differences in points"))
    # three to Mel, all four to the untrained model
    assert "p after Holm for 7 tests" in lines[differences]
    compared = [line.split()[:4] for line in lines[differences + 2 : lines.index("", differences)]]
    assert [(row[0], row[3]) for row in compared] == [
        ("z1", "Mel"), ("z2", "Mel"), ("z1+z2", "Mel"),
        ("z1", "untrained"), ("z2", "untrained"), ("z1+z2", "untrained"), ("mel", "untrained"),
    ]  # fmt: skip
    rows = [line.split() for line in lines[top + 2 : lines.index("", top)]]
    assert {row[2] for row in rows} == {"5"}
    over_k = lines.index("Accuracy over k (2 of 5 k; the results have all):")
    assert lines[over_k + 1].split() == ["feature", "protocol", "k=1", "k=5"]
    assert {row[0]: row[3] for row in rows} == {
        line.split()[0]: line.split()[-1] for line in lines[over_k + 2 :][: len(rows)]
    }
    assert max(map(len, lines[top:])) < 120
    assert lines[-3].startswith("On the same rows the paper protocol overestimates accuracy by up to ")
    assert lines[-2:] == [
        "Chance: always naming the most frequent class.",
        "Intervals and tests: over speakers. Null: mean over 1 permutation of the labels.",
    ]


def test_a_table_with_few_neighbours_is_shown_at_its_own_k() -> None:
    many, few = made_up(6), replace(made_up(6, seed=1), name="few")
    asked = [(many, (1, 2, 5)), (few, (1, 2, 3))]
    answers = [ask(table, Question(features=("z1", "mel"), ks=ks, permutations=0)).frame for table, ks in asked]
    lines = as_text(with_adjusted_p(pd.concat(answers, ignore_index=True))).splitlines()
    assert [line.split(":")[0] for line in lines[2:4]] == ["made-up, utterance, k=5", "few, utterance, k=3"]
    results, compared, over_k = (
        next(i for i, line in enumerate(lines) if line.startswith(head))
        for head in ("table", "Differences", "Accuracy over k")
    )
    assert [tuple(line.split()[:4]) for line in lines[results + 1 : compared - 1]] == [
        (name, feature, "utterance", k) for name, k in (("made-up", "5"), ("few", "3")) for feature in ("z1", "mel")
    ]
    assert "p after Holm for 2 tests" in lines[compared]
    assert [line.split()[0] for line in lines[compared + 2 : over_k - 1]] == ["made-up", "few"]


@pytest.mark.parametrize(
    ("fields", "says"),
    [
        ({"method": "lda", "protocol": "nested"}, "one speaker at a time, each token held out by itself (nested)"),
        (
            {"method": "lda", "protocol": "speaker"},
            "tokens in 4 classes of 4 speakers; whole speakers held out (speaker)",
        ),
        ({"method": "lda", "target": "gender"}, "4 speakers in 2 classes; whole speakers held out (speaker)"),
        ({"method": "lda", "target": "speaker"}, "utterances in 4 classes of 4 speakers; whole utterances held out"),
        (
            {"method": "abx", "protocol": "across"},
            "4 classes of 4 speakers; X of another speaker than A and B (across)",
        ),
        ({"method": "lda", "speakers": "FS0"}, "48 tokens in 4 classes of speaker FS0; one speaker at a time"),
        ({"ks": 3, "lda_dims": 0}, "by k nearest neighbours, without LDA, k=3: 192 tokens"),
    ],
)
def test_what_is_asked_is_one_sentence(fields: dict[str, Any], says: str) -> None:
    extra = {} if fields.get("method") == "abx" else {"permutations": 0}
    assert says in str(ask(made_up(), Question(features="z1", **extra, **fields))).splitlines()[0]


def test_an_untrained_model_of_one_speaker_is_compared_over_utterances() -> None:
    table, untrained = made_up(speakers=1), made_up(speakers=1, signal=0)
    text = str(ask(table, Question(method="lda", features="z1", permutations=0), untrained=untrained))
    assert text.splitlines()[2].startswith("The trained model is better than the untrained one for z1 (utterance: ")
    text = str(ask(untrained, Question(method="lda", features="z1", permutations=0), untrained=table))
    assert text.splitlines()[2].startswith("The trained model is not better than the untrained one for z1 (utterance: ")


def test_columns_without_numbers_are_left_out_and_notes_are_shown() -> None:
    table = made_up(speakers=3)
    single = table.tokens["utterance"].where(table.tokens["speaker"] != "MS1", "MS1_SX1")
    text = str(ask(changed(table, utterance=single), Question(features="z1", permutations=0, lda_dims=0)))
    assert not re.search("null|untrained|Mel|nan|selectivity|paper protocol over", text, re.IGNORECASE)
    assert text.endswith("Note: left out because protocol utterance needs two utterances of a speaker: MS1 (48 rows).")


def test_several_protocols_and_tables_are_named() -> None:
    answers = [
        ask(table, Question(protocol=protocol, features="z1", ks=5, permutations=n))
        for table in (made_up(speakers=2), changed(made_up(speakers=2)))
        for protocol, n in (("paper", 3), ("utterance", 2))
    ]
    frame = pd.concat([answer.frame for answer in answers], ignore_index=True)
    text = as_text(frame)
    assert "Null: mean over 3 (paper), 2 (utterance) permutations of the labels." in text
    assert "its accuracies are biased upward." in text
    assert "FS0" in by_speaker(frame)
    assert "iy" in by_class(pd.concat([answer.recall for answer in answers]))
    assert answers[0]._repr_html_().startswith("<p>Predicting the phoneme")
