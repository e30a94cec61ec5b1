"""`probe rate`: how many bits each layer spends where, and how long its latents stay correlated."""

from __future__ import annotations

import argparse
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lvm_probe import InputError
from lvm_probe.app.options import CKPT, add_corpus, add_device, add_part, open_corpus, read_recordings
from lvm_probe.app.output import Output, check_outside_tables, in_columns, plural, rows_as_json
from lvm_probe.models.device import pick_device
from lvm_probe.models.io.files import check_writable, write_csv
from lvm_probe.probing.progress import bar

if TYPE_CHECKING:
    import pandas as pd

    from lvm_probe.probing.diagnostics.kl_rate import Rates

SUMMARY = "KL rate per layer and phone class; autocorrelation times"
EXAMPLES = ("probe rate --ckpt cwvae-small --corpus TIMIT --samples 4 --out rates",)

FILES = ("rate-by-class.csv", "rate-around-boundaries.csv", "timescales.csv")
RANGES_MS = ((-100, -60), (-60, -20), (-20, 20), (20, 60), (60, 100))
"""Ranges of offsets from a boundary that the printed table averages over."""

MAX_LABELS = 12
"""Printed labels of a corpus whose labels have no manner of articulation; the file has all of them."""


def options(parser: argparse.ArgumentParser) -> None:
    model = parser.add_argument_group("model")
    model.add_argument("--ckpt", required=True, help=CKPT)
    model.add_argument(
        "--samples", type=int, default=8, metavar="N", help="Monte Carlo draws of the latents to average the KL over"
    )
    add_device(model)
    add_part(add_corpus(parser, help="folder of a corpus with aligned phones"))
    output = parser.add_argument_group("output")
    output.add_argument("--out", metavar="DIR", help=f"folder for {', '.join(FILES)} (default: write no files)")


def run(args: argparse.Namespace) -> Output:
    """Measure the rates and print them in short; `--out` keeps the full tables."""
    from lvm_probe.analysis.statistics import MIN_GROUPS
    from lvm_probe.models.checkpoints import checkpoint
    from lvm_probe.probing.diagnostics import kl_rate
    from lvm_probe.probing.features.posterior_sampler import require_latents

    if args.out:
        check_writable(Path(args.out))
        check_outside_tables(Path(args.out))
    if args.samples < 1:
        raise InputError(f"--samples {args.samples}: give 1 or more")
    loaded = checkpoint.load(args.ckpt)
    require_latents(loaded.model, str(args.ckpt))
    model = loaded.model.to(pick_device(args.device)).eval()
    corpus = open_corpus(args, model.config.sample_rate).select(split=args.split, speakers=args.speaker)
    if not any(utterance.phonemes for utterance in corpus.utterances):
        raise InputError(f"{corpus.root}: no phonemes in this corpus's alignments; give it TextGrids or .phn files")
    reading = read_recordings(corpus, model.config.sample_rate, args)
    began = time.monotonic()
    with bar(reading.corpus.seconds, "rate") as advance:
        rates = kl_rate.measure(model, reading.recordings, draws=args.samples, seed=args.seed, progress=advance)
    seconds = time.monotonic() - began
    wrote = [Path(args.out) / name for name in FILES] if args.out else []
    for path, frame in zip(wrote, (rates.by_class, rates.around, rates.timescales), strict=False):
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
        "speakers": len(reading.corpus.speakers),
        "audio_seconds": rates.seconds,
        "wall_seconds": seconds,
        "interval": f"{rates.unit}s",
        "left_out": list(reading.left_out),
        "wrote": [str(path) for path in wrote],
    }
    heading = (
        f"KL(q||p) of {args.ckpt} in bits per second of audio: {plural(rates.utterances, 'utterance')}, "
        f"{plural(len(reading.corpus.speakers), 'speaker')}, {rates.seconds:.0f} s; mean over "
        f"{plural(args.samples, 'Monte Carlo draw')}; took {seconds:.0f} s"
    )
    text = as_text(rates, intervals=rates.groups >= MIN_GROUPS)
    return Output(document, "\n".join([heading, "", text, *(f"wrote {path}" for path in wrote)]))


def as_text(rates: Rates, intervals: bool) -> str:
    """The tables in short and a summary; intervals only where there are enough groups for them."""
    lines = [
        *in_columns(_class_rows(rates, intervals), left=1),
        "",
        "around the start of a phone, by offset in ms:",
        *in_columns(_boundary_rows(rates), left=2),
        "",
        "autocorrelation times, in ms:",
        *in_columns(_timescale_rows(rates.timescales, intervals), left=1),
        "",
        *_sentences(rates, intervals),
    ]
    return "\n".join(lines)


def _class_rows(rates: Rates, intervals: bool) -> list[list[str]]:
    manners = (rates.by_class["by"] == "manner").any()
    frame = rates.by_class[rates.by_class["by"].isin(["all", "manner"] if manners else ["all", "phone"])]
    layers = list(rates.layers["layer"])
    first = frame[frame["layer"] == layers[0]]
    order = {"all": 0, "speech": 1, "unlabelled": 3}
    labels = sorted(first["label"], key=lambda label: order.get(label, 2))
    if not manners:
        longest = first[first["by"] == "phone"].nlargest(MAX_LABELS, "seconds")["label"]
        labels = [label for label in labels if label in order or label in set(longest)]
    header = ["class", "segments", "time %"]
    for layer in layers:
        header += [f"{layer} bits/s", *(["95 %"] if intervals else []), "bits %"]
    rows = [header]
    at = frame.set_index(["layer", "label"])
    for label in labels:
        row = at.loc[(layers[0], label)]
        cells = [str(label), f"{row['segments']:,}" if row["segments"] else "", f"{100 * row['share_of_time']:.1f}"]
        for layer in layers:
            row = at.loc[(layer, label)]
            interval = [_span(row["ci_low"], row["ci_high"], row["bits_per_second"])] if intervals else []
            cells += [_number(row["bits_per_second"]), *interval, _form(100 * row["share_of_bits"], ".1f")]
        rows.append(cells)
    return rows


