"""Accuracy over k: every curve, its null, its interval and the line of chance are where the rows say."""

from itertools import combinations
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from matplotlib.figure import Figure
from matplotlib.text import Annotation, Text

from lvm_probe import InputError
from lvm_probe.figures import accuracy_over_k, layout, style

LEVELS = {"z1": 0.44, "z2": 0.36, "z1+z2": 0.441, "mel": 0.442}


def rows(protocol: str = "nested", speaker: str = "FVMH0", shift: float = 0.0) -> pd.DataFrame:
    k = np.arange(1, 21)
    parts = []
    for feature, level in LEVELS.items():
        accuracy = level + shift - 0.004 * k
        parts.append(
            pd.DataFrame(
                {
                    "feature": feature,
                    "target": "phoneme",
                    "protocol": protocol,
                    "speaker": speaker,
                    "k": k,
                    "n": 372,
                    "n_classes": 38,
                    "accuracy": accuracy,
                    "balanced_accuracy": accuracy * 0.8,
                    "ci_low": accuracy - 0.05,
                    "ci_high": accuracy + 0.05,
                    "chance": 0.07,
                    "null_accuracy": 0.04 + 0.001 * k,
                }
            )
        )
    return pd.concat(parts, ignore_index=True)


def caption(fig: Figure) -> str:
    return " ".join(fig.texts[-1].get_text().split())


def labels(fig: Figure) -> list[Annotation]:
    return [text for ax in fig.axes for text in ax.texts if isinstance(text, Annotation)]


def test_every_curve_its_null_and_chance_are_drawn() -> None:
    fig = accuracy_over_k.panels(rows())
    (ax,) = fig.axes
    drawn = {str(line.get_label()): np.asarray(line.get_ydata()) for line in ax.lines}
    for feature, level in LEVELS.items():
        np.testing.assert_allclose(drawn[feature], 100 * (level - 0.004 * np.arange(1, 21)))
    flat = [line for line in ax.lines if np.allclose(np.asarray(line.get_ydata()), 7)]
    nulls = [line for line in ax.lines if np.allclose(np.asarray(line.get_ydata())[0], 4.1)]
    assert (len(flat), len(nulls), len(ax.collections)) == (1, 4, 4)
    assert "n = 372, 38 classes, speaker FVMH0" in caption(fig)


def test_panels_share_their_axis_and_say_which_one_leaks() -> None:
    both = pd.concat([rows("speaker", ""), rows("nested"), rows("paper", shift=0.4)])
    fig = accuracy_over_k.panels(both.assign(speakers=14))
    titles = [" ".join(ax.get_title(loc="left").split()) for ax in fig.axes]
    assert titles == [accuracy_over_k.TITLES[name] for name in ("paper", "nested", "speaker")]
    assert "leaks" in titles[0]
    assert len({ax.get_ylim() for ax in fig.axes}) == 1
    assert "14 speakers" in caption(fig)
    assert fig.get_figwidth() == style.TWO_COLUMNS


@pytest.mark.parametrize("protocols", [("nested",), ("paper", "nested"), ("paper", "nested", "speaker")])
def test_labels_at_the_ends_neither_overlap_nor_leave_the_figure(protocols: tuple[str, ...]) -> None:
    fig = accuracy_over_k.panels(pd.concat([rows(name) for name in protocols]))
    measure = layout.renderer(fig)
    fig.draw(measure)
    # An annotation's own extent has its leader.
    boxes = [Text.get_window_extent(text, measure) for text in labels(fig)]
    assert len(boxes) == 4 * len(protocols)
    assert not any(one.overlaps(two) for one, two in combinations(boxes, 2))
    whole = fig.bbox
    texts = [*fig.texts, *(ax.title for ax in fig.axes), *(ax.yaxis.label for ax in fig.axes)]
    for box in [*boxes, *(text.get_window_extent(measure) for text in texts)]:
        assert box.x0 >= whole.x0
        assert box.x1 <= whole.x1
        assert box.y0 >= whole.y0
        assert box.y1 <= whole.y1


def test_pooled_rows_come_before_single_speakers(tmp_path: Path) -> None:
    mixed = pd.concat([rows(speaker="A"), rows(speaker="B"), rows(speaker="", shift=0.1)])
    written = accuracy_over_k.write(mixed, tmp_path / "f")
    table = pd.read_csv(written[-1], keep_default_na=False)
    assert set(table["speaker"]) == {""}


