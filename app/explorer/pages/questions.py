"""The page 'Questions': what the kNN knows, beside what it takes to believe it; and who is taken for whom."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np
import pandas as pd
import streamlit as st

from lvm_probe import InputError
from lvm_probe.app.explorer import question_plots
from lvm_probe.app.explorer.address import recalled, remember
from lvm_probe.app.explorer.cache import Memory, digest
from lvm_probe.app.explorer.inputs import Given
from lvm_probe.app.explorer.neighbours import Asked, judged
from lvm_probe.app.explorer.projections import questions_of
from lvm_probe.app.explorer.token_card import heard, speaker_of
from lvm_probe.app.explorer.views import QuestionsView, plain
from lvm_probe.figures import accuracy_over_k, confusion, style
from lvm_probe.probing.features.feature import Feature, default_features
from lvm_probe.probing.features.token_table import TokenTable
from lvm_probe.probing.questions.ask import ask
from lvm_probe.probing.questions.question import (
    PHONEME_TARGETS,
    PROTOCOLS,
    SPEAKER_ATTRIBUTES,
    Protocol,
    Question,
    default_protocol,
)
from lvm_probe.probing.questions.results import SHOWN_KS, Answer, recall_of
from lvm_probe.probing.questions.rows import select_rows

PERMUTATIONS = 3
"""Of the null: enough to see where it lies; `probe knn` makes more."""

_TITLES = {
    "paper": "paper: LDA has seen the token (leaks)",
    "nested": "nested: LDA fitted without the token",
    "utterance": "utterance: LDA fitted without the utterance",
    "speaker": "speaker: LDA fitted without the speaker",
}
_STATE = "questions view"
_CHART = "questions-confusion"
_SAID, _TAKEN = "questions said", "questions taken"
_ERRORS = InputError


@st.cache_resource(show_spinner=False)
def _memory() -> Memory:
    return Memory(40)


def show(given: Given) -> None:
    """The whole page."""
    view = recalled(QuestionsView, _STATE)
    st.title("Questions")
    st.markdown(
        "What do the features know? Each token is taken for what most of its **k nearest neighbours** are. Hold every "
        "curve against its **null** (dotted: the same on permuted labels) and the **majority line** (grey dashes)."
    )
    view = _controls(given, view)
    remember(view, _STATE)
    if not view.tables or not view.features or not view.protocols:
        st.info("Choose at least one table, one feature and one protocol in the sidebar.")
        return
    found = _found(given, view)
    if found is not None:
        _answer(given, view, found)


def _controls(given: Given, view: QuestionsView) -> QuestionsView:
    with st.sidebar:
        names = list(given.tables)
        tables: Sequence[str] = names[:1]
        if len(names) > 1:
            kept = [name for name in view.tables if name in names]
            tables = st.multiselect("Tables", names, default=kept or names[:1], key="questions Tables")
        chosen = [given.tables[name] for name in tables or names[:1]]
        features = list(dict.fromkeys(name for table in chosen for name in _features(table)))
        usual = [features[0], *(["mel"] if "mel" in features and features[0] != "mel" else [])]
        picked = st.multiselect(
            "Features", features, default=[name for name in view.features if name in features] or usual,
            format_func=lambda name: style.feature_look(name).label, key="questions Features",
        )  # fmt: skip
        asks = _questions(chosen[0])
        target = st.selectbox(
            "Ask for", asks, index=asks.index(view.ask) if view.ask in asks else 0, key="questions Ask"
        )
        unfit = "speaker" if target == "speaker" else "utterance" if target in SPEAKER_ATTRIBUTES else ""
        possible = [protocol for protocol in PROTOCOLS if protocol != unfit]
        usual_protocol = default_protocol(target)  # type: ignore[arg-type]
        kept_protocols = [p for p in view.protocols if p in possible] if target == view.ask else []
        protocols = st.multiselect(
            "Protocols", possible, default=kept_protocols or [usual_protocol], key=f"protocols {target}",
            help="How tokens are held out. `paper` fits LDA on all of them, as Havtorn et al. did, which leaks. "
            "The others fit it again without each token (`nested`), utterance or speaker.",
        )  # fmt: skip
        phones = view.phones
        if target in PHONEME_TARGETS:
            sets = ["as labelled", "timit61", "timit48", "timit39"]
            at = sets.index(phones) if phones in sets else 0
            phones = st.selectbox("Phone set", sets, index=at, key="questions Phones")
    return replace(
        view, tables=tuple(tables), features=tuple(picked), ask=target, protocols=tuple(protocols), phones=phones
    )


def _features(table: TokenTable) -> list[str]:
    return list(
        dict.fromkeys(
            [
                *map(str, default_features(table)),
                *(n for n in table.features if not n.endswith("_var")),
            ]
        )
    )


def _questions(table: TokenTable) -> list[str]:
    """What can be asked of any unit that the table has."""

    def make() -> list[str]:
        units = [unit for unit in ("phoneme", "word", "utterance") if (table.tokens["unit"] == unit).any()]
        asks = [ask for unit in units for ask in questions_of(table.tokens[table.tokens["unit"] == unit], unit)]
        return list(dict.fromkeys(asks)) or ["speaker"]

    return _memory().get(("questions", table.path), make)


def _question(view: QuestionsView, table: TokenTable, protocol: Protocol) -> Question:
    folded = view.ask in PHONEME_TARGETS and view.phones != "as labelled"
    return Question(
        target=view.ask,  # type: ignore[arg-type]
        protocol=protocol,
        phones=view.phones if folded else None,  # type: ignore[arg-type]
        features=tuple(f for f in map(Feature.parse, view.features) if f.is_among(table.features)),
        permutations=PERMUTATIONS,
    )


def _found(given: Given, view: QuestionsView) -> list[Answer] | None:
    """The answers: those kept from before, or on demand; None, and a button or a sentence, where there are none yet."""
    asked = [
        (given.tables[name], _question(view, given.tables[name], protocol))  # type: ignore[arg-type]
        for name in view.tables
        for protocol in view.protocols
    ]
    asked = [(table, question) for table, question in asked if question.features]
    keys = [("answer", str(table.path), question) for table, question in asked]
    todo = [key for key in keys if key not in _memory()]
    if todo:
        what = f"{len(view.features)} feature{'s' if len(view.features) > 1 else ''} × {len(todo)} " + (
            "protocol" if len(view.tables) == 1 else "table and protocol"
        )
        st.info(f"Not asked yet: {what}{'s' if len(todo) > 1 else ''}. It takes seconds to a few minutes, once.")
        if not st.button("Ask", type="primary", icon=":material/play_arrow:"):
            return None
    findings = []
    bar = st.progress(0.0, "Asking") if todo else None
    try:
        for i, (key, (table, question)) in enumerate(zip(keys, asked, strict=True)):

            def told(done: int, of: int, i: int = i) -> None:
                if bar is not None:
                    bar.progress((i + done / of) / len(keys), f"Asking: {done} of {of} runs, {i + 1} of {len(keys)}")

            named = replace(table, name=next(n for n, t in given.tables.items() if t is table))
            findings.append(_memory().get(key, partial(ask, named, question, progress=told)))
    except _ERRORS as error:
        st.warning(plain(error))
        return None
    finally:
        if bar is not None:
            bar.empty()
    if todo:
        st.rerun()  # without the button
    return findings


def _answer(given: Given, view: QuestionsView, findings: list[Answer]) -> None:
    results = pd.concat([found.frame for found in findings], ignore_index=True)
    counts = pd.concat([found.confusion for found in findings], ignore_index=True)
    dark = st.context.theme.type == "dark"
    pooled = _pooled(results)
    protocols = [protocol for protocol in PROTOCOLS if protocol in set(pooled["protocol"])]
    st.subheader("Accuracy over k")
    st.plotly_chart(question_plots.curves(pooled, protocols, _TITLES, dark=dark), key="questions-curves",
                    config={"displayModeBar": False}, alt="Accuracy over k")  # fmt: skip
    st.caption(_said(pooled, protocols))
    for note in dict.fromkeys(note for found in findings for note in found.notes):
        st.caption(plain(note))
    st.download_button("Save as print figure (PDF)", lambda: style.pdf(accuracy_over_k.panels(results)),
                       f"{view.ask}-over-k.pdf", "application/pdf", on_click="ignore")  # fmt: skip
    ks = sorted(set(SHOWN_KS) & set(counts["k"])) or sorted(set(counts["k"]))
    k = st.segmented_control("k of all that follows", ks, default=view.k if view.k in ks else ks[min(1, len(ks) - 1)],
                             required=True, key="questions k")  # fmt: skip
    _table(pooled[pooled["k"] == k])
    st.subheader(f"Recognised {view.ask}s")
    recall = recall_of(counts[counts["k"] == k])
    protocol = protocols[0] if len(protocols) == 1 else st.segmented_control(
        "Protocol", protocols, default=protocols[-1], required=True, key="recall protocol"
    )  # fmt: skip
    st.plotly_chart(question_plots.recalls(recall[recall["protocol"] == protocol], dark=dark), key="questions-recall",
                    config={"displayModeBar": False}, alt="Share of every class that was recognised")  # fmt: skip
    st.caption(f"Share of each {plain(view.ask)}'s own {_rows(view, protocol)}s, k = {k}, protocol {protocol}.")
    _confusions(given, replace(view, k=int(k)), counts[counts["k"] == k], dark)


def _rows(view: QuestionsView, protocol: str) -> str:
    """What a row of this question is: token, utterance or speaker."""
    return Question(target=view.ask, protocol=protocol).row_unit  # type: ignore[arg-type]


def _pooled(results: pd.DataFrame) -> pd.DataFrame:
    """The pooled rows; of a table of one speaker, that speaker's."""
    pooled = results["speaker"] == ""
    return results[pooled | ~pooled.groupby([results["table"], results["protocol"]]).transform("any")]


