"""Fuzz every file reader with damaged copies of good files: `python benchmarks/fuzz.py --inputs 100000`.

A reader must either accept its input or refuse it with a one-line InputError. Anything else is printed, and the input
is kept under --keep: another exception, a crash of the process, an input that takes longer than --seconds, or one that
needs more than --memory beyond what the process had. Each reader runs in a process of its own whose address space is
limited. Input I of a reader depends on --seed, the reader's name and I only.

    python benchmarks/fuzz.py --only flac --only "lab .lab" --inputs 2000 --seed 7

MP3 is fuzzed only on request (--only mp3): about one damaged file in ten thousand crashes libmpg123, which is part of
libsndfile 1.2.2.
"""

import argparse
import io
import json
import os
import random
import re
import resource
import shutil
import signal
import struct
import sys
import tempfile
import time
import traceback
import zipfile
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
from lvm_probe.models.io.files import write_json
from lvm_probe.models.registry import FAMILIES, family, preset
from lvm_probe.probing.corpora import open_corpus
from lvm_probe.probing.corpora.audio import SUFFIXES
from lvm_probe.probing.corpora.recordings import read_pcm_file
from lvm_probe.probing.corpora.sequences import open_sequences
from lvm_probe.probing.corpora.summary import as_text, describe
from lvm_probe.probing.features import token_table
from tests.probing.miniature import MINIATURES, text_grid
from tests.probing.sequence_miniatures import MINIATURES as SEQUENCES
from tests.probing.textgrid_agreement import assert_agreement

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
    """A reader: good files to start from, the path of the file that it reads, and how to damage it."""

    name: str
    seeds: tuple[bytes, ...]
    path: Path
    read: Callable[[], object]
    damage: "Damage"


Damage = Callable[[random.Random, Sequence[bytes]], bytes]


def damaged(draw: random.Random, seeds: Sequence[bytes]) -> bytes:
    """A good file with flipped bits, numbers or words written into it, and parts cut, repeated or from another file."""
    content = bytearray(draw.choice(seeds))
    for _ in range(draw.choice((1, 1, 1, 2, 3, 6))):
        size = len(content)
        reach = draw.choice((size, size, 64, 400))  # headers are read first and hold the sizes
        at = draw.randrange(min(size, reach) + 1)
        if draw.random() < 0.2:
            at = size - at  # some formats have a footer
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


PRAAT = [
    "-1", "+1", "0.5", "1e-1", "2e9", "25%", "1/4", "1/0", "0x1", "0,5", "0.5s", "--", "+", "1e400", "7 8", "4,", "0.0",
    '"', '"a"', '"a""b"', '"a"b', '"IntervalTier"', '"TextTier"', '"words"', '"ooTextFile"', '"TextGrid"', "<exists>",
    "<exists>9", "<", "<absent>", "! a", '! "', "item [1]:", ".5", "é", "\r", "\f", "\u00a0", "\u2028", "\x1c", "\0",
]  # fmt: skip


def damaged_tokens(draw: random.Random, seeds: Sequence[bytes]) -> bytes:
    """A TextGrid with words replaced, removed, repeated, joined or added."""
    words = draw.choice(seeds).decode().split(" ")
    for _ in range(draw.choice((1, 1, 2, 3, 6))):
        at = draw.randrange(len(words))
        match draw.randrange(6):
            case 0:
                words[at] = draw.choice(PRAAT)
            case 1:
                del words[at : at + draw.choice((1, 1, 3, 40))]
            case 2:
                words[at:at] = words[at : at + draw.choice((1, 3, 40))]
            case 3:
                words[at : at + 2] = ["".join(words[at : at + 2])]
            case 4:
                words[at] += draw.choice(PRAAT)
            case _:
                words.insert(at, draw.choice(PRAAT))
        words = words or [""]
    text = " ".join(words)
    return text.encode(draw.choice(("utf-8", "utf-8", "utf-16", "cp1252")), errors="replace")


