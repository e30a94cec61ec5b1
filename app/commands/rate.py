"""`probe rate`: what the layers spend their bits on, and how long they remember."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lvm_probe.app.output import Answer, bar, open_corpus, pick_device, read_recordings, rows_as_json

if TYPE_CHECKING:
    import pandas as pd

    from lvm_probe.probing.diagnostics.kl_rate import Rates

FILES = ("rate-by-class.csv", "rate-around-boundaries.csv", "timescales.csv")
RANGES_MS = ((-100, -60), (-60, -20), (-20, 20), (20, 60), (60, 100))
"""Ranges of offsets from a boundary that the printed table averages over."""

MOST_LABELS = 12
"""Labels printed of a corpus whose labels have no manner of articulation; the file has all."""


def options(sub: argparse.ArgumentParser) -> None:
    """The command's own options."""
    sub.add_argument("--ckpt", required=True, help="checkpoint file, run folder or shipped name")
    sub.add_argument("--corpus", required=True, metavar="PATH", help="folder of a corpus with aligned phones")
    sub.add_argument("--split", default=None, help="only this split of the corpus")
    sub.add_argument("--speaker", action="append", metavar="ID", help="only these speakers (default: all)")
    sub.add_argument("--samples", type=int, default=8, help="sampled paths that the KL is averaged over")
    sub.add_argument("--out", default=None, metavar="DIR", help=f"folder for {', '.join(FILES)} (default: none)")


def run(args: argparse.Namespace) -> Answer:
    """Measure the corpus, write the tables where asked, and say what they show."""
    import time

    from lvm_probe import InputError
    from lvm_probe.models.checkpoints import checkpoint
    from lvm_probe.probing.diagnostics import kl_rate
    from lvm_probe.probing.features.path_blocks import check_latents
    from lvm_probe.probing.features.token_table import check_writable, write_csv

    out = Path(args.out) if args.out else None
    if out is not None:
        check_writable(out)
    if args.samples < 1:
        raise InputError(f"--samples {args.samples}: at least one path is needed")
    loaded = checkpoint.load(args.ckpt)
    check_latents(loaded.model, str(args.ckpt))
    model = loaded.model.to(pick_device(args.device)).eval()
    corpus = open_corpus(args, model.config.sample_rate)
    if args.split or args.speaker:
        corpus = corpus.select(split=args.split, speakers=args.speaker)
    if not any(utterance.phonemes for utterance in corpus.utterances):
        raise InputError(f"{corpus.root}: no phonemes in this corpus's alignments; give it TextGrids or .phn files")
    read = read_recordings(corpus, model.config.sample_rate, args)
    began = time.monotonic()
    with bar(read.corpus.seconds, "rate") as done:
        rates = kl_rate.measure(model, read.recordings, samples=args.samples, seed=args.seed, progress=done)
    wall = time.monotonic() - began
    wrote: list[Path] = []
    if out is not None:
        wrote = [out / name for name in FILES]
        for path, frame in zip(wrote, (rates.by_class, rates.around, rates.timescales), strict=True):
            write_csv(path, frame)
    document = {
        "checkpoint": str(loaded.path),
        "layers": rows_as_json(rates.layers),
        "by_class": rows_as_json(rates.by_class),
        "contrasts": rows_as_json(rates.contrasts),
        "around_boundaries": rows_as_json(rates.around),
        "timescales": rows_as_json(rates.timescales),
        "samples": args.samples,
        "seed": args.seed,
        "utterances": rates.utterances,
        "speakers": len(read.corpus.speakers),
        "audio_seconds": rates.seconds,
        "wall_seconds": wall,
        "interval": f"{rates.unit}s",
        "left_out": list(read.left_out),
        "wrote": [str(path) for path in wrote],
    }
    paths = f"mean over {args.samples} sampled paths" if args.samples > 1 else "along one sampled path"
    heading = (
        f"KL(q||p) of {args.ckpt} in bits per second of audio: {_plural(rates.utterances, 'utterance')}, "
        f"{_plural(len(read.corpus.speakers), 'speaker')}, {rates.seconds:.0f} s; {paths}, in {wall:.0f} s"
    )
    return Answer(document, "\n".join([heading, "", as_text(rates), *(f"wrote {path}" for path in wrote)]))


