"""How often does `probe compare` find a difference between features that know the same?

    python benchmarks/comparisons.py [--rounds 400]

Speakers with voices of their own say tokens of four classes; all features are noise around the voice, so that no
difference is real. Printed is the share of comparisons with any p < 0.05 after Holm (aim: at most 0.06), as it goes.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator

import lvm_probe
from lvm_probe.probing import parallel
from tests.probing.synthetic_tables import made_up


def alarms(rounds: int, seed: int = 0) -> Iterator[bool]:
    """For each of so many made-up tables of six speakers, whether any of eight tests is significant."""
    for number in range(rounds):
        table = made_up(6, 24, dims={"z1": 4, "z2": 4, "mel": 4}, signal=0.0, seed=seed + number)
        comparison = lvm_probe.compare(
            table, features=("z1", "z2"), methods=("knn", "lda"), protocols=("utterance", "speaker"), progress=False
        )
        yield bool((comparison.frame["p_holm"] < 0.05).any())


def false_alarms(rounds: int, seed: int = 0) -> float:
    """The share of comparisons that find a difference."""
    return sum(alarms(rounds, seed)) / rounds


def main() -> None:
    """Print the share after every fifty rounds."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=400)
    parallel.usable_cores = lambda: 1  # forks cost more than such small tables
    found = 0
    for number, alarm in enumerate(alarms(parser.parse_args().rounds), 1):
        found += alarm
        if number % 50 == 0:
            print(f"{number} comparisons, {found / number:.3f} with a difference", flush=True)


if __name__ == "__main__":
    main()
