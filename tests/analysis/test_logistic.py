import numpy as np
import pytest
from sklearn.decomposition import PCA
from sklearn.linear_model import LogisticRegression
from sklearn.preprocessing import StandardScaler

from lvm_probe import InputError
from lvm_probe.analysis import logistic
from lvm_probe.analysis.logistic import chosen_strength, fold_count, logistic_classify
from tests import reference_probes


def tokens(n: int = 120, dims: int = 6, classes: int = 5, *, seed: int = 0):
    """Overlapping classes of uneven sizes, features on scales from 0.1 to 10, one class of a single token."""
    rng = np.random.default_rng(seed)
    labels = np.append(rng.permutation(np.arange(n - 1) ** 2 % (classes - 1)), classes - 1) * 3 + 2
    points = rng.normal(size=(n, dims)) + rng.normal(size=(3 * classes, dims))[labels]
    return points * 10 ** rng.uniform(-1, 1, size=dims), labels, rng.integers(6, size=n) * 2


@pytest.mark.parametrize("classes", [2, 5])
@pytest.mark.parametrize("strength", [0.01, 1.0])
def test_a_fit_is_the_bottom_of_its_loss(classes, strength, monkeypatch) -> None:
    monkeypatch.setattr(logistic, "STRENGTHS", (strength,))
    points, labels, groups = tokens(classes=classes + 1)
    labels = np.where(labels == labels[-1], labels[0], labels)
    found = logistic_classify(points, labels, protocol="grouped", groups=groups)
    if classes == 2:
        strength /= 2  # two rows that are each other's opposites have half the square of their difference
    for g in np.unique(groups):
        names, scores = reference_probes.logistic_scores(
            points[groups != g], labels[groups != g], points[groups == g], strength
        )
        best = np.sort(scores, axis=1)
        # A fit within tolerance differs by less than this; none of these points is nearer to a boundary.
        sure = best[:, -1] - best[:, -2] > 0.01
        assert sure.mean() > 0.9
        np.testing.assert_array_equal(found.predictions[groups == g, 0][sure], names[scores.argmax(axis=1)][sure])


@pytest.mark.parametrize("drowned", [0, 4, 6])
def test_the_strength_is_that_of_least_loss_over_the_folds(drowned, monkeypatch) -> None:
    grid = (0.001, 0.03, 1.0)
    monkeypatch.setattr(logistic, "STRENGTHS", grid)
    points, labels, _ = tokens(60, 3, 4)
    # The more noise, the stronger the penalty: each of the three strengths is the best once.
    points = points / points.std(axis=0) + drowned * np.random.default_rng(0).normal(size=(60, 3))
    _, codes = np.unique(labels, return_inverse=True)
    fold = np.arange(60) % 5
    monkeypatch.setattr(logistic, "assigned", lambda *_: fold)
    losses = []
    for strength in grid:
        loss = 0.0
        for f in range(5):
            names, scores = reference_probes.logistic_scores(
                points[fold != f], codes[fold != f], points[fold == f], strength
            )
            for row, code in zip(scores, codes[fold == f], strict=True):
                loss -= sum(row[names == code])  # nothing for a class that the fold lacks
        losses.append(loss)
    chosen = chosen_strength(points, codes, None, 3, np.random.default_rng(0))
    assert chosen == grid[int(np.argmin(losses))] == {0: 1.0, 4: 0.03, 6: 0.001}[drowned]


@pytest.mark.parametrize("groups_in_all", [6, 30])
def test_what_is_held_out_chooses_nothing(groups_in_all, monkeypatch) -> None:
    points, labels, _ = tokens()
    groups = np.arange(120) % groups_in_all
    seen = []

    def spy(some, *_):
        seen.append(some)
        return 1.0

    monkeypatch.setattr(logistic, "chosen_strength", spy)
    for protocol, folds in (("nested", 10), ("grouped", groups_in_all if groups_in_all <= 20 else 10)):
        seen.clear()
        logistic_classify(points, labels, protocol=protocol, groups=groups)
        assert len(seen) == folds
        missing = [{tuple(p) for p in points} - {tuple(p) for p in some} for some in seen]
        assert sum(map(len, missing)) == 120  # every point is missing once
        if protocol == "grouped":
            for gone in missing:
                names = {int(groups[(points == p).all(axis=1)][0]) for p in gone}
                assert len(gone) == sum(int((groups == name).sum()) for name in names)


def test_labels_of_the_held_out_group_change_nothing_in_its_fold(monkeypatch) -> None:
    monkeypatch.setattr(logistic, "STRENGTHS", (1e-3, 1e-1, 1.0))
    points, labels, groups = tokens()
    plain = logistic_classify(points, labels, protocol="grouped", groups=groups)
    out = groups == 8
    lied = labels.copy()
    lied[out] = np.random.default_rng(0).permutation(labels)[: out.sum()]
    found = logistic_classify(points, lied, protocol="grouped", groups=groups)
    np.testing.assert_array_equal(found.predictions[out], plain.predictions[out])