def as_text(rates: Rates) -> str:
    """The tables in short, and what they say; intervals are shown where there are enough groups for them."""
    from lvm_probe.probing.questions.report import MIN_SPEAKERS_FOR_TEST

    shown = rates.groups >= MIN_SPEAKERS_FOR_TEST
    return "\n".join(
        [
            *_columns(_class_rows(rates, shown), left=1),
            "",
            "around the start of a phone, by offset in ms:",
            *_columns(_boundary_rows(rates), left=2),
            "",
            "how long the latents remember, in ms:",
            *_columns(_timescale_rows(rates.timescales, shown), left=1),
            "",
            *_sentences(rates, few=not shown),
        ]
    )


def _class_rows(rates: Rates, shown: bool) -> list[list[str]]:
    manners = (rates.by_class["by"] == "manner").any()
    frame = rates.by_class[rates.by_class["by"].isin(["all", "manner"] if manners else ["all", "phone"])]
    layers = list(rates.layers["layer"])
    first = frame[frame["layer"] == layers[0]]
    order = {"all": 0, "speech": 1, "unlabelled": 3}
    labels = sorted(first["label"], key=lambda label: order.get(label, 2))
    if not manners:
        longest = first[first["by"] == "phone"].nlargest(MOST_LABELS, "seconds")["label"]
        labels = [label for label in labels if label in order or label in set(longest)]
    header = ["class", "segments", "time %"]
    for layer in layers:
        header += [f"{layer} bits/s", *(["95 %"] if shown else []), "bits %"]
    rows = [header]
    at = frame.set_index(["layer", "label"])
    for label in labels:
        row = at.loc[(layers[0], label)]
        cells = [str(label), f"{row['segments']:,}" if row["segments"] else "", f"{100 * row['share_of_time']:.1f}"]
        for layer in layers:
            row = at.loc[(layer, label)]
            interval = [_span(row["ci_low"], row["ci_high"], row["bits_per_second"])] if shown else []
            cells += [_number(row["bits_per_second"]), *interval, _form(100 * row["share_of_bits"], ".1f")]
        rows.append(cells)
    return rows


def _boundary_rows(rates: Rates) -> list[list[str]]:
    """Mean rates over ranges of offsets, each bin with equal weight."""
    rows = [["layer", "right of it", "phones", *(f"{a:+d} to {b:+d}" for a, b in RANGES_MS)]]
    for (layer, right), some in rates.around.groupby(["layer", "right"], sort=False):
        cells = [str(layer), str(right), f"{some['boundaries'].max():,}"]
        for a, b in RANGES_MS:
            inside = some[(some["offset_ms"] >= a) & (some["offset_ms"] < b)]
            cells.append(_number(inside["bits_per_second"].mean()) if len(inside) else "")
        rows.append(cells)
    return rows


def _timescale_rows(frame: pd.DataFrame, shown: bool) -> list[list[str]]:
    rows = [["", "step", "integrated", "95 %", "falls to 1/e", "median dimension", "median duration"]]
    for row in frame.to_dict("records"):
        known = {key: value for key, value in row.items() if value == value}
        rows.append(
            [
                row["series"],
                _form(known.get("step_ms"), ".1f"),
                _form(known.get("integrated_ms"), ".1f"),
                f"{row['ci_low']:.1f}-{row['ci_high']:.1f}" if "ci_low" in known and shown else "",
                _form(known.get("decay_ms"), ".1f"),
                _form(known.get("dimension_median_ms"), ".1f"),
                _form(known.get("duration_median_ms"), ".0f"),
            ]
        )
    used = [i for i in range(len(rows[0])) if i < 1 or any(row[i] for row in rows[1:])]
    return [[row[i] for i in used] for row in rows]


