"""`probe evaluate`: the likelihood of a corpus under one or several models, and the closed form beside it."""

from __future__ import annotations

import argparse
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lvm_probe.app.commands.train import bits, collapse_warnings
from lvm_probe.app.output import Answer, bar, open_corpus, pick_device, read_recordings

if TYPE_CHECKING:
    import pandas as pd

    from lvm_probe.models.checkpoints.checkpoint import Checkpoint
    from lvm_probe.probing.corpora.corpus import Corpus
    from lvm_probe.probing.corpora.recordings import LoadedRecordings

FORMATS = (".csv", ".json", ".tex")


def run(args: argparse.Namespace) -> Answer:
    """Evaluate each model on the same recordings; one document, or a table where there are several."""
    from lvm_probe import InputError
    from lvm_probe.models.checkpoints import checkpoint
    from lvm_probe.models.likelihood.baselines import BASELINES
    from lvm_probe.probing.features.token_table import check_writable

    files = [Path(name) for name in args.out or []]
    for file in files:
        if file.suffix not in FORMATS:
            raise InputError(f"{file}: the table is written as {', '.join(FORMATS)}; choose one of these endings")
        check_writable(file.parent)
    if args.iwae < 0 or not args.chunk > 0:
        raise InputError(
            f"--iwae {args.iwae}, --chunk {args.chunk}: give numbers that are not negative, a chunk above 0"
        )
    names = list(dict.fromkeys(args.ckpt))
    strange = [layer for layer in args.without or [] if layer not in ("z1", "z2", "z3", "z4", "z5")]
    if strange:
        raise InputError(f"--without {strange[0]}: name a layer of latents, such as z2")
    loaded = {name: None if name in BASELINES else checkpoint.load(name) for name in names}
    models = [c for c in loaded.values() if c is not None]
    rates = {c.model.config.sample_rate for c in models} or {16_000}
    if len(rates) > 1:
        raise InputError(f"{', '.join(names)}: made for different sample rates ({rates}); evaluate them one by one")
    (rate,) = rates
    corpus = _selected(open_corpus(args, rate), args.split, models)
    read = read_recordings(corpus, rate, args)
    documents = [_document(name, found, read, rate, args) for name, found in loaded.items()]
    frame = table(documents)
    for file in files:
        _write(file, frame, documents)
    wrote = [str(file) for file in files]
    extra = {"speakers": len(read.corpus.speakers), "left_out": list(read.left_out), "seed": args.seed, "wrote": wrote}
    if len(documents) == 1:
        (document,) = documents
        text = [document.pop("text"), *(f"warning: {w}" for w in document["warnings"]), *(f"wrote {w}" for w in wrote)]
        return Answer(document | extra, "\n".join(text))
    for document in documents:
        document.pop("text")
    notes = [f"warning: {d['name']}: {w}" for d in documents for w in d["warnings"]]
    text = [as_text(frame), _footnote(read, frame), *notes, *(f"wrote {w}" for w in wrote)]
    return Answer({"results": documents} | extra, "\n".join(text))


def _selected(corpus: Corpus, split: str | None, models: Sequence[Checkpoint]) -> Corpus:
    """The part of the corpus asked for; `validation` is the speakers that all models held out, the same for all."""
    from lvm_probe import InputError

    if split != "validation" or "validation" in corpus.splits:
        return corpus.select(split=split) if split else corpus
    if not models:
        raise InputError("--split validation: name a checkpoint too; the speakers it held out are meant")
    held = {found.path: set(found.provenance.get("validation_speakers", [])) for found in models}
    first = held[models[0].path]
    for path, speakers in held.items():
        if not speakers or not speakers <= {s.id for s in corpus.speakers}:
            raise InputError(
                f"{corpus.root}: not the corpus that {path} was trained on: its validation speakers are not here"
            )
        if speakers != first:
            raise InputError(
                f"{path}: held out other speakers than {models[0].path}, and may have been trained on those; "
                "evaluate them one by one, or on another corpus"
            )
    return corpus.select(speakers=sorted(first))