def test_a_table_of_one_speaker_stands_beside_pooled_rows_and_beside_another_speaker() -> None:
    one = rows(speaker="A").assign(table="a")
    pooled = pd.concat([rows(speaker="B"), rows(speaker="C"), rows(speaker="", shift=0.1)]).assign(table="b")
    fig = accuracy_over_k.panels(pd.concat([one, pooled]))
    assert len(labels(fig)) == 8
    fig = accuracy_over_k.panels(pd.concat([one, rows(speaker="B", shift=0.1).assign(table="b")]))
    assert len(labels(fig)) == 8
    assert "speakers A and B" in caption(fig)
    half = pd.concat([rows(speaker="A").query("feature == 'z1'"), rows(speaker="").query("feature != 'z1'")])
    with pytest.raises(InputError, match="z1: rows of single speakers"):
        accuracy_over_k.panels(half)
    with pytest.raises(InputError, match="mel, z1, z1.z2, z2: rows of single speakers"):
        accuracy_over_k.panels(pd.concat([rows(speaker="A"), rows(speaker="B")]))


def test_a_second_table_gets_curves_of_its_own_but_mel_only_once() -> None:
    first = rows().assign(table="cwvae")
    second = rows(shift=-0.1).assign(table="untrained")
    second.loc[second["feature"] == "mel", "accuracy"] = first.loc[first["feature"] == "mel", "accuracy"]
    fig = accuracy_over_k.panels(pd.concat([first, second]))
    assert {text.get_text() for text in labels(fig)} == {
        "z1", "z2", "z1+z2", "Mel", "z1 untrained", "z2 untrained", "z1+z2 untrained",
    }  # fmt: skip


def test_csv_holds_the_rows_to_the_last_digit_and_files_repeat(tmp_path: Path) -> None:
    both = pd.concat([rows("paper"), rows("nested")], ignore_index=True)
    one = accuracy_over_k.write(both, tmp_path / "one" / "f")
    two = accuracy_over_k.write(both, tmp_path / "two" / "f")
    assert [path.suffix for path in one] == [".pdf", ".svg", ".png", ".csv"]
    assert [path.read_bytes() for path in one] == [path.read_bytes() for path in two]
    table = pd.read_csv(one[-1], keep_default_na=False)
    pd.testing.assert_frame_equal(table, both, rtol=1e-14, atol=0)  # pandas reads so precisely


def test_of_few_k_the_curves_stand_side_by_side_with_bars() -> None:
    fig = accuracy_over_k.panels(rows().query("k <= 3"))
    (ax,) = fig.axes
    curves = [line for line in ax.lines if line.get_label() in LEVELS]
    firsts = sorted(np.asarray(line.get_xdata(), dtype=float)[0] for line in curves)
    assert np.diff(firsts).min() > 0.1
    assert np.mean(firsts) == pytest.approx(1)
    assert all(len(bars.get_paths()) == 3 for bars in ax.collections)
    assert ax.get_xticks().tolist() == [1, 2, 3]
    assert [text.get_text() for text in fig.legends[0].get_texts()] == ["95 % interval", "permuted labels", "chance"]


def test_parts_of_several_questions_keep_their_own_k() -> None:
    parts = {"Gender": rows(), "Height": rows().query("k <= 3").assign(target="height")}
    left, right = accuracy_over_k.panel_row(parts, "said", same_k=False).axes
    assert left.get_xlim()[1] > 20 > 4 > right.get_xlim()[1]
    assert left.get_ylim() == right.get_ylim()


def test_missing_intervals_and_one_k_are_no_obstacle() -> None:
    bare = rows().query("k == 1").assign(ci_low=None, ci_high=np.nan, null_accuracy=None)
    fig = accuracy_over_k.panels(bare)
    layout.renderer(fig)
    assert len(labels(fig)) == 4


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (lambda r: r.drop(columns="chance"), "chance"),
        (lambda r: r.assign(k=0), "no result rows"),
        (lambda r: pd.concat([r, r.assign(target="gender")]), "several targets"),
        (lambda r: pd.concat([r, r]), "several rows for one point"),
        (lambda r: r.assign(accuracy=np.nan), "no accuracy"),
    ],
)
def test_what_cannot_be_drawn_is_said(spoil, message: str) -> None:  # type: ignore[no-untyped-def]
    with pytest.raises(InputError, match=message):
        accuracy_over_k.panels(spoil(rows()))


def test_draw_takes_one_protocol_only() -> None:
    fig = Figure()
    accuracy_over_k.draw(fig.add_subplot(), rows())
    with pytest.raises(InputError, match="several protocols"):
        accuracy_over_k.draw(fig.add_subplot(), pd.concat([rows("paper"), rows("nested")]))


def test_an_unwritable_folder_is_one_clear_line(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(InputError, match="cannot write"):
        accuracy_over_k.write(rows(), tmp_path / "file" / "f")
