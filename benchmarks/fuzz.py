"""Damages good files a hundred thousand times and reads them: `python benchmarks/fuzz.py --inputs 100000`.

Every reader of files from outside has to take what it is given or to refuse it with its one clear line. Anything else
is printed, and the input is kept under --keep: another exception, an exit of the process, an input that takes longer
than --seconds, or one that takes more memory than --memory beyond what the process had. Each reader works in a process
of its own, whose address space is bounded; input I of a reader follows from --seed, its name and I.

    python benchmarks/fuzz.py --only flac --only checkpoint --inputs 2000 --seed 7

MP3 is read when asked for by --only: about one damaged file in ten thousand ends the process inside of libmpg123, which
libsndfile 1.2.2 brings, and that is not ours to mend.
"""

import argparse
import json
import os
import random
import resource
import shutil
import signal
import struct
import sys
import tempfile
import time
import traceback
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import numpy as np
import pyarrow as pa
import soundfile
import torch

from lvm_probe import InputError
from lvm_probe.models.checkpoints import checkpoint
from lvm_probe.models.registry import family, preset
from lvm_probe.probing.corpora import open_corpus
from lvm_probe.probing.corpora.demo import CORPUS
from lvm_probe.probing.corpora.recordings import read_pcm_file
from lvm_probe.probing.corpora.summary import as_text, describe
from lvm_probe.probing.features import token_table

# fmt: off
NUMBERS = [0, 1, 2, 255, 256, 0x7FFF, 0x8000, 0xFFFF, 0x7FFFFFFF, 0x80000000, 0xFFFFFFF0, 0xFFFFFFFF, 2**40, 2**63 - 1]
WORDS = [
    b"0", b"-1", b"7", b"1000", b"9" * 30, b"2147483647", b"2147483648", b"99999999999", b"nan", b"inf", b"1e400",
    b"\n", b"\r", b"\0", b"\t", b" ", b'"', b"{", b"[", b"\xff\xfe", b"\xef\xbb\xbf", b"\xe2\x80\xa8", b"<exists>",
    b"\xd9\xa3", b"sh", b"h#", b"IntervalTier", b"TextTier", b"item [1]:", b"xmin = ", b"sample_count -i 2000000000",
    b"sample_coding -s26 pcm,embedded-shorten-v2.00", b"end_head", b"data", b"fLaC", b"PAR1", b"[" * 3000, b"1e9",
]
LEAVES: list[Any] = [
    None, True, 0, 1, -1, 3, 1e9, 10**9, 2**31, 2**63, 10**40, 0.5, -0.0, float("nan"), float("inf"), "", "x", "2", [],
    [1], [[1]], {}, {"a": 1}, [0, 10**12], "F64", "BOOL", "F8_E4M3", "\ud800", "\u2028", "a\nb",
]
# fmt: on


@dataclass(frozen=True)
class Reader:
    """A reader, good files for it to begin with, and where the file lies that it reads."""

    name: str
    seeds: tuple[bytes, ...]
    path: Path
    read: Callable[[], object]
    damage: "Damage"


# fmt: off
DEFAULT = (
    "phn", "wrd", "spkrinfo", "textgrid", "speakers.csv", "wav", "flac", "sphere", "ogg", "checkpoint", "part",
    "extraction",
)
# fmt: on

Damage = Callable[[random.Random, Sequence[bytes]], bytes]


def damaged(draw: random.Random, seeds: Sequence[bytes]) -> bytes:
    """A good file with bits turned, numbers and words put over or into it, stretches cut, doubled, or from another."""
    content = bytearray(draw.choice(seeds))
    for _ in range(draw.choice((1, 1, 1, 2, 3, 6))):
        size = len(content)
        reach = draw.choice((size, size, 64, 400))  # heads are read first and promise most
        at = draw.randrange(min(size, reach) + 1)
        if draw.random() < 0.2:
            at = size - at  # and some feet
        span = draw.choice((1, 2, 4, 8, 30, 500))
        match draw.randrange(9):
            case 0 if at < size:
                content[at] ^= 1 << draw.randrange(8)
            case 1 | 2:
                order, width = draw.choice("<>"), draw.choice("HIQ")
                number = draw.choice(NUMBERS) & ((1 << 8 * struct.calcsize(width)) - 1)
                content[at : at + struct.calcsize(width)] = struct.pack(order + width, number)
            case 3:
                content[at : at + draw.choice((0, 1, span))] = draw.choice(WORDS)
            case 4:
                del content[at : at + span]
            case 5:
                content[at:at] = content[at : at + span]
            case 6:
                other = draw.choice(seeds)
                begin = draw.randrange(len(other) + 1)
                content[at : at + span] = other[begin : begin + span]
            case 7:
                digits = [i for i in range(min(size, reach)) if 48 <= content[i] < 58]
                if digits:
                    first = last = draw.choice(digits)
                    while last < size and 48 <= content[last] < 58:
                        last += 1
                    content[first:last] = draw.choice(WORDS[:12])
            case _:
                del content[at if draw.random() < 0.5 else draw.randrange(size + 1) :]
    return bytes(content)