def other_json(draw: random.Random, value: Any) -> Any:
    """A document with one part replaced, removed, repeated or renamed; also inside strings that hold JSON."""
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
    """A JSON document with changed values, or with damaged bytes."""
    if draw.random() < 0.3:
        return damaged(draw, seeds)
    return json.dumps(other_json(draw, json.loads(draw.choice(seeds)))).encode()


def damaged_safetensors(draw: random.Random, seeds: Sequence[bytes]) -> bytes:
    """A safetensors file with a changed header, mostly in its metadata, or with damaged bytes."""
    if draw.random() < 0.2:
        return damaged(draw, seeds)
    content = draw.choice(seeds)
    (size,) = struct.unpack("<Q", content[:8])
    document = json.loads(content[8 : 8 + size])
    for _ in range(draw.choice((1, 1, 2))):
        if isinstance(document, dict) and "__metadata__" in document and draw.random() < 0.7:
            metadata = document["__metadata__"]
            key = draw.choice(("config", "config", "config", "provenance", "family", "format"))
            if isinstance(metadata, dict) and isinstance(metadata.get(key), str):
                document = document | {"__metadata__": metadata | {key: _text(draw, metadata[key])}}
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
        return str(draw.choice((*LEAVES, *FAMILIES)))


def damaged_arrays(draw: random.Random, seeds: Sequence[bytes]) -> bytes:
    """An .npz with damaged arrays in an archive that is whole, or with damaged bytes, which its checksums betray."""
    if draw.random() < 0.2:
        return damaged(draw, seeds)
    content = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(draw.choice(seeds))) as whole, zipfile.ZipFile(content, "w") as archive:
        arrays = {name: whole.read(name) for name in whole.namelist()}
        hit = draw.choice(list(arrays))
        for name, array in arrays.items():
            archive.writestr(name, damaged(draw, [array, *arrays.values()]) if name == hit else array)
    return content.getvalue()


def readers(work: Path) -> list[Reader]:
    """Every reader of files that users supply; `work` is an empty folder."""
    every = [*_corpora(work), *_sequences(work), _text_grid(work), *_audio(work), _checkpoint(work), *_tables(work)]
    return [replace(reader, seeds=tuple(dict.fromkeys(reader.seeds))) for reader in every]


def _corpus_reader(root: Path) -> Callable[[], object]:
    def read() -> object:
        corpus = open_corpus(root)
        if any("\n" in str(problem) for problem in corpus.problems):
            raise AssertionError(f"a problem has several lines: {corpus.problems}")
        as_text(json.loads(json.dumps(describe(corpus)))).encode()
        for problem in corpus.problems:
            if problem.severity == "error":
                raise InputError(str(problem))
        return corpus

    return read


def _corpora(work: Path) -> list[Reader]:
    """For every layout, a reader of each kind of text file in its miniatures, such as "timit .phn"."""
    found: dict[str, Reader] = {}
    for name, miniature in MINIATURES.items():
        root = miniature.write(work / name)
        files = [path for path in sorted(root.rglob("*")) if path.is_file()]
        recordings = {path.stem for path in files if path.suffix.lower() in SUFFIXES}
        for path in files:
            if path.suffix.lower() in SUFFIXES:
                continue
            name_alone = re.sub(r"^[a-z]?\d+[-_]\d+", "*", path.name)  # without the utterance that it belongs to
            kind = f"{miniature.layout} {path.suffix if path.stem in recordings else name_alone}".lower()
            first = found.setdefault(kind, Reader(kind, (), path, _corpus_reader(root), damaged))
            found[kind] = replace(first, seeds=(*first.seeds, path.read_bytes()))
    return list(found.values())


