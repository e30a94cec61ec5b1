"""Miniature corpora of sines: two speakers with two utterances of half a second each, for every layout."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
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


@dataclass(frozen=True)
class Miniature:
    """A layout, and what writes a corpus of it into a folder that does not exist yet."""

    layout: str
    write: Callable[[Path], Path]


MINIATURES: dict[str, Miniature] = {}
"""By the names of their functions."""


def of_layout(layout: str) -> Callable[[Callable[[Path], Path]], Callable[[Path], Path]]:
    """Add a function to MINIATURES, and so to the tests that hold for every layout."""

    def add(write: Callable[[Path], Path]) -> Callable[[Path], Path]:
        MINIATURES[write.__name__] = Miniature(layout, write)
        return write

    return add


def tone(
    path: Path, samples: int = SAMPLES, rate: int = RATE, channels: int = 1, *, voice: str = "", **options: Any
) -> Path:
    """A sine whose frequency depends on the file's name and the voice; 16 bits unless the options say otherwise."""
    path.parent.mkdir(parents=True, exist_ok=True)
    hertz = 100 + sum((voice + path.stem).lower().encode()) % 400
    wave = np.round(12000 * np.sin(2 * np.pi * hertz * np.arange(samples) / rate)).astype(np.int16)
    soundfile.write(str(path), np.stack([wave] * channels, axis=1), rate, **options)
    return path


def noise(path: Path, seconds: int = 4) -> Path:
    """Faint noise, whose FLAC is long enough to be damaged inside while both ends are intact."""
    wave = np.random.default_rng(0).integers(-500, 500, seconds * RATE, dtype=np.int16)
    path.parent.mkdir(parents=True, exist_ok=True)
    soundfile.write(str(path), wave, RATE)
    return path


def zero_the_middle(path: Path) -> bytes:
    """Damage a file so that only reading the audio shows it; returns its former content."""
    whole = path.read_bytes()
    middle = len(whole) // 2
    path.write_bytes(whole[:middle] + bytes(500) + whole[middle + 500 :])
    return whole


def rows(path: Path, table: Sequence[tuple[int, int, str]]) -> Path:
    """A .PHN, .WRD or .TXT."""
    path.write_text("".join(f"{start} {end} {label}\n" for start, end, label in table))
    return path


def text_grid(
    path: Path, *, long: bool = False, encoding: str = "utf-8", **tiers: Sequence[tuple[float, float, str]]
) -> Path:
    """A TextGrid in Praat's short or long text format; times in seconds."""
    path.parent.mkdir(parents=True, exist_ok=True)
    last = max(end for tier in tiers.values() for _, end, _ in tier)

    def named(name: str, value: object) -> str:
        return f"{name} = {value}" if long else str(value)

    lines = ['File type = "ooTextFile"', 'Object class = "TextGrid"', ""]
    lines += [
        named("xmin", 0),
        named("xmax", last),
        "tiers? <exists>" if long else "<exists>",
        named("size", len(tiers)),
    ]
    lines += ["item []:"] * long
    for number, (name, tier) in enumerate(tiers.items(), start=1):
        lines += [f"item [{number}]:"] * long
        lines += [named("class", '"IntervalTier"'), named("name", f'"{name}"'), named("xmin", 0), named("xmax", last)]
        lines += [named("intervals: size", len(tier))]
        for index, (start, end, label) in enumerate(tier, start=1):
            lines += [f"intervals [{index}]:"] * long
            lines += [named("xmin", start), named("xmax", end), named("text", f'"{label}"')]
    path.write_text("\n".join(lines) + "\n", encoding=encoding)
    return path


