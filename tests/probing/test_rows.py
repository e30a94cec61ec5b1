from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from lvm_probe import InputError
from lvm_probe.probing.features.token_table import TokenTable, columns_of_rows
from lvm_probe.probing.questions.judgeable_rows import rows_to_judge
from lvm_probe.probing.questions.question import Question
from lvm_probe.probing.questions.rows import check_same_tokens, height_classes, select_rows, with_measures_of
from tests.probing.synthetic_tables import changed, made_up


def with_words() -> TokenTable:
    """Two utterances of each of two speakers: phonemes and words."""
    sentence = [
        ("sh", 0, 100),
        ("iy", 100, 200),
        ("hh", 200, 250),
        ("ae", 250, 400),
        ("dcl", 400, 450),
        ("d", 450, 500),
    ]
    words = [("She", 0, 200), ("had", 200, 500)]
    rows: list[dict[str, Any]] = []
    for speaker, gender, height in (("FA", "F", 160.0), ("MB", "M", 190.0)):
        for utterance in ("SX1", "SX2"):
            for unit, segments in (("phoneme", sentence), ("word", words)):
                for i, (label, start, end) in enumerate(segments):
                    rows.append(
                        {
                            "token_id": f"{speaker}_{utterance}:{unit}:{i}", "utterance": f"{speaker}_{utterance}",
                            "speaker": speaker, "gender": gender, "height_cm": height, "dialect": "DR1", "split": None,
                            "unit": unit, "label": label, "start": start, "end": end, "sample_rate": 16000,
                            "prompt": utterance,
                        }
                    )  # fmt: skip
    points = np.arange(2.0 * len(rows), dtype=np.float32).reshape(-1, 2)
    return TokenTable("t", Path("latents/t"), {}, columns_of_rows(rows), {"z1": points})


def test_token_targets_have_a_row_a_token() -> None:
    table = with_words()
    found = select_rows(table, Question(target="phoneme"))
    assert found.labels[:6].tolist() == ["sh", "iy", "hh", "ae", "dcl", "d"]
    assert len(found.table.tokens) == 24
    manner = select_rows(table, Question(target="manner"))
    assert manner.labels[:6].tolist() == ["fricative", "vowel", "semivowel", "vowel", "closure", "stop"]
    place = select_rows(table, Question(target="place"))
    assert place.labels[:6].tolist() == ["postalveolar", "front", "glottal", "front", "alveolar", "alveolar"]
    words = select_rows(table, Question(target="word", min_count=1))
    assert words.labels.tolist() == ["she", "had"] * 4
    np.testing.assert_array_equal(words.table.features["z1"][0], table.features["z1"][6])
    assert select_rows(table, Question(target="word", min_count=4)).labels.tolist() == ["she", "had"] * 4
    rarer = changed(table, label=np.where(np.arange(len(table)) == 6, "fell", table.columns["label"]))
    words = select_rows(rarer, Question(target="word", min_count=2))
    assert words.labels.tolist() == ["had", *["she", "had"] * 3]
    assert words.notes == ("left out because fewer than 2 tokens have the label: fell (1 rows)",)
    with pytest.raises(InputError, match="no word occurs 5 times; lower min_count"):
        select_rows(table, Question(target="word"))


def test_folded_labels_keep_manner_and_lose_the_place_of_closures() -> None:
    table = with_words()
    assert select_rows(table, Question(target="manner", phones="timit48")).labels[4] == "closure"
    assert (
        select_rows(table, Question(target="place", phones="timit48")).labels.tolist().count("alveolar") == 4
    )  # d, and no vcl


def test_types_are_what_a_memorising_probe_goes_by() -> None:
    table = with_words()
    context = select_rows(table, Question(target="phoneme")).types
    np.testing.assert_array_equal(context[:6], context[6:12])  # the same neighbours in every sentence
    assert len(np.unique(context)) == 6
    np.testing.assert_array_equal(
        select_rows(table, Question(target="manner")).types[:6],
        np.unique(["sh", "iy", "hh", "ae", "dcl", "d"], return_inverse=True)[1],
    )
    assert select_rows(table, Question(target="gender", protocol="nested")).types.tolist() == [0, 0, 1, 1]
    assert select_rows(table, Question(target="speaker", protocol="nested")).types.tolist() == [0, 1, 2, 3]
    order = np.random.default_rng(0).permutation(len(table))
    mixed_up = {name: values[order] for name, values in table.columns.items()}
    shuffled = TokenTable("t", table.path, {}, mixed_up, {"z1": table.features["z1"][order]})
    mixed = select_rows(shuffled, Question(target="phoneme"))
    back = dict(zip(mixed.table.tokens["token_id"], mixed.types, strict=True))
    ids = select_rows(table, Question(target="phoneme")).table.tokens["token_id"]
    np.testing.assert_array_equal([back[i] for i in ids], context)


