"""A comparison in words: where the probes agree and disagree, what that means, and one table of the differences."""

from __future__ import annotations

import textwrap
from collections.abc import Iterator, Sequence
from itertools import groupby
from typing import TYPE_CHECKING, Any

from lvm_probe.probing.questions.formatting import as_number, as_percent, as_points, as_signed_range
from lvm_probe.probing.questions.probe import METHOD_NAMES, Probe
from lvm_probe.probing.questions.question import TOKEN_TARGETS, UNITS
from lvm_probe.probing.questions.results import COMPARED_WITH

if TYPE_CHECKING:
    import pandas as pd

    from lvm_probe.probing.questions.compare import Comparison

WIDTH = 120
MAX_COLUMNS = 6
"""Probes side by side; more of them stand below."""
LEVEL = 0.05
_OTHERS = {"untrained": "the untrained model", "gender mean": "the gender's mean"}
_FITTED = ("plain distances", "few discriminants", "as many discriminants as there are")
"""What is fitted, by amount."""


def as_text(comparison: Comparison) -> str:
    """What was compared, the sentences, the table of differences, and how to read it."""
    frame = comparison.frame
    several = len(comparison.plan.probes) > 1
    tables = []
    for (target, changes), some in frame.groupby(["target", "changes"], sort=False):
        heads = ", ".join([str(target)] * several + [str(changes)] * bool(changes))
        tables.append(["", *([f"{heads}:"] if heads else []), *_table(some)])
    parts = [
        _wrapped([*_asked(comparison), *([comparison.planned] if comparison.planned else [])]),
        ["", *_wrapped(sentences(comparison))],
        *tables,
        ["", *_wrapped(_legend(comparison))],
        _wrapped([f"Note: {note}." for note in comparison.notes]),
    ]
    return "\n".join(line for lines in parts for line in lines)


def sentences(comparison: Comparison) -> list[str]:
    """For each target what the probes say of Mel and where they disagree what that means; then of the others."""
    said = []
    for target, rows in comparison.frame.groupby("target", sort=False):
        name = f"{target}: " if len(comparison.plan.probes) > 1 else ""
        for (outside, changes), some in rows.groupby(["outside_plan", "changes"]):
            where = f"Outside the plan{f' ({changes})' if changes else ''}: " if outside else ""
            said += [f"{name}{where}{sentence}" for sentence in _of_all(some)]
    return said


def _of_all(rows: pd.DataFrame) -> Iterator[str]:
    """A sentence on each of what is compared with; the first of Mel and MFCC is followed by what it means."""
    explained = False
    few = bool((rows.loc[rows["method"] == "knn", "lda_dims"] > 0).any())
    for other in COMPARED_WITH.values():
        some = rows[rows["compared_with"] == other]
        if some.empty:
            continue
        groups = _groups(some)
        yield f"Compared with {_OTHERS.get(other, other)}: {'; '.join(map(_phrase, groups))}."
        if other in ("Mel", "MFCC") and not explained:
            explained = True
            yield _meaning(groups, other, few=few)


_Verdicts = dict[str, list[Probe]]


def _groups(rows: pd.DataFrame) -> list[tuple[list[str], _Verdicts]]:
    """Features of which all probes say the same, with the probes by what they say."""
    groups: list[tuple[list[str], _Verdicts]] = []
    for feature, some in rows.groupby("feature", sort=False):
        verdicts: _Verdicts = {}
        for row in some.to_dict("records"):
            verdicts.setdefault(_verdict(row), []).append(Probe(row["method"], row["protocol"]))
        for names, known in groups:
            if known == verdicts:
                names.append(str(feature))
                break
        else:
            groups.append(([str(feature)], verdicts))
    return groups


def _verdict(row: dict[Any, Any]) -> str:
    """`better`, `worse`, not `different` or `untested`."""
    if row["p_holm"] != row["p_holm"]:
        return "untested"
    if row["p_holm"] >= LEVEL:
        return "different"
    return "better" if (row["difference"] > 0) != (row["target"] in UNITS) else "worse"


