"""Results in words: what was asked, a table, and sentences that claim no more than the numbers do."""

from __future__ import annotations

import html
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from math import nan
from typing import TYPE_CHECKING, Any

from lvm_probe.probing.questions.formatting import (
    as_bits,
    as_effect,
    as_number,
    as_p,
    as_percent,
    as_points,
    as_range,
    as_signed_range,
)
from lvm_probe.probing.questions.question import SPEAKER_ATTRIBUTES, TOKEN_TARGETS
from lvm_probe.probing.questions.results import COMPARED_WITH, TESTS, at_reported_k, differences, pooled, unit_of

if TYPE_CHECKING:
    import pandas as pd

PRINTED_KS = (1, 5, 10, 20, 50)
"""The k of the table of accuracies over k: fixed beforehand too."""

_TARGETS = {
    "height-cm": "height",
    "f1": "first formant",
    "f2": "second formant",
    "f3": "third formant",
    "f0": "pitch",
    "voiced": "share of voiced time",
    "tilt": "spectral tilt",
    "centroid": "spectral centroid",
}
_METHODS = {
    "knn": "k nearest neighbours",
    "lda": "a linear discriminant classifier",
    "logistic": "logistic regression",
    "mdl": "logistic regression",
    "ridge": "ridge regression",
    "abx cosine": "ABX with cosine distance",
    "abx euclidean": "ABX with Euclidean distance",
}


def as_text(frame: pd.DataFrame, notes: Sequence[str] = ()) -> str:
    """What was asked, what the results say, results and differences at one k, and the accuracy at a few more.

    Args:
        frame: results of one target and method, under one protocol or several, of one table or several.
        notes: what was left out, and why.
    """
    rows = pooled(frame)
    compared = _differences(rows)
    parts = [
        [_asked(rows)],
        _verdicts(rows),
        _aligned(_table(rows, _columns(rows))),
        [_of_differences(rows), *_aligned(compared)] if compared else [],
        _over_k(rows),
        _remarks(rows, notes),
    ]
    return "\n\n".join("\n".join(lines) for lines in parts if lines)


def as_html(frame: pd.DataFrame, notes: Sequence[str] = ()) -> str:
    """The same for a notebook."""
    rows = pooled(frame)
    table = _html_table(_table(rows, _columns(rows)))
    if compared := _differences(rows):
        table += f"<p>{html.escape(_of_differences(rows))}</p>{_html_table(compared)}"
    over_k = f"<pre>{html.escape(chr(10).join(_over_k(rows)))}</pre>" if _over_k(rows) else ""
    verdicts, remarks = ("<br>".join(map(html.escape, said)) for said in (_verdicts(rows), _remarks(rows, notes)))
    return f"<p>{html.escape(_asked(rows))}</p><p>{verdicts}</p>{table}{over_k}<p>{remarks}</p>"


def _html_table(table: list[list[str]]) -> str:
    head, *body = table
    lines = ["".join(f"<th>{html.escape(name)}</th>" for name in head)]
    lines += ["".join(f"<td>{html.escape(cell)}</td>" for cell in row) for row in body]
    return f"<table>{''.join(f'<tr>{line}</tr>' for line in lines)}</table>"


def by_speaker(frame: pd.DataFrame) -> str:
    """Accuracy or R² in per cent, or bits per label, at one k: a row per speaker, a column per feature."""
    rows = at_reported_k(frame).assign(speaker=frame["speaker"].replace("", "all speakers"))
    if "mae" in rows:
        return _wide(rows[rows["gender"] == ""], ["speaker"], "r2")
    return _wide(rows, ["speaker"], "bits" if "bits" in frame else "accuracy")


def by_class(recall: pd.DataFrame) -> str:
    """Recall of every class in per cent at one k: a row per class, a column per protocol and feature."""
    return _wide(at_reported_k(recall), ["label", "n"], "recall")


def _wide(rows: pd.DataFrame, index: list[str], values: str) -> str:
    columns = ["table", "protocol", "feature"] if len(set(rows["table"])) > 1 else ["protocol", "feature"]
    wide = rows.pivot_table(index=index, columns=columns, values=values, sort=False)
    form = as_bits if values == "bits" else as_percent
    return wide.to_string(float_format=form, na_rep="-")


