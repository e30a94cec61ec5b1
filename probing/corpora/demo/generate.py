"""Generate the demo corpus: `python -m lvm_probe.probing.corpora.demo.generate OUT` (needs the synthesizer flite 2.2).

**Speakers.** A speaker is one of flite's voices (slt for the women, rms and awb for the men) resampled by
height / reference height, where the reference is 64 inches for slt and 70 inches for rms and awb. Resampling by a ratio
r makes the vocal tract r times as long and divides the formants by r, so height is audible by construction, and more
plainly than in people. flite's pitch and pace are set so that they have the intended values after resampling; they
follow height only loosely, as in people (rms ignores the pitch setting: its pitch is divided by r). A speaker with
r > 1 has no energy above 8 kHz / r, unlike real recordings. Dialect regions do not affect the audio.

**Labels.** They are flite's own segment times: where the synthesizer changed from one phone to the next, within half
of its 5 ms frame. flite has one segment for a stop or affricate, TIMIT has two, closure and release; the segment is
divided where the energy rises most, so only this boundary is measured. Word times follow from the number of phones of
each word. Positions scale with the audio: round(position * r).

**Determinism.** flite is deterministic, and levels and noise are drawn from a seed, so the same version of flite gives
the same samples.
"""

import re
import subprocess
import sys
import tempfile
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from functools import cache
from pathlib import Path

import numpy as np
import soundfile as sf
from numpy.typing import NDArray
from scipy.signal import resample_poly

from lvm_probe import InputError

RATE = 16_000
SEED = 1
NOISE_LSB = 2.5
"""Standard deviation of the added noise in 16-bit steps; real recordings have no digital silence."""
PEAK_DB = (-12.0, -6.0)
"""Range from which the peak level of an utterance is drawn, so that loudness does not identify the speaker."""
EDGE = RATE * 12 // 100
"""Samples of silence kept before and after the sentence (in flite's audio, before resampling)."""

CLOSURE = {
    **{"p": "pcl", "t": "tcl", "k": "kcl", "b": "bcl", "d": "dcl", "g": "gcl"},
    **{"ch": "tcl", "jh": "dcl"},
}
KEPT = frozenset(
    {"aa", "ae", "ah", "ao", "aw", "ax", "ay", "eh", "er", "ey", "ih", "iy", "ow", "oy", "uh", "uw"}
    | {"dh", "f", "hh", "l", "m", "n", "ng", "r", "s", "sh", "th", "v", "w", "y", "z", "zh", "pau"}
)
"""Phones that flite and TIMIT label alike; pauses at the ends become h#."""


@dataclass(frozen=True)
class Voice:
    """A synthetic speaker: `pitch` in Hz (None: the voice ignores it), `pace` multiplies durations."""

    id: str
    voice: str
    inches: int
    pitch: float | None
    pace: float
    dialect: int
    split: str

    @property
    def ratio(self) -> Fraction:
        """Vocal tract length relative to that of flite's voice."""
        return Fraction(self.inches, 64 if self.voice == "slt" else 70)


# The digit 9 keeps the identifiers apart from those of TIMIT.
SPEAKERS = (
    Voice("FADA9", "slt", 59, 215.0, 0.84, 1, "TRAIN"),
    Voice("FBEL9", "slt", 62, 190.0, 0.92, 2, "TRAIN"),
    Voice("FCLE9", "slt", 67, 200.0, 0.88, 3, "TRAIN"),
    Voice("FDOT9", "slt", 70, 170.0, 0.82, 1, "TRAIN"),
    Voice("MGUS9", "rms", 65, None, 0.80, 2, "TRAIN"),
    Voice("MHAL9", "rms", 70, None, 0.74, 3, "TRAIN"),
    Voice("MIKE9", "awb", 74, 108.0, 0.84, 1, "TRAIN"),
    Voice("FEVE9", "slt", 64, 180.0, 0.90, 1, "TEST"),
    Voice("MJON9", "awb", 68, 128.0, 0.80, 2, "TEST"),
    Voice("MKIT9", "rms", 77, None, 0.78, 3, "TEST"),
)

