"""Several corpora to train one model on: as one corpus, and in the provenance of its checkpoint.

Of several corpora, utterances and speakers are named `folder/id`, where `folder` is the last part of the corpus's path,
or as many of its last parts as tell the corpora apart. The names in a single corpus stay as they are.
"""

import os
from collections.abc import Mapping, Sequence
from dataclasses import replace
from itertools import combinations
from pathlib import Path
from typing import Any

from lvm_probe import InputError
from lvm_probe.models.checkpoints.checkpoint import Checkpoint
from lvm_probe.probing.corpora.corpus import Corpus, SpeakerSplit, abbreviated

PUBLISHED = ("librilight", "librispeech", "timit", "vctk")
"""Layouts of published corpora, in which a speaker's id means the same person in whichever folder it is."""

Parts = dict[str, set[str]]
"""The ids of the speakers that a model was trained on ("train"), chosen by ("validation") and tested on ("test")."""


def prefixes(roots: Sequence[Path]) -> list[str]:
    """What the names in each of several corpora begin with, given their folders; of a single corpus nothing.

    Raises:
        InputError: a folder is given twice.

    Example:
        >>> prefixes([Path("data/first/train"), Path("data/second/train")])
        ['first/train/', 'second/train/']
    """
    if len(roots) == 1:
        return [""]
    resolved = [root.expanduser().resolve() for root in roots]
    for place, root in enumerate(resolved):
        if root in resolved[:place]:
            raise InputError(f"{roots[place]}: given twice; name each corpus once")
    longest = max(len(root.parts) for root in resolved)
    endings = (["/".join(root.parts[-depth:]) + "/" for root in resolved] for depth in range(1, longest + 1))
    return next(names for names in endings if len(set(names)) == len(names))


def merge(corpora: Sequence[Corpus]) -> Corpus:
    """One corpus of the utterances of all; a single corpus as it is.

    Raises:
        InputError: two of the corpora are the same folder.
    """
    if len(corpora) == 1:
        return corpora[0]
    utterances = tuple(
        replace(
            utterance, id=prefix + utterance.id, speaker=replace(utterance.speaker, id=prefix + utterance.speaker.id)
        )
        for prefix, corpus in zip(prefixes([corpus.root for corpus in corpora]), corpora, strict=True)
        for utterance in corpus.utterances
    )
    root = Path(os.path.commonpath([corpus.root.resolve() for corpus in corpora]))
    problems = tuple(problem for corpus in corpora for problem in corpus.problems)
    return Corpus(" + ".join(corpus.name for corpus in corpora), root, utterances, problems)


def check_disjoint(corpora: Sequence[Corpus]) -> list[str]:
    """Make sure that no recording and no speaker of one corpus is in another, so that held-out speakers are unheard.

    Returns:
        One line for each two corpora of one layout with speakers of the same ids, which are taken for different people.

    Raises:
        InputError: two corpora have a recording in common, or a speaker of a published corpus.
    """
    notices = []
    recordings = [
        {(*_file(utterance.audio), utterance.offset) for utterance in corpus.utterances} for corpus in corpora
    ]
    for (a, first), (b, second) in combinations(zip(corpora, recordings, strict=True), 2):
        if shared := len(first & second):
            raise InputError(f"{b.root}: {shared:,} of its recordings are in {a.root} too; leave one of the two out")
        names = sorted({s.id for s in a.speakers} & {s.id for s in b.speakers})
        if not names or a.name != b.name:
            continue
        if a.name in PUBLISHED:
            raise InputError(
                f"{b.root}: has speakers of {a.root} ({abbreviated(names, 3)}), who would be trained on and held out; "
                "leave one of the two out, or give one folder that holds both"
            )
        notices.append(
            f"{a.root} and {b.root}: speakers of one name ({abbreviated(names, 3)}) are taken for different people; "
            "if they are not, give one folder that holds both"
        )
    return notices


