"""The explorer as a user meets it: a real Chromium clicks, listens, selects and looks at every page.

Needs Playwright's Python package (among the dev extras) and a Chromium: Debian's, or `playwright install chromium`.
"""

import os
import shutil
import socket
import subprocess
import sys
import time
import zipfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import numpy as np
import pytest
from matplotlib.path import Path as Polygon

from lvm_probe.app.explorer import audio, entry
from lvm_probe.app.explorer.map_tokens import NEIGHBOURS
from lvm_probe.probing.corpora import open_corpus
from lvm_probe.probing.corpora.praat import read_text_grid
from tests.app.conftest import quietly

sync_api = pytest.importorskip("playwright.sync_api", reason="needs playwright: pip install -e '.[dev]'")

PATIENCE_MS = 120_000
"""Machines that run tests are slow and shared: this only bounds how long a failure takes."""
SIZES = {
    "laptop": {"width": 1280, "height": 800},
    "wide": {"width": 1920, "height": 1080},
    "phone": {"width": 420, "height": 860},
}
HARMLESS = ("fonts.gstatic.com", "ResizeObserver loop")
"""Parts of messages that say nothing of the explorer: Streamlit fetches a page's icon from a server of fonts, which
machines that run tests cannot reach.
"""

LOUDEST = """async audio => {
    const wav = new DataView(await (await fetch(audio.src)).arrayBuffer());
    const text = at => String.fromCharCode(...[0, 1, 2, 3].map(i => wav.getUint8(at + i)));
    if (text(0) !== 'RIFF' || text(36) !== 'data') throw new Error('no WAV file: ' + text(0));
    let loudest = 0;
    for (let at = 44; at + 1 < wav.byteLength; at += 2) loudest = Math.max(loudest, Math.abs(wav.getInt16(at, true)));
    return loudest;
}"""
"""The largest amplitude of the 16-bit WAV file that an audio element plays."""


PLAYED = """() => [document.querySelector('.st-key-recording-player audio').currentTime,
    parseFloat(document.querySelector('.playback-line').style.left) + 1]"""
"""Seconds of the recording that have been played, and the place of the line on the picture."""


@pytest.fixture(scope="module")
def address(tmp_path_factory: pytest.TempPathFactory, tiny: Path, small: Path) -> Iterator[str]:
    """The explorer on a small table of an untrained model."""
    folder = tmp_path_factory.mktemp("explorer")
    table = folder / "table"
    quietly("extract", "--ckpt", tiny, "--corpus", small, "--out", table, "--samples", 2, "--device", "cpu",
            "--units", "phoneme,word")  # fmt: skip
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [sys.executable, "-m", "lvm_probe", "explore", "--latents", table, "--corpus", small, "--ckpt", tiny,
               "--no-browser", "--port", port]  # fmt: skip
    log, env = folder / "log", {**os.environ, "XDG_CACHE_HOME": str(folder)}  # no UMAP of an earlier run
    with (
        log.open("w") as written,
        subprocess.Popen(list(map(str, command)), stderr=written, stdout=written, env=env) as server,
    ):
        try:
            _wait_for(port, server, log)
            yield f"http://127.0.0.1:{port}"
        finally:
            server.terminate()


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    """A headless Chromium."""
    with sync_api.sync_playwright() as playwright, launched(playwright.chromium) as found:
        yield found


def launched(chromium: Any, arguments: Sequence[str] = ()) -> Any:
    """A headless Chromium with these arguments."""
    own = Path(chromium.executable_path)
    path = str(own) if own.is_file() else shutil.which("chromium") or shutil.which("chromium-browser")
    if path is None:
        pytest.skip("needs a Chromium: apt-get install chromium, or playwright install chromium")
    # Containers run tests as root, whom Chromium refuses a sandbox.
    return chromium.launch(executable_path=path, args=["--no-sandbox", *arguments])


@contextmanager
def opened(browser: Any, address: str) -> Iterator[Any]:
    """A page that fails the test where it writes an error to the console."""
    errors: list[str] = []
    page = browser.new_page(viewport=SIZES["laptop"], color_scheme="light")
    page.set_default_timeout(PATIENCE_MS)
    page.on(
        "console", lambda said: errors.append(f"{said.text} {said.location['url']}") if said.type == "error" else None
    )
    page.on("pageerror", lambda error: errors.append(str(error)))
    try:
        page.goto(address)
        yield page
    finally:
        page.close()
    assert [error for error in errors if not any(part in error for part in HARMLESS)] == []


