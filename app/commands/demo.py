"""`probe demo`: the whole line on the embedded synthetic corpus with a shipped checkpoint."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import torch

    from lvm_probe.app.output import Answer

CHECKPOINT = "cwvae-small"
PERMUTATIONS = 3
SAMPLES = 16


def run(out: Path, *, seed: int, device: torch.device, versions: dict[str, str]) -> Answer:
    """Extract, probe under both protocols, draw; says what it wrote and what that shows."""
    import pandas as pd

    from lvm_probe.app.output import Answer, bar, rows_as_json
    from lvm_probe.figures import accuracy_over_k, lda_scatter
    from lvm_probe.models.checkpoints import checkpoint
    from lvm_probe.models.io.lock import locked
    from lvm_probe.probing.corpora import open_corpus
    from lvm_probe.probing.corpora.demo import CORPUS
    from lvm_probe.probing.features import extraction, token_table
    from lvm_probe.probing.questions.ask import ask
    from lvm_probe.probing.questions.question import Protocol, Question
    from lvm_probe.probing.questions.report import as_text

    corpus = open_corpus(CORPUS)
    latents = out / "latents"
    settings = extraction.Settings(samples=SAMPLES, estimator="posterior-mean", seed=seed)
    token_table.check_writable(latents)
    with locked(latents), bar(corpus.seconds, "extract") as done:
        extraction.extract(
            checkpoint.load(CHECKPOINT), corpus, latents, settings, device=device, versions=versions, progress=done
        )
    tokens = token_table.load(latents)
    answers = []
    protocols: tuple[Protocol, ...] = ("paper", "utterance")
    for protocol in protocols:
        question = Question(protocol=protocol, permutations=PERMUTATIONS, seed=seed)
        with bar(1, f"knn, {protocol}", unit="run") as done:
            answers.append(ask(tokens, question, progress=lambda i, n, d=done: d(1 / n)).frame)  # type: ignore[misc]
    results = pd.concat(answers, ignore_index=True)
    token_table.write_csv(out / "knn-phoneme.csv", results)
    curves = accuracy_over_k.write(results, out / "accuracy-over-k")
    who = corpus.speakers[0].id
    scatter = lda_scatter.draw_speaker(tokens, who, "z1", out / "lda-scatter-z1")
    text = (
        f"{len(corpus.utterances)} synthetic utterances of {len(corpus.speakers)} speakers through {CHECKPOINT}, "
        f"posterior means over {SAMPLES} samples\n\n{as_text(results)}\n\n"
        "The corpus is synthetic: these figures show how the tool works, not what the model knows of speech.\n\n"
        "wrote\n"
        f"  {latents}/  the token table: pandas.read_parquet reads it\n"
        f"  {out}/knn-phoneme.csv  every k, speaker and protocol\n"
        f"  {out}/accuracy-over-k.png (.pdf, .svg, .csv)  the paper's protocol beside the honest one\n"
        f"  {out}/lda-scatter-z1.png (.pdf, .svg, .csv)  phonemes of {who} in two discriminants of z1"
    )
    wrote = [latents, out / "knn-phoneme.csv", *curves, *scatter]
    return Answer({"wrote": [str(path) for path in wrote], "results": rows_as_json(results)}, text)
