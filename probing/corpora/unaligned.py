"""Any folder of recordings without annotations, to train on: with `speakers.csv`, or if asked by `--layout unaligned`.

An example are the audiobooks of the Blizzard Challenge 2013, about 200 hours read by Catherine Byers (S. King, V.
Karaiskos, "The Blizzard Challenge 2013", 2013; https://www.cstr.ed.ac.uk/projects/blizzard, licence for research):
the pattern `(CA)-` of `--speaker-from` makes all files those of one speaker, and `(CA-[A-Z]+)-` those of a book, so
that books can be held out. Layouts, speakers and `speakers.csv` are described in `folders.py`. There are no phones,
words or texts, but there may be splits.
"""

from pathlib import Path

from lvm_probe.probing.corpora.audio import AudioHeader
from lvm_probe.probing.corpora.corpus import Problem, Utterance
from lvm_probe.probing.corpora.folders import Annotation, read_recordings
from lvm_probe.probing.corpora.intake import Options, Tree, name_key, one_audio_file_per, sorted_once
from lvm_probe.probing.corpora.non_speech import ALIGNERS

NON_SPEECH = ALIGNERS


def sign(tree: Tree) -> Path | None:
    """`speakers.csv` in the root; without it, annotations may be missing or unknown rather than not meant."""
    path = tree.root / "speakers.csv"
    return path if path in tree.files else None


def read(tree: Tree, options: Options) -> tuple[list[Utterance], list[Problem]]:
    """Every usable recording, and everything that is wrong with the files."""
    problems: list[Problem] = []
    audio = one_audio_file_per(lambda path: (str(path.parent), name_key(path.stem)), tree.audio, problems)

    def nothing(path: Path, id: str, header: AudioHeader, notices: list[Problem]) -> Annotation:
        return Annotation(())

    utterances, more = read_recordings(tree, options, audio.values(), nothing)
    return utterances, sorted_once(problems + more)