def check_unheard(start: Checkpoint, corpora: Sequence[Corpus], splits: Sequence[SpeakerSplit]) -> list[str]:
    """Make sure that a checkpoint that a training begins with was not itself trained on the speakers held out.

    Returns:
        One line for each corpus of which it has heard speakers that are to choose the checkpoint.

    Raises:
        InputError: it was trained on speakers held out for the test.
    """
    notices = []
    for corpus, split in zip(corpora, splits, strict=True):
        heard = speakers_of(corpus, start.provenance)["train"]
        tested = sorted(heard & {speaker.id for speaker in split.test.speakers})
        if tested:
            raise InputError(
                f"{start.path}: was trained on {len(tested)} of the test speakers of {corpus.root} "
                f"({abbreviated(tested, 3)}); begin with another checkpoint, or with --test 0"
            )
        if chosen := sorted(heard & {speaker.id for speaker in split.validation.speakers}):
            notices.append(
                f"{start.path}: was trained on {len(chosen)} of the validation speakers of {corpus.root} "
                f"({abbreviated(chosen, 3)}), so their bound is too good"
            )
    return notices


def describe_training(corpora: Sequence[Corpus], train: Corpus, validation: Corpus, test: Corpus) -> dict[str, Any]:
    """What the provenance of a checkpoint says of the corpora, and of the merged parts that they were divided into.

    Returns:
        A document for JSON, which `speakers_of` reads.
    """
    whole = merge(corpora)
    return {
        "corpus": whole.name,
        "corpus_fingerprint": whole.fingerprint(),
        "corpora": [
            {
                "corpus": corpus.name,
                "prefix": prefix,
                "split": corpus.only_split,
                "fingerprint": corpus.fingerprint(),
                "seconds": round(corpus.seconds, 1),
                "train_seconds": round(sum(u.seconds for u in train.utterances if u.id.startswith(prefix)), 1),
                "speakers": len(corpus.speakers),
            }
            for prefix, corpus in zip(prefixes([corpus.root for corpus in corpora]), corpora, strict=True)
        ],
        "train_seconds": round(train.seconds, 1),
        **{
            f"{name}_speakers": [speaker.id for speaker in part.speakers]
            for name, part in (("train", train), ("validation", validation), ("test", test))
        },
    }


def speakers_of(corpus: Corpus, provenance: Mapping[str, Any]) -> Parts:
    """The speakers of a corpus by the part that they had in a training.

    Args:
        corpus: with their ids as it has them.
        provenance: of a checkpoint, as `describe_training` makes it, or from before it recorded several corpora.

    Returns:
        No speakers at all if the corpus is none of those that the model was trained on: if its layout differs, if it
        lacks a speaker, or if its ids fit several of them and its fingerprint none or several. Those trained on include
        whom the checkpoint had heard that the training began with.
    """
    known = {speaker.id for speaker in corpus.speakers}
    candidates: list[tuple[Mapping[str, Any], Parts]] = []
    for entry in provenance.get("corpora") or [{**provenance, "fingerprint": provenance.get("corpus_fingerprint")}]:
        prefix = entry.get("prefix", "")
        parts = {
            part: {id.removeprefix(prefix) for id in provenance.get(f"{part}_speakers", []) if id.startswith(prefix)}
            for part in ("train", "validation", "test")
        }
        if entry.get("corpus") == corpus.name and set().union(*parts.values()) <= known:
            candidates.append((entry, parts))
    speakers = [id for _, parts in candidates for ids in parts.values() for id in ids]
    if len(speakers) > len(set(speakers)):  # the same ids in several corpora
        whole = [corpus, *(corpus.select(split=split) for split in corpus.splits)]
        fingerprints = {part.fingerprint() for part in whole}
        exact = [(entry, parts) for entry, parts in candidates if entry["fingerprint"] in fingerprints]
        candidates = exact if len(exact) == 1 else []
    found = {part: set().union(*(parts[part] for _, parts in candidates)) for part in ("train", "validation", "test")}
    if begun := provenance.get("started_from"):
        found["train"] |= speakers_of(corpus, begun)["train"]
    return found


def _file(path: Path) -> tuple[int, int]:
    """What is the same for all names of a file."""
    try:
        status = path.stat()
    except OSError as error:
        raise InputError(f"{path}: gone since the corpus was opened; open it again") from error
    return status.st_dev, status.st_ino