def festival_labels(path: Path, table: Sequence[tuple[int, int, str]], rate: int = RATE) -> Path:
    """A .lab as Festival writes it; the table is in samples and has no gaps."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("#\n" + "".join(f"{end / rate:.7f} 125 {label}\n" for _, end, label in table))
    return path


def htk_labels(path: Path, table: Sequence[tuple[int, int, str]], rate: int = RATE) -> Path:
    """A .lab as HTK writes it; the table is in samples."""
    path.parent.mkdir(parents=True, exist_ok=True)
    units = 10_000_000 // rate
    path.write_text("".join(f"{start * units} {end * units} {label}\n" for start, end, label in table))
    return path


@of_layout("timit")
def timit_ldc(root: Path) -> Path:
    """Upper case, SPHERE, DOC/SPKRINFO.TXT."""
    (root / "DOC").mkdir(parents=True)
    (root / "DOC" / "SPKRINFO.TXT").write_text(SPKRINFO)
    for usage, speaker in (("TRAIN", "FVMH0"), ("TEST", "MCPM0")):
        for sentence in ("SA1", "SX116"):
            audio = tone(
                root / usage / "DR1" / speaker / f"{sentence}.WAV", voice=speaker, format="NIST", subtype="PCM_16"
            )
            rows(audio.with_suffix(".PHN"), PHONES)
            rows(audio.with_suffix(".WRD"), WORDS)
            rows(audio.with_suffix(".TXT"), [(0, SAMPLES + 1, "She had.")])
    return root


@of_layout("timit")
def timit_nltk(root: Path) -> Path:
    """Lower case, RIFF, spkrinfo.txt at the root."""
    root.mkdir(parents=True)
    (root / "spkrinfo.txt").write_text(SPKRINFO)
    for speaker in ("fvmh0", "mcpm0"):
        for sentence in ("sa1", "sx116"):
            audio = tone(root / f"dr1-{speaker}" / f"{sentence}.wav", voice=speaker)
            rows(audio.with_suffix(".phn"), PHONES)
            rows(audio.with_suffix(".wrd"), WORDS)
            rows(audio.with_suffix(".txt"), [(0, SAMPLES + 1, "She had.")])
    return root


@of_layout("librispeech")
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


@of_layout("librispeech")
def librispeech_aligned(root: Path) -> Path:
    """With condensed alignments."""
    for path in librispeech(root).rglob("*.trans.txt"):
        chapter = path.name.removesuffix(".trans.txt")
        lines = [f'{chapter}-{number} ",SHE,HAD," "0.0625,0.25,0.375,0.5"\n' for number in ("0000", "0001")]
        path.with_name(f"{chapter}.alignment.txt").write_text("".join(lines))
    return root


SPEAKERS_CSV = "speaker,gender,height_cm,dialect\nanna,F,165.1,DR1\nbert,M,180.34,\n"


@of_layout("textgrid")
def grids(root: Path) -> Path:
    """A folder of recordings for each speaker, a TextGrid beside each, speakers.csv."""
    root.mkdir(parents=True)
    (root / "speakers.csv").write_text(SPEAKERS_CSV)
    for speaker in ("anna", "bert"):
        for name in ("s1", "s2"):
            tone(root / speaker / f"{name}.wav", voice=speaker)
            text_grid(
                root / speaker / f"{name}.TextGrid",
                long=name == "s2",
                encoding="utf-16" if speaker == "bert" else "utf-8",
                phones=[(0, 0.0625, ""), (0.0625, 0.25, "sh"), (0.25, 0.375, "iy"), (0.375, 0.5, "sil")],
                words=[(0, 0.0625, ""), (0.0625, 0.375, "she"), (0.375, 0.5, "")],
            )
    return root


LABELS = [(0, 1000, "pau"), (1000, 4000, "sh"), (4000, 6000, "iy"), (6000, 8000, "pau")]


@of_layout("lab")
def arctic(root: Path) -> Path:
    """Two voices as CMU ARCTIC distributes them, with Festival's labels, and speakers.csv."""
    root.mkdir(parents=True)
    (root / "speakers.csv").write_text("speaker,gender\ncmu_us_bdl_arctic,M\ncmu_us_slt_arctic,F\n")
    for voice in ("cmu_us_bdl_arctic", "cmu_us_slt_arctic"):
        for name in ("arctic_a0001", "arctic_a0002"):
            tone(root / voice / "wav" / f"{name}.wav", voice=voice)
            festival_labels(root / voice / "lab" / f"{name}.lab", LABELS)
        (root / voice / "etc").mkdir()
        (root / voice / "etc" / "txt.done.data").write_text('( arctic_a0001 "She." )\n( arctic_a0002 "She, too." )\n')
    return root


@of_layout("lab")
def htk(root: Path) -> Path:
    """Audio and HTK's labels side by side, speakers.csv."""
    root.mkdir(parents=True)
    (root / "speakers.csv").write_text(SPEAKERS_CSV)
    for speaker in ("anna", "bert"):
        for name in ("s1", "s2"):
            htk_labels(tone(root / speaker / f"{name}.wav", voice=speaker).with_suffix(".lab"), LABELS)
    return root


KALDI_PHONES = [(0, 1000, "SIL"), (1000, 4000, "SH"), (4000, 6000, "IY1"), (6000, 8000, "SIL")]
KALDI_WORDS = [(1000, 6000, "SHE")]


