"""Likelihoods of models on a corpus: tables 1, 3, 4 and 5 of Havtorn et al. (2022), with the published values.

Each is a function of the inputs that returns a `Table`, or raises InputError; the registry names them.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pandas as pd

from lvm_probe import InputError
from lvm_probe.figures import published_values
from lvm_probe.figures.inputs import FigureInputs
from lvm_probe.figures.published_values import PublishedBits
from lvm_probe.figures.table_format import Table, number
from lvm_probe.figures.wording import EIGHT_BIT, counted, eight_bit_mark

if TYPE_CHECKING:
    from lvm_probe.models.checkpoints.checkpoint import Checkpoint
    from lvm_probe.models.likelihood.elbo import Evaluation
    from lvm_probe.probing.corpora.recordings import LoadedRecordings


@dataclass(frozen=True)
class Evaluated:
    """A model's likelihood on the corpus; `checkpoint` is None for the baselines."""

    name: str
    checkpoint: Checkpoint | None
    result: Evaluation

    @property
    def family(self) -> str:
        return self.checkpoint.model.family if self.checkpoint else self.name

    @property
    def strides(self) -> tuple[int, ...]:
        """Audio samples per time step, lowest layer first; empty for a baseline."""
        if self.checkpoint is None:
            return ()
        return tuple(self.checkpoint.model.strides) or (self.checkpoint.model.stride,)

    @property
    def latents(self) -> tuple[int, ...]:
        """Dimensions of each layer's latents, lowest layer first."""
        return tuple(self.checkpoint.model.latents) if self.checkpoint else ()

    @property
    def configuration(self) -> str:
        if self.latents:
            return f"L = {len(self.latents)}, Dz = {', '.join(map(str, self.latents))}"
        return {"uniform": "uninformed", "flac": "lossless", "dmol": "optimal"}.get(self.family, "")

    def published(self, rows: Sequence[PublishedBits]) -> list[float]:
        """The published bits of models with the same family, stride and, for a CW-VAE, layers; all are of 16 bits."""
        if self.result.eight_bit:
            return []
        if self.checkpoint is None or self.family == "dmol":
            return [row.bits for row in rows if row.family == self.family]
        if self.family == "cwvae" and any(s != self.strides[0] * 8**i for i, s in enumerate(self.strides)):
            return []  # every layer of the published models is 8 times slower than the one below
        key = (self.family, self.strides[0], len(self.latents))
        return [row.bits for row in rows if (row.family, row.stride, row.layers) == key]


def table_1(inputs: FigureInputs) -> Table:
    """Bits per frame of every model, between the uniform distribution and FLAC."""
    models = _likelihoods_in_bits(inputs)
    frame = pd.DataFrame(
        {
            "model": one.name, "family": one.family,
            "stride": str(one.strides[0]) if one.strides else "-" if one.family == "flac" else "1",
            "configuration": one.configuration, "bits_per_frame": one.result.bits_per_frame,
            "bound": bool(one.result.kl), "eight_bit": one.result.eight_bit,
            "paper_bits_per_frame": next(iter(one.published(published_values.TABLE_1)), None),
        }
        for one in models
    )  # fmt: skip
    return Table.of(
        "Likelihoods in bits per frame (as table 1 of Havtorn et al. 2022)",
        frame,
        [
            ("model", lambda row: row["model"]),
            ("s", lambda row: row["stride"]),
            ("configuration", lambda row: row["configuration"]),
            ("bits per frame", _bits),
            ("published", lambda row: _bits_as_published(row, "paper_bits_per_frame")),
        ],
        f"{_about_corpus(inputs, models)} Bits per frame as in equation 11 of Havtorn et al. (2022): all bits over "
        "all frames, for 16-bit μ-law PCM in uniform bins; lower is better. ≤: one-sample ELBO, an upper bound. For "
        "FLAC this is the code length of the PCM itself, comparable only with that column of table 3. Published: "
        "table 1 of Havtorn et al. for that family, stride (s) and number of layers (L); its models are larger, "
        "trained on TIMIT and evaluated on its whole test set, so it is no target for other models or data."
        f"{_eight_bit_sentence(models)}",
        text_columns=3,
    )


