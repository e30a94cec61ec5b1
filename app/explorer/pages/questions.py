"""The page 'Questions': accuracy of the kNN with everything needed to judge it, and confusions between classes."""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import streamlit as st

from lvm_probe import InputError
from lvm_probe.app.explorer import question_plots, table_computations
from lvm_probe.app.explorer.background import Computation
from lvm_probe.app.explorer.inputs import ExplorerInputs, feature_choices
from lvm_probe.app.explorer.neighbours import KnnProbe, predict_all
from lvm_probe.app.explorer.projections import phone_sets, targets_of
from lvm_probe.app.explorer.result_cache import ResultCache, digest
from lvm_probe.app.explorer.token_card import show_audio, token_speaker
from lvm_probe.app.explorer.views import QuestionsView, current_view, keep_view, plain
from lvm_probe.app.explorer.waiting import BACKGROUND, computed, taken, wait_for
from lvm_probe.figures import accuracy_over_k, style
from lvm_probe.figures.wording import counted
from lvm_probe.probing.features.feature import Feature
from lvm_probe.probing.features.token_table import TokenTable
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
    "nested": "nested: single tokens held out",
    "utterance": "utterance: whole utterances held out",
    "speaker": "speaker: whole speakers held out",
}
_STATE = "questions view"
_CHART = "questions-confusion"
_TRUE, _PREDICTED = "questions true", "questions predicted"


@st.cache_resource(show_spinner=False)
def _cache() -> ResultCache:
    return ResultCache(40)


def show(inputs: ExplorerInputs) -> None:
    """The page."""
    view = current_view(QuestionsView, _STATE)
    st.title("Questions")
    st.markdown(
        "What do the features encode? Each token gets the class of most of its **k nearest neighbours**. Compare every "
        "curve with its **null** (dotted: the same on permuted labels) and the **majority line** (grey dashes)."
    )
    view = _controls(inputs, view)
    keep_view(view, _STATE)
    if not view.tables or not view.features or not view.protocols:
        st.info("Choose at least one table, one feature and one protocol in the sidebar.")
        return
    answers = _answers(inputs, view)
    if answers is not None:
        _show_answers(inputs, view, answers)


def _controls(inputs: ExplorerInputs, view: QuestionsView) -> QuestionsView:
    with st.sidebar:
        names = list(inputs.tables)
        tables: Sequence[str] = names[:1]
        if len(names) > 1:
            before = [name for name in view.tables if name in names]
            tables = st.multiselect("Tables", names, default=before or names[:1], key="questions Tables")
        chosen = [inputs.tables[name] for name in tables or names[:1]]
        known = list(dict.fromkeys(name for table in chosen for name in feature_choices(table)))
        usual = list(dict.fromkeys([known[0], *(name for name in known if name == "mel")]))
        features = st.multiselect(
            "Features", known, default=[name for name in view.features if name in known] or usual,
            format_func=lambda name: style.feature_style(name).label, key="questions Features",
        )  # fmt: skip
        targets = _targets(chosen[0])
        index = targets.index(view.target) if view.target in targets else 0
        target: Any = st.selectbox("Target", targets, index=index, key="questions Target")
        impossible = "speaker" if target == "speaker" else "utterance" if target in SPEAKER_ATTRIBUTES else ""
        possible = [protocol for protocol in PROTOCOLS if protocol != impossible]
        kept = [protocol for protocol in view.protocols if protocol in possible] if target == view.target else []
        protocols = st.multiselect(
            "Protocols", possible, default=kept or [default_protocol(target)], key=f"protocols {target}",
            help="How tokens are held out. `paper` fits LDA on all of them, as Havtorn et al. (2022) did, which leaks. "
            "The others fit it again without each token (`nested`), utterance or speaker.",
        )  # fmt: skip
        phones = view.phones
        if target in PHONEME_TARGETS:
            sets = phone_sets(chosen[0].tokens)
            at = sets.index(phones) if phones in sets else 0
            phones = st.selectbox("Phone set", sets, index=at, key="questions Phones")
    return replace(
        view, tables=tuple(tables), features=tuple(features), target=target, protocols=tuple(protocols), phones=phones
    )