def _phrase(group: tuple[list[str], _Verdicts]) -> str:
    """`z1 and z2 are better by ..., worse by ... and not significantly different by ...`."""
    features, verdicts = group
    words = {
        "better": "better by",
        "worse": "worse by",
        "different": "not significantly different by",
        "untested": "not tested, for lack of speakers, by",
    }
    most = max(verdicts, key=lambda verdict: len(verdicts[verdict]))  # said last, without listing its probes
    said = [*(verdict for verdict in words if verdict in verdicts and verdict != most), most]
    parts = [f"{words[verdict]} {_listed(list(map(str, verdicts[verdict])))}" for verdict in said]
    if len(verdicts[most]) > 2:
        parts[-1] = f"{words[most]} {'all others' if len(said) > 1 else 'every probe'}"
    return f"{_listed(features)} {'is' if len(features) == 1 else 'are'} {', '.join(parts)}"


def _meaning(groups: Sequence[tuple[list[str], _Verdicts]], other: str, *, few: bool) -> str:
    """What it means that the probes disagree about some features, or that they do not.

    Args:
        groups: features with what the probes say of them.
        other: what they are compared with.
        few: whether nearest neighbours are among discriminants.
    """
    reasons: dict[str, list[str]] = {}
    for features, verdicts in groups:
        if "better" in verdicts and "worse" in verdicts:
            reason = _reason(verdicts["better"], verdicts["worse"], other, few=few)
            reasons.setdefault(reason, []).extend(features)
    if reasons:
        return " ".join(f"For {_listed(names)}, {reason}." for reason, names in reasons.items())
    if all(verdicts.keys() <= {"untested"} for _, verdicts in groups):
        return "With so few speakers the differences say nothing about others."
    if any(verdicts.keys() & {"better", "worse"} for _, verdicts in groups):
        return (
            "No two probes contradict each other; where a difference is not significant, its interval says how large "
            "it may still be."
        )
    return "No probe shows a difference; the intervals say how large one may be all the same."


def _reason(better: Sequence[Probe], worse: Sequence[Probe], other: str, *, few: bool) -> str:
    """What sets the probes by which a feature is better than another apart from those by which it is worse."""

    def fit(probe: Probe) -> int:
        return {"abx": 0, "knn": int(few)}.get(probe.method, 2)

    more, less = ([fit(probe) for probe in probes] for probes in (better, worse))
    by_fit = (min(more) > max(less)) - (max(more) < min(less))
    across, within = (all(p.across_speakers for p in better), not any(p.across_speakers for p in better))
    by_speakers = (across and not any(p.across_speakers for p in worse)) - (
        within and all(p.across_speakers for p in worse)
    )
    fitted_more, fitted_less = (_fitted(levels, probes) for levels, probes in ((more, better), (less, worse)))
    match by_fit, by_speakers:
        case 1, 0:
            return (
                f"{other} is beaten with {fitted_more}, not with {fitted_less}: what sets the classes apart lies in "
                "many directions, which have to be learnt from labels"
            )
        case -1, 0:
            return (
                f"{other} is beaten with {fitted_more}, not with {fitted_less}: the classes lie apart as they are, "
                f"but a fit to labels gets more out of {other}"
            )
        case 0, 1:
            cause = ", or takes many tokens to be learnt" if any(more) else ""
            return (
                f"{other} is beaten across speakers, not within one: what sets the classes apart varies less from "
                f"voice to voice than in {other}{cause}"
            )
        case 0, -1:
            return (
                f"{other} is beaten within one speaker, not across speakers: what sets the classes apart varies more "
                f"from voice to voice than in {other}"
            )
        case 0, 0 if all(p.across_speakers and fit(p) == 2 for p in better) and not any(
            p.across_speakers and fit(p) == 2 for p in worse
        ):
            return (
                f"it takes both to beat {other}, many discriminants and the many tokens of other speakers to fit them "
                f"to ({_listed(list(map(str, better)))}); by {_listed(list(map(str, worse)))} {other} is better"
            )
        case 0, 0:
            return "neither what is fitted nor whose tokens train sets the better answers apart from the worse"
    first = "many tokens of other speakers" if by_speakers > 0 else "few tokens of the same speaker"
    second = "few tokens of the same speaker" if by_speakers > 0 else "many tokens of other speakers"
    return (
        f"{other} is beaten with {fitted_more} and {first}, not with {fitted_less} and {second}: both change at once, "
        "so which of the two decides stays open"
    )


