"""Questions put to a token table: which rows, which labels, which protocol; answers as tidy rows.

A phoneme is asked for within one speaker at a time under `paper` and `nested`; the pooled row (`speaker` empty)
then counts every token, each judged among its own speaker's; of a single speaker there is none. Under `speaker` all
speakers are one pool and a token is judged by the other speakers' only; a speaker's row counts its own tokens.
Attributes of the speaker (gender) have one row per speaker under `speaker`; under `paper` and `nested` one row per
utterance, where the same speaker is among the neighbours.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, Literal

import numpy as np
import pandas as pd
from jaxtyping import Int
from scipy import sparse

from analysis.errors import InputError as AnalysisError
from analysis.knn import checked_ks
from analysis.lda import Shrinkage, checked_dims
from analysis.null import permuted_null
from analysis.outcome import Outcome, Protocol
from analysis.protocols import classify, lda_classify
from analysis.statistics import (
    Interval,
    bootstrap_interval,
    cluster_bootstrap_interval,
    group_means,
    sign_flip_test,
)
from probing import phones
from probing.errors import InputError
from probing.table import TokenTable

COLUMNS = [
    "feature", "target", "protocol", "speaker", "k", "n", "n_classes",
    "accuracy", "balanced_accuracy", "ci_low", "ci_high", "chance", "null_accuracy",
]  # fmt: skip
"""The columns of a result that are fixed; accuracies are fractions."""

MORE_COLUMNS = [
    "table", "method", "lda_dims", "shrinkage", "permutations", "speakers", "interval", "minus_mel", "p_minus_mel",
]  # fmt: skip
DEFAULT_LDA_DIMS = 5
MOST_K = 50

Target = Literal["phoneme", "gender"]
Method = Literal["knn", "lda"]


@dataclass(frozen=True)
class Question:
    """What to ask of a table. `lda_dims` and `ks` of None take 5 dimensions and k up to 50, or what there is."""

    target: Target = "phoneme"
    method: Method = "knn"
    protocol: Protocol = "nested"
    features: tuple[str, ...] = ()
    speakers: tuple[str, ...] = ()
    phones: phones.PhoneSet | None = None
    keep_sa: bool = True
    keep_silence: bool = False
    keep_closures: bool = True
    lda_dims: int | None = None
    ks: tuple[int, ...] | None = None
    shrinkage: Shrinkage = "ledoit-wolf"
    permutations: int = 10
    seed: int = 0


@dataclass(frozen=True)
class _Pool:
    """Points of one probe run, with the speaker's id when it is one speaker's."""

    speaker: str
    rows: Int[np.ndarray, " tokens"]


@dataclass(frozen=True)
class _Run:
    """One probe run and its null accuracy per k, over all points and for each speaker of the pool."""

    pool: _Pool
    outcome: Outcome
    null: np.ndarray
    null_by_speaker: np.ndarray


def default_protocol(target: Target) -> Protocol:
    """`nested` for phonemes, which are asked one speaker at a time; `speaker` for attributes of the speaker."""
    return "nested" if target == "phoneme" else "speaker"


def default_features(table: TokenTable) -> tuple[str, ...]:
    """Each latent layer, all of them together, the states of a model that has no latents, and Mel."""
    latents, states = ([n for n in table.features if n[0] == kind and n[1:].isdigit()] for kind in "zh")
    together = ["+".join(latents)] if len(latents) > 1 else []
    return (*latents, *together, *([] if latents else states), *(["mel"] if "mel" in table.features else []))


def ask(
    table: TokenTable, question: Question, progress: Callable[[int, int], None] = lambda i, n: None
) -> pd.DataFrame:
    """Run the probe for every feature; one row per feature, speaker (and pooled, where there are several) and k.

    Raises InputError when the table has no such rows, too few speakers or classes, or k or the number of
    discriminants is out of range.
    """
    table, labels = _rows_and_labels(table, question)
    names = tuple(dict.fromkeys(question.features)) or default_features(table)
    matrices = {name: _matrix(table, name) for name in names}
    pools = list(_pools(table, question))
    speakers, groups = np.unique(table.tokens["speaker"].to_numpy(dtype=object), return_inverse=True)
    _, codes = np.unique(labels, return_inverse=True)
    try:
        question = _resolved(question, codes, groups, pools, {name: m.shape[1] for name, m in matrices.items()})
    except InputError as error:
        raise InputError(f"{table.path}: {error}") from None
    jobs = [(name, pool) for name in names for pool in pools]
    runs: dict[str, list[_Run]] = {name: [] for name in names}
    arguments = (
        (matrices[name][pool.rows], codes[pool.rows], groups[pool.rows], pool, name, question) for name, pool in jobs
    )
    for i, ((name, _), run) in enumerate(zip(jobs, _parallel(arguments, len(jobs)), strict=True)):
        runs[name].append(run)
        progress(i + 1, len(jobs))
    rows = [row for name in names for row in _rows(table.name, name, question, runs[name], groups, speakers)]
    return _paired_with_mel(pd.DataFrame(rows), runs, groups, question)[COLUMNS + MORE_COLUMNS]


def _matrix(table: TokenTable, feature: str) -> np.ndarray:
    """The feature's points; refuses the variance of a single sample, which is not known."""
    points = table.matrix(feature)
    for part in feature.split("+"):
        if part.endswith("_var") and not np.isfinite(table.features[part]).all():
            raise InputError(
                f"{table.path}: feature '{part}' is unknown, for a single Monte Carlo sample has no variance; "
                "extract into another folder with --samples 2 or more"
            )
    return points


