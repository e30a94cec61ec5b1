"""Progress: a bar in a terminal, lines elsewhere."""

import io
import sys
import time

import pytest

from lvm_probe.probing import progress
from lvm_probe.probing.progress import Progress, bar, line


def wait_for(text: str, err: io.StringIO) -> None:
    deadline = time.monotonic() + 60  # only bounds how long a failure takes
    while text not in err.getvalue():
        assert time.monotonic() < deadline, err.getvalue()
        time.sleep(0.01)


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_lines_come_also_while_nothing_moves(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(progress, "LINE_EVERY_S", 0.05)
    monkeypatch.setattr(sys, "stderr", err := io.StringIO())
    with bar(120, "extract") as advance:
        wait_for("extract: 0 of 120 s of speech (0 %), 0:00 elapsed\n", err)
        advance(60)
        wait_for("extract: 60 of 120 s of speech (50 %), 0:00 elapsed, about 0:00 left\n", err)
    assert "\r" not in err.getvalue()


def test_what_ends_soon_prints_no_line(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stderr", err := io.StringIO())
    with bar(1, "knn", unit="") as advance:
        advance(1)
    assert err.getvalue() == ""


def test_a_terminal_has_a_bar_unless_nothing_is_to_be_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    for shown, some in ((None, True), (False, False)):
        monkeypatch.setattr(sys, "stderr", err := Terminal())
        with bar(10, "train", unit="updates", shown=shown, initial=4) as advance:
            advance(3)
            advance.note = "3.20 bits per frame"
        assert ("train:  70%|" in err.getvalue()) == some
        assert ("7/10 updates, 3.20 bits per frame" in err.getvalue()) == some


def test_no_more_than_the_whole_is_done() -> None:
    advance = Progress(10, 8)
    advance(5)
    assert line(advance, "knn", "", 3700, None) == "knn: 100 %, 1:01:40 elapsed"
