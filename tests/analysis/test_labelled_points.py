import numpy as np
import pytest

from lvm_probe import InputError
from lvm_probe.analysis.labelled_points import LabelledPoints

POINTS = np.arange(12.0).reshape(6, 2)
LABELS = np.array([3, 3, 7, 7, 9, 9])


def test_classes_and_codes() -> None:
    data = LabelledPoints(POINTS.astype(np.float32), LABELS)
    assert data.points.dtype == np.float64
    assert data.classes.tolist() == [3, 7, 9]
    assert data.codes.tolist() == [0, 0, 1, 1, 2, 2]


@pytest.mark.parametrize(
    ("points", "labels", "groups", "says"),
    [
        (POINTS[:, 0], LABELS, None, "points have shape"),
        (POINTS[:, :0], LABELS, None, "points have shape"),
        (POINTS, LABELS[:5], None, "labels have shape"),
        (POINTS, LABELS, LABELS[:5], "groups have shape"),
        (POINTS, np.ones(6, dtype=int), None, "points have one class"),
        (np.where(POINTS == 5, np.nan, POINTS), LABELS, None, "point 2 has nan in dimension 1"),
        (np.where(POINTS == 5, np.inf, POINTS), LABELS, None, "point 2 has inf in dimension 1"),
    ],
)
def test_what_was_found_is_said(points, labels, groups, says) -> None:
    with pytest.raises(InputError, match=says):
        LabelledPoints(points, labels, groups)
