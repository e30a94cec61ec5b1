"""`probe evaluate`: the likelihood of a corpus under one or several models."""

from __future__ import annotations

import argparse
import json
import math
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lvm_probe import InputError
from lvm_probe.app.options import CKPT, add_corpus, add_device, open_corpus, read_recordings, refuse_reading
from lvm_probe.app.output import Output, check_outside_tables, plural
from lvm_probe.models.device import pick_device
from lvm_probe.models.io.files import check_writable, write_atomically, write_csv
from lvm_probe.probing.corpora.sequences import is_sequences
from lvm_probe.probing.progress import bar

if TYPE_CHECKING:
    from lvm_probe.figures.table_format import Column, Table
    from lvm_probe.models.batches import Recording
    from lvm_probe.models.checkpoints.checkpoint import Checkpoint
    from lvm_probe.probing.corpora.corpus import Corpus
    from lvm_probe.probing.corpora.training_corpora import Parts

SUMMARY = "likelihood of a corpus under one or several models, in bits per frame"
EXAMPLES = (
    "probe evaluate --ckpt cwvae-small --corpus TIMIT --split test",
    "probe evaluate --ckpt cwvae-small --ckpt flac --ckpt uniform --corpus TIMIT --out likelihoods.tex",
)
FORMATS = (".csv", ".json", ".tex")


def options(parser: argparse.ArgumentParser) -> None:
    model = parser.add_argument_group("models")
    model.add_argument(
        "--ckpt", required=True, action="append", help=f"{CKPT}, or a baseline: uniform, flac; repeatable"
    )
    add_device(model)
    corpus = add_corpus(parser)
    corpus.add_argument(
        "--split",
        metavar="NAME",
        help="a split of the corpus, or `validation` or `test`: the speakers held out for it when the checkpoint was "
        "trained on this corpus, also checkpoint:test where the corpus has such a split itself (default: all)",
    )
    bounds = parser.add_argument_group("bounds")
    bounds.add_argument(
        "--iwae", type=int, default=0, metavar="K", help="also the importance-weighted bound with K draws"
    )
    bounds.add_argument(
        "--without",
        action="append",
        metavar="LAYER",
        help="also the bound with this layer (such as z2) left at its prior, which shows what inferring it gains; "
        "repeatable",
    )
    bounds.add_argument(
        "--chunk", type=float, default=60, metavar="S", help="evaluate long recordings in chunks of S seconds"
    )
    output = parser.add_argument_group("output")
    output.add_argument(
        "--out", action="append", metavar="FILE", help=f"write the table: {', '.join(FORMATS)}; repeatable"
    )


def run(args: argparse.Namespace) -> Output:
    """Evaluate each model on the same recordings; one document, or a table if there are several models."""
    from lvm_probe.models.checkpoints import checkpoint
    from lvm_probe.models.likelihood.baselines import BASELINES
    from lvm_probe.probing.corpora.training_corpora import speakers_of

    files = [Path(name) for name in args.out or []]
    for file in files:
        if file.suffix not in FORMATS:
            raise InputError(f"{file}: tables are written as {', '.join(FORMATS)}; choose one of these endings")
        check_writable(file.parent)
        check_outside_tables(file)
    if args.iwae < 0:
        raise InputError(f"--iwae {args.iwae}: give 0 (no such bound) or more")
    if not 0 < args.chunk < math.inf:
        raise InputError(f"--chunk {args.chunk}: give a number of seconds above 0")
    names = list(dict.fromkeys(args.ckpt))
    loaded = {name: None if name in BASELINES else checkpoint.load(name, any_domain=True) for name in names}
    models = [found for found in loaded.values() if found is not None]
    layers = [f"z{layer}" for layer in range(1, 1 + max((len(found.model.latents) for found in models), default=0))]
    if not layers and (args.iwae or args.without):
        given = f"--iwae {args.iwae}" if args.iwae else f"--without {args.without[0]}"
        raise InputError(f"{given}: these models have no latents; leave it out")
    for layer in args.without or []:
        if layer not in layers:
            raise InputError(f"--without {layer}: no such layer of latents; choose {' or '.join(layers)}")
    if any(found.model.config.output.name != "waveform" for found in models) or is_sequences(args.corpus):
        return _on_sequences(args, loaded, files)
    rates = sorted({found.model.config.sample_rate for found in models}) or [16_000]
    if len(rates) > 1:
        raise InputError(
            f"{', '.join(names)}: trained at different sample rates ({', '.join(map(str, rates))} Hz); "
            "evaluate them one by one"
        )
    whole = open_corpus(args, rates[0])
    parts = {found.path: speakers_of(whole, found.provenance) for found in models}
    reading = read_recordings(_select(whole, args.split, parts), rates[0], args)
    data = _Data(reading.recordings, reading.corpus.seconds, "s of speech", rates[0], len(reading.corpus.speakers))
    documents, texts = zip(*(_evaluate(name, loaded[name], data, args) for name in names), strict=True)
    for name, document in zip(names, documents, strict=True):
        if found := loaded[name]:
            document["warnings"] += _warnings(reading.corpus, parts[found.path], args.split)
    return _report(documents, texts, files, {"speakers": data.speakers, "left_out": list(reading.left_out)}, args)


