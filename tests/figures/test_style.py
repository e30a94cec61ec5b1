"""The style is the same everywhere, leaves nothing behind, and its files repeat byte for byte."""

import time
from itertools import combinations
from pathlib import Path

import matplotlib as mpl
import numpy as np
import pytest
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure

from lvm_probe import InputError
from lvm_probe.figures import layout, style
from lvm_probe.probing.corpora.phones import TIMIT48, TIMIT61, articulation

FEATURES = ("z1", "z2", "z3", "z1+z2", "mel", "h1")


def small_figure() -> Figure:
    with style.theme():
        fig = Figure(figsize=(style.ONE_COLUMN, 2), dpi=style.DPI)
        ax = layout.axes_in(fig, 0.5, 0.5, 2.5, 1.2)
        ax.fill_between([1, 2, 3], [1, 2, 1], [2, 3, 2], alpha=0.2)
        ax.plot([1, 2, 3], [1, 3, 2], marker="o")
        ax.set_title("a title")
    return fig


def luminance(colour: str) -> float:
    return sum(w * c**2.2 for w, c in zip((0.2126, 0.7152, 0.0722), to_rgb(colour), strict=True))


def test_files_are_the_same_bytes_at_another_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first = style.save(small_figure(), tmp_path / "one" / "a.b")
    assert [path.name for path in first] == ["a.b.pdf", "a.b.svg", "a.b.png"]
    later = time.time() + 86400 * 400
    monkeypatch.setattr(time, "time", lambda: later)
    second = style.save(small_figure(), tmp_path / "two" / "a.b")
    for one, two in zip(first, second, strict=True):
        assert one.read_bytes() == two.read_bytes()
    assert sorted(path.name for path in (tmp_path / "one").iterdir()) == ["a.b.pdf", "a.b.png", "a.b.svg"]


def test_fonts_are_embedded_and_svg_text_is_text(tmp_path: Path) -> None:
    pdf, svg, png = style.save(small_figure(), tmp_path / "f")
    assert b"/FontFile2" in pdf.read_bytes()
    assert b"CreationDate" not in pdf.read_bytes()
    assert ">a title<" in svg.read_text()
    assert "<dc:date>" not in svg.read_text()
    assert png.read_bytes().startswith(b"\x89PNG")


def test_no_setting_is_left_behind(tmp_path: Path) -> None:
    before = dict(mpl.rcParams)
    with mpl.rc_context({"font.size": 31, "svg.fonttype": "path"}):
        one = style.save(small_figure(), tmp_path / "one")
        assert mpl.rcParams["font.size"] == 31
    assert dict(mpl.rcParams) == before
    two = style.save(small_figure(), tmp_path / "two")
    assert [path.read_bytes() for path in one] == [path.read_bytes() for path in two]