def _document(
    name: str, found: Checkpoint | None, read: LoadedRecordings, rate: int, args: argparse.Namespace
) -> dict[str, Any]:
    from lvm_probe.models.likelihood import baselines, elbo
    from lvm_probe.models.likelihood.importance import importance_bound

    how = {"seed": args.seed, "most_samples": max(1, round(args.chunk * rate))}
    with bar(read.corpus.seconds, f"evaluate {name}") as done:

        def show(samples: int) -> None:
            done(samples / rate)

        if found is not None:
            found.model.to(pick_device(args.device))
            result = elbo.evaluate(found.model, read.recordings, progress=show, **how)
        elif name == "flac":
            result = baselines.flac(read.recordings, rate, progress=show)
        else:
            result = baselines.uniform(read.recordings, progress=show)
    document: dict[str, Any] = {
        "name": name,
        "family": found.model.family if found else name,
        "strides": list(found.model.strides or (found.model.stride,)) if found else [],
        "latents": list(found.model.latents) if found else [],
        "parameters": sum(p.numel() for p in found.model.parameters()) if found else 0,
        "bits_per_frame": result.bits_per_frame,
        "bound": bool(result.kl),
        "density": result.density,
        "pcm_bits_per_frame": result.pcm_bits_per_frame,
        "elbo_nats": result.elbo,
        "nats_per_utterance": result.nats_per_utterance,
        "kl_bits_per_frame": result.kl_bits_per_frame,
        "active_units": result.active_units,
        "kl_nats_per_step": {layer: kl.tolist() for layer, kl in result.kl_nats_per_step.items()},
        "frames": result.samples,
        "utterances": result.utterances,
        "checkpoint": str(found.path) if found else name,
        "warnings": collapse_warnings(result.active_units, found.model.latents) if found else [],
    }
    kind = "one-sample ELBO" if result.kl else "log likelihood"
    document["text"] = (
        f"{bits(result)}\n{kind} {result.elbo:,.0f} nats over {result.samples:,} frames of {result.utterances} "
        f"utterances, {len(read.corpus.speakers)} speakers ({result.nats_per_utterance:,.0f} nats an utterance)"
    )
    for layer in args.without or []:
        if found is None or layer not in result.kl_bits_per_frame:
            continue
        with bar(read.corpus.seconds, f"{name} without {layer}") as done:
            other = found.model.without_inference(int(layer[1:]) - 1)
            worse = elbo.evaluate(other, read.recordings, progress=lambda n: done(n / rate), **how)
        document.setdefault("bits_per_frame_without", {})[layer] = worse.bits_per_frame
        saved = worse.bits_per_frame - result.bits_per_frame
        document["text"] += (
            f"\nwith {layer} left to its prior: {worse.bits_per_frame:.3f} bits per frame, so inferring it saves "
            f"{saved:.3f} beyond its cost of {result.kl_bits_per_frame[layer]:.3f}"
        )
    if args.iwae and found is not None:
        with bar(read.corpus.seconds, f"bound {name}") as done:
            tighter = importance_bound(
                found.model, read.recordings, args.iwae, progress=lambda n: done(n / rate), **how
            )
        document["iwae_samples"] = args.iwae
        document["iwae_bits_per_frame"] = tighter.bits_per_frame
        document["iwae_pcm_bits_per_frame"] = tighter.pcm_bits_per_frame
        document["text"] += (
            f"\nimportance-weighted bound, {args.iwae} samples: {tighter.bits_per_frame:.3f} bits per frame"
        )
    return document


def table(documents: Sequence[Mapping[str, Any]]) -> pd.DataFrame:
    """One row a model: what papers print of it."""
    import pandas as pd

    layers = list(dict.fromkeys(layer for d in documents for layer in d["kl_bits_per_frame"]))
    rows = []
    for d in documents:
        row = {key: d[key] for key in ("name", "family", "parameters", "bits_per_frame", "bound", "density")}
        row["strides"] = " ".join(map(str, d["strides"]))
        row |= {f"bits_without_{layer}": bits for layer, bits in d.get("bits_per_frame_without", {}).items()}
        row["pcm_bits_per_frame"], row["nats_per_utterance"] = d["pcm_bits_per_frame"], d["nats_per_utterance"]
        if any("iwae_bits_per_frame" in other for other in documents):
            row["iwae_bits_per_frame"] = d.get("iwae_bits_per_frame")
        for layer in layers:
            row[f"kl_{layer}"] = d["kl_bits_per_frame"].get(layer)
            row[f"active_{layer}"] = d["active_units"].get(layer)
        rows.append(row | {"frames": d["frames"], "utterances": d["utterances"], "checkpoint": d["checkpoint"]})
    frame = pd.DataFrame(rows)
    return frame.astype({f"active_{layer}": "Int64" for layer in layers})