def _said(pooled: pd.DataFrame, protocols: Sequence[str]) -> str:
    parts = []
    for protocol in protocols:
        rows = pooled[pooled["protocol"] == protocol]
        first = rows.iloc[0]
        parts.append(
            f"{protocol}: N = {first['n']:,} {first['rows']}s of {first['speakers']} speakers, {first['n_classes']} "
            f"classes, majority line {first['chance']:.1%}, null from {first['permutations']} permutations"
        )
    return plain("; ".join(parts) + f". Bands: 95 % intervals. {int(pooled['lda_dims'].max())} discriminants.")


def _table(rows: pd.DataFrame) -> None:
    """The figures at one k."""
    shown = rows[["table", "feature", "protocol", "k", "n", "accuracy", "ci_low", "ci_high", "null_accuracy", "chance",
                  "paper_accuracy", "minus_mel", "p_minus_mel"]]  # fmt: skip
    if len(set(rows["table"])) == 1:
        shown = shown.drop(columns="table")
    percent = {
        "accuracy": "accuracy", "ci_low": "from", "ci_high": "to", "null_accuracy": "null", "chance": "majority",
        "paper_accuracy": "paper protocol", "minus_mel": "difference to Mel",
    }  # fmt: skip
    columns: dict[str, Any] = {
        name: st.column_config.NumberColumn(title, format="percent") for name, title in percent.items()
    }
    columns |= {
        "n": st.column_config.NumberColumn("N"),
        "p_minus_mel": st.column_config.NumberColumn("p", format="%.4f"),
    }
    st.dataframe(shown.dropna(axis=1, how="all"), hide_index=True, column_config=columns)