def other_json(draw: random.Random, value: Any) -> Any:
    """A document with one of its parts replaced, gone, doubled or renamed; JSON inside of strings is one too."""
    if isinstance(value, str) and value[:1] in "{[" and value and draw.random() < 0.9:
        return json.dumps(other_json(draw, json.loads(value)))
    if isinstance(value, dict) and value and draw.random() < 0.95:
        name = draw.choice(list(value))
        match draw.randrange(12):
            case 0:
                return {k: v for k, v in value.items() if k != name}
            case 1:
                return {k if k != name else draw.choice(("", "x", k + "0")): v for k, v in value.items()}
            case _:
                return value | {name: other_json(draw, value[name])}
    if isinstance(value, list) and value and draw.random() < 0.8:
        at = draw.randrange(len(value))
        match draw.randrange(6):
            case 0:
                return value[:at] + value[at + 1 :]
            case 1:
                return value[:at] * draw.choice((2, 100)) + value[at:]
            case _:
                return [*value[:at], other_json(draw, value[at]), *value[at + 1 :]]
    if isinstance(value, int) and not isinstance(value, bool) and draw.random() < 0.4:
        return draw.choice((value + 1, value - 1, -value, value * 2, value * 10**6, float(value)))
    return draw.choice(LEAVES)


def damaged_json(draw: random.Random, seeds: Sequence[bytes]) -> bytes:
    """A JSON document with other contents, or other bytes."""
    if draw.random() < 0.3:
        return damaged(draw, seeds)
    return json.dumps(other_json(draw, json.loads(draw.choice(seeds)))).encode()


def damaged_safetensors(draw: random.Random, seeds: Sequence[bytes]) -> bytes:
    """A safetensors file whose head says something else, in the metadata mostly, or with other bytes."""
    if draw.random() < 0.2:
        return damaged(draw, seeds)
    content = draw.choice(seeds)
    (size,) = struct.unpack("<Q", content[:8])
    document = json.loads(content[8 : 8 + size])
    for _ in range(draw.choice((1, 1, 2))):
        if isinstance(document, dict) and "__metadata__" in document and draw.random() < 0.7:
            said = document["__metadata__"]
            key = draw.choice(("config", "config", "config", "provenance", "family", "format"))
            if isinstance(said, dict) and isinstance(said.get(key), str):
                document = document | {"__metadata__": said | {key: _text(draw, said[key])}}
        else:
            document = other_json(draw, document)
    head = json.dumps(document).encode()
    return (
        struct.pack("<Q", draw.choice((len(head), len(head), len(head), draw.choice(NUMBERS))))
        + head
        + content[8 + size :]
    )


def _text(draw: random.Random, text: str) -> str:
    try:
        return json.dumps(other_json(draw, json.loads(text)))
    except ValueError:
        return str(draw.choice((*LEAVES, "vrnn", "srnn", "stcn", "wavenet", "lstm", "dmol")))


def readers(work: Path) -> list[Reader]:
    """All readers of files from outside; `work` is an empty folder."""
    made = [*_annotations(work), *_grids(work), *_audio(work), _checkpoint(work), *_tables(work)]
    return [replace(reader, seeds=tuple(dict.fromkeys(reader.seeds))) for reader in made]


def _corpus_reader(root: Path) -> Callable[[], object]:
    def read() -> object:
        corpus = open_corpus(root)
        lines = [str(problem) for problem in corpus.problems]
        if any("\n" in line for line in lines):
            raise AssertionError(f"a problem of several lines: {lines}")
        return as_text(json.loads(json.dumps(describe(corpus)))).encode()

    return read


def _annotations(work: Path) -> list[Reader]:
    source = sorted(CORPUS.glob("*/*/*/*.PHN"))[0]
    root = work / "timit"
    folder = root / source.parent.relative_to(CORPUS)
    folder.mkdir(parents=True)
    shutil.copytree(CORPUS / "DOC", root / "DOC")
    for path in source.parent.glob(f"{source.stem}.*"):
        shutil.copy(path, folder)
    read, info = _corpus_reader(root), root / "DOC" / "SPKRINFO.TXT"
    return [
        Reader("phn", tuple(p.read_bytes() for p in source.parent.glob("*.PHN")), folder / source.name, read, damaged),
        Reader(
            "wrd",
            tuple(p.read_bytes() for p in source.parent.glob("*.WRD")),
            (folder / source.name).with_suffix(".WRD"),
            read,
            damaged,
        ),
        Reader("spkrinfo", (info.read_bytes(),), info, read, damaged),
    ]


