"""Gender in one discriminant: overlaps by the formula, and no separation that the axis made itself."""

from pathlib import Path

import numpy as np
import pytest
from matplotlib.figure import Figure
from scipy.stats import norm

from lvm_probe import InputError
from lvm_probe.figures import gender_density
from lvm_probe.figures.inputs import FigureInputs
from lvm_probe.probing.features.token_table import TokenTable
from tests.figures.contract import assert_whole, check_contract, overlapping
from tests.probing.synthetic_tables import changed, made_up


def noise(speakers: int, dims: int) -> TokenTable:
    """Features that know nothing, one token an utterance."""
    table = made_up(speakers=speakers, each=20, dims={"z1": dims, "mel": dims})
    random = np.random.default_rng(3)
    features = {name: random.normal(size=array.shape) for name, array in table.features.items()}
    return changed(table, features, utterance=table.columns["token_id"])


@pytest.mark.parametrize("distance", [0.0, 1.0, 3.0])
def test_two_gaussians_overlap_as_the_formula_says(distance: float) -> None:
    random = np.random.default_rng(0)
    found = gender_density.overlap(random.normal(size=4000), distance + random.normal(size=4000))
    # 2 Φ(-d/2). Kernels widen each by its bandwidth (0.17) and so add up to 0.01 to the overlap; equal densities lose
    # two or three hundredths, for their samples are never equal.
    assert found == pytest.approx(2 * norm.cdf(-distance / 2), abs=0.03)


def test_the_bandwidth_is_silvermans() -> None:
    values = np.arange(32.0)  # sd 9.38, interquartile range 15.5, and 32^(1/5) = 2
    assert gender_density.bandwidth(values) == pytest.approx(0.9 * min(values.std(ddof=1), 15.5 / 1.34) / 2)
    assert gender_density.bandwidth(np.ones(5)) > 0


def test_noise_overlaps_held_out_and_is_torn_apart_by_the_papers_way() -> None:
    table = noise(speakers=12, dims=200)
    honest = gender_density.data(FigureInputs(table, permutations=2))
    paper = gender_density.data(FigureInputs(table, permutations=2, fit="paper"))
    # 120 points a side of two equal densities: kernel estimates overlap by 0.9 or so.
    assert honest.groupby("feature")["overlap"].first().min() > 0.8
    assert honest.groupby("feature")["null_overlap"].first().min() > 0.8
    # 240 points in 200 dimensions: the means alone are sqrt(200 / 60) = 1.8 standard deviations apart.
    assert paper.groupby("feature")["overlap"].first().max() < 0.5
    assert paper.groupby("feature")["null_overlap"].first().max() < 0.5


def test_gender_that_is_there_is_seen(tmp_path: Path) -> None:
    table = made_up(speakers=8)
    table = changed(table, utterance=table.tokens["token_id"])
    data = check_contract(gender_density, FigureInputs(table, permutations=2), tmp_path)
    assert set(gender_density.COLUMNS) <= set(data.columns)
    assert set(data["feature"]) == {"z1", "z2", "z1+z2", "mel"}
    assert (data.groupby("feature").size() == 8 * 48).all()
    assert data["held_out"].all()
    for _, one in data.groupby("feature"):
        means = one.groupby("label")["x"].mean()
        assert means["M"] > 1 > -1 > means["F"]
        row = one.iloc[0]
        assert row["overlap"] < row["null_overlap"]


def test_numbers_are_in_the_panels_and_can_be_read() -> None:
    data = gender_density.data(FigureInputs(made_up(speakers=8), permutations=1))
    fig = gender_density.figure(data)
    fig.draw_without_rendering()  # which places the legend's texts
    assert_whole(fig)
    assert len(fig.axes) == 4
    for ax, feature, label in zip(fig.axes, ("z1", "z2", "z1+z2", "mel"), ("z1", "z2", "z1+z2", "Mel"), strict=True):
        row = data[data["feature"] == feature].iloc[0]
        written = [text.get_text() for text in ax.texts[:3]]
        assert written[:2] == [label, f"{row['overlap']:.2f}"]
        assert written[2] == f"{row['null_overlap']:.2f}"
    assert "other speakers" in fig.axes[-1].get_xlabel()
    for limits in ("xlim", "ylim"):
        assert len({ax.properties()[limits] for ax in fig.axes}) == 1
    texts = [*fig.texts, *(text for ax in fig.axes for text in ax.texts), *(ax.xaxis.label for ax in fig.axes)]
    assert overlapping([*texts, *fig.legends[0].get_texts()], fig) == []


def test_the_papers_way_says_so_and_nulls_can_be_left_away() -> None:
    inputs = FigureInputs(made_up(speakers=4), permutations=0, fit="paper")
    data = gender_density.data(inputs)
    assert not data["held_out"].any()
    assert data["null_overlap"].isna().all()
    fig = gender_density.figure(data)
    assert "these utterances" in fig.axes[-1].get_xlabel()
    assert any("The paper's way" in text.get_text() for text in fig.texts)
    assert fig.axes[0].texts[2].get_text() == "-"
    assert "as in the paper" in gender_density.caption(data, inputs)


def test_what_cannot_be_drawn_is_left_out_with_its_reason() -> None:
    for table, message in (
        (changed(made_up(), gender=None), "no rows with a known gender"),
        (made_up(speakers=1), "1 F speakers"),
        (made_up(speakers=3), "2 F and 1 M speakers"),
    ):
        with pytest.raises(InputError, match=message):
            gender_density.data(FigureInputs(table, permutations=0))


def test_draw_takes_one_feature_of_two_genders() -> None:
    data = gender_density.data(FigureInputs(made_up(), permutations=0))
    ax = Figure().add_subplot()
    for spoilt, message in (
        (data, "several features"),
        (data[data["label"] == "F"], "1 genders"),
        (data.drop(columns="overlap"), "overlap"),
    ):
        with pytest.raises(InputError, match=message):
            gender_density.draw(ax, spoilt)
