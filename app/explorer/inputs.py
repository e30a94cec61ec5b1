"""What the explorer shows: token tables and, if given, the corpus and the checkpoint.

The pages read nothing outside these, except for the untrained model's table beside a table; everything is loaded once
while the server runs.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from lvm_probe import InputError
from lvm_probe.probing.features.feature import default_features
from lvm_probe.probing.features.token_table import TokenTable, load

if TYPE_CHECKING:
    from lvm_probe.models.checkpoints.checkpoint import Checkpoint
    from lvm_probe.probing.corpora.corpus import Corpus, Utterance


@dataclass(frozen=True)
class ExplorerInputs:
    """Paths from the command line, and what they hold.

    Attributes:
        table_folders: token tables; the first is shown first.
        corpus_folder: folder of the corpus; None: no audio.
        checkpoint_name: file, run folder or shipped name; None: nothing is decoded.
    """

    table_folders: tuple[Path, ...]
    corpus_folder: Path | None = None
    checkpoint_name: str | None = None

    @cached_property
    def tables(self) -> dict[str, TokenTable]:
        """The tables in order, by the names of their folders, or by their paths where two have the same name.

        Raises:
            InputError: as `probing.features.token_table.load`.
        """
        paths = list(dict.fromkeys(self.table_folders))
        distinct = len({path.name for path in paths}) == len(paths)
        return {path.name if distinct and path.name else str(path): load(path) for path in paths}

    @cached_property
    def corpus(self) -> Corpus:
        """The corpus.

        Raises:
            InputError: none was given, or it cannot be read; the message is a sentence for the page.
        """
        from lvm_probe.probing.corpora import open_corpus

        if self.corpus_folder is None:
            raise InputError("No corpus was given, so nothing can be played: start with `--corpus FOLDER`.")
        return open_corpus(self.corpus_folder)

    @cached_property
    def checkpoint(self) -> Checkpoint:
        """The checkpoint.

        Raises:
            InputError: none was given, or it cannot be read; the message is a sentence for the page.
        """
        from lvm_probe.models.checkpoints import checkpoint

        if self.checkpoint_name is None:
            raise InputError("No checkpoint was given, so nothing can be decoded: start with `--ckpt NAME`.")
        return checkpoint.load(self.checkpoint_name)

    @cached_property
    def _utterances(self) -> dict[str, Utterance]:
        return {utterance.id: utterance for utterance in self.corpus.utterances}

    def utterance(self, id: str) -> Utterance:
        """The recording with this id.

        Raises:
            InputError: there is no corpus, or it lacks the recording; the message is a sentence for the page.
        """
        if id not in self._utterances:
            raise InputError(
                f"The corpus {self.corpus_folder} has no utterance {id}: is it the one that the table was made from?"
            )
        return self._utterances[id]


def feature_choices(table: TokenTable) -> list[str]:
    """The features of a table to choose from: the default ones first, then all others except variances."""
    others = [name for name in table.features if not name.endswith("_var")]
    return list(dict.fromkeys([*map(str, default_features(table)), *others]))


def opening_feature(table: TokenTable) -> str:
    """The feature that a map opens with: the layers joined, if possible with the log mean square of the lowest."""
    latents = [str(feature) for feature in default_features(table) if str(feature) != "mel"]
    return latents[-1] if latents else feature_choices(table)[0]
