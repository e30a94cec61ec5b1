"""Features that know nothing, asked for every target: the honest protocols say so, the paper's does not."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy.stats import binom

from lvm_probe.probing.features.token_table import TokenTable, columns_of_rows
from lvm_probe.probing.questions.ask import ask
from lvm_probe.probing.questions.question import Question
from tests.probing.synthetic_tables import at

PHONES = ("iy", "aa", "s", "tcl", "m", "l", "t", "v")


def noise(dims: int, each: int = 24, speakers: int = 24, seed: int = 0) -> TokenTable:
    """Speakers of both genders, three heights and three dialects, who say the same words; features are noise."""
    random = np.random.default_rng(seed)
    rows = []
    for s in range(speakers):
        speaker = {
            "speaker": f"{'FM'[s % 2]}S{s:02d}", "gender": "FM"[s % 2], "dialect": f"DR{s // 2 % 3}",
            "height_cm": 170.0 + 10 * (s // 6 % 3) + random.normal(), "split": None, "sample_rate": 16000,
        }  # fmt: skip
        for unit, labels in (("phoneme", PHONES), ("word", ("she", "had", "your", "dark"))):
            for i in range(each):
                sentence = f"SX{i * 4 // each}"
                rows.append(
                    speaker | {
                        "token_id": f"{s}:{unit}:{i}", "utterance": f"{speaker['speaker']}_{sentence}", "unit": unit,
                        "label": labels[int(random.integers(len(labels)))], "start": 100 * i, "end": 100 * i + 90,
                        "prompt": sentence,
                    }
                )  # fmt: skip
    points = random.normal(size=(len(rows), dims)).astype(np.float32)
    return TokenTable("noise", Path("latents/noise"), {}, columns_of_rows(rows), {"z1": points})


@pytest.mark.parametrize("dims", [2, 32, 256])
@pytest.mark.parametrize("target", ["phoneme", "manner", "place", "word", "gender", "height", "dialect", "speaker"])
def test_noise_is_at_chance_for_every_target(target: Any, dims: int) -> None:
    table = noise(dims)
    question = Question(target=target, ks=(5,), permutations=0, features=("z1",))
    others = {"speaker": ("utterance",), "gender": (), "height": (), "dialect": ()}.get(target, ("nested", "speaker"))
    for protocol in {question.protocol, *others}:
        row = at(ask(table, replace(question, protocol=protocol)).frame, speaker="", k=5)
        # Guesses right by luck alone do not beat the share of the commonest class, except by the luck of the draw.
        assert row["accuracy"] <= binom.ppf(0.9999, row["n"], row["chance"]) / row["n"]


@pytest.mark.parametrize("target", ["phoneme", "manner", "place", "gender", "height", "dialect"])
def test_the_paper_protocol_finds_classes_in_the_same_noise(target: Any) -> None:
    of_tokens = target in ("phoneme", "manner", "place")
    table = noise(72, each=120, speakers=4) if of_tokens else noise(72)  # fewer dimensions than rows
    question = Question(target=target, protocol="paper", ks=(5,), permutations=0, features=("z1",))
    row = at(ask(table, question).frame, speaker="", k=5)
    assert row["accuracy"] > row["chance"] + 0.25
    assert row["accuracy"] > binom.ppf(1 - 1e-9, row["n"], row["chance"]) / row["n"]


def test_noise_does_not_know_heights() -> None:
    table = noise(256)
    found = ask(table, Question(target="height-cm", method="ridge", permutations=0))
    row = at(found.frame, gender="")
    assert row["mae_cm"] > 0.8 * row["baseline_mae_cm"]
    assert row["p_baseline"] > 0.001
