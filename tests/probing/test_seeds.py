from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd
import pytest

from lvm_probe import InputError
from lvm_probe.probing.questions.ask import ask
from lvm_probe.probing.questions.question import Question
from lvm_probe.probing.questions.seeds import COLUMNS, as_text, check_same_recipe, over_trainings
from lvm_probe.probing.questions.untrained import untrained_table
from tests.probing.synthetic_tables import made_up


def test_the_spread_over_trainings_is_that_of_the_pooled_rows() -> None:
    question = Question(features=("z1", "mel"), ks=(1, 5), permutations=0)
    tables = [replace(made_up(signal=signal), name=f"seed{i}") for i, signal in enumerate((3.0, 2.5, 2.0))]
    frames = [ask(table, question).frame for table in tables]
    spread = over_trainings(pd.concat(frames))
    assert list(spread.columns) == COLUMNS
    row = spread[spread["feature"] == "z1"].iloc[0]
    pooled = [f[(f["feature"] == "z1") & (f["speaker"] == "") & (f["k"] == 5)].iloc[0] for f in frames]
    values = np.array([one["accuracy"] for one in pooled])
    assert row["trainings"] == 3
    assert row["accuracy"] == pytest.approx(values.mean())
    assert row["accuracy_sd"] == pytest.approx(values.std(ddof=1))
    assert (row["accuracy_min"], row["accuracy_max"]) == (values.min(), values.max())
    assert row["interval_half_width"] == pytest.approx(np.mean([(p["ci_high"] - p["ci_low"]) / 2 for p in pooled]))
    assert "utterance: z1 is above Mel in all 3 trainings (+" in as_text(spread)


def test_the_spread_of_the_only_speaker() -> None:
    question = Question(features=("z1",), ks=(5,), permutations=0, speakers="FS0")
    frames = [ask(replace(made_up(seed=seed), name=f"seed{seed}"), question).frame for seed in (0, 1)]
    (row,) = over_trainings(pd.concat(frames)).to_dict("records")
    assert row["accuracy"] == pytest.approx(np.mean([frame["accuracy"].iloc[0] for frame in frames]))


def test_seeds_are_of_one_model() -> None:
    table = made_up()
    with pytest.raises(InputError, match="two or more seeds"):
        check_same_recipe([table])
    with pytest.raises(InputError, match="not of the same model"):
        check_same_recipe([table, replace(table, extraction={"model": "another"})])
    check_same_recipe([table, table])


@pytest.mark.parametrize(
    ("first", "second", "same"),
    [
        ({"name": "torchaudio hubert_base", "sha256": "1"}, {"name": "torchaudio hubert_base", "sha256": "2"}, True),
        ({"name": "torchaudio hubert_base"}, {"name": "torchaudio wav2vec2_base"}, False),
        ({"name": "transformers a", "config_sha256": "1"}, {"name": "transformers b", "config_sha256": "1"}, True),
        ({"name": "transformers a", "config_sha256": "1"}, {"name": "transformers a", "config_sha256": "2"}, False),
        (
            {"name": "mine.py:first", "strides": {"conv": 160}},
            {"name": "mine.py:second", "strides": {"conv": 160}},
            True,
        ),
        (
            {"name": "mine.py:first", "strides": {"conv": 160}},
            {"name": "mine.py:first", "strides": {"conv": 80}},
            False,
        ),
    ],
)
def test_encoders_are_told_apart_but_not_by_their_weights(first: Any, second: Any, same: bool) -> None:
    one, other = (replace(made_up(), extraction={"encoder": encoder}) for encoder in (first, second))
    untrained = replace(other, extraction=other.extraction | {"untrained": True})
    if same:
        check_same_recipe([one, other])
        assert untrained_table(one, untrained) is untrained
        return
    with pytest.raises(InputError, match="not of the same model"):
        check_same_recipe([one, other])
    with pytest.raises(InputError, match="not the untrained model"):
        untrained_table(one, untrained)
