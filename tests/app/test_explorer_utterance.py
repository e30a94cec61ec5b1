"""What the page 'Utterance' adds to a recording: predicted phones, a TextGrid, pitch and formants."""

from pathlib import Path

from lvm_probe.app.explorer import latent_probes, time_plots
from lvm_probe.app.explorer.inputs import ExplorerInputs
from lvm_probe.probing.corpora.corpus import Segment
from lvm_probe.probing.features import token_table
from tests.app.test_explorer_pages import run

RATE = 16_000


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


def test_the_page_shows_pitch_and_formants(latents: Path, small: Path) -> None:
    test = run("utterance", ExplorerInputs((latents,), small), praat="true")
    assert not test.exception
    assert test.toggle[0].value