def _sequences(work: Path) -> list[Reader]:
    """For every format of sequences, a reader of each kind of file in its miniatures, such as "midi.mid"."""
    found: dict[str, Reader] = {}
    for name, miniature in SEQUENCES.items():
        (work / name).mkdir()
        path = miniature.write(work / name)
        for file in sorted(file for file in path.rglob("*") if file.is_file()) if path.is_dir() else [path]:
            is_list = miniature.format != "text" and file.suffix == ".txt"  # each list of names is another one
            kind = f"{miniature.format}.{file.name}" if is_list else f"{miniature.format}{file.suffix}"

            def read(path: Path = path, domain: str = miniature.domain) -> object:
                corpus = open_sequences(path, domain)
                if any("\n" in notice for notice in corpus.notices):
                    raise AssertionError(f"a notice has several lines: {corpus.notices}")
                return corpus.fingerprint()

            damage = damaged_arrays if file.suffix == ".npz" else damaged
            first = found.setdefault(kind, Reader(kind, (), file, read, damage))
            found[kind] = replace(first, seeds=(*first.seeds, file.read_bytes()))
    return list(found.values())


def _text_grid(work: Path) -> Reader:
    """TextGrids: what is read must be what the slow reader of the tests reads."""
    path = work / "a.TextGrid"
    phones, words = [(0, 0.1, ""), (0.1, 0.25, "a"), (0.25, 0.5, '""b""')], [(0, 0.1, "item [1]"), (0.1, 0.5, "")]
    long, short = (text_grid(path, long=long, phones=phones, words=words).read_text() for long in (True, False))
    points = short.replace("<exists>\n2", '<exists>\n3\n"TextTier"\n"bell"\n0\n0.5\n1\n0.25\n"ding"')
    chronological = (
        '"Praat chronological TextGrid text file"\n0 0.5   ! Time domain.\n2   ! Number of tiers.\n'
        '"TextTier" "bell" 0 0.5 "IntervalTier" "phones" 0 0.5\n\n! bell:\n1 0.25\n"ding"\n'
        '\n! phones:\n2 0 0.25\n"a"\n\n! phones:\n2 0.25 0.5\n"b"\n'
    )
    seeds = [re.sub(r"\s+", " \n ", text).encode() for text in (long, short, points)]
    seeds.append(chronological.replace("\n", " \n ").encode())

    return Reader("textgrid tokens", tuple(seeds), path, lambda: assert_agreement(path), damaged_tokens)


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
    every = []
    for name, (file, options) in kinds.items():
        path = work / name / file
        path.parent.mkdir()
        seeds = tuple(_tone(path, **some) for some in options)
        if name == "wav":  # also as from a pipe, with an unknown length
            at = seeds[0].index(b"data") + 4
            seeds += (seeds[0][:at] + bytes(4) + seeds[0][at + 4 :],)

        def read(path: Path = path) -> object:
            return read_pcm_file(path, 16_000)

        every.append(Reader(name, seeds, path, read, damaged))
    return every


def _checkpoint(work: Path) -> Reader:
    seeds, path = [], work / "checkpoint" / "m.safetensors"
    for name in FAMILIES:
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
    write_json(folder / token_table.EXTRACTION, {"parts": 1, "features": sizes, "also": [], "seed": 0})
    part, extraction = folder / token_table.part_name(0), folder / token_table.EXTRACTION

    def read() -> object:
        token_table.read_note(folder, 0)
        token_table.count_rows(folder, 1)
        return token_table.load(folder)

    return [
        Reader("part", (part.read_bytes(),), part, read, damaged),
        Reader("extraction", (extraction.read_bytes(),), extraction, read, damaged_json),
    ]


def attempt(reader: Reader, seed: int, index: int) -> str:
    """Read one damaged file; returns "read" or "refused". Other exceptions are bugs of the reader and not caught."""
    draw = random.Random(f"{seed} {reader.name} {index}")
    reader.path.write_bytes(reader.damage(draw, reader.seeds))
    try:
        reader.read()
    except InputError as error:
        if "\n" in str(error):
            raise AssertionError(f"an error has several lines: {error}") from error
        str(error).encode(errors="backslashreplace")
        return "refused"
    return "read"


class TooSlow(BaseException):
    """Reading one input took too long."""


