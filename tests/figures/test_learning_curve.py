from pathlib import Path

import pytest
from matplotlib.figure import Figure

from lvm_probe import InputError
from lvm_probe.figures import learning_curve
from lvm_probe.figures.inputs import FigureInputs
from tests.figures import contract
from tests.probing.synthetic_tables import made_up


def test_contract_and_what_is_drawn(tmp_path: Path) -> None:
    inputs = FigureInputs(made_up(speakers=3), permutations=1)
    data = contract.check_contract(learning_curve, inputs, tmp_path)
    assert data["protocol"].unique().tolist() == ["utterance", "speaker"]
    assert data[(data["feature"] == "z1") & (data["protocol"] == "utterance")]["groups"].tolist() == [1, 2]
    ax = Figure().add_subplot()
    learning_curve.draw(ax, data[data["protocol"] == "speaker"])
    z1 = data[(data["feature"] == "z1") & (data["protocol"] == "speaker")]
    (line,) = [line for line in ax.lines if line.get_label() == "z1"]
    assert line.get_ydata().tolist() == z1["bits"].tolist()
    assert line.get_xdata().tolist() == z1["fitted"].tolist() == [48, 96]
    fig = learning_curve.figure(data)
    assert not contract.overlapping([text for ax in fig.axes for text in ax.get_xticklabels()], fig)
    caption = learning_curve.caption(data, inputs)
    assert f"z1 {z1['code'].iloc[0]:.2f}" in caption


def test_one_speaker_has_one_panel_and_one_panel_shows_one_protocol() -> None:
    data = learning_curve.data(FigureInputs(made_up(speakers=1), permutations=1))
    assert data["protocol"].unique().tolist() == ["utterance"]
    assert len(learning_curve.figure(data).axes) == 1
    with pytest.raises(InputError, match="several protocols"):
        learning_curve.draw(Figure().add_subplot(), data.assign(protocol=["a"] + ["b"] * (len(data) - 1)))