def _grids(work: Path) -> list[Reader]:
    root = work / "grids" / "anna"
    root.mkdir(parents=True)
    _tone(root / "s1.wav")
    (root.parent / "speakers.csv").write_text("speaker,gender,height_cm,dialect\nanna,F,165.1,DR1\n")
    tiers = {"phones": [(0, 0.1, ""), (0.1, 0.25, "sh"), (0.25, 0.5, "iy")], "words": [(0, 0.1, ""), (0.1, 0.5, "she")]}
    head = 'File type = "ooTextFile"\nObject class = "TextGrid"\n\n'
    short, long = head + "0\n0.5\n<exists>\n2\n", head + "xmin = 0\nxmax = 0.5\ntiers? <exists>\nsize = 2\nitem []:\n"
    for number, (name, rows) in enumerate(tiers.items(), 1):
        short += f'"IntervalTier"\n"{name}"\n0\n0.5\n{len(rows)}\n'
        long += f'    item [{number}]:\n        class = "IntervalTier"\n        name = "{name}"\n        xmin = 0\n'
        long += f"        xmax = 0.5\n        intervals: size = {len(rows)}\n"
        for i, (start, end, label) in enumerate(rows, 1):
            short += f'{start}\n{end}\n"{label}"\n'
            long += f"        intervals [{i}]:\n            xmin = {start}\n            xmax = {end}\n"
            long += f'            text = "{label}"\n'
    grid, speakers = root / "s1.TextGrid", root.parent / "speakers.csv"
    grid.write_text(short)
    read = _corpus_reader(root.parent)
    return [
        Reader("textgrid", (short.encode(), long.encode(), short.encode("utf-16")), grid, read, damaged),
        Reader("speakers.csv", (speakers.read_bytes(),), speakers, read, damaged),
    ]


def _tone(path: Path, samples: int = 8000, **options: Any) -> bytes:
    wave = np.sin(np.arange(samples) / 7) / 3
    soundfile.write(str(path), wave, 16000, **options)
    return path.read_bytes()


def _audio(work: Path) -> list[Reader]:
    kinds: dict[str, tuple[str, list[dict[str, Any]]]] = {
        "wav": ("a.wav", [{"subtype": s} for s in ("PCM_16", "PCM_24", "FLOAT", "ULAW", "IMA_ADPCM")]),
        "flac": ("a.flac", [{"subtype": s} for s in ("PCM_16", "PCM_24")]),
        "sphere": ("A.WAV", [{"format": "NIST", "subtype": s} for s in ("PCM_16", "ULAW")]),
        "ogg": ("a.ogg", [{}]),
        "mp3": ("a.mp3", [{}]),
    }
    made = []
    for name, (file, options) in kinds.items():
        path = work / name / file
        path.parent.mkdir()
        seeds = tuple(_tone(path, **some) for some in options)

        def read(path: Path = path) -> object:
            return read_pcm_file(path, 16_000)

        made.append(Reader(name, seeds, path, read, damaged))
    return made


def _checkpoint(work: Path) -> Reader:
    seeds, path = [], work / "checkpoint" / "m.safetensors"
    for name in ("cwvae", "vrnn", "stcn", "lstm", "dmol"):
        model = family(name).seeded(preset(name, "tiny").config, 0)
        checkpoint.save(path, model, {"corpus": "none", "update": 3}, precision="float16")
        seeds.append(path.read_bytes())
    return Reader("checkpoint", tuple(seeds), path, lambda: checkpoint.load(path), damaged_safetensors)


def _tables(work: Path) -> list[Reader]:
    folder, sizes = work / "table", {"z1": 3, "z1_var": 3, "mel": 2}
    values: dict[str, Any] = dict.fromkeys((name for name, _ in token_table.TOKEN_FIELDS), None)
    values |= {"utterance": "U", "speaker": "S", "unit": "phoneme", "label": "a", "sample_rate": 16000}
    tokens = [values | {"token_id": f"U:{i}", "start": i, "end": i + 1} for i in range(20)]
    arrays = {name: np.ones((20, size)) for name, size in sizes.items()}
    token_table.write_part(folder, 0, tokens, arrays, sizes, token_table.PartNote({"V": "damaged"}, "abc"))
    token_table.write_json(folder / token_table.EXTRACTION, {"parts": 1, "features": sizes, "also": [], "seed": 0})
    part, extraction = folder / token_table.part_name(0), folder / token_table.EXTRACTION

    def read() -> object:
        token_table.read_note(folder, 0)
        token_table.counted(folder, 1)
        return token_table.load(folder)

    return [
        Reader("part", (part.read_bytes(),), part, read, damaged),
        Reader("extraction", (extraction.read_bytes(),), extraction, read, damaged_json),
    ]


