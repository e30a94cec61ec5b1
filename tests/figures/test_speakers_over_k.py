"""Gender and height over k: one row a speaker, honest k, and reasons for the panels that are missing."""

from pathlib import Path

import pandas as pd
import pytest

from lvm_probe import InputError
from lvm_probe.figures import speakers_over_k
from lvm_probe.figures.inputs import FigureInputs
from lvm_probe.probing.features.token_table import TokenTable
from tests.figures.contract import assert_whole, check_contract, overlapping
from tests.probing.synthetic_tables import changed, made_up

MEN = [168, 172, 176, 178, 182, 188, 190]
WOMEN = [150, 160, 162, 165, 165, 168, 172]


def heights(table: TokenTable) -> TokenTable:
    """Seven women and seven men, as tall as in the sample of TIMIT, about."""
    tall = {f"{'FM'[s % 2]}S{s}": (MEN if s % 2 else WOMEN)[s // 2] for s in range(14)}
    return changed(table, height_cm=table.tokens["speaker"].map(tall).astype(float))


def test_three_panels_of_one_row_a_speaker(tmp_path: Path) -> None:
    data = check_contract(
        speakers_over_k, FigureInputs(heights(made_up(speakers=14, each=12)), permutations=2), tmp_path
    )
    sizes = data.groupby("panel", sort=False)[["n", "n_classes", "k"]].max()
    assert sizes.index.tolist() == [
        "Gender", "Height of men: <175, 175-185, >185 cm", "Height of women: <165, ≥165 cm (median)",
    ]  # fmt: skip
    # k ends at the smallest class: 7 of each gender; 2, 3 and 2 men; 3 women below their median and 4 not.
    assert sizes.to_numpy().tolist() == [[14, 2, 7], [7, 3, 2], [7, 2, 3]]
    assert set(data["protocol"]) == {"speaker"}
    fig = speakers_over_k.figure(data)
    assert_whole(fig)
    assert overlapping([*fig.texts, *(ax.title for ax in fig.axes), *(ax.xaxis.label for ax in fig.axes)], fig) == []
    # Few speakers: one k, as points.
    assert [ax.get_title(loc="left").splitlines()[0] for ax in fig.axes] == [
        "Gender, k = 5", "Height of men, k = 2", "Height of women, k = 3",
    ]  # fmt: skip
    assert [text.get_text() for text in fig.axes[0].get_yticklabels()] == ["z1", "z2", "z1+z2", "Mel"]
    assert "cannot be ranked" in fig.texts[-1].get_text()
    assert "k = 5, or the largest" in speakers_over_k.caption(data, FigureInputs(heights(made_up(14)), permutations=2))
    many = speakers_over_k.figure(data.assign(n=30))
    assert [ax.get_xlabel() for ax in many.axes] == ["k (neighbours)"] * 3
    z1 = data[(data["panel"] == "Gender") & (data["feature"] == "z1")]
    assert z1["accuracy"].min() > 0.7  # of 14 points the shrinkage is heavy, and the other features do their harm


@pytest.mark.parametrize(
    ("tall", "edges"),
    [
        (MEN, (175.0, 185.0)),
        (WOMEN, (165.0,)),
        ([160, 170, 180, 186], (175.0,)),
        ([160, 161, 180, 190, 191], (175, 185)),
    ],
)
def test_the_papers_edges_where_they_tell_speakers_apart(tall: list[int], edges: tuple[float, ...]) -> None:
    assert speakers_over_k.edges_for(pd.Series(tall, dtype=float)) == edges


def test_missing_panels_have_their_reason_in_the_caption() -> None:
    inputs = FigureInputs(made_up(speakers=6, each=12), permutations=0)
    data = speakers_over_k.data(inputs)
    assert set(data["panel"]) == {"Gender"}
    caption = speakers_over_k.caption(data, inputs)
    assert caption.count("No panel for height of") == 2
    assert "no rows with a known height" in caption


def test_classes_of_one_speaker_are_said_to_be_missing() -> None:
    table = heights(made_up(speakers=14, each=12))
    table = table.select((table.tokens["speaker"] != "MS13").to_numpy())  # one of the two tall men
    inputs = FigureInputs(table, permutations=0)
    assert "Height of men: left out because only one speaker has the class: height >185" in speakers_over_k.caption(
        speakers_over_k.data(inputs), inputs
    )


@pytest.mark.parametrize("speakers", [1, 2])
def test_with_too_few_speakers_it_is_left_out(speakers: int) -> None:
    with pytest.raises(InputError, match="Gender: .*; Height of men: .*; Height of women: "):
        speakers_over_k.data(FigureInputs(made_up(speakers=speakers, each=12)))


def test_without_gender_it_is_left_out() -> None:
    with pytest.raises(InputError, match="no rows with a known gender"):
        speakers_over_k.data(FigureInputs(changed(made_up(speakers=4, each=12), gender=None)))
