"""The explorer's map and questions: the pure parts against slower routes, and the pages on a small made-up table."""

import json
import re
from base64 import b64decode
from collections.abc import Iterator
from dataclasses import replace
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import streamlit as st
from streamlit.testing.v1 import AppTest

from lvm_probe import InputError
from lvm_probe.app.commands import explore
from lvm_probe.app.explorer import (
    class_styles,
    map_tokens,
    projections,
    question_plots,
    scatter,
    selection_card,
    token_exports,
    waiting,
)
from lvm_probe.app.explorer.entry import parse
from lvm_probe.app.explorer.inputs import ExplorerInputs
from lvm_probe.app.explorer.map_tokens import MapTokens
from lvm_probe.app.explorer.neighbours import NO_PREDICTION, KnnProbe, nearest, predict_all, predict_one
from lvm_probe.app.explorer.result_cache import ResultCache, cached_array, digest
from lvm_probe.app.explorer.views import MapView, QuestionsView, from_address, plain, to_address
from lvm_probe.figures import style
from lvm_probe.models.io.files import write_json
from lvm_probe.probing.features import token_table
from lvm_probe.probing.features.token_table import TokenTable
from tests.app.conftest import Refusal

EVIL = "<img src=x onerror=alert(1)>"
SIZES = {"z1": 4, "z1_var": 4, "mel": 6}


