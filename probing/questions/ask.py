"""`ask`: the one way to put a question to a token table."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from dataclasses import replace
from typing import Any

from lvm_probe import InputError
from lvm_probe.probing import parallel
from lvm_probe.probing.features.feature import Feature
from lvm_probe.probing.features.token_table import TokenTable
from lvm_probe.probing.questions import abx, classification, regression
from lvm_probe.probing.questions.plan import Plan, pools_of
from lvm_probe.probing.questions.question import Question
from lvm_probe.probing.questions.results import Answer, confusion_frame, results_frame
from lvm_probe.probing.questions.rows import check_same_tokens, rows_to_judge, size_of

MEL = Feature(("mel",))


def ask(
    table: TokenTable,
    question: Question,
    *,
    untrained: TokenTable | None = None,
    progress: Callable[[int, int], None] = lambda done, of: None,
) -> Answer:
    """Put a question to a token table.

    Args:
        table: the tokens.
        question: what to ask.
        untrained: the table of the same tokens from the same model with random weights.
        progress: called with the number of runs done and of all runs, after each.

    Returns:
        The answer, for every feature with what it takes to judge it: null, majority line, interval, untrained model,
        the protocol `paper` on the same rows, and the difference to Mel.

    Raises:
        InputError: the table has no such rows or features; too few speakers, classes or tokens for what is asked.

    Example:
        >>> from lvm_probe.probing.features import token_table
        >>> table = token_table.load("latents/cwvae")                                    # doctest: +SKIP
        >>> print(ask(table, Question(target="gender", features=("z1", "mel"))))         # doctest: +SKIP
    """
    method: Any = {"ridge": regression, "abx": abx}.get(question.method, classification)
    rows, notes = rows_to_judge(table, question)
    before = None
    if untrained is not None:
        before = rows_to_judge(untrained, question)[0]
        check_same_tokens(before.table, rows.table)
    features = question.features_of(table)
    sizes = {feature: size_of(rows, feature) for feature in features}
    try:
        question = method.resolved(_with_defaults(question, min(sizes.values())), rows, sizes)
    except InputError as error:
        raise InputError(f"{table.path}: {error}") from None
    plan = Plan(question, rows, before, features, pools_of(rows, question))
    done: list[Any] = []
    with contextlib.closing(parallel.run(method.run, plan)) as results:
        for result in results:
            done.append(result)
            progress(len(done), len(plan))

    each = len(plan.pools)
    runs = {feature: done[i * each : (i + 1) * each] for i, feature in enumerate(features)}
    result_rows = [
        row
        for feature in features
        for row in method.result_rows(plan, feature, runs[feature], None if feature == MEL else runs.get(MEL))
    ]
    outcomes = {feature: classification.joined(runs[feature]) for feature in features if method is classification}
    return Answer(question, results_frame(result_rows, question), confusion_frame(outcomes, plan), notes)


def _with_defaults(question: Question, smallest: int) -> Question:
    """The question with the number of permutations, and of dimensions where they are matched to the smallest."""
    permutations = question.permutations
    if permutations is None and question.method != "abx":
        permutations = question.default_permutations
    match_dims = smallest if question.match_dims == 0 else question.match_dims
    return replace(question, permutations=permutations, match_dims=match_dims)