def _sentences(rates: Rates, few: bool) -> list[str]:
    several = f"{rates.groups} {rates.unit}s"
    said = []
    for row in rates.layers.to_dict("records"):
        noise = f", Monte Carlo standard error {_number(row['standard_error'])}" if rates.samples > 1 else ""
        said.append(
            f"{row['layer']}: {_number(row['bits_per_second'])} bits per second in all{noise}; {row['active']} of "
            f"{row['dimensions']} dimensions are active."
        )
        ratios = rates.contrasts[rates.contrasts["layer"] == row["layer"]]
        said += [_contrast(contrast, several, few) for contrast in ratios.to_dict("records")]
    said.append(_remembered(rates))
    if few:
        said.append(f"Of {_plural(rates.groups, rates.unit)}: too few to speak for others.")
    else:
        alone = "; one speaker, who says nothing of others" if rates.unit == "utterance" else ""
        said.append(f"Intervals: bootstrap over {several}{alone}.")
    said.append(
        "Windows around neighbouring boundaries overlap, and no rate is finer in time than its layer's step. "
        "Integrated: Sokal's self-consistent sum of autocorrelations; each utterance's own mean is taken off before."
    )
    return said


def _remembered(rates: Rates) -> str:
    times = {row["series"]: row for row in rates.timescales.to_dict("records")}
    falls = []
    for name in [*rates.layers["layer"], "mel"]:
        decay, step = times[name]["decay_ms"], times[name]["step_ms"]
        if decay <= step:
            falls.append(f"{name} within one step ({step:g} ms)")
        else:
            falls.append(f"{name} after {decay:.0f} ms" if decay == decay else f"{name} at no lag looked at")
    lasting = [
        f"the median {kind} lasts {times[kind]['duration_median_ms']:.0f} ms"
        for kind in ("phone", "word")
        if kind in times
    ]
    return f"Autocorrelations fall to 1/e: {', '.join(falls)}; {', '.join(lasting)}."


def _contrast(row: dict[str, Any], several: str, few: bool) -> str:
    layer, ratio = row["layer"], row["ratio"]
    place = {"boundary": "within 20 ms of a phone's start", "away": "60 to 100 ms away from one",
             "silence": "in silence", "speech": "in speech"}  # fmt: skip
    label, against = (place.get(name, f"on {name}s") for name in (row["label"], row["against"]))
    form = ".3f" if abs(ratio - 1) < 0.1 else ".2f"
    claim = f"{layer} spends {ratio:{form}} times as many bits per second {label} as {against}"
    if few or row["ci_low"] != row["ci_low"]:
        return f"{claim}."
    interval = f"95 % interval over {several} {row['ci_low']:{form}} to {row['ci_high']:{form}}"
    if row["ci_low"] <= 1 <= row["ci_high"]:
        return f"{layer}: its rates {label} and {against} are not told apart (ratio {ratio:{form}}, {interval})."
    return f"{claim} ({interval})."


def _columns(rows: Sequence[Sequence[str]], left: int) -> list[str]:
    """Cells in columns, the first `left` of them flush left."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return [
        "  ".join(
            cell.ljust(w) if i < left else cell.rjust(w) for i, (cell, w) in enumerate(zip(row, widths, strict=True))
        ).rstrip()
        for row in rows
    ]


def _plural(count: int, noun: str) -> str:
    return f"{count:,} {noun}{'' if count == 1 else 's'}"


def _number(value: float) -> str:
    """Three or more figures of a rate, whatever its size."""
    if value != value:
        return ""
    return f"{value:,.0f}" if abs(value) >= 100 else f"{value:.3g}"


def _span(low: float, high: float, value: float) -> str:
    if low != low:
        return ""
    return f"{low:,.0f}-{high:,.0f}" if abs(value) >= 100 else f"{low:.3g}-{high:.3g}"


def _form(value: float | None, form: str) -> str:
    return "" if value is None or value != value else format(value, form)