@pytest.fixture(scope="module")
def latents(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two women and two men of four utterances with six phones each; one label is HTML."""
    folder = tmp_path_factory.mktemp("latents") / "small"
    rng = np.random.default_rng(0)
    labels = ["iy", "s", "aa", "tcl", "iy", EVIL]
    centres = {label: rng.normal(size=6) * 2 for label in labels}
    rows, z1, mel = [], [], []
    for speaker, height in (("FAAA0", 160.0), ("FBBB0", 170.0), ("MCCC0", 180.0), ("MDDD0", None)):
        for u in range(4):
            for i, label in enumerate(labels):
                utterance = f"{speaker}_SX{u}"
                rows.append({
                    "token_id": f"{utterance}:phoneme:{i:04d}", "utterance": utterance, "speaker": speaker,
                    "gender": speaker[0], "height_cm": height, "dialect": None, "split": "train", "unit": "phoneme",
                    "label": label, "start": 1600 * i, "end": 1600 * i + 800 + 100 * i, "sample_rate": 16_000,
                })  # fmt: skip
                z1.append(centres[label][:4] + rng.normal(size=4))
                mel.append(centres[label] + rng.normal(size=6))
    folder.mkdir()
    features = {"z1": np.array(z1), "z1_var": np.ones((len(rows), 4)), "mel": np.array(mel)}
    token_table.write_part(folder, 0, rows, features, SIZES)
    write_json(folder / token_table.EXTRACTION, {"parts": 1, "features": SIZES, "layers": ["z1"]})
    return folder


@pytest.fixture(scope="module")
def tokens(latents: Path) -> TokenTable:
    return token_table.load(latents)


def shown(tokens: TokenTable, **view: Any) -> MapTokens:
    return map_tokens.map_tokens(tokens, replace(MapView(feature="z1", unit="phoneme", target="phoneme"), **view))


# The address.


@pytest.mark.parametrize(
    "view",
    [
        MapView(),
        MapView(
            "a/b c", "z1+z2", "UMAP", "gender", "duration", silence=True, only=("h#", "ax-h", "&="), tokens=("x:1",)
        ),
        QuestionsView(
            ("a", "b"), ("z1", "mel"), "lda", "word", ("paper", "speaker"), "b", k=20, true="é", predicted="s"
        ),
    ],
)
def test_an_address_opens_the_same_view(view: MapView | QuestionsView) -> None:
    assert from_address(type(view), to_address(view)) == view


def test_an_address_names_only_what_differs() -> None:
    assert to_address(MapView()) == {}
    assert to_address(MapView(k=7, silence=True)) == {"k": ["7"], "silence": ["yes"]}


def test_what_is_wrong_in_an_address_is_passed_over() -> None:
    query = {"k": ["-3"], "strange": ["1"], "silence": ["perhaps"], "feature": [], "only": ["s", "s", "z"]}
    assert from_address(MapView, query) == MapView(only=("s", "z"))


def test_a_selection_too_long_for_an_address_is_left_out() -> None:
    assert "tokens" not in to_address(MapView(tokens=tuple(map(str, range(500)))))


def test_text_from_files_is_plain_markdown() -> None:
    assert plain("a*b\n[x](y)") == r"a\*b \[x\]\(y\)"
    assert plain(":red[no] <b>") == r"\:red\[no\] \<b\>"


# Points.


def test_thinning_keeps_rare_classes_whole_and_takes_the_rest_evenly() -> None:
    labels = np.array(["common"] * 5000 + ["other"] * 3000 + ["rare"] * 7, dtype=object)
    kept = projections.thinned(labels, 1000)
    counts = pd.Series(labels[kept]).value_counts()
    assert len(kept) == 1000
    assert counts["rare"] == 7
    assert abs(counts["common"] - counts["other"]) <= 1
    assert (np.diff(kept) > 0).all()
    assert (projections.thinned(labels, 1000) == kept).all()


def test_few_points_are_not_thinned() -> None:
    assert projections.thinned(np.array(["a", "b", "b"], dtype=object)).tolist() == [0, 1, 2]


def test_classes_say_what_is_unknown(tokens: TokenTable) -> None:
    manner = projections.classes(tokens.tokens, "manner")
    assert dict(zip(tokens.tokens["label"], manner, strict=True))["tcl"] == "closure"
    assert set(manner[tokens.tokens["label"] == EVIL]) == {projections.UNKNOWN}
    assert set(projections.classes(tokens.tokens, "height")) == {"<175", "175-185", projections.UNKNOWN}
    assert set(projections.classes(tokens.tokens, "dialect")) == {projections.UNKNOWN}
    assert "sil" in projections.classes(tokens.tokens, "phoneme", phone_set="timit39")


def test_a_map_of_a_class_of_vowels_shows_vowels_alone(tokens: TokenTable) -> None:
    shown = map_tokens.map_tokens(tokens, MapView(feature="z1", unit="phoneme", target="vowel-height"))
    assert set(projections.classes(shown.tokens, "manner")) == {"vowel"}
    assert projections.UNKNOWN not in shown.labels
    assert len(shown.points) == len(shown.tokens) == len(shown.labels) > 0


def test_only_what_the_table_knows_can_be_asked(tokens: TokenTable) -> None:
    assert projections.targets_of(tokens.tokens, "phoneme") == [
        "phoneme",
        "manner",
        "place",
        "voicing",
        "vowel-height",
        "vowel-backness",
        "gender",
        "height",
        "speaker",
    ]


def test_no_label_of_a_held_out_token_moves_the_axes(tokens: TokenTable) -> None:
    some = shown(tokens)
    before = projections.lda_projection(some.points, some.tokens, some.labels, "phoneme")
    assert 0 < before.held_out.sum() < len(some.labels)
    assert not set(some.tokens["utterance"][before.held_out]) & set(some.tokens["utterance"][~before.held_out])
    labels = some.labels.copy()
    labels[before.held_out] = np.random.default_rng(1).permutation(labels[before.held_out])
    after = projections.lda_projection(some.points, some.tokens, labels, "phoneme")
    assert (after.places == before.places).all()


def test_axes_of_gender_hold_out_whole_speakers(tokens: TokenTable) -> None:
    some = shown(tokens, target="gender")
    fitted = np.array(["F", "M"])
    for seed in range(20):
        found = projections.lda_projection(some.points, some.tokens, some.labels, "gender", seed=seed)
        speakers = some.tokens["speaker"]
        if found.held_out.any():
            assert not set(speakers[found.held_out]) & set(speakers[~found.held_out])
            assert set(some.labels[~found.held_out]) == set(fitted)
        else:
            assert "too well" in found.description
        assert found.axes == ("LDA 1", "PCA 1")


def test_principal_axes_hold_the_most_variance(tokens: TokenTable) -> None:
    space = tokens.matrix("mel")
    at = projections.pca_projection(space).places
    standard = (space - space.mean(0)) / space.std(0)
    values = np.linalg.eigvalsh(standard.T @ standard / len(space))[::-1]
    assert at.var(axis=0) == pytest.approx(values[:2], rel=1e-9)  # both are exact but for rounding


def test_what_is_kept_on_disk_is_computed_once(tmp_path: Path) -> None:
    calls = []

    def compute() -> np.ndarray:
        calls.append(1)
        return np.arange(3.0)

    path = tmp_path / "maps" / f"{digest(np.ones(2), 'umap', 3)}.npy"
    assert (cached_array(path, compute) == cached_array(path, compute)).all()
    path.write_bytes(b"damaged")
    assert (cached_array(path, compute) == np.arange(3)).all()
    assert len(calls) == 2
    assert digest(np.ones(2)) != digest(np.ones((2, 1)))


def test_memory_forgets_the_oldest() -> None:
    memory = ResultCache(2)
    for key in (1, 2, 1, 3):
        memory.get(key, lambda key=key: key)  # type: ignore[misc]
    assert [key in memory for key in (1, 2, 3)] == [True, False, True]


# Neighbours.


@pytest.mark.parametrize(
    ("target", "protocol"),
    [("phoneme", "nested"), ("phoneme", "utterance"), ("phoneme", "speaker"), ("gender", "speaker")],
)
def test_one_prediction_is_that_of_the_whole_run(tokens: TokenTable, target: str, protocol: Any) -> None:
    probe, names, _ = shown(tokens, target=target).probe()
    probe = replace(probe, protocol=protocol)
    predictions = predict_all(probe)
    for row in range(0, len(probe.codes), 7):
        for k in (1, 5, 9):
            assert predict_one(probe, row, k).predicted == predictions[row, k - 1]
            others = predict_one(probe, row, k).rows
            assert row not in others
            same = probe.speakers[others] == probe.speakers[row]
            assert same.all() if target == "phoneme" and protocol != "speaker" else not same.any()
            if protocol == "utterance":
                assert (probe.utterances[others] != probe.utterances[row]).all()
    assert len(names) > predictions.max()


def test_a_point_with_too_few_others_has_no_prediction() -> None:
    rng = np.random.default_rng(0)
    speakers, utterances = np.zeros((2, 12), dtype=int)
    probe = KnnProbe(rng.normal(size=(12, 3)), np.arange(12) % 2, speakers, utterances, "phoneme", "nested")
    predictions = predict_all(probe)
    assert (predictions[:, :11] != NO_PREDICTION).all()
    assert (predictions[:, 11:] == NO_PREDICTION).all()


def test_nearest_leaves_out_itself_and_not_its_copy() -> None:
    space = np.array([[0.0, 0.0], [5.0, 1.0], [0.0, 0.0], [1.0, 0.0]])
    rows, distances = nearest(space, 0, 2)
    assert rows.tolist() == [2, 3]
    assert distances[0] == 0


# Pictures.


def drawn(some: MapTokens, **how: Any) -> dict[str, Any]:
    """What the browser is sent, where the s are grey; arrays unpacked."""
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(2, len(some.labels)))
    frame = pd.DataFrame({
        "token_id": some.tokens["token_id"], "x": x, "y": y, "held_out": np.arange(len(x)) % 2 == 0,
        "hover": scatter.hover_texts(some.tokens), "coloured": some.labels != "s", "selectable": some.labels != "s",
        "class": some.labels, "value": 1000 * x,
    })  # fmt: skip
    data = scatter.picture(frame, ("a", "b"), "plane", **how)
    kinds = {"x": "<f4", "y": "<f4", "style": "<u2", "kind": "u1"}
    sent: dict[str, Any] = json.loads(json.dumps(data))
    assert np.frombuffer(b64decode(sent["x"]), "<f4").tolist() == x.astype(np.float32).tolist()
    return sent | {name: np.frombuffer(b64decode(sent[name]), kind) for name, kind in kinds.items()}


def test_points_are_known_by_id_and_have_the_look_of_their_class(tokens: TokenTable) -> None:
    some = shown(tokens)
    looks = class_styles.class_styles(some.labels, "phoneme")
    ids = some.tokens["token_id"].tolist()
    sent = drawn(some, styles=looks, selected=ids[3:4], near=ids[5:7])
    assert sent["tokens"] == ids
    assert [list(looks)[i] for i in sent["style"]] == some.labels.tolist()
    assert [look["mark"] for look in sent["styles"]] == [look.marker for look in looks.values()]
    assert (sent["kind"] == 0).tolist() == (some.labels == "s").tolist()  # grey, and no lasso takes them
    assert set(sent["kind"]) == {0, 2, 3}
    assert [ring["points"] for ring in sent["rings"]] == [[3], [5, 6]]
    assert sent["hover"][0].split("\n") == ["iy  50 ms", "FAAA0_SX0"]


def test_numbers_are_coloured_up_to_a_limit_that_few_exceed(tokens: TokenTable) -> None:
    some = shown(tokens)
    sent = drawn(some)
    values = 1000 * np.random.default_rng(0).normal(size=(2, len(some.labels)))[0]
    assert sent["scale"]["high"] == pytest.approx(np.percentile(values, 98))
    expected = np.clip(values / sent["scale"]["high"], 0, 1) * (len(sent["styles"]) - 1)
    np.testing.assert_allclose(sent["style"], expected, atol=0.5001)


def test_the_browser_draws_every_mark_there_is() -> None:
    script = style.MARKS.read_text()
    outlines = script[script.index("const OUTLINES") : script.index("};", script.index("const OUTLINES"))]
    drawn_there = set(re.findall(r'^  "?([^\s":]+)"?: ', outlines, re.MULTILINE))
    assert drawn_there | {"o"} == set(class_styles.GLYPHS)


def test_classes_look_as_in_the_figures_and_stand_out_on_a_dark_page() -> None:
    looks = class_styles.class_styles(["iy", "p", projections.UNKNOWN], "phoneme")
    assert looks["iy"] == style.phone_styles(["iy"])["iy"]
    assert list(looks) == ["p", "iy", projections.UNKNOWN]
    assert class_styles.visible("#07306E", False).lower() == "#07306e"
    assert class_styles.visible("#07306E", True).lower() != "#07306e"
    assert class_styles.visible("#FFFFFF", True).lower() == "#ffffff"
    for look in style.phone_styles(["p", "iy", "s", "m", "l"]).values():
        assert look.marker in question_plots.SYMBOLS
        assert look.marker in class_styles.GLYPHS


def test_an_export_holds_the_ids_and_the_feature(tokens: TokenTable) -> None:
    some = shown(tokens)
    read = pd.read_parquet(BytesIO(token_exports.features(some.tokens.iloc[[3, 5]], "z1", some.points[[3, 5]])))
    assert read["token_id"].tolist() == some.tokens["token_id"].iloc[[3, 5]].tolist()
    np.testing.assert_array_equal(np.stack(read["z1"].tolist()), tokens.features["z1"][[3, 5]])


def test_the_command_line_of_the_page_says_what_was_given(tmp_path: Path) -> None:
    told = explore.arguments([tmp_path / "a", tmp_path / "b"], "corpus", "model")
    given = parse(told)
    assert given.table_folders == (tmp_path / "a", tmp_path / "b")
    assert (given.corpus_folder, given.checkpoint_name) == (Path("corpus"), "model")
    assert parse(explore.arguments([tmp_path], None, None)).corpus_folder is None


def test_tables_are_called_by_their_folders_unless_two_have_one_name(latents: Path, tmp_path: Path) -> None:
    (tmp_path / "small").symlink_to(latents)
    (tmp_path / "other").symlink_to(latents)
    assert list(ExplorerInputs((latents, tmp_path / "other")).tables) == ["small", "other"]
    assert list(ExplorerInputs((latents, tmp_path / "small")).tables) == [str(latents), str(tmp_path / "small")]


# Pages.


def page(name: str, latents: str) -> None:
    import importlib
    from pathlib import Path

    from lvm_probe.app.explorer.inputs import ExplorerInputs

    importlib.import_module(f"lvm_probe.app.explorer.pages.{name}").show(ExplorerInputs((Path(latents),)))


@pytest.fixture
def opened(latents: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Any]:
    """Opens a page; nothing may be raised on it."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    waiting.BACKGROUND.clear()
    st.cache_resource.clear()  # answers to another test's questions

    def run(name: str, **query: list[str]) -> AppTest:
        at = AppTest.from_function(page, kwargs={"name": name, "latents": str(latents)}, default_timeout=60)
        for key, values in query.items():
            at.query_params[key] = values
        return at.run()

    return run


def choose(at: AppTest, label: str, option: str) -> AppTest:
    (box,) = [box for box in at.selectbox if box.label == label]
    return box.select(option).run()


def compute(at: AppTest) -> Any:
    (button,) = [button for button in at.button if button.label == "Compute"]
    return button


def address(at: AppTest, name: str) -> list[str]:
    """AppTest gives a single value by itself."""
    value = at.query_params[name]
    return value if isinstance(value, list) else [value]


def words(at: AppTest) -> str:
    return "\n".join(element.value for kind in (at.markdown, at.caption, at.info, at.warning) for element in kind)


def test_the_map_explains_itself_and_follows_its_controls(opened: Any) -> None:
    at = opened("map")
    assert not at.exception
    assert "Click a point to hear it" in words(at)
    assert "half of the utterances" in words(at)
    for label, option in (("Colour by", "gender"), ("Feature", "mel"), ("Colour by", "duration"), ("Target", "gender"),
                          ("Colour by", class_styles.PREDICTION)):  # fmt: skip
        at = choose(at, label, option)
        assert not at.exception, (label, option)
    assert "protocol speaker, k \\= 5" in words(at).replace("\\,", ",")
    assert address(at, "colour") == [class_styles.PREDICTION]
    assert address(at, "feature") == ["mel"]


@pytest.mark.parametrize("name", ["map", "questions"])
def test_a_choice_can_be_made_again_and_again(opened: Any, name: str) -> None:
    at = opened(name, features=["z1"])
    if name == "questions":
        at = compute(at).click().run()
    for label in reversed([box.label for box in at.selectbox]):  # those that come first decide which others there are
        for turn in (1, 2, 0, 1):
            (box,) = [box for box in at.selectbox if box.label == label]
            at = box.select_index(turn % len(box.options)).run()
            assert not at.exception
            for button in [button for button in at.button if button.label == "Compute"]:
                at = button.click().run()
            (after,) = [box for box in at.selectbox if box.label == label]
            assert after.index == turn % len(box.options), (label, turn)


def test_a_token_in_the_address_is_shown_with_what_the_knn_says(opened: Any) -> None:
    at = opened("map", tokens=["FAAA0_SX1:phoneme:0005"], feature=["mel"], layout=["PCA"])
    assert not at.exception
    text = words(at)
    assert "The kNN predicts" in text
    assert "No corpus was given" in text
    assert "nearest in Mel" in text
    assert text.count("<img") == text.count(r"\<img") > 0  # the label is HTML, and stands escaped
    (kinds,) = [control for control in at.segmented_control if control.label == "Neighbours"]
    at = kinds.set_value(selection_card.VOTES).run()
    assert not at.exception
    assert "the 5 tokens that voted" in words(at)
    assert address(at, "near") == [selection_card.VOTES]


def test_a_selection_is_counted_and_listed(opened: Any) -> None:
    ids = [f"FAAA0_SX1:phoneme:{i:04d}" for i in range(3)]
    at = opened("map", tokens=[*ids, "gone"])
    assert not at.exception
    assert "3 tokens selected" in words(at)
    assert at.dataframe[1].value["token_id"].tolist() == ids
    at = at.text_input[0].set_value("iy").run()  # a search crosses with the selection
    assert "1 of 3 selected tokens" in words(at)
    (away,) = [button for button in at.button if button.key == "map away"]
    at = away.click().run()
    assert "32 tokens found" in words(at)
    (back,) = [button for button in at.button if button.key == "map back"]
    assert "1 of 3 selected tokens" in words(back.click().run())


def test_filters_turn_tokens_grey_or_leave_them_out(opened: Any) -> None:
    at = opened("map", speakers=["FAAA0"], shortest=["80"])
    assert not at.exception
    assert "tokens found" in words(at)
    assert "4 speakers" in words(at)  # the others are grey
    (alone,) = [box for box in at.checkbox if box.key == "map Alone"]
    assert "of 1 speaker" in words(alone.check().run())
    at = choose(opened("map"), "Predictions", "wrong")
    assert not at.exception
    assert "found" in words(at)


def test_what_moved_between_two_maps_is_selected(opened: Any) -> None:
    at = choose(opened("map", feature=["z1"]), "Its feature", "mel")
    assert not at.exception
    assert address(at, "second") == ["mel"]
    (button,) = [button for button in at.button if button.label == "What moved"]
    at = button.click().run()
    assert not at.exception
    assert "48 tokens moved most" in words(at)


def test_strange_addresses_open_the_map_all_the_same(opened: Any) -> None:
    at = opened("map", feature=["none"], layout=["???"], colour=["x"], speakers=["nobody"], k=["999"])
    assert not at.exception
    assert [slider.value for slider in at.slider if slider.key == "map k"] == [50]


def test_questions_are_asked_on_demand_and_kept(opened: Any) -> None:
    at = opened("questions", features=["z1"])
    assert not at.exception
    assert "Not computed yet" in words(at)
    at = compute(at).click().run()
    assert not at.exception
    text = words(at)
    for said in ("utterance", "96 tokens", "4 speakers", "permutations", "chance"):
        assert said in text
    assert text.count("<img") == text.count(r"\<img")
    assert [button.label for button in at.button] == ["Compare"]  # no more to ask
    listed = at.dataframe[-1].value
    true, predicted = (box.value for box in at.selectbox if box.label in ("True class", "Predicted as"))
    assert set(listed["label"]) == {true}
    assert f"**{len(listed)}** × {plain(true)} predicted as {plain(predicted)}" in text
    assert address(at, "true") == [true]


# The command.


def test_bad_input_is_refused_before_anything_is_served(refused: Refusal, latents: Path, tmp_path: Path) -> None:
    assert "no token table" in refused("explore", "--latents", tmp_path)
    assert "no such folder" in refused("explore", "--latents", latents, "--corpus", tmp_path / "none")
    assert "leave out" in refused("explore", "--demo", "--latents", latents)
    assert "--port 70000" in refused("explore", "--latents", latents, "--port", "70000")
    assert "probe explore" in refused("explore", "--latents", latents, "--ckpt", tmp_path / "none.safetensors")


def test_the_command_serves_on_this_machine_only(probe: Any, latents: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from streamlit.web import bootstrap

    served: dict[str, Any] = {}
    monkeypatch.setattr(bootstrap, "load_config_options", served.update)
    monkeypatch.setattr(bootstrap, "run_asgi_app", lambda script, app, told, options: served.update(told=told))
    answer = probe("explore", "--latents", latents, "--port", "8977", "--no-browser")
    assert answer["address"] == "http://127.0.0.1:8977"
    assert served["server_address"] == "127.0.0.1"
    assert served["server_headless"] is True
    assert served["browser_gatherUsageStats"] is False
    assert served["told"] == ["--latents", str(latents)]


def test_a_layout_that_cannot_be_computed_says_why(tokens: TokenTable) -> None:
    with pytest.raises(InputError, match="UMAP needs 30"):
        projections.umap_projection(np.zeros((5, 3)), lambda share: None)