@dataclass(frozen=True)
class _Data:
    """What is evaluated.

    Attributes:
        recordings: their elements.
        length: in seconds, or in steps where the data are not waveforms.
        unit: what a unit of length is, in the plural.
        rate: elements of a unit of length.
        speakers: of how many persons they are; none of other data.
        several: what the recordings are called.
    """

    recordings: Sequence[Recording]
    length: float
    unit: str
    rate: int
    speakers: int = 0
    several: str = "utterances"


def _report(
    documents: Sequence[dict[str, Any]],
    texts: Sequence[str],
    files: Sequence[Path],
    about: dict[str, Any],
    args: argparse.Namespace,
) -> Output:
    """One document and text, or a table if there are several models."""
    several = len(documents) > 1
    lines = [texts[0]]
    if several or files:
        table = _table(documents, about["speakers"])
        lines = [table.as_text()] if several else lines
        for file in files:
            _write(file, table, documents)
    document = {"results": list(documents)} if several else documents[0]
    document |= about | {"seed": args.seed}
    for d in documents:
        lines += [f"warning: {d['name'] + ': ' if several else ''}{warning}" for warning in d["warnings"]]
    lines += [f"wrote {file}" for file in files]
    return Output(document | {"wrote": [str(file) for file in files]}, "\n".join(lines))


def _on_sequences(args: argparse.Namespace, loaded: Mapping[str, Checkpoint | None], files: Sequence[Path]) -> Output:
    """`run` for models of piano rolls, pen strokes and text."""
    from lvm_probe.probing.corpora.sequences import open_sequences

    if baselines := [name for name, found in loaded.items() if found is None]:
        raise InputError(f"{', '.join(baselines)}: a baseline of waveforms; name a checkpoint")
    domains = {found.model.config.output.name for found in loaded.values() if found is not None}
    vocabularies = {getattr(f.model.config.output, "vocabulary", ()) for f in loaded.values() if f is not None}
    if len(domains) > 1 or len(vocabularies) > 1 or domains == {"waveform"}:
        kinds = ", ".join(sorted(domains)) + (" with different vocabularies" if len(vocabularies) > 1 else "")
        raise InputError(f"{args.corpus}: these checkpoints model {kinds}; evaluate on data of their kind, one by one")
    refuse_reading(args)
    corpus = open_sequences(args.corpus, domains.pop(), vocabularies.pop() or None)
    present = [name for name in corpus.splits if corpus.splits[name]]
    if args.split is None and len(present) > 1:
        raise InputError(f"{corpus.root}: splits {', '.join(present)}; choose with --split")
    recordings = corpus.recordings(args.split or present[0])
    for notice in corpus.notices:
        print(f"notice: {notice}", file=sys.stderr)
    steps = sum(recording.samples for recording in recordings) // corpus.step
    data = _Data(recordings, steps, "steps", corpus.step, several="sequences")
    documents, texts = zip(*(_evaluate(name, found, data, args) for name, found in loaded.items()), strict=True)
    for document, found in zip(documents, loaded.values(), strict=True):
        if found is not None and found.provenance.get("corpus_fingerprint") == corpus.fingerprint():
            document["warnings"] += _sequence_warnings(args.split or present[0])
    return _report(documents, texts, files, {"speakers": 0, "left_out": []}, args)


def _sequence_warnings(split: str) -> list[str]:
    """What makes the figures of a model better than they would be for other sequences of the corpus."""
    if split in ("train", "everything"):
        return ["trained on these sequences, or most of them"]
    return ["its checkpoint was chosen by these sequences"] if split == "valid" else []


def _select(corpus: Corpus, split: str | None, parts: Mapping[Path, Parts]) -> Corpus:
    """The split asked for: one of the corpus, or the speakers that the checkpoints held out.

    `parts` is by the checkpoints' paths. The first that held some out says which; no other may be trained on them.
    """
    part = (split or "").removeprefix("checkpoint:")
    if split is None or part not in ("validation", "test"):
        return corpus.select(split=split)
    if split in corpus.splits:
        for path, of in parts.items():
            if of[part]:
                held_out = f"checkpoint:{part} are the {plural(len(of[part]), 'speaker')} that {path} held out"
                print(f"notice: --split {split} is {corpus.root}'s own; {held_out}", file=sys.stderr)
        return corpus.select(split=split)
    if not parts:
        raise InputError(f"--split {split}: name a checkpoint too, for these are the speakers that it held out")
    chosen_by, chosen = next(((path, of[part]) for path, of in parts.items() if of[part]), (None, set[str]()))
    for path, of in parts.items():
        if not any(of.values()):
            raise InputError(
                f"{corpus.root}: not the corpus that {path} was trained on, or not all of it: speakers that it was "
                f"trained on or that it held out are missing here"
            )
        if chosen_by is None:
            others = ", ".join(name for name in ("validation", "test") if of[name]) or "none"
            raise InputError(f"{path}: held no speakers out for --split {split} (held out for: {others})")
        if path != chosen_by and chosen & of["train"]:
            raise InputError(
                f"{path}: held out other speakers than {chosen_by}, and was trained on some of those; "
                "evaluate them one by one, or on another corpus"
            )
    return corpus.select(speakers=chosen)