def _rows_and_labels(table: TokenTable, question: Question) -> tuple[TokenTable, np.ndarray]:
    """The rows that the question is about, and their labels."""
    tokens = table.tokens
    dialect = tokens["utterance"].str.contains(r"(?i:_SA[12])$").to_numpy(dtype=bool)
    closures = ((tokens["unit"] == "phoneme") & tokens["label"].isin(phones.CLOSURES)).to_numpy()
    if not question.keep_sa and not dialect.any():
        raise InputError(
            f"{table.path}: no utterance is a dialect sentence (..._SA1, ..._SA2), which only TIMIT has; "
            "leave out --sa drop"
        )
    if not question.keep_closures and not closures.any():
        raise InputError(
            f"{table.path}: no row is a closure of TIMIT's ({' '.join(sorted(phones.CLOSURES))}); "
            "leave out --closures drop"
        )
    kept = np.ones(len(tokens), dtype=bool)
    if question.speakers:
        known = set(tokens["speaker"])
        if strangers := [s for s in question.speakers if s not in known]:
            raise InputError(f"{table.path}: no speaker {', '.join(strangers)}; it has {', '.join(sorted(known))}")
        kept &= tokens["speaker"].isin(question.speakers).to_numpy()
    if not question.keep_sa:
        kept &= ~dialect
    if not question.keep_closures:
        kept &= ~closures
    if not kept.all():
        table = table.select(kept)
    if len(table.tokens) == 0:
        raise InputError(f"{table.path}: no rows are left; widen the selection")
    match question.target:
        case "phoneme":
            table = _of_unit(table, "phoneme")
            if not question.keep_silence:
                table = table.select(~table.tokens["label"].isin(phones.NO_PHONEMES).to_numpy())
            labels = table.tokens["label"].to_numpy(dtype=object)
            if question.phones is not None:
                if strangers := sorted(set(labels) - phones.TIMIT61):
                    raise InputError(
                        f"{table.path}: unknown phone label {strangers[0]!r}, none of the 61 of TIMIT that --phones "
                        "folds; leave --phones out to take the labels as they are"
                    )
                folded = [phones.fold(label, question.phones, silences=True) for label in labels]
                table, labels = (
                    table.select(np.array([label is not None for label in folded], dtype=bool)),
                    np.array([label for label in folded if label is not None], object),
                )
        case "gender":
            by = "speaker" if question.protocol == "speaker" else "utterance"
            table = _averaged(table, by, question.keep_silence)
            table = table.select(table.tokens["gender"].notna().to_numpy())
            labels = table.tokens["gender"].to_numpy(dtype=object)
    if len(table.tokens) == 0:
        raise InputError(f"{table.path}: no rows with a known {question.target} are left; widen the selection")
    return table, labels


