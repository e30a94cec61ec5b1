from functools import partial

import numpy as np
import pytest
from scipy.stats import binom

from lvm_probe import InputError
from lvm_probe.analysis import protocols
from lvm_probe.analysis.predictions import Protocol
from lvm_probe.analysis.protocols import classify, lda_classify
from tests import reference

KS = (1, 2, 3, 5, 8, 13)
nested, paper = (partial(classify, protocol=protocol) for protocol in ("nested", "paper"))
HONEST: tuple[Protocol, ...] = ("nested", "grouped")


def tokens(n: int, dims: int, classes: int, *, seed: int = 0):
    """Overlapping classes, features on scales from 0.1 to 10, a singleton, and a point given twice."""
    rng = np.random.default_rng(seed)
    labels = np.append(rng.permutation(np.arange(n - 1) % (classes - 1)), classes - 1) * 3 + 2
    points = rng.normal(size=(n, dims)) + rng.normal(size=(3 * classes, dims))[labels]
    points[5] = points[11]
    return points * 10 ** rng.uniform(-1, 1, size=dims), labels, rng.integers(5, size=n)


def grouped(points, labels, groups, **how):
    return classify(points, labels, protocol="grouped", groups=groups, **how)


def noise(n: int, dims: int, classes: int, *, seed: int = 0):
    rng = np.random.default_rng(seed)
    return rng.normal(size=(n, dims)), rng.permutation(np.arange(n) % classes), np.arange(n) % 10


@pytest.mark.parametrize("shrinkage", ["none", "ledoit-wolf", 0.4])
@pytest.mark.parametrize(("lda_dims", "classes"), [(0, 5), (1, 5), (2, 5), (4, 5), ("full", 9)])
def test_refitted_protocols_predict_as_the_loops_do(shrinkage, lda_dims, classes) -> None:
    points, labels, groups = tokens(44, 5, classes)
    dims = min(classes - 1, 5) if lda_dims == "full" else lda_dims
    for outcome, held_out in (
        (nested(points, labels, lda_dims=lda_dims, ks=KS, shrinkage=shrinkage), np.arange(44)),
        (grouped(points, labels, groups, lda_dims=lda_dims, ks=KS, shrinkage=shrinkage), groups),
    ):
        expected = reference.refitted(points, labels, held_out, dims, list(KS), shrinkage)
        np.testing.assert_array_equal(outcome.predictions, expected)
        assert outcome.dims == dims
        assert not outcome.correct[-1].any()  # the singleton's class is in no other fold


@pytest.mark.parametrize(("lda_dims", "match_dims"), [(0, None), (2, None), (2, 3)])
def test_no_fold_trains_on_the_prompt_that_it_judges(lda_dims, match_dims) -> None:
    points, labels, groups = tokens(60, 5, 5)
    prompts = np.random.default_rng(1).integers(9, size=60)
    prompts[groups == 2] = 20 + np.arange(60)[groups == 2] % 2  # a speaker whose prompts nobody else read
    how = {"lda_dims": lda_dims, "ks": (1, 3, 5), "match_dims": match_dims}
    outcome = grouped(points, labels, groups, prompts=prompts, **how)
    expected = reference.refitted(
        points, labels, groups, lda_dims, [1, 3, 5], "ledoit-wolf", match_dims=match_dims, prompts=prompts
    )
    np.testing.assert_array_equal(outcome.predictions, expected)
    folds = protocols.held_out("grouped", 60, groups, prompts)
    assert sorted(np.concatenate([fold.judged for fold in folds])) == list(range(60))
    for fold in folds:
        same = np.isin(groups, groups[fold.judged]) | np.isin(prompts, prompts[fold.judged])
        assert set(fold.excluded) == set(np.flatnonzero(same))


def test_prompts_that_leave_nothing_are_refused() -> None:
    points, labels, groups = tokens(20, 3, 3)
    with pytest.raises(InputError, match="nothing is left to train on"):
        grouped(points, labels, groups, prompts=np.zeros(20, dtype=int), ks=(1,), lda_dims=1)


