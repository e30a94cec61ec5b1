from dataclasses import replace
from pathlib import Path

import pytest
from matplotlib.figure import Figure
from matplotlib.text import Text

from lvm_probe import InputError
from lvm_probe.figures import similarity
from lvm_probe.figures.inputs import FigureInputs
from tests.figures import contract
from tests.probing.synthetic_tables import made_up


def test_contract_and_what_is_drawn(tmp_path: Path) -> None:
    table, other = made_up(), replace(made_up(), name="seed-1")
    inputs = FigureInputs(table, untrained=made_up(signal=0, seed=0), others=(other,), permutations=2)
    data = contract.check_contract(similarity, inputs, tmp_path)
    names = ["z1", "z2", "untrained z1", "untrained z2", "seed-1 z1", "seed-1 z2", "mel"]
    assert list(dict.fromkeys([*data["first"], *data["second"]])) == names
    assert data["measure"].unique().tolist() == ["cka", "pwcca", "rsa"]
    assert len(data) == 3 * 21
    ax = Figure().add_subplot()
    similarity.draw(ax, data[data["measure"] == "cka"])
    assert [text.get_text() for text in ax.get_xticklabels()] == [*names[:-1], "Mel"]
    shown = [text.get_text() for text in ax.texts]
    assert len(shown) == 49
    assert shown[4] == "1.00"  # the same table again
    assert shown[1] == f"{data['value'].iloc[0]:.2f}"
    fig = similarity.figure(data)
    for ax in fig.axes:
        assert not contract.overlapping(ax.texts, fig)


def test_titles_have_room_over_few_cells() -> None:
    fig = similarity.figure(similarity.data(FigureInputs(made_up(), permutations=0)))
    titles = [text for text in fig.findobj(Text) if text.get_text() in {ax.get_title(loc="left") for ax in fig.axes}]
    assert len(titles) == 3
    assert not contract.overlapping(titles, fig)


def test_tables_of_other_tokens_are_named_and_a_panel_shows_one_measure() -> None:
    inputs = FigureInputs(made_up(), others=(replace(made_up(speakers=2), name="small"),), permutations=0)
    data = similarity.data(inputs)
    assert "Left out, for their tokens are others: small" in similarity.caption(data, inputs)
    with pytest.raises(InputError, match="a panel shows one measure"):
        similarity.draw(Figure().add_subplot(), data)