def _of_unit(table: TokenTable, unit: str) -> TokenTable:
    rows = (table.tokens["unit"] == unit).to_numpy()
    if not rows.any():
        has = ", ".join(sorted(set(table.tokens["unit"])))
        raise InputError(f"{table.path}: no {unit} rows, only {has}; extract them: probe extract --units {unit}")
    return table.select(rows)


def _averaged(table: TokenTable, by: str, keep_silence: bool) -> TokenTable:
    """One row per speaker or utterance: the mean of its phonemes (else words, utterances) weighted by duration."""
    unit = next(unit for unit in ("phoneme", "word", "utterance") if (table.tokens["unit"] == unit).any())
    rows = table.tokens["unit"] == unit
    if unit == "phoneme" and not keep_silence:
        rows &= ~table.tokens["label"].isin(phones.SILENCES)
    table = table.select(rows.to_numpy())
    groups, first, place = np.unique(table.tokens[by], return_index=True, return_inverse=True)
    seconds = ((table.tokens["end"] - table.tokens["start"]) / table.tokens["sample_rate"]).to_numpy()
    shares = seconds / np.bincount(place, seconds)[place]
    weights = sparse.csr_array((shares, (place, np.arange(len(place)))), shape=(len(groups), len(place)))
    tokens = table.tokens.iloc[first].reset_index(drop=True)
    return replace(table, tokens=tokens, features={k: weights @ v for k, v in table.features.items()})


def _pools(table: TokenTable, question: Question) -> Iterator[_Pool]:
    speakers = table.tokens["speaker"].to_numpy()
    if question.target == "phoneme" and question.protocol != "speaker":
        for speaker in np.unique(speakers):
            yield _Pool(str(speaker), np.flatnonzero(speakers == speaker))
    else:
        yield _Pool("", np.arange(len(speakers)))


def _resolved(
    question: Question, codes: np.ndarray, groups: np.ndarray, pools: Sequence[_Pool], sizes: dict[str, int]
) -> Question:
    """The question with its defaults filled in: dimensions and k that every pool has. Refuses others at once."""
    least_classes = min(len(np.unique(codes[pool.rows])) for pool in pools)
    if least_classes < 2:
        pool = next(p for p in pools if len(np.unique(codes[p.rows])) < 2)
        who = f" of speaker {pool.speaker}" if pool.speaker else ""
        raise InputError(
            f"the target {question.target}{who} has one class among {len(pool.rows)} rows: nothing to tell "
            "apart; choose another target or more speakers"
        )
    dims = question.lda_dims
    if dims is None:
        dims = min(DEFAULT_LDA_DIMS, least_classes - 1, *sizes.values())
    if question.target == "gender" and question.protocol == "speaker":
        counts = np.unique(codes, return_counts=True)[1]
        if counts.min() < 2:
            raise InputError(
                f"{counts.min()} speaker of one gender, {counts.max()} of the other: leaving one out needs two of each"
            )
    if question.protocol == "speaker" and len(np.unique(groups)) < 2:
        raise InputError("protocol speaker leaves one speaker out and needs two or more; use --protocol nested")
    most = {pool.speaker: _most_neighbours(groups[pool.rows], question.protocol) for pool in pools}
    ks = question.ks or tuple(range(1, min(MOST_K, *most.values()) + 1))
    if question.method == "knn":
        for pool in pools:
            for name, size in sizes.items():
                with _named(pool, name):
                    checked_dims(dims, len(np.unique(codes[pool.rows])), size)
                    checked_ks(ks, most[pool.speaker])
    return replace(question, lda_dims=dims, ks=ks)


