"""`probe export`: files that travel, read by the tools that they are for, or against their documented form."""

import base64
import io
import json
import re
import shutil
import wave
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

import lvm_probe
from lvm_probe.analysis.moments import standardised
from lvm_probe.probing.corpora.audio import read_audio, to_pcm
from lvm_probe.probing.corpora.corpus import Corpus
from lvm_probe.probing.corpora.demo import CORPUS
from lvm_probe.probing.corpora.phones import NON_PHONEMES
from lvm_probe.probing.corpora.praat import read_text_grid
from lvm_probe.probing.exports import frames, projector, token_audio
from lvm_probe.probing.features.token_table import TokenTable
from tests.app.conftest import Probe, Refusal

SPEAKERS = ("FADA9", "MIKE9")


def encode(audio: np.ndarray) -> dict[str, Any]:
    frames = audio[: len(audio) // 160 * 160].reshape(-1, 160)
    return {"spectrum": (np.log(np.abs(np.fft.rfft(frames)) + 1e-3), None, 160)}


@pytest.fixture(scope="module")
def corpus() -> Corpus:
    return lvm_probe.open_corpus(CORPUS)


@pytest.fixture(scope="module")
def table(corpus: Corpus, tmp_path_factory: pytest.TempPathFactory) -> TokenTable:
    return lvm_probe.extract(corpus, encode, tmp_path_factory.mktemp("t") / "mine", speakers=SPEAKERS, workers=1)


def export(probe: Probe, table: TokenTable, *argv: object) -> dict[str, Any]:
    return probe("export", "--latents", table.path, "--feature", "spectrum", *argv)


def data_of(page: str) -> dict[str, Any]:
    match = re.search(r'<script id="data" type="application/json">(.*?)</script>', page, re.DOTALL)
    assert match is not None
    found = json.loads(match[1])
    assert isinstance(found, dict)
    return found


def test_a_page_holds_the_map_and_the_sound_and_asks_for_nothing(
    probe: Probe, table: TokenTable, corpus: Corpus, tmp_path: Path
) -> None:
    out = tmp_path / "map.html"
    result = export(probe, table, "--corpus", CORPUS, "--html", out, "--max-tokens", 60)
    assert result["wrote"] == [str(out)]
    assert result["tokens"] == {"map": 60}
    assert "drawn at random" in result["notes"][0]
    page = out.read_text()
    assert not re.search(r"(src|href)\s*=|https?://|\bimport\b|fetch\(", page.replace("default-src", ""))
    data = data_of(page)
    assert [one["by"] for one in data["colourings"]] == ["manner", "gender", "speaker"]
    assert sum(one["count"] for one in data["colourings"][0]["classes"]) == 60
    token = 7
    utterance = next(one for one in corpus.utterances if one.id == data["utterance"][token])
    audio = to_pcm(read_audio(utterance, utterance.sample_rate))
    sound = np.frombuffer(base64.b64decode(data["audio"]), "<i2")
    offsets = np.frombuffer(base64.b64decode(data["offsets"]), "<i4")
    start, end = (round(data[name][token] * utterance.sample_rate) for name in ("start", "end"))
    more = round(token_audio.CONTEXT_SECONDS * utterance.sample_rate) if data["context"][token] else 0
    expected = audio[max(0, start - more) : end + more]
    np.testing.assert_array_equal(sound[offsets[token] : offsets[token + 1]], expected)


def test_text_from_files_cannot_leave_the_data_of_a_page(
    probe: Probe, corpus: Corpus, table: TokenTable, tmp_path: Path
) -> None:
    spoilt = lvm_probe.load_table(table.path)
    spoilt.columns["label"][:] = "</script><script>alert(1)</script>{{about}}"
    named = spoilt.save(tmp_path / "{{data}} <b>")
    out = tmp_path / "map.html"
    argv = ("export", "--latents", named, "--feature", "spectrum", "--corpus", CORPUS, "--target", "phoneme")
    probe(*argv, "--html", out, "--max-tokens", 20)
    page = out.read_text()
    assert page.count("<script") == 2
    assert "<h1>{{data}} &lt;b&gt;: spectrum by PCA</h1>" in page
    assert set(data_of(page)["label"]) == {"</script><script>alert(1)</script>{{about}}"}


@pytest.mark.skipif(shutil.which("chromium") is None, reason="no chromium (Debian's package of that name)")
@pytest.mark.parametrize(("width", "scheme"), [(1280, "light"), (1920, "dark"), (420, "light")])
def test_a_page_opens_from_a_file_and_plays(
    probe: Probe, table: TokenTable, tmp_path: Path, width: int, scheme: Any
) -> None:
    sync_api = pytest.importorskip("playwright.sync_api")
    out = tmp_path / "map.html"
    export(probe, table, "--corpus", CORPUS, "--html", out, "--max-tokens", 60)
    with sync_api.sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=shutil.which("chromium"), args=["--no-sandbox"])
        context = browser.new_context(viewport={"width": width, "height": 800}, color_scheme=scheme, offline=True)
        page = context.new_page()
        problems: list[str] = []
        page.on("console", lambda said: problems.append(said.text))
        page.on("pageerror", lambda error: problems.append(str(error)))
        page.goto(out.as_uri())
        box = page.locator("#stage canvas").bounding_box()
        assert box is not None
        x, y = page.evaluate("place(X[5], Y[5])")
        page.mouse.click(box["x"] + x, box["y"] + y)
        assert page.evaluate("window.played") == 1
        chosen = page.evaluate("chosen")
        assert page.evaluate("Math.hypot(X[5] - X[chosen], Y[5] - Y[chosen])") < 1
        page.locator("#neighbours button").first.click()
        assert page.evaluate("chosen") == page.evaluate(f"NEAR[{chosen} * K]")
        assert page.evaluate("window.played") == 2
        page.select_option("#colour", label="speaker")
        assert page.locator("#legend button").count() == 2
        page.locator("#legend button").first.click()
        assert page.evaluate("shownCount()") == page.evaluate("colouring.codes.filter(code => code !== 0).length")
        page.fill("#search", SPEAKERS[1])
        assert page.evaluate("shownCount()") == page.evaluate(
            f"D.speaker.filter(one => one === '{SPEAKERS[1]}').length"
        )
        page.locator("#stage canvas").hover()
        page.mouse.wheel(0, -300)
        page.wait_for_function("view.k > 1")
        assert page.evaluate("document.documentElement.scrollWidth") <= width
        assert problems == []
        browser.close()


