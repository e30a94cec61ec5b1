"""Recall per phoneme: intervals that are Wilson's, points on the right side of the diagonal, names apart."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from scipy.stats import binomtest

from lvm_probe import InputError
from lvm_probe.figures import per_phoneme, style
from lvm_probe.figures.inputs import FigureInputs
from lvm_probe.probing.corpora.phones import SILENCES, TIMIT61
from tests.figures.contract import assert_whole, check_contract, overlapping
from tests.probing.synthetic_tables import made_up


def test_recalls_are_those_of_the_confusions(tmp_path: Path) -> None:
    data = check_contract(per_phoneme, FigureInputs(made_up(speakers=2), permutations=0), tmp_path)
    assert list(dict.fromkeys(data["feature"])) == ["z1", "z1+z2"]
    assert (data["n"] == 24).all()
    assert list(data["label"][:4]) == list(style.phone_styles(["iy", "aa", "s", "t"]))
    # made_up's z1 knows every phoneme, its Mel none.
    assert (data["recall"] > data["mel"]).all()
    mel = data.pivot_table(index="label", columns="feature", values="mel")
    assert (mel["z1"] == mel["z1+z2"]).all()


@pytest.mark.parametrize(("hits", "n"), [(0, 10), (3, 17), (24, 24)])
def test_the_interval_is_wilsons(hits: int, n: int) -> None:
    low, high = per_phoneme.wilson(np.array([hits], float), np.array([n], float))
    theirs = binomtest(hits, n).proportion_ci(method="wilson")
    np.testing.assert_allclose([low[0], high[0]], [theirs.low, theirs.high], atol=1e-12)


def test_phonemes_of_few_tokens_are_left_out(monkeypatch: pytest.MonkeyPatch) -> None:
    rows = [("z1", "s", "s", 9), ("z1", "t", "s", 11), ("mel", "s", "s", 9), ("mel", "t", "t", 11)]
    found = pd.DataFrame(rows, columns=["feature", "label", "predicted", "count"]).assign(k=5)
    monkeypatch.setattr(per_phoneme, "counts", lambda *_: found)
    inputs = FigureInputs(made_up(dims={"z1": 8, "mel": 8}))
    data = per_phoneme.data(inputs)
    assert data[["label", "n", "recall", "mel"]].to_numpy().tolist() == [["t", 11, 0.0, 1.0]]
    monkeypatch.setattr(per_phoneme, "counts", lambda *_: found.assign(count=1))
    with pytest.raises(InputError, match="10 tokens"):
        per_phoneme.data(inputs)


def test_all_of_timit_with_names_apart() -> None:
    rng = np.random.default_rng(0)
    labels = list(style.phone_styles(TIMIT61 - SILENCES))
    frames = []
    for feature in ("z1", "z1+z2", "z1_logms+z2"):
        n = rng.integers(10, 200, len(labels)).astype(float)
        hits, mel = (np.floor(n * rng.beta(1, 4, len(labels))) for _ in range(2))
        (low, high), (mel_low, mel_high) = per_phoneme.wilson(hits, n), per_phoneme.wilson(mel, n)
        columns = {"feature": feature, "label": labels, "n": n, "recall": hits / n, "ci_low": low, "ci_high": high,
                   "mel": mel / n, "mel_low": mel_low, "mel_high": mel_high, "k": 5}  # fmt: skip
        frames.append(pd.DataFrame(columns))
    fig = per_phoneme.figure(pd.concat(frames, ignore_index=True))
    assert_whole(fig)
    *panels, key = fig.axes
    assert len(panels) == 3
    assert all(overlapping(list(ax.texts), fig) == [] for ax in panels)
    assert overlapping(list(key.texts), fig) == []
    assert {text.get_text() for text in key.texts} == {look.group for look in style.phone_styles(labels).values()}
    for ax, (_, one) in zip(panels, pd.concat(frames).groupby("feature", sort=False), strict=True):
        apart = (one["ci_low"] > one["mel_high"]) | (one["mel_low"] > one["ci_high"])
        assert {text.get_text() for text in ax.texts} == set(one.loc[apart, "label"])


def test_left_out() -> None:
    with pytest.raises(InputError, match="no feature 'mel'"):
        per_phoneme.data(FigureInputs(made_up(dims={"z1": 8, "z2": 8}), permutations=0))
    with pytest.raises(InputError, match="no layer"):
        per_phoneme.data(FigureInputs(made_up(dims={"mel": 8}), permutations=0))
    with pytest.raises(InputError, match="recall"):
        per_phoneme.figure(pd.DataFrame({"feature": ["z1"]}))
