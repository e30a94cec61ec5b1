"""Every command explains itself: options in groups, examples that run, and nothing heavy imported for it."""

import shlex
import shutil
from pathlib import Path

import pytest

from lvm_probe.app.cli import COMMANDS, main, make_parser
from lvm_probe.probing.corpora.demo import CORPUS
from lvm_probe.probing.questions.question import PROTOCOLS_OF, Method
from tests.app.conftest import quietly
from tests.probing import sequence_miniatures, tiny_transformers

NAMES = (
    "demo", "corpus", "align", "models", "train", "evaluate", "sample", "gaussian-limit", "extract", "compare", "knn",
    "lda", "logistic", "mdl", "ridge", "abx", "boundaries", "similarity", "zerospeech", "rate", "convergence",
    "figures", "explore", "export",
)  # fmt: skip
BY_NAME = {
    command.__name__.rpartition(".")[2].replace("_", "-"): command
    for commands in COMMANDS.values()
    for command in commands
}
QUICK = {
    "export": ["--max-tokens", "20"],
    "train": ["--preset", "tiny", "--updates", "2", "--hold-out", "0.5", "--test", "0"],
    "extract": ["--samples", "1"],
    "rate": ["--samples", "1"],
    "convergence": ["--samples", "1,2", "--reference", "2"],
    "figures": ["--only", "table-5", "--permutations", "0"],
    "compare": ["--method", "lda", "--features", "z1"],
    "knn": ["--permutations", "1"],
    "logistic": ["--permutations", "0", "--features", "mel", "--match-dims", "4"],
    "mdl": ["--permutations", "0", "--features", "mel", "--match-dims", "4", "--orders", "1"],
    "similarity": ["--permutations", "1"],
}
"""Options added to an example so that the test is short."""


def help_of(capsys: pytest.CaptureFixture[str], *argv: str) -> str:
    with pytest.raises(SystemExit) as stop:
        main([*argv, "--help"])
    assert stop.value.code == 0
    return capsys.readouterr().out


def test_the_overview_lists_every_command_in_its_group(capsys: pytest.CaptureFixture[str]) -> None:
    assert sorted(BY_NAME) == sorted(NAMES)
    overview = help_of(capsys)
    for heading, commands in COMMANDS.items():
        listed = overview.partition(f"\n{heading}:\n")[2].partition("\n\n")[0].splitlines()
        assert [line.split()[0].replace("-", "_") for line in listed] == [
            command.__name__.rpartition(".")[2] for command in commands
        ]
    assert max(map(len, overview.splitlines())) < 100


@pytest.mark.parametrize("name", NAMES)
def test_help_has_groups_defaults_and_an_example(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    text = help_of(capsys, name)
    assert text.startswith(f"usage: probe {name}")
    assert "\noptions:\n" not in text  # every option is in a group with a heading of its own
    assert "\npositional arguments:\n" not in text
    assert "\ngeneral:\n" in text
    assert "--json" in text
    assert "seed of all random numbers (default: 0)" in text
    assert "(default: None)" not in text
    assert "(default: False)" not in text
    assert f"\nexamples:\n  probe {name}" in text


@pytest.mark.parametrize("name", ["knn", "lda", "logistic", "mdl", "ridge", "abx"])
def test_help_explains_every_protocol(name: Method, capsys: pytest.CaptureFixture[str]) -> None:
    text = help_of(capsys, name)
    for protocol in PROTOCOLS_OF[name]:
        assert f"\n  {protocol:<10} " in text


@pytest.mark.parametrize("name", NAMES)
def test_examples_parse(name: str) -> None:
    for example in BY_NAME[name].EXAMPLES:
        program, command, *options = shlex.split(example)
        assert (program, command) == ("probe", name)
        assert make_parser().parse_args([command, *options]).command == name


def test_examples_run(tiny: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """In the order of the overview, on a small corpus and a tiny checkpoint; `demo` and `explore` have own tests."""

    def left_out(folder: str, names: list[str]) -> list[str]:
        stems = sorted({Path(name).stem for name in names if name.endswith(".FLAC")})
        return [name for name in names if Path(name).stem in stems[2:] or name == "DR2"]

    shutil.copytree(CORPUS, tmp_path / "TIMIT", ignore=left_out)
    shutil.copy(tiny, tmp_path / "cwvae-small")  # a file comes before a shipped name
    sequence_miniatures.mat(tmp_path).rename(tmp_path / "Nottingham.mat")
    sequence_miniatures.novel(tmp_path)
    pytest.importorskip("transformers")  # for `extract --hf`; the tests' requirements have it
    tiny_transformers.save("hubert", tmp_path / "models" / "hubert-base")
    monkeypatch.chdir(tmp_path)
    quietly("export", "--frames", "frames/timit", "--ckpt", "cwvae-small", "--corpus", "TIMIT", "--samples", "1")
    for name in (name for name in BY_NAME if name not in ("explore", "demo")):
        for example in BY_NAME[name].EXAMPLES:
            quietly(*shlex.split(example)[1:], *QUICK.get(name, []))