def test_parquet_for_embedding_atlas(probe: Probe, table: TokenTable, tmp_path: Path) -> None:
    """Against https://apple.github.io/embedding-atlas/tool.html: zero-based rows as ids, with their distances."""
    out = tmp_path / "atlas.parquet"
    export(probe, table, "--atlas", out, "--corpus", CORPUS, "--max-tokens", 50)
    frame = pd.read_parquet(out)
    assert {"x", "y", "neighbors", "label", "class", "speaker", "audio"} <= set(frame.columns)
    row_of = {token: row for row, token in enumerate(table.tokens["token_id"])}
    space = standardised(table.matrix("spectrum", [row_of[token] for token in frame["token_id"]]))
    apart = np.linalg.norm(space[:, None] - space[None], axis=2) + np.diag(np.full(50, np.inf))
    for row, near in enumerate(frame["neighbors"]):
        assert set(near) == {"ids", "distances"}
        np.testing.assert_allclose(near["distances"], np.sort(apart[row])[:10])
        np.testing.assert_allclose(apart[row][near["ids"]], near["distances"])
    sound = frame["audio"].iloc[0]
    with wave.open(io.BytesIO(sound["bytes"])) as file:
        assert (file.getnchannels(), file.getframerate()) == (1, 16000)
    assert sound["path"] == f"{frame['token_id'].iloc[0]}.wav"
    silent = tmp_path / "silent.parquet"
    export(probe, table, "--atlas", silent, "--max-tokens", 50)
    assert "audio" not in pd.read_parquet(silent)


def test_vectors_are_read_by_tensorboards_projector(probe: Probe, table: TokenTable, tmp_path: Path) -> None:
    from tensorboard.plugins.projector import projector_plugin

    out = tmp_path / "projector"
    export(probe, table, "--projector", out, "--max-tokens", 40)
    assert sorted(path.name for path in out.iterdir()) == sorted(projector.FILES)
    vectors = projector_plugin._read_tensor_tsv_file(str(out / "vectors.tsv"))
    metadata = pd.read_csv(out / "metadata.tsv", sep="\t")
    row_of = {token: row for row, token in enumerate(table.tokens["token_id"])}
    ours = table.matrix("spectrum", [row_of[token] for token in metadata["token_id"]])
    np.testing.assert_allclose(vectors, ours, rtol=1e-5, atol=1e-5)  # six digits are written
    from google.protobuf import text_format
    from tensorboard.plugins.projector.projector_config_pb2 import ProjectorConfig

    config = text_format.Parse((out / "projector_config.pbtxt").read_text(), ProjectorConfig())
    assert config.embeddings[0].tensor_path == "vectors.tsv"