def _warnings(corpus: Corpus, of: Parts, split: str | None) -> list[str]:
    """What makes the figures of a model better than they would be for other speakers."""
    speakers = {speaker.id for speaker in corpus.speakers}
    trained, chose = len(speakers & of["train"]), len(speakers & of["validation"])
    if trained:
        return [f"trained on {trained:,} of these {plural(len(speakers), 'speaker')}"]
    if chose and split not in ("validation", "checkpoint:validation"):
        return [f"its checkpoint was chosen by {chose:,} of these {plural(len(speakers), 'speaker')}"]
    return []


def _evaluate(
    name: str, loaded: Checkpoint | None, data: _Data, args: argparse.Namespace
) -> tuple[dict[str, Any], str]:
    """One model's figures, as a document and as text; `loaded` is None for a baseline."""
    from lvm_probe.models.likelihood import baselines, elbo
    from lvm_probe.models.likelihood.importance import importance_bound
    from lvm_probe.models.likelihood.summary import bits_unit, collapse_warnings, summary

    recordings, rate = data.recordings, data.rate
    chunked = {"seed": args.seed, "most_samples": max(1, round(args.chunk * rate))}
    model = loaded.model.to(pick_device(args.device)) if loaded else None
    if model is not None:
        elbo.require_likelihood(model, name)
    with bar(data.length, f"evaluate {name}", data.unit) as advance:
        if model is not None:
            result = elbo.evaluate(model, recordings, progress=lambda n: advance(n / rate), **chunked)
        elif name == "flac":
            result = baselines.flac(recordings, rate, progress=lambda n: advance(n / rate))
        else:
            result = baselines.uniform(recordings, progress=lambda n: advance(n / rate))
    document: dict[str, Any] = {
        "name": name,
        "family": model.family if model else name,
        "strides": list(model.strides or (model.stride,)) if model else [],
        "latents": list(model.latents) if model else [],
        "parameters": sum(p.numel() for p in model.parameters()) if model else 0,
        "bits_per_frame": result.bits_per_frame,
        "bound": bool(result.kl),
        "density": result.density,
        "eight_bit": result.eight_bit,
        "pcm_bits_per_frame": result.pcm_bits_per_frame,
        "elbo_nats": result.elbo,
        "nats_per_utterance": result.nats_per_utterance,
        "domain": result.domain,
        "nats_per_step": result.nats_per_step,
        "kl_bits_per_frame": result.kl_bits_per_frame,
        "active_units": result.active_units,
        "kl_nats_per_step": {layer: kl.tolist() for layer, kl in result.kl_nats_per_step.items()},
        "frames": result.samples,
        "utterances": result.utterances,
        "checkpoint": str(loaded.path) if loaded else name,
        "warnings": collapse_warnings(result.active_units, model.latents) if model else [],
    }
    kind = "one-sample ELBO" if result.kl else "log likelihood"
    of = f", {data.speakers} speakers" if data.speakers else ""
    unit = "frames" if result.domain == "waveform" else "elements"
    bits = bits_unit(result.eight_bit)
    lines = [
        summary(result),
        f"{kind} {result.elbo:,.0f} nats over {result.samples:,} {unit} of {result.utterances:,} {data.several}"
        f"{of} ({result.nats_per_utterance:,.0f} nats per {data.several[:-1]})",
    ]
    if model is None:
        return document, "\n".join(lines)
    for layer in (layer for layer in args.without or [] if layer in result.kl_bits_per_frame):
        with bar(data.length, f"{name} without {layer}", data.unit) as advance:
            at_prior = model.without_inference(int(layer[1:]) - 1)
            without = elbo.evaluate(at_prior, recordings, progress=lambda n: advance(n / rate), **chunked)
        document.setdefault("bits_per_frame_without", {})[layer] = without.bits_per_frame
        gain, kl = without.bits_per_frame - result.bits_per_frame, result.kl_bits_per_frame[layer]
        lines.append(
            f"with {layer} left at its prior: {without.bits_per_frame:.3f} {bits}; inferring it "
            f"{'saves' if gain >= 0 else 'costs'} {abs(gain):.3f} net of its KL of {kl:.3f}"
        )
    if args.iwae:
        with bar(data.length, f"bound {name}", data.unit) as advance:
            bound = importance_bound(model, recordings, args.iwae, progress=lambda n: advance(n / rate), **chunked)
        document["iwae_samples"] = args.iwae
        document["iwae_bits_per_frame"] = bound.bits_per_frame
        document["iwae_pcm_bits_per_frame"] = bound.pcm_bits_per_frame
        lines.append(f"importance-weighted bound with {args.iwae} draws: {bound.bits_per_frame:.3f} {bits}")
    return document, "\n".join(lines)


