"""The pages 'Utterance' and 'Change a latent' without a browser, and the probes of the latter."""

from pathlib import Path

import numpy as np
import pytest
from streamlit.testing.v1 import AppTest

from lvm_probe import InputError
from lvm_probe.app.explorer import latent_probes
from lvm_probe.app.explorer.inputs import ExplorerInputs
from lvm_probe.app.explorer.pages import utterance as utterance_page
from lvm_probe.app.explorer.recording_choice import speaker_text
from lvm_probe.probing.features import token_table


def run(page: str, given: ExplorerInputs, **query: str) -> AppTest:
    def script(page: str, given: object) -> None:  # becomes a file of its own
        import importlib

        importlib.import_module(f"lvm_probe.app.explorer.pages.{page}").show(given)

    test = AppTest.from_function(script, default_timeout=60, args=(page, given))
    for name, value in query.items():
        test.query_params[name] = value
    return test.run()


def infos(test: AppTest) -> str:
    return " ".join(info.value for info in test.info).replace("\\", "")


@pytest.fixture(scope="module")
def given(latents: Path, small: Path, tiny: Path) -> ExplorerInputs:
    return ExplorerInputs((latents,), small, str(tiny))


def test_the_utterance_of_the_address_is_shown(given: ExplorerInputs) -> None:
    id = given.corpus.utterances[-1].id
    test = run("utterance", given, utterance=id)
    assert not test.exception
    assert test.selectbox[1].value == id
    assert test.query_params["utterance"] == id
    assert test.subheader[0].value == "Reconstructions by the model"
    assert not test.info


def test_an_unknown_utterance_in_the_address_gives_way_to_the_first(given: ExplorerInputs) -> None:
    assert not run("utterance", given, utterance="<b>nobody</b>").exception


def test_without_a_corpus_the_table_speaks(latents: Path) -> None:
    test = run("utterance", ExplorerInputs((latents,)))
    assert not test.exception
    assert "No corpus was given" in infos(test)
    assert "mean latents of each token" in test.caption[0].value


def test_without_a_checkpoint_the_rest_works(latents: Path, small: Path) -> None:
    given = ExplorerInputs((latents,), small)
    test = run("utterance", given)
    assert not test.exception
    assert "No checkpoint was given" in infos(test)
    assert "Click a phone" in test.caption[0].value
    assert "No checkpoint was given" in infos(run("change", given))


def test_a_recording_that_has_gone_is_named(latents: Path, small: Path, tmp_path: Path) -> None:
    import shutil

    copy = tmp_path / "copy"
    shutil.copytree(small, copy)
    given = ExplorerInputs((latents,), copy)
    utterance = given.corpus.utterances[0]
    utterance.audio.unlink()
    test = run("utterance", given)
    assert not test.exception
    assert "no such audio file" in test.error[0].value


def test_another_speakers_layer_and_a_step_are_heard_and_judged(given: ExplorerInputs) -> None:
    test = run("change", given)
    assert not test.exception
    assert list(test.dataframe[0].value.index) == [
        "Recording", "Decoded, unchanged", "Decoded, changed", "Changed latents themselves",
    ]  # fmt: skip
    moved = run("change", given, change="step from one class to another")
    assert not moved.exception
    assert "is moved by 1 times the step" in moved.caption[0].value
    erased = run("change", given, change="erase what tells a class", concept="speaker")
    assert not erased.exception
    assert "what tells the speaker is erased at every time step (LEACE)" in erased.caption[0].value


def test_a_table_of_another_checkpoint_has_no_say(latents: Path, small: Path) -> None:
    given = ExplorerInputs((latents,), small, "cwvae-small-1")
    test = run("change", given)
    assert "one layer of latents" in infos(test)
    assert "None of the tables was made with this checkpoint" in infos(
        run("change", given, change="step from one class to another")
    )


def test_a_step_carries_one_class_mean_to_the_other_and_both_ways_cross_as_far() -> None:
    rng = np.random.default_rng(0)
    labels = np.repeat(["F", "M", "x"], 200)
    points = rng.standard_normal((600, 3)) @ np.array([[2, 0.5, 0], [0, 1, 0.3], [0, 0, 0.2]])
    points[labels == "M"] += [1.0, 0.0, 0.5]
    straight, across = (
        latent_probes.class_step(points, labels.tolist(), "F", "M", way) for way in latent_probes.Way.__args__
    )
    np.testing.assert_allclose(straight, points[labels == "M"].mean(0) - points[labels == "F"].mean(0))
    pair = labels != "x"
    probe = latent_probes.fit_probe(points[pair], labels[pair].tolist())
    axis = probe.weights[:, 1] - probe.weights[:, 0]
    np.testing.assert_allclose(across @ axis, straight @ axis)
    np.testing.assert_allclose(across / np.linalg.norm(across), axis / np.linalg.norm(axis), atol=1e-9)
    assert np.linalg.norm(across) < np.linalg.norm(straight)
    assert np.mean(np.array(probe.predict(points[pair])) == labels[pair]) > 0.8
    assert probe.predict(points[labels == "F"].mean(0)[None] + 2 * across) == ["M"]


def test_probes_are_fitted_on_others_tokens(latents: Path) -> None:
    whole = token_table.load(latents)
    first = whole.tokens.iloc[0]
    kept = whole.tokens[latent_probes.training_rows(whole, "gender", [first["utterance"]], [first["speaker"]])]
    assert first["speaker"] not in set(kept["speaker"])
    assert "h#" not in set(kept["label"])
    own = whole.tokens[latent_probes.training_rows(whole, "phoneme", [first["utterance"]], [first["speaker"]])]
    assert first["utterance"] not in set(own["utterance"])
    assert first["speaker"] in set(own["speaker"])


def test_one_class_is_nothing_to_tell_apart() -> None:
    points = np.random.default_rng(0).standard_normal((4, 2))
    with pytest.raises(InputError, match="all of one class"):
        latent_probes.fit_probe(points, ["F"] * 4)
    with pytest.raises(InputError, match="have no M"):
        latent_probes.class_step(points, ["F"] * 4, "F", "M", "between the class means")


def test_columns_lie_side_by_side_with_gaps() -> None:
    spans = np.array([[0, 10], [20, 30], [25, 40]])
    edges, columns = utterance_page.token_columns(spans, np.array([[1.0], [2.0], [3.0]]))
    assert edges.tolist() == [0, 10, 20, 30, 40]
    np.testing.assert_array_equal(columns[:, 0], [1, np.nan, 2, 3])


def test_kl_is_averaged_over_runs_of_steps() -> None:
    first, mean = utterance_page.averaged(np.array([1.0, 3.0, 5.0]), 2)
    assert (first.tolist(), mean.tolist()) == ([0, 2], [2.0, 5.0])


def test_what_is_known_of_a_speaker_is_said() -> None:
    assert speaker_text("A", "F", 170.2, "DR1") == "A, woman, 170 cm, DR1"
    assert speaker_text("B", None, None) == "B"