def _table(rows: pd.DataFrame, columns: _Columns) -> list[list[str]]:
    """Heads and cells at the reported k, without empty columns and without rows that have nothing but a name."""
    names = {"table": lambda row: str(row["table"])} if len(set(rows["table"])) > 1 else {}
    names |= _NAMES | (_GENDER if _of_attribute(rows) else {})
    records = at_reported_k(rows).to_dict("records")
    cells = [([name(row) for name in names.values()], [cell(row) for cell in columns.values()]) for row in records]
    lines = [[*named, *values] for named, values in cells if any(values)]
    heads = [*names, *columns]
    used = [i for i in range(len(heads)) if any(line[i] for line in lines)]
    return [[line[i] for i in used] for line in [heads, *lines]]


_GENDER: _Columns = {"gender": lambda row: row["gender"] or "both"}


def _of_attribute(rows: pd.DataFrame) -> bool:
    """Whether the results are numbers of speakers, which are predicted within the gender."""
    return "mae" in rows and rows.iloc[0]["target"] in SPEAKER_ATTRIBUTES


def _over_k(rows: pd.DataFrame) -> list[str]:
    """The accuracy at a few k, a line for every feature and protocol; nothing where one k was asked for."""
    ks = sorted(set(rows["k"]))
    if len(ks) < 2:
        return []
    shown = [k for k in PRINTED_KS if k in ks] or ks[:5]
    key = ["feature", "protocol"] if len(set(rows["table"])) == 1 else ["table", "feature", "protocol"]
    heads = [*key, *(f"k={k}" for k in shown)]
    lines = [
        [
            *(str(name) for name in names),
            *(as_percent(some.set_index("k")["accuracy"].get(k, float("nan"))) for k in shown),
        ]
        for names, some in rows.groupby(key, sort=False)
    ]
    more = f" ({len(shown)} of {len(ks)} k; the results have all)" if len(shown) < len(ks) else ""
    return [f"Accuracy over k{more}:", *_aligned([heads, *lines])]


def _asked(rows: pd.DataFrame) -> str:
    """One sentence that says what was asked."""
    first = rows.iloc[0]
    method = _METHODS[first["method"]]
    if first["method"] == "knn":
        dims, ks = int(first["lda_dims"]), sorted(set(rows["k"]))
        method += f" among {dims} linear discriminant{'s' * (dims != 1)}" if dims else ", without LDA"
        method += f", k={ks[0]}" if len(ks) == 1 else f", k={ks[0]} to {ks[-1]}"
    if first["match_dims"]:
        method += f", features reduced to {first['match_dims']:.0f} dimensions inside the fold"
    if first["context_ms"]:
        contexts = " and ".join(f"{ms:g}" for ms in dict.fromkeys(rows["context_ms"]))
        method += f", with {contexts} ms of context on either side"
    if first["normalise"] != "none":
        method += f", features normalised by {first['normalise']}"
    if "erase" in rows:
        method += f", after what tells the {first['erase']} was erased inside the fold (LEACE)"
    numbers, code = "mae" in rows, "bits" in rows
    target = _TARGETS.get(first["target"], first["target"])
    count = f"{first['n']:,} {first['rows']}s" + ("" if numbers else f" in {first['n_classes']} classes")
    alone = len(set(rows["speaker"])) == 1 and first["speaker"]
    who = f"speaker {first['speaker']}" if alone else f"{first['speakers']:.0f} speakers"
    count += "" if first["rows"] == "speaker" else f" of {who}"
    protocols = [_protocol(rows[rows["protocol"] == name].iloc[0]) for name in dict.fromkeys(rows["protocol"])]
    if code:
        unit = f"in bits per label, the mean over {first['orders']:.0f} orders"
        return f"Coding the {target} online by {method}: {count}; {'; '.join(protocols)}; {unit}."
    unit = f"errors in {first['unit']}" if numbers else "accuracies in per cent"
    return f"Predicting the {target} by {method}: {count}; {'; '.join(protocols)}; {unit}."


def _protocol(row: pd.Series) -> str:
    """What is held out, in words."""
    name, unit = row["protocol"], row["rows"]
    held_out = {
        "paper": "nothing held out of the fit",
        "nested": f"each {unit} held out by itself",
        "utterance": "whole utterances held out",
        "speaker": "whole speakers held out",
        "speaker+prompt": "whole speakers held out, and what they read",
        "transfer": f"fitted to the other table, asked of {row['test']}",
        "within": "A, B and X of one speaker",
        "across": "X of another speaker than A and B",
        "across+prompt": "X of another speaker and sentence than A and B",
    }[name]
    one_at_a_time = row["target"] in TOKEN_TARGETS and name in ("paper", "nested", "utterance")
    return ("one speaker at a time, " if one_at_a_time else "") + f"{held_out} ({name})"


