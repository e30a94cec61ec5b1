"""`probe demo`: extract, probe and draw, on the embedded synthetic corpus with a shipped checkpoint."""

from __future__ import annotations

import argparse
from pathlib import Path

import lvm_probe
from lvm_probe.app.options import add_device
from lvm_probe.app.output import Output, rows_as_json
from lvm_probe.models.io.files import write_csv

SUMMARY = "run everything end to end on an embedded synthetic corpus"
EXAMPLES = ("probe demo --out demo-out",)

CHECKPOINT = "cwvae-small"
PERMUTATIONS = 3
DRAWS = 16


def options(parser: argparse.ArgumentParser) -> None:
    add_device(parser.add_argument_group("model"))
    output = parser.add_argument_group("output")
    output.add_argument("--out", default="demo-out", metavar="DIR", help="folder for latents, tables and pictures")


def run(args: argparse.Namespace) -> Output:
    """Extract, probe phonemes under two protocols, draw two figures."""
    import pandas as pd

    from lvm_probe.figures import accuracy_over_k, phonemes_lda, style
    from lvm_probe.figures.inputs import FigureInputs
    from lvm_probe.probing.corpora.demo import CORPUS
    from lvm_probe.probing.questions.question import Protocol
    from lvm_probe.probing.questions.report import as_text

    out = Path(args.out)
    corpus = lvm_probe.open_corpus(CORPUS)
    model = lvm_probe.load_model(CHECKPOINT, device=args.device)
    tokens = lvm_probe.extract(corpus, model, out / "latents", samples=DRAWS, seed=args.seed)
    protocols: tuple[Protocol, ...] = ("paper", "utterance")
    answers = [lvm_probe.ask(tokens, protocol=p, permutations=PERMUTATIONS, seed=args.seed) for p in protocols]
    results = pd.concat([answer.frame for answer in answers], ignore_index=True)
    write_csv(out / "knn-phoneme.csv", results)
    curves = accuracy_over_k.write(results, out / "accuracy-over-k")
    speaker = corpus.speakers[0].id
    data = phonemes_lda.data(FigureInputs(tokens, speaker=speaker))
    scatter = style.save_with_data(phonemes_lda.figure(data), data, out / "phonemes-lda")
    text = f"""\
{len(corpus.utterances)} synthetic utterances of {len(corpus.speakers)} speakers, encoded by {CHECKPOINT}; posterior \
means averaged over {DRAWS} Monte Carlo draws

{as_text(results)}

The corpus is synthetic: these figures show how the tool works, not what the model has learned about speech.

wrote
  {out}/latents/  token table, read by pandas.read_parquet
  {out}/knn-phoneme.csv  accuracy for every k, speaker and protocol
  {out}/accuracy-over-k.png (.pdf, .svg, .csv)  accuracy over k under both protocols
  {out}/phonemes-lda.png (.pdf, .svg, .csv)  phonemes of {speaker} in two discriminants of each layer"""
    wrote = [out / "latents", out / "knn-phoneme.csv", *curves, *scatter]
    return Output({"wrote": [str(path) for path in wrote], "results": rows_as_json(results)}, text)