def _table(documents: Sequence[Mapping[str, Any]], speakers: int) -> Table:
    """One row per model: the figures that papers report."""
    import pandas as pd

    from lvm_probe.figures.table_format import Table, number
    from lvm_probe.figures.wording import EIGHT_BIT, eight_bit_mark

    layers = list(dict.fromkeys(layer for d in documents for layer in d["kl_bits_per_frame"]))
    rows = []
    for d in documents:
        row = {key: d[key] for key in ("name", "family", "parameters", "bits_per_frame", "bound")}
        row |= {key: d[key] for key in ("density", "eight_bit")}
        row["strides"] = " ".join(map(str, d["strides"]))
        row |= {f"bits_without_{layer}": bits for layer, bits in d.get("bits_per_frame_without", {}).items()}
        row |= {key: d[key] for key in ("domain", "pcm_bits_per_frame", "nats_per_utterance", "nats_per_step")}
        if any("iwae_bits_per_frame" in other for other in documents):
            row["iwae_bits_per_frame"] = d.get("iwae_bits_per_frame")
        for layer in layers:
            row[f"kl_{layer}"] = d["kl_bits_per_frame"].get(layer)
            row[f"active_{layer}"] = d["active_units"].get(layer)
        rows.append(row | {"frames": d["frames"], "utterances": d["utterances"], "checkpoint": d["checkpoint"]})
    frame = pd.DataFrame(rows).astype({f"active_{layer}": "Int64" for layer in layers})

    speech = documents[0]["domain"] == "waveform"

    def bits(row: Mapping[Any, Any], key: str) -> str:
        return ("≤ " if row["bound"] else "") + number(row[key], ".3f")

    def mark(row: Mapping[Any, Any]) -> str:
        return "*" if row["density"] else eight_bit_mark(row["eight_bit"])

    columns: list[Column] = [
        ("model", lambda row: row["name"]),
        ("stride", lambda row: row["strides"]),
        ("parameters", lambda row: f"{row['parameters']:,}" if row["parameters"] else ""),
        ("bits per frame", lambda row: bits(row, "bits_per_frame") + mark(row)),
        ("PCM code length", lambda row: bits(row, "pcm_bits_per_frame")),
        ("nats per utterance", lambda row: number(row["nats_per_utterance"], ",.0f")),
        *((f"KL {layer}", lambda row, key=f"kl_{layer}": number(row[key], ".4f")) for layer in layers),
    ]
    if not speech:
        columns[3:5] = [
            ("nats per step", lambda row: ("≥ " if row["bound"] else "") + number(row["nats_per_step"], ".3f"))
        ]
        columns[4] = ("nats per sequence", lambda row: number(row["nats_per_utterance"], ",.1f"))
    if "iwae_bits_per_frame" in frame:
        columns.insert(4, ("IWAE", lambda row: number(row["iwae_bits_per_frame"], ".3f") + mark(row)))
    caption = (
        f"{documents[0]['frames']:,} frames of {documents[0]['utterances']} utterances, {speakers} speakers. Bits per "
        "frame: equation 11 of Havtorn et al. (2022), in uniform bins of 16-bit μ-law; ≤: one-sample ELBO, an upper "
        "bound. PCM code length: bits per frame of the 16-bit recording itself, the only column to compare with FLAC."
    )
    if not speech:
        caption = (
            f"{documents[0]['frames']:,} elements of {documents[0]['utterances']:,} sequences "
            f"({documents[0]['domain']}). Log likelihood, higher is better; ≥: one-sample ELBO, a lower bound."
        )
    caption += " *: a density, not a code length." if frame["density"].any() else ""
    caption += f" {EIGHT_BIT}" if frame["eight_bit"].any() else ""
    return Table.of("Likelihoods", frame, columns, caption, text_columns=2)


def _write(file: Path, table: Table, documents: Sequence[Mapping[str, Any]]) -> None:

    if file.suffix == ".csv":
        write_csv(file, table.frame)
        return
    text = table.as_latex() if file.suffix == ".tex" else json.dumps({"results": documents}, indent=1)
    with write_atomically(file) as temporary:
        temporary.write_text(text)