_Columns = dict[str, Callable[[Mapping[Any, Any]], str]]

_NAMES: _Columns = {
    "feature": lambda row: row["feature"],
    "protocol": lambda row: row["protocol"],
    "k": lambda row: str(row["k"]) if row["k"] else "",
}


def _columns(rows: pd.DataFrame) -> _Columns:
    """What is printed of accuracies or errors, by the heads."""
    if "mae" in rows:
        return {
            "R²": lambda row: as_number(row["r2"]),
            "interval of R²": lambda row: as_signed_range(as_number(row["r2_low"]), as_number(row["r2_high"])),
            "R² within speakers": lambda row: as_number(row["r2_within"]),
            "R² of null": lambda row: as_number(row["null_r2"]),
            "error": lambda row: as_number(row["mae"]),
            "95 % interval": lambda row: as_range(as_number(row["mae_low"]), as_number(row["mae_high"])),
            "gender mean" if _of_attribute(rows) else "mean": lambda row: as_number(row["baseline_mae"]),
            "null": lambda row: as_number(row["null_mae"]),
            "p (null)": lambda row: as_p(row["p_null"]),
            "untrained": lambda row: as_number(row["untrained_mae"]),
        }
    if "bits" in rows:
        return {
            "bits per label": lambda row: as_bits(row["bits"]),
            "95 % interval": lambda row: as_range(as_bits(row["bits_low"]), as_bits(row["bits_high"])),
            "compression": lambda row: as_bits(row["compression"]),
            "class shares": lambda row: as_bits(row["baseline_bits"]),
            "null": lambda row: as_bits(row["null_bits"]),
            "p (null)": lambda row: as_p(row["p_null"]),
            "untrained": lambda row: as_bits(row["untrained_bits"]),
            "control labels": lambda row: as_bits(row["control_bits"]),
            "nothing erased": lambda row: as_bits(row.get("unerased_bits", nan)),
            "sham erased": lambda row: as_bits(row.get("sham_bits", nan)),
            "online accuracy": lambda row: as_percent(row["accuracy"]),
        }
    return {
        "accuracy": lambda row: as_percent(row["accuracy"]),
        "95 % interval": lambda row: as_range(as_percent(row["ci_low"]), as_percent(row["ci_high"])),
        "balanced accuracy": lambda row: (
            "" if row["method"].startswith("abx") else as_percent(row["balanced_accuracy"])
        ),
        "chance": lambda row: as_percent(row["chance"]),
        "null": lambda row: as_percent(row["null_accuracy"]),
        "p (null)": lambda row: as_p(row["p_null"]),
        "untrained": lambda row: as_percent(row["untrained_accuracy"]),
        "selectivity": lambda row: as_points(row["selectivity"]),
        "paper protocol": lambda row: as_percent(row["paper_accuracy"]),
        "nothing erased": lambda row: as_percent(row.get("unerased_accuracy", nan)),
        "sham erased": lambda row: as_percent(row.get("sham_accuracy", nan)),
    }


def _difference_columns(rows: pd.DataFrame) -> _Columns:
    """What is printed of differences, in points, bits or the unit of a number, by the heads."""
    head, text = "points", as_points
    if "mae" in rows:
        head, text = str(rows.iloc[0]["unit"]), partial(as_number, sign="+")
    elif "bits" in rows:
        head, text = "bits", partial(as_bits, sign="+")
    return {
        "difference to": lambda row: row["compared_with"],
        head: lambda row: text(row["difference"]),
        "95 % interval": lambda row: as_signed_range(text(row["difference_low"]), text(row["difference_high"])),
        "effect": lambda row: as_effect(row["effect"]),
        "p": lambda row: as_p(row["p_holm"]),
    }


def _differences(rows: pd.DataFrame) -> list[list[str]]:
    """Heads and cells of the differences to baselines and to the untrained model."""
    every = differences(rows)
    if every.empty:
        return []
    return _table(every, _difference_columns(rows))


def _of_differences(rows: pd.DataFrame) -> str:
    """What the table of differences holds."""
    unit = {"": "points", "_bits": "bits per label (less is better)"}.get(unit_of(rows))
    unit = unit or f"{rows.iloc[0]['unit']} of error (less is better)"
    if not (tests := int(rows[rows.columns.intersection(TESTS)].notna().sum().sum())):
        return f"Differences in {unit}."
    adjusted = f"; p after Holm for {tests} tests" if tests > 1 else ""
    return f"Differences in {unit}: unadjusted 95 % intervals; effects in standard deviations of speakers{adjusted}."