def _fitted(levels: Sequence[int], probes: Sequence[Probe]) -> str:
    """`few discriminants (kNN) or plain distances (ABX)`."""
    names: dict[int, list[str]] = {}
    for level, probe in sorted(zip(levels, probes, strict=True), key=lambda pair: -pair[0]):
        names.setdefault(level, []).append(METHOD_NAMES[probe.method])
    return " or ".join(f"{_FITTED[level]} ({', '.join(dict.fromkeys(methods))})" for level, methods in names.items())


def _listed(names: Sequence[str]) -> str:
    return " and ".join([", ".join(names[:-1]), names[-1]] if len(names) > 1 else names)


def _wrapped(lines: Sequence[str]) -> list[str]:
    return [part for line in lines for part in textwrap.wrap(line, WIDTH, break_on_hyphens=False)]


def _asked(comparison: Comparison) -> list[str]:
    """One sentence for each target that says what was compared."""
    said = []
    for target, rows in comparison.frame.groupby("target", sort=False):
        first = rows.iloc[0]
        rows = rows[rows["changes"] == first["changes"]]
        others = [_OTHERS.get(name, name) for name in COMPARED_WITH.values() if name in set(rows["compared_with"])]
        rows_of = f"{_range(rows['n'])} {first['rows']}s"
        rows_of += "" if first["rows"] == "speaker" else f" of {first['speakers']:.0f} speakers"
        classes = "" if target in UNITS else f" in {rows['n_classes'].max():.0f} classes"
        said.append(f"Predicting the {target} from each feature, compared with {_listed(others)}: {rows_of}{classes}.")
    return said


def _table(rows: pd.DataFrame) -> list[str]:
    """The differences of one target: a column for each probe, a row for each feature, its interval below it."""
    codes = list(dict.fromkeys(zip(rows["method"], rows["protocol"], strict=True)))
    probes = sorted((Probe(*code) for code in codes), key=lambda probe: probe.across_speakers)
    blocks = [probes[i : i + MAX_COLUMNS] for i in range(0, len(probes), MAX_COLUMNS)]
    lines: list[str] = []
    for block in blocks:
        lines += [*([""] if lines else []), *_block(rows, block)]
    return lines


def _block(rows: pd.DataFrame, probes: Sequence[Probe]) -> list[str]:
    unit = UNITS.get(rows.iloc[0]["target"])
    marked = bool(rows["outside_plan"].any())
    found = {
        (row["compared_with"], row["feature"], Probe(row["method"], row["protocol"])): row
        for row in rows.to_dict("records")
    }
    own = {(row["feature"], Probe(row["method"], row["protocol"])): row for row in rows.to_dict("records")}

    def result(feature: str, probe: Probe) -> str:
        row = own.get((feature, probe))
        return "" if row is None else as_number(row["mae"]) if unit else as_percent(row["accuracy"])

    def cells(other: str, feature: str, probe: Probe) -> tuple[str, str]:
        row = found.get((other, feature, probe))
        if row is None:
            return "", ""
        number = (lambda value: as_number(value, "+")) if unit else as_points
        mark = f"{'*' if row['p_holm'] < LEVEL else ' '}{'†' if row['outside_plan'] else ' ' * marked}"
        between = as_signed_range(number(row["difference_low"]), number(row["difference_high"]))
        return number(row["difference"]) + mark, between + " " * (1 + marked)

    space = " " * (1 + marked)
    lines: list[list[str]] = [["", *(METHOD_NAMES[p.method] + space for p in probes)]]
    lines += [["feature", *(p.protocol + space for p in probes)]]
    for other in COMPARED_WITH.values():
        features = list(dict.fromkeys(rows[rows["compared_with"] == other]["feature"]))
        if not features:
            continue
        lines += [[""], [f"difference to {_OTHERS.get(other, other)} ({unit or 'points'})"]]
        for feature in features:
            pairs = [cells(other, feature, probe) for probe in probes]
            lines += [[f"  {feature}", *(first for first, _ in pairs)], ["", *(second for _, second in pairs)]]
    lines += [[""], [f"mean error ({unit})" if unit else "accuracy (per cent)"]]
    for feature in dict.fromkeys(rows["feature"]):
        lines += [[f"  {feature}", *(result(feature, probe) + space for probe in probes)]]
    return _aligned(lines, [p.across_speakers for p in probes])