def _boundary_rows(rates: Rates) -> list[list[str]]:
    """Mean rates over ranges of offsets, each bin with equal weight."""
    rows = [["layer", "phone class", "boundaries", *(f"{a:+d} to {b:+d}" for a, b in RANGES_MS)]]
    for (layer, right), some in rates.around.groupby(["layer", "right"], sort=False):
        cells = [str(layer), str(right), f"{some['boundaries'].max():,}"]
        for a, b in RANGES_MS:
            inside = some[(some["offset_ms"] >= a) & (some["offset_ms"] < b)]
            cells.append(_number(inside["bits_per_second"].mean()) if len(inside) else "")
        rows.append(cells)
    return rows


def _timescale_rows(frame: pd.DataFrame, intervals: bool) -> list[list[str]]:
    rows = [["series", "step", "integrated", "95 %", "falls to 1/e", "median dimension", "median duration"]]
    for row in frame.to_dict("records"):
        known = {key: value for key, value in row.items() if value == value}
        rows.append(
            [
                row["series"],
                _form(known.get("step_ms"), ".1f"),
                _form(known.get("integrated_ms"), ".1f"),
                f"{row['ci_low']:.1f}-{row['ci_high']:.1f}" if "ci_low" in known and intervals else "",
                _form(known.get("decay_ms"), ".1f"),
                _form(known.get("dimension_median_ms"), ".1f"),
                _form(known.get("duration_median_ms"), ".0f"),
            ]
        )
    used = [i for i in range(len(rows[0])) if i < 1 or any(row[i] for row in rows[1:])]
    return [[row[i] for i in used] for row in rows]


def _sentences(rates: Rates, intervals: bool) -> list[str]:
    sentences = []
    for row in rates.layers.to_dict("records"):
        error = f" (Monte Carlo standard error {_number(row['standard_error'])})" if rates.draws > 1 else ""
        sentences.append(
            f"{row['layer']}: {_number(row['bits_per_second'])} bits per second overall{error}; {row['active']} of "
            f"{row['dimensions']} dimensions are active."
        )
        contrasts = rates.contrasts[rates.contrasts["layer"] == row["layer"]].to_dict("records")
        sentences += [_contrast(contrast, plural(rates.groups, rates.unit), intervals) for contrast in contrasts]
    sentences.append(_decay(rates))
    if intervals:
        single = "; one speaker, so nothing follows for others" if rates.unit == "utterance" else ""
        sentences.append(f"Intervals: over {plural(rates.groups, rates.unit)}{single}.")
    else:
        sentences.append(f"{plural(rates.groups, rates.unit)}: too few to generalise, so there are no intervals.")
    sentences.append(
        "Windows around neighbouring boundaries overlap, and a rate is no finer in time than its layer's step. "
        "Integrated: Sokal's self-consistent sum of autocorrelations, after subtracting each utterance's mean."
    )
    return sentences


def _decay(rates: Rates) -> str:
    times = {row["series"]: row for row in rates.timescales.to_dict("records")}
    decays = []
    for name in [*rates.layers["layer"], "mel"]:
        decay, step = times[name]["decay_ms"], times[name]["step_ms"]
        if decay <= step:
            decays.append(f"{name} within one step ({step:g} ms)")
        else:
            decays.append(f"{name} after {decay:.0f} ms" if decay == decay else f"{name} at no lag that was examined")
    durations = [
        f"the median {kind} lasts {times[kind]['duration_median_ms']:.0f} ms"
        for kind in ("phone", "word")
        if kind in times
    ]
    return f"Autocorrelations fall to 1/e: {', '.join(decays)}; {', '.join(durations)}."


def _contrast(row: dict[str, Any], groups: str, intervals: bool) -> str:
    layer, ratio = row["layer"], row["ratio"]
    place = {"boundary": "within 20 ms of a phone's start", "away": "60 to 100 ms away from one",
             "silence": "in silence", "speech": "in speech"}  # fmt: skip
    label, against = (place.get(name, f"on {name}s") for name in (row["label"], row["against"]))
    form = ".3f" if abs(ratio - 1) < 0.1 else ".2f"
    claim = f"{layer} spends {ratio:{form}} times as many bits per second {label} as {against}"
    if not intervals or row["ci_low"] != row["ci_low"]:
        return f"{claim}."
    interval = f"95 % interval over {groups} {row['ci_low']:{form}} to {row['ci_high']:{form}}"
    if row["ci_low"] <= 1 <= row["ci_high"]:
        return f"{layer}: no clear difference between rates {label} and {against} (ratio {ratio:{form}}, {interval})."
    return f"{claim} ({interval})."


def _number(value: float) -> str:
    """A rate with at least three significant digits."""
    if value != value:
        return ""
    return f"{value:,.0f}" if abs(value) >= 100 else f"{value:.3g}"


def _span(low: float, high: float, value: float) -> str:
    if low != low:
        return ""
    return f"{low:,.0f}-{high:,.0f}" if abs(value) >= 100 else f"{low:.3g}-{high:.3g}"


def _form(value: float | None, form: str) -> str:
    return "" if value is None or value != value else format(value, form)