_LEFT_ALIGNED = {"table", "feature", "protocol", "gender", "difference to"}


def _aligned(table: list[list[str]]) -> list[str]:
    """The table in columns of equal width; a long head takes two lines."""
    heads, body = table[0], table[1:]
    lines = [_in_two(name) for name in heads]
    top = [[line[0] for line in lines]] if any(line[0] for line in lines) else []
    cells = [*top, [line[1] for line in lines], *body]
    widths = [max(len(row[i]) for row in cells) for i in range(len(heads))]
    align = [str.ljust if name in _LEFT_ALIGNED else str.rjust for name in heads]
    return ["  ".join(a(c, w) for a, c, w in zip(align, row, widths, strict=True)).rstrip() for row in cells]


def _in_two(head: str) -> tuple[str, str]:
    """A head of more than 13 characters in two lines of about the same length; the first is empty otherwise."""
    if len(head) <= 13:
        return "", head
    words = head.split()
    at = min(range(1, len(words)), key=lambda i: max(len(" ".join(words[:i])), len(" ".join(words[i:]))))
    return " ".join(words[:at]), " ".join(words[at:])


def _verdicts(rows: pd.DataFrame) -> list[str]:
    """What the results say: first where the untrained model is as good."""
    verdicts = {"": _accuracy_verdicts, "_bits": _code_verdicts}.get(unit_of(rows), _number_verdicts)
    return _of_untrained(rows) + _of_erasure(rows) + verdicts(rows)


def _remarks(rows: pd.DataFrame, notes: Sequence[str]) -> list[str]:
    """How the figures are to be read, and what was left out."""
    remarks = {"": _accuracy_remarks, "_bits": _code_remarks}.get(unit_of(rows), _number_remarks)
    return remarks(rows) + [f"Note: {note}." for note in notes]


def _where(rows: pd.DataFrame, row: pd.Series) -> str:
    """The protocol of a row, its table where there are several, and its k."""
    table = f"{row['table']}, " if len(set(rows["table"])) > 1 else ""
    return f"{table}{row['protocol']}" + (f", k={row['k']}" if row["k"] else "")


def _of_untrained(rows: pd.DataFrame) -> list[str]:
    """A sentence on the features that the untrained model is as good at, then those on the others."""
    columns: dict[str, tuple[str, str, Callable[[float], str]]] = {
        "": ("accuracy", "untrained_accuracy", as_percent),
        "_bits": ("bits", "untrained_bits", as_bits),
    }
    ours, theirs, text = columns.get(unit_of(rows), ("mae", "untrained_mae", as_number))
    shown = at_reported_k(rows)
    heads = [
        "The trained model is not better than the untrained one for",
        "The trained model is better than the untrained one for",
        "The trained against the untrained model, with too few to test:",
    ]
    said: list[list[str]] = [[], [], []]
    for _, row in shown[shown[theirs].notna()].iterrows():
        if "mae" in rows and row["gender"]:
            continue
        gain, p = (row[theirs] - row[ours]) * (1 if unit_of(rows) else -1), row["p_minus_untrained_holm"]
        figures = f"{text(row[ours])} against {text(row[theirs])}" + (f", {as_p(p, 'p=')}" if p == p else "")
        which = 2 if p != p else int(gain > 0 and p < 0.05)
        said[which].append(f"{row['feature']} ({_where(rows, row)}: {figures})")
    return [f"{head} {'; '.join(cases)}." for head, cases in zip(heads, said, strict=True) if cases]


def _of_erasure(rows: pd.DataFrame) -> list[str]:
    """What the erasure of a concept did to every feature, and how that differs from a sham erasure."""
    if "erase" not in rows:
        return []
    unit = unit_of(rows)
    form, name = (partial(as_bits, sign="+"), "bits") if unit else (as_points, "points")

    def change(row: pd.Series, other: str) -> str:
        p = row[f"p_minus_{other}_holm"]
        return f"{form(row[f'minus_{other}{unit}'])} {name} to {COMPARED_WITH[other]}" + (
            f" ({as_p(p, 'p=')})" if p == p else ""
        )

    return [
        f"{_where(rows, row)}: without what tells the {row['erase']}, {row['feature']} differs by "
        + " and by ".join(
            change(row, other)
            for other in ("unerased", "sham")
            if row[f"minus_{other}{unit}"] == row[f"minus_{other}{unit}"]
        )
        + "."
        for _, row in at_reported_k(rows).iterrows()
    ]