# Read by all speakers (SA), by several speakers of one split (SX), by one speaker (SI). As in TIMIT, training and
# test speakers share only the SA sentences.
SA = (
    "The quiet judge chose five fresh oysters.",
    "Should young Max enjoy both huge gray boats?",
)
SX_TRAIN = (
    "Blue paint dripped down the garage wall.",
    "My cousin Ruth brought a thick yellow shawl.",
    "Four tired goats chewed the garden hedge.",
    "Each measure of the waltz felt too slow.",
    "Hugh put the copper coin in his pouch.",
    "A cheap watch ticked above the oven.",
    "They hooked a giant fish at dawn.",
    "Joyce hung the wet towels outside.",
    "Two pigeons stole bread, then flew away.",
    "The beige couch occupies the hall.",
    "Bob should wash that dirty cup.",
    "Warm wind shook the birch leaves.",
    "Who gave Beth the ginger cake?",
    "Our usual guide knows every path.",
)
SX_TEST = (
    "Thirsty cows stood by the brook.",
    "George boiled the noodles, and Chip ate.",
    "The pilot had vague visions of food.",
    "Keep your good gloves in the car.",
    "Which boy wrote the math puzzle?",
    "Dark clouds hide the jagged ridge.",
)
SI = (
    "Zoe packs her own lunch at night.",
    "The bus fare doubled last March.",
    "Fog rolled over the empty bridge.",
    "Please fetch the other shovel, Thomas.",
    "Nobody could measure the cave.",
    "He tuned the cello by ear.",
    "Purple thistles grow near our tent.",
    "The baker yawned and shut the oven.",
    "Sam joined a choir in Geneva.",
    "Loud music bothers the old hound.",
    "Her azure scarf got caught there.",
    "Push the heavy cart up the hill.",
    "This map shows nine rocky islands.",
    "A thief took both silver spoons.",
    "I would rather chop onions.",
    "The engine coughed, then it died.",
    "Peggy found a shiny button.",
    "Your notebook fell off the shelf.",
    "Cheese goes well with sour apples.",
    "The young vet healed our puppy.",
    "Sheep wandered through the muddy gate.",
    "We voiced our doubts at the meeting.",
    "The toy robot zoomed across the rug.",
    "Ask the judge about her decision.",
    "Victor heard thunder before supper.",
    "Gold leaf covers the tiny book.",
    "The coach took us to the beach.",
    "Foxes hunt mice in deep snow.",
    "Shall we go fishing on Tuesday?",
    "Kind neighbors share their tools.",
)
FIRST_SI = 501

SPKRINFO_HEAD = """\
; Speakers of the synthetic demo corpus, in the columns of TIMIT's SPKRINFO.TXT.
; Nobody here exists: sex and height are those that the synthesis aimed at,
; the dialect region is a label without sound, and nothing else is known.
;
;ID  Sex DR Use  RecDate   BirthDate  Ht    Race Edu  Comments
;--- --- -- ---  --------  --------- -----  ---- ---  -------------------
"""

Label = tuple[int, int, str]
"""Start, end (exclusive) in samples, and the label."""


def sentences(speaker: Voice) -> list[tuple[str, str]]:
    """The ten sentences of one speaker as (name, text)."""
    number = SPEAKERS.index(speaker)
    chosen = [(f"SA{i}", text) for i, text in enumerate(SA, 1)]
    train = speaker.split == "TRAIN"
    pool, first = (SX_TRAIN, 1) if train else (SX_TEST, 1 + len(SX_TRAIN))
    for step in range(5):
        i = (2 * number + step) % len(pool)
        chosen.append((f"SX{first + i}", pool[i]))
    own = range(3 * number, 3 * number + 3)
    return chosen + [(f"SI{FIRST_SI + i}", SI[i]) for i in own]


