"""The page 'Questions': what features encode, by every method and protocol, with what it takes to judge the answers."""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import pandas as pd
import streamlit as st
from streamlit.delta_generator import DeltaGenerator

from lvm_probe import InputError
from lvm_probe.app.explorer import question_plots, table_computations
from lvm_probe.app.explorer.background import Computation
from lvm_probe.app.explorer.inputs import ExplorerInputs, feature_choices
from lvm_probe.app.explorer.projections import phone_sets
from lvm_probe.app.explorer.question_results import (
    METHODS,
    PROTOCOL_TITLES,
    cell_tokens,
    comparison_table,
    difference_table,
    protocols_of,
    result_table,
    targets_by_method,
)
from lvm_probe.app.explorer.result_cache import ResultCache, digest
from lvm_probe.app.explorer.token_card import show_audio, token_speaker
from lvm_probe.app.explorer.views import QuestionsView, current_view, keep_view, plain
from lvm_probe.app.explorer.waiting import BACKGROUND, computed, taken, wait_for
from lvm_probe.figures import accuracy_over_k, style
from lvm_probe.figures.wording import counted
from lvm_probe.probing.features.feature import Feature
from lvm_probe.probing.features.token_table import TokenTable
from lvm_probe.probing.questions.compare import Comparison
from lvm_probe.probing.questions.question import (
    PHONEME_TARGETS,
    PROTOCOLS_OF,
    REPORTED_K,
    Question,
    default_protocol,
)
from lvm_probe.probing.questions.report import as_text
from lvm_probe.probing.questions.results import SHOWN_KS, TESTS, Answer, pooled, recall_of, unit_of, with_adjusted_p

PERMUTATIONS = 3
"""Of the labels of tokens, for the null: enough to see where it lies; the command makes more."""

_STATE = "questions view"
_CHART = "questions-confusion"
_RECALL = "questions-recall"
_SCROLL = ("questions-recall-scroll", "questions-matrix-scroll")
"""Containers of what is wider than a phone."""
_TRUE, _PREDICTED = "questions true", "questions predicted"


@st.cache_resource(show_spinner=False)
def _cache() -> ResultCache:
    return ResultCache(40)


def show(inputs: ExplorerInputs) -> None:
    """The page."""
    view = current_view(QuestionsView, _STATE)
    st.title("Questions")
    view = _controls(inputs, view)
    keep_view(view, _STATE)
    if not view.tables or not view.features or not view.protocols:
        st.info("Choose at least one table, one feature and one protocol.")
        return
    _show_comparison(inputs, view)
    st.subheader("Results")
    answers = _answers(inputs, view)
    if answers is not None:
        _show_answers(inputs, view, answers)


