"""Phonemes of one speaker: the right tokens on axes fitted to the right others."""

from itertools import cycle, islice
from pathlib import Path

import numpy as np
import pytest

from lvm_probe import InputError
from lvm_probe.figures import phonemes_lda, style
from lvm_probe.figures.inputs import FigureInputs
from lvm_probe.probing.corpora.phones import SILENCES, TIMIT61
from tests.figures.contract import assert_whole, check_contract, overlapping
from tests.probing.synthetic_tables import changed, made_up


def test_the_speakers_phonemes_in_every_layer_and_mel(tmp_path: Path) -> None:
    table = made_up(speakers=2)
    table = changed(table, label=table.tokens["label"].where(table.tokens.index % 9 != 8, "h#"))
    data = check_contract(phonemes_lda, FigureInputs(table, speaker="MS1"), tmp_path)
    assert list(data.columns) == ["feature", "x", "y", "label", "held_out", "token_id", "speaker"]
    own = table.tokens[(table.tokens["speaker"] == "MS1") & (table.tokens["label"] != "h#")]
    for feature in ("z1", "z2", "mel"):
        one = data[data["feature"] == feature]
        assert one["token_id"].tolist() == own["token_id"].tolist()
        assert one["label"].tolist() == own["label"].tolist()
        by_utterance = one.groupby(own["utterance"].to_numpy())["held_out"]
        assert (by_utterance.nunique() == 1).all()
    assert set(data["feature"]) == {"z1", "z2", "mel"}
    assert set(data["speaker"]) == {"MS1"}


def test_the_papers_way_says_so() -> None:
    inputs = FigureInputs(made_up(speakers=1), fit="paper")
    data = phonemes_lda.data(inputs)
    assert not data["held_out"].any()
    fig = phonemes_lda.figure(data)
    assert all("these tokens" in ax.get_title(loc="left") for ax in fig.axes[:-1])
    assert any("The paper's way" in text.get_text() for text in fig.texts)
    assert "as in the paper" in phonemes_lda.caption(data, inputs)


def test_four_features_of_all_phonemes_make_two_rows_that_can_be_read() -> None:
    table = made_up(speakers=1, each=180, dims={"z1": 8, "z2": 8, "z3": 8, "mel": 8})
    labels = list(islice(cycle(sorted(TIMIT61 - SILENCES)), 180))
    fig = phonemes_lda.figure(phonemes_lda.data(FigureInputs(changed(table, label=labels), fit="paper")))
    *panels, key = fig.axes
    assert [ax.get_title(loc="left").split(":")[0] for ax in panels] == ["z1", "z2", "z3", "Mel"]
    assert len({round(ax.get_position().y0, 6) for ax in panels}) == 2
    assert fig.get_figwidth() == pytest.approx(style.TWO_COLUMNS)
    assert_whole(fig)
    assert {text.get_text() for text in key.texts} == {look.group for look in style.phone_styles(labels).values()}
    assert overlapping([*key.texts, *fig.texts, *(ax.xaxis.label for ax in panels)], fig) == []
    assert overlapping([ax.title for ax in panels], fig) == []


def test_what_cannot_be_drawn_is_left_out_with_its_reason() -> None:
    table = made_up(speakers=1)
    first = (table.tokens["utterance"] == "FS0_SA1").to_numpy()
    for spoilt, message in (
        (changed(table, unit="word"), "no phoneme rows"),
        (changed(table, label="h#"), "no rows with a known phoneme"),
        (table.select(first), "one utterance"),
        (changed(table, label=np.where(first, "s", "t")), "2 classes"),
    ):
        with pytest.raises(InputError, match=message):
            phonemes_lda.data(FigureInputs(spoilt))
    with pytest.raises(InputError, match="nobody"):
        phonemes_lda.data(FigureInputs(table, speaker="nobody"))
