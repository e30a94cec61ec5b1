"""How often do the intervals of 95 % cover the truth, and the tests of 5 % reject where there is nothing to find?

    python benchmarks/coverage.py [--rounds 2000]

Speakers, tokens and features are drawn so that the truth is known. Every line is a case: the share of intervals that
cover, of accuracies and of differences (aim: 0.93 to 0.97), of intervals of zero width, and of rejected tests where
there is no difference (aim: at most 0.06). Coverage goes in steps where rows are few, and lies above the aim where
speakers are held out whose voices hardly differ.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np

from lvm_probe.analysis.abx import abx
from lvm_probe.analysis.protocols import lda_classify
from lvm_probe.analysis.statistics import (
    Difference,
    Interval,
    Jackknife,
    independent_difference,
    independent_interval,
    paired_difference,
    share_interval,
)

Drawn = tuple[float, Interval, Difference]
"""The accuracy in a made-up experiment, its interval, and the difference to another feature that is as good."""
Draw = Callable[[np.random.Generator], Drawn]


@dataclass(frozen=True)
class Case:
    """A kind of experiment with a known truth; None where it is the mean over all rounds."""

    name: str
    draw: Draw
    truth: float | None
    cost: int = 1  # rounds are divided by it


@dataclass(frozen=True)
class Rates:
    """Shares of rounds: the interval of the accuracy covers, has no width; that of the difference covers; p < 0.05."""

    covers: float
    empty: float
    difference_covers: float
    rejects: float


def speakers(n: int, share: float, *, spread: float, tokens: int = 30, unequal: float = 0.0) -> Draw:
    """Right answers of n speakers whose accuracies have a beta distribution with this intra-class correlation.

    Two features share the speakers' difficulty; the numbers of tokens are log-normal where they are unequal.
    """

    def draw(rng: np.random.Generator) -> Drawn:
        sizes = np.maximum(3, tokens * rng.lognormal(0, unequal, n)).astype(int)
        groups = np.repeat(np.arange(n), sizes)
        a = (1 - spread) / spread
        easy = rng.beta(share * a, (1 - share) * a, n)[groups]
        ours, theirs = (Jackknife.of_means(rng.random((len(groups), 1)) < easy[:, None], groups) for _ in range(2))
        return float(ours.value[0]), share_interval(ours), paired_difference(ours, theirs)

    return draw


def rows(n: int, share: float) -> Draw:
    """Right answers of n rows, each a speaker; another feature is right about the same rows more often than not."""

    def draw(rng: np.random.Generator) -> Drawn:
        ours, other = rng.random((2, n, 1)) < share
        same = rng.random((n, 1)) < 0.5
        other = np.where(same, ours, other)
        return float(ours.mean()), independent_interval(ours), independent_difference(ours, other)

    return draw


def held_out_speakers(n: int, dims: int, *, voice: float, accent: float, classes: int = 5, tokens: int = 10) -> Draw:
    """Whole speakers held out from LDA: folds share their training speakers.

    Args:
        n: speakers.
        dims: dimensions of each of two features with the same class means.
        voice: standard deviation of a speaker's offset, of that of a token.
        accent: of a speaker's offset of each class.
    """
    means = np.random.default_rng(99).normal(size=(classes, dims)) * 3 / np.sqrt(dims)
    labels, groups = np.tile(np.repeat(np.arange(classes), tokens), n), np.repeat(np.arange(n), classes * tokens)

    def right(rng: np.random.Generator) -> Jackknife:
        points = means[labels] + rng.normal(size=(len(labels), dims))
        points += (
            voice * rng.normal(size=(n, dims))[groups] + accent * rng.normal(size=(n, classes, dims))[groups, labels]
        )
        return Jackknife.of_means(lda_classify(points, labels, protocol="grouped", groups=groups).correct, groups)

    def draw(rng: np.random.Generator) -> Drawn:
        ours, theirs = right(rng), right(rng)
        interval = share_interval(ours, shared_training=True)
        return float(ours.value[0]), interval, paired_difference(ours, theirs, shared_training=True)

    return draw


def compared_speakers(n: int, mode: str, *, accent: float, classes: int = 4, tokens: int = 3, dims: int = 8) -> Draw:
    """ABX of tokens whose classes lie elsewhere for every speaker."""
    means = np.random.default_rng(98).normal(size=(classes, dims))
    labels, groups = np.tile(np.repeat(np.arange(classes), tokens), n), np.repeat(np.arange(n), classes * tokens)

    def scored(rng: np.random.Generator) -> Jackknife:
        points = means[labels] + rng.normal(size=(len(labels), dims))
        points += accent * rng.normal(size=(n, classes, dims))[groups, labels]
        score = abx(points, labels, groups, mode=mode, distance="euclidean")  # type: ignore[arg-type]
        return Jackknife(np.array([1 - score.error]), 1 - score.error_without[:, None], np.ones(n))

    def draw(rng: np.random.Generator) -> Drawn:
        ours, theirs = scored(rng), scored(rng)
        return float(ours.value[0]), share_interval(ours), paired_difference(ours, theirs)

    return draw


def cases() -> Iterator[Case]:
    """All of them, cheap ones first."""
    for n in (3, 5, 7, 14, 40):
        for unequal in (0.0, 0.7):
            for share, spread in ((0.3, 0.02), (0.6, 0.05), (0.9, 0.05)):
                name = f"{n} speakers, {'unequal' if unequal else 'equal'}, accuracy {share}"
                yield Case(name, speakers(n, share, spread=spread, unequal=unequal), share)
    for n in (5, 14, 40):
        for share in (0.6, 0.75, 0.9):
            yield Case(f"{n} rows, each a speaker, accuracy {share}", rows(n, share), share)
    for n in (5, 14):
        for mode in ("within", "across"):
            yield Case(f"ABX {mode}, {n} speakers", compared_speakers(n, mode, accent=0.7), None, cost=n)
    for n, dims, voice, accent in ((14, 10, 0.0, 0.0), (14, 10, 1.0, 0.5), (14, 80, 1.0, 0.5), (7, 80, 2.0, 0.5)):
        name = f"{n} speakers held out, {dims} dimensions, voices {voice}, accents {accent}"
        yield Case(name, held_out_speakers(n, dims, voice=voice, accent=accent), None, cost=10)


def simulate(case: Case, rounds: int, seed: int = 0) -> Rates:
    """Repeat a case. Where its truth is not given, it is the mean over the rounds."""
    rng = np.random.default_rng([seed, *case.name.encode()])
    drawn = [case.draw(rng) for _ in range(rounds)]
    truth = np.mean([accuracy for accuracy, _, _ in drawn]) if case.truth is None else case.truth
    intervals = [(interval.low[0], interval.high[0]) for _, interval, _ in drawn]
    return Rates(
        float(np.mean([low <= truth <= high for low, high in intervals])),
        float(np.mean([low == high for low, high in intervals])),
        float(np.mean([gap.low[0] <= 0 <= gap.high[0] for _, _, gap in drawn])),
        float(np.mean([gap.p_value[0] < 0.05 for _, _, gap in drawn])),
    )


def main() -> None:
    """Print a line per case."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=2000)
    rounds = parser.parse_args().rounds
    print(f"{'':<64}{'':>7}{'accuracy':>10}{'zero':>7}{'difference':>12}{'test':>9}")
    print(f"{'case':<64}{'rounds':>7}{'covers':>10}{'width':>7}{'covers':>12}{'rejects':>9}")
    for case in cases():
        n = max(rounds // case.cost, 20)
        rates = simulate(case, n)
        print(f"{case.name:<64}{n:>7}{rates.covers:>10.3f}{rates.empty:>7.3f}"
              f"{rates.difference_covers:>12.3f}{rates.rejects:>9.3f}", flush=True)  # fmt: skip


if __name__ == "__main__":
    main()
