"""IAM-OnDB: lines of English handwriting on a whiteboard, 12,179 lines of 221 writers, as XML.

M. Liwicki, H. Bunke, "IAM-OnDB - an on-line English sentence database acquired from handwritten text on a whiteboard",
ICDAR 2005. https://fki.tic.heia-fr.ch/databases/iam-on-line-handwriting-database (registration; for research). Layout:

    lineStrokes/a01/a01-000/a01-000u-01.xml     one line of the form a01-000u: <Stroke>s of <Point x= y= time=>

Splits, from files below the folder that list forms, one a line:

- `train.txt` and `valid.txt`, as in the code of J. Chung, K. Kastner, L. Dinh, K. Goel, A. Courville, Y. Bengio, "A
  recurrent latent variable model for sequential data", NIPS 2015: there is no test, and results are on `valid`;
- or else the database's own `trainset.txt`, `testset_v.txt`, `testset_t.txt` and `testset_f.txt`. `testset_v` is valid,
  and the others together are train, which is nearly the same division;
- without such files, `everything`.

y grows downwards, as on the whiteboard. Offsets are in its units; the models standardise them.
"""

from __future__ import annotations

import re
from pathlib import Path
from xml.parsers import expat

import numpy as np

from lvm_probe.probing.corpora.audio import SUFFIXES
from lvm_probe.probing.corpora.intake import InvalidFile, read_bytes, read_lines, walk
from lvm_probe.probing.corpora.sequences.registry import Options
from lvm_probe.probing.corpora.sequences.sequence_corpus import EVERYTHING, SequenceCorpus, SequenceRecording
from lvm_probe.probing.corpora.sequences.stroke_points import dots_notice, elements, from_positions, leading_dots

DOMAINS = ("strokes",)

_LINE = re.compile(r"([a-z][0-9]{2}-[0-9]{3}[a-z]?)-[0-9]{2}")
_CHUNG = {"train.txt": "train", "valid.txt": "valid"}
_OWN = {"trainset.txt": "train", "testset_v.txt": "valid", "testset_t.txt": "train", "testset_f.txt": "train"}


def recognises(path: Path) -> bool:
    """A folder with files named like a01-000u-01.xml and no audio before the first of them."""
    if not path.is_dir():
        return False
    for file in walk(path):
        if _is_line(file):
            return True
        if file.suffix.lower() in SUFFIXES:
            return False
    return False


def _is_line(file: Path) -> bool:
    return file.suffix.lower() == ".xml" and _LINE.fullmatch(file.stem) is not None


def read(path: Path, options: Options) -> SequenceCorpus:
    """Every line of handwriting; files that cannot be read are left out, with a notice for each."""
    files = sorted(walk(path))
    notices: list[str] = []
    split_of = _splits(path, files, notices)
    splits: dict[str, list[SequenceRecording]] = {}
    unlisted = dots = 0
    for file in files:
        if not _is_line(file):
            continue
        form = file.stem.rpartition("-")[0]
        split = split_of.get(form) if split_of else EVERYTHING
        if split is None:
            unlisted += 1
            continue
        try:
            rows = from_positions(positions(file))
            values = elements(file, "the line", rows)
        except InvalidFile as error:
            notices.append(f"left out: {error}")
            continue
        dots += leading_dots(rows)
        if len(values):
            splits.setdefault(split, []).append(SequenceRecording(file.stem, values))
        else:
            notices.append(f"left out: {file}: no stroke of several positions")
    if unlisted:
        notices.append(f"left out {unlisted:,} lines of forms that no list names")
    notices += dots_notice(dots)
    if not splits:
        raise InvalidFile(path, None, f"none of its lines can be read; {notices[0] if notices else 'restore it'}")
    ordered = {split: tuple(splits[split]) for split in ("train", "valid", EVERYTHING) if split in splits}
    return SequenceCorpus(path, "strokes", ordered, notices=tuple(notices))


def _splits(root: Path, files: list[Path], notices: list[str]) -> dict[str, str]:
    """The split of each form; empty if there are no lists."""
    for lists, whose in ((_CHUNG, "Chung et al. (2015)"), (_OWN, "the database: testset_v is valid, all others train")):
        found = [file for file in files if file.name in lists]
        if not found:
            continue
        names = [file.name for file in found]
        if sorted(names) != sorted(lists):
            message = f"lists {', '.join(names)}, but the split needs each of {', '.join(lists)} once; complete them"
            raise InvalidFile(root, None, message)
        notices.append(f"divided by the lists of {whose}")
        forms: dict[str, str] = {}
        for file in found:
            for number, line in read_lines(file):
                form = line.strip()
                if forms.setdefault(form, lists[file.name]) != lists[file.name]:
                    raise InvalidFile(file, number, f"form {form[:20]} is in train and in valid; keep one")
        return forms
    return {}


def positions(file: Path) -> np.ndarray:
    """Rows of x, y and pen of one file; pen is 1 at the last point of each stroke. Raises InvalidFile if damaged."""
    strokes: list[list[tuple[float, float]]] = []

    def start(name: str, attributes: dict[str, str]) -> None:
        if name == "Stroke":
            strokes.append([])
        elif name == "Point":
            strokes[-1].append((float(attributes["x"]), float(attributes["y"])))

    def refuse(*_: object) -> None:
        raise ValueError("it defines entities")

    parser = expat.ParserCreate()
    parser.StartElementHandler = start
    parser.EntityDeclHandler = refuse
    try:
        parser.Parse(read_bytes(file), True)
    except (expat.ExpatError, ValueError, LookupError) as error:
        raise InvalidFile(file, None, f"is no XML of strokes ({error}); restore it") from error
    rows = [(x, y, float(i == len(stroke) - 1)) for stroke in strokes for i, (x, y) in enumerate(stroke)]
    if not rows:
        raise InvalidFile(file, None, "holds no points; restore it")
    return np.array(rows)
