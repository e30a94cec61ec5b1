from pathlib import Path

import numpy as np
import pytest
from matplotlib.figure import Figure

from lvm_probe import InputError
from lvm_probe.figures import measures
from lvm_probe.figures.inputs import FigureInputs
from lvm_probe.probing.features.feature import MEASURES
from lvm_probe.probing.features.token_table import TokenTable
from tests.figures import contract
from tests.probing.synthetic_tables import changed, made_up


def measured() -> TokenTable:
    """Every measure is a direction of z1, with noise."""
    table, rng = made_up(speakers=4), np.random.default_rng(0)
    known = {
        name: np.exp(table.features["z1"][:, [3 + i]] + 0.3 * rng.normal(size=(len(table), 1))).astype(np.float32)
        for i, name in enumerate(MEASURES)
    }
    return changed(table, features=table.features | known)


def test_contract_and_what_is_drawn(tmp_path: Path) -> None:
    inputs = FigureInputs(measured(), permutations=2)
    data = contract.check_contract(measures, inputs, tmp_path)
    assert data["protocol"].unique().tolist() == ["utterance", "speaker"]
    assert data["target"].unique().tolist() == list(MEASURES)
    pitch = data[(data["target"] == "f0") & (data["protocol"] == "utterance")].set_index("feature")["r2"]
    assert pitch["z1"] > 0.6 > 0.2 > pitch["mel"]
    ax = Figure().add_subplot()
    within = data[data["protocol"] == "utterance"]
    measures.draw(ax, within)
    (points,) = [line for line in ax.lines if line.get_label() == "z1"]
    assert points.get_xdata().tolist() == within.loc[within["feature"] == "z1", "r2"].tolist()
    assert np.round(points.get_ydata()).tolist() == list(range(len(MEASURES)))
    assert [text.get_text() for text in ax.get_yticklabels()][:3] == ["pitch", "voiced", "intensity"]
    with pytest.raises(InputError, match="a panel shows one"):
        measures.draw(ax, data)


def test_points_beyond_the_axis_are_counted_and_a_table_without_measures_is_refused() -> None:
    inputs = FigureInputs(measured(), permutations=0)
    data = measures.data(inputs)
    assert "left of the axis" not in measures.caption(data, inputs)
    data.loc[data.index[0], ["r2", "r2_low"]] = -3.0
    assert measures.caption(data, inputs).endswith("1 point left of the axis.")
    with pytest.raises(InputError, match="no acoustic measures"):
        measures.data(FigureInputs(made_up()))
