import numpy as np

from lvm_probe.analysis.predictions import Outcome


def test_figures_of_an_outcome_counted_by_hand() -> None:
    labels = np.array([4, 4, 4, 8, 9])
    predictions = np.array([[4, 4], [4, 8], [8, 8], [8, 9], [4, 9]])
    outcome = Outcome("nested", 1, 0.0, (1, 3), labels, predictions)
    assert (outcome.n, outcome.n_classes, outcome.chance) == (5, 3, 3 / 5)
    assert outcome.correct.sum(axis=0).tolist() == [3, 2]
    assert outcome.accuracy.tolist() == [3 / 5, 2 / 5]
    # Recalls of 4, 8, 9: 2/3, 1, 0 and 1/3, 0, 1; two roundings apart at most.
    np.testing.assert_allclose(outcome.balanced_accuracy, [5 / 9, 4 / 9], rtol=1e-15)
