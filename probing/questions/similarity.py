"""How alike the features of one table or of several are: layers, checkpoints, seeds, Mel; over the same tokens.

Every value comes with what independent inputs score, the same with the tokens of the one permuted, and with an interval
over speakers. Nothing is chosen by labels: phonemes only say which tokens are compared.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import Any, Literal, NamedTuple, get_args

import numpy as np
import pandas as pd

from lvm_probe import InputError
from lvm_probe.analysis.joined_features import of_equal_size
from lvm_probe.analysis.shape_annotations import Float
from lvm_probe.analysis.shape_distance import shape_distance
from lvm_probe.analysis.similarity import (
    biased_cka,
    cka_over_groups,
    distances,
    held_out_pwcca,
    rsa,
    rsa_over_groups,
    unbiased_cka,
)
from lvm_probe.analysis.statistics import Jackknife, mean_interval
from lvm_probe.probing.features.feature import Feature, default_features
from lvm_probe.probing.features.token_table import TokenTable
from lvm_probe.probing.questions.formatting import as_p, as_signed_range
from lvm_probe.probing.questions.judgeable_rows import features_to_judge
from lvm_probe.probing.questions.question import Question
from lvm_probe.probing.questions.results import MIN_PERMUTATIONS_FOR_P
from lvm_probe.probing.questions.rows import Rows, check_same_tokens, select_rows

Measure = Literal["cka", "pwcca", "rsa", "shape"]
MEASURES: tuple[Measure, ...] = get_args(Measure)
MEASURE_NAMES: dict[Measure, str] = {
    "cka": "unbiased linear CKA",
    "pwcca": "PWCCA on held-out speakers",
    "rsa": "RSA across speakers",
    "shape": "Gaussian-Wasserstein shape distance",
}
ROW_NAMES = {"token": "phonemes", "frame": "frames of phonemes"}
BASELINES = ("mel", "mfcc")
"""Features of the audio, which are the same in every table."""

DEFAULT_TOKENS = 400
"""Of the distances of RSA: 80,000 pairs."""
SHAPE_TOKENS, SHAPE_PERMUTATIONS = 150, 3
"""At most; every token takes a decomposition in each turn."""

COLUMNS = [
    "measure", "first", "second", "value", "low", "high", "null", "null_sd", "p_null", "biased", "n", "rows",
    "speakers", "interval", "permutations",
]  # fmt: skip


@dataclass(frozen=True, repr=False, eq=False)
class Similarities:
    """How alike representations are. `print` shows what the command prints.

    Attributes:
        names: of the representations, in the order of the tables and of their layers.
        frame: a row for each measure and pair, see `COLUMNS`. `value` is a similarity, of `shape` a distance; `null` is
            the mean value of independent inputs; `biased` is the CKA that grows with dimensions.
        notes: what was left out, and why.
    """

    names: tuple[str, ...]
    frame: pd.DataFrame
    notes: tuple[str, ...] = ()

    def __repr__(self) -> str:
        return as_text(self)


class _Representation(NamedTuple):
    name: str
    points: Float[np.ndarray, "tokens dims"]
    variances: Float[np.ndarray, "tokens dims"] | None


def similarities(
    tables: Sequence[TokenTable],
    features: Iterable[str | Feature] = (),
    *,
    measures: Sequence[Measure] = ("cka", "pwcca", "rsa"),
    rows: Mapping[str, Any] | None = None,
    permutations: int = 20,
    tokens: int = DEFAULT_TOKENS,
    seed: int = 0,
    progress: Callable[[int, int], None] = lambda done, of: None,
) -> Similarities:
    """Compare features over the phonemes, or the frames, of one table, or of several with the same tokens.

    Args:
        tables: of one corpus and different checkpoints, seeds or random weights.
        features: of every table that has them; by default each layer, and Mel and MFCC, which count once.
        measures: `cka`, `pwcca`, `rsa`, and `shape` for latents with variances.
        rows: which tokens, by the fields of `Question` (`phones`, `speakers`, `keep_silence`, ...), or `rows="frame"`.
        permutations: of the tokens, for the null of independent inputs.
        tokens: drawn for `rsa`, whose distances grow with their square.
        seed: of tokens and permutations.
        progress: called with the number of pairs done and of all pairs, after each.

    Raises:
        InputError: an unknown measure; fewer than two representations; tables of different tokens; a single utterance.

    Example:
        >>> from lvm_probe.probing.features import token_table
        >>> table = token_table.load("latents/cwvae")                                    # doctest: +SKIP
        >>> print(similarities([table], ["z1", "z2", "mel"]))                            # doctest: +SKIP
    """
    if unknown := [name for name in measures if name not in MEASURES]:
        raise InputError(f"measure is {unknown[0]!r}; choose among {', '.join(MEASURES)}")
    for name, number, least in (("permutations", permutations, 0), ("tokens", tokens, 10)):
        if number < least:
            raise InputError(f"{name} is {number}; give {least} or more")
    wanted = tuple(dict.fromkeys(map(Feature.parse, features)))
    question = Question(method="lda", protocol="speaker", features=wanted, **(rows or {}))
    selected = [select_rows(table, question) for table in tables]
    for rest in selected[1:]:
        check_same_tokens(rest.table, selected[0].table)
    found, notes = _representations(selected, wanted, variances="shape" in measures)
    if "shape" in measures and (without := [one.name for one in found if one.variances is None]):
        notes += (f"no shape distance of {', '.join(without)}: no variances are known",)
    first = selected[0]
    speakers = len(first.speakers.names)
    unit, groups = ("speakers", first.speakers.codes) if speakers > 1 else ("utterances", first.utterances.codes)
    if groups.max() == 0:
        raise InputError(f"{first.table.path}: one utterance; similarities are held out by speaker or utterance")
    draws = np.random.default_rng([seed, *b"similarity"])
    orders = [draws.permutation(len(first)) for _ in range(permutations)]
    some = np.sort(draws.permutation(len(first))[:tokens])
    some_orders = [draws.permutation(len(some)) for _ in range(permutations)]
    few = np.sort(draws.permutation(len(first))[:SHAPE_TOKENS])
    few_orders = [draws.permutation(few) for _ in range(min(permutations, SHAPE_PERMUTATIONS))]
    pairs = [
        (measure, one, other)
        for measure in measures
        for one, other in combinations(found, 2)
        if measure != "shape" or (one.variances is not None and other.variances is not None)
    ]
    if not pairs:
        raise InputError("no two representations with variances; name more features, or more tables, of latents")
    results, of_tokens = [], {r.name: distances(r.points[some]) for r in found} if "rsa" in measures else {}
    for done, (measure, one, other) in enumerate(pairs, 1):
        common = {"measure": measure, "first": one.name, "second": other.name, "speakers": speakers}
        common["rows"] = question.row_unit
        match measure:
            case "cka":
                x, y = one.points, other.points
                row = _row(cka_over_groups(x, y, groups), [unbiased_cka(x, y[order]) for order in orders])
                row |= {"biased": biased_cka(x, y), "n": len(first)}
            case "pwcca":
                x, y = one.points, other.points
                null = [float(held_out_pwcca(x, y[order], groups).value[0]) for order in orders]
                row = _row(held_out_pwcca(x, y, groups), null, shared=True) | {"n": len(first)}
            case "rsa":
                x, y, who = of_tokens[one.name], of_tokens[other.name], groups[some]
                row = _row(rsa_over_groups(x, y, who), [rsa(x, y[np.ix_(o, o)], who) for o in some_orders])
                row |= {"n": len(some)}
            case "shape":
                row = _of_shapes(one, other, few, few_orders) | {"n": len(few)}
        known = np.isfinite(row.get("low", np.nan))
        results.append(common | row | {"interval": unit if known else "none"})
        progress(done, len(pairs))
    frame = pd.DataFrame(results).reindex(columns=COLUMNS)
    return Similarities(tuple(r.name for r in found), frame, (*first.notes, *notes))


def _representations(
    selected: Sequence[Rows], wanted: tuple[Feature, ...], *, variances: bool
) -> tuple[list[_Representation], tuple[str, ...]]:
    """Every feature of every table, named after it and after its table where there are several; layers in order."""
    found, notes = list[_Representation](), list[str]()
    baselines: dict[str, _Representation] = {}
    for rows in selected:
        table = rows.table
        usual = (*(f for f in default_features(table) if len(f.parts) == 1 and "_" not in str(f)), Feature(("mfcc",)))
        asked = [feature for feature in wanted or usual if feature.is_among(table.features)]
        for feature in wanted:
            if not any(feature.is_among(other.table.features) for other in selected):
                rows.size(feature)  # raises, with the names that there are
        kept, more = features_to_judge(rows, tuple(dict.fromkeys(asked))) if asked else ((), ())
        notes += more
        for feature in kept:
            points = table.matrix(feature, slice(None)).astype(np.float64)
            parts = tuple(table.features[part].shape[1] for part in feature.parts)
            name = str(feature)
            if name in BASELINES:
                baselines.setdefault(name, _Representation(name, points, None))
                continue
            spread = None
            columns = [f"{part}_var" for part in feature.parts]
            if variances and all(column in table.features for column in columns):
                spread = np.concatenate([table.features[column] for column in columns], axis=1).astype(np.float64)
                spread = spread if np.isfinite(spread).all() else None
            if len(selected) > 1:
                name = f"{table.name} {name}"
            found.append(_Representation(name, of_equal_size(points, parts, about_mean=True), spread))
    found += [baselines[name] for name in BASELINES if name in baselines]
    if len(found) < 2:
        raise InputError(f"{selected[0].table.path}: one feature cannot be compared; name two or more")
    return found, tuple(dict.fromkeys(notes))


def _of_shapes(
    one: _Representation, other: _Representation, rows: np.ndarray, orders: Sequence[np.ndarray]
) -> dict[str, Any]:
    assert one.variances is not None
    assert other.variances is not None
    mine = one.points[rows], one.variances[rows]
    value, *null = (shape_distance(*mine, other.points[order], other.variances[order]) for order in (rows, *orders))
    return {"value": value} | _null(null)


def _row(found: Jackknife, null: list[float], *, shared: bool = False) -> dict[str, Any]:
    """The value, its interval, and what independent inputs score."""
    interval, value = mean_interval(found, shared_training=shared), float(found.value[0])
    row = {"value": value, "low": float(interval.low[0]), "high": float(interval.high[0])} | _null(null)
    if len(null) >= MIN_PERMUTATIONS_FOR_P:
        row["p_null"] = float((1 + sum(score >= value - 1e-12 for score in null)) / (1 + len(null)))
    return row


def _null(null: list[float]) -> dict[str, Any]:
    row: dict[str, Any] = {"permutations": len(null)}
    if null:
        row |= {"null": float(np.mean(null)), "null_sd": float(np.std(null, ddof=1)) if len(null) > 1 else np.nan}
    return row


def matrix(found: Similarities, measure: str) -> pd.DataFrame:
    """The values of one measure as a symmetric table, 1 (of distances 0) on its diagonal, NaN where there is none.

    Example:
        >>> rows = pd.DataFrame({"measure": ["cka"], "first": ["z1"], "second": ["z2"], "value": [0.5]})
        >>> matrix(Similarities(("z1", "z2"), rows), "cka").to_numpy().tolist()
        [[1.0, 0.5], [0.5, 1.0]]
    """
    rows = found.frame[found.frame["measure"] == measure]
    used = [name for name in found.names if name in {*rows["first"], *rows["second"]}]
    table = pd.DataFrame(np.nan, index=used, columns=used)
    for row in rows.to_dict("records"):
        table.loc[row["first"], row["second"]] = table.loc[row["second"], row["first"]] = row["value"]
    for name in used:
        table.loc[name, name] = 0.0 if measure == "shape" else 1.0
    return table


def as_text(found: Similarities) -> str:
    """A table for each measure, and a line for each pair with its interval and null."""
    frame = found.frame
    speakers = int(frame["speakers"].iloc[0])
    parts = [
        f"Similarity of {', '.join(found.names)} over {frame['n'].max():,} {ROW_NAMES[frame['rows'].iloc[0]]} of "
        f"{speakers} speaker{'s' * (speakers != 1)}."
    ]
    for measure in dict.fromkeys(frame["measure"]):
        rows = frame[frame["measure"] == measure]
        shown = pd.DataFrame(
            {
                "pair": [f"{a} - {b}" for a, b in zip(rows["first"], rows["second"], strict=True)],
                "value": rows["value"].map(_number),
                "95 % interval": [
                    as_signed_range(_number(a), _number(b)) for a, b in zip(rows["low"], rows["high"], strict=True)
                ],
                "null": rows["null"].map(_number),
                "p (null)": rows["p_null"].map(as_p),
            }
        )
        if measure == "cka":
            shown["biased CKA"] = rows["biased"].map(_number)
        shown = shown.loc[:, [(shown[name] != "").any() for name in shown]]
        parts.append(
            f"{MEASURE_NAMES[measure]}:\n{matrix(found, measure).to_string(float_format=_number, na_rep='')}\n\n"
            f"{shown.to_string(index=False)}"
        )
    remarks = ["Null: the mean of independent inputs, the tokens of the one permuted."]
    if "cka" in set(frame["measure"]):
        remarks.append("Biased CKA, which is above 0 for independent inputs, only for comparison with other work.")
    if "shape" in set(frame["measure"]):
        remarks.append("The shape distance is 0 for what a rotation makes equal, and at most 1.414.")
    parts.append("\n".join([*remarks, *(f"Note: {note}." for note in found.notes)]))
    return "\n\n".join(parts)


def _number(value: float) -> str:
    return "" if value != value else f"{round(value, 3) + 0.0:.3f}"