def attempt(reader: Reader, seed: int, index: int) -> str:
    """Read one damaged file: "read" or "refused". Any other exception is the reader's fault and comes through."""
    draw = random.Random(f"{seed} {reader.name} {index}")
    reader.path.write_bytes(reader.damage(draw, reader.seeds))
    try:
        reader.read()
    except InputError as error:
        if "\n" in str(error):
            raise AssertionError(f"an error of several lines: {error}") from error
        str(error).encode(errors="backslashreplace")
        return "refused"
    return "read"


class TooSlow(BaseException):
    """An input took too long."""


def _work(reader: Reader, args: argparse.Namespace, keep: Path, say: int) -> None:
    """All inputs of one reader, in a process of its own."""

    def late(*_: object) -> None:
        raise TooSlow

    signal.signal(signal.SIGALRM, late)
    os.dup2(os.open(os.devnull, os.O_WRONLY), 2)  # libmpg123 has much to say there
    pages = int(Path("/proc/self/statm").read_text().split()[0])
    limit = pages * resource.getpagesize() + int(args.memory * 2**30)
    resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
    counts: Counter[str] = Counter()
    slowest, first = 0.0, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    for index in range(args.first, args.first + args.inputs):
        os.pwrite(say, f"{index:12}".encode(), 0)
        began = time.monotonic()
        try:
            signal.setitimer(signal.ITIMER_REAL, args.seconds)
            try:
                counts[attempt(reader, args.seed, index)] += 1
            finally:
                signal.setitimer(signal.ITIMER_REAL, 0)
        except (Exception, TooSlow) as error:
            counts["failed"] += 1
            kind = f"{type(error).__name__}: {error}"[:300]
            if counts[kind] == 0:
                kept = keep / f"{reader.name}-{args.seed}-{index}{reader.path.suffix}"
                shutil.copy(reader.path, kept)
                last = traceback.extract_tb(error.__traceback__)[-1]
                print(
                    f"{reader.name} {index}: {kind} ({Path(last.filename).name}:{last.lineno})\n  kept as {kept}",
                    flush=True,
                )
            counts[kind] += 1
        slowest = max(slowest, time.monotonic() - began)
    grown = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - first) / 1024
    print(
        f"{reader.name:13} {args.inputs:7} inputs: {counts['read']:6} read, {counts['refused']:6} refused, "
        f"{counts['failed']:5} failed; slowest {slowest:.2f} s, {grown:.0f} MB more at most",
        flush=True,
    )
    os._exit(1 if counts["failed"] else 0)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--inputs", type=int, default=100_000, help="over all readers")
    parser.add_argument("--first", type=int, default=0, help="number of the first input, to repeat one")
    parser.add_argument("--only", action="append", help="only this reader; may be given several times")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--seconds", type=float, default=10.0, help="for one input")
    parser.add_argument("--memory", type=float, default=1.0, help="GB of address space beyond what was there before")
    parser.add_argument("--keep", type=Path, default=Path("fuzz-found"), help="folder for what went wrong")
    args = parser.parse_args()
    torch.set_num_threads(1)
    pa.set_cpu_count(1)
    failed = False
    with tempfile.TemporaryDirectory() as work:
        chosen = [reader for reader in readers(Path(work)) if reader.name in (args.only or DEFAULT)]
        args.inputs = -(-args.inputs // len(chosen))
        args.keep.mkdir(parents=True, exist_ok=True)
        began = time.monotonic()
        for reader in chosen:
            for seed in reader.seeds:  # what is not damaged is read, and libraries are loaded once
                reader.path.write_bytes(seed)
                reader.read()
            say = os.open(Path(work) / "index", os.O_RDWR | os.O_CREAT | os.O_TRUNC)
            child = os.fork()
            if child == 0:
                try:
                    _work(reader, args, args.keep, say)
                finally:
                    os._exit(1)
            _, status = os.waitpid(child, 0)
            if os.WIFSIGNALED(status):
                index = int(os.pread(say, 12, 0))
                kept = args.keep / f"{reader.name}-{args.seed}-{index}{reader.path.suffix}"
                shutil.copy(reader.path, kept)
                print(f"{reader.name} {index}: ended by signal {os.WTERMSIG(status)}\n  kept as {kept}", flush=True)
            failed |= status != 0
            os.close(say)
            reader.path.write_bytes(reader.seeds[0])
    total = args.inputs * len(chosen)
    print(f"{total} inputs in {time.monotonic() - began:.0f} s: {'something failed' if failed else 'nothing failed'}")
    return int(failed)


if __name__ == "__main__":
    sys.exit(main())