def _accuracy_verdicts(rows: pd.DataFrame) -> list[str]:
    shown = at_reported_k(rows)
    said = [
        f"{_where(rows, row)}: {_against_mel(row)}"
        for _, row in shown.iterrows()
        if row["minus_mel"] == row["minus_mel"]
    ]
    if rows.iloc[0]["rows"] == "speaker":
        said += [
            f"{_where(rows, row)}: {_against_null(row)}"
            for _, row in shown.iterrows()
            if row["p_null"] == row["p_null"]
        ]
    return said


def _accuracy_remarks(rows: pd.DataFrame) -> list[str]:
    shown, first = at_reported_k(rows), rows.iloc[0]
    abx = first["method"].startswith("abx")
    # Nearest neighbours without LDA fit nothing, so nothing leaks.
    fitted = (first["method"] != "knn" or first["lda_dims"] > 0) and not abx
    protocols = set(rows["protocol"])
    said = []
    honest = shown[(shown["protocol"] != "paper") & shown["optimism"].notna()]
    if fitted and len(honest):
        largest = honest.iloc[int(honest["optimism"].abs().argmax())]
        points, which = 100 * largest["optimism"], f"({largest['feature']}, compared with {largest['protocol']})"
        said.append(
            f"On the same rows the paper protocol overestimates accuracy by up to {points:.1f} points {which}."
            if points >= 0
            else f"On the same rows the accuracy under the paper protocol is up to {-points:.1f} points lower {which}."
        )
    if protocols & {"paper", "nested"} and first["target"] in ("gender", "height", "dialect"):
        said.append(
            "Under paper and nested the training rows include the same speaker, in the null too, which permutes whole "
            f"speakers: only accuracy above the null is evidence of {first['target']}."
        )
    if fitted and "paper" in protocols:
        hint = "" if protocols > {"paper"} else "; add another --protocol to see by how much"
        said.append(f"The paper protocol fits LDA to the rows it judges, so its accuracies are biased upward{hint}.")
    said.append(
        "Accuracy is one minus the ABX error rate, every pair of labels counting the same. Nothing is fitted."
        if abx
        else "Chance: always naming the most frequent class."
    )
    said.append(_interval_sentence(rows) + _null_sentence(rows))
    return said


def _interval_sentence(rows: pd.DataFrame) -> str:
    """What the intervals are over."""
    units = [unit for unit in dict.fromkeys(rows["interval"]) if unit != "none"]
    if not units:
        few = rows.iloc[0]["speakers"]
        return f"{'One speaker' if few == 1 else f'{few} speakers'}: too few for intervals and tests."
    return f"Intervals and tests: over {' or '.join(units)}."


def _null_sentence(rows: pd.DataFrame) -> str:
    """How many permutations the null of each protocol is the mean of."""
    counts = rows[rows["permutations"] > 0].groupby("protocol", sort=False)["permutations"].first()
    if counts.empty:
        return ""
    if len(set(counts)) == 1:
        said = f"{counts.iloc[0]:.0f}"
    else:
        said = ", ".join(f"{n:.0f} ({protocol})" for protocol, n in counts.items())
    adjusted = "; p (null) of each by itself" if rows["p_null"].notna().sum() > 1 else ""
    return f" Null: mean over {said} permutation{'s' if counts.max() > 1 else ''} of the labels{adjusted}."


def _against_mel(row: pd.Series) -> str:
    gap, p = 100 * row["minus_mel"], row["p_minus_mel_holm"]
    if p != p:
        verdict = f"{gap:+.1f} points to Mel, with too few {'utterances' if row['speaker'] else 'speakers'} for a test"
    elif p < 0.05:
        ends = as_signed_range(as_points(row["minus_mel_low"]), as_points(row["minus_mel_high"]))
        verdict = f"{abs(gap):.1f} points {'above' if gap > 0 else 'below'} Mel ({ends}, {as_p(p, 'p=')})"
    else:
        verdict = f"not significantly different from Mel ({gap:+.1f} points, p={p:.2f})"
    return f"{row['feature']} gets {as_percent(row['accuracy'])} % right, {verdict}."


def _against_null(row: pd.Series) -> str:
    better = "better" if row["p_null"] < 0.05 else "not significantly better"
    return (
        f"{row['feature']} is {better} than permuted labels ({as_percent(row['accuracy'])} against "
        f"{as_percent(row['null_accuracy'])} on average, {as_p(row['p_null'], 'p=')})."
    )