@pytest.mark.parametrize("lda_dims", [0, 2, 3])
@pytest.mark.parametrize("shrinkage", ["none", "ledoit-wolf"])
def test_matched_dimensions_are_fitted_in_the_fold(shrinkage, lda_dims) -> None:
    points, labels, groups = tokens(44, 7, 5)
    points = np.hstack([points, np.full((44, 1), 0.3)])  # takes no part
    arguments = {"shrinkage": shrinkage, "match_dims": 3}
    for protocol, held_out in (("nested", np.arange(44)), ("grouped", groups)):
        outcome = classify(points, labels, protocol=protocol, lda_dims=lda_dims, ks=KS, groups=groups, **arguments)
        expected = reference.refitted(points, labels, held_out, lda_dims, list(KS), **arguments)
        np.testing.assert_array_equal(outcome.predictions, expected)
        by_lda = lda_classify(points, labels, protocol=protocol, groups=groups, **arguments)
        expected = reference.gaussian_rule(points, labels, held_out, **arguments)
        np.testing.assert_array_equal(by_lda.predictions[:, 0], expected)


def test_matched_dimensions_under_paper_are_fitted_on_all() -> None:
    points, labels, _ = tokens(44, 7, 5)
    components = reference.principal_components(points, list(range(44)), 4)
    components[5] = components[11]  # the same point, whatever the rounding of its two products
    for lda_dims in (0, 3):
        outcome = paper(points, labels, lda_dims=lda_dims, ks=KS, match_dims=4)
        np.testing.assert_array_equal(
            outcome.predictions, paper(components, labels, lda_dims=lda_dims, ks=KS).predictions
        )
    by_lda = [lda_classify(points, labels, protocol="paper", match_dims=4)]
    by_lda.append(lda_classify(components, labels, protocol="paper"))
    np.testing.assert_array_equal(by_lda[0].predictions, by_lda[1].predictions)


@pytest.mark.parametrize("protocol", ["paper", *HONEST])
@pytest.mark.parametrize("lda_dims", [0, 2])
def test_dimensions_matched_to_as_many_or_more_are_left_alone(protocol, lda_dims) -> None:
    points, labels, groups = tokens(44, 5, 5)
    plain = classify(points, labels, protocol=protocol, lda_dims=lda_dims, ks=KS, groups=groups)
    for match_dims in (5, 9):
        outcome = classify(
            points, labels, protocol=protocol, lda_dims=lda_dims, ks=KS, groups=groups, match_dims=match_dims
        )
        np.testing.assert_array_equal(outcome.neighbours, plain.neighbours)


@pytest.mark.parametrize("protocol", HONEST)
def test_noise_of_matched_dimensions_is_at_chance(protocol) -> None:
    points, labels, groups = noise(190, 60, 19)
    low, high = chance_interval(190, 19)
    for lda_dims in (0, 5):
        outcome = classify(
            points, labels, protocol=protocol, lda_dims=lda_dims, ks=(1, 20), groups=groups, match_dims=20
        )
        assert (low <= outcome.accuracy).all()
        assert (outcome.accuracy <= high).all()
    assert low <= lda_classify(points, labels, protocol=protocol, groups=groups, match_dims=20).accuracy[0] <= high


@pytest.mark.parametrize("shrinkage", ["none", "ledoit-wolf", 0.4])
def test_lda_classifier_predicts_as_the_densities_do(shrinkage) -> None:
    points, labels, groups = tokens(44, 5, 6)
    for protocol, held_out in (("nested", np.arange(44)), ("grouped", groups)):
        outcome = lda_classify(points, labels, protocol=protocol, shrinkage=shrinkage, groups=groups)
        expected = reference.gaussian_rule(points, labels, held_out, shrinkage)
        np.testing.assert_array_equal(outcome.predictions[:, 0], expected)
        assert (outcome.ks, outcome.dims) == ((0,), 5)
        assert not outcome.correct[-1].any()