def _most_neighbours(groups: np.ndarray, protocol: Protocol) -> int:
    """How many others every point may have for neighbours."""
    held_out = np.unique(groups, return_counts=True)[1].max() if protocol == "speaker" else 1
    return int(len(groups) - held_out)


@contextlib.contextmanager
def _named(pool: _Pool, feature: str) -> Iterator[None]:
    """Says in an error of the analysis whose points they were."""
    try:
        yield
    except AnalysisError as error:
        who = f"speaker {pool.speaker}, " if pool.speaker else ""
        raise InputError(f"{who}feature {feature}: {error}") from None


def _parallel(arguments: Iterator[tuple[Any, ...]], jobs: int) -> Iterator[_Run]:
    """Probe runs in order, side by side where there are several to do; the figures do not depend on it."""
    import joblib

    workers = min(jobs, joblib.cpu_count())  # those that this process may use, not the machine's
    if workers == 1:
        yield from (_probe(*a) for a in arguments)
        return
    with joblib.parallel_config("loky", inner_max_num_threads=1):
        tasks = (joblib.delayed(_probe)(*a) for a in arguments)
        yield from joblib.Parallel(n_jobs=workers, return_as="generator")(tasks)


def _probe(
    points: np.ndarray, labels: np.ndarray, groups: np.ndarray, pool: _Pool, feature: str, question: Question
) -> _Run:
    """One probe and its permuted null, with a generator that depends on the seed, the speaker and the feature."""
    seeds = [question.seed, *f"{pool.speaker}/{feature}".encode()]
    protocol, shrinkage = question.protocol, question.shrinkage
    dims, ks = question.lda_dims or 0, question.ks or (1,)
    with _named(pool, feature):
        if question.method == "lda":
            outcome = lda_classify(points, labels, protocol=protocol, shrinkage=shrinkage, groups=groups)
        else:
            outcome = classify(
                points, labels, protocol=protocol, lda_dims=dims, ks=ks, shrinkage=shrinkage, groups=groups
            )
        if not question.permutations:
            unknown = np.full((len(np.unique(groups)), len(outcome.ks)), np.nan)
            return _Run(pool, outcome, unknown[0], unknown)
        null = permuted_null(
            points,
            labels,
            rng=np.random.default_rng(seeds),
            rounds=question.permutations,
            method=question.method,
            protocol=protocol,
            lda_dims=dims,
            ks=ks,
            shrinkage=shrinkage,
            groups=groups,
        )
    by_speaker = null.accuracies if null.group_accuracies is None else null.group_accuracies
    return _Run(pool, outcome, null.accuracy, by_speaker)


def _rows(
    table: str, feature: str, question: Question, runs: list[_Run], groups: np.ndarray, speakers: np.ndarray
) -> list[dict[str, Any]]:
    """Result rows of one feature: every speaker's, then those of all together where there are several."""
    rng = np.random.default_rng([question.seed, *feature.encode()])
    tidy = partial(_tidy, table, feature, question)
    if not runs[0].pool.speaker:
        (run,) = runs
        held_out = groups[run.pool.rows]
        several = len(np.unique(held_out))
        interval = cluster_bootstrap_interval(run.outcome.correct, held_out, rng=rng)
        rows = tidy("", run.outcome, run.null, interval, run.outcome.chance, several)
        if question.target != "phoneme":
            return rows
        singles = []
        for group, null in zip(np.unique(held_out), run.null_by_speaker, strict=True):
            mine = _of_rows(run.outcome, held_out == group)
            singles += tidy(str(speakers[group]), mine, null, _over_tokens(mine, rng), mine.chance, 1)
        return singles + rows
    rows = []
    for run in runs:
        rows += tidy(run.pool.speaker, run.outcome, run.null, _over_tokens(run.outcome, rng), run.outcome.chance, 1)
    if len(runs) > 1:
        whole = _together(runs)
        sizes = np.array([run.outcome.n for run in runs])
        null = np.average([run.null for run in runs], axis=0, weights=sizes)
        chance = float(np.average([run.outcome.chance for run in runs], weights=sizes))
        interval = cluster_bootstrap_interval(whole.correct, np.repeat(np.arange(len(runs)), sizes), rng=rng)
        rows += tidy("", whole, null, interval, chance, len(runs))
    return rows