def _number_verdicts(rows: pd.DataFrame) -> list[str]:
    attribute, unit = _of_attribute(rows), rows.iloc[0]["unit"]
    said = []
    for _, row in rows[rows["gender"] == ""].iterrows():
        where = _where(rows, row)
        if not attribute:
            if row["minus_mel_error"] == row["minus_mel_error"]:
                said.append(f"{where}: {_error_against_mel(row)}")
            continue
        gap, p = row["minus_baseline_error"], row["p_baseline_holm"]
        usual = f"that of the gender's mean {_TARGETS.get(row['target'], row['target'])}"
        verdict = f"{abs(gap):.2f} {unit} {'less' if gap < 0 else 'more'} than {usual}"
        if p != p:
            verdict += f"; {row['speakers']} speakers are too few for a test"
        else:
            verdict += f" ({as_p(p, 'p=')})" if p < 0.05 else f", which may be chance (p={p:.2f})"
        said.append(f"{where}: the error of {row['feature']} is {row['mae']:.2f} {unit}, {verdict}.")
    return said


def _error_against_mel(row: pd.Series) -> str:
    """R² and error of a number of tokens, and whether the error differs from Mel's."""
    gap, p, unit = row["minus_mel_error"], row["p_minus_mel_holm"], row["unit"]
    if p != p:
        verdict = f"{gap:+.2f} {unit} to Mel, with too few speakers for a test"
    elif p < 0.05:
        verdict = f"{abs(gap):.2f} {unit} {'less' if gap < 0 else 'more'} than Mel ({as_p(p, 'p=')})"
    else:
        verdict = f"not significantly different from Mel ({gap:+.2f} {unit}, p={p:.2f})"
    explained = f"{row['feature']} explains {as_percent(row['r2'])} % of the variance"
    return f"{explained}; its error is {row['mae']:.2f} {unit}, {verdict}."


def _number_remarks(rows: pd.DataFrame) -> list[str]:
    if not _of_attribute(rows):
        said = [
            "R²: one minus the squared errors over those of the mean of the training rows. Error: mean absolute error. "
            f"{_interval_sentence(rows)}{_null_sentence(rows)}"
        ]
        if "speaker" in set(rows["protocol"]):
            said.append(
                "Under speaker the null permutes the numbers of each speaker, so what it reaches comes from "
                "recognising the voice; R² within speakers is about each speaker's own mean."
            )
        return said
    said = [f"Errors are mean absolute errors within the gender. {_interval_sentence(rows)}"]
    if set(rows["protocol"]) & {"paper", "nested"}:
        target = _TARGETS.get(rows.iloc[0]["target"], rows.iloc[0]["target"])
        said.append(
            f"Under paper and nested the training rows include the same speaker: their errors say nothing of {target}."
        )
    return said


def _code_verdicts(rows: pd.DataFrame) -> list[str]:
    return [f"{row['protocol']}: {_in_bits(row)}" for _, row in rows.iterrows()]


def _in_bits(row: pd.Series) -> str:
    """Whether a feature shortens the code at all, and whether by more than Mel."""

    def tested(gap: float, p: float, other: str) -> str:
        if p != p:
            return (
                f"{as_bits(gap, '+')} to {other}, with too few {'utterances' if row['speaker'] else 'speakers'} to test"
            )
        if p < 0.05:
            return f"{as_bits(abs(gap))} {'fewer' if gap < 0 else 'more'} than {other} ({as_p(p, 'p=')})"
        return f"not significantly different from {other} ({as_bits(gap, '+')}, {as_p(p, 'p=')})"

    said = [tested(row["minus_baseline_bits"], row["p_baseline_holm"], "class shares alone")]
    if row["minus_mel_bits"] == row["minus_mel_bits"]:
        said.append(tested(row["minus_mel_bits"], row["p_minus_mel_holm"], "Mel"))
    return f"{row['feature']} takes {as_bits(row['bits'])} bits per label, {', '.join(said)}."


def _code_remarks(rows: pd.DataFrame) -> list[str]:
    first = rows.iloc[0]
    return [
        f"The labels of the first block take log2 of {2 ** first['uniform_bits']:.0f} classes, "
        f"{as_bits(first['uniform_bits'])} bits each; compression is that over the bits per label. Class shares: the "
        "same blocks coded by how often each class occurred, without features.",
        "Online accuracy: of probes that were fitted to the blocks before, so lower than where all but one fold train.",
        _interval_sentence(rows) + _null_sentence(rows),
    ]