def test_an_utterance_is_heard_from_all_layers_and_from_some(browser: Any, address: str) -> None:
    """The first session of the server opens the address of a page, which must not depend on the map's."""
    with opened(browser, f"{address}/utterance") as page:
        page.locator(".js-plotly-plot").nth(2).wait_for()
        settled(page)
        before = page.locator("audio").count()
        page.get_by_role("button", name="z2", exact=True).click()
        page.get_by_text("z2 from the prior").wait_for()
        settled(page)
        assert "prior=z2" in page.url
        heard = page.locator("audio")
        assert heard.count() == before + 1
        for i in range(heard.count()):
            assert heard.nth(i).evaluate(LOUDEST) > 0


def test_a_line_follows_what_is_heard_and_a_stretch_is_looped(browser: Any, address: str) -> None:
    with opened(browser, f"{address}/utterance") as page:
        plot = page.locator(".js-plotly-plot").first
        plot.wait_for()
        settled(page)
        plot.scroll_into_view_if_needed()
        axis = plot.evaluate("plot => ({left: plot._fullLayout.xaxis._offset, wide: plot._fullLayout.xaxis._length})")
        area = plot.bounding_box()
        places = [(area["x"] + axis["left"] + share * axis["wide"], area["y"] + 150) for share in (0.3, 0.5)]
        drag(page, places)
        page.wait_for_function("() => document.querySelector('.js-plotly-plot')._fullLayout.xaxis.range[0] > 0.1")
        start, end = plot.evaluate("plot => plot._fullLayout.xaxis.range")
        page.get_by_role("button", name="Loop").click()
        page.get_by_role("button", name="Play what is shown").click()
        seen = []
        for _ in range(12):  # longer than the stretch
            page.wait_for_timeout(150)
            seen.append(page.evaluate(PLAYED))
        times, lefts = zip(*seen, strict=True)
        assert start - 0.01 <= min(times) < max(times) <= end + 0.15  # the line is looked at once a frame
        for time_s, left in seen:
            place = axis["left"] + axis["wide"] * (time_s - start) / (end - start)
            assert abs(left - place) < 0.15 / (end - start) * axis["wide"]
        assert len(set(lefts)) > 2
        page.get_by_role("button", name="Play what is shown").click()
        assert page.locator("audio").first.evaluate("audio => audio.paused")


def test_a_textgrid_is_saved(browser: Any, address: str, tmp_path: Path) -> None:
    with opened(browser, f"{address}/utterance?tier=mel") as page:
        page.locator(".js-plotly-plot").first.wait_for()
        settled(page)
        with page.expect_download() as saved:
            page.get_by_role("button", name="Save as TextGrid").click()
        saved.value.save_as(tmp_path / "saved.TextGrid")
    tiers = read_text_grid(tmp_path / "saved.TextGrid", [])
    assert [tier.name for tier in tiers] == ["phones", "words", "predicted from mel"]


def test_a_user_clicks_listens_selects_and_looks_around(browser: Any, address: str, tmp_path: Path) -> None:
    with opened(browser, address) as page:
        chart = page.locator(".st-key-map-chart canvas")
        chart.wait_for()
        settled(page)

        # a click shows and plays the token
        places = chart.evaluate("canvas => canvas.places()")  # where its points are on the screen
        assert len(places) > 100
        fills_the_window(page, chart)
        places = chart.evaluate("canvas => canvas.places()")
        point = max(places, key=lambda place: place["x"])
        page.mouse.click(point["x"], point["y"])
        spectrogram = page.locator(".st-key-spectrogram .js-plotly-plot")
        spectrogram.wait_for()
        settled(page)
        assert point["token"] in unquote(page.url)
        assert spectrogram.evaluate("chart => chart._fullData[0].type") == "heatmap"
        assert page.locator("audio").first.evaluate(LOUDEST) > 100
        # a neighbour plays, and a click on it goes there
        page.get_by_role("button", name="Play ").first.click()
        near = page.locator(".st-key-map-side button.token")
        near.first.wait_for()
        assert near.count() == NEIGHBOURS
        assert near.first.locator("img").evaluate("image => image.naturalWidth") > 50
        near.first.click()
        page.get_by_role("button", name="undo").wait_for()
        settled(page)
        assert point["token"] not in unquote(page.url)

        # other features, questions and colours
        for box, option in (("Feature", "z2"), ("Target", "gender"), ("Colour by", "manner")):
            choose(page, box, option)
        assert "feature=z2" in page.url

        # a box around a part of the map lists its tokens, and so does a lasso
        area = chart.bounding_box()
        middle = area["x"] + 0.5 * area["width"]
        left, right = area["x"] + 0.3 * area["width"], area["x"] + 0.8 * area["width"]
        top, bottom = area["y"] + 0.2 * area["height"], area["y"] + 0.8 * area["height"]
        shapes = {"box": [(left, top), (right, bottom)], "lasso": [(middle, top), (right, bottom), (left, bottom)]}
        for name, corners in shapes.items():
            page.get_by_role("button", name=f"Select with a {name}").click()
            places = np.array([(place["x"], place["y"]) for place in chart.evaluate("canvas => canvas.places()")])
            drag(page, corners)
            around = corners if name == "lasso" else [(left, top), (right, top), (right, bottom), (left, bottom)]
            meant = Polygon(around).contains_points(places).sum()
            page.get_by_text(f"{meant:,} tokens selected").first.wait_for()
            settled(page)
        # which plays in a row and can be saved
        in_a_row = page.get_by_role("button", name="Play in a row")
        in_a_row.click()
        page.locator(".cell.playing").wait_for()
        page.get_by_role("button", name="Stop", exact=True).click()
        in_a_row.wait_for()
        with page.expect_download() as download:
            page.get_by_role("button", name="Audio").click()
        with zipfile.ZipFile(download.value.path()) as archive:
            assert len(archive.namelist()) == meant + 1
        fills_the_window(page, chart)
        look(page, tmp_path, "Selection")

        for _, name, _ in entry.PAGES:
            page.get_by_role("link", name=name, exact=True).click()
            page.get_by_role("heading", name=name, exact=True).wait_for()
            settled(page)
            assert page.get_by_test_id("stException").count() == 0
            look(page, tmp_path, name)
    assert len(list(tmp_path.glob("*.png"))) == 2 * len(SIZES) * (len(entry.PAGES) + 1)