def table_3(inputs: FigureInputs) -> Table:
    """The same models in detail: size, code length, KL of each layer, and the range published in table 3."""
    models = _likelihoods_in_bits(inputs)
    layers = [f"z{i + 1}" for i in range(max(len(one.latents) for one in models))]
    rows = []
    for one in models:
        result, published = one.result, one.published(published_values.TABLE_3)
        parameters = sum(p.numel() for p in one.checkpoint.model.parameters()) if one.checkpoint else 0
        rows.append(
            {
                "model": one.name, "family": one.family, "strides": " ".join(map(str, one.strides)),
                "latents": " ".join(map(str, one.latents)), "parameters": parameters,
                "bits_per_frame": result.bits_per_frame, "pcm_bits_per_frame": result.pcm_bits_per_frame,
                "nats_per_utterance": result.nats_per_utterance, "bound": bool(result.kl),
                "eight_bit": result.eight_bit,
                **{f"kl_{layer}": result.kl_bits_per_frame.get(layer) for layer in layers},
                **{f"active_{layer}": result.active_units.get(layer) for layer in layers},
                "frames": result.samples, "utterances": result.utterances,
                "paper_lowest": min(published, default=None), "paper_highest": max(published, default=None),
            }
        )  # fmt: skip
    return Table.of(
        "Likelihoods in detail (as table 3 of Havtorn et al. 2022)",
        pd.DataFrame(rows).astype({f"active_{layer}": "Int64" for layer in layers}),
        [
            ("model", lambda row: row["model"]),
            ("strides", lambda row: row["strides"]),
            ("parameters", lambda row: f"{row['parameters']:,}" if row["parameters"] else ""),
            ("bits per frame", _bits),
            ("PCM code length", lambda row: f"{_bound(row)}{row['pcm_bits_per_frame']:.3f}"),
            ("nats per utterance", lambda row: f"{row['nats_per_utterance']:,.0f}"),
            *((f"KL {layer}", lambda row, layer=layer: number(row[f"kl_{layer}"], ".4f")) for layer in layers),
            ("active", lambda row: " ".join(str(n) for x in layers if not pd.isna(n := row[f"active_{x}"]))),
            ("published", lambda row: _bits_as_published(row, "paper_lowest", "paper_highest")),
        ],
        f"{_about_corpus(inputs, models)} PCM code length: bits per frame of the 16-bit recording itself, the only "
        "column to compare with FLAC. KL of each layer in bits per frame; active: latent dimensions whose KL is at "
        "least 0.01 nats per time step, layer by layer. Published: lowest and highest value in table 3 of Havtorn et "
        "al. (2022) for that family, stride and number of layers, of any size; its models are larger, trained on "
        "TIMIT, and its values average over utterances rather than over all frames."
        f"{_eight_bit_sentence(models)}",
        text_columns=2,
    )