def test_classes_and_units_are_spread_evenly() -> None:
    rng = np.random.default_rng(0)
    codes = rng.permutation(np.repeat([0, 1, 2], [47, 20, 3]))
    fold = logistic.assigned(codes, None, 10, rng)
    assert np.bincount(fold).tolist() == [7] * 10
    for code in range(3):
        assert np.ptp(np.bincount(fold[codes == code], minlength=10)) <= 1
    units = rng.permutation(np.arange(70) // 2)
    fold = logistic.assigned((units % 2), units, 5, rng)
    for f in range(5):
        assert set(units[fold == f]).isdisjoint(units[fold != f])
        assert (fold == f).sum() == 14
        assert 3 <= len({u for u in units[fold == f] if u % 2}) <= 4  # of 17 odd units


def test_paper_judges_what_it_was_fitted_to(monkeypatch) -> None:
    monkeypatch.setattr(logistic, "STRENGTHS", (10.0,))
    points, labels, _ = tokens()
    expected = LogisticRegression(C=10.0, tol=1e-8, max_iter=5000).fit(StandardScaler().fit_transform(points), labels)
    found = logistic_classify(points, labels, protocol="paper")
    np.testing.assert_array_equal(found.predictions[:, 0], expected.predict(StandardScaler().fit_transform(points)))
    assert (found.ks, found.dims, found.shrinkage) == ((0,), 0, 0.0)


def test_components_are_those_of_the_fold(monkeypatch) -> None:
    monkeypatch.setattr(logistic, "STRENGTHS", (1.0,))
    points, labels, groups = tokens()
    found = logistic_classify(points, labels, protocol="grouped", groups=groups, match_dims=2)
    for g in np.unique(groups):
        scale = StandardScaler().fit(points[groups != g])
        axes = PCA(2).fit(scale.transform(points[groups != g]))
        model = LogisticRegression(C=1.0, tol=1e-8, max_iter=5000)
        model.fit(axes.transform(scale.transform(points[groups != g])), labels[groups != g])
        expected = model.predict(axes.transform(scale.transform(points[groups == g])))
        np.testing.assert_array_equal(found.predictions[groups == g, 0], expected)
    all_of_them = logistic_classify(points, labels, protocol="grouped", groups=groups, match_dims=6)
    plain = logistic_classify(points, labels, protocol="grouped", groups=groups)
    np.testing.assert_array_equal(all_of_them.predictions, plain.predictions)


def test_classes_that_a_fold_lacks_are_errors(monkeypatch) -> None:
    monkeypatch.setattr(logistic, "STRENGTHS", (1e-2, 1e-1))
    points, labels, _ = tokens()
    assert not logistic_classify(points, labels, protocol="nested").correct[-1].any()
    two_groups = (labels == labels[0]).astype(int)  # each leaves its own classes out of the other's fold
    found = logistic_classify(points, labels, protocol="grouped", groups=two_groups)
    assert not found.correct.any()
    assert (found.predictions[two_groups == 0] == labels[0]).all()  # the only class of that fold


def test_constant_features_take_no_part(monkeypatch) -> None:
    monkeypatch.setattr(logistic, "STRENGTHS", (1e-2, 1e-1))
    points, labels, groups = tokens()
    more = np.column_stack([points, np.full(120, 0.1), groups == 2]).astype(float)
    found = logistic_classify(more[:, :7], labels, protocol="grouped", groups=groups)
    plain = logistic_classify(points, labels, protocol="grouped", groups=groups)
    np.testing.assert_array_equal(found.predictions, plain.predictions)
    # A feature that varies only where it is held out has no weight.
    found = logistic_classify(more, labels, protocol="grouped", groups=groups)
    np.testing.assert_array_equal(found.predictions[groups == 2], plain.predictions[groups == 2])


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        ({"protocol": "grouped", "groups": None}, "needs groups"),
        ({"protocol": "grouped", "groups": np.zeros(120, dtype=int)}, "found one group"),
        ({"match_dims": 0}, "match_dims is 0"),
    ],
)
def test_requests_that_cannot_be_met_are_refused_with_the_cure(arguments, says) -> None:
    points, labels, groups = tokens()
    with pytest.raises(InputError, match=says):
        logistic_classify(points, labels, **{"groups": groups, **arguments})


@pytest.mark.parametrize("protocol", ["paper", "nested", "grouped"])
@pytest.mark.parametrize("groups_in_all", [6, 30])
def test_folds_can_be_computed_side_by_side(protocol, groups_in_all, monkeypatch) -> None:
    monkeypatch.setattr(logistic, "STRENGTHS", (1e-2, 1e-1))
    points, labels, _ = tokens()
    groups = np.arange(120) % groups_in_all
    whole = logistic_classify(points, labels, protocol=protocol, groups=groups)
    parts = [
        logistic_classify(points, labels, protocol=protocol, groups=groups, only_fold=f).predictions
        for f in range(fold_count(120, protocol, groups))
    ]
    assert (sum(part >= labels.min() for part in parts) == 1).all()
    np.testing.assert_array_equal(np.max(parts, axis=0), whole.predictions)
