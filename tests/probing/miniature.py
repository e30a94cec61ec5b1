"""Miniature corpora of sines, one writer for each layout: two speakers (F and M), two utterances each."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import soundfile

RATE = 16000
SAMPLES = 8000  # half a second
PHONES = [(0, 1000, "h#"), (1000, 2400, "sh"), (2400, 4000, "iy"), (4000, 6000, "ae"), (6000, 7900, "h#")]
WORDS = [(1000, 4000, "she"), (3600, 6000, "had")]  # they share a vowel, as words of TIMIT may

SPKRINFO = """\
; comment
;ID  Sex DR Use  RecDate   BirthDate  Ht    Race Edu  Comments
VMH0  F  1  TRN  03/11/86  01/08/60  5'05"  WHT  BS   BEST NEW ENGLAND ACCENT SO FAR
CPM0  M  1  TST  01/30/86  02/18/62  5'11"  WHT  BS
"""


def tone(path: Path, samples: int = SAMPLES, rate: int = RATE, channels: int = 1, **options: Any) -> Path:
    """A sine whose pitch follows from the file's name, as 16-bit audio unless told otherwise."""
    path.parent.mkdir(parents=True, exist_ok=True)
    hertz = 100 + sum(path.stem.lower().encode()) % 400
    wave = np.round(12000 * np.sin(2 * np.pi * hertz * np.arange(samples) / rate)).astype(np.int16)
    soundfile.write(str(path), np.stack([wave] * channels, axis=1), rate, **options)
    return path


def noise(path: Path, seconds: int = 4) -> Path:
    """Faint noise, whose FLAC is long enough to be damaged inside while both ends are whole."""
    wave = np.random.default_rng(0).integers(-500, 500, seconds * RATE, dtype=np.int16)
    path.parent.mkdir(parents=True, exist_ok=True)
    soundfile.write(str(path), wave, RATE)
    return path


def zero_the_middle(path: Path) -> bytes:
    """Damage that shows only when the audio is read; returns what the file held."""
    whole = path.read_bytes()
    middle = len(whole) // 2
    path.write_bytes(whole[:middle] + bytes(500) + whole[middle + 500 :])
    return whole


def rows(path: Path, table: Sequence[tuple[int, int, str]]) -> Path:
    """A .PHN, .WRD or .TXT."""
    path.write_text("".join(f"{start} {end} {label}\n" for start, end, label in table))
    return path


def text_grid(path: Path, **tiers: Sequence[tuple[float, float, str]]) -> Path:
    """A TextGrid in Praat's short text format; times in seconds."""
    path.parent.mkdir(parents=True, exist_ok=True)
    last = max(end for tier in tiers.values() for _, end, _ in tier)
    lines = [
        'File type = "ooTextFile"',
        'Object class = "TextGrid"',
        "",
        "0",
        str(last),
        "<exists>",
        str(len(tiers)),
    ]
    for name, tier in tiers.items():
        lines += ['"IntervalTier"', f'"{name}"', "0", str(last), str(len(tier))]
        lines += [text for start, end, label in tier for text in (str(start), str(end), f'"{label}"')]
    path.write_text("\n".join(lines) + "\n")
    return path


def timit_ldc(root: Path) -> Path:
    """Upper case, SPHERE, DOC/SPKRINFO.TXT."""
    (root / "DOC").mkdir(parents=True)
    (root / "DOC" / "SPKRINFO.TXT").write_text(SPKRINFO)
    for usage, speaker in (("TRAIN", "FVMH0"), ("TEST", "MCPM0")):
        for sentence in ("SA1", "SX116"):
            audio = tone(root / usage / "DR1" / speaker / f"{sentence}.WAV", format="NIST", subtype="PCM_16")
            rows(audio.with_suffix(".PHN"), PHONES)
            rows(audio.with_suffix(".WRD"), WORDS)
            rows(audio.with_suffix(".TXT"), [(0, SAMPLES + 1, "She had.")])
    return root


def timit_nltk(root: Path) -> Path:
    """Lower case, RIFF, spkrinfo.txt at the root."""
    root.mkdir(parents=True)
    (root / "spkrinfo.txt").write_text(SPKRINFO)
    for speaker in ("fvmh0", "mcpm0"):
        for sentence in ("sa1", "sx116"):
            audio = tone(root / f"dr1-{speaker}" / f"{sentence}.wav")
            rows(audio.with_suffix(".phn"), PHONES)
            rows(audio.with_suffix(".wrd"), WORDS)
            rows(audio.with_suffix(".txt"), [(0, SAMPLES + 1, "She had.")])
    return root


def librispeech(root: Path) -> Path:
    """As distributed: subset, reader, chapter."""
    root.mkdir(parents=True)
    (root / "SPEAKERS.TXT").write_text(
        ";ID |SEX| SUBSET |MINUTES| NAME\n103 | F | dev-clean | 8 | A\n1034|M|x|8|B | C\n"
    )
    for reader, chapter in (("103", "1240"), ("1034", "7")):
        folder = root / "dev-clean" / reader / chapter
        for number in ("0000", "0001"):
            tone(folder / f"{reader}-{chapter}-{number}.flac")
        (folder / f"{reader}-{chapter}.trans.txt").write_text(
            "".join(f"{reader}-{chapter}-{number} SHE HAD\n" for number in ("0000", "0001"))
        )
    return root


def grids(root: Path) -> Path:
    """A folder of recordings for each speaker, a TextGrid beside each, speakers.csv."""
    root.mkdir(parents=True)
    (root / "speakers.csv").write_text("speaker,gender,height_cm,dialect\nanna,F,165.1,DR1\nbert,M,180.34,\n")
    for speaker in ("anna", "bert"):
        for name in ("s1", "s2"):
            tone(root / speaker / f"{name}.wav")
            text_grid(
                root / speaker / f"{name}.TextGrid",
                phones=[(0, 0.0625, ""), (0.0625, 0.25, "sh"), (0.25, 0.375, "iy"), (0.375, 0.5, "sil")],
                words=[(0, 0.0625, ""), (0.0625, 0.375, "she"), (0.375, 0.5, "")],
            )
    return root
