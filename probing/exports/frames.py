"""The layers of a model at every step of every recording, as arrays, with a ZeroSpeech item file.

    FOLDER/z1/UTTERANCE.npy   float32 (steps, dims), for each layer
    FOLDER/phones.item        #file onset offset #phone prev-phone next-phone speaker
    FOLDER/triphones.item     the same, from the onset of the phone before to the offset of the one after
    FOLDER/frames.json        stride and frequency of each layer; written last, when all others are complete

The item file has the columns of ZeroSpeech 2021 (Nguyen et al. 2020, arXiv:2011.11588), with times in seconds; `file`
is the stem of the arrays. `probe zerospeech` and other ABX tools that read it (libri-light's, fastabx) take the arrays
of one layer and its frequency. A layer's arrays are what upstream models of s3prl give as one hidden state, one file
per recording.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import numpy as np

from lvm_probe import InputError
from lvm_probe.analysis.mel import log_mel
from lvm_probe.analysis.mfcc import cepstrum, delta_reach, with_derivatives
from lvm_probe.models.io.files import write_atomically, write_json
from lvm_probe.probing.corpora import phones
from lvm_probe.probing.corpora.audio import read_audio
from lvm_probe.probing.corpora.corpus import Corpus, Utterance
from lvm_probe.probing.features.extraction_settings import Mel
from lvm_probe.probing.features.latents import Model

MAX_BYTES = 8 * 2**30
"""Of all arrays together."""

EDGE = "SIL"
"""What precedes and follows phones at pauses and at the ends of an utterance."""

ITEM, TRIPHONES, INDEX = "phones.item", "triphones.item", "frames.json"

ACOUSTIC = ("mel", "mfcc")
ACOUSTIC_HOP_SECONDS = 0.01


def write(
    folder: Path,
    model: Model,
    corpus: Corpus,
    *,
    samples: int | None = None,
    seed: int = 0,
    acoustic: Sequence[str] = (),
    progress: Callable[[float], None] = lambda seconds: None,
) -> list[Path]:
    """Write the arrays, the item file and the index, each whole or not at all.

    Args:
        folder: of the files; made if it is missing.
        model: as `lvm_probe.load_model` returns it.
        corpus: the recordings.
        samples: Monte Carlo draws that the posterior means are averaged over; None: as `Model.latents`.
        seed: of the draws.
        acoustic: of `ACOUSTIC`: log-Mel bands, or MFCC with derivatives, every 10 ms.
        progress: called with the seconds of audio that were encoded.

    Returns:
        The item file, if there are phones, and the index.

    Raises:
        InputError: there are no recordings or too many, two have one file's name, or a file cannot be written.
    """
    files = _files(corpus)
    sample_rate = model.checkpoint.model.config.sample_rate
    layers: dict[str, dict[str, float]] = {}
    for utterance, name in files.items():
        audio = read_audio(utterance, utterance.sample_rate)
        encoded = model.latents(
            audio, sample_rate=utterance.sample_rate, samples=samples, seed=seed, utterance=utterance.id
        )
        if not layers:  # from the first recording follows the size of all, before anything is written
            _check_size(sum(one.mean.nbytes for one in encoded.values()) / utterance.seconds * corpus.seconds, corpus)
        arrays = {layer: (latents.mean, latents.stride) for layer, latents in encoded.items()}
        if acoustic:
            arrays |= _acoustic(read_audio(utterance, sample_rate), sample_rate, acoustic)
        for layer, (array, stride) in arrays.items():
            with write_atomically(folder / layer / f"{name}.npy") as temporary, temporary.open("wb") as file:
                np.save(file, array)
            layers[layer] = {"stride": stride, "frequency_hz": sample_rate / stride, "dims": array.shape[1]}
        progress(utterance.seconds)
    wrote = []
    for item, triphones in ((ITEM, False), (TRIPHONES, True)):
        if lines := [line for one, name in files.items() for line in _items(one, name, triphones=triphones)]:
            wrote.append(folder / item)
            with write_atomically(wrote[-1]) as temporary:
                head = "#file onset offset #phone prev-phone next-phone speaker"
                temporary.write_text("\n".join([head, *lines, ""]), encoding="utf-8")
    write_json(folder / INDEX, {"sample_rate": sample_rate, "recordings": len(files), "layers": layers})
    return [*wrote, folder / INDEX]


def _check_size(size: float, corpus: Corpus) -> None:
    if size > MAX_BYTES:
        raise InputError(
            f"{corpus.root}: the arrays of {len(corpus.utterances):,} recordings take {size / 2**30:.1f} GB, more than "
            f"{MAX_BYTES / 2**30:.1f}; choose fewer with --speaker"
        )


def _files(corpus: Corpus) -> dict[Utterance, str]:
    """The stem of every recording's files: its id, without folders and spaces."""
    names: dict[str, Utterance] = {}
    for utterance in corpus.utterances:
        name = "_".join(utterance.id.replace("/", " ").replace("\\", " ").split()).lstrip(".")
        if other := names.get(name):
            raise InputError(f"{corpus.root}: utterances {other.id} and {utterance.id} would have one file {name}.npy")
        names[name] = utterance
    if not names:
        raise InputError(f"{corpus.root}: no recordings are left; choose other speakers")
    return {utterance: name for name, utterance in names.items()}


def _acoustic(wave: np.ndarray, sample_rate: int, names: Sequence[str]) -> dict[str, tuple[np.ndarray, int]]:
    """Arrays and strides of acoustic features."""
    hop = round(ACOUSTIC_HOP_SECONDS * sample_rate)
    mel = Mel()
    frames = log_mel(wave, sample_rate=sample_rate, hop=hop, window=mel.window, bins=mel.bins, n_fft=mel.n_fft)
    arrays: dict[str, np.ndarray] = {"mel": frames}
    if "mfcc" in names:
        arrays["mfcc"] = with_derivatives(cepstrum(frames), delta_reach(sample_rate, hop))
    return {name: (arrays[name].astype(np.float32), hop) for name in names}


def _items(utterance: Utterance, name: str, *, triphones: bool) -> Iterator[str]:
    """A line for every phoneme, with its neighbours, or for every phoneme between two others."""
    segments = utterance.phonemes
    labels = [EDGE if one.label in phones.NON_PHONEMES else "_".join(one.label.split()) for one in segments]
    speaker = "_".join(utterance.speaker.id.split())
    for i, (segment, label) in enumerate(zip(segments, labels, strict=True)):
        if label == EDGE:
            continue
        before = labels[i - 1] if i and segments[i - 1].end == segment.start else EDGE
        after = labels[i + 1] if i + 1 < len(segments) and segments[i + 1].start == segment.end else EDGE
        start, end = segment.start, segment.end
        if triphones:
            if EDGE in (before, after):
                continue
            start, end = segments[i - 1].start, segments[i + 1].end
        onset, offset = start / utterance.sample_rate, end / utterance.sample_rate
        yield f"{name} {onset:.6f} {offset:.6f} {label} {before} {after} {speaker}"
