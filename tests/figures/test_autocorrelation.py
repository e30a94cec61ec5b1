"""Autocorrelation: one at lag zero, the numbers of `probe rate`, marks at the median durations."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from lvm_probe import InputError
from lvm_probe.analysis.autocorrelation import decay_time
from lvm_probe.figures import autocorrelation
from lvm_probe.probing.corpora import phones
from lvm_probe.probing.corpora.recordings import open_recordings
from lvm_probe.probing.diagnostics import kl_rate
from tests.figures.contract import check_contract
from tests.figures.speech import checkpoint, inputs


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> pd.DataFrame:
    return check_contract(autocorrelation, inputs(), tmp_path_factory.mktemp("memory"))


def test_curves_begin_at_one_and_reach_300_ms(data: pd.DataFrame) -> None:
    curves = data[data["kind"] == "autocorrelation"]
    assert list(dict.fromkeys(curves["series"])) == ["z1", "z2", "mel"]
    for stride, (_, one) in zip((*checkpoint().model.strides, 64), curves.groupby("series", sort=False), strict=False):
        assert one["value"].iloc[0] == 1
        np.testing.assert_allclose(one["lag_ms"], np.arange(len(one)) * stride / 16)
        assert 300 - stride / 16 < one["lag_ms"].iloc[-1] <= 300
    assert curves["ci_low"].isna().all()  # the spread of two speakers tells nothing
    assert set(curves["over"]) == {"speaker"}


def test_the_same_numbers_as_the_rates(data: pd.DataFrame) -> None:
    given = inputs()
    found = kl_rate.measure(checkpoint().model, open_recordings(given.corpus, 16_000), draws=autocorrelation.DRAWS)
    times = found.timescales.set_index("series")
    for name in ("z1", "z2", "mel"):
        one = data[data["series"] == name]
        decay = decay_time(one["value"].to_numpy()[:, None])[0] * one["lag_ms"].iloc[1]
        assert decay == pytest.approx(times.loc[name, "decay_ms"], rel=1e-9)
    for kind in ("phone", "word"):
        mark = data[data["series"] == kind].iloc[0]
        assert (mark["lag_ms"], mark["value"]) == (times.loc[kind, "duration_median_ms"], times.loc[kind, "n"])


def test_few_utterances_are_drawn_with_the_seed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(autocorrelation, "UTTERANCES", 2)
    corpus = inputs().corpus
    chosen = [autocorrelation._choose(corpus, seed) for seed in range(6)]
    assert all(len(some) == 2 for some in chosen)
    assert autocorrelation._choose(corpus, 0) == chosen[0]
    assert len({tuple(u.id for u in some) for some in chosen}) > 1


def test_one_utterance_has_no_band(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(autocorrelation, "UTTERANCES", 1)
    given = inputs()
    data = autocorrelation.data(given)
    assert data["ci_low"].isna().all()
    autocorrelation.figure(data)
    assert "too few utterances for a band" in autocorrelation.caption(data, given)


def test_silences_are_no_phones(data: pd.DataFrame) -> None:
    many = sum(s.label not in phones.NON_PHONEMES for u in inputs().corpus.utterances for s in u.phonemes)
    assert data.set_index("series").loc["phone", "value"] == many


def test_left_out(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="--ckpt"):
        autocorrelation.data(inputs(checkpoint=None))
    with pytest.raises(InputError, match="--corpus"):
        autocorrelation.data(inputs(corpus=None))
    with pytest.raises(InputError, match="nothing is sampled"):
        autocorrelation.data(inputs(checkpoint=checkpoint("lstm")))
    with pytest.raises(InputError, match="no autocorrelations"):
        autocorrelation.figure(pd.DataFrame(columns=list(autocorrelation.COLUMNS)))
