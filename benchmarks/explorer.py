"""Time the explorer in a headless Chromium: from the command to the first picture, and from a choice to its picture.

    python benchmarks/explorer.py
    python benchmarks/explorer.py --latents latents/cwvae --corpus TIMIT

Needs Playwright and a Chromium, like the browser test. The first turn fills the caches of browser and machine, and does
not count towards the median. Two parts of the time to the first picture are printed too: until the server answers, and
until the page is loaded; both are mostly imports and the browser, the rest is the page's own.
"""

import argparse
import os
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from statistics import median
from typing import Any

from playwright.sync_api import sync_playwright

ROOT = Path(__file__).resolve().parents[1]
HOST = "127.0.0.1"
PATIENCE_MS = 120_000
COLOURS = ("phoneme", "gender", "duration", "speaker")
CHOICES = 4
"""Times that each colour is chosen; the least time counts, for what else runs on the machine only adds to it."""

DRAWN = """() => [...document.querySelectorAll('.st-key-map-chart *')]
    .some(part => part.shadowRoot?.querySelector('canvas')?.places?.().length > 0)"""
WATCH = """canvas => {
    const pen = canvas.getContext('2d'), clear = pen.clearRect.bind(pen);
    pen.clearRect = (...box) => { clear(...box); queueMicrotask(() => window.drawn = performance.now()); };
    document.addEventListener('click', () => window.chosen = performance.now(), {capture: true});
}"""
"""Records when the map was last drawn, and when an option was last chosen."""


@contextmanager
def served(options: list[str], port: int) -> Iterator[None]:
    """Serve the explorer inside this block."""
    command = [sys.executable, "-m", "lvm_probe", "explore", *options, "--no-browser", "--port", str(port)]
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    with subprocess.Popen(command, env=environment, stderr=subprocess.DEVNULL, stdout=subprocess.DEVNULL) as server:
        try:
            while server.poll() is None and _refused(port):
                time.sleep(0.01)
            if server.poll() is not None:
                raise SystemExit(f"the explorer has ended; try: probe explore {' '.join(options)}")
            yield
        finally:
            server.terminate()


def _refused(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex((HOST, port)) != 0


def first_picture(page: Any, options: list[str], port: int, changes: bool) -> tuple[list[float], dict[str, float]]:
    """Seconds from the command until server, page and map are there; and the seconds that choices took."""
    begin = time.perf_counter()
    with served(options, port):
        times = [time.perf_counter() - begin]
        page.goto(f"http://{HOST}:{port}", wait_until="commit")
        page.locator(".stApp").first.wait_for()
        times.append(time.perf_counter() - begin)
        page.wait_for_function(DRAWN)
        times.append(time.perf_counter() - begin)
        return times, _changes(page) if changes else {}


def _changes(page: Any) -> dict[str, float]:
    page.wait_for_timeout(3000)
    page.locator(".st-key-map-chart canvas").evaluate(WATCH)
    seconds: dict[str, float] = {}
    for colour in COLOURS * CHOICES:
        page.get_by_role("combobox", name="Colour by").first.click()
        page.wait_for_timeout(500)
        page.get_by_role("option", name=colour, exact=True).click()
        page.wait_for_timeout(2000)
        taken = (page.evaluate("window.drawn") - page.evaluate("window.chosen")) / 1000
        seconds[colour] = min(taken, seconds.get(colour, taken))
    return seconds


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--latents", help="a token table (default: the demo)")
    parser.add_argument("--corpus", help="its corpus")
    parser.add_argument("--turns", type=int, default=4)
    arguments = parser.parse_args()
    options = ["--latents", arguments.latents] if arguments.latents else ["--demo"]
    options += ["--corpus", arguments.corpus] if arguments.corpus else []
    with socket.socket() as free:
        free.bind((HOST, 0))
        port = free.getsockname()[1]
    path = shutil.which("chromium") or shutil.which("chromium-browser")
    turns = []
    with tempfile.TemporaryDirectory() as profile, sync_playwright() as playwright:
        browser = playwright.chromium.launch_persistent_context(
            profile, executable_path=path, args=["--no-sandbox"], viewport={"width": 1366, "height": 768}
        )
        browser.set_default_timeout(PATIENCE_MS)
        page = browser.new_page()
        print(f"{'':<12}{'answers':>9}{'page':>9}{'picture':>9}  seconds after the command")
        for turn in range(arguments.turns + 1):
            times, changes = first_picture(page, options, port, turn == arguments.turns)
            print(f"{'cold' if turn == 0 else turn:<12}" + "".join(f"{t:9.2f}" for t in times), flush=True)
            turns.append(times)
        browser.close()
    print(f"{'median':<12}" + "".join(f"{median(t):9.2f}" for t in zip(*turns[1:], strict=True)))
    print(
        f"another colour, the least of {CHOICES}: "
        + ", ".join(f"{name} {seconds:.2f} s" for name, seconds in changes.items())
    )


if __name__ == "__main__":
    main()