def test_paper_is_leave_one_out_among_scikit_learns_discriminants() -> None:
    from sklearn.discriminant_analysis import LinearDiscriminantAnalysis

    points, labels, _ = tokens(44, 5, 6)
    space = LinearDiscriminantAnalysis(solver="svd", n_components=3).fit_transform(points, labels)
    space[5] = space[11]  # the same point, whatever the rounding of its two products
    outcome = paper(points, labels, lda_dims=3, ks=KS)
    for i in range(44):
        others = [j for j in range(44) if j != i]
        expected = reference.judged_by_others(space, labels, i, others, list(KS))
        assert outcome.predictions[i].tolist() == expected


def test_lda_under_paper_is_resubstitution() -> None:
    from sklearn.discriminant_analysis import LinearDiscriminantAnalysis

    points, labels, _ = tokens(44, 5, 6)
    outcome = lda_classify(points, labels, protocol="paper")
    expected = LinearDiscriminantAnalysis().fit(points, labels).predict(points)
    np.testing.assert_array_equal(outcome.predictions[:, 0], expected)


def test_copies_are_found_by_value_and_tie_exactly() -> None:
    points = np.array([[0.0, 1.0], [2.0, 3.0], [-0.0, 1.0], [2.0, 4.0], [0.0, 1.0]])
    first = protocols._first_copies(points)
    assert first.tolist() == [0, 1, 0, 3, 0]
    projected = np.arange(10.0).reshape(2, 5)
    assert protocols._make_copies_equal(projected, first)[0].tolist() == [0, 1, 0, 3, 0]


def test_without_lda_nested_is_paper() -> None:
    points, labels, _ = tokens(50, 4, 5)
    found = [classify(points, labels, protocol=p, lda_dims=0, ks=KS) for p in ("paper", "nested")]
    np.testing.assert_array_equal(found[0].predictions, found[1].predictions)


@pytest.mark.parametrize("lda_dims", [0, 2])
def test_a_group_a_point_is_nested(lda_dims) -> None:
    points, labels, _ = tokens(50, 4, 5)
    alone = np.random.default_rng(0).permutation(50)
    a = grouped(points, labels, alone, lda_dims=lda_dims, ks=KS)
    b = nested(points, labels, lda_dims=lda_dims, ks=KS)
    np.testing.assert_array_equal(a.predictions, b.predictions)
    by_groups = lda_classify(points, labels, protocol="grouped", groups=alone)
    np.testing.assert_array_equal(by_groups.predictions, lda_classify(points, labels).predictions)


@pytest.mark.parametrize("protocol", HONEST)
def test_neighbours_never_include_the_held_out(protocol) -> None:
    points, labels, groups = tokens(50, 4, 5)
    found = classify(points, labels, protocol=protocol, lda_dims=2, ks=(20,), groups=groups)
    held_out = groups if protocol == "grouped" else np.arange(50)
    assert found.neighbours is not None
    assert (held_out[found.neighbours] != held_out[:, None]).all()


def chance_interval(n: int, classes: int) -> tuple[float, float]:
    """Where all but one in 10^6 guesses at one of so many equal classes fall, as fractions."""
    low, high = binom.interval(1 - 1e-6, n, 1 / classes)
    return low / n, high / n


@pytest.mark.parametrize("protocol", HONEST)
@pytest.mark.parametrize("dims", [32, 128, 256])
def test_noise_is_at_chance(protocol, dims) -> None:
    for n, classes, lda_dims in ((380, 38, 5), (168, 2, 1)):
        points, labels, groups = noise(n, dims, classes)
        low, high = chance_interval(n, classes)
        outcome = classify(points, labels, protocol=protocol, lda_dims=lda_dims, ks=(1, 5, 20), groups=groups)
        assert (low <= outcome.accuracy).all()
        assert (outcome.accuracy <= high).all()
        by_lda = lda_classify(points, labels, protocol=protocol, groups=groups)
        assert low <= by_lda.accuracy[0] <= high