def test_a_folder_that_cannot_be_written_to_is_one_clear_line(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(InputError, match="file") as caught:
        style.save(small_figure(), tmp_path / "file" / "figure")
    assert "\n" not in str(caught.value)
    assert (tmp_path / "file").read_text() == "in the way"


def test_a_failed_save_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fig = small_figure()

    def full(*_: object, **__: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(fig, "savefig", full)
    with pytest.raises(InputError, match="No space left"):
        style.save(fig, tmp_path / "f")
    assert list(tmp_path.iterdir()) == []


def test_features_differ_without_their_colours() -> None:
    looks = [style.feature_style(name) for name in FEATURES]
    assert len({str(look.linestyle) for look in looks}) == len(FEATURES)
    assert len({look.colour for look in looks}) == len(FEATURES)
    assert len({style.feature_style(name).marker for name in FEATURES}) == len(FEATURES)
    # Contrast of at least 2.4 to white: thin lines are seen (the text beside them is darker).
    assert all(1.05 / (luminance(look.colour) + 0.05) > 2.4 for look in looks)


def test_variants_and_unknown_features_have_a_look() -> None:
    assert style.feature_style("z1_logms").label == "z1 logms"
    assert style.feature_style("z1_logms") != style.feature_style("z1")
    assert style.feature_style("wav2vec") == style.feature_style("wav2vec")
    assert style.feature_order(["mel", "x", "z2", "z1_untrained", "z1", "z1+z2"]) == [
        "z1", "z1_untrained", "z2", "z1+z2", "mel", "x",
    ]  # fmt: skip


def test_a_joint_variant_looks_like_what_it_varies() -> None:
    look = style.feature_style("z1_logms+z2")
    assert look.label == "z1 logms+z2"
    assert look.colour == style.blend(style.feature_style("z1+z2").colour, "white", 0.35)
    assert style.feature_style("z1_logms+z2").marker == style.feature_style("z1+z2").marker
    assert style.feature_order(["mel", "z1_logms+z2", "z1+z2", "z2"]) == ["z2", "z1+z2", "z1_logms+z2", "mel"]


def test_genders_and_heights_differ_in_grey() -> None:
    women, men = style.gender_style("F"), style.gender_style("M")
    assert luminance(men.colour) - luminance(women.colour) > 0.2
    assert (women.linestyle, women.marker) != (men.linestyle, men.marker)
    heights = style.interval_styles([">185", "175-185", "<175"])
    assert list(heights) == ["<175", "175-185", ">185"]
    light = [luminance(look.colour) for look in heights.values()]
    assert np.diff(light).min() > 0.05
    assert len({look.marker for look in heights.values()}) == 3
    assert list(style.interval_styles([">=165.1", "<165.1"])) == ["<165.1", ">=165.1"]


def test_every_phoneme_has_its_own_look_under_its_manner() -> None:
    looks = style.phone_styles(TIMIT61 | TIMIT48)
    assert set(looks) == TIMIT61 | TIMIT48
    assert [look.group for look in looks.values()] == [articulation(label, "timit").manner for label in looks]
    groups = [look.group for look in looks.values()]
    assert groups == sorted(groups, key=groups.index)  # each manner in one run
    for (_, one), (_, two) in combinations(looks.items(), 2):
        if one.group == two.group:
            assert (one.marker, one.filled) != (two.marker, two.filled)
        assert one != two


def test_silence_is_grey_and_a_look_does_not_depend_on_company() -> None:
    red, green, blue = to_rgb(style.phone_styles(["pau"])["pau"].colour)
    assert red == green == blue
    assert style.phone_styles(["s"])["s"] == style.phone_styles(TIMIT61)["s"]


def test_arpabet_has_the_colours_of_timit_and_marks_for_stress() -> None:
    looks = style.phone_styles(["S", "AA0", "AA1", "AA2", "h#"])
    timit = style.phone_styles(["s", "aa", "h#"])
    assert list(looks) == ["S", "AA0", "AA1", "AA2", "h#"]
    assert looks["S"] == timit["s"]
    assert {looks[label].colour for label in ("AA0", "AA1", "AA2")} == {timit["aa"].colour}
    assert len({(looks[label].marker, looks[label].filled) for label in ("AA0", "AA1", "AA2")}) == 3
    assert style.articulation_order(["AH1", "UW1", "IY0", "K", "P"]) == ["P", "K", "IY0", "AH1", "UW1"]


def test_ipa_is_ordered_by_manner_place_and_height() -> None:
    order = str.split("p b t k ʔ tʃ s ʃ x m n ŋ r ɾ ǃ l j iː e a ə u ɑ h#")
    labels = sorted(order)
    looks = style.phone_styles(labels)
    assert list(looks) == order
    assert style.articulation_order(labels) == order
    assert [look.group for look in looks.values()] == [articulation(label, "ipa").manner for label in order]
    assert len({(look.colour, look.marker, look.filled) for look in looks.values()}) == len(labels)
    assert looks["p"].colour == style.phone_styles(["p", "q", "iy"])["p"].colour


def test_classes_with_an_order_keep_it() -> None:
    assert list(style.ordered_styles(["close", "mid", "open"])) == ["close", "mid", "open"]


def test_labels_that_are_no_phonemes_differ() -> None:
    looks = style.phone_styles(["F", "M", "aa"])
    assert list(looks) == ["aa", "F", "M"]
    assert looks["F"].group == "other"
    assert (looks["F"].colour, looks["F"].marker) != (looks["M"].colour, looks["M"].marker)


def test_wrapped_lines_fit() -> None:
    text = "a caption of so many words that no one column of a page could hold it on one line of text " * 2
    lines = layout.wrapped(text, 3.0, style.SMALL).split("\n")
    assert " ".join(lines) == " ".join(text.split())
    assert len(lines) > 1
    assert all(layout.text_width(line, style.SMALL) <= 3.0 for line in lines)
