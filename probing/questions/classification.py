"""Questions put to a token table: which rows, which labels, which protocol; answers as tidy rows.

A phoneme is asked for within one speaker at a time under `paper` and `nested`; the pooled row (`speaker` empty)
then counts every token, each judged among its own speaker's; of a single speaker there is none. Under `speaker` all
speakers are one pool and a token is judged by the other speakers' only; a speaker's row counts its own tokens.
Attributes of the speaker are one pool under every protocol, see `probing.questions.targets`.

Beside every accuracy stand the majority line, the same protocol on permuted labels, the protocol `paper` on the same
rows, the untrained model where its table is given, and the paired difference to Mel.
"""

from __future__ import annotations

import contextlib
import itertools
import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import numpy as np
import pyarrow as pa

from lvm_probe import InputError
from lvm_probe.analysis.control_tasks import control_accuracy
from lvm_probe.analysis.knn import checked_ks
from lvm_probe.analysis.lda import checked_dims
from lvm_probe.analysis.nulls import permuted_null
from lvm_probe.analysis.predictions import Outcome
from lvm_probe.analysis.protocols import classify, lda_classify
from lvm_probe.analysis.shape_annotations import Float, Int
from lvm_probe.analysis.statistics import (
    Interval,
    cluster_bootstrap_interval,
    group_means,
    sign_flip_test,
    token_bootstrap_interval,
)
from lvm_probe.probing.features.token_table import TokenTable
from lvm_probe.probing.questions import targets
from lvm_probe.probing.questions.question import (
    COLUMNS,
    CONFUSION_COLUMNS,
    LEAST_FOR_P,
    MORE_COLUMNS,
    SHOWN_KS,
    Findings,
    Question,
    feature_names,
    groups_of,
    matrix,
    named,
    rounds,
    share_judged,
    side_by_side,
)
from lvm_probe.probing.questions.targets import Asked, Protocol

DEFAULT_LDA_DIMS = 5
MOST_K = 50


@dataclass(frozen=True)
class _Pool:
    """Points of one probe run, with the speaker's id when it is one speaker's."""

    speaker: str
    rows: Int[np.ndarray, " tokens"]


@dataclass(frozen=True)
class _Beside:
    """A figure to hold beside an accuracy: per k over all points of a run, and for each speaker."""

    whole: Float[np.ndarray, " ks"]
    by_group: Float[np.ndarray, "groups ks"]

    @classmethod
    def of(cls, outcome: Outcome, groups: np.ndarray) -> _Beside:
        """The accuracies of another run on the same points."""
        return cls(outcome.accuracy, group_means(outcome.correct, groups))


@dataclass(frozen=True)
class _Run:
    """One probe run; `beside` holds columns of the result by name, `null` the null's accuracy in every round.

    `null_n` points were judged for it, in all rounds together.
    """

    pool: _Pool
    outcome: Outcome
    beside: dict[str, _Beside]
    null: Float[np.ndarray, "rounds ks"]
    null_n: int


