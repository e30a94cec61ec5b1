"""What the page 'Utterance' adds to a recording: predicted phones, a TextGrid, pitch and formants."""

import math
from pathlib import Path

import numpy as np
import pytest
from scipy.signal import lfilter

from lvm_probe import InputError
from lvm_probe.app.explorer import latent_probes, pitch_formants, time_plots
from lvm_probe.app.explorer.inputs import ExplorerInputs
from lvm_probe.probing.corpora.corpus import Segment
from lvm_probe.probing.features import token_table
from tests.app.test_explorer_pages import infos, run

RATE = 16_000
needs_praat = pytest.mark.skipif(
    not pitch_formants.installed(), reason="needs praat-parselmouth: pip install 'lvm-probe[praat]'"
)


def test_phones_are_predicted_from_the_other_recordings(latents: Path) -> None:
    table = token_table.load(latents)
    id = table.tokens["utterance"].iloc[0]
    segments, labels = latent_probes.predicted_phones(table, "mel", id)
    own = table.tokens[(table.tokens["utterance"] == id) & (table.tokens["label"] != "h#")]
    assert [s.start for s in segments] == sorted(own["start"])
    assert len(labels) == len(segments)
    others = table.tokens[table.tokens["utterance"] != id]
    assert set(labels) <= set(others["label"]) - {"h#"}
    assert latent_probes.predicted_phones(table, "mel", "nobody") == ([], [])


def test_the_page_shows_a_tier_of_predictions_or_none(latents: Path, small: Path) -> None:
    given = ExplorerInputs((latents,), small)
    test = run("utterance", given, tier="mel")
    assert not test.exception
    assert any("phones are predicted correctly from mel" in caption.value for caption in test.caption)
    none = run("utterance", given, tier="none")
    assert not none.exception
    assert not any("predicted correctly" in caption.value for caption in none.caption)


def test_wrong_predictions_are_marked_and_escaped() -> None:
    tokens = [Segment("s", 0, 100), Segment("iy", 100, 200), Segment("z", 300, 400)]
    trace = time_plots.predicted_trace("z1", tokens, ["s", "<b>", "z"], RATE, 0, 250)
    assert list(trace.text) == ["s", "&lt;b&gt;"]
    assert list(trace.marker.color) == [time_plots.UNMARKED, time_plots.MARKED]


@needs_praat
def test_pitch_and_formants_of_a_synthetic_vowel_are_found() -> None:
    wave = np.zeros(RATE)
    wave[:: RATE // 125] = 1.0  # 125 Hz
    wave = lfilter([1], [1, -0.98], wave)  # the slope of a voice, which Praat's pre-emphasis takes away
    for formant, width in ((700, 80), (1200, 90), (2600, 120), (3500, 150), (4500, 200)):
        r = math.exp(-math.pi * width / RATE)
        wave = lfilter([1], [1, -2 * r * math.cos(2 * math.pi * formant / RATE), r * r], wave)
    wave = 0.5 * wave / np.abs(wave).max()
    wave[RATE // 2 :] = 0
    found = pitch_formants.tracks(wave, RATE, "M")
    middle = (found.times_s > 0.1) & (found.times_s < 0.4)
    np.testing.assert_allclose(found.pitch_hz[middle], 125, rtol=0.01)
    # Linear prediction leans towards the harmonics, which are 125 Hz apart.
    np.testing.assert_allclose(np.median(found.formants_hz[:, middle], axis=1), [700, 1200, 2600], atol=63)
    assert np.isnan(found.pitch_hz[found.times_s > 0.6]).all()


@needs_praat
def test_a_clip_too_short_for_pitch_is_refused() -> None:
    with pytest.raises(InputError, match="no pitch or formants"):
        pitch_formants.tracks(np.zeros(20), RATE, None)


def test_without_praat_a_hint_says_what_to_install(latents: Path, small: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pitch_formants, "installed", lambda: False)
    with pytest.raises(InputError, match=r"pip install 'lvm-probe\[praat\]'"):
        pitch_formants.tracks(np.zeros(RATE), RATE, None)
    test = run("utterance", ExplorerInputs((latents,), small), praat="true")
    assert not test.exception
    assert test.toggle[0].disabled
    assert "lvm-probe[praat]" in test.toggle[0].help
    assert "praat" not in infos(test)


@needs_praat
def test_the_page_shows_pitch_and_formants(latents: Path, small: Path) -> None:
    test = run("utterance", ExplorerInputs((latents,), small), praat="true")
    assert not test.exception
    assert test.toggle[0].value
