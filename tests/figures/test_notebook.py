"""Pictures of answers and tables in a notebook: the right numbers, still and interactive."""

from pathlib import Path

import numpy as np
import pytest
from plotly import graph_objects as go

import lvm_probe
from lvm_probe import InputError
from lvm_probe.figures import accuracy_points, token_map
from lvm_probe.figures.notebook import Picture
from tests.figures.contract import assert_whole, overlapping
from tests.probing.synthetic_tables import changed, made_up


def still(shown: object) -> Picture:
    assert isinstance(shown, Picture)
    assert_whole(shown.figure)
    return shown


def test_curves_over_k_are_those_of_the_answer(tmp_path: Path) -> None:
    answer = lvm_probe.ask(made_up(speakers=3), ks=[1, 3, 5], permutations=1, features=["z1", "mel"])
    picture = still(answer.plot())
    assert set(picture.data["k"]) == {1, 3, 5}
    png, size = picture._repr_png_()
    assert png.startswith(b"\x89PNG")
    assert size["width"] == round(96 * picture.figure.get_figwidth())
    assert [path.suffix for path in picture.save(tmp_path / "a")] == [".pdf", ".svg", ".png", ".csv"]
    lively = answer.plot(interactive=True)
    assert isinstance(lively, go.Figure)
    drawn = {trace.name: np.asarray(trace.y) for trace in lively.data if trace.name}
    for feature, label in (("z1", "z1"), ("mel", "Mel")):
        pooled = answer.frame[(answer.frame["feature"] == feature) & (answer.frame["speaker"] == "")]
        np.testing.assert_array_equal(drawn[label], pooled["accuracy"])


def test_methods_without_k_are_points_with_intervals() -> None:
    answer = lvm_probe.ask(made_up(speakers=4), method="lda", permutations=1, features=["z1", "mel"])
    picture = still(answer.plot())
    (ax,) = picture.figure.axes
    pooled = answer.frame[answer.frame["speaker"] == ""].set_index("feature")["accuracy"]
    marks = [np.asarray(line.get_xdata(), dtype=float)[0] for line in ax.lines if line.get_marker() in ("o", "^")]
    assert marks == pytest.approx([100 * pooled["z1"], 100 * pooled["mel"]])
    assert [text.get_text() for text in ax.get_yticklabels()] == ["z1", "Mel"]
    lively = answer.plot(interactive=True)
    assert [trace.x[0] for trace in lively.data] == pytest.approx([100 * pooled["z1"], 100 * pooled["mel"]])


def test_errors_in_cm_have_a_panel_for_each_gender() -> None:
    table = made_up(speakers=8)
    heights = {name: 160.0 + 3 * i for i, name in enumerate(sorted(set(table.tokens["speaker"])))}
    table = changed(table, height_cm=table.tokens["speaker"].map(heights))
    answer = lvm_probe.ask(table, target="height-cm", method="ridge", permutations=1, features=["z1", "mel"])
    picture = still(answer.plot())
    assert [ax.get_title(loc="left") for ax in picture.figure.axes] == ["all speakers", "women", "men"]
    assert {ax.get_xlabel() for ax in picture.figure.axes} == {accuracy_points.ERROR_CM.label}
    assert len(answer.plot(interactive=True).data) == 6


@pytest.mark.parametrize("layout", ["PCA", "LDA"])
def test_a_map_has_the_tokens_and_names_the_phones(layout: str) -> None:
    table = made_up(speakers=4)
    picture = still(table.map("z1+z2", colour="manner", layout=layout))
    data = picture.data
    assert set(data["class"]) == {"stop", "fricative", "vowel"}
    assert data["token_id"].tolist() == table.tokens["token_id"].tolist()
    assert data["held_out"].any() == (layout == "LDA")
    ax, key = picture.figure.axes
    assert {text.get_text() for text in ax.texts} == {"iy", "aa", "s", "t"}
    assert {text.get_text() for text in key.texts} == {"stop", "fricative", "vowel"}
    assert ax.get_xlabel() == ("PC 1" if layout == "PCA" else "LDA 1")
    assert overlapping([*ax.texts, *picture.figure.texts], picture.figure) == []


def test_a_map_of_many_tokens_says_that_they_were_drawn_at_random() -> None:
    table = made_up(speakers=4)
    picture = still(table.map("z1", colour="gender", max_tokens=50))
    assert len(picture.data) == 50
    assert "drawn at random from 192" in picture.figure.texts[-1].get_text()
    again = still(table.map("z1", colour="gender", max_tokens=50))
    assert again.data.equals(picture.data)


def test_an_interactive_map_tells_what_each_token_is_with_text_escaped() -> None:
    table = made_up(speakers=2)
    table = changed(table, utterance=["<b>"] * 48 + ["U2"] * 48)
    lively = table.map("z1", interactive=True)
    said = [text for trace in lively.data for text in trace.text]
    assert len(said) == 96
    assert not any("<" in text for text in said)
    assert any(text.startswith("s, FS0, &lt;b&gt;, ") for text in said)
    assert {trace.name for trace in lively.data} == {"stop", "fricative", "vowel"}


@pytest.mark.parametrize("colour", ["phoneme", "place", "voicing", "gender", "speaker"])
def test_every_colour_has_its_styles(colour: str) -> None:
    data = still(made_up(speakers=2).map("z1", colour=colour)).data
    assert set(token_map.styles(colour, data["label"])) == set(data["label"])


def test_bad_requests_are_refused() -> None:
    table = made_up(speakers=2)
    for call, message in (
        (lambda: table.map("z1", layout="TSNE"), "layout is 'TSNE'"),
        (lambda: table.map("z9"), "no feature 'z9'"),
        (lambda: table.map("z1", colour="height-cm"), "classes of 'height'"),
        (lambda: table.map("z1", colour="mood"), "mood"),
        (lambda: table.map("z1", max_tokens=2), "give 3 or more"),
        (lambda: lvm_probe.plot(table), "give what lvm_probe.ask returns"),  # type: ignore[arg-type]
        (lambda: lvm_probe.plot_map("t", "z1"), "give what lvm_probe.load_table returns"),  # type: ignore[arg-type]
    ):
        with pytest.raises(InputError, match=message):
            call()