def test_attributes_have_one_row_a_speaker_an_utterance_or_a_token() -> None:
    table = with_words()
    assert select_rows(table, Question(target="gender", protocol="speaker")).labels.tolist() == ["F", "M"]
    assert select_rows(table, Question(target="gender", protocol="nested")).labels.tolist() == ["F", "F", "M", "M"]
    assert select_rows(table, Question(target="gender", protocol="speaker", rows="utterance")).labels.tolist() == [
        "F",
        "F",
        "M",
        "M",
    ]
    tokens = select_rows(table, Question(target="gender", protocol="speaker", rows="token"))
    assert len(tokens.labels) == 24  # the phonemes; words would say the same twice
    first = select_rows(table, Question(target="speaker", protocol="nested"))
    rows = table.tokens[(table.tokens["utterance"] == "FA_SX1") & (table.tokens["unit"] == "phoneme")]
    weights = (rows["end"] - rows["start"]).to_numpy()
    mean = np.average(table.features["z1"][rows.index], axis=0, weights=weights)
    np.testing.assert_allclose(first.table.features["z1"][0], mean, rtol=1e-6)


def test_heights_are_classes_or_centimetres() -> None:
    heights = pd.Series([174.9, 175.0, 180.0, 185.0, 185.1])
    assert height_classes(heights, (175, 185)).tolist() == ["<175", "175-185", "175-185", "175-185", ">185"]
    assert height_classes(heights, (180.0,)).tolist() == ["<180", "<180", ">=180", ">=180", ">=180"]
    table = with_words()
    assert select_rows(table, Question(target="height", protocol="speaker")).labels.tolist() == ["<175", ">185"]
    centimetres = select_rows(table, Question(target="height-cm", method="ridge", protocol="speaker"))
    assert centimetres.labels.tolist() == [160.0, 190.0]
    assert centimetres.labels.dtype == np.float64
    unknown = changed(table, height_cm=np.where(table.tokens["speaker"] == "FA", np.nan, 190.0))
    assert select_rows(unknown, Question(target="height", protocol="speaker")).labels.tolist() == [">185"]
    with pytest.raises(InputError, match="no rows with a known height are left"):
        select_rows(changed(table, height_cm=np.nan), Question(target="height", protocol="speaker"))


def test_one_gender_alone() -> None:
    assert set(select_rows(with_words(), Question(target="phoneme", gender="M")).table.tokens["speaker"]) == {"MB"}


def test_rows_that_the_table_lacks_are_refused() -> None:
    with pytest.raises(
        InputError,
        match="no word rows, only phoneme; add them: probe extract --ckpt CKPT .* --add --units word",
    ):
        select_rows(made_up(speakers=2), Question(target="word"))


def test_speakers_with_one_utterance_are_left_out_by_name() -> None:
    """Under `utterance` they would have no rows to train on."""
    table = made_up(speakers=3)
    single = table.tokens["utterance"].where(table.tokens["speaker"] != "MS1", "MS1_SX1")
    rows, notes = rows_to_judge(changed(table, utterance=single), Question())
    assert rows.speakers.names.tolist() == ["FS0", "FS2"]
    assert notes == ("left out because protocol utterance needs two utterances of a speaker: MS1 (48 rows)",)
    for protocol in ("nested", "speaker", "paper"):
        assert len(rows_to_judge(changed(table, utterance=single), Question(protocol=protocol))[0]) == 3 * 48
    with pytest.raises(
        InputError, match=r"protocol utterance needs two utterances of a speaker, and none has that \(FS0, FS2, MS1\)"
    ):
        rows_to_judge(changed(table, utterance=table.tokens["speaker"] + "_SX1"), Question())


def test_other_tokens_are_not_the_same_rows() -> None:
    table = made_up(speakers=2)
    check_same_tokens(table, table)
    with pytest.raises(InputError, match="not the same tokens as latents/made-up; extract both"):
        check_same_tokens(table.select(np.arange(96) > 0), table)


def test_measures_go_to_the_same_tokens_of_a_table_of_fewer_units() -> None:
    table = with_words()
    pitch = np.arange(len(table), dtype=np.float32)[:, None]
    measured = changed(table, table.features | {"f0": pitch})
    for rows in (table.columns["unit"] == "phoneme", np.ones(len(table), dtype=bool)):
        assert (with_measures_of(measured, table.select(rows)).features["f0"] == pitch[rows]).all()
    others = changed(table, token_id=np.array([f"other-{token}" for token in table.columns["token_id"]], dtype=object))
    assert np.isnan(with_measures_of(measured, others).features["f0"]).all()