def _confusions(given: Given, view: QuestionsView, counts: pd.DataFrame, dark: bool) -> None:
    """One matrix, and the tokens of one of its cells."""
    st.subheader("Who is taken for whom")
    keys = counts[["table", "feature", "protocol"]].drop_duplicates().astype(str)
    panels = {" · ".join(key): key for key in keys.itertuples(index=False, name=None)}
    names = list(panels)
    many = len(given.tables) > 1

    def short(name: str) -> str:
        table, feature, protocol = panels[name]
        return f"{table} · {feature} · {protocol}" if many else f"{feature} · {protocol}"

    shown = view.shown if view.shown in panels else names[0]
    shown = st.selectbox("Matrix of", names, index=names.index(shown), format_func=short, key="questions Matrix")
    table, feature, protocol = panels[shown]
    some = counts[(counts["table"] == table) & (counts["feature"] == feature) & (counts["protocol"] == protocol)]
    some = some[some["count"] > 0].astype({"label": str, "predicted": str}).reset_index(drop=True)
    what = _rows(view, protocol)
    left, right = st.columns([3, 2], gap="medium")
    with left:
        st.plotly_chart(
            question_plots.confusions(some, dark=dark), key=_CHART, on_select=_cell_clicked,
            selection_mode="points", config={"displayModeBar": False}, alt="Confusions between classes",
        )  # fmt: skip
        st.caption(plain(
            f"Rows: what was said; columns: what it was taken for by its k = {view.k} nearest, protocol {protocol}, "
            f"{int(some['count'].sum()):,} {what}s. Shares of a row, on a root scale. Click a cell to list its {what}s."
        ))  # fmt: skip

        def pdf() -> bytes:
            share = some["count"] / some.groupby("label")["count"].transform("sum")
            return style.pdf(confusion.figure(some.assign(share=share)))

        st.download_button("Save as print figure (PDF)", pdf, f"confusion-{feature}.pdf", "application/pdf",
                           on_click="ignore", key="pdf confusion")  # fmt: skip
    with right:
        labels = confusion.ordered(some["label"])
        worst = some[some["label"] != some["predicted"]].sort_values("count", ascending=False)
        usual = worst if len(worst) else some
        said, taken = view.said, view.taken
        if said not in labels:
            said, taken = str(usual["label"].iloc[0]), str(usual["predicted"].iloc[0])
        said = st.selectbox("Said", labels, index=labels.index(said), key=_SAID)
        takens = confusion.ordered(some.loc[some["label"] == said, "predicted"])
        taken = st.selectbox("Taken for", takens, index=takens.index(taken) if taken in takens else 0, key=_TAKEN)
        remember(replace(view, shown=shown, said=said, taken=taken), _STATE)
        try:
            tokens = _cell(given.tables[table], view, feature, protocol, set(some["label"]), said, taken)
        except _ERRORS as error:
            st.warning(plain(error))
            return
        _tokens(given, tokens, said, taken, what)


