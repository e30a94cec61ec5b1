"""Durations: milliseconds from samples, in the order of the mouth, boxes where the quartiles are."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from matplotlib.figure import Figure

from lvm_probe import InputError
from lvm_probe.figures import durations, style
from lvm_probe.figures.inputs import FigureInputs
from lvm_probe.probing.corpora.phones import SILENCES, TIMIT61
from tests.figures.contract import assert_whole, check_contract, overlapping
from tests.probing.synthetic_tables import changed, made_up


def of_timit(n: int = 12) -> pd.DataFrame:
    """Every phoneme of TIMIT, n times, up to 1,000 times of one."""
    labels = np.repeat(sorted(TIMIT61 - SILENCES), n).tolist() + ["iy"] * 1000
    ms = 60 * np.exp(np.random.default_rng(0).normal(0, 0.6, len(labels)))
    speaker = [f"S{i % 3}" for i in range(len(labels))]
    return pd.DataFrame({"token_id": range(len(labels)), "speaker": speaker, "label": labels, "ms": ms}).assign(
        shown=lambda frame: frame["speaker"] == "S0"
    )


def test_every_phoneme_of_one_speaker_and_of_all(tmp_path: Path) -> None:
    table = made_up(speakers=2)
    label = table.tokens["label"].where(table.tokens.index % 9 != 8, "pau")
    table = changed(table, label=label, sample_rate=8000)
    data = check_contract(durations, FigureInputs(table, speaker="MS1"), tmp_path)
    assert list(data.columns) == ["token_id", "speaker", "label", "ms", "shown"]
    own = table.tokens[label != "pau"]
    assert data["token_id"].tolist() == own["token_id"].tolist()
    np.testing.assert_allclose(data["ms"], (own["end"] - own["start"]) / 8)
    assert set(data.loc[data["shown"], "speaker"]) == {"MS1"}
    assert len(durations.figure(data).axes) == 2


def test_boxes_are_where_the_quartiles_are() -> None:
    data = pd.DataFrame({"label": ["s"] * 101 + ["t"] * 3, "ms": [*range(100, 201), 50, 60, 70]})
    ax = Figure().add_subplot()
    durations.draw(ax, data, order=["t", "s"])
    (box,) = (patch.get_path().get_extents() for patch in ax.patches)
    assert (box.y0, box.y1, (box.x0 + box.x1) / 2) == pytest.approx((125, 175, 1))
    lines = [np.asarray(line.get_ydata(), dtype=float).tolist() for line in ax.lines]
    for line in ([125, 105], [175, 195], [150, 150]):
        assert line in lines
    (crosses,) = (marks.get_offsets() for marks in ax.collections if len(marks.get_offsets()))
    assert np.asarray(crosses).tolist() == [[0, 50], [0, 60], [0, 70]]
    assert [text.get_text() for text in ax.texts] == ["3", "101"]


def test_the_order_is_by_manner_then_median() -> None:
    data = pd.DataFrame({"label": ["iy", "s", "z", "t", "aa", "X"], "ms": [90.0, 80, 70, 100, 50, 1]})
    assert durations.ordered(data) == ["t", "z", "s", "aa", "iy", "X"]


def test_all_phonemes_and_their_counts_can_be_read() -> None:
    fig = durations.figure(of_timit())
    assert fig.get_figwidth() == pytest.approx(style.TWO_COLUMNS)
    assert_whole(fig)
    above, below = fig.axes
    assert len(below.get_xticklabels()) == 58
    texts = [*fig.texts, above.title, below.title, *above.texts, *below.texts, *below.get_xticklabels()]
    assert overlapping(texts, fig) == []
    assert above.get_ylim() == below.get_ylim()


def test_one_speaker_is_one_panel() -> None:
    inputs = FigureInputs(made_up(speakers=1))
    data = durations.data(inputs)
    assert len(durations.figure(data).axes) == 1
    assert "of speaker FS0 (48 tokens" in durations.caption(data, inputs)


def test_what_cannot_be_drawn_is_said() -> None:
    with pytest.raises(InputError, match="no phoneme rows"):
        durations.data(FigureInputs(changed(made_up(), unit="utterance")))
    with pytest.raises(InputError, match="no rows with a known phoneme"):
        durations.data(FigureInputs(changed(made_up(), label="h#")))
    with pytest.raises(InputError, match="not positive"):
        durations.draw(Figure().add_subplot(), pd.DataFrame({"label": ["s"], "ms": [0.0]}))
    with pytest.raises(InputError, match="lack the columns ms"):
        durations.draw(Figure().add_subplot(), pd.DataFrame({"label": ["s"]}))
