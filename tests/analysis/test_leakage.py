"""What every probe must do before any of its figures is believed: nothing found in noise, a signal found in it.

Features of pure noise score at chance under `nested` and `speaker`, whatever their number; under `paper` they
do not. The limits are those of the binomial distribution that 999 in 1000 guessers keep (scipy.stats.binom).
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import pytest
from scipy.stats import binom

from lvm_probe.analysis import logistic
from lvm_probe.analysis.logistic import logistic_classify
from lvm_probe.analysis.predictions import Outcome, Protocol
from lvm_probe.analysis.protocols import classify, lda_classify

KS = (1, 5, 20)


def knn(points: np.ndarray, labels: np.ndarray, **arguments) -> Outcome:
    dims = min(5, len(np.unique(labels)) - 1, points.shape[1])
    return classify(points, labels, **{"lda_dims": dims, "ks": KS, **arguments})


PROBES: dict[str, Callable[..., Outcome]] = {"knn": knn, "lda": lda_classify, "logistic": logistic_classify}


@dataclass(frozen=True)
class Target:
    """Labels, the speaker of every token, how many of the tokens stand for themselves, and protocols that suit."""

    labels: np.ndarray
    groups: np.ndarray
    independent: int
    protocols: tuple[Protocol, ...]

    @property
    def shares(self) -> np.ndarray:
        return np.unique(self.labels, return_counts=True)[1] / len(self.labels)

    @property
    def by_share(self) -> float:
        """How often a guesser is right who names each class as often as it occurs among the other tokens."""
        return float((self.shares * (self.shares * len(self.labels) - 1) / (len(self.labels) - 1)).sum())

    def at_most(self, chance: float) -> float:
        """The accuracy that 999.5 in 1000 such guessers do not exceed."""
        return float(binom.ppf(0.9995, self.independent, chance)) / self.independent

    def at_least(self, chance: float) -> float:
        """The accuracy that 999.5 in 1000 such guessers reach."""
        return float(binom.ppf(0.0005, self.independent, chance)) / self.independent


def phones() -> Target:
    """380 tokens of one speaker in 38 classes, the most frequent 13 times as frequent as the rarest; ten sentences."""
    shares = 1 / np.arange(1, 39) ** 0.7
    counts = np.round(380 * shares / shares.sum()).astype(int)
    labels = np.random.default_rng(0).permutation(np.repeat(np.arange(38), counts))
    return Target(labels, np.arange(len(labels)) % 10, len(labels), ("nested", "grouped"))


def gender() -> Target:
    """200 speakers, a row for each."""
    return Target(np.random.default_rng(1).permutation(np.arange(200) % 2), np.arange(200), 200, ("grouped",))


def gender_of_talkers() -> Target:
    """80 speakers of three rows each. All rows of a speaker may be right or wrong together."""
    of_speakers = np.random.default_rng(2).permutation(np.arange(80) % 2)
    return Target(np.repeat(of_speakers, 3), np.repeat(np.arange(80), 3), 80, ("grouped",))


def height() -> Target:
    """200 speakers, a row for each: a quarter short, half of middle height, a quarter tall."""
    labels = np.random.default_rng(3).permutation(np.array([0, 1, 1, 2] * 50))
    return Target(labels, np.arange(200), 200, ("nested",))


TARGETS = {"phones": phones, "gender": gender, "gender of talkers": gender_of_talkers, "height": height}


def noise(target: Target, dims: int) -> np.ndarray:
    """Noise; where speakers have several rows these share half the variance: a voice that tells nothing else."""
    rng = np.random.default_rng(dims)
    voices = rng.normal(size=(target.groups.max() + 1, dims))[target.groups]
    own = rng.normal(size=(len(target.labels), dims))
    return own if target.independent == len(target.labels) else voices + own


@pytest.mark.parametrize(
    ("probe", "dims"),
    [(probe, dims) for probe in ("knn", "lda") for dims in (1, 5, 32, 128, 256)]
    + [("logistic", dims) for dims in (5, 256)],  # slower
)
@pytest.mark.parametrize("name", TARGETS)
def test_noise_is_at_chance(probe, name, dims) -> None:
    """Chance lies between naming each class as often as it occurs and always naming the most frequent one.

    The nearest neighbour does the first; more neighbours, and classes with priors, tend to the second. Where
    classes are equal in number there is no lower limit: without a token its own class is the rarer one by
    one, and a guesser of the majority is then always wrong.
    """
    target = TARGETS[name]()
    for protocol in target.protocols:
        found = PROBES[probe](noise(target, dims), target.labels, protocol=protocol, groups=target.groups)
        assert (found.accuracy <= target.at_most(target.shares.max())).all()
        if np.ptp(target.shares) > 0:
            assert (found.accuracy >= target.at_least(target.by_share)).all()
        if found.ks[0] == 1:
            assert found.accuracy[0] <= target.at_most(max(target.by_share, 1 / len(target.shares)))


@pytest.mark.parametrize("dims", [128, 256])
@pytest.mark.parametrize("name", TARGETS)
@pytest.mark.parametrize("probe", ["knn", "lda"])
def test_paper_finds_knowledge_in_the_same_noise(probe, name, dims) -> None:
    target = TARGETS[name]()
    found = PROBES[probe](noise(target, dims), target.labels, protocol="paper", groups=target.groups)
    assert (found.accuracy > target.at_most(target.shares.max())).all()


def test_a_penalty_chosen_by_cross_validation_hides_the_leak_of_paper_in_part() -> None:
    """Where it finds nothing the strongest penalty remains, under which equal classes are separated all the same."""
    for name, leaks in (("height", False), ("gender", True), ("gender of talkers", True)):
        target = TARGETS[name]()
        found = logistic_classify(noise(target, 256), target.labels, protocol="paper")
        assert (found.accuracy[0] > target.at_most(target.shares.max())) == leaks


def test_without_the_token_is_not_without_the_speaker() -> None:
    """Where speakers have several rows `nested` knows their voices, and so the attributes that go with them."""
    target = gender_of_talkers()
    found = knn(noise(target, 32), target.labels, protocol="nested", groups=target.groups, lda_dims=0)
    assert found.accuracy[0] > target.at_most(0.5)


@pytest.mark.parametrize("name", TARGETS)
@pytest.mark.parametrize("probe", PROBES)
def test_a_planted_signal_is_found(probe, name, monkeypatch) -> None:
    monkeypatch.setattr(logistic, "STRENGTHS", (1e-2, 1e-1))  # weaker penalties are slow, and little better
    target = TARGETS[name]()
    rng = np.random.default_rng(0)
    means = 2 * rng.normal(size=(len(target.shares), 8))
    points = noise(target, 12)
    points[:, :8] += means[target.labels]
    for protocol in target.protocols[-1:] if probe == "logistic" else target.protocols:
        found = PROBES[probe](points, target.labels, protocol=protocol, groups=target.groups)
        assert found.accuracy[0] > (0.5 if name == "phones" else 0.9)


def scaled(points: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Every feature in a unit of its own."""
    return points * 10 ** rng.uniform(-2, 2, size=points.shape[1])


