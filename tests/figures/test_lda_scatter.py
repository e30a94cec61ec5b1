"""The scatter: axes fitted to the right tokens, labels that do not overlap, files that repeat."""

from itertools import combinations
from typing import Literal

import numpy as np
import pandas as pd
import pytest
from matplotlib.contour import ContourSet
from matplotlib.figure import Figure
from matplotlib.text import Text
from sklearn.discriminant_analysis import LinearDiscriminantAnalysis

from lvm_probe import InputError
from lvm_probe.figures import layout, lda_scatter
from lvm_probe.probing.corpora.phones import SILENCES, TIMIT61, phone_class

LABELS = [*"bdgptkszfmnlrw", *("dx", "bcl", "dcl", "gcl", "kcl", "tcl", "sh", "dh")]
LABELS += ["iy", "ih", "ey", "ae", "aa", "ah", "ao", "ix"]


def tokens(labels: list[str], n: int, dims: int = 12, seed: int = 0) -> tuple[np.ndarray, list[str], list[str]]:
    """Points in clusters of clusters, as phonemes are, in ten utterances."""
    rng = np.random.default_rng(seed)
    manner = {label: str(phone_class(label, "manner", "timit")) for label in labels}
    manners = {name: rng.normal(0, 2, dims) for name in sorted(set(manner.values()))}
    centres = {label: manners[manner[label]] + rng.normal(0, 0.7, dims) for label in labels}
    said = [labels[i % len(labels)] for i in range(n)]
    points = np.array([centres[label] for label in said]) + rng.normal(0, 1, (n, dims))
    return points, said, [f"U{i}" for i in rng.integers(0, 10, n)]


def test_the_plane_is_that_of_scikit_learn() -> None:
    points, labels, utterances = tokens(LABELS[:20], 300)
    fitted = lda_scatter.half_of_utterances(utterances)
    ours = lda_scatter.project(points, labels, fitted, shrinkage="none")
    theirs = LinearDiscriminantAnalysis(n_components=2, solver="eigen")
    theirs = theirs.fit(points[fitted], np.array(labels)[fitted]).transform(points)
    assert ours.shape == (300, 2)
    for axis in range(2):
        # Two routes to the same direction in double precision; the sign is free.
        assert abs(np.corrcoef(ours[:, axis], theirs[:, axis])[0, 1]) > 1 - 1e-9


def test_held_out_tokens_do_not_move_the_axes() -> None:
    points, labels, utterances = tokens(LABELS, 200)
    fitted = lda_scatter.half_of_utterances(utterances)
    before = lda_scatter.project(points, labels, fitted)
    points[~fitted] += 5
    labels = [label if fit else "oy" for label, fit in zip(labels, fitted, strict=True)]
    after = lda_scatter.project(points, labels, np.flatnonzero(fitted))
    # Points are standardised by all tokens first, which changes digits only.
    np.testing.assert_allclose(after[fitted], before[fitted], atol=1e-8)


def test_held_out_groups_lie_on_the_plane_of_the_others() -> None:
    points, labels, _ = tokens(LABELS[:6], 120)
    groups = [f"S{i // 20}" for i in range(120)]
    at = lda_scatter.project_held_out(points, labels, groups)
    for group in sorted(set(groups)):
        mine = np.array([g == group for g in groups])
        alone = lda_scatter.project(points, labels, ~mine)[mine]
        # The fit from scratch is the same plane up to a turn, which leaves all distances.
        apart, expected = (np.linalg.norm(p[:, None] - p[None], axis=2) for p in (at[mine], alone))
        np.testing.assert_allclose(apart, expected, atol=1e-8)
    # Clusters many standard deviations apart: the folds' turns agree, so that classes stay where all tokens put them.
    everything = lda_scatter.project(points, labels, np.ones(120, dtype=bool))
    means, others = (pd.DataFrame(p).groupby(labels).mean() for p in (at, everything))
    np.testing.assert_allclose(means, others, atol=0.5)