def _printed(frame: pd.DataFrame, bound: str) -> list[list[str]]:
    """Header and cells of the table for people; `bound` is the sign before an upper bound on the bits."""

    def number(value: Any, form: str) -> str:
        return "" if value is None or value != value else format(value, form)

    layers = [column[3:] for column in frame.columns if column.startswith("kl_")]
    iwae = "iwae_bits_per_frame" in frame.columns
    head = ["model", "stride", "parameters", "bits per frame", *(["IWAE"] if iwae else []), "PCM code length"]
    rows = [[*head, "nats an utterance", *(f"KL {layer}" for layer in layers)]]
    for _, row in frame.iterrows():
        sign = bound if row["bound"] else ""
        cells = [row["name"], row["strides"], number(row["parameters"], ",d") if row["parameters"] else ""]
        cells.append(sign + number(row["bits_per_frame"], ".3f") + ("*" if row["density"] else ""))
        cells += [number(row["iwae_bits_per_frame"], ".3f")] if iwae else []
        cells += [sign + number(row["pcm_bits_per_frame"], ".3f"), number(row["nats_per_utterance"], ",.0f")]
        rows.append([*cells, *(number(row[f"kl_{layer}"], ".4f") for layer in layers)])
    return rows


def as_text(frame: pd.DataFrame) -> str:
    """The table in columns: names to the left, numbers to the right."""
    rows = _printed(frame, "≤ ")
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return "\n".join(
        "  ".join(
            cell.ljust(w) if i < 2 else cell.rjust(w) for i, (cell, w) in enumerate(zip(row, widths, strict=True))
        ).rstrip()
        for row in rows
    )


def as_latex(frame: pd.DataFrame) -> str:
    """The table as a LaTeX tabular with the rules of booktabs."""
    head, *rows = _printed(frame, r"$\leq$ ")
    special = {"&": r"\&", "%": r"\%", "_": r"\_", "#": r"\#"}

    def line(cells: Sequence[str]) -> str:
        return " & ".join("".join(special.get(c, c) for c in cell) for cell in cells) + r" \\"

    columns = "ll" + "r" * (len(head) - 2)
    body = [rf"\begin{{tabular}}{{{columns}}}", r"\toprule", line(head), r"\midrule", *map(line, rows)]
    return "\n".join([*body, r"\bottomrule", r"\end{tabular}", ""])


def _footnote(read: LoadedRecordings, frame: pd.DataFrame) -> str:
    said = (
        f"{frame['frames'].iloc[0]:,} frames of {frame['utterances'].iloc[0]} utterances, {len(read.corpus.speakers)} "
        "speakers. Bits per frame as the paper's equation 11, on its uniform bins; the PCM code length is what a "
        "compressor would need and the only column to hold beside FLAC."
    )
    return said + (" *: a density, no code length." if frame["density"].any() else "")


def _write(file: Path, frame: pd.DataFrame, documents: Sequence[Mapping[str, Any]]) -> None:
    import json

    from lvm_probe.models.io.files import write_atomically
    from lvm_probe.probing.features.token_table import write_csv

    if file.suffix == ".csv":
        write_csv(file, frame)
        return
    rows = [{k: v for k, v in document.items() if k != "text"} for document in documents]
    text = as_latex(frame) if file.suffix == ".tex" else json.dumps({"results": rows}, indent=1)
    with write_atomically(file) as temporary:
        temporary.write_text(text)


def gaussian_limit(frames: float) -> Answer:
    """Table 5 of `papers/001` by equation 13; beside the printed values where the frames are the paper's."""
    from lvm_probe.models.likelihood.baselines import PAPER_SAMPLES, TABLE_5, largest_gaussian_likelihood, table_5

    if frames == PAPER_SAMPLES:
        rows = [vars(row) for row in table_5()]
    else:
        rows = [{"min_std": std, "nats": largest_gaussian_likelihood(std, frames)} for std in TABLE_5]
    lines = [f"largest log likelihood of {frames:,} frames under Gaussians of at least this standard deviation"]
    lines += ["min std       nats" + ("      paper" if "paper_nats" in rows[0] else "")]
    for row in rows:
        paper = f"{row['paper_nats']:>11,}" if "paper_nats" in row else ""
        lines.append(f"{row['min_std']:<7g}{row['nats']:>11,.0f}{paper}  {row.get('note', '')}".rstrip())
    return Answer({"frames": frames, "results": rows}, "\n".join(lines))
