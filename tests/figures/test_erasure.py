from pathlib import Path

import pytest

from lvm_probe import InputError
from lvm_probe.figures import erasure
from lvm_probe.figures.inputs import FigureInputs
from tests.figures import contract
from tests.probing.synthetic_tables import made_up


def test_contract_and_what_is_drawn(tmp_path: Path) -> None:
    data = contract.check_contract(erasure, FigureInputs(made_up(speakers=8)), tmp_path)
    assert data["erase"].unique().tolist() == ["speaker", "gender"]
    assert data["minus_unerased"].tolist() == pytest.approx((data["accuracy"] - data["unerased"]).tolist())
    assert set(data["permutations"]) == {2}
    fig = erasure.figure(data)
    assert [ax.get_title(loc="left") for ax in fig.axes] == ["speaker erased", "gender erased"]
    assert fig.axes[0].get_xlim() == fig.axes[1].get_xlim()
    z1 = data[(data["erase"] == "gender") & (data["feature"] == "z1")].iloc[0]
    drawn = [line.get_xdata()[0] for line in fig.axes[1].lines if len(line.get_xdata()) == 1]
    assert drawn[:2] == [100 * z1["sham"], 100 * z1["minus_unerased"]]
    assert [text.get_text() for text in fig.legends[0].get_texts()][1:] == ["sham erasure", "nothing erased"]


def test_one_speaker_has_no_others() -> None:
    with pytest.raises(InputError):
        erasure.data(FigureInputs(made_up(speakers=1)))