def ctm_rows(path: Path, recordings: Sequence[str], table: Sequence[tuple[int, int, str]], channel: str = "1") -> Path:
    """A CTM file that says the same of every recording; the table is in samples."""
    path.parent.mkdir(parents=True, exist_ok=True)
    rows_ = [
        f"{recording} {channel} {start / RATE:g} {(end - start) / RATE:g} {label}\n"
        for recording in recordings
        for start, end, label in table
    ]
    path.write_text("".join(rows_))
    return path


@of_layout("kaldi")
def kaldi(root: Path) -> Path:
    """A data folder with all tables, alignments, and its audio."""
    speakers = {f"{speaker}-{name}": speaker for speaker in ("anna", "bert") for name in ("s1", "s2")}
    for id, speaker in speakers.items():
        tone(root / "wav" / f"{id}.wav", voice=speaker)
    tables = {
        "wav.scp": "".join(f"{id} wav/{id}.wav\n" for id in speakers),
        "text": "".join(f"{id} SHE\n" for id in speakers),
        "utt2spk": "".join(f"{id} {speaker}\n" for id, speaker in speakers.items()),
        "spk2gender": "anna f\nbert m\n",
        "spk2age": "anna 33\nbert 7\n",
    }
    for name, text in tables.items():
        (root / name).write_text(text)
    ctm_rows(root / "words.ctm", list(speakers), KALDI_WORDS)
    ctm_rows(root / "phones.ctm", list(speakers), KALDI_PHONES)
    return root


@of_layout("kaldi")
def kaldi_segments(root: Path) -> Path:
    """Utterances that are parts of recordings; no alignments, and spk2utt instead of utt2spk."""
    kaldi(root)
    for name in ("utt2spk", "words.ctm", "phones.ctm"):
        (root / name).unlink()
    (root / "spk2utt").write_text("anna anna-s1 anna-s2\nbert bert-s1 bert-s2\n")
    parts = {"anna-s1": "0 0.50", "anna-s2": "0.0 -1", "bert-s1": "0 0.5", "bert-s2": "0 0.5"}
    (root / "segments").write_text("".join(f"{id} {id} {times}\n" for id, times in parts.items()))
    return root


@of_layout("vctk")
def vctk(root: Path) -> Path:
    """As version 0.92 is distributed, with one of the two microphones."""
    root.mkdir(parents=True)
    (root / "speaker-info.txt").write_text(
        "ID  AGE  GENDER  ACCENTS  REGION COMMENTS\np225  23  F    English    Southern  England\ns5  -  M\n"
    )
    for speaker in ("p225", "s5"):
        (root / "txt" / speaker).mkdir(parents=True)
        for number in ("001", "002"):
            tone(root / "wav48_silence_trimmed" / speaker / f"{speaker}_{number}_mic1.flac")
            (root / "txt" / speaker / f"{speaker}_{number}.txt").write_text(f"Please call Stella {number}.\n")
    return root


@of_layout("librilight")
def librilight(root: Path) -> Path:
    """As distributed: subset, speaker, book."""
    for speaker in ("100", "7"):
        for chapter in ("01", "02"):
            audio = tone(
                root / "small" / speaker / "sea_fairies_0812_librivox_64kb_mp3" / f"{chapter}_sea_64kb.flac",
                voice=speaker,
            )
            audio.with_suffix(".json").write_text(f'{{"speaker": "{speaker}", "voice_activity": [[0.0, 0.4]]}}')
    return root


@of_layout("unaligned")
def unaligned(root: Path) -> Path:
    """A folder of recordings for each speaker, and speakers.csv."""
    root.mkdir(parents=True)
    (root / "speakers.csv").write_text(SPEAKERS_CSV)
    for speaker in ("anna", "bert"):
        for name in ("s1", "s2"):
            tone(root / "wav" / speaker / f"{name}.wav", voice=speaker)
    return root


@of_layout("ctm")
def ctm(root: Path) -> Path:
    """A folder of recordings for each speaker, words and phones of all in two files, speakers.csv."""
    root.mkdir(parents=True)
    (root / "speakers.csv").write_text("speaker,gender,age\nanna,F,33\nbert,M,7.5\n")
    for speaker in ("anna", "bert"):
        for name in ("s1", "s2"):
            tone(root / speaker / f"{name}.wav", voice=speaker)
    ids = ["anna/s1", "anna/s2", "bert/s1", "bert/s2"]
    ctm_rows(root / "words.ctm", ids, KALDI_WORDS)
    ctm_rows(root / "phones.ctm", ids, KALDI_PHONES, channel="A")
    return root
