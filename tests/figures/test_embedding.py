"""PCA and UMAP: the components of scikit-learn, a UMAP that repeats and keeps neighbours together."""

from dataclasses import replace
from pathlib import Path
from typing import get_args

import numpy as np
import pandas as pd
import pytest
from sklearn.decomposition import PCA

from lvm_probe import InputError
from lvm_probe.figures import embedding, style
from lvm_probe.figures.inputs import FigureInputs
from lvm_probe.probing.corpora.articulation import Manner
from tests.figures.contract import check_contract
from tests.probing.synthetic_tables import changed, made_up


@pytest.fixture
def no_umap(monkeypatch: pytest.MonkeyPatch) -> None:
    """Compiling UMAP takes ten seconds."""
    monkeypatch.setattr(embedding, "umap", lambda space, *, seed: 3 * space[:, :2] + seed)


@pytest.mark.usefixtures("no_umap")
def test_the_table_of_one_speaker(tmp_path: Path) -> None:
    inputs = FigureInputs(made_up(), speaker="MS1")
    data = check_contract(embedding, inputs, tmp_path)
    assert list(dict.fromkeys(data["feature"])) == ["z1", "z2", "mel"]
    assert set(data["manner"]) == {"stop", "fricative", "vowel"}
    assert (data.groupby(["method", "feature"]).size() == 48).all()
    assert set(data["speaker"]) == {"MS1"}
    assert data.loc[data["method"] == "UMAP", "share_x"].isna().all()
    farthest = data.groupby(["method", "feature"])[["x", "y"]].agg(["min", "max"])
    assert (farthest["x"]["max"] >= -farthest["x"]["min"]).all()
    assert "mean nothing" in embedding.caption(data, inputs)


def test_components_are_those_of_scikit_learn() -> None:
    space = np.random.default_rng(0).normal(size=(50, 8)) * np.arange(1, 9)
    at, shares = embedding.principal(space)
    theirs = PCA(2).fit(space)
    np.testing.assert_allclose(np.abs(at), np.abs(theirs.transform(space)), atol=1e-10)
    np.testing.assert_allclose(shares, theirs.explained_variance_ratio_)


def test_umap_repeats_and_keeps_neighbours() -> None:
    rng = np.random.default_rng(0)
    labels = np.arange(60) % 3
    space = 8 * np.eye(6)[labels] + rng.normal(size=(60, 6))
    one, two = (embedding.umap(space, seed=4) for _ in range(2))
    np.testing.assert_array_equal(one, two)
    np.testing.assert_allclose(one.mean(0), 0, atol=1e-6)
    distances = np.linalg.norm(one[:, None] - one[None], axis=-1) + np.diag(np.full(60, np.inf))
    assert (labels[distances.argmin(1)] == labels).all()


@pytest.mark.usefixtures("no_umap")
def test_what_has_no_manner_is_named() -> None:
    table = made_up(each=60)
    labels = np.resize(np.array(["iː", "s", "st"], dtype=object), len(table.tokens))
    inputs = FigureInputs(changed(table, label=labels))
    caption = embedding.caption(embedding.data(inputs), inputs)
    assert "The phone labels are taken for IPA. Rows left out, their labels more than one phone: st (" in caption


def test_every_manner_has_its_own_mark() -> None:
    looks = style.manner_styles(get_args(Manner))
    assert replace(looks["approximant"], group="semivowel") == looks["semivowel"]  # of IPA and of TIMIT
    assert len({look.colour for look in looks.values()}) == len(looks) - 1
    assert len({(look.marker, look.filled) for look in looks.values()}) == len(looks) - 1


@pytest.mark.usefixtures("no_umap")
def test_left_out() -> None:
    with pytest.raises(InputError, match="no phoneme rows"):
        embedding.data(FigureInputs(changed(made_up(), unit="word")))
    with pytest.raises(InputError, match="phone labels are neither TIMIT's 61 nor ARPAbet nor IPA"):
        embedding.data(FigureInputs(changed(made_up(), label="@")))
    with pytest.raises(InputError, match="12 phonemes"):
        embedding.data(FigureInputs(made_up(each=12)))
    dead = made_up()
    dead.features["z2"][:] = 1
    with pytest.raises(InputError, match="'z2' has one dimension, or one value"):
        embedding.data(FigureInputs(dead))
    with pytest.raises(InputError, match="manner"):
        embedding.figure(pd.DataFrame({"x": [0.0]}))