def ask(
    table: TokenTable,
    question: Question,
    progress: Callable[[int, int], None] = lambda i, n: None,
    *,
    untrained: TokenTable | None = None,
) -> Findings:
    """Run the probe for every feature; one row per feature, speaker (and pooled, where there are several) and k.

    Args:
        table: the tokens.
        question: what to ask.
        progress: called with (done, all) after every run.
        untrained: the table of the same tokens from the same model with random weights.

    Raises:
        InputError: the table has no such rows, too few speakers or classes, or k or the number of discriminants
            is out of range.
    """
    found, notes = _askable(targets.asked(table, question), question)
    before = None
    if untrained is not None:
        before = targets.same_rows(_askable(targets.asked(untrained, question), question)[0], found)
    names = feature_names(table, question)
    sizes = {name: matrix(found, name, "none", slice(0)).shape[1] for name in names}
    speakers, groups = groups_of(found.table)
    pools = list(_pools(speakers, groups, question))
    classes, codes = np.unique(found.labels.astype(str), return_inverse=True)
    codes = codes.astype(np.int32)  # predictions are many, and have a way to go
    try:
        share = share_judged(question, len(codes))
        question = _resolved(question, codes, groups, pools, sizes)
    except InputError as error:
        raise InputError(f"{table.path}: {error}") from None
    jobs = [(name, pool) for name in names for pool in pools]
    runs: dict[str, list[_Run]] = {name: [] for name in names}

    twins = {name: before for name in names if before is not None and _has_other(before.table, found.table, name)}

    def arguments(job: int) -> tuple[Any, ...]:
        name, pool = jobs[job]
        rows = pool.rows
        points = partial(matrix, feature=name, normalise=question.normalise, rows=rows)
        return (
            points(found), codes[rows], groups[rows], found.types[rows], pool, name, question,
            points(twins[name]) if name in twins else None, None if share == 1 else math.ceil(share * len(rows)),
        )  # fmt: skip

    seconds = sum(_seconds(question, share, pool, len(speakers), sizes[name]) for name, pool in jobs)
    told, confused = [], []
    with contextlib.closing(side_by_side(_probe, arguments, len(jobs), seconds)) as running:
        for name in names:  # while other processes, where there are any, are at the next features
            for run in itertools.islice(running, len(pools)):
                runs[name].append(run)
                progress(sum(map(len, runs.values())), len(jobs))
            about = {"table": table.name, "feature": name, "target": question.target, "method": question.method}
            about |= {"protocol": question.protocol}
            described = about | {"dims": _reduced(question, sizes[name])}
            together = _together(runs[name])
            told.append(_columns(_rows(described, question, runs[name], together, groups, speakers)))
            confused.append(_confusion(about, together, classes))
            import pandas as pd  # not before: it takes as long as a feature, and the others are under way

    columns = {name: np.concatenate([some[name] for some in told]) for name in COLUMNS + MORE_COLUMNS}
    _pair_with_mel(columns, runs, groups, question)
    return Findings(pd.DataFrame(columns), pa.concat_tables(confused).to_pandas(), notes)