def rotated(points: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    return points @ np.linalg.qr(rng.normal(size=(points.shape[1], points.shape[1])))[0]


# What each probe promises not to notice. Plain neighbours know no scale; shrinkage and penalties work on
# standardised features, which a rotation mixes; unshrunk LDA notices no linear map at all.
BLIND_TO = {
    "neighbours": (lambda *a, **k: knn(*a, lda_dims=0, **k), [rotated]),
    "shrunk knn": (knn, [scaled]),
    "unshrunk knn": (lambda *a, **k: knn(*a, shrinkage="none", **k), [scaled, rotated]),
    "shrunk lda": (lda_classify, [scaled]),
    "unshrunk lda": (lambda *a, **k: lda_classify(*a, shrinkage="none", **k), [scaled, rotated]),
    "logistic": (logistic_classify, [scaled]),
}


@pytest.mark.parametrize("protocol", ["nested", "grouped"])
@pytest.mark.parametrize("kind", BLIND_TO)
def test_what_a_probe_does_not_notice(kind, protocol, monkeypatch) -> None:
    monkeypatch.setattr(logistic, "STRENGTHS", (1e-2, 1e-1))  # as good for this, and faster
    probe, changes = BLIND_TO[kind]
    rng = np.random.default_rng(7)
    labels, groups = rng.integers(4, size=120), rng.integers(8, size=120)
    points = rng.normal(size=(120, 6)) + 1.5 * rng.normal(size=(4, 6))[labels]
    plain = probe(points, labels, protocol=protocol, groups=groups)
    order = rng.permutation(120)
    moved = probe(points[order], labels[order], protocol=protocol, groups=groups[order])
    np.testing.assert_array_equal(moved.predictions, plain.predictions[order])
    for change in changes:
        again = probe(change(points, rng), labels, protocol=protocol, groups=groups)
        np.testing.assert_array_equal(again.predictions, plain.predictions)
