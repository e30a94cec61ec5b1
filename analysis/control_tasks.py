"""Control tasks: the accuracy of a probe on random labels, which it can only memorise.

Hewitt and Liang 2019, "Designing and Interpreting Probes with Control Tasks": every type (there a word; here the phone
in its context, or the speaker) gets a random label, so that features predict it only through the identity of the type.
The accuracy of the probe minus its accuracy on such labels is its selectivity. A probe that is accurate but not
selective memorises types.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from lvm_probe import InputError
from lvm_probe.analysis.predictions import Outcome
from lvm_probe.analysis.shape_annotations import Float, Int


@dataclass(frozen=True)
class Control:
    """Accuracies of a probe on control labels, one row per draw of the labels.

    Attributes:
        ks: as in the outcomes of the probe.
        accuracies: fractions.
    """

    ks: tuple[int, ...]
    accuracies: Float[np.ndarray, "rounds ks"]

    @property
    def accuracy(self) -> Float[np.ndarray, " ks"]:
        """The mean over the draws."""
        return self.accuracies.mean(axis=0)


def control_accuracy(
    labels: Int[np.ndarray, " points"],
    types: Int[np.ndarray, " points"],
    probe: Callable[[Int[np.ndarray, " points"]], Outcome],
    *,
    rng: np.random.Generator,
    rounds: int = 10,
) -> Control:
    """Run the probe on control labels.

    Args:
        labels: the true labels, integers.
        types: the type of every point, integers.
        probe: from labels to predictions; points and settings are its own.
        rng: source of the control labels.
        rounds: number of draws of the labels.

    Raises:
        InputError: no rounds; what `control_labels` or the probe refuses.
    """
    if rounds < 1:
        raise InputError(f"rounds is {rounds}; give a positive number of draws, such as 10")
    outcomes = [probe(control_labels(labels, types, rng=rng)) for _ in range(rounds)]
    return Control(outcomes[0].ks, np.stack([outcome.accuracy for outcome in outcomes]))


def control_labels(
    labels: Int[np.ndarray, " points"], types: Int[np.ndarray, " points"], *, rng: np.random.Generator
) -> Int[np.ndarray, " points"]:
    """One random label for every type, the same for all its points.

    Where each type has a single true label (the gender of a speaker, the phone of a phone in its context), the labels
    of the types are permuted, so every class keeps its number of types. Otherwise each type draws from the distribution
    of the true labels (Hewitt and Liang 2019, section 2); where all types drew the same label, all draw again, because
    a probe needs two classes. A rare class may be drawn by no type.

    Args:
        labels: the true labels, integers.
        types: the type of every point, integers.
        rng: source of the labels.

    Raises:
        InputError: not one type per point; one class; one type.

    Example:
        >>> speakers, gender = np.array([1, 1, 2, 3]), np.array([0, 0, 1, 1])
        >>> control_labels(gender, speakers, rng=np.random.default_rng(0))
        array([1, 1, 0, 1])
    """
    if types.shape != labels.shape:
        raise InputError(f"types have shape {types.shape} for {len(labels)} labels; give one type per point")
    names, first, index = np.unique(types, return_index=True, return_inverse=True)
    if len(names) < 2 or len(np.unique(labels)) < 2:
        raise InputError(
            f"{len(names)} types and {len(np.unique(labels))} classes; control labels need two or more of both, "
            "so choose finer types or another target"
        )
    if (labels == labels[first][index]).all():
        return rng.permutation(labels[first])[index]
    while True:
        drawn = rng.choice(labels, size=len(names))
        if (drawn != drawn[0]).any():
            return drawn[index]
