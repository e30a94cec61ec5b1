"""Confusions: shares that sum to one, an order of the mouth, labels that can be read."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from matplotlib.figure import Figure

from lvm_probe import InputError
from lvm_probe.figures import confusion, style
from lvm_probe.figures.inputs import FigureInputs
from lvm_probe.probing.corpora.phones import SILENCES, TIMIT61, phone_class
from tests.figures.contract import assert_whole, check_contract, overlapping
from tests.probing.synthetic_tables import PHONES, changed, made_up


def confusions(labels: list[str], features: tuple[str, ...] = ("z1+z2", "mel")) -> pd.DataFrame:
    """Everything is taken for itself, mostly."""
    rows = [
        {"feature": f, "k": 5, "label": a, "predicted": b, "count": 9 if a == b else 1, "share": 0.9 if a == b else 0.1}
        for f in features
        for a, b in [*zip(labels, labels, strict=True), *zip(labels, labels[1:] + labels[:1], strict=True)]
    ]
    return pd.DataFrame(rows)


def test_shares_of_what_was_said_sum_to_one(tmp_path: Path) -> None:
    data = check_contract(confusion, FigureInputs(made_up(speakers=2), permutations=0), tmp_path)
    assert list(dict.fromkeys(data["feature"])) == ["z1+z2", "mel"]
    np.testing.assert_allclose(data.groupby(["feature", "label"])["share"].sum(), 1, rtol=1e-12)
    assert (data.groupby("feature")["count"].sum() == 2 * 48).all()
    assert set(data["k"]) == {5}
    right = data[data["label"] == data["predicted"]].groupby("feature")["count"].sum()
    assert right["z1+z2"] > right["mel"]  # made_up's Mel knows nothing of the phoneme


def test_the_figure_is_that_of_the_shared_question() -> None:
    inputs = FigureInputs(made_up(speakers=2), permutations=0)
    rows = confusion.data(inputs)
    (findings,) = inputs.answers.values()
    whole = findings.frame[(findings.frame["speaker"] == "") & (findings.frame["k"] == 5)].set_index("feature")
    right = rows[rows["label"] == rows["predicted"]].groupby("feature")["count"].sum() / (2 * 48)
    np.testing.assert_allclose(right["mel"], whole.loc["mel", "accuracy"])


def test_the_order_is_by_manner_then_place() -> None:
    order = style.articulation_order(TIMIT61)
    manners = [phone_class(label, "manner", "timit") for label in order]
    assert len(order) == 61
    assert manners == sorted(manners, key=manners.index)
    stops = [phone_class(label, "place", "timit") for label in order[: manners.count("stop")]]
    assert stops == ["labial", "labial", "alveolar", "alveolar", "alveolar", "velar", "velar", "glottal"]
    assert style.articulation_order(["s", "Y", "X"]) == ["s", "X", "Y"]


def test_all_labels_of_timit_can_be_read() -> None:
    labels = sorted(TIMIT61 - SILENCES)
    fig = confusion.figure(confusions(labels))
    assert fig.get_figwidth() == pytest.approx(style.TWO_COLUMNS)
    assert_whole(fig)
    for ax, axes in zip(fig.axes, ("xy", "x"), strict=False):  # the rows are named once
        named = {axis: getattr(ax, f"get_{axis}ticklabels")(which="both") for axis in "xy"}
        for axis in "xy":
            assert {text.get_text() for text in named[axis]} == (set(labels) if axis in axes else set())
        assert overlapping([*ax.texts, *named["x"], *named["y"], ax.xaxis.label, ax.yaxis.label, ax.title], fig) == []


def test_other_alphabets_and_a_single_feature() -> None:
    fig = confusion.figure(confusions(["ä", "ö", "ü"], features=("z1",)))
    assert len(fig.axes) == 2  # the panel and its scale
    assert_whole(fig)


def test_left_out() -> None:
    words = changed(made_up(), unit="word")
    with pytest.raises(InputError, match="no phoneme rows"):
        confusion.data(FigureInputs(words, permutations=0))
    with pytest.raises(InputError, match="two classes"):
        confusion.data(FigureInputs(changed(made_up(), label=PHONES[0]), permutations=0))
    with pytest.raises(InputError, match="neither layers"):
        confusion.data(FigureInputs(made_up(dims={"mfcc": 39}), permutations=0))
    with pytest.raises(InputError, match="share"):
        confusion.draw(Figure().add_subplot(), confusions(["s"]).drop(columns="share"))