def test_unshrunk_noise_is_at_chance() -> None:
    points, labels, groups = noise(380, 128, 38)
    for protocol in HONEST:
        outcome = classify(points, labels, protocol=protocol, ks=(1, 5), shrinkage="none", groups=groups)
        assert (outcome.accuracy <= chance_interval(380, 38)[1]).all()


def test_paper_finds_knowledge_in_noise() -> None:
    points, labels, _ = noise(370, 128, 38)
    outcome = paper(points, labels, ks=(1, 5, 10))
    assert (outcome.accuracy > 3 * outcome.chance).all()
    assert lda_classify(points, labels, protocol="paper").accuracy[0] > 0.9


@pytest.mark.parametrize("protocol", ["paper", *HONEST])
def test_a_planted_signal_is_found(protocol) -> None:
    rng = np.random.default_rng(0)
    points, labels, groups = noise(200, 32, 4)
    # Variance 100 drowns raw distances; the class shifts a direction of variance 1 by four deviations.
    points[:, 2:] *= 10
    points[:, :2] += 4 * np.array([[0, 0], [0, 1], [1, 0], [1, 1]])[labels]
    points = points @ rng.normal(size=(32, 32))
    arguments = {"protocol": protocol, "ks": (5,), "groups": groups, "shrinkage": "none"}
    assert classify(points, labels, lda_dims=0, **arguments).accuracy[0] < 0.5
    assert classify(points, labels, lda_dims=3, **arguments).accuracy[0] > 0.85
    by_lda = lda_classify(points, labels, protocol=protocol, groups=groups, shrinkage="none")
    assert by_lda.accuracy[0] > 0.85


@pytest.mark.parametrize("protocol", HONEST)
def test_a_signal_among_features_of_one_scale_survives_shrinkage(protocol) -> None:
    points, labels, groups = noise(200, 32, 4)
    points[:, :2] += 6 * np.array([[0, 0], [0, 1], [1, 0], [1, 1]])[labels]
    arguments = {"protocol": protocol, "groups": groups}
    assert classify(points, labels, lda_dims=3, ks=(5,), **arguments).accuracy[0] > 0.85
    assert lda_classify(points, labels, **arguments).accuracy[0] > 0.85


@pytest.mark.parametrize("protocol", HONEST)
def test_order_scale_and_origin_change_nothing(protocol) -> None:
    rng = np.random.default_rng(3)
    points, labels, groups = tokens(60, 6, 5)
    points = np.delete(points, 5, axis=0)  # no duplicates: their order settles ties
    labels, groups = np.delete(labels, 5), np.delete(groups, 5)
    order = rng.permutation(59)
    scaled = points * 10 ** rng.uniform(-4, 4, size=6) + 1
    for kind in (lambda *a, **k: classify(*a, lda_dims=3, ks=KS, **k), lda_classify):
        plain = kind(points, labels, protocol=protocol, groups=groups)
        moved = kind(points[order], labels[order], protocol=protocol, groups=groups[order])
        np.testing.assert_array_equal(moved.predictions, plain.predictions[order])
        again = kind(scaled, labels, protocol=protocol, groups=groups)
        np.testing.assert_array_equal(again.predictions, plain.predictions)
        # A mean of equal intensities but for the four digits that the offset of 1 costs a scale of 1e-4.
        assert again.shrinkage == pytest.approx(plain.shrinkage, rel=1e-9)