def _over_tokens(outcome: Outcome, rng: np.random.Generator) -> Interval:
    """The interval over a speaker's tokens; unknown for a single token."""
    if outcome.n == 1:
        unknown = np.full(len(outcome.ks), np.nan)
        return Interval(unknown, unknown, 0.95)
    return bootstrap_interval(outcome.correct, rng=rng)


def _of_rows(outcome: Outcome, rows: np.ndarray) -> Outcome:
    """Some points' share of an outcome."""
    return Outcome(
        outcome.protocol,
        outcome.dims,
        outcome.shrinkage,
        outcome.ks,
        outcome.labels[rows],
        outcome.predictions[rows],
    )


def _together(runs: list[_Run]) -> Outcome:
    """All speakers' tokens, each judged within its own speaker."""
    first = runs[0].outcome
    return Outcome(
        first.protocol,
        first.dims,
        float(np.mean([run.outcome.shrinkage for run in runs])),
        first.ks,
        np.concatenate([run.outcome.labels for run in runs]),
        np.concatenate([run.outcome.predictions for run in runs]),
    )


def _tidy(
    table: str, feature: str, question: Question, speaker: str, outcome: Outcome, null: np.ndarray,
    interval: Interval, chance: float, speakers: int,
) -> list[dict[str, Any]]:  # fmt: skip
    accuracy, balanced = outcome.accuracy, outcome.balanced_accuracy
    return [
        {
            "feature": feature,
            "target": question.target,
            "protocol": question.protocol,
            "speaker": speaker,
            "k": k,
            "n": outcome.n,
            "n_classes": outcome.n_classes,
            "accuracy": accuracy[i],
            "balanced_accuracy": balanced[i],
            "ci_low": interval.low[i],
            "ci_high": interval.high[i],
            "chance": chance,
            "null_accuracy": null[i],
            "table": table,
            "method": question.method,
            "lda_dims": outcome.dims,
            "shrinkage": outcome.shrinkage,
            "permutations": question.permutations,
            "speakers": speakers,
            "interval": "speakers" if speakers > 1 else "tokens",
            "minus_mel": np.nan,
            "p_minus_mel": np.nan,
        }
        for i, k in enumerate(outcome.ks)
    ]


def _paired_with_mel(
    results: pd.DataFrame, runs: dict[str, list[_Run]], groups: np.ndarray, question: Question
) -> pd.DataFrame:
    """Fill in, on pooled rows, the mean over speakers of (accuracy - Mel's) and its sign-flip test."""
    if "mel" not in runs:
        return results
    by_speaker = {name: _speaker_accuracies(some, groups) for name, some in runs.items()}
    if len(by_speaker["mel"]) < 2:
        return results
    rng = np.random.default_rng([question.seed, 1])
    for name, accuracies in by_speaker.items():
        if name == "mel":
            continue
        pooled = (results["feature"] == name) & (results["speaker"] == "")
        tests = [sign_flip_test(d, rng=rng) for d in (accuracies - by_speaker["mel"]).T]
        results.loc[pooled, "minus_mel"] = [test.mean for test in tests]
        results.loc[pooled, "p_minus_mel"] = [test.p_value for test in tests]
    return results


def _speaker_accuracies(runs: list[_Run], groups: np.ndarray) -> np.ndarray:
    """Accuracy of every speaker, (speakers, ks)."""
    if runs[0].pool.speaker:
        return np.array([run.outcome.accuracy for run in runs])
    return group_means(runs[0].outcome.correct, groups[runs[0].pool.rows])