def _aligned(lines: Sequence[Sequence[str]], across: Sequence[bool]) -> list[str]:
    """Lines of cells in columns, headings as they are, below a line that says which columns are across speakers."""
    full = [line for line in lines if len(line) > 1]
    first, *widths = (max(map(len, column)) for column in zip(*full, strict=True))
    top = " " * first
    for is_across, columns in groupby(zip(across, widths, strict=True), key=lambda pair: pair[0]):
        title = "across speakers" if is_across else "within one speaker"
        room = sum(width + 2 for _, width in columns) - 2
        top += "  " + f" {title} ".center(room, "-")
    text = [
        line[0].ljust(first) + "".join(f"  {cell:>{w}}" for cell, w in zip(line[1:], widths, strict=len(line) > 1))
        for line in lines
    ]
    return [line.rstrip() for line in (top, *text)]


def _legend(comparison: Comparison) -> list[str]:
    """How to read the table."""
    frame = comparison.frame
    inside = frame[~frame["outside_plan"].astype(bool)]
    tests, all_tests = int(inside["p"].notna().sum()), int(frame["p"].notna().sum())
    stars = (
        f"* p < {LEVEL} after Holm for the {tests} tests here; below each difference its 95 % interval, not adjusted."
    )
    if all_tests > tests:
        stars = (
            f"* p < {LEVEL} after Holm, for the {tests} tests of the plan, and outside it (†) for all {all_tests}; "
            "below each difference its 95 % interval, not adjusted."
        )
    methods = set(frame["method"])
    neighbours = frame[frame["method"] == "knn"]
    dims, ks = _range(neighbours["lda_dims"]), " or ".join(map(str, sorted(set(neighbours["k"]))))
    ways = {
        "knn": f"kNN: {ks} nearest neighbours {'without LDA' if dims == '0' else f'in {dims} discriminants'}",
        "lda": "LDA: all discriminants",
        "logistic": "logistic: logistic regression",
        "ridge": "ridge: ridge regression, of attributes of speakers within each gender",
        "abx": "ABX: distances alone, nothing is fitted; 50 per cent is chance",
    }
    said = [stars, f"{'. '.join(text for method, text in ways.items() if method in methods)}."]
    tokens = frame[frame["target"].isin(TOKEN_TARGETS)]
    fitted = tokens[tokens["method"] != "abx"]
    if len(fitted):
        n, speakers = fitted.iloc[0]["n"], fitted.iloc[0]["speakers"]
        protocols = set(fitted["protocol"])
        if "utterance" in protocols:
            said.append(f"utterance: fitted to the speaker's other utterances, up to {_about(n / speakers)} tokens.")
        for name in ("speaker", "speaker+prompt"):
            if name in protocols:
                prompt = ", without what is judged as read by them" if name == "speaker+prompt" else ""
                said.append(
                    f"{name}: fitted to the other speakers{prompt}, about {_about(n * (1 - 1 / speakers))} tokens."
                )
    return said


def _range(numbers: pd.Series) -> str:
    """`5`, or `1 to 5` where they differ."""
    return " to ".join(dict.fromkeys(f"{end:,.0f}" for end in (numbers.min(), numbers.max())))


def _about(number: float) -> str:
    """Two digits of a number."""
    digits = max(len(f"{number:.0f}") - 2, 0)
    return f"{round(number, -digits):,.0f}"