def test_predictions_are_those_of_the_probe(probe: Probe, table: TokenTable, tmp_path: Path) -> None:
    out = tmp_path / "segments.csv"
    export(probe, table, "--segments", out, "--k", 3)
    frame = pd.read_csv(out, keep_default_na=False)
    answer = lvm_probe.ask(table, features=["spectrum"], ks=[3], permutations=0)
    assert frame["right"].mean() == pytest.approx(answer.frame.query("speaker == ''")["accuracy"].iloc[0])
    assert ((frame["label"] == frame["predicted"]) == frame["right"]).all()
    assert set(frame["confidence"].round(6)) <= {round(votes / 3, 6) for votes in (1, 2, 3)}
    assert ((frame["end_s"] - frame["start_s"]) * frame["sample_rate"]).round().eq(frame["end"] - frame["start"]).all()


def test_textgrids_have_a_tier_of_predictions(probe: Probe, table: TokenTable, corpus: Corpus, tmp_path: Path) -> None:
    out = tmp_path / "grids"
    result = export(probe, table, "--textgrids", out, "--segments", tmp_path / "s.csv", "--corpus", CORPUS)
    frame = pd.read_csv(tmp_path / "s.csv", keep_default_na=False)
    assert len(result["wrote"]) == 1 + frame["utterance"].nunique()
    for utterance in corpus.utterances:
        if utterance.speaker.id not in SPEAKERS:
            continue
        notices: list[Any] = []
        tiers = {tier.name: tier for tier in read_text_grid(out / f"{utterance.id}.TextGrid", notices)}
        assert notices == []
        names = list(tiers)
        assert (names[0], names[-1]) == ("phones", "predicted by spectrum")
        rows = frame[frame["utterance"] == utterance.id]
        labelled = [row for row in tiers["predicted by spectrum"].intervals if row.label]
        assert [row.label for row in labelled] == rows["predicted"].tolist()


def test_other_textgrids_are_not_replaced(probe: Probe, refused: Refusal, table: TokenTable, tmp_path: Path) -> None:
    argv = ("--textgrids", tmp_path / "grids", "--corpus", CORPUS, "--speaker", SPEAKERS[0])
    wrote = [Path(path) for path in export(probe, table, *argv)["wrote"]]
    assert [Path(path) for path in export(probe, table, *argv)["wrote"]] == wrote
    wrote[0].unlink()
    with wrote[1].open("a") as file:
        file.write(" ")
    edited = wrote[1].read_bytes()
    said = refused("export", "--latents", table.path, "--feature", "spectrum", *argv, "--segments", tmp_path / "s.csv")
    assert f"{wrote[1]}: another TextGrid is here; give --textgrids another folder, or remove it" in said
    assert wrote[1].read_bytes() == edited
    assert not wrote[0].exists()
    assert not (tmp_path / "s.csv").exists()


