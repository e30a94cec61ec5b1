"""The page 'Dimensions' without a browser, and the arrays behind it."""

from pathlib import Path

import numpy as np
import pytest
from streamlit.testing.v1 import AppTest

from lvm_probe.app.explorer import dimension_plots, reconstruction
from lvm_probe.app.explorer.dimension_results import (
    COLUMNS,
    Explained,
    dead_text,
    dimension_name,
    explained,
    extremes,
    list_of_dimensions,
    parsed_name,
    phone_rows,
    tuning,
)
from lvm_probe.app.explorer.inputs import ExplorerInputs
from lvm_probe.probing.diagnostics.dimensions import LayerDimensions
from lvm_probe.probing.features import token_table
from tests.app.test_explorer_pages import infos, run


@pytest.fixture
def shown(latents: Path, small: Path, tiny: Path) -> AppTest:
    return run("dimensions", ExplorerInputs((latents,), small, str(tiny)))


def layer(name: str, bits: list[float], active: list[bool]) -> LayerDimensions:
    n = len(bits)
    return LayerDimensions(name, 0.004, np.array(bits), np.array(active), np.zeros(n), np.ones(n), np.ones((5, n)),
                           np.full(n, 0.01))  # fmt: skip


def test_the_dimensions_of_all_layers_are_listed_by_kl(shown: AppTest) -> None:
    assert not shown.exception
    rows = shown.dataframe[0].value
    assert rows["bits_per_second"].is_monotonic_decreasing
    assert set(rows["dimension"].map(lambda name: parsed_name(name)[0])) == {"z1", "z2"}
    assert shown.selectbox(key="dimension").value == rows["dimension"].iloc[0]
    assert "12 recordings" in shown.caption[0].value
    assert any("is held at" in caption.value for caption in shown.caption)


def test_the_tokens_at_either_end_are_listed_by_their_values(shown: AppTest, latents: Path) -> None:
    name, index = parsed_name(shown.selectbox(key="dimension").value)
    table = token_table.load(latents)
    values = table.features[name][phone_rows(table), index]
    largest, smallest = (shown.dataframe[i].value["value"].to_numpy() for i in (1, 2))
    np.testing.assert_allclose(largest, np.sort(values)[::-1][: len(largest)], rtol=1e-6)
    np.testing.assert_allclose(smallest, np.sort(values)[: len(smallest)], rtol=1e-6)
    assert "h#" not in set(shown.dataframe[1].value["label"])


def test_the_dimension_of_the_address_and_one_layer_only(latents: Path, small: Path, tiny: Path) -> None:
    given = ExplorerInputs((latents,), small, str(tiny))
    test = run("dimensions", given, dimension="z2[1]", pooling="log mean square")
    assert not test.exception
    assert test.selectbox(key="dimension").value == "z2[1]"
    assert any("The log mean square over each" in caption.value for caption in test.caption)
    assert not run("dimensions", given, dimension="<b>z9[1]</b>").exception


def test_what_is_missing_is_said(latents: Path, small: Path, tiny: Path) -> None:
    assert "No corpus was given" in infos(run("dimensions", ExplorerInputs((latents,))))
    assert "No checkpoint was given" in infos(run("dimensions", ExplorerInputs((latents,), small)))
    other = run("dimensions", ExplorerInputs((latents,), small, "cwvae-small-1"))
    assert not other.exception
    assert "No table was made with this checkpoint" in infos(other)


def test_dead_dimensions_are_named() -> None:
    layers = [layer("z1", [3, 0, 5], [True, False, True]), layer("z2", [4, 1], [True, True])]
    assert dead_text(layers) == "z1: 1 of 3 dead (z1[1]); z2: 0 of 2 dead."
    rows = list_of_dimensions(layers, {"z2": Explained(np.array([0.1, 0.2]), np.array([0.3, 0.4]))})
    assert list(rows.columns) == COLUMNS
    assert rows["dimension"].tolist() == ["z1[2]", "z2[0]", "z1[0]", "z2[1]", "z1[1]"]
    assert rows["state"].tolist() == ["active"] * 4 + ["dead"]
    assert rows.set_index("dimension").loc["z2[1]", ["phones", "speakers"]].tolist() == [0.2, 0.4]
    assert rows["phones"].isna().tolist() == [True, False, True, False, True]
    assert rows["correlation_ms"].tolist() == [10.0] * 5
    assert parsed_name(dimension_name("z12", 7)) == ("z12", 7)


def test_tuning_is_ordered_by_manner_and_extremes_by_value() -> None:
    rows = tuning(np.array([1.0, 3.0, 10.0, -4.0]), ["iy", "iy", "s", "p"])
    assert rows["label"].tolist() == ["p", "s", "iy"]
    assert rows["n"].tolist() == [1, 1, 2]
    assert rows["mean"].tolist() == [-4, 10, 2]
    assert rows["spread"].tolist() == [0, 0, 1]
    largest, smallest = extremes(np.array([1.0, 5.0, 5.0, -2.0]), 2)
    assert (largest.tolist(), smallest.tolist()) == ([1, 2], [3, 0])
    assert len(extremes(np.array([1.0]), 5)[0]) == 1


def test_one_speaker_leaves_the_speakers_share_unknown(latents: Path) -> None:
    table = token_table.load(latents)
    rows = phone_rows(table)
    own = rows[table.columns["speaker"][rows] == table.columns["speaker"][rows[0]]]
    share = explained(table, own, "z1")
    assert np.isnan(share.speakers).all()
    assert np.isfinite(share.phones).all()


def test_labels_in_the_picture_are_escaped() -> None:
    figure = dimension_plots.tuning_plot(tuning(np.array([1.0, 2.0]), ["<b>x</b>", "iy"]), "z1[0], mean")
    assert figure.layout.yaxis.categoryarray == ("iy", "&lt;b&gt;x&lt;/b&gt;")
    curve = dimension_plots.correlation_plot(np.array([1.0, 0.5, 0.1]), 0.004, 0.01)
    assert curve.data[0].x.tolist() == [0, 4, 8]


def test_layers_below_a_change_are_kept_left_out_or_drawn() -> None:
    own = reconstruction.Reconstruction(np.zeros(4), np.zeros(4), (np.zeros((4, 2)), np.ones((2, 2)), np.ones((1, 2))))
    z = np.full((2, 2), 5.0)
    prior, given = reconstruction.options_for_change(own, 1, z, "unchanged")
    assert (prior, sorted(given)) == ((), [0, 1])
    assert given[1] is z
    assert reconstruction.options_for_change(own, 1, z, "inferred again") == ((), {1: z})
    assert reconstruction.options_for_change(own, 1, z, "from their prior") == ((0,), {1: z})
