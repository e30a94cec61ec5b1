"""`probe figures`: a folder of figures and a report page, complete, reproducible, naming what is left out."""

import base64
import contextlib
import json
import re
from collections.abc import Callable, Iterator
from html.parser import HTMLParser
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pandas as pd
import pytest
from matplotlib.figure import Figure

from lvm_probe import InputError
from lvm_probe.app.commands import figures
from lvm_probe.figures import likelihood_tables, probe_table, registry, style
from lvm_probe.figures.inputs import FigureInputs
from lvm_probe.probing import progress
from lvm_probe.probing.features import token_table
from lvm_probe.probing.features.token_table import TokenTable
from tests.app.conftest import Probe, Refusal, quietly
from tests.probing.synthetic_tables import made_up

SMALL = ("--permutations", 1)


def stub(name: str, label: str, reason: str = "") -> Any:
    """A figure of one curve, with a title and a label such as a user's file may contain."""

    def data(inputs: FigureInputs) -> pd.DataFrame:
        if reason:
            raise InputError(f"{inputs.table.path}: {reason}")
        inputs.progress("half", 0.5)
        return pd.DataFrame({"x": [1, 2, 3], "y": [1.0, 3.0, 2.0]})

    def figure(data: pd.DataFrame) -> Figure:
        with style.theme():
            fig = Figure(figsize=(style.ONE_COLUMN, 1.5))
            fig.add_subplot().plot(data["x"], data["y"], label=label)
        return fig

    def caption(data: pd.DataFrame, inputs: FigureInputs) -> str:
        return f"{len(data)} points of {label}, {inputs.table.path}."

    return SimpleNamespace(NAME=name, TITLE=f"A figure of {label}", data=data, figure=figure, caption=caption)


@pytest.fixture
def drawn(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[str]]:
    """Two figures that can be drawn, one that cannot, and quick tables; lists the name of each figure drawn."""
    stubs = {"one": stub("one", '<b>&amp; "quotes"'), "none": stub("none", "x", "no words"), "two": stub("two", "y")}
    calls: list[str] = []

    def figure(name: str) -> Any:
        calls.append(name)
        return stubs[name]

    monkeypatch.setattr(registry, "FIGURES", tuple(stubs))
    monkeypatch.setattr(registry, "TABLES", {name: t for name, t in registry.TABLES.items() if name != "probes"})
    monkeypatch.setattr(registry, "figure", figure)
    return calls  # type: ignore[return-value]