def _cell_clicked() -> None:
    """The boxes say which cell was clicked, before the page is drawn again."""
    marked = [
        point["customdata"] for point in st.session_state[_CHART]["selection"]["points"] if point.get("customdata")
    ]
    if marked:
        st.session_state[_SAID], st.session_state[_TAKEN] = str(marked[0][0]), str(marked[0][1])


def _cell(table: TokenTable, view: QuestionsView, feature: str, protocol: str, classes: set[str], said: str,
          taken: str) -> pd.DataFrame:  # fmt: skip
    """The tokens of one cell."""
    question = _question(view, table, protocol)  # type: ignore[arg-type]
    key = ("predictions", str(table.path), feature, replace(question, features=()))

    def make() -> tuple[pd.DataFrame, np.ndarray, np.ndarray, np.ndarray]:
        found = select_rows(table, question)
        kept = np.isin(found.labels.astype(str), sorted(classes))
        names, codes = np.unique(found.labels[kept].astype(str), return_inverse=True)
        tokens = found.table.tokens[kept].reset_index(drop=True)
        speakers, utterances = (
            np.unique(tokens[name].astype(str), return_inverse=True)[1] for name in ("speaker", "utterance")
        )
        points = found.table.matrix(feature)[kept]
        asked = Asked(points, codes, speakers, utterances, view.ask, protocol)  # type: ignore[arg-type]
        with st.spinner("Finding the tokens"):
            return tokens, codes, judged(asked), names

    tokens, codes, predictions, names = _memory().get(key, make)
    here = (names[codes] == said) & (names[np.maximum(predictions[:, view.k - 1], 0)] == taken)
    return tokens[here & (predictions[:, view.k - 1] >= 0)]


def _tokens(given: Given, tokens: pd.DataFrame, said: str, taken: str, what: str) -> None:
    """A cell's rows, to choose one and hear it: a token, or an utterance."""
    st.markdown(f"**{len(tokens)}** × {plain(said)} taken for {plain(taken)}")
    event = st.dataframe(
        tokens[["label", "speaker", "utterance", "token_id"] if what == "token" else ["speaker", "utterance"]],
        hide_index=True,
        on_select="rerun",
        selection_mode="single-row",
        height=36 * min(len(tokens), 6) + 40,
        key=f"cell {digest(*tokens['token_id'])}",
    )
    chosen = event["selection"]["rows"]
    if chosen and chosen[0] < len(tokens):
        row = tokens.iloc[chosen[0]]
        utterance = given.utterance(row["utterance"])
        if what != "token":
            row = row.copy()
            row["label"], row["start"] = row["utterance"], 0
            row["end"] = row["end"] if isinstance(utterance, str) else utterance.samples
        st.caption(f"{plain(row['label'])}: {speaker_of(row)}")
        heard(utterance, row, autoplay=True)
    else:
        st.caption("Choose a row to hear it.")