def test_two_maps_light_the_same_tokens(browser: Any, address: str, tmp_path: Path) -> None:
    with opened(browser, f"{address}/?feature=z1&second=mel&layout=PCA") as page:
        charts = [page.locator(f".st-key-map-chart{end} canvas") for end in ("", "-2")]
        for chart in charts:
            chart.wait_for()
        settled(page)
        page.get_by_role("button", name="Select with a box").first.click()
        area = charts[0].bounding_box()
        left, right = area["x"] + 0.3 * area["width"], area["x"] + 0.7 * area["width"]
        top, bottom = area["y"] + 0.3 * area["height"], area["y"] + 0.7 * area["height"]
        places = charts[0].evaluate("canvas => canvas.places()")
        meant = {p["token"] for p in places if left < p["x"] < right and top < p["y"] < bottom}
        drag(page, [(left, top), (right, bottom)])
        page.get_by_text(f"{len(meant):,} tokens selected").first.wait_for()
        settled(page)
        for chart in charts:
            lit = {p["token"] for p in chart.evaluate("canvas => canvas.places()") if p["lit"]}
            assert lit == meant
        look(page, tmp_path, "Two maps")
        # a search crosses with the selection, and the outline stays
        page.get_by_role("textbox", name="Search").fill("speaker:F*")
        page.get_by_role("textbox", name="Search").press("Enter")
        page.get_by_text("selected tokens").first.wait_for()
        settled(page)
        lit = {p["token"] for p in charts[1].evaluate("canvas => canvas.places()") if p["lit"]}
        assert lit == {token for token in meant if token.startswith("F")}
        assert charts[0].evaluate("canvas => canvas.outline().length") == 4
        page.get_by_role("textbox", name="Search").fill("")
        page.get_by_role("textbox", name="Search").press("Enter")
        page.get_by_role("button", name="What moved").click()
        page.get_by_text("tokens moved most").first.wait_for()


def test_a_recording_is_placed_among_its_nearest_tokens(
    browser: Any, address: str, small: Path, tmp_path: Path
) -> None:
    utterance = open_corpus(small).utterances[0]
    recording = tmp_path / "mine.wav"
    recording.write_bytes(audio.wav(audio.samples(utterance), utterance.sample_rate))
    with opened(browser, f"{address}/?feature=mel&layout=PCA") as page:
        chart = page.locator(".st-key-map-chart canvas")
        chart.wait_for()
        page.get_by_text("Your recording").click()
        page.locator(".st-key-map-Upload input[type=file]").set_input_files(recording)
        page.get_by_text("Nearest tokens in Mel").wait_for()
        settled(page)
        near = page.locator(".st-key-map-side button.token")
        assert near.count() == NEIGHBOURS
        look(page, tmp_path, "Recording")
        near.first.click()
        page.get_by_text("The kNN predicts").wait_for()
        assert "tokens=" in page.url


