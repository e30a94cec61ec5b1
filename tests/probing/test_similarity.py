from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from lvm_probe import InputError
from lvm_probe.analysis.shape_distance import shape_distance
from lvm_probe.analysis.similarity import biased_cka, distances, held_out_pwcca, rsa, unbiased_cka
from lvm_probe.probing.features.token_table import TokenTable
from lvm_probe.probing.questions.similarity import COLUMNS, matrix, similarities
from tests.probing.synthetic_tables import at, made_up
from tests.probing.test_boundaries import planted


def variable(table: TokenTable, seed: int = 0) -> TokenTable:
    """With variances of both latents."""
    draws = np.random.default_rng(seed)
    more = {f"{name}_var": draws.uniform(size=table.features[name].shape).astype(np.float32) for name in ("z1", "z2")}
    return replace(table, features=table.features | more)


def test_frames_are_compared_too() -> None:
    table = planted()
    found = similarities([table], ["z1", "mel"], measures=["cka"], rows={"rows": "frame"}, permutations=0)
    frames = table.select(table.columns["unit"] == "frame")
    row = found.frame.iloc[0]
    assert (row["rows"], row["n"]) == ("frame", len(frames))
    z1, mel = (frames.features[name].astype(float) for name in ("z1", "mel"))
    assert row["value"] == pytest.approx(unbiased_cka(z1, mel))
    assert f"over {len(frames):,} frames of phonemes of 5 speakers" in repr(found)


def test_the_rows_are_what_the_measures_say() -> None:
    table = variable(made_up(speakers=4, each=30))
    found = similarities([table], measures=("cka", "pwcca", "rsa", "shape"), permutations=19, tokens=1000)
    assert list(found.frame.columns) == COLUMNS
    assert found.names == ("z1", "z2", "mel")
    z1, z2 = (table.features[name].astype(float) for name in ("z1", "z2"))
    speakers = np.unique(table.columns["speaker"].astype(str), return_inverse=True)[1]
    cka, pwcca, rsa_, shape = (
        at(found.frame, measure=m, first="z1", second="z2") for m in ("cka", "pwcca", "rsa", "shape")
    )
    assert cka["value"] == pytest.approx(unbiased_cka(z1, z2))
    assert cka["biased"] == pytest.approx(biased_cka(z1, z2))
    assert cka["biased"] > cka["value"]
    assert pwcca["value"] == pytest.approx(held_out_pwcca(z1, z2, speakers).value[0])
    assert rsa_["value"] == pytest.approx(rsa(distances(z1), distances(z2), speakers))
    assert rsa_["n"] == 120
    for row in (cka, pwcca, rsa_):
        assert row["low"] < row["value"] < row["high"]
        assert abs(row["null"]) < 0.1
        assert row["p_null"] == pytest.approx(0.05)  # both know the phone
        assert row["speakers"] == 4
    assert 0 < shape["value"] < shape["null"] < 2**0.5
    assert len(found.frame[found.frame["measure"] == "shape"]) == 1  # Mel has no variances
    assert "unbiased linear CKA" in str(found)
    assert found.notes == ("no shape distance of mel: no variances are known",)
    assert matrix(found, "shape").to_numpy()[0, 0] == 0
    same = shape_distance(z1, table.features["z1_var"].astype(float), z1, table.features["z1_var"].astype(float))
    assert same == pytest.approx(0, abs=1e-5)


def test_noise_is_at_its_null() -> None:
    table = made_up(speakers=6, each=40, signal=0)
    for values in table.features.values():
        values[:] = np.random.default_rng(values.shape[1]).normal(size=values.shape)
    found = similarities([table], permutations=19).frame
    assert len(found) == 9
    assert (found["value"].abs() < 0.08).all()
    assert (found["p_null"] > 0.05).sum() >= 8
    assert (found[found["measure"] == "cka"]["biased"] > 0.01).all()


def test_tables_of_the_same_tokens_are_compared_and_mel_counts_once() -> None:
    one, other = made_up(), replace(made_up(), name="seed-1")
    found = similarities([one, other], ["z1", "z2", "mel"], measures=("cka",), permutations=0)
    assert found.names == ("made-up z1", "made-up z2", "seed-1 z1", "seed-1 z2", "mel")
    assert at(found.frame, first="made-up z1", second="seed-1 z1")["value"] == pytest.approx(1)
    assert found.frame["null"].isna().all()
    with pytest.raises(InputError, match="not the same tokens as"):
        similarities([one, made_up(speakers=2)], measures=("cka",))


def test_utterances_are_held_out_of_one_speaker() -> None:
    found = similarities([made_up(speakers=1)], measures=("pwcca",), permutations=0).frame
    assert set(found["interval"]) == {"utterances"}


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"measures": ("svcca",)}, "measure is 'svcca'; choose among cka, pwcca, rsa, shape"),
        ({"permutations": -1}, "permutations is -1"),
        ({"tokens": 3}, "tokens is 3; give 10 or more"),
        ({"features": ("z1",)}, "one feature cannot be compared"),
        ({"features": ("z1", "z9")}, "z9"),
        ({"measures": ("shape",)}, "no two representations with variances"),
    ],
)
def test_refusals(fields: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=message):
        similarities([made_up()], **fields)


def test_the_table_is_not_changed() -> None:
    table = made_up()
    before = {name: values.copy() for name, values in table.features.items()}
    similarities([table], permutations=1)
    for name, values in before.items():
        np.testing.assert_array_equal(values, table.features[name])
    assert table.path == Path("latents/made-up")
