"""Control labels: what a probe scores on labels that it can only learn by heart.

Hewitt and Liang 2019, *Designing and Interpreting Probes with Control Tasks*: every type (there a word; here
the phone in its context, or the speaker) gets a label at random, so that features know it only through the
type's identity. The probe's accuracy less its accuracy on such labels is its selectivity; a probe that is
accurate and not selective remembers rather than reads.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from lvm_probe import InputError
from lvm_probe.analysis.predictions import Outcome
from lvm_probe.analysis.shape_annotations import Float, Int


@dataclass(frozen=True)
class Control:
    """Accuracies of a probe on control labels, one row a draw of the labels.

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
    labels: Int[np.ndarray, " tokens"],
    types: Int[np.ndarray, " tokens"],
    probe: Callable[[Int[np.ndarray, " tokens"]], Outcome],
    *,
    rng: np.random.Generator,
    rounds: int = 10,
) -> Control:
    """Runs the probe on control labels.

    Args:
        labels: the true labels, integers.
        types: the type of every token, integers.
        probe: labels in, outcome out; the points and all else are its own.
        rng: source of the control labels.
        rounds: draws of the labels.

    Raises:
        InputError: no rounds; what `control_labels` or the probe refuses.
    """
    if rounds < 1:
        raise InputError(f"rounds is {rounds}; give a positive number of draws, such as 10")
    outcomes = [probe(control_labels(labels, types, rng=rng)) for _ in range(rounds)]
    return Control(outcomes[0].ks, np.stack([outcome.accuracy for outcome in outcomes]))


def control_labels(
    labels: Int[np.ndarray, " tokens"], types: Int[np.ndarray, " tokens"], *, rng: np.random.Generator
) -> Int[np.ndarray, " tokens"]:
    """One random label for every type, the same for all its tokens.

    Where each type has a single true label (a speaker's gender; the phone, of phones in their context), the
    types' labels are permuted: every class keeps its number of types. Otherwise each type draws from the
    shares of the true labels among tokens (Hewitt and Liang 2019, section 2), again where all types drew the
    same, for a probe needs two classes; a rare class may be left out.

    Args:
        labels: the true labels, integers.
        types: the type of every token, integers.
        rng: source of the labels.

    Raises:
        InputError: not one type a token; one class; one type.
    """
    if types.shape != labels.shape:
        raise InputError(f"types have shape {types.shape} for {len(labels)} labels; give one type a token")
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