def flite(*arguments: str) -> str:
    """Run flite; returns its output."""
    try:
        run = subprocess.run(["flite", *arguments], capture_output=True, text=True, check=True)
    except FileNotFoundError as error:
        raise InputError(
            "flite was not found; install it (Debian: apt-get install flite), or use the committed corpus"
        ) from error
    except subprocess.CalledProcessError as error:
        raise InputError(f"flite failed on {' '.join(arguments)}: {error.stderr.strip()}") from error
    return run.stdout


@cache
def phones_of(word: str) -> tuple[str, ...]:
    """flite's phones of an isolated word."""
    return tuple(p for p in flite("-voice", "slt", "-ps", "-t", word, "-o", "none").split() if p != "pau")


def synthesize(speaker: Voice, text: str) -> tuple[NDArray[np.float64], list[Label]]:
    """flite's audio in [-1, 1] before resampling, and its segments from 0 to the end."""
    ratio = float(speaker.ratio)
    settings = ["--setf", f"duration_stretch={speaker.pace / ratio:.5f}"]
    if speaker.pitch is not None:
        settings += ["--setf", f"int_f0_target_mean={speaker.pitch * ratio:.3f}"]
    with tempfile.TemporaryDirectory() as folder:
        path = str(Path(folder) / "speech.wav")
        printed = flite("-voice", speaker.voice, *settings, "-psdur", "-t", text, "-o", path)
        audio, rate = sf.read(path)
    if rate != RATE:
        raise InputError(f"flite's voice {speaker.voice} has {rate} Hz, expected {RATE} Hz; use flite 2.2")
    segments: list[Label] = []
    start = 0
    for item in printed.split():
        phone, _, seconds = item.partition(":")
        end = min(round(float(seconds) * RATE), len(audio))
        segments.append((start, end, phone))
        start = end
    # The last segment ends within one 5 ms frame of the end of the audio.
    start, _, phone = segments[-1]
    segments[-1] = (start, len(audio), phone)
    return audio, segments


def words_of(text: str, segments: Sequence[Label]) -> list[Label]:
    """Word spans from the number of phones of each word.

    A word must have the same phones in the sentence as in isolation, except that vowels may differ (a: ey, ax).
    """
    spoken = [s for s in segments if s[2] != "pau"]
    found: list[Label] = []
    at = 0
    for word in re.findall(r"[a-z]+", text.lower()):
        alone = phones_of(word)
        here = spoken[at : at + len(alone)]
        same = len(here) == len(alone) and all(
            a == b or (a[0] in "aeiou" and b[0] in "aeiou") for a, (*_, b) in zip(alone, here, strict=True)
        )
        if not same:
            phones = " ".join(s[2] for s in here)
            raise InputError(f"'{word}' in '{text}': in isolation {' '.join(alone)}, here {phones}; reword it")
        found.append((here[0][0], here[-1][1], word))
        at += len(alone)
    if at != len(spoken):
        raise InputError(f"'{text}': {len(spoken)} phones, but its words have {at}; reword it")
    return found


