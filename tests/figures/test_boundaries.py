from pathlib import Path

import pytest
from matplotlib.figure import Figure

from lvm_probe import InputError
from lvm_probe.figures import boundaries
from lvm_probe.figures.inputs import FigureInputs
from tests.figures import contract
from tests.probing.synthetic_tables import made_up
from tests.probing.test_boundaries import planted


def test_contract_and_what_is_drawn(tmp_path: Path) -> None:
    data = contract.check_contract(boundaries, FigureInputs(planted()), tmp_path)
    assert set(data["target"]) == {"manner"}
    assert set(data["protocol"]) == {"speaker"}
    ax = Figure().add_subplot()
    onset = data[data["edge"] == "onset"]
    boundaries.draw(ax, onset)
    z1 = onset[onset["feature"] == "z1"]
    (line,) = [line for line in ax.lines if line.get_label() == "z1"]
    assert line.get_xdata().tolist() == z1["offset_ms"].tolist() == list(range(-55, 65, 10))
    assert line.get_ydata().tolist() == (100 * z1["accuracy"]).tolist()
    caption = boundaries.caption(data, FigureInputs(planted()))
    assert "from the beginning z1 100 % at +" in caption
    with pytest.raises(InputError, match="a panel shows one"):
        boundaries.draw(ax, data)


def test_one_speaker_is_asked_by_utterances_and_a_table_without_frames_is_refused() -> None:
    data = boundaries.data(FigureInputs(planted(speakers=1), permutations=0))
    assert set(data["protocol"]) == {"utterance"}
    assert "permuted" not in boundaries.caption(data, FigureInputs(planted(speakers=1)))
    with pytest.raises(InputError, match="no frame rows"):
        boundaries.data(FigureInputs(made_up()))