def test_a_recording_from_the_microphone_is_placed_among_its_nearest_tokens(
    browser: Any, address: str, small: Path, tmp_path: Path
) -> None:
    """Chromium plays a file in place of the microphone."""
    utterance = open_corpus(small).utterances[0]
    spoken = tmp_path / "spoken.wav"
    spoken.write_bytes(audio.wav(audio.samples(utterance), utterance.sample_rate))
    devices = ["--use-fake-device-for-media-stream", "--use-fake-ui-for-media-stream",
               f"--use-file-for-fake-audio-capture={spoken}"]  # fmt: skip
    with (
        launched(browser.browser_type, devices) as recorder,
        opened(recorder, f"{address}/?feature=mel&layout=PCA") as page,
    ):
        page.locator(".st-key-map-chart canvas").wait_for()
        page.get_by_text("Your recording").click()
        page.get_by_role("button", name="Record", exact=True).click()
        stop = page.get_by_role("button", name="Stop recording")
        stop.wait_for()
        page.wait_for_timeout(1500)
        stop.click()
        page.get_by_text("Nearest tokens in Mel").wait_for()
        settled(page)
        assert page.locator(".st-key-map-side button.token").count() == NEIGHBOURS
        assert page.locator(".st-key-map-side audio").first.evaluate(LOUDEST) > 100


def test_a_umap_is_abandoned_and_cancelled_while_others_go_on(browser: Any, address: str) -> None:
    with opened(browser, address) as page, opened(browser, address) as other:
        for one in (page, other):
            one.locator(".st-key-map-chart canvas").wait_for()
        # one session cancels a UMAP, whose worker starts and compiles for seconds, begins it again and leaves it
        layout(page, "UMAP")
        page.get_by_text("UMAP of ").filter(has_text="finding neighbours").wait_for()
        page.get_by_role("button", name="Cancel").click()
        page.get_by_text("cancelled").wait_for()
        page.get_by_role("button", name="Start again").click()
        page.get_by_role("button", name="Cancel").wait_for()
        page.get_by_role("link", name="Questions", exact=True).click()
        page.get_by_role("heading", name="Questions", exact=True).wait_for()
        # the other, and one that is opened now, go on
        choose(other, "Feature", "z2")
        other.wait_for_url(lambda url: "feature=z2" in url)
        with opened(browser, f"{address}/?layout=PCA") as third:
            third.get_by_text("two principal components").wait_for()
        # both get what they chose
        page.get_by_role("link", name="Map", exact=True).click()
        for one in (page, other):
            layout(one, "UMAP")
            one.get_by_text("Axes: UMAP").wait_for()
            one.locator(".st-key-map-chart canvas").wait_for()


def settled(page: Any) -> None:
    """Wait until the page has nothing more to do, and waits for nothing."""
    while True:
        page.locator("[data-testid='stApp'][data-test-script-state='notRunning']").wait_for()
        page.wait_for_timeout(300)  # pictures follow the script
        if not page.get_by_role("button", name="Cancel").count():
            return
        page.get_by_role("button", name="Cancel").wait_for(state="detached")


def layout(page: Any, name: str) -> None:
    """Take a layout of the map."""
    page.get_by_role("radiogroup", name="Layout").get_by_text(name, exact=True).click()


def choose(page: Any, box: str, option: str) -> None:
    """Take an option of a select box."""
    page.get_by_role("combobox", name=box).first.click()
    page.get_by_role("option", name=option, exact=True).click()
    settled(page)


def drag(page: Any, corners: Sequence[tuple[float, float]]) -> None:
    """Draw a line with the mouse."""
    page.mouse.move(*corners[0])
    page.mouse.down()
    for corner in corners[1:]:
        page.mouse.move(*corner, steps=4)
    page.mouse.up()


def fills_the_window(page: Any, chart: Any) -> None:
    """The map reaches down to the end of the window, and what is beside it, however long, scrolls on its own."""
    for name in ("wide", "laptop"):
        page.set_viewport_size(SIZES[name])
        settled(page)
        high, seen = page.get_by_test_id("stMain").evaluate("main => [main.scrollHeight, main.clientHeight]")
        assert high == seen == SIZES[name]["height"]
        assert chart.evaluate("canvas => canvas.getBoundingClientRect().bottom") > high - 24


def look(page: Any, folder: Path, name: str) -> None:
    """Screenshots in both themes and sizes; nothing is wider than the screen."""
    for theme in ("light", "dark"):
        page.emulate_media(color_scheme=theme)
        for size, viewport in SIZES.items():
            page.set_viewport_size(viewport)
            settled(page)
            page.screenshot(path=folder / f"{name}-{theme}-{size}.png")
            assert page.evaluate("document.documentElement.scrollWidth <= window.innerWidth"), (name, size)
    page.emulate_media(color_scheme="light")
    page.set_viewport_size(SIZES["laptop"])


def _wait_for(port: int, server: subprocess.Popen[bytes], log: Path) -> None:
    deadline = time.monotonic() + PATIENCE_MS / 1000
    while time.monotonic() < deadline:
        assert server.poll() is None, log.read_text()
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                return
        time.sleep(0.2)
    raise AssertionError(f"the explorer does not answer: {log.read_text()}")