def _fuzz(reader: Reader, args: argparse.Namespace, index_file: int) -> None:
    """Read all inputs of one reader, in a process of its own; `index_file` holds the number of the present one."""

    def time_out(*_: object) -> None:
        raise TooSlow

    signal.signal(signal.SIGPROF, time_out)  # processor time, so that other work on the machine fails nothing
    os.dup2(os.open(os.devnull, os.O_WRONLY), 2)  # libmpg123 prints many warnings
    pages = int(Path("/proc/self/statm").read_text().split()[0])
    limit = pages * resource.getpagesize() + int(args.memory * 2**30)
    resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
    counts: Counter[str] = Counter()
    slowest, first = 0.0, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    for index in range(args.first, args.first + args.inputs):
        os.pwrite(index_file, f"{index:12}".encode(), 0)
        began = time.process_time()
        try:
            signal.setitimer(signal.ITIMER_PROF, args.seconds)
            try:
                counts[attempt(reader, args.seed, index)] += 1
            finally:
                signal.setitimer(signal.ITIMER_PROF, 0)
        except (Exception, TooSlow) as error:
            counts["failed"] += 1
            kind = f"{type(error).__name__}: {error}"[:300]
            if counts[kind] == 0:
                kept = _keep(reader, args, index)
                last = traceback.extract_tb(error.__traceback__)[-1]
                print(
                    f"{reader.name} {index}: {kind} ({Path(last.filename).name}:{last.lineno})\n  kept as {kept}",
                    flush=True,
                )
            counts[kind] += 1
        slowest = max(slowest, time.process_time() - began)
    grown = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - first) / 1024
    print(
        f"{reader.name:31} {args.inputs:7} inputs: {counts['read']:6} read, {counts['refused']:6} refused, "
        f"{counts['failed']:5} failed; slowest {slowest:.2f} s, {grown:.0f} MB more at most",
        flush=True,
    )
    os._exit(1 if counts["failed"] else 0)


def _keep(reader: Reader, args: argparse.Namespace, index: int) -> Path:
    """Copy the input to --keep."""
    name = reader.name.replace(" ", "-")
    return Path(shutil.copy(reader.path, args.keep / f"{name}-{args.seed}-{index}{reader.path.suffix}"))


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--inputs", type=int, default=100_000, help="in all, divided among the readers")
    parser.add_argument("--first", type=int, default=0, help="number of the first input, to repeat a failure")
    parser.add_argument(
        "--only", action="append", help='fuzz only this reader, such as wav or "lab .lab"; may be repeated'
    )
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--seconds", type=float, default=10.0, help="longest processor time for one input")
    parser.add_argument("--memory", type=float, default=1.0, help="GB of address space beyond what was there before")
    parser.add_argument("--keep", type=Path, default=Path("fuzz-found"), help="folder for inputs that failed")
    args = parser.parse_args()
    torch.set_num_threads(1)
    pa.set_cpu_count(1)
    failed = False
    with tempfile.TemporaryDirectory() as work:
        every = readers(Path(work))
        chosen = [reader for reader in every if (reader.name in args.only if args.only else reader.name != "mp3")]
        if not chosen:
            parser.error(f"no such reader; there are {', '.join(reader.name for reader in every)}")
        args.inputs = -(-args.inputs // len(chosen))
        args.keep.mkdir(parents=True, exist_ok=True)
        began = time.monotonic()
        for reader in chosen:
            for seed in reader.seeds:  # undamaged files must be readable; this also loads the libraries once
                reader.path.write_bytes(seed)
                reader.read()
            index_file = os.open(Path(work) / "index", os.O_RDWR | os.O_CREAT | os.O_TRUNC)
            child = os.fork()
            if child == 0:
                try:
                    _fuzz(reader, args, index_file)
                finally:
                    os._exit(1)
            _, status = os.waitpid(child, 0)
            if os.WIFSIGNALED(status):
                index = int(os.pread(index_file, 12, 0))
                kept = _keep(reader, args, index)
                print(f"{reader.name} {index}: ended by signal {os.WTERMSIG(status)}\n  kept as {kept}", flush=True)
            failed |= status != 0
            os.close(index_file)
            reader.path.write_bytes(reader.seeds[0])
    total = args.inputs * len(chosen)
    print(f"{total} inputs in {time.monotonic() - began:.0f} s: {'something failed' if failed else 'nothing failed'}")
    return int(failed)


if __name__ == "__main__":
    sys.exit(main())