@pytest.fixture(scope="module")
def latents(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Four made-up speakers, on disk."""
    made = made_up()
    corpus = {"name": "<i>made up</i>", "utterances": 12, "fingerprint": "f" * 64}
    extraction = {"corpus": corpus, "samples": 3, "seed": 0}
    return TokenTable("t", made.path, extraction, made.columns, made.features).save(tmp_path_factory.mktemp("l") / "t")


class _Page(HTMLParser):
    """Checks that all tags are closed, and collects what the tests look at."""

    VOID = frozenset({"meta", "img", "br"})

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.ids: list[str] = []
        self.links: list[str] = []
        self.sources: list[str] = []
        self.tags: set[str] = set()
        self.text = ""
        self.feed(text)
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = dict(attrs)
        self.tags.add(tag)
        self.ids += [given["id"]] if given.get("id") else []  # type: ignore[list-item]
        self.links += [given["href"]] if given.get("href") else []  # type: ignore[list-item]
        self.sources += [given["src"]] if given.get("src") else []  # type: ignore[list-item]
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.text += data


def test_everything_is_written_and_the_page_is_self_contained(
    latents: Path, drawn: list[str], probe: Probe, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    result = probe("figures", "--latents", latents, "--out", out, *SMALL)
    wanted = [f"{name}.{kind}" for name in ("one", "two") for kind in ("pdf", "svg", "png", "csv")]
    wanted += [f"{name}.{kind}" for name in ("table-5",) for kind in ("txt", "csv", "tex")]
    assert result["wrote"] == [str(out / name) for name in [*wanted, "report.html"]]
    assert sorted(path.name for path in out.iterdir()) == sorted([*wanted, "report.html", ".figures.json"])
    assert result["report"] == str(out / "report.html")
    reasons = {one["figure"]: one["reason"] for one in result["left_out"]}
    assert reasons["none"] == f"{latents}: no words"
    assert reasons.keys() == {"none", "table-1", "table-3", "table-4"}
    assert "--ckpt" in reasons["table-1"]

    text = (out / "report.html").read_text()
    page = _Page(text)
    assert not page.tags & {"script", "link", "iframe", "b><i"}
    assert {"i"}.isdisjoint(page.tags)
    assert 'A figure of <b>&amp; "quotes"' in page.text
    assert "<i>made up</i>" in page.text
    assert all(link.startswith("#") and link[1:] in page.ids for link in page.links)
    assert len(set(page.ids)) == len(page.ids)
    assert all(source.startswith("data:image/svg+xml;base64,") for source in page.sources)
    assert base64.b64decode(page.sources[0].partition(",")[2]) == (out / "one.svg").read_bytes()
    assert re.search(r"https?://", text) is None
    assert str(latents.parent) not in text
    assert str(tmp_path) not in text
    for part in ("none", "t: no words", "probe figures --latents t --permutations 1 --out DIR", "f" * 64, "numpy"):
        assert part in page.text


def test_up_to_date_figures_are_kept_and_drawing_is_reproducible(
    latents: Path, drawn: list[str], probe: Probe, tmp_path: Path
) -> None:
    def made(out: Path, *more: object) -> dict[str, Any]:
        drawn.clear()
        return probe("figures", "--latents", latents, "--out", out, *SMALL, *more)

    first, other = tmp_path / "first", tmp_path / "other"
    made(first)
    assert drawn == ["one", "none", "two"]
    before = {path.name: path.read_bytes() for path in first.iterdir()}
    result = made(first)
    assert drawn == ["none"]
    assert result["wrote"] == [str(first / "report.html")]
    assert len(result["kept"]) == 11
    assert {path.name: path.read_bytes() for path in first.iterdir()} == before

    (first / "two.svg").write_text("cut sh")
    made(first)
    assert drawn == ["none", "two"]
    made(first, "--again")
    assert drawn == ["one", "none", "two"]
    made(other)
    for folder in (first, other):
        assert {path.name: path.read_bytes() for path in folder.iterdir()} == before
    made(first, "--seed", 1)
    assert drawn == ["one", "none", "two"]


def test_an_interruption_loses_one_figure(
    latents: Path, drawn: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from lvm_probe.app.cli import main

    argv = ["figures", "--latents", str(latents), "--out", str(tmp_path / "out"), "--permutations", "1"]
    whole: Callable[[str], Any] = registry.figure

    def interrupted(name: str) -> Any:
        if name == "two":
            raise KeyboardInterrupt
        return whole(name)

    with monkeypatch.context() as patch:
        patch.setattr(registry, "figure", interrupted)
        assert main(argv) == 130
    assert not (tmp_path / "out" / "two.png").exists()
    drawn.clear()
    assert main(argv) == 0
    assert drawn == ["none", "two"]


def test_a_figure_that_can_no_longer_be_drawn_is_removed(
    latents: Path, drawn: list[str], probe: Probe, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    argv = ("figures", "--latents", latents, "--out", tmp_path, "--only", "two")
    probe(*argv)
    assert (tmp_path / "two.pdf").exists()
    (tmp_path / "two.csv").write_text("edited by the user")
    monkeypatch.setattr(registry, "figure", lambda name: stub("two", "y", "one speaker"))
    result = probe(*argv, "--again")
    assert [one["figure"] for one in result["left_out"]] == ["two"]
    assert sorted(path.name for path in tmp_path.iterdir()) == [".figures.json", "report.html", "two.csv"]


def test_a_bug_is_not_mistaken_for_bad_data(
    latents: Path, drawn: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    broken = stub("one", "x")
    broken.figure = lambda data: data["no such column"]
    monkeypatch.setattr(registry, "figure", lambda name: broken)
    with pytest.raises(KeyError):
        quietly("figures", "--latents", latents, "--out", tmp_path, "--only", "one")


def test_a_damaged_manifest_is_ignored(latents: Path, drawn: list[str], probe: Probe, tmp_path: Path) -> None:
    (tmp_path / ".figures.json").write_text('{"items": {"one": {"key": 3, "files": {"../../x": ""}}}}')
    result = probe("figures", "--latents", latents, "--out", tmp_path, "--only", "one")
    assert len(result["wrote"]) == 5


@pytest.mark.parametrize(
    ("argv", "says"),
    [
        (["--latents", "nowhere"], "nowhere: no token table"),
        (["--only", "nonsense"], "no such figure or table; there are one, none, two, table-1"),
        (["--permutations", -1], "give 0 (no null) or more"),
        (["--speaker", "MXXX0"], "no speaker MXXX0; it has FS0, FS2, MS1, MS3"),
        (["--ckpt", "nowhere"], "nowhere: no such checkpoint"),
        (["--corpus", "nowhere"], "nowhere"),
    ],
)
def test_bad_requests(latents: Path, drawn: list[str], refused: Refusal, tmp_path: Path, argv: Any, says: str) -> None:
    given = [] if "--latents" in argv else ["--latents", latents]
    assert says in refused("figures", *given, "--out", tmp_path / "out", *argv)
    assert not (tmp_path / "out").exists()
    assert "inside a token table" in refused("figures", "--latents", latents, "--out", latents / "figures")


def test_likelihoods_are_compared_with_published_ones(
    tiny: Path, small: Path, latents: Path, drawn: list[str], probe: Probe, tmp_path: Path
) -> None:
    tables = [part for name in ("table_1", "table-3", "table-4", "table-5") for part in ("--only", name)]
    argv = ("figures", "--latents", latents, "--ckpt", tiny, "--corpus", small, *tables)
    result = probe(*argv, "--out", tmp_path)
    assert [one["figure"] for one in result["left_out"]] == ["table-4"]
    assert len(result["notices"]) == 2
    assert "is not the checkpoint that t was made with" in result["notices"][0]
    bits = pd.read_csv(tmp_path / "table-1.csv").set_index("model")
    assert list(bits.index) == ["uniform", "flac", "tiny"]
    expected = probe("evaluate", "--ckpt", tiny, "--corpus", small)
    assert bits["bits_per_frame"]["tiny"] == pytest.approx(expected["bits_per_frame"], rel=1e-12)
    assert bits["paper_bits_per_frame"]["flac"] == 8.582
    detail = pd.read_csv(tmp_path / "table-3.csv").set_index("model")
    assert detail["kl_z1"]["tiny"] == pytest.approx(expected["kl_bits_per_frame"]["z1"], rel=1e-12)
    latex = (tmp_path / "table-1.tex").read_text()
    assert r"\toprule" in latex
    assert latex.count(r"\\") == 4
    assert result["notices"][0] in _Page((tmp_path / "report.html").read_text()).text
    assert "notices" in json.dumps(result)
    again = probe(*argv, "--out", tmp_path)
    assert again["wrote"] == [str(tmp_path / "report.html")]


def test_the_card_of_a_shipped_checkpoint_is_on_the_page(latents: Path, drawn: list[str], tmp_path: Path) -> None:
    quietly("figures", "--latents", latents, "--ckpt", "cwvae-small", "--only", "table-5", "--out", tmp_path)
    page = _Page((tmp_path / "report.html").read_text())
    assert "Validation speakers: librispeech-251-speakers/1088, " in page.text
    assert "**" not in page.text
    assert "card" in page.ids


def test_a_table_of_one_speaker_gives_the_results_it_can(latents: Path, probe: Probe, tmp_path: Path) -> None:
    whole = token_table.load(latents)
    one = whole.select(np.asarray(whole.tokens["speaker"] == "FS0"))
    one.save(tmp_path / "one")
    result = probe("figures", "--latents", tmp_path / "one", "--only", "probes", "--out", tmp_path / "out", *SMALL)
    assert result["left_out"] == []
    rows = pd.read_csv(tmp_path / "out" / "probes.csv")
    assert set(rows["protocol"]) == {"nested"}
    text = " ".join((tmp_path / "out" / "probes.txt").read_text().split())
    assert "jackknife's variance over utterances" in text
    assert "Not included: gender, protocol speaker: one: " in text


def test_answers_survive_an_interruption_and_are_removed_at_the_end(
    latents: Path, drawn: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from lvm_probe.app.cli import main
    from lvm_probe.probing.questions import ask as ask_module

    asked: list[str] = []
    seen: list[pd.DataFrame] = []
    whole = ask_module.ask

    def ask(*args: Any, **kwargs: Any) -> Any:
        asked.append(args[1].target)
        return whole(*args, **kwargs)

    def broken_off(inputs: FigureInputs) -> Any:
        seen.append(probe_table.probes(inputs).frame)
        if len(seen) == 1:
            raise KeyboardInterrupt
        return likelihood_tables.table_5(inputs)

    monkeypatch.setattr(ask_module, "ask", ask)
    monkeypatch.setattr(registry, "TABLES", {"broken": broken_off})
    argv = ["figures", "--latents", str(latents), "--out", str(tmp_path), "--only", "broken", "--permutations", "0"]
    assert main(argv) == 130
    assert main(argv) == 0
    assert len(asked) == 3
    pd.testing.assert_frame_equal(*seen, check_exact=True)
    assert sorted(path.name for path in tmp_path.glob(".*")) == [".figures.json"]


def test_lines_say_what_is_drawn_where_there_is_no_terminal(monkeypatch: pytest.MonkeyPatch, capsys: Any) -> None:
    clock = iter((0.0, 3.2, 4.0, 4.1))
    monkeypatch.setattr(figures, "time", SimpleNamespace(monotonic=lambda: next(clock)))
    monkeypatch.setattr(figures, "bar", lambda total, *_, **__: contextlib.nullcontext(progress.Progress(total)))
    for name in ("optimism", "durations"):
        with figures._progress(name) as report:
            report("nulls", 0.5)
    assert capsys.readouterr().err == "optimism: done in 3 s\n"
