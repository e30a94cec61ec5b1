"""Tables as text and LaTeX, and the paper's values beside one's own."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from lvm_probe import InputError
from lvm_probe.figures import likelihood_tables, probe_table, published_values
from lvm_probe.figures.html_report import card_as_html
from lvm_probe.figures.inputs import FigureInputs
from lvm_probe.figures.table_format import Table
from lvm_probe.models.checkpoints import checkpoint
from lvm_probe.models.families.cwvae import CWVAE
from lvm_probe.models.families.vrnn import VRNN
from lvm_probe.models.likelihood.elbo import Evaluation
from lvm_probe.models.registry import override_config, preset
from lvm_probe.probing.corpora import open_corpus
from lvm_probe.probing.corpora.demo import CORPUS
from tests.probing.synthetic_tables import made_up


def test_special_letters_survive_latex() -> None:
    table = Table("T & t", ("a_b", "n"), (("50 % {x} ~^\\", "≤ 3"),), "Two\nlines.", pd.DataFrame())
    latex = table.as_latex()
    assert r"a\_b & n \\" in latex
    assert r"50 \% \{x\} \textasciitilde{}\textasciicircum{}\textbackslash{} & $\leq$ 3 \\" in latex
    assert latex.splitlines()[0].startswith("% T & t. Two lines.")
    assert latex.isascii()


def test_columns_of_text_stand_apart(tmp_path: Path) -> None:
    table = Table("T", ("name", "number"), (("long name", "1"), ("x", "10")), "c", pd.DataFrame({"n": [1, 10]}))
    assert table.as_text().splitlines()[2:5] == ["name       number", "long name       1", "x              10"]
    assert [path.name for path in table.write(tmp_path / "a.b")] == ["a.b.txt", "a.b.csv", "a.b.tex"]


def test_table_5_comes_out_as_printed() -> None:
    frame = likelihood_tables.table_5(FigureInputs(made_up())).frame
    assert (frame["nats"] - frame["paper_nats"]).abs().max() < 2  # the paper's first row is 1.5 off its own formula
    assert "by 1.5 nats" in likelihood_tables.table_5(FigureInputs(made_up())).caption


def test_a_model_is_held_beside_its_relatives_only() -> None:
    config = preset("cwvae", "tiny").config
    result = Evaluation(10, 1, -1.0, -1.0, (np.zeros(1), np.zeros(1)), (1, 1))

    def printed(strides: tuple[int, ...], rows: tuple[published_values.PublishedBits, ...]) -> list[float]:
        model = CWVAE(override_config(config, strides=strides))
        loaded = checkpoint.Checkpoint(Path("x"), model, {}, "")
        return likelihood_tables.Evaluated("x", loaded, result).published(rows)

    assert printed((64, 512), published_values.TABLE_1) == [12.17]
    assert printed((64, 256), published_values.TABLE_1) == []
    assert printed((256, 2048), published_values.TABLE_3) == [12.97]


def test_gaussian_likelihoods_stand_beside_their_limit() -> None:
    config = override_config(
        preset("cwvae", "tiny").config, output={"likelihood": "gaussian", "components": 1, "target": "linear"}
    )
    loaded = checkpoint.Checkpoint(Path("x"), CWVAE(config).eval(), {}, "sha")
    corpus = open_corpus(CORPUS)
    corpus = corpus.select(speakers=[corpus.speakers[0].id])
    inputs = FigureInputs(made_up(), checkpoints={"gauss": loaded}, corpus=corpus)
    table = likelihood_tables.table_4(inputs)
    (row,) = table.frame.to_dict("records")
    assert row["output"] == "Normal"
    assert row["paper_nats"] == "41629"
    assert row["nats_per_utterance"] < row["limit_nats"]
    with pytest.raises(InputError, match="in bits"):
        likelihood_tables.table_1(inputs)
    with pytest.raises(InputError, match="--corpus"):
        likelihood_tables.table_4(FigureInputs(made_up(), checkpoints={"gauss": loaded}))


def test_bits_of_8_bit_codes_are_marked_in_tables_of_bits() -> None:
    config = override_config(preset("vrnn", "tiny").config, output={"target": "mulaw8"})
    models = {"eight": VRNN.seeded(config, 0), "sixteen": VRNN.seeded(preset("vrnn", "tiny").config, 0)}
    loaded = {name: checkpoint.Checkpoint(Path("x"), model.eval(), {}, name) for name, model in models.items()}
    corpus = open_corpus(CORPUS)
    corpus = corpus.select(speakers=[corpus.speakers[0].id])
    inputs = FigureInputs(made_up(), checkpoints=loaded, corpus=corpus)
    for table in (likelihood_tables.table_1(inputs), likelihood_tables.table_3(inputs)):
        column = table.head.index("bits per frame")
        marked = {row[0]: row[column].endswith(" (8-bit)") for row in table.rows}
        assert marked == {"uniform": False, "flac": False, "eight": True, "sixteen": False}
        assert table.rows[[row[0] for row in table.rows].index("eight")][table.head.index("published")] == ""
        assert "(8-bit): bits and nats of 8-bit μ-law codes, not to be compared" in table.caption
    del loaded["eight"]
    assert "8-bit" not in likelihood_tables.table_1(replace(inputs, checkpoints=loaded)).caption


def test_probes_stand_with_all_that_is_needed_to_judge_them() -> None:
    inputs = FigureInputs(made_up(), permutations=2)
    table = probe_table.probes(inputs)
    assert set(zip(table.frame["target"], table.frame["protocol"], strict=True)) == set(probe_table.QUESTIONS)
    assert set(table.frame["k"]) <= {1, 2, 3, 5}
    best = table.frame.query("target == 'phoneme' and protocol == 'nested' and feature == 'z1'").iloc[0]
    assert best["accuracy"] > best["null_accuracy"] + 0.3
    assert best["interval"] == "speakers"
    assert len(inputs.answers) == 3
    probe_table.probes(inputs)
    assert len(inputs.answers) == 3
    both = probe_table.probes(replace(inputs, others=(replace(made_up(seed=1), name="other", path=Path("other")),)))
    assert both.head[0] == "table"
    assert [row[0] for row in both.rows] == ["made-up"] * len(table.rows) + ["other"] * len(table.rows)
    assert len(inputs.answers) == 6
    nothing = made_up(speakers=1, each=4)
    with pytest.raises(InputError, match="gender, protocol speaker"):
        probe_table.probes(FigureInputs(nothing))


def test_a_card_is_escaped() -> None:
    text = "# N <b>\n\n| | |\n|---|---|\n| a | `x<y` |\n\n**Bold** [here](http://x.y/z)\nand on."
    html = card_as_html(text)
    assert "<h3>N &lt;b&gt;</h3>" in html
    assert "<td>a</td><td><code>x&lt;y</code></td>" in html
    assert "<p><b>Bold</b> here and on.</p>" in html
