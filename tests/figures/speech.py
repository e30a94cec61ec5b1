"""A model with random weights and a little of the demo corpus, for figures that need sound."""

from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

from lvm_probe.figures.inputs import FigureInputs
from lvm_probe.models.checkpoints.checkpoint import Checkpoint
from lvm_probe.models.registry import FAMILIES, preset
from lvm_probe.probing.corpora import open_corpus
from lvm_probe.probing.corpora.corpus import Corpus
from lvm_probe.probing.corpora.demo import CORPUS
from tests.probing.synthetic_tables import changed, made_up


@cache
def demo() -> Corpus:
    """All of its speakers."""
    return open_corpus(CORPUS)


def checkpoint(family: str = "cwvae") -> Checkpoint:
    return Checkpoint(
        Path("tiny.safetensors"), FAMILIES[family].seeded(preset(family, "tiny").config, 0).eval(), {}, ""
    )


def inputs(**changes: Any) -> FigureInputs:
    """A table whose only speaker is the first of the corpus, with the model and three utterances of two speakers."""
    names = [speaker.id for speaker in demo().speakers[:2]]
    some = ("FADA9_SI503", "FADA9_SI501", "FBEL9_SI506")
    given: dict[str, Any] = {
        "table": changed(made_up(speakers=1), speaker=names[0]),
        "checkpoint": checkpoint(),
        "corpus": replace(demo(), utterances=tuple(u for u in demo().utterances if u.id in some)),
    }
    return FigureInputs(**given | changes)