def test_the_label_of_a_held_out_group_does_not_place_it() -> None:
    rng = np.random.default_rng(0)
    points, labels = rng.normal(size=(80, 10)), ["F", "M"] * 40
    points[:, 0] += [3.0 * (label == "M") for label in labels]
    groups = [f"{label}{i // 8}" for i, label in enumerate(labels)]
    mine = np.array([group == "F0" for group in groups])
    before = lda_scatter.project_held_out(points, labels, groups, dims=1)[mine]
    turned = ["M" if own else label for own, label in zip(mine, labels, strict=True)]
    np.testing.assert_allclose(lda_scatter.project_held_out(points, turned, groups, dims=1)[mine], before, atol=1e-9)
    assert before.mean() < -0.5  # and the last class lies to the right
    with pytest.raises(InputError, match="class F has 1 speaker"):
        lda_scatter.project_held_out(points, labels, labels, dims=1)


def test_noise_makes_clusters_only_for_axes_that_saw_it() -> None:
    labels = [LABELS[i % 10] for i in range(300)]
    utterances = [f"U{i // 30}" for i in range(300)]
    noise = np.random.default_rng(1).normal(size=(300, 80))

    def separation(fit: Literal["held-out", "paper"]) -> float:
        data = lda_scatter.prepare(noise, labels, utterances, fit=fit, shrinkage="none")
        groups = data[data["held_out"] == (fit == "held-out")].groupby("label")[["x", "y"]]
        return float((groups.mean().var() / groups.var().mean()).mean())

    # Means of 15 held-out tokens of noise vary by 1/15 of the variance within; six seeds gave 0.05 to 0.11, and
    # 0.62 to 0.71 for axes that saw the tokens.
    assert separation("held-out") < 0.2
    assert separation("paper") > 0.5


def test_half_of_the_utterances_is_whole_utterances() -> None:
    utterances = [f"U{i % 7}" for i in range(70)]
    fitted = lda_scatter.half_of_utterances(utterances)
    assert fitted.sum() == 40
    by = pd.Series(fitted).groupby(utterances).nunique()
    assert (by == 1).all()
    with pytest.raises(InputError, match="one utterance"):
        lda_scatter.half_of_utterances(["U1", "U1"])


def panel(data: pd.DataFrame) -> Figure:
    return lda_scatter.panels(data.assign(feature="z1"), lda_scatter.fitted_on(data), "A note.")


def test_titles_say_what_the_axes_were_fitted_to() -> None:
    points, labels, utterances = tokens(LABELS, 180)
    half = panel(lda_scatter.prepare(points, labels, utterances))
    all_ = panel(lda_scatter.prepare(points, labels, utterances, fit="paper"))
    assert half.axes[0].get_title(loc="left") == "z1: axes fitted on other tokens"
    assert all_.axes[0].get_title(loc="left") == "z1: axes fitted on these tokens"


@pytest.mark.parametrize(("many", "n"), [(30, 180), (58, 350)])
def test_labels_do_not_overlap_and_nothing_leaves_the_figure(many: int, n: int) -> None:
    labels = LABELS if many == 30 else sorted(TIMIT61 - SILENCES)
    data = lda_scatter.prepare(*tokens(labels, n))
    fig = panel(data)
    measure = layout.renderer(fig)
    fig.draw(measure)
    ax, key = fig.axes
    words = [Text.get_window_extent(text, measure) for text in ax.texts]  # an annotation's own has its leader
    shown = lda_scatter.in_full_colour(data)["label"].value_counts()
    assert len(words) == (shown >= lda_scatter.MIN_NAMED).sum() > many / 2
    for one, two in combinations(words, 2):
        across = min(one.x1, two.x1) - max(one.x0, two.x0)
        up = min(one.y1, two.y1) - max(one.y0, two.y0)
        assert min(across, up) <= 1.5  # pixels at 200 dpi: half a point
    frame = ax.get_window_extent(measure).padded(1)
    assert all(frame.contains(*corner) for box in words for corner in (box.min, box.max))
    outside = [*fig.texts, *key.texts, ax.yaxis.label, ax.xaxis.label]
    for text in outside:
        box = text.get_window_extent(measure)
        assert box.x0 >= 0
        assert box.y0 >= 0
        assert box.x1 <= fig.bbox.x1
        assert box.y1 <= fig.bbox.y1
    assert {text.get_text() for text in key.texts} == {phone_class(label, "manner", "timit") for label in labels}
    for one, two in combinations([text.get_window_extent(measure) for text in key.texts], 2):
        assert not one.overlaps(two)


