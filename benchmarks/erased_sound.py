"""What is still told from decoded audio whose latents lost a concept: `python benchmarks/erased_sound.py TABLE CORPUS`.

One sentence of each speaker is inferred, the gender, the speaker or the phoneme is erased from every layer at every
time step, and the latents are decoded. LDA of Mel, fitted to the recordings of the other speakers, then predicts the
gender and the phone of each token from what was decoded. TABLE is a token table of CKPT and CORPUS.
"""

import argparse
from pathlib import Path
from sys import path

import numpy as np

path.insert(0, str(Path(__file__).resolve().parents[1]))

from lvm_probe.app.explorer import latent_probes
from lvm_probe.app.explorer.reconstruction import reconstruct
from lvm_probe.models.checkpoints import checkpoint
from lvm_probe.probing.corpora import open_corpus
from lvm_probe.probing.corpora.audio import FULL_SCALE
from lvm_probe.probing.corpora.phones import NON_PHONEMES
from lvm_probe.probing.corpora.recordings import read_pcm
from lvm_probe.probing.features import token_table

parser = argparse.ArgumentParser(description=__doc__)
parser.add_argument("table")
parser.add_argument("corpus")
parser.add_argument("--ckpt", default="cwvae-small")
parser.add_argument("--seed", type=int, default=0)
args = parser.parse_args()

given = checkpoint.load(args.ckpt)
table = token_table.load(Path(args.table))
corpus = open_corpus(args.corpus)
if not latent_probes.made_by(table, given):
    parser.error(f"{args.table}: not of the checkpoint {args.ckpt}")

CONCEPTS = ("gender", "speaker", "phoneme")
correct: dict[str, dict[str, list[bool]]] = {}
levels: dict[str, list[float]] = {}
ranks: dict[str, set[int]] = {}
for speaker in sorted({utterance.speaker.id for utterance in corpus.utterances}):
    own = [utterance for utterance in corpus.utterances if utterance.speaker.id == speaker]
    utterance = next((one for one in own if "sx" in one.id.lower()), own[0])
    segments = [segment for segment in utterance.phonemes if segment.label not in NON_PHONEMES]
    rate = given.model.config.sample_rate
    if not segments or utterance.speaker.gender is None or utterance.sample_rate != rate:
        parser.error(f"{utterance.id}: needs phones, a speaker of known gender, and audio at the model's {rate} Hz")
    pcm = read_pcm(utterance, rate)
    plain = reconstruct(given.model, utterance.id, pcm, args.seed)
    waves = {"recording": pcm / FULL_SCALE, "nothing erased": plain.expectation}
    for concept in CONCEPTS:
        erased = {}
        for layer, z in enumerate(plain.latents):
            erased[layer], rank = latent_probes.erased_latents(
                table, f"z{layer + 1}", concept, [utterance.id], [speaker], z
            )
            ranks.setdefault(concept, set()).add(rank)
        waves[concept] = reconstruct(given.model, utterance.id, pcm, args.seed, given=erased).expectation
    for target in ("gender", "phoneme"):
        rows = latent_probes.training_rows(table, target, [utterance.id], [speaker])
        rows = rows & (table.tokens["speaker"] != speaker).to_numpy()
        labels = latent_probes.labels_of(table, target)[rows].tolist()
        probe = latent_probes.fit_probe(table.matrix("mel", rows), labels)
        truth = [segment.label if target == "phoneme" else utterance.speaker.gender for segment in segments]
        for name, wave in waves.items():
            decoded = np.clip(np.round(wave * FULL_SCALE), -FULL_SCALE, FULL_SCALE - 1).astype(np.int16)
            features = latent_probes.audio_features(given, name, decoded, segments, table.extraction["mel"])
            hits = [found == true for found, true in zip(probe.predict(features["mel"]), truth, strict=True)]
            correct.setdefault(name, {}).setdefault(target, []).extend(hits)
    for name, wave in waves.items():
        levels.setdefault(name, []).append(10 * np.log10(np.mean(np.square(wave)) + 1e-12))

print("audio             gender %   phone %   level, dB   dimensions erased of each layer")
for name, targets in correct.items():
    dims = " to ".join(str(rank) for rank in sorted(ranks.get(name, ())))
    print(f"{name:<16}" + "".join(f"{100 * np.mean(hits):>10.1f}" for hits in targets.values()), end="")
    print(f"{np.mean(levels[name]):>12.1f}   {dims}")
