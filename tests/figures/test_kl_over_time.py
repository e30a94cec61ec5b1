"""KL over time: the same bits as `probe rate` counts, and panels on one axis of time."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from matplotlib.figure import Figure

from lvm_probe import InputError
from lvm_probe.figures import kl_over_time
from lvm_probe.probing.corpora import open_corpus
from lvm_probe.probing.corpora.recordings import read_pcm
from lvm_probe.probing.diagnostics.kl_rate import layer_kl
from tests.figures.contract import check_contract, overlapping
from tests.figures.speech import checkpoint, demo, inputs
from tests.probing import miniature


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> pd.DataFrame:
    return check_contract(kl_over_time, inputs(), tmp_path_factory.mktemp("kl"))


def test_steps_hold_the_bits_of_the_layers(data: pd.DataFrame) -> None:
    about = data[data["kind"] == "utterance"].iloc[0]
    utterance = next(u for u in demo().utterances if u.id == about["name"])
    assert utterance.seconds == about["end"]
    assert kl_over_time.SHORTEST <= utterance.seconds <= kl_over_time.LONGEST
    model = checkpoint().model
    pcm = read_pcm(utterance, 16_000)
    for layer, stride, spent in zip(("z1", "z2"), model.strides, layer_kl(model, utterance.id, pcm, 8), strict=True):
        steps = data[data["name"] == layer]
        np.testing.assert_allclose(steps["value"] * stride / 16_000, spent.bits)
        np.testing.assert_allclose(steps["start"].to_numpy()[1:], steps["end"].to_numpy()[:-1])
        assert steps["end"].iloc[-1] == about["end"]


def test_segments_are_in_seconds(data: pd.DataFrame) -> None:
    about = data[data["kind"] == "utterance"].iloc[0]
    utterance = next(u for u in demo().utterances if u.id == about["name"])
    phones = data[data["kind"] == "phone"]
    assert list(phones["name"]) == [segment.label for segment in utterance.phonemes]
    np.testing.assert_allclose(phones["start"] * utterance.sample_rate, [s.start for s in utterance.phonemes])


def test_the_spectrogram_peaks_where_a_tone_is() -> None:
    time = np.arange(8000) / 16_000
    cells = kl_over_time._spectrogram(np.sin(2 * np.pi * 1000 * time), 16_000, 0.5)
    middle = cells[(cells["start"] > 0.2) & (cells["start"] < 0.3)]
    loudest = middle.loc[middle.groupby("start")["value"].idxmax(), "hertz"]
    assert ((loudest > 930) & (loudest < 1070)).all()  # bins are 50 Hz apart there, a window of 25 ms blurs by 80 Hz
    assert cells["value"].max() == 0


def test_panels_share_their_time_and_labels_stay_apart(data: pd.DataFrame) -> None:
    fig = kl_over_time.figure(data)
    assert len(fig.axes) == 4
    assert len({ax.get_xlim() for ax in fig.axes}) == 1
    assert len({(ax.get_position().x0, ax.get_position().x1) for ax in fig.axes}) == 1
    assert overlapping(list(fig.axes[1].texts), fig) == []


def test_of_a_long_utterance_the_beginning_is_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(kl_over_time, "LONGEST", 0.5)
    monkeypatch.setattr(kl_over_time, "SHORTEST", 0.4)
    data = kl_over_time.data(inputs())
    assert data["end"].max() == pytest.approx(0.5, abs=0.01)
    assert (data["start"] < 0.5).all()
    kl_over_time.figure(data)


def test_left_out(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="--ckpt"):
        kl_over_time.data(inputs(checkpoint=None))
    with pytest.raises(InputError, match="--corpus"):
        kl_over_time.data(inputs(corpus=None))
    with pytest.raises(InputError, match="nothing is sampled"):
        kl_over_time.data(inputs(checkpoint=checkpoint("lstm")))
    stranger = demo().select(speakers=[demo().speakers[2].id])
    with pytest.raises(InputError, match="no utterance of speaker"):
        kl_over_time.data(inputs(corpus=stranger))
    silent = replace(stranger, utterances=tuple(replace(u, phonemes=()) for u in inputs().corpus.utterances))
    with pytest.raises(InputError, match="with phones"):
        kl_over_time.data(inputs(corpus=silent))
    gone = tuple(replace(u, audio=tmp_path / "gone.wav") for u in inputs().corpus.utterances)
    with pytest.raises(InputError, match="gone.wav"):
        kl_over_time.data(inputs(corpus=replace(stranger, utterances=gone)))
    with pytest.raises(InputError, match="rows of kind phone"):
        kl_over_time.figure(pd.DataFrame([["utterance", "a", 0, 1, 0, 8], ["spectrogram", "a", 0, 1, 50, 0],
                                          ["kl", "z1", 0, 1, 0, 8]], columns=list(kl_over_time.COLUMNS)))  # fmt: skip
    with pytest.raises(InputError, match="make no panel"):
        kl_over_time.draw(Figure().add_subplot(), pd.DataFrame({"kind": ["utterance"]}))


def test_books_without_phones_are_left_out(tmp_path: Path) -> None:
    books = open_corpus(miniature.librispeech(tmp_path / "books"))
    with pytest.raises(InputError, match="with phones"):
        kl_over_time.data(inputs(corpus=books))
