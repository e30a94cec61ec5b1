import re

import pandas as pd

from lvm_probe.probing.questions.ask import ask
from lvm_probe.probing.questions.question import Question
from lvm_probe.probing.questions.report import as_text, by_class, by_speaker
from tests.probing.synthetic_tables import changed, made_up


def test_an_answer_says_what_was_asked_and_what_it_means() -> None:
    table = made_up(speakers=6)
    lines = str(ask(table, Question(ks=(1, 5), permutations=1), untrained=made_up(speakers=6, signal=0))).splitlines()
    assert lines[0] == (
        "Predicting the phoneme by k nearest neighbours among 3 linear discriminants: 288 tokens in 4 classes; "
        "accuracy in per cent."
    )
    heads = re.split(r"\s{2,}", lines[3])
    assert heads == ["feature", "protocol", "k", "accuracy", "95 % interval", "accuracy", "majority", "null",
                     "untrained", "protocol", "Mel (points)", "p (Mel)"]  # fmt: skip
    assert re.split(r"\s{2,}", lines[2].strip()) == ["balanced", "paper", "difference to"]
    assert max(map(len, lines[2:12])) < 120
    assert re.fullmatch(r"utterance, k=5: z1 gets [\d.]+ % right, [\d.]+ points above Mel \(paired .*\)\.", lines[13])
    assert lines[-2].startswith("On the same rows the paper protocol overestimates accuracy by up to ")
    assert lines[-1] == "Intervals: bootstrap over speakers. Null: mean over 1 permutation of the labels."


def test_columns_without_numbers_are_left_out_and_notes_are_shown() -> None:
    table = made_up(speakers=3)
    single = table.tokens["utterance"].where(table.tokens["speaker"] != "MS1", "MS1_SX1")
    text = str(ask(changed(table, utterance=single), Question(features="z1", permutations=0, lda_dims=0)))
    assert not re.search("null|untrained|Mel|nan|selectivity|paper protocol over", text, re.IGNORECASE)
    assert text.endswith("Note: left out, for protocol utterance needs two utterances of a speaker: MS1 (48 rows).")


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
