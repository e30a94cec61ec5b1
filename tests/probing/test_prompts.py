"""Holding out what was read together with who read it."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from lvm_probe import InputError
from lvm_probe.probing.features.token_table import TokenTable, columns_of_rows
from lvm_probe.probing.questions.ask import ask
from lvm_probe.probing.questions.judgeable_rows import rows_to_judge
from lvm_probe.probing.questions.question import Question, default_protocol
from tests.probing.synthetic_tables import at, changed, made_up

WORDS = ("the", "a", "to", "of", "in", "and")


def read_aloud(speakers: int = 6, own: int = 3, seed: int = 0) -> TokenTable:
    """Words of speakers who read two sentences that all read, and others of their own.

    `place` knows a word's place in its prompt only; `sound` knows the word.
    """
    rng = np.random.default_rng(seed)
    shared = {f"SA{i}": list(rng.permutation(WORDS)) for i in (1, 2)}
    places = {prompt: rng.normal(size=(len(WORDS), 6)) * 5 for prompt in shared}
    sounds = dict(zip(WORDS, rng.normal(size=(len(WORDS), 6)) * 2, strict=True))
    rows, features = [], {"place": [], "sound": []}
    for s in range(speakers):
        own_prompts = {f"SI{s}_{i}": list(rng.permutation(WORDS)) for i in range(own)}
        for prompt, words in (shared | own_prompts).items():
            where = places.get(prompt, rng.normal(size=(len(WORDS), 6)) * 5)
            for i, word in enumerate(words):
                rows.append(
                    {
                        "token_id": f"S{s}_{prompt}_{i}", "utterance": f"S{s}_{prompt}", "speaker": f"S{s}",
                        "gender": "F", "height_cm": None, "dialect": None, "split": None, "unit": "word",
                        "label": word, "start": 100 * i, "end": 100 * i + 90, "sample_rate": 16000, "prompt": prompt,
                    }
                )  # fmt: skip
                features["place"].append(where[i] + rng.normal(size=6))
                features["sound"].append(sounds[word] + rng.normal(size=6))
    arrays = {name: np.array(values, dtype=np.float32) for name, values in features.items()}
    return TokenTable("read", Path("latents/read"), {}, columns_of_rows(rows), arrays)


def words(protocol: str | None = None, **fields) -> Question:
    return Question(target="word", protocol=protocol, features=("place", "sound"), permutations=1, **fields)  # type: ignore[arg-type]


@pytest.mark.parametrize("fields", [{"ks": (5,)}, {"method": "lda"}, {"method": "logistic"}])
def test_a_place_in_the_prompt_tells_words_only_where_the_prompt_is_known(fields) -> None:
    table = read_aloud()
    known, unknown = (ask(table, words(protocol, **fields)).frame for protocol in ("speaker", "speaker+prompt"))
    assert at(known, feature="place", speaker="")["accuracy"] > 1 / 6 + 0.1
    assert at(unknown, feature="place", speaker="")["accuracy"] < 1 / 6 + 0.05
    for found in (known, unknown):
        assert at(found, feature="sound", speaker="")["accuracy"] > 0.8


def test_words_hold_out_the_prompt_unless_asked_otherwise() -> None:
    assert default_protocol("word") == "speaker+prompt"
    answer = ask(read_aloud(), words(ks=(5,)))
    assert answer.question.protocol == "speaker+prompt"
    assert "180 of 180 rows remain" in answer.notes[0]


def test_rows_whose_class_nobody_else_has_elsewhere_are_left_out_and_counted() -> None:
    table = read_aloud()
    labels = table.columns["label"].copy()
    labels[(table.columns["prompt"] == "SA1") & (labels == "the")] = "once"  # in one prompt, though all read it
    labels[(table.columns["speaker"] == "S0") & (labels == "a")] = "mine"  # of one speaker, in many prompts
    table = changed(table, label=labels)
    rows, notes = rows_to_judge(table, words(min_count=1))
    assert len(rows) == 180 - 6 - 5
    assert {"once", "mine"}.isdisjoint(rows.labels)
    assert any("169 of 175 rows remain" in note and "all of once" in note for note in notes)
    assert any("mine" in note for note in notes)


def test_what_was_read_has_to_be_known() -> None:
    table = read_aloud()
    with pytest.raises(InputError, match="does not say what was read.*use protocol='speaker'"):
        ask(changed(table, prompt=None), words())
    some = table.columns["prompt"].copy()
    some[:6] = None
    _, notes = rows_to_judge(changed(table, prompt=some), words())
    assert "what was read is unknown for 6 rows, which count as prompts of their own" in notes


def test_prompts_tell_nothing_of_speakers() -> None:
    with pytest.raises(InputError, match=r"speaker\+prompt is for phoneme, manner, .*not for gender"):
        Question(target="gender", protocol="speaker+prompt")


def test_phonemes_and_abx_can_hold_out_the_prompt_too() -> None:
    table = made_up(speakers=3)
    found = ask(table, Question(protocol="speaker+prompt", features=("z1",), ks=(5,), permutations=1)).frame
    assert at(found, speaker="")["accuracy"] > 0.6
    across = Question(method="abx", protocol="across", features=("z1",))
    plain, other = (ask(table, question).frame for question in (across, replace(across, protocol="across+prompt")))
    assert at(other, speaker="")["accuracy"] > 0.7
    assert at(other, speaker="")["accuracy"] != at(plain, speaker="")["accuracy"]  # fewer triples
