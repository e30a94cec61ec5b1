"""`probe demo`: the whole line on the embedded synthetic corpus with a shipped checkpoint."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import torch

    from app.commands import Answer

CHECKPOINT = "cwvae-small"
PERMUTATIONS = 3
SAMPLES = 16


def run(out: Path, *, seed: int, device: torch.device, versions: dict[str, str]) -> Answer:
    """Extract, probe under both protocols, draw; says what it wrote and what that shows."""
    import pandas as pd

    from app.commands import Answer, _bar
    from app.report import as_text, rows_as_json
    from figures import accuracy_over_k, lda_scatter, style
    from models import checkpoint
    from probing import extraction, probes, table
    from probing.corpora import open_corpus
    from probing.demo import CORPUS

    corpus = open_corpus(CORPUS)
    latents = out / "latents"
    settings = extraction.Settings(samples=SAMPLES, estimator="posterior-mean", seed=seed)
    with _bar(corpus.seconds, "extract") as done:
        extraction.extract(
            checkpoint.load(CHECKPOINT),
            corpus,
            latents,
            settings,
            device=device,
            versions=versions,
            progress=done,
        )
    loaded = table.load(latents)
    answers = []
    for protocol in ("paper", "nested"):
        question = probes.Question(protocol=protocol, permutations=PERMUTATIONS, seed=seed)  # type: ignore[arg-type]
        with _bar(1, f"knn, {protocol}", unit="run") as done:
            answers.append(probes.ask(loaded, question, lambda i, n, done=done: done(1 / n)))  # type: ignore[misc]
    results = pd.concat(answers, ignore_index=True)
    table.write_csv(out / "knn-phoneme.csv", results)
    wrote = [latents, out / "knn-phoneme.csv"]
    wrote += style.save(accuracy_over_k.panels(results), out / "accuracy-over-k")
    who = corpus.speakers[0].id
    wrote += lda_scatter.draw_speaker(loaded, who, "z1", out / "lda-scatter-z1")
    n = sum(u.speaker.id == who for u in corpus.utterances)
    text = (
        f"{len(corpus.utterances)} synthetic utterances of {len(corpus.speakers)} speakers through {CHECKPOINT}: "
        f"posterior means over {SAMPLES} samples\n\n"
        f"{as_text(results)}\n\nThe corpus is synthetic: its figures show how the tool works, not what the model knows "
        f"of real speech.\n\nwrote\n"
        f"  {latents}/  the token table: pandas.read_parquet reads it\n"
        f"  {out}/knn-phoneme.csv  every k, speaker and protocol\n"
        f"  {out}/accuracy-over-k.png (.pdf, .svg)  accuracy over k: paper's protocol beside the honest one\n"
        f"  {out}/lda-scatter-z1.png (.pdf, .svg)  phonemes of {who} ({n} utterances) in two discriminants of z1"
    )
    return Answer({"wrote": [str(path) for path in wrote], "results": rows_as_json(results)}, text)