def _targets(table: TokenTable) -> list[str]:
    """What can be predicted for any unit that the table has."""

    def compute() -> list[str]:
        units = [unit for unit in ("phoneme", "word", "utterance") if (table.tokens["unit"] == unit).any()]
        targets = [target for unit in units for target in targets_of(table.tokens[table.tokens["unit"] == unit], unit)]
        return list(dict.fromkeys(targets)) or ["speaker"]

    return _cache().get(("targets", table.path), compute)


def _question(view: QuestionsView, table: TokenTable, protocol: Any) -> Question:
    folded = view.target in PHONEME_TARGETS and view.phones != "as labelled"
    return Question(
        target=view.target,  # type: ignore[arg-type]
        protocol=protocol,
        phones=view.phones if folded else None,  # type: ignore[arg-type]
        features=tuple(f for f in map(Feature.parse, view.features) if f.is_among(table.features)),
        permutations=PERMUTATIONS,
    )


def _answers(inputs: ExplorerInputs, view: QuestionsView) -> list[Answer] | None:
    """The answers, computed on demand; None, and a button or a sentence on the page, if there are none yet."""
    asked = [
        (inputs.tables[name].path.absolute(), name, question)
        for name in view.tables
        for protocol in view.protocols
        if (question := _question(view, inputs.tables[name], protocol)).features
    ]
    keys = [("answer", *one) for one in asked]
    missing = sum(BACKGROUND.get(key) is None for key in keys)
    if missing:
        runs = f"{counted(len(view.features), 'feature')} × {counted(missing, 'protocol')}"
        st.info(f"Not computed yet: {runs}. It takes seconds to a few minutes, once.")
        if not st.button("Compute", type="primary", icon=":material/play_arrow:"):
            return None
    running: dict[Hashable, Computation] = {
        key: BACKGROUND.start(key, _described(*one), table_computations.answer, *one)
        for key, one in zip(keys, asked, strict=True)
    }
    wait_for(running)
    if missing:
        st.rerun()  # without the button
    try:
        return [taken(key, computation) for key, computation in running.items()]
    except InputError as error:
        st.warning(plain(error))
        return None


def _described(folder: Path, name: str, question: Question) -> str:
    """What a question computes, for those who wait."""
    features = ", ".join(map(str, question.features or ()))
    return f"Predicting {question.target} from {features} of {name}, protocol {question.protocol}"


def _show_answers(inputs: ExplorerInputs, view: QuestionsView, answers: list[Answer]) -> None:
    results = pd.concat([answer.frame for answer in answers], ignore_index=True)
    counts = pd.concat([answer.confusion for answer in answers], ignore_index=True)
    dark = st.context.theme.type == "dark"
    pooled = _pooled(results)
    protocols = [protocol for protocol in PROTOCOLS if protocol in set(pooled["protocol"])]
    st.subheader("Accuracy over k")
    st.plotly_chart(question_plots.curves(pooled, protocols, _TITLES, dark=dark), key="questions-curves",
                    config={"displayModeBar": False}, alt="Accuracy over k")  # fmt: skip
    st.caption(_description(pooled, protocols))
    for note in dict.fromkeys(note for answer in answers for note in answer.notes):
        st.caption(plain(note))
    st.download_button("Save as print figure (PDF)", lambda: style.pdf(accuracy_over_k.panels(results)),
                       f"{view.target}-over-k.pdf", "application/pdf", on_click="ignore")  # fmt: skip
    ks = sorted(set(SHOWN_KS) & set(counts["k"])) or sorted(set(counts["k"]))
    k = st.segmented_control("k of everything below", ks, default=view.k if view.k in ks else ks[min(1, len(ks) - 1)],
                             required=True, key="questions k")  # fmt: skip
    _show_table(pooled[pooled["k"] == k])
    st.subheader(f"Recall of every {view.target}")
    recall = recall_of(counts[counts["k"] == k])
    protocol = protocols[0] if len(protocols) == 1 else st.segmented_control(
        "Protocol", protocols, default=protocols[-1], required=True, key="recall protocol"
    )  # fmt: skip
    st.plotly_chart(question_plots.recalls(recall[recall["protocol"] == protocol], dark=dark), key="questions-recall",
                    config={"displayModeBar": False}, alt="Recall of every class")  # fmt: skip
    st.caption(
        f"Share of the {_row_unit(view, protocol)}s of each {plain(view.target)} that are classified correctly, k = "
        f"{k}, protocol {protocol}."
    )
    _show_confusions(inputs, replace(view, k=int(k)), counts[counts["k"] == k], dark)