def test_frames_are_the_models_latents_with_a_zerospeech_item_file(
    probe: Probe, corpus: Corpus, tiny: Path, tmp_path: Path, refused: Refusal, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Against the columns of ZeroSpeech 2021: #file onset offset #phone prev-phone next-phone speaker, in seconds."""
    argv = ("export", "--ckpt", tiny, "--corpus", CORPUS, "--speaker", SPEAKERS[0], "--samples", 1, "--device", "cpu")
    result = probe(*argv, "--frames", tmp_path / "frames")
    assert [Path(path).name for path in result["wrote"]] == ["phones.item", "triphones.item", "frames.json"]
    index = json.loads((tmp_path / "frames" / "frames.json").read_text())
    utterance = corpus.select(speakers=SPEAKERS[:1]).utterances[0]
    wave = read_audio(utterance, utterance.sample_rate)
    model = lvm_probe.load_model(tiny, device="cpu")
    latents = model.latents(wave, sample_rate=utterance.sample_rate, samples=1, utterance=utterance.id)
    assert set(index["layers"]) == set(latents)
    for layer, one in latents.items():
        array = np.load(tmp_path / "frames" / layer / f"{utterance.id}.npy")
        np.testing.assert_array_equal(array, one.mean)
        assert index["layers"][layer]["frequency_hz"] == index["sample_rate"] / one.stride
    items = pd.read_csv(tmp_path / "frames" / "phones.item", sep=" ", keep_default_na=False)
    assert list(items.columns) == ["#file", "onset", "offset", "#phone", "prev-phone", "next-phone", "speaker"]
    own = items[items["#file"] == utterance.id]
    spoken = [one for one in utterance.phonemes if one.label not in NON_PHONEMES]
    assert own["#phone"].tolist() == [one.label for one in spoken]
    np.testing.assert_allclose(own["onset"], [one.start / utterance.sample_rate for one in spoken], atol=1e-6)
    assert own["prev-phone"].iloc[0] == "SIL"
    assert own["next-phone"].tolist()[:-1] == own["#phone"].tolist()[1:]
    triphones = pd.read_csv(tmp_path / "frames" / "triphones.item", sep=" ", keep_default_na=False)
    first = triphones[triphones["#file"] == utterance.id].iloc[0]
    assert "SIL" not in set(triphones["prev-phone"]) | set(triphones["next-phone"])
    assert first["#phone"] == spoken[1].label
    np.testing.assert_allclose(
        [first["onset"], first["offset"]], [spoken[0].start / 16_000, spoken[2].end / 16_000], atol=1e-6
    )
    monkeypatch.setattr(frames, "MAX_BYTES", 1000)
    assert "choose fewer with --speaker" in refused(*argv, "--frames", tmp_path / "large")
    assert not (tmp_path / "large").exists()


@pytest.mark.parametrize(
    ("argv", "says"),
    [
        ([], "nothing to export; give --html, --atlas, --projector, --segments, --textgrids or --frames"),
        (["--html", "OUT/a.html"], "--html: needs the recordings"),
        (["--frames", "OUT", "--corpus", str(CORPUS)], "--frames: needs the model"),
        (["--frames", "OUT", "--corpus", str(CORPUS), "--ckpt", "none-such"], "none-such"),
        (["--frames", "OUT", "--corpus", str(CORPUS), "--ckpt", "cwvae-small", "--samples", 0], "--samples 0"),
        (["--atlas", "OUT/a", "--max-tokens", 2], "--max-tokens 2: give 3 or more"),
        (["--segments", "OUT/a", "--k", 0], "--k 0: give 1 or more"),
        (["--segments", "OUT/a", "--target", "gender"], "--target gender: --segments is of tokens"),
        (["--atlas", "OUT/a", "--feature", "nothing"], "no feature 'nothing'"),
        (["--atlas", "OUT/a", "--speaker", "nobody"], "no speaker nobody"),
        (["--atlas", "TABLE/a"], "inside a token table"),
        (["--atlas", "OUT/a", "--ckpt", "cwvae-small"], "--ckpt: only for --frames"),
        (["--atlas", "OUT/a", "--protocol", "nested"], "--protocol: only for --segments and --textgrids"),
        (["--segments", "OUT/a", "--protocol", "transfer"], "invalid choice: 'transfer'"),
    ],
)
def test_bad_requests_write_nothing(
    refused: Refusal, table: TokenTable, tmp_path: Path, argv: list[Any], says: str
) -> None:
    out = tmp_path / "out"
    places = {"OUT": str(out), "TABLE": str(table.path)}
    words = [re.sub("OUT|TABLE", lambda match: places[match[0]], str(word)) for word in argv]
    before = sorted(table.path.iterdir())
    given = [] if "--feature" in words else ["--feature", "spectrum"]
    assert says in refused("export", "--latents", table.path, *given, *words)
    assert not out.exists()
    assert sorted(table.path.iterdir()) == before


def test_another_corpus_is_refused(corpus: Corpus, table: TokenTable) -> None:
    one = corpus.select(speakers=SPEAKERS[:1])
    with pytest.raises(lvm_probe.InputError, match="no utterance MIKE9_SA1 and 9 others of the token table"):
        token_audio.clips(one, table.tokens, max_bytes=2**30)


def test_sizes_are_bounded(
    refused: Refusal, table: TokenTable, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from lvm_probe.app.commands import export as command

    monkeypatch.setattr(command, "MAX_SOUND", 2**16)
    monkeypatch.setattr(projector, "MAX_NUMBERS", 100)
    argv = ("export", "--latents", table.path, "--feature", "spectrum", "--corpus", CORPUS)
    assert "choose fewer with --max-tokens" in refused(*argv, "--html", tmp_path / "a.html")
    # Nothing is written where one of several formats cannot be made.
    said = refused(*argv, "--atlas", tmp_path / "out" / "a.parquet", "--projector", tmp_path / "out" / "p")
    assert "the projector loads 100" in said
    assert not (tmp_path / "out").exists()