def _controls(inputs: ExplorerInputs, view: QuestionsView) -> QuestionsView:
    """What is asked, in a row that breaks on narrow screens."""
    names = list(inputs.tables)
    tables: Sequence[str] = names[:1]
    with st.container(horizontal=True, gap="small"):
        if len(names) > 1:
            before = [name for name in view.tables if name in names]
            tables = st.multiselect("Tables", names, default=before or names[:1], key="questions Tables", width=320)
        chosen = [inputs.tables[name] for name in tables or names[:1]]
        known = list(dict.fromkeys(name for table in chosen for name in feature_choices(table)))
        usual = list(dict.fromkeys([known[0], *(name for name in known if name == "mel")]))
        features = st.multiselect(
            "Features", known, default=[name for name in view.features if name in known] or usual,
            format_func=lambda name: style.feature_style(name).label, key="questions Features", width=320,
        )  # fmt: skip
        by_method = _cache().get(("targets", chosen[0].path), partial(targets_by_method, chosen[0]))
        methods = list(by_method)
        at = methods.index(view.method) if view.method in methods else 0
        method: Any = st.selectbox(
            "Method", methods, at, format_func=METHODS.__getitem__, key="questions Method", width=190
        )
        targets = by_method[method]
        index = targets.index(view.target) if view.target in targets else 0
        target: Any = st.selectbox("Target", targets, index=index, key=f"questions Target of {method}", width=145)
        possible = protocols_of(method, target, tables=len(names))
        same = (target, method) == (view.target, view.method)
        kept = [protocol for protocol in view.protocols if protocol in possible] if same else []
        protocols = st.multiselect(
            "Protocols", possible, default=kept or [default_protocol(target, method)],
            format_func=PROTOCOL_TITLES.__getitem__, key=f"protocols {method} {target}", width=340,
            help="What is held out of the fit while a token is judged. `paper` holds nothing out, as Havtorn et al. "
            "(2022) did, which leaks. ABX fits nothing: its protocols say whose tokens are compared.",
        )  # fmt: skip
        test = view.test
        if "transfer" in protocols:
            at = names.index(test) if test in names else len(names) - 1
            test = st.selectbox(
                "Test table", names, at, key="questions Test", help="What the others are judged on.", width=190
            )
        phones = view.phones
        if target in PHONEME_TARGETS:
            sets = phone_sets(chosen[0].tokens)
            at = sets.index(phones) if phones in sets else 0
            phones = st.selectbox("Phone set", sets, index=at, key="questions Phones", width=145)
    return replace(
        view, tables=tuple(tables), features=tuple(features), method=method, target=target,
        protocols=tuple(protocols), test=test, phones=phones,
    )  # fmt: skip


def _question(view: QuestionsView, table: TokenTable, protocol: Any) -> Question:
    folded = view.target in PHONEME_TARGETS and view.phones != "as labelled"
    asked = Question(
        target=view.target,  # type: ignore[arg-type]
        method=view.method,  # type: ignore[arg-type]
        protocol=protocol,
        phones=view.phones if folded else None,  # type: ignore[arg-type]
        features=tuple(f for f in map(Feature.parse, view.features) if f.is_among(table.features)),
    )
    if asked.method == "abx" or asked.row_unit != "token":
        return asked
    return replace(asked, permutations=min(PERMUTATIONS, asked.default_permutations))


def _show_comparison(inputs: ExplorerInputs, view: QuestionsView) -> None:
    """What `probe compare` says of the features of the first table."""
    name = view.tables[0]
    table = inputs.tables[name]
    features = tuple(str(feature) for feature in _question(view, table, None).features)
    st.subheader("Comparison")
    folded = view.target in PHONEME_TARGETS and view.phones != "as labelled"
    rows = {"phones": view.phones} if folded else {}
    key = ("comparison", table.path.absolute(), name, view.target, features, view.phones if folded else "")
    if BACKGROUND.get(key) is None:
        st.caption(
            f"Do these features predict the {plain(view.target)} better than Mel does? Asked by every quick method, "
            "within one speaker and across speakers."
        )
        if not st.button("Compare", icon=":material/balance:"):
            return
    try:
        found: Comparison = computed(
            key, f"Comparing features of {name} by several methods",
            table_computations.comparison, table.path.absolute(), name, view.target, features, rows,
        )  # fmt: skip
    except InputError as error:
        st.warning(plain(error))
        return
    for sentence in found.sentences:
        st.markdown(plain(sentence))
    if (found.frame["compared_with"] != "").any():
        st.dataframe(comparison_table(found.frame), hide_index=True, placeholder="")
        unit = "cm of the mean error (less is better)" if view.target == "height-cm" else "points of accuracy"
        st.caption(f"Differences in {unit}, with 95 % intervals. \\*: p < 0.05, after Holm for all tests of the table.")
    with st.expander("In words, as the command prints it"):
        st.code(str(found), language=None, wrap_lines=False)