def burst(audio: NDArray[np.float64], start: int, end: int) -> int:
    """Where the release of a stop begins: the largest rise in energy from the 6 ms before to the 6 ms after.

    Searched between 20 and 85 % of the stop; at 60 % if nothing rises by 3 dB (flaps, weak bursts).
    """
    window, least = RATE * 6 // 1000, RATE * 5 // 1000
    length = end - start
    points = np.arange(start + max(length // 5, least), end - max(length * 3 // 20, least) + 1)
    energy = np.concatenate([[0.0], np.cumsum(np.diff(audio, prepend=0.0) ** 2)])
    after = energy[np.minimum(points + window, len(audio))] - energy[points]
    before = energy[points] - energy[np.maximum(points - window, 0)]
    floor = 1e-9 * window
    rise = (after + floor) / (before + floor)
    if rise.size and rise.max() >= 10**0.3:
        return int(points[np.argmax(rise)])
    return start + round(0.6 * length)


def timit_phones(audio: NDArray[np.float64], segments: Sequence[Label]) -> list[Label]:
    """flite's segments with TIMIT's labels."""
    out: list[Label] = []
    for i, (start, end, phone) in enumerate(segments):
        if phone == "pau" and i in (0, len(segments) - 1):
            out.append((start, end, "h#"))
        elif phone in CLOSURE:
            middle = burst(audio, start, end)
            out += [(start, middle, CLOSURE[phone]), (middle, end, phone)]
        elif phone in KEPT:
            out.append((start, end, phone))
        else:
            raise InputError(f"flite's phone '{phone}' has no label in TIMIT; use flite 2.2")
    return out


def utterance(speaker: Voice, name: str, text: str) -> tuple[NDArray[np.int16], list[Label], list[Label]]:
    """One recording: 16-bit samples, phones that cover all of them, and words."""
    audio, segments = synthesize(speaker, text)
    phones, words = timit_phones(audio, segments), words_of(text, segments)

    first = max(0, segments[0][1] - EDGE)
    last = min(len(audio), segments[-1][0] + EDGE)
    ratio = speaker.ratio
    speech = resample_poly(audio[first:last], ratio.numerator, ratio.denominator)

    def place(labels: Sequence[Label]) -> list[Label]:
        def moved(position: int) -> int:
            return round((min(max(position, first), last) - first) * ratio)

        return [(moved(start), moved(end), label) for start, end, label in labels]

    phones, words = place(phones), place(words)
    phones[-1] = (phones[-1][0], len(speech), phones[-1][2])  # resampling rounds the length up

    rng = np.random.default_rng([SEED, zlib.crc32(f"{speaker.id}/{name}".encode())])
    peak = 10 ** (rng.uniform(*PEAK_DB) / 20)
    samples = speech * (peak * 32767 / np.abs(speech).max()) + rng.normal(0.0, NOISE_LSB, len(speech))
    return np.rint(samples).astype(np.int16), phones, words


def spkrinfo() -> str:
    """The speaker table in the columns of TIMIT's."""
    rows = []
    for s in sorted(SPEAKERS, key=lambda s: (s.dialect, s.id)):
        height = f"{s.inches // 12}'{s.inches % 12}\""
        use = {"TRAIN": "TRN", "TEST": "TST"}[s.split]
        rows.append(
            f"{s.id[1:]}  {s.id[0]}  {s.dialect}  {use}  ??/??/??  ??/??/??  {height:<5}  ???  ??   "
            f"SYNTHETIC, FLITE VOICE {s.voice.upper()}\n"
        )
    return SPKRINFO_HEAD + "".join(rows)


def generate(out: Path) -> list[Path]:
    """Write the corpus to the folder `out` and return the recordings' paths."""
    for part in ("TRAIN", "TEST"):
        if (out / part).exists():
            raise InputError(f"{out / part} exists; remove it or name another folder")
    wrote = []
    for speaker in SPEAKERS:
        folder = out / speaker.split / f"DR{speaker.dialect}" / speaker.id
        folder.mkdir(parents=True)
        for name, text in sentences(speaker):
            samples, phones, words = utterance(speaker, name, text)
            path = folder / f"{name}.FLAC"
            sf.write(path, samples, RATE, format="FLAC", subtype="PCM_16", compression_level=1.0)
            for suffix, labels in ((".PHN", phones), (".WRD", words), (".TXT", [(0, len(samples), text)])):
                lines = "".join(f"{start} {end} {label}\n" for start, end, label in labels)
                path.with_suffix(suffix).write_text(lines, encoding="ascii")
            wrote.append(path)
    table = out / "DOC" / "SPKRINFO.TXT"
    table.parent.mkdir(exist_ok=True)
    table.write_text(spkrinfo(), encoding="ascii")
    return wrote


def main(arguments: Sequence[str]) -> int:
    if len(arguments) != 1 or arguments[0].startswith("-"):
        print("usage: python -m lvm_probe.probing.corpora.demo.generate OUT", file=sys.stderr)
        return 2
    try:
        wrote = generate(Path(arguments[0]))
    except InputError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    print(f"{len(wrote)} recordings in {arguments[0]}", file=sys.stderr)
    return 0


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