def test_far_tokens_are_counted_and_do_not_move_the_axes() -> None:
    data = lda_scatter.prepare(*tokens(LABELS, 400), fit="paper")
    near, far = Figure(), Figure()
    spoilt = data.assign(x=np.where(data.index < 3, 500.0, data["x"]))
    for fig, points in ((near, data), (far, spoilt)):
        lda_scatter.draw(fig.add_subplot(), points)
    # Three of 400 tokens lie beyond the last per cent; the outlines are of most of the others.
    assert far.axes[0].get_xlim()[1] < 2 * near.axes[0].get_xlim()[1] + 10
    assert [text.get_text() for text in far.axes[0].texts if "beyond" in text.get_text()] == ["3 beyond the axes"]


def test_outlines_hold_most_of_a_group_and_small_groups_have_none() -> None:
    rng = np.random.default_rng(0)
    points = pd.DataFrame(rng.normal(size=(405, 2)), columns=["x", "y"])
    points = points.assign(label=["s"] * 400 + ["m"] * 5, held_out=False)
    fig = Figure()
    ax = fig.add_subplot()
    lda_scatter.draw(ax, points)
    outlines = [marks for marks in ax.collections if isinstance(marks, ContourSet)]
    assert len(outlines) == 2  # a fill and a line, of the fricatives alone
    inside = outlines[1].get_paths()[0].contains_points(points.loc[:399, ["x", "y"]])
    # The density is the Gaussian widened by its kernels, so the region that holds 68 % of it holds a few per cent more
    # of the points; 400 points tell a share to two per cent.
    assert 0.6 < inside.mean() < 0.82


def test_boxes_on_one_spot_are_spread_inside_the_bounds() -> None:
    bounds = np.array([[0.0, 0.0], [100.0, 60.0]])
    sizes = np.tile([12.0, 6.0], (20, 1))
    centres = layout.spread(np.tile([99.0, 59.0], (20, 1)), sizes, bounds)
    assert (centres >= sizes / 2).all()
    assert (centres <= bounds[1] - sizes / 2).all()
    apart = np.abs(centres[:, None] - centres[None])[np.triu_indices(20, 1)]
    overlap = np.clip([12.0, 6.0] - apart, 0, None).min(axis=1)
    assert overlap.max() < 0.5  # crowded in a corner, 20 boxes fill a quarter of the room


def test_other_labels_than_phonemes_can_be_drawn() -> None:
    rng = np.random.default_rng(0)
    labels = ["<175 cm", "175-185 cm", ">185 cm"] * 20
    data = lda_scatter.prepare(rng.normal(size=(60, 5)), labels, [f"U{i // 6}" for i in range(60)])
    key = panel(data).axes[1]
    assert {text.get_text() for text in key.texts} == set(labels)


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (pd.DataFrame({"x": [1.0]}), "y, label, held_out"),
        (pd.DataFrame({"x": [np.nan], "y": [0.0], "label": ["s"], "held_out": [True]}), "not finite"),
        (pd.DataFrame({"x": [], "y": [], "label": [], "held_out": []}), "no points"),
    ],
)
def test_what_cannot_be_drawn_is_said(data: pd.DataFrame, message: str) -> None:
    with pytest.raises(InputError, match=message):
        lda_scatter.draw(Figure().add_subplot(), data)


def test_points_that_are_not_finite_are_refused() -> None:
    points, labels, utterances = tokens(LABELS, 120)
    points[3, 2] = np.inf
    with pytest.raises(InputError, match="NaN or infinity"):
        lda_scatter.prepare(points, labels, utterances)
