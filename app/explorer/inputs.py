"""What the explorer was given: the table, and where they are known the corpus and the checkpoint.

Everything that the pages read lies below these; loads are cached for the life of the server.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from lvm_probe import InputError
from lvm_probe.probing.features.token_table import TokenTable, load

if TYPE_CHECKING:
    from lvm_probe.models.checkpoints.checkpoint import Checkpoint
    from lvm_probe.probing.corpora.corpus import Corpus, Utterance


@dataclass(frozen=True)
class Given:
    """Paths that the user gave.

    Attributes:
        latents: token tables, the first shown first.
        corpus: the corpus's folder; None shows no sound.
        checkpoint: file, run folder or shipped name; None changes and decodes nothing.
    """

    latents: tuple[Path, ...]
    corpus: Path | None = None
    checkpoint: str | None = None

    @cached_property
    def tables(self) -> dict[str, TokenTable]:
        """The tables by name, in the order given: their folders' names, or paths where two have the same name.

        Raises InputError as `probing.features.token_table.load`.
        """
        paths = list(dict.fromkeys(self.latents))
        distinct = len({path.name for path in paths}) == len(paths)
        return {path.name if distinct and path.name else str(path): load(path) for path in paths}

    @cached_property
    def sounds(self) -> Corpus | str:
        """The corpus, or why there is none: a sentence for the page."""
        from lvm_probe.probing.corpora import open_corpus

        if self.corpus is None:
            return "No corpus was given, so nothing can be played: start with `--corpus FOLDER`."
        try:
            return open_corpus(self.corpus)
        except InputError as error:
            return str(error)

    @cached_property
    def model(self) -> Checkpoint | str:
        """The checkpoint, or why there is none: a sentence for the page."""
        from lvm_probe.models.checkpoints import checkpoint

        if self.checkpoint is None:
            return "No checkpoint was given, so nothing can be decoded: start with `--ckpt NAME`."
        try:
            return checkpoint.load(self.checkpoint)
        except InputError as error:
            return str(error)

    def utterance(self, id: str) -> Utterance | str:
        """The recording of this id, or why it cannot be had."""
        if isinstance(self.sounds, str):
            return self.sounds
        for utterance in self.sounds.utterances:
            if utterance.id == id:
                return utterance
        return f"The corpus {self.corpus} has no utterance {id}: is it the one that the table was made from?"