@pytest.mark.parametrize("protocol", HONEST)
def test_rotation_changes_neither_raw_neighbours_nor_unshrunk_discriminants(protocol) -> None:
    rng = np.random.default_rng(4)
    points, labels, groups = tokens(60, 6, 5)
    points = np.delete(points, 5, axis=0)
    labels, groups = np.delete(labels, 5), np.delete(groups, 5)
    turned = points @ np.linalg.qr(rng.normal(size=(6, 6)))[0]
    for lda_dims in (0, 3):
        arguments = {"protocol": protocol, "lda_dims": lda_dims, "ks": KS, "groups": groups, "shrinkage": "none"}
        a, b = (classify(p, labels, **arguments) for p in (points, turned))
        np.testing.assert_array_equal(a.neighbours, b.neighbours)


def test_float32_gives_the_answers_of_float64() -> None:
    points, labels, groups = tokens(60, 6, 5)
    points = points.astype(np.float32)
    for protocol in ("paper", *HONEST):
        a, b = (classify(p, labels, protocol=protocol, lda_dims=3, ks=KS, groups=groups)
                for p in (points, points.astype(np.float64)))  # fmt: skip
        np.testing.assert_array_equal(a.predictions, b.predictions)


def test_a_fold_that_loses_a_class_keeps_the_discriminants_it_has() -> None:
    rng = np.random.default_rng(0)
    points = rng.normal(size=(21, 3))
    labels = np.array([0] * 10 + [1] * 10 + [2])
    outcome = nested(points, labels, lda_dims=2, ks=(1, 3))
    assert not outcome.correct[-1].any()
    two_groups = np.array([0] * 10 + [1] * 11)  # leaves one class where group 1 is out
    outcome = grouped(points, labels, two_groups, lda_dims=2, ks=(1, 3))
    assert (outcome.predictions[10:] == 0).all()


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        ({"ks": (44,)}, "k = 44, .* only 43"),
        ({"lda_dims": 5}, "only 4; use 4 or fewer"),
        ({"protocol": "paper", "lda_dims": 5}, "only 4; use 4 or fewer"),
        ({"protocol": "paper", "ks": (44,)}, "k = 44, .* only 43"),
        ({"protocol": "grouped"}, "needs groups"),
        ({"protocol": "grouped", "groups": np.zeros(44, dtype=int)}, "found one group"),
        ({"protocol": "grouped", "groups": np.arange(44) // 40, "ks": (5,)}, "k = 5, .* only 4"),
        ({"shrinkage": 2.0}, "from 0 to 1"),
        ({"match_dims": 0}, "1 or more"),
        ({"match_dims": 2, "lda_dims": 3}, "3 LDA dimensions, but 5 classes of 2 features"),
    ],
)
def test_requests_that_cannot_be_met_are_refused_with_the_cure(arguments, says) -> None:
    points, labels, _ = tokens(44, 5, 5)
    with pytest.raises(InputError, match=says):
        classify(points, labels, **{"lda_dims": 2, "ks": (1,), **arguments})


def test_paper_needs_more_points_than_classes() -> None:
    points = np.random.default_rng(0).normal(size=(4, 3))
    with pytest.raises(InputError, match="4 points in 4 classes"):
        paper(points, np.arange(4), lda_dims=2, ks=(1,))


def test_more_features_than_points_need_shrinkage() -> None:
    points, labels, _ = noise(40, 60, 4)
    with pytest.raises(InputError, match="use shrinkage"):
        nested(points, labels, lda_dims=2, ks=(1,), shrinkage="none")
    assert nested(points, labels, lda_dims=2, ks=(1,)).shrinkage > 0.5


@pytest.mark.parametrize("protocol", ["paper", "nested", "grouped"])
@pytest.mark.parametrize("probe", [partial(classify, lda_dims=2, ks=(1, 5)), lda_classify])
def test_a_constant_feature_is_answered_at_or_below_the_majority(probe, protocol) -> None:
    labels, groups = np.arange(40) % 3, np.arange(40) // 4
    outcome = probe(np.ones((40, 5)), labels, protocol=protocol, groups=groups)
    assert (outcome.accuracy <= 14 / 40).all()
