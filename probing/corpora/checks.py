"""Checks of a whole corpus: what was not aligned, not read, or read twice. Each finds one notice or none."""

import hashlib
from collections.abc import Callable, Hashable, Iterator, Sequence
from pathlib import Path

from lvm_probe.probing.corpora.corpus import Problem, Utterance, abbreviated, unaligned
from lvm_probe.probing.corpora.intake import Tree

_SHOWN = 3
_ANNOTATIONS = {
    ".phn": "timit",
    ".wrd": "timit",
    ".textgrid": "textgrid",
    ".lab": "lab",
    ".ctm": "ctm",
    "wav.scp": "kaldi",
}
_TRANSCRIPTS = {("textgrid", ".lab"), ("librispeech", ".lab")}  # of the Montreal Forced Aligner
_PROBE_BYTES = 4096


def check(layout: str, tree: Tree, utterances: Sequence[Utterance], problems: Sequence[Problem]) -> Iterator[Problem]:
    """Notices about a corpus, given what its layout's reader found."""
    yield from _partly_aligned(tree.root, utterances)
    yield from _not_read(layout, tree, utterances, problems)
    yield from _copies(tree.root, utterances)


def _partly_aligned(root: Path, utterances: Sequence[Utterance]) -> Iterator[Problem]:
    without = unaligned(utterances)
    if 0 < len(without) < len(utterances):
        message = (
            f"aligned {len(utterances) - len(without):,} of {len(utterances):,} utterances; "
            f"no phones or words: {abbreviated(without, _SHOWN)}"
        )
        yield Problem(root, None, message, "notice")


def _not_read(
    layout: str, tree: Tree, utterances: Sequence[Utterance], problems: Sequence[Problem]
) -> Iterator[Problem]:
    """Annotations of other layouts that were not read, as in a folder whose layout was taken for another."""
    seen = {state.path for utterance in utterances for state in utterance.files}
    seen |= {problem.path for problem in problems}
    for suffix, other in _ANNOTATIONS.items():  # or whole names
        if other == layout or (layout, suffix) in _TRANSCRIPTS:
            continue
        if paths := [path for path in tree.files if suffix in (path.suffix.lower(), path.name) and path not in seen]:
            names = abbreviated([str(path.relative_to(tree.root)) for path in paths], _SHOWN)
            message = f"{suffix} files are not read as layout {layout}: {names}; --layout {other} reads them"
            yield Problem(tree.root, None, message, "notice")


def _copies(root: Path, utterances: Sequence[Utterance]) -> Iterator[Problem]:
    """Recordings with the same bytes; a few bytes are compared before whole files are read."""
    groups = [list({utterance.audio: utterance for utterance in utterances}.values())]
    for digest in (_size, _middle, _whole):
        groups = [part for group in groups for part in _split(group, digest) if len(part) > 1]
    pairs = [f"{copy.id} = {first.id}" for first, *copies in groups for copy in copies]
    if pairs:
        message = (
            f"{len(pairs)} recordings are copies of others, which makes accuracies too high: "
            f"{abbreviated(pairs, _SHOWN)}; remove the copies"
        )
        yield Problem(root, None, message, "notice")


def _split(utterances: Sequence[Utterance], digest: Callable[[Path], Hashable]) -> list[list[Utterance]]:
    groups: dict[Hashable, list[Utterance]] = {}
    for utterance in utterances:
        try:
            groups.setdefault(digest(utterance.audio), []).append(utterance)
        except OSError:  # gone or unreadable: reading its audio will say so
            continue
    return list(groups.values())


def _size(path: Path) -> int:
    return path.stat().st_size


def _middle(path: Path) -> bytes:
    with path.open("rb") as file:
        file.seek(path.stat().st_size // 2)
        return file.read(_PROBE_BYTES)


def _whole(path: Path) -> bytes:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").digest()
