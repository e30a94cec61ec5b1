"""The calls behind `lvm_probe.extract` and `lvm_probe.ask`: plain arguments, checked, to the parts that do the work."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lvm_probe import InputError

if TYPE_CHECKING:
    from lvm_probe.models.checkpoints.checkpoint import Checkpoint
    from lvm_probe.probing.corpora.corpus import Corpus
    from lvm_probe.probing.features.encoders import Encoder
    from lvm_probe.probing.features.extraction_settings import Estimator, Mel
    from lvm_probe.probing.features.latents import Model
    from lvm_probe.probing.features.token_table import TokenTable


def extract(
    corpus: Corpus,
    model: Model | Encoder | Any,
    out: str | Path,
    *,
    samples: int | None = None,
    estimator: Estimator | None = None,
    seed: int = 0,
    units: str | Sequence[str] = ("phoneme",),
    also: str | Sequence[str] = (),
    untrained: bool = False,
    mel: Mel | None = None,
    memory_gb: float = 1.0,
    workers: int | None = None,
    strict: bool = False,
    progress: bool | None = None,
) -> TokenTable:
    """Make a token table of a corpus: one row per phoneme, word or utterance, with features of the model and Mel.

    The table is written part by part. An interrupted extraction is continued by the same call, and a finished one is
    loaded.

    Args:
        corpus: as `lvm_probe.open_corpus` returns it.
        model: as `lvm_probe.load_model` returns it; or your own: a function `encode(wave)`, an object with such a
            method, or an `Encoder` (docs/own-features.md).
        out: folder of the table.
        samples: number of Monte Carlo draws per utterance; by default 12, or 100 with the estimator "sample".
        estimator: "posterior-mean" (default) averages the posterior's means along the drawn paths, "sample" the draws
            themselves.
        seed: of the draws, and of an untrained model's weights.
        units: one or several of "phoneme", "word", "utterance".
        also: further features: "mfcc", "stats" (of raw frames), "states" (of a model with latents), "halves" (means
            over the halves of a token).
        untrained: the same model with random weights, as a baseline.
        mel: bands, window and FFT size of the Mel baseline (default: 80 bands, 256 samples).
        memory_gb: memory limit for the draws of an utterance, in gigabytes, in each worker.
        workers: number of processes that extract side by side, each on one thread; the table is the same for every
            number. By default one per core, as far as memory allows; one on a GPU, and one for a model of your own,
            which may have threads or a GPU that do not survive a fork.
        strict: stop at the first recording that cannot be read. Otherwise it is left out, with a warning.
        progress: show a progress bar on standard error (default: only in a terminal).

    Returns:
        The table, loaded.

    Raises:
        InputError: if the folder holds another extraction, or an argument is not what is described above.

    Example:
        >>> import tempfile
        >>> import lvm_probe
        >>> from lvm_probe.probing.corpora.demo import CORPUS
        >>> corpus = lvm_probe.open_corpus(CORPUS).select(speakers=["FADA9"])
        >>> model = lvm_probe.load_model("cwvae-small", device="cpu")
        >>> folder = tempfile.TemporaryDirectory()
        >>> table = lvm_probe.extract(corpus, model, f"{folder.name}/cwvae", samples=1)
        >>> table.features["z1"].shape, len(table.tokens)
        ((320, 64), 320)
    """
    from lvm_probe.models.io.lock import locked
    from lvm_probe.models.io.provenance import package_versions
    from lvm_probe.probing.corpora.corpus import Corpus
    from lvm_probe.probing.features import extraction, token_table
    from lvm_probe.probing.features.encoders import as_encoder
    from lvm_probe.probing.features.extraction_settings import Mel, Settings
    from lvm_probe.probing.features.latents import Model
    from lvm_probe.probing.progress import bar

    if not isinstance(corpus, Corpus):
        raise InputError(f"corpus: a {type(corpus).__name__}; give what lvm_probe.open_corpus returns")
    if isinstance(model, (str, Path)):
        raise InputError(f"model: '{model}' is a name; load it first, with lvm_probe.load_model")
    settings = Settings.of(
        samples=samples,
        estimator=estimator or "posterior-mean",
        seed=seed,
        units=_names(units),
        also=_names(also),
        untrained=untrained,
        mel=mel or Mel(),
    )
    source: Checkpoint | Encoder
    device = None
    if isinstance(model, Model):
        source, device = model.checkpoint, model.device
    else:
        source = as_encoder(model)
        for name, value in {"untrained": untrained or None, "samples": samples, "estimator": estimator}.items():
            if value is not None:
                raise InputError(f"{name}: for a model of lvm_probe.load_model; your encoder has none, leave it out")
    folder = Path(out)
    token_table.check_writable(folder)
    with locked(folder), bar(corpus.seconds, "extract", shown=progress) as advance:
        result = extraction.extract(
            source,
            corpus,
            folder,
            settings,
            device=device,
            memory_gb=memory_gb,
            workers=workers,
            strict=strict,
            versions=package_versions(),
            progress=advance,
        )
    for reason in result.left_out:
        warnings.warn(f"left out: {reason}", stacklevel=2)
    return token_table.load(folder)


def _names(names: str | Sequence[str]) -> tuple[str, ...]:
    """One name or several."""
    return (names,) if isinstance(names, str) else tuple(names)