def _askable(found: Asked, question: Question) -> tuple[Asked, tuple[str, ...]]:
    """Without the classes of a single speaker, where that speaker is left out: nobody else could know them."""
    if question.protocol != "speaker" or question.target not in (*targets.ATTRIBUTES, "word"):
        return found, ()
    classes, codes = np.unique(found.labels.astype(str), return_inverse=True)
    speakers, groups = groups_of(found.table)
    pairs = np.unique(codes * len(speakers) + groups)
    alone = np.bincount(pairs // len(speakers)) < 2
    of_one, kept = classes[alone], ~alone[codes]
    if len(of_one) == 0 or len(classes) < 2:
        return found, ()
    if len(classes) - len(of_one) < 2:
        raise InputError(
            f"{found.table.path}: {question.target} {', '.join(of_one)} is of 1 speaker, and leaving that "
            "one out needs 2 of each of two classes; give more speakers, or use --protocol nested"
        )
    shown = ", ".join(of_one[:8]) + (" ..." if len(of_one) > 8 else "")
    note = f"left out, for only one speaker has it: {question.target} {shown} ({int((~kept).sum())} rows)"
    return Asked(found.table.select(kept), found.labels[kept], found.types[kept]), (note,)


def _has_other(before: TokenTable, table: TokenTable, feature: str) -> bool:
    """Whether the untrained model has the feature too, and it depends on the model."""
    parts = feature.split("+")
    if not set(parts) <= set(before.features):
        return False
    return not all(np.array_equal(before.features[part], table.features[part]) for part in parts)


def _pools(speakers: np.ndarray, groups: np.ndarray, question: Question) -> Iterator[_Pool]:
    if question.target in targets.TOKEN_TARGETS and question.protocol != "speaker":
        for group, speaker in enumerate(speakers):
            yield _Pool(str(speaker), np.flatnonzero(groups == group))
    else:
        yield _Pool("", np.arange(len(groups)))


def _reduced(question: Question, size: int) -> int:
    """Dimensions of a feature after reduction."""
    return size if question.match_dims is None else min(size, question.match_dims)


def _resolved(
    question: Question, codes: np.ndarray, groups: np.ndarray, pools: list[_Pool], sizes: dict[str, int]
) -> Question:
    """The question with its defaults filled in: dimensions and k that every pool has. Refuses others at once."""
    n_classes = {pool.speaker: int(np.count_nonzero(np.bincount(codes[pool.rows]))) for pool in pools}
    least_classes = min(n_classes.values())
    if least_classes < 2:
        pool = next(p for p in pools if n_classes[p.speaker] < 2)
        who = f" of speaker {pool.speaker}" if pool.speaker else ""
        raise InputError(
            f"the target {question.target}{who} has one class among {len(pool.rows)} rows: nothing to tell "
            "apart; choose another target or more speakers"
        )
    if question.match_dims is not None:
        if question.match_dims < 0:
            raise InputError(f"--match-dims {question.match_dims}: give 1 or more, or no number for the smallest")
        question = replace(question, match_dims=question.match_dims or min(sizes.values()))
    if question.normalise != "none" and question.row != "token":
        raise InputError(
            f"--normalise {question.normalise}: takes out what tells {question.row}s apart; leave it out for the "
            f"target {question.target}"
        )
    sizes = {name: _reduced(question, size) for name, size in sizes.items()}
    dims = question.lda_dims
    if dims is None:
        dims = min(DEFAULT_LDA_DIMS, least_classes - 1, *sizes.values())
    if question.protocol == "speaker" and len(np.unique(groups)) < 2:
        raise InputError("protocol speaker leaves one speaker out and needs two or more; use --protocol nested")
    permutations = rounds(question, len(codes))
    question = replace(question, permutations=permutations, lda_dims=dims if question.method == "knn" else None)
    if question.method != "knn":
        return replace(question, ks=(0,))
    most = {pool.speaker: _most_neighbours(groups[pool.rows], question.protocol) for pool in pools}
    ks = question.ks or tuple(range(1, min(MOST_K, *most.values()) + 1))
    for pool in pools:
        for name, size in sizes.items():
            with named(pool.speaker, name):
                checked_dims(dims, n_classes[pool.speaker], size)
                checked_ks(ks, most[pool.speaker])
    return replace(question, ks=ks)


def _most_neighbours(groups: np.ndarray, protocol: Protocol) -> int:
    """How many others every point may have for neighbours."""
    held_out = np.unique(groups, return_counts=True)[1].max() if protocol == "speaker" else 1
    return int(len(groups) - held_out)


def _probe(
    points: np.ndarray, labels: np.ndarray, groups: np.ndarray, types: np.ndarray, pool: _Pool, feature: str,
    question: Question, untrained: np.ndarray | None, judged: int | None,
) -> _Run:  # fmt: skip
    """One probe and what stands beside it, with a generator that depends on the seed, the speaker and the feature.

    The null judges so many rows a round.
    """
    rng = np.random.default_rng([question.seed, *f"{pool.speaker}/{feature}".encode()])
    beside: dict[str, _Beside] = {}
    with named(pool.speaker, feature):
        probe = partial(_outcome, points, groups=groups, question=question)
        outcome = probe(labels)
        null_rounds, null_n = np.empty((0, len(outcome.ks))), 0
        if question.permutations:
            null = permuted_null(outcome, probe, rng=rng, rounds=question.permutations, judged=judged)
            null_rounds, null_n = null.accuracies, null.judged
            assert null.group_accuracies is not None
            beside["null_accuracy"] = _Beside(null.accuracy, null.group_accuracies)
        if question.protocol != "paper":
            paper = _outcome(points, labels, groups=groups, question=replace(question, protocol="paper"))
            beside["paper_accuracy"] = _Beside.of(paper, groups)
        if untrained is not None:
            beside["untrained_accuracy"] = _Beside.of(
                _outcome(untrained, labels, groups=groups, question=question), groups
            )
        if question.control and len(np.unique(types)) < len(types):
            controls = control_accuracy(labels, types, probe, rng=rng, rounds=question.control)
            unknown = np.full((len(np.unique(groups)), len(outcome.ks)), np.nan)
            beside["control_accuracy"] = _Beside(controls.accuracy, unknown)
    return _Run(pool, replace(outcome, neighbours=None), beside, null_rounds, null_n)  # it may have a way to go


def _seconds(question: Question, share: float, pool: _Pool, speakers: int, size: int) -> float:
    """About what one probe run takes, whose null judges a share of the rows; where it is not known, infinitely much."""
    if question.method == "logistic":
        return np.inf
    rows = len(pool.rows)
    fits = 1 + share * (question.permutations or 0) + question.control
    folds = {"paper": 1, "nested": rows, "speaker": speakers}[question.protocol]
    together = question.method == "knn" and folds == rows and question.match_dims is None
    fit = 5e-5 + 5e-7 * size if together else 3e-4 + 5e-6 * size
    return fits * (folds * fit * (question.lda_dims != 0) + 5e-9 * rows**2 * (question.lda_dims or size))


def _outcome(
    points: np.ndarray, labels: np.ndarray, *, groups: np.ndarray, question: Question, judged: np.ndarray | None = None
) -> Outcome:
    """The probe that was asked for, on these labels; of these rows, where told."""
    protocol = targets.analysis_protocol(question.protocol)
    match_dims, shrinkage = question.match_dims, question.shrinkage
    match question.method:
        case "knn":
            return classify(
                points, labels, protocol=protocol, lda_dims=question.lda_dims or 0, ks=question.ks or (1,),
                shrinkage=shrinkage, groups=groups, match_dims=match_dims, judged=judged,
            )  # fmt: skip
        case "lda":
            return lda_classify(
                points, labels, protocol=protocol, shrinkage=shrinkage, groups=groups, match_dims=match_dims,
                judged=judged,
            )  # fmt: skip
        case "logistic":
            from lvm_probe.analysis.logistic import logistic_classify  # takes long to import

            return logistic_classify(points, labels, protocol=protocol, groups=groups, match_dims=match_dims)
    raise InputError(f"{question.method} does not name classes; use knn, lda or logistic for {question.target}")


def _rows(
    described: dict[str, Any], question: Question, runs: list[_Run], together: Outcome, groups: np.ndarray,
    speakers: np.ndarray,
) -> list[dict[str, Any]]:  # fmt: skip
    """Result rows of one feature, as `_tidy` has them: every speaker's, then all together where there are several."""
    rng = np.random.default_rng([question.seed, *described["feature"].encode()])
    tidy = partial(_tidy, described, question)
    if not runs[0].pool.speaker:
        (run,) = runs
        held_out = groups[run.pool.rows]
        several = len(np.unique(held_out))
        interval = _over_groups(run.outcome, held_out, rng)
        whole = {name: figure.whole for name, figure in run.beside.items()}
        p_null = _p_null(run.outcome, run.null)
        rows = [tidy("", run.outcome, whole, interval, run.outcome.chance, several, run.null_n, p_null)]
        if question.target not in targets.TOKEN_TARGETS:
            return rows
        singles = []
        for i, group in enumerate(np.unique(held_out)):
            mine = run.outcome.of_rows(held_out == group)
            beside = {name: figure.by_group[i] for name, figure in run.beside.items()}
            null_n = mine.n * (question.permutations or 0)
            singles.append(tidy(str(speakers[group]), mine, beside, _over_tokens(mine), mine.chance, 1, null_n))
        return singles + rows
    rows = []
    for run in runs:
        whole = {name: figure.whole for name, figure in run.beside.items()}
        interval = _over_tokens(run.outcome)
        p_null = _p_null(run.outcome, run.null)
        rows.append(tidy(run.pool.speaker, run.outcome, whole, interval, run.outcome.chance, 1, run.null_n, p_null))
    if len(runs) > 1:
        sizes = np.array([run.outcome.n for run in runs], dtype=np.float64)

        def weighted(figures: list[Any]) -> Any:
            return np.average(figures, axis=0, weights=sizes)

        names = [name for name in runs[0].beside if all(name in run.beside for run in runs)]
        beside = {name: weighted([run.beside[name].whole for run in runs]) for name in names}
        chance = float(weighted([run.outcome.chance for run in runs]))
        interval = _over_groups(together, np.repeat(np.arange(len(runs)), sizes.astype(int)), rng)
        p_null = _p_null(together, weighted([run.null for run in runs]))
        null_n = sum(run.null_n for run in runs)
        rows.append(tidy("", together, beside, interval, chance, len(runs), null_n, p_null))
    return rows


def _columns(rows: list[dict[str, Any]]) -> dict[str, np.ndarray]:
    """Result rows as columns, a value for every k."""
    return {
        name: np.concatenate([np.broadcast_to(row[name], len(row["k"])) for row in rows])
        for name in COLUMNS + MORE_COLUMNS
    }


def _p_null(outcome: Outcome, null: Float[np.ndarray, "rounds ks"]) -> Float[np.ndarray, " ks"]:
    """How often permuted labels do at least as well, the true ones counted among them (so never zero).

    Unknown where even the best of labels could not get below 1 in 20.
    """
    if len(null) < LEAST_FOR_P:
        return np.full(len(outcome.ks), np.nan)
    return (1 + (null >= outcome.accuracy - 1e-12).sum(axis=0)) / (1 + len(null))


def _over_groups(outcome: Outcome, groups: np.ndarray, rng: np.random.Generator) -> Interval:
    """The interval over speakers; over the tokens where there is one speaker."""
    if len(np.unique(groups)) < 2:
        return _over_tokens(outcome)
    return cluster_bootstrap_interval(outcome.correct, groups, rng=rng)


def _over_tokens(outcome: Outcome) -> Interval:
    """The interval over a speaker's tokens; unknown for a single token."""
    if outcome.n == 1:
        unknown = np.full(len(outcome.ks), np.nan)
        return Interval(unknown, unknown, 0.95)
    return token_bootstrap_interval(outcome.correct)


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
    described: dict[str, Any], question: Question, speaker: str, outcome: Outcome, beside: dict[str, np.ndarray],
    interval: Interval, chance: float, speakers: int, null_n: int, p_null: np.ndarray | None = None,
) -> dict[str, Any]:  # fmt: skip
    """The rows of one speaker or of all, one a k, as columns; a column that is one value has it in every row."""
    accuracy, balanced, n_classes = outcome.accuracy, outcome.balanced_accuracy, outcome.n_classes
    unknown = np.full(len(outcome.ks), np.nan)
    null, paper, untrained, control = (
        beside.get(f"{name}_accuracy", unknown) for name in ("null", "paper", "untrained", "control")
    )
    return described | {
        "speaker": speaker,
        "k": outcome.ks,
        "n": outcome.n,
        "n_classes": n_classes,
        "accuracy": accuracy,
        "balanced_accuracy": balanced,
        "ci_low": interval.low,
        "ci_high": interval.high,
        "chance": chance,
        "null_accuracy": null,
        "p_null": unknown if p_null is None else p_null,
        "paper_accuracy": paper,
        "optimism": paper - accuracy,
        "untrained_accuracy": untrained,
        "control_accuracy": control,
        "selectivity": accuracy - control,
        "minus_mel": np.nan,
        "p_minus_mel": np.nan,
        "rows": question.row,
        "match_dims": question.match_dims or 0,
        "normalise": question.normalise,
        "lda_dims": outcome.dims,
        "shrinkage": outcome.shrinkage,
        "permutations": question.permutations,
        "null_n": null_n,
        "speakers": speakers,
        "interval": "speakers" if speakers > 1 else "tokens",
    }