def _answers(inputs: ExplorerInputs, view: QuestionsView) -> list[Answer] | None:
    """The answers, computed on demand; None, and a button or a sentence on the page, if there are none yet."""
    asked = [
        (inputs.tables[name].path.absolute(), name, question, test if question.protocol == "transfer" else None)
        for test in [(inputs.tables[view.test].path.absolute(), view.test) if view.test in inputs.tables else None]
        for name in view.tables
        for protocol in view.protocols
        if (question := _question(view, inputs.tables[name], protocol)).features
        and (protocol, view.test) != ("transfer", name)
    ]
    if not asked:
        st.info("Choose a table to fit probes to that is not the test table, and features that it has.")
        return None
    keys = [("answer", *one) for one in asked]
    missing = sum(BACKGROUND.get(key) is None for key in keys)
    if missing:
        runs = f"{counted(len(view.features), 'feature')} × {counted(missing, 'protocol')}"
        st.info(f"Not computed yet: {runs}. It takes seconds to some minutes, once.")
        if not st.button("Compute", type="primary", icon=":material/play_arrow:"):
            return None
    running: dict[Hashable, Computation] = {
        key: BACKGROUND.start(key, _described(*one[:3]), table_computations.answer, *one)
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
    return f"Predicting {question.target} from {features} of {name} by {question.method}, protocol {question.protocol}"


def _show_answers(inputs: ExplorerInputs, view: QuestionsView, answers: list[Answer]) -> None:
    results = with_adjusted_p(pd.concat([answer.frame for answer in answers], ignore_index=True))
    notes = list(dict.fromkeys(note for answer in answers for note in answer.notes))
    dark = st.context.theme.type == "dark"
    of_all = pooled(results)
    protocols = [name for name in PROTOCOLS_OF[answers[0].question.method] if name in set(of_all["protocol"])]
    ks = sorted(set(SHOWN_KS) & set(of_all["k"])) or [max(of_all["k"])]
    k = ks[0]
    if len(ks) > 1:
        at = view.k if view.k in ks else ks[min(1, len(ks) - 1)]
        k = st.segmented_control("k (neighbours that vote)", ks, default=at, required=True, key="questions k")
    view = replace(view, k=int(k))
    printed = as_text(results, notes)
    st.markdown(plain(printed.splitlines()[0]))  # what was asked
    _show_tables(of_all[of_all["k"] == k], printed)
    for note in notes:
        st.caption(plain(note))
    _show_picture(view, results, of_all, protocols, dark)
    counts = pd.concat([answer.confusion for answer in answers], ignore_index=True)
    if len(counts):
        counts = counts[counts["k"] == k]
        _show_recall(view, counts, protocols, dark)
        predictions = pd.concat([answer.predictions for answer in answers], ignore_index=True)
        _show_confusions(inputs, view, counts, predictions[predictions["k"] == k], dark)


def _row_unit(view: QuestionsView, protocol: Any) -> str:
    """What a row of this question is: token, utterance or speaker."""
    return Question(target=view.target, method=view.method, protocol=protocol).row_unit  # type: ignore[arg-type]


def _show_tables(rows: pd.DataFrame, printed: str) -> None:
    """The results at one k and their differences to others, and what the command prints."""
    number = st.column_config.NumberColumn
    unit = unit_of(rows)
    form = {"": "%.1f %%", "_cm": "%.2f cm", "_bits": "%.2f"}[unit]
    percent = number(format=form)
    p = st.column_config.TextColumn(help="After Holm, for all tests of this page's tables")
    columns: dict[str, Any] = {
        name: percent
        for name in (
            "Accuracy", "Error", "Balanced", "Chance", "Null", "Untrained", "Paper protocol", "Gender's mean",
            "Bits per label", "Class shares", "Control labels", "Compression",
        )
    }  # fmt: skip
    columns["Balanced"] = number("Balanced accuracy", format="%.1f %%", help="Mean over the classes of their recall")
    columns["Chance"] = number("Chance", format="%.1f %%", help="Always naming the most frequent class; 50 % in ABX")
    columns["Null"] = number("Null", format=form, help="The same on permuted labels")
    name = {"": "points", "_cm": "cm", "_bits": "bits"}[unit]
    columns |= {
        "95 % interval": st.column_config.TextColumn(f"95 % interval ({name if unit else '%'})"),
        "p (null)": p, "p": p, "n": number(format="localized"),
        "Difference": number(f"Difference ({name})", format="%+.2f" if unit else "%+.1f"),
        "Effect": number(format="%+.1f", help="The difference in standard deviations between speakers"),
    }  # fmt: skip
    st.dataframe(result_table(rows), hide_index=True, column_config=columns, placeholder="")
    differences = difference_table(rows)
    if len(differences):
        st.markdown(f"**Differences**{' (less is better)' if unit else ''}")
        columns["95 % interval"] = st.column_config.TextColumn(f"95 % interval ({name})")
        st.dataframe(differences, hide_index=True, column_config=columns, placeholder="")
        if not rows[rows.columns.intersection(TESTS)].notna().any(axis=None):
            st.caption(
                f"Tests are made at k = {REPORTED_K} only, fixed beforehand, or there are too few speakers for them."
            )
    with st.expander("In words, as the command prints it"):
        st.code(printed, language=None, wrap_lines=True)


def _show_picture(
    view: QuestionsView, results: pd.DataFrame, pooled: pd.DataFrame, protocols: Sequence[Any], dark: bool
) -> None:
    """Accuracy over k, or a dot for each feature where there is no k."""
    titles: dict[str, str] = dict(PROTOCOL_TITLES)  # type: ignore[arg-type]
    if len(set(pooled["k"])) > 1:
        st.subheader("Accuracy over k")
        st.plotly_chart(question_plots.curves(pooled, protocols, titles, dark=dark), key="questions-curves",
                        config={"displayModeBar": False}, alt="Accuracy over k")  # fmt: skip
        st.caption(f"{_description(pooled, protocols)} Bands: 95 % intervals. Dotted: permuted labels (null). Grey "
                   "dashes: chance.")  # fmt: skip
        st.download_button("Save as print figure (PDF)", lambda: style.pdf(accuracy_over_k.panels(results)),
                           f"{view.target}-over-k.pdf", "application/pdf", on_click="ignore")  # fmt: skip
        return
    unit = unit_of(pooled)
    quantity = {"": question_plots.ACCURACY, "_cm": question_plots.ERROR_CM, "_bits": question_plots.BITS}[unit]
    st.subheader({"": "Accuracy", "_cm": "Error", "_bits": "Bits per label"}[unit])
    if unit == "_cm":
        pooled = pooled[pooled["gender"] == ""]
    st.plotly_chart(question_plots.dots(pooled, quantity, protocols, titles, dark=dark), key="questions-dots",
                    config={"displayModeBar": False}, alt=quantity.title)  # fmt: skip
    st.caption(f"{_description(pooled, protocols)} Lines: 95 % intervals. Upright ticks: permuted labels (null). Grey "
               f"dashes: {quantity.reference_name}.")  # fmt: skip


def _description(pooled: pd.DataFrame, protocols: Sequence[str]) -> str:
    """What was counted, in sentences."""
    parts = []
    for protocol in protocols:
        first = pooled[pooled["protocol"] == protocol].iloc[0]
        part = f"{protocol}: n = {counted(first['n'], first['rows'])} of {counted(int(first['speakers']), 'speaker')}"
        if first["n_classes"] == first["n_classes"]:
            part += f", {first['n_classes']:.0f} classes, chance {100 * first['chance']:.1f} %"
        if first["permutations"]:
            part += f", null from {counted(int(first['permutations']), 'permutation')}"
        parts.append(part)
    dims = int(pooled["lda_dims"].max()) if (pooled["method"] == "knn").all() else 0
    return plain("; ".join(parts) + "." + (f" {counted(dims, 'discriminant')}." if dims else ""))


def _show_recall(view: QuestionsView, counts: pd.DataFrame, protocols: Sequence[str], dark: bool) -> None:
    """Recall of every class."""
    st.subheader(f"Recall of every {view.target}")
    recall = recall_of(counts)
    protocol = protocols[0] if len(protocols) == 1 else st.segmented_control(
        "Protocol", protocols, default=protocols[-1], required=True, key="recall protocol"
    )  # fmt: skip
    picture = question_plots.recalls(recall[recall["protocol"] == protocol], dark=dark)
    with _scrolled(_SCROLL[0], _RECALL, 120 + 22 * len(set(recall["label"]))):
        st.plotly_chart(picture, key=_RECALL, config={"displayModeBar": False}, alt="Recall of every class")
    st.caption(
        f"Share of the {_row_unit(view, protocol)}s of each {plain(view.target)} that are classified correctly"
        f"{_at_k(view)}, protocol {plain(protocol)}."
    )


def _scrolled(key: str, chart: str, least: int) -> DeltaGenerator:
    """A container in which a chart that is called `chart` is at least so many pixels wide, and scrolls on a phone."""
    st.html(f"<style>.st-key-{key} {{overflow-x: auto}} .st-key-{chart} {{min-width: {least}px}}</style>")
    return st.container(key=key)


def _at_k(view: QuestionsView) -> str:
    return f", k = {view.k}" if view.k else ""


def _show_confusions(
    inputs: ExplorerInputs, view: QuestionsView, counts: pd.DataFrame, predictions: pd.DataFrame, dark: bool
) -> None:
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
    some, judged = (
        rows[(rows["table"] == table) & (rows["feature"] == feature) & (rows["protocol"] == protocol)].astype(
            {"label": str, "predicted": str}
        )
        for rows in (counts, predictions)
    )
    some = some[some["count"] > 0].reset_index(drop=True)
    unit = _row_unit(view, protocol)
    least = question_plots.least_width(len({*some["label"], *some["predicted"]}))
    both = st.container(horizontal=True, gap="medium")  # the list stands below the matrix where there is no room
    with both.container(width=max(least, 560)):
        with _scrolled(_SCROLL[1], _CHART, least):
            st.plotly_chart(
                question_plots.confusions(some, dark=dark), key=_CHART, on_select=_cell_clicked,
                selection_mode="points", config={"displayModeBar": False}, alt="Confusions between classes",
            )  # fmt: skip
        st.caption(plain(
            f"Shares of each row, on a root scale; the diagonal is outlined. {METHODS[view.method]}{_at_k(view)}, "  # type: ignore[index]
            f"protocol {protocol}, {counted(int(some['count'].sum()), unit)}. Click a cell to list its {unit}s."
        ))  # fmt: skip

        def pdf() -> bytes:
            from lvm_probe.figures import confusion

            share = some["count"] / some.groupby("label")["count"].transform("sum")
            return style.pdf(confusion.figure(some.assign(share=share)))

        st.download_button("Save as print figure (PDF)", pdf, f"confusion-{feature}.pdf", "application/pdf",
                           on_click="ignore", key="pdf confusion")  # fmt: skip
    with both.container(width=320):
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
        ids = judged.loc[(judged["label"] == true) & (judged["predicted"] == predicted), "token_id"]
        tokens = cell_tokens(inputs.tables[view.test if protocol == "transfer" else table], ids)
        _show_tokens(inputs, tokens, f"{plain(true)} predicted as {plain(predicted)}", unit)


def _cell_clicked() -> None:
    """Set the boxes to the cell that was clicked, before the page is drawn again."""
    cells = [
        point["customdata"] for point in st.session_state[_CHART]["selection"]["points"] if point.get("customdata")
    ]
    if cells:
        st.session_state[_TRUE], st.session_state[_PREDICTED] = str(cells[0][0]), str(cells[0][1])


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
        column_config={"label": "Label", "speaker": "Speaker", "utterance": "Utterance", "token_id": "Token"},
    )
    chosen = event["selection"]["rows"]
    if chosen and chosen[0] < len(tokens):
        row = tokens.iloc[chosen[0]]
        st.caption(f"{plain(row['label' if unit == 'token' else 'utterance'])}: {token_speaker(row)}")
        show_audio(inputs, row, autoplay=True, whole=unit != "token")
    else:
        st.caption("Choose a row to hear it.")
