"""Heights in two discriminants: the classes in one orientation, and no clusters that the axes made themselves."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from lvm_probe import InputError
from lvm_probe.figures import height_lda
from lvm_probe.figures.inputs import FigureInputs
from lvm_probe.probing.features.token_table import TokenTable
from tests.figures.contract import assert_whole, check_contract
from tests.probing.synthetic_tables import changed, made_up

TALL = [170, 172, 174, 180, 181, 182, 190, 191, 192]


def of_men(signal: float = 0.0, dims: int = 12, gender: str = "M") -> TokenTable:
    """Nine speakers in three classes of height, and one woman; `signal` is known to the first two dimensions."""
    table = made_up(speakers=10, each=30, dims={"z1": dims, "z2": dims, "mel": dims})
    place = np.minimum(np.arange(300) // 30, 9)
    height = np.array([*TALL, 160])[place]
    random = np.random.default_rng(5)
    classes = np.searchsorted([175, 185], height)
    centres = signal * np.eye(3, dims)[classes]
    features = {name: centres + random.normal(size=(300, dims)) for name in table.features}
    genders = np.where(place < 9, gender, "F")
    return changed(table, features, height_cm=height, gender=genders, utterance=table.columns["token_id"])


def separation(data: pd.DataFrame) -> float:
    """Variance of the class means in units of the variance within."""
    groups = data[data["feature"] == "mel"].groupby("label")[["x", "y"]]
    return float((groups.mean().var() / groups.var().mean()).mean())


def test_men_of_three_classes_on_the_axes_of_the_others(tmp_path: Path) -> None:
    data = check_contract(height_lda, FigureInputs(of_men(signal=8.0)), tmp_path)
    assert list(data.columns) == ["feature", "x", "y", "label", "held_out", "utterance", "speaker", "group"]
    assert set(data["label"]) == {"<175", "175-185", ">185"}
    assert set(data["group"]) == {"men"}
    assert (data.groupby("feature").size() == 9 * 30).all()
    # Classes 11 standard deviations apart: every fold's plane is the same but for its turn, and the turns meet.
    assert separation(data) > 10
    paper = height_lda.data(FigureInputs(of_men(signal=8.0), fit="paper"))
    np.testing.assert_allclose(data[["x", "y"]], paper[["x", "y"]], atol=1.0)
    fig = height_lda.figure(data)
    assert_whole(fig)
    assert [text.get_text() for text in fig.axes[-1].texts] == ["<175", "175-185", ">185"]


def test_noise_makes_clusters_only_by_the_papers_way() -> None:
    honest, paper = (height_lda.data(FigureInputs(of_men(dims=150), fit=fit)) for fit in ("held-out", "paper"))
    assert separation(honest) < 0.1  # class means of 90 points vary by 1/90 of the variance within
    assert separation(paper) > 0.5
    assert not paper["held_out"].any()
    assert any("The paper's way" in text.get_text() for text in height_lda.figure(paper).texts)


def test_both_genders_come_with_a_warning() -> None:
    table = of_men(signal=8.0)
    gender = np.where(np.isin(table.tokens["height_cm"], [170, 180, 190]), "F", "M")
    few = (~table.tokens["height_cm"].isin([160, 174, 182, 192])).to_numpy()
    table = changed(table, gender=gender).select(few)
    inputs = FigureInputs(table)
    data = height_lda.data(inputs)
    assert set(data["group"]) == {"speakers of both genders"}
    assert "Gender predicts height" in height_lda.caption(data, inputs)
    assert any("Gender predicts height" in text.get_text() for text in height_lda.figure(data).texts)


def test_what_cannot_be_drawn_is_left_out_with_its_reason() -> None:
    two = of_men().select((of_men().tokens["height_cm"] < 185).to_numpy())
    for table, message in (
        (made_up(), "no rows with a known height"),
        (two, "<175 cm .4. and 175-185 cm .3.; two discriminants need three classes of two speakers"),
        (two.select((two.tokens["speaker"] == "FS0").to_numpy()), "<175 cm .1."),
    ):
        with pytest.raises(InputError, match=message):
            height_lda.data(FigureInputs(table))