def table_4(inputs: FigureInputs) -> Table:
    """Nats of the models with a Gaussian output."""
    if not (checkpoints := _checkpoints(inputs, density=True)):
        raise InputError(
            "no checkpoint with a Gaussian output was given; train one with `probe train FAMILY --likelihood gaussian "
            "--target linear`, and name it with --ckpt"
        )
    from lvm_probe.models.likelihood.baselines import largest_gaussian_likelihood

    models = [_evaluated(inputs, name, checkpoint) for name, checkpoint in checkpoints.items()]
    rows = []
    for one, checkpoint in zip(models, checkpoints.values(), strict=True):
        config, result = checkpoint.model.config, one.result
        rows.append(
            {
                "model": one.name, "family": "stcn-dense" if getattr(config, "dense", False) else one.family,
                "strides": " ".join(map(str, one.strides)),
                "output": "Normal" if config.output.components == 1 else "GMM", "target": config.output.target,
                "nats_per_utterance": result.nats_per_utterance, "bound": bool(result.kl),
                "min_std": config.output.min_std,
                "limit_nats": largest_gaussian_likelihood(config.output.min_std, result.samples / result.utterances),
                "frames": result.samples, "utterances": result.utterances,
            }
        )  # fmt: skip
    published = [
        [row for row in published_values.TABLE_4 if (row.family, row.output) == (one["family"], one["output"])]
        for one in rows
    ]
    frame = pd.DataFrame(rows).assign(paper_nats=[" ".join(str(row.nats) for row in some) for some in published])
    sources = {
        one["model"]: "; ".join(f"{row.nats:,} ({row.source})" for row in some)
        for one, some in zip(rows, published, strict=True)
    }
    return Table.of(
        "Gaussian likelihoods in nats (as table 4 of Havtorn et al. 2022)",
        frame,
        [
            ("model", lambda row: row["model"]),
            ("strides", lambda row: row["strides"]),
            ("output", lambda row: f"{row['output']}, {row['target']}"),
            ("published", lambda row: sources[row["model"]]),
            ("nats per utterance", lambda row: f"{'≥ ' if row['bound'] else ''}{row['nats_per_utterance']:,.0f}"),
            ("limit", lambda row: f"{row['limit_nats']:,.0f}"),
            ("minimum std", lambda row: f"{row['min_std']:g}"),
        ],
        f"{_about_corpus(inputs, models)} Nats per utterance of normalised audio; higher is better, and utterances "
        "of another length have other values. These are densities, not code lengths: they grow without bound as "
        "standard deviations shrink. Limit: perfect prediction with the minimum standard deviation (Havtorn et al. "
        "2022, equation 13). ≥: one-sample ELBO. Published: table 4 of Havtorn et al., on TIMIT's test utterances, "
        "49,367.3 frames on average.",
        text_columns=4,
    )


def table_5(inputs: FigureInputs) -> Table:
    """The largest likelihood that Gaussians can reach, by the formula, and as published."""
    from lvm_probe.models.likelihood import baselines

    rows = baselines.table_5()
    notes = [f"{row.note[0].upper()}{row.note[1:]}." for row in rows if row.note]
    return Table.of(
        "Largest attainable Gaussian likelihoods (as table 5 of Havtorn et al. 2022)",
        pd.DataFrame([{"min_std": row.min_std, "nats": row.nats, "paper_nats": row.paper_nats} for row in rows]),
        [
            ("minimum std", lambda row: f"{row['min_std']:g}"),
            ("nats per utterance", lambda row: f"{row['nats']:,.0f}"),
            ("published", lambda row: f"{row['paper_nats']:,.0f}"),
        ],
        f"Log density in nats of an utterance of {baselines.PAPER_SAMPLES:,} frames (the mean of TIMIT's test set) "
        "that is predicted perfectly by Gaussians with the minimum standard deviation allowed (Havtorn et al. 2022, "
        f"equation 13 and table 5); no data are used. {' '.join(notes)}",
    )


def _bound(row: dict[Any, Any]) -> str:
    """The sign before bits that are an upper bound, from a one-sample ELBO."""
    return "≤ " if row["bound"] else ""


def _bits(row: dict[Any, Any]) -> str:
    return f"{_bound(row)}{row['bits_per_frame']:.3f}{eight_bit_mark(row['eight_bit'])}"


def _eight_bit_sentence(models: Sequence[Evaluated]) -> str:
    return f" {EIGHT_BIT}" if any(one.result.eight_bit for one in models) else ""


def _bits_as_published(row: dict[Any, Any], *columns: str) -> str:
    """Published bits or a range of them, with two decimals, or the three that FLAC has."""
    values = [row[column] for column in columns if not pd.isna(row[column])]
    texts = [f"{value:.3f}".removesuffix("0") for value in dict.fromkeys(values)]
    return _bound(row) + "–".join(texts) if texts else ""