def _confusion(about: dict[str, Any], outcome: Outcome, classes: np.ndarray) -> pa.Table:
    """How often each class was taken for each, at the ks that are shown: by Arrow, which is quicker with text."""
    shown = [i for i, k in enumerate(outcome.ks) if k in SHOWN_KS] or [len(outcome.ks) - 1]
    shape = (len(shown), len(classes), len(classes))
    pairs = np.ravel_multi_index((np.arange(len(shown))[:, None], outcome.labels, outcome.predictions.T[shown]), shape)
    pairs, counts = np.unique(pairs, return_counts=True)
    place, label, predicted = np.unravel_index(pairs, shape)
    names = pa.array(classes)
    found = {"k": np.take(outcome.ks, shown)[place], "label": names.take(label), "predicted": names.take(predicted)}
    same = {name: pa.repeat(value, len(pairs)) for name, value in about.items()}
    return pa.table(same | found | {"count": counts}).select(CONFUSION_COLUMNS)


def _pair_with_mel(
    columns: dict[str, np.ndarray], runs: dict[str, list[_Run]], groups: np.ndarray, question: Question
) -> None:
    """Fill in, on pooled rows, the mean over speakers of (accuracy - Mel's) and its sign-flip test."""
    if "mel" not in runs:
        return
    by_speaker = {name: _speaker_accuracies(some, groups) for name, some in runs.items()}
    if len(by_speaker["mel"]) < 2:
        return
    rng = np.random.default_rng([question.seed, 1])
    for name, accuracies in by_speaker.items():
        if name == "mel":
            continue
        pooled = (columns["feature"] == name) & (columns["speaker"] == "")
        test = sign_flip_test(accuracies - by_speaker["mel"], rng=rng)
        columns["minus_mel"][pooled], columns["p_minus_mel"][pooled] = test.mean, test.p_value


def _speaker_accuracies(runs: list[_Run], groups: np.ndarray) -> np.ndarray:
    """Accuracy of every speaker, (speakers, ks)."""
    if runs[0].pool.speaker:
        return np.array([run.outcome.accuracy for run in runs])
    return group_means(runs[0].outcome.correct, groups[runs[0].pool.rows])