def _row_unit(view: QuestionsView, protocol: Any) -> str:
    """What a row of this question is: token, utterance or speaker."""
    return Question(target=view.target, protocol=protocol).row_unit  # type: ignore[arg-type]


def _pooled(results: pd.DataFrame) -> pd.DataFrame:
    """The pooled rows; for a table of one speaker, that speaker's."""
    pooled = results["speaker"] == ""
    return results[pooled | ~pooled.groupby([results["table"], results["protocol"]]).transform("any")]


def _description(pooled: pd.DataFrame, protocols: Sequence[str]) -> str:
    """What was counted, in sentences."""
    parts = []
    for protocol in protocols:
        first = pooled[pooled["protocol"] == protocol].iloc[0]
        parts.append(
            f"{protocol}: n = {counted(first['n'], first['rows'])} of {counted(first['speakers'], 'speaker')}, "
            f"{first['n_classes']} classes, majority line {first['chance']:.1%}, null from "
            f"{counted(first['permutations'], 'permutation')}"
        )
    return plain("; ".join(parts) + f". Bands: 95 % intervals. {counted(pooled['lda_dims'].max(), 'discriminant')}.")


def _show_table(rows: pd.DataFrame) -> None:
    """The results at one k."""
    shown = rows[["table", "feature", "protocol", "k", "n", "accuracy", "ci_low", "ci_high", "null_accuracy", "chance",
                  "paper_accuracy", "minus_mel", "p_minus_mel"]]  # fmt: skip
    if len(set(rows["table"])) == 1:
        shown = shown.drop(columns="table")
    percent = {
        "accuracy": "accuracy", "ci_low": "from", "ci_high": "to", "null_accuracy": "permuted null",
        "paper_accuracy": "paper protocol",
    }  # fmt: skip
    number = st.column_config.NumberColumn
    columns: dict[str, Any] = {name: number(title, format="%.1f %%") for name, title in percent.items()}
    columns["minus_mel"] = number("difference to Mel (points)", format="%+.1f")
    columns["p_minus_mel"] = number("p", format="%.4f")
    fractions = [*percent, "minus_mel"]
    shown = shown.assign(**{name: 100 * shown[name] for name in fractions}).dropna(axis=1, how="all")
    st.dataframe(shown, hide_index=True, column_config=columns)