def _about_corpus(inputs: FigureInputs, models: Sequence[Evaluated]) -> str:
    result, recordings = models[0].result, _recordings(inputs)
    unreadable = f" ({len(recordings.left_out)} more could not be read)" if recordings.left_out else ""
    return (
        f"{result.samples:,} frames of {result.utterances} utterances{unreadable} of {recordings.corpus.name}, "
        f"{counted(len(recordings.corpus.speakers), 'speaker')}."
    )


def _checkpoints(inputs: FigureInputs, *, density: bool) -> dict[str, Checkpoint]:
    """The checkpoints whose likelihoods are densities, or those whose likelihoods are in bits."""
    return {
        name: checkpoint
        for name, checkpoint in inputs.checkpoints.items()
        if checkpoint.model.config.output.is_density() is density
    }


def _sample_rate(inputs: FigureInputs) -> int:
    rates = {checkpoint.model.config.sample_rate for checkpoint in inputs.checkpoints.values()} or {16_000}
    if len(rates) > 1:
        raise InputError(
            f"the checkpoints are made for different sample rates ({sorted(rates)}); name those of one rate"
        )
    return rates.pop()


def _likelihoods_in_bits(inputs: FigureInputs) -> list[Evaluated]:
    """Every model whose likelihood is in bits, between the uniform distribution and FLAC, as in the paper's table."""
    from lvm_probe.models.likelihood import baselines

    if not (checkpoints := _checkpoints(inputs, density=False)):
        raise InputError("no checkpoint whose likelihood is in bits was given; name one or several with --ckpt")
    recordings = _recordings(inputs).recordings
    if "flac" not in inputs.cache:
        report = _audio_progress(inputs, "FLAC", sum(r.samples for r in recordings))
        inputs.cache["flac"] = baselines.flac(recordings, _sample_rate(inputs), progress=report)
    models = [_evaluated(inputs, name, checkpoint) for name, checkpoint in checkpoints.items()]
    return [
        Evaluated("uniform", None, baselines.uniform(recordings)),
        *(one for one in models if one.family == "dmol"),
        Evaluated("flac", None, inputs.cache["flac"]),
        *(one for one in models if one.family != "dmol"),
    ]


def _evaluated(inputs: FigureInputs, name: str, checkpoint: Checkpoint) -> Evaluated:
    """A model on the recordings, evaluated once."""
    from lvm_probe.models.likelihood import elbo

    elbo.require_likelihood(checkpoint.model, name)
    key = ("likelihood", checkpoint.sha256)
    if key not in inputs.cache:
        recordings = _recordings(inputs).recordings
        report = _audio_progress(inputs, f"likelihood of {name}", sum(r.samples for r in recordings))
        inputs.cache[key] = elbo.evaluate(checkpoint.model, recordings, seed=inputs.seed, progress=report)
    return Evaluated(name, checkpoint, inputs.cache[key])


def _recordings(inputs: FigureInputs) -> LoadedRecordings:
    """The recordings of the corpus that can be read, at the checkpoints' sample rate, loaded once."""
    from lvm_probe.probing.corpora.recordings import load_recordings

    if inputs.corpus is None:
        raise InputError("likelihoods need recordings; name the corpus with --corpus")
    if "recordings" not in inputs.cache:
        inputs.progress("read the corpus")
        inputs.cache["recordings"] = load_recordings(inputs.corpus, _sample_rate(inputs))
    recordings: LoadedRecordings = inputs.cache["recordings"]
    return recordings


def _audio_progress(inputs: FigureInputs, what: str, total: int) -> Callable[[int], None]:
    """A callback that counts audio samples."""
    done = 0

    def report(samples: int) -> None:
        nonlocal done
        done += samples
        inputs.progress(what, done / total)

    inputs.progress(what)
    return report