def _show_confusions(inputs: ExplorerInputs, view: QuestionsView, counts: pd.DataFrame, dark: bool) -> None:
    """One confusion matrix, and the tokens of one of its cells."""
    st.subheader("Confusions")
    keys = counts[["table", "feature", "protocol"]].drop_duplicates().astype(str)
    matrices = {" · ".join(key): key for key in keys.itertuples(index=False, name=None)}
    names = list(matrices)
    shown = st.selectbox(
        "Matrix of", names, index=names.index(view.matrix) if view.matrix in matrices else 0, key="questions Matrix",
        format_func=lambda name: " · ".join(matrices[name][0 if len(inputs.tables) > 1 else 1 :]),
    )  # fmt: skip
    table, feature, protocol = matrices[shown]
    some = counts[(counts["table"] == table) & (counts["feature"] == feature) & (counts["protocol"] == protocol)]
    some = some[some["count"] > 0].astype({"label": str, "predicted": str}).reset_index(drop=True)
    unit = _row_unit(view, protocol)
    left, right = st.columns([3, 2], gap="medium")
    with left:
        st.plotly_chart(
            question_plots.confusions(some, dark=dark), key=_CHART, on_select=_cell_clicked,
            selection_mode="points", config={"displayModeBar": False}, alt="Confusions between classes",
        )  # fmt: skip
        st.caption(plain(
            f"Rows: true class; columns: class predicted by the k = {view.k} nearest neighbours, protocol {protocol}, "
            f"{counted(int(some['count'].sum()), unit)}. Shares of a row, on a root scale. Click a cell to list its "
            f"{unit}s."
        ))  # fmt: skip

        def pdf() -> bytes:
            from lvm_probe.figures import confusion

            share = some["count"] / some.groupby("label")["count"].transform("sum")
            return style.pdf(confusion.figure(some.assign(share=share)))

        st.download_button("Save as print figure (PDF)", pdf, f"confusion-{feature}.pdf", "application/pdf",
                           on_click="ignore", key="pdf confusion")  # fmt: skip
    with right:
        labels = style.articulation_order(some["label"])
        wrong = some[some["label"] != some["predicted"]].sort_values("count", ascending=False)
        usual = (wrong if len(wrong) else some).iloc[0]
        true, predicted = view.true, view.predicted
        if true not in labels:
            true, predicted = usual["label"], usual["predicted"]
        true = st.selectbox("True class", labels, index=labels.index(true), key=_TRUE)
        options = style.articulation_order(some.loc[some["label"] == true, "predicted"])
        at = options.index(predicted) if predicted in options else 0
        predicted = st.selectbox("Predicted as", options, index=at, key=_PREDICTED)
        keep_view(replace(view, matrix=shown, true=true, predicted=predicted), _STATE)
        try:
            tokens = _cell(inputs.tables[table], view, feature, protocol, set(some["label"]), true, predicted)
        except InputError as error:
            st.warning(plain(error))
            return
        _show_tokens(inputs, tokens, f"{plain(true)} predicted as {plain(predicted)}", unit)


def _cell_clicked() -> None:
    """Set the boxes to the cell that was clicked, before the page is drawn again."""
    cells = [
        point["customdata"] for point in st.session_state[_CHART]["selection"]["points"] if point.get("customdata")
    ]
    if cells:
        st.session_state[_TRUE], st.session_state[_PREDICTED] = str(cells[0][0]), str(cells[0][1])


def _cell(table: TokenTable, view: QuestionsView, feature: str, protocol: Protocol | str, classes: set[str], true: str,
          predicted: str) -> pd.DataFrame:  # fmt: skip
    """The tokens of one cell."""
    question = _question(view, table, protocol)
    key = ("predictions", str(table.path), feature, replace(question, features=()))

    def compute() -> tuple[pd.DataFrame, np.ndarray, KnnProbe]:
        rows = select_rows(table, question)
        rows = rows.where(np.isin(rows.labels.astype(str), sorted(classes)))
        classes_of_rows, codes = rows.classes
        probe = KnnProbe(rows.table.matrix(feature), codes, rows.speakers.codes, rows.utterances.codes,
                         view.target, question.protocol)  # type: ignore[arg-type]  # fmt: skip
        return rows.table.tokens.reset_index(drop=True), classes_of_rows, probe

    tokens, names, probe = _cache().get(("probe", *key), compute)
    codes = computed(key, "Finding the tokens of the matrix", predict_all, probe)
    labels, predictions = names[probe.codes], np.append(names, "")[codes]  # "" for no prediction
    return tokens[(labels == true) & (predictions[:, view.k - 1] == predicted)]


def _show_tokens(inputs: ExplorerInputs, tokens: pd.DataFrame, cell: str, unit: str) -> None:
    """A cell's tokens or utterances, to choose one and hear it."""
    st.markdown(f"**{len(tokens)}** × {cell}")
    event = st.dataframe(
        tokens[["label", "speaker", "utterance", "token_id"] if unit == "token" else ["speaker", "utterance"]],
        hide_index=True,
        on_select="rerun",
        selection_mode="single-row",
        height=36 * min(len(tokens), 6) + 40,
        key=f"cell {digest(*tokens['token_id'])}",
    )
    chosen = event["selection"]["rows"]
    if chosen and chosen[0] < len(tokens):
        row = tokens.iloc[chosen[0]]
        st.caption(f"{plain(row['label' if unit == 'token' else 'utterance'])}: {token_speaker(row)}")
        show_audio(inputs, row, autoplay=True, whole=unit != "token")
    else:
        st.caption("Choose a row to hear it.")
