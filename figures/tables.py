"""The tables beside the figures: the paper's 1, 3, 4 and 5 with its own values, and what the probes found.

Each is a function of the material that returns a `Table`, or raises `LeftOut`; the registry names them.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import product
from pathlib import Path
from textwrap import wrap
from typing import TYPE_CHECKING

import pandas as pd

from lvm_probe.figures import published_values, style
from lvm_probe.figures.inputs import LeftOut, Material
from lvm_probe.models.io.files import write_atomically
from lvm_probe.probing.features.token_table import write_csv
from lvm_probe.probing.questions.question import Protocol, Question, Target

if TYPE_CHECKING:
    from lvm_probe.models.checkpoints.checkpoint import Checkpoint
    from lvm_probe.models.likelihood.elbo import Evaluation
    from lvm_probe.probing.corpora.recordings import LoadedRecordings

PROBED_K = 5
"""The k of the table of probe results: fixed beforehand, so that no figure chooses it."""

ASKED: tuple[tuple[Target, Protocol], ...] = (("phoneme", "nested"), ("phoneme", "speaker"), ("gender", "speaker"))

_LINE = 110
"""Letters of a line of a caption."""

_TEX = {
    "\\": r"\textbackslash{}", "&": r"\&", "%": r"\%", "_": r"\_", "#": r"\#", "$": r"\$", "{": r"\{", "}": r"\}",
    "~": r"\textasciitilde{}", "^": r"\textasciicircum{}", "≤": r"$\leq$", "≥": r"$\geq$", "≈": r"$\approx$",
    "<": r"$<$", ">": r"$>$", "−": r"$-$", "–": "--",
}  # fmt: skip


@dataclass(frozen=True)
class Table:
    """A table to print and its numbers.

    Attributes:
        title: what it is called in the report.
        head: the names of the printed columns, of which the first `texts` are flush left, the others flush right.
        rows: the printed cells.
        caption: what was measured, on what, and what stands beside it.
        frame: the same rows as numbers, in full precision.
        texts: how many columns hold text.
    """

    title: str
    head: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    caption: str
    frame: pd.DataFrame
    texts: int = 1

    def as_text(self) -> str:
        """Title, columns and caption."""
        cells = [self.head, *self.rows]
        widths = [max(len(row[i]) for row in cells) for i in range(len(self.head))]
        lines = [
            "  ".join(
                cell.ljust(w) if i < self.texts else cell.rjust(w)
                for i, (cell, w) in enumerate(zip(row, widths, strict=True))
            ).rstrip()
            for row in cells
        ]
        return "\n".join([self.title, "", *lines, "", *wrap(self.caption, _LINE), ""])

    def as_latex(self) -> str:
        """A tabular with the rules of booktabs; the caption goes before it as a comment."""
        columns = "l" * self.texts + "r" * (len(self.head) - self.texts)
        return "\n".join([
            *wrap(f"{self.title}. {self.caption}", _LINE, initial_indent="% ", subsequent_indent="% "),
            rf"\begin{{tabular}}{{{columns}}}", r"\toprule", _tex_line(self.head), r"\midrule",
            *map(_tex_line, self.rows), r"\bottomrule", r"\end{tabular}", "",
        ])  # fmt: skip

    def write(self, path_stem: Path) -> list[Path]:
        """`path_stem`.txt, .csv and .tex, each whole or not at all; raises InputError where that cannot be."""
        written = []
        for kind, text in (("txt", self.as_text()), ("tex", self.as_latex())):
            written.append(style.beside(path_stem, kind))
            with write_atomically(written[-1]) as temporary:
                temporary.write_text(text, encoding="utf-8")
        numbers = style.beside(path_stem, "csv")
        write_csv(numbers, self.frame)
        return [written[0], numbers, written[1]]


def _tex_line(cells: Sequence[str]) -> str:
    return " & ".join("".join(_TEX.get(c, c) for c in cell) for cell in cells) + r" \\"


def _as_printed(bits: float) -> str:
    """Two decimals, or the three of FLAC's figures."""
    return f"{bits:.3f}".removesuffix("0")


def _number(value: float | None, form: str) -> str:
    """The number, or nothing where it is not known."""
    return "" if value is None or pd.isna(value) else format(value, form)


@dataclass(frozen=True)
class Evaluated:
    """One model's likelihood on the corpus; `checkpoint` is None for the baselines."""

    name: str
    checkpoint: Checkpoint | None
    result: Evaluation

    @property
    def family(self) -> str:
        return self.checkpoint.model.family if self.checkpoint else self.name

    @property
    def strides(self) -> tuple[int, ...]:
        """Samples a step, lowest layer first; nothing for a baseline."""
        if self.checkpoint is None:
            return ()
        return tuple(self.checkpoint.model.strides) or (self.checkpoint.model.stride,)

    @property
    def latents(self) -> tuple[int, ...]:
        return tuple(self.checkpoint.model.latents) if self.checkpoint else ()

    @property
    def bound(self) -> str:
        """The sign before an upper bound on the bits: a one-sample ELBO's."""
        return "≤ " if self.result.kl else ""

    @property
    def configuration(self) -> str:
        if self.latents:
            return f"L = {len(self.latents)}, Dz = {', '.join(map(str, self.latents))}"
        return {"uniform": "uninformed", "flac": "lossless", "dmol": "optimal"}.get(self.family, "")

    def printed(self, rows: Sequence[published_values.Printed]) -> list[published_values.Printed]:
        """The paper's models that this one is a relative of: family, stride and, of a CW-VAE, layers that fit."""
        if self.checkpoint is None or self.family == "dmol":
            return [row for row in rows if row.family == self.family]
        if self.family == "cwvae" and any(s != self.strides[0] * 8**i for i, s in enumerate(self.strides)):
            return []  # all of the paper's upper layers are 8 times slower than the one below
        layers = len(self.latents)
        return [r for r in rows if (r.family, r.stride, r.layers) == (self.family, self.strides[0], layers)]


def table_1(material: Material) -> Table:
    """Bits per frame of every model given, between the uniform distribution and FLAC."""
    found = _likelihoods(material)
    rows, numbers = [], []
    for one in found:
        theirs = next(iter(one.printed(published_values.TABLE_1)), None)
        stride = str(one.strides[0]) if one.strides else "-" if one.family == "flac" else "1"
        value = f"{one.bound}{one.result.bits_per_frame:.3f}"
        printed = one.bound + _as_printed(theirs.bits) if theirs else ""
        rows.append((one.name, stride, one.configuration, value, printed))
        numbers.append(
            {
                "model": one.name, "family": one.family, "stride": stride, "configuration": one.configuration,
                "bits_per_frame": one.result.bits_per_frame, "bound": bool(one.result.kl),
                "paper_bits_per_frame": theirs.bits if theirs else None,
            }
        )  # fmt: skip
    return Table(
        "Table 1: likelihoods in bits per frame",
        ("model", "s", "configuration", "bits per frame", "paper's table 1"),
        tuple(rows),
        f"{_of_corpus(material, found)} Bits per frame as the paper's equation 11: all bits over all frames, of 16-bit "
        "μ-law PCM in uniform bins; lower is better. ≤: one-sample ELBO, so an upper bound. FLAC's figure is the "
        "code length of the PCM itself and compares only with that column of table 3. Last column: what the paper "
        "prints for that family at that stride (s) and number of layers (L), for larger models trained on TIMIT and "
        "evaluated on its whole test set; it is no target for other models or other data.",
        pd.DataFrame(numbers),
        texts=3,
    )


def table_3(material: Material) -> Table:
    """The same models in detail: sizes, code length, what each layer costs, and the range of the paper's table 3."""
    found = _likelihoods(material)
    layers = [f"z{i + 1}" for i in range(max(len(one.latents) for one in found))]
    rows, numbers = [], []
    for one in found:
        result, theirs = one.result, [row.bits for row in one.printed(published_values.TABLE_3)]
        parameters = sum(p.numel() for p in one.checkpoint.model.parameters()) if one.checkpoint else 0
        kl, active = result.kl_bits_per_frame, result.active_units
        span = "" if not theirs else one.bound + "–".join(map(_as_printed, sorted({min(theirs), max(theirs)})))
        rows.append(
            (
                one.name, " ".join(map(str, one.strides)), f"{parameters:,}" if parameters else "",
                f"{one.bound}{result.bits_per_frame:.3f}", f"{one.bound}{result.pcm_bits_per_frame:.3f}",
                f"{result.nats_per_utterance:,.0f}", *(_number(kl.get(z), ".4f") for z in layers),
                " ".join(map(str, active.values())), span,
            )
        )  # fmt: skip
        number = {
            "model": one.name, "family": one.family, "strides": " ".join(map(str, one.strides)),
            "latents": " ".join(map(str, one.latents)), "parameters": parameters,
            "bits_per_frame": result.bits_per_frame, "pcm_bits_per_frame": result.pcm_bits_per_frame,
            "nats_per_utterance": result.nats_per_utterance, "bound": bool(result.kl),
        }  # fmt: skip
        number |= {f"kl_{z}": kl.get(z) for z in layers} | {f"active_{z}": active.get(z) for z in layers}
        number |= {"frames": result.samples, "utterances": result.utterances}
        number |= {"paper_lowest": min(theirs, default=None), "paper_highest": max(theirs, default=None)}
        numbers.append(number)
    frame = pd.DataFrame(numbers).astype({f"active_{z}": "Int64" for z in layers})
    return Table(
        "Table 3: the same models in detail",
        ("model", "strides", "parameters", "bits per frame", "PCM code length", "nats an utterance",
         *(f"KL {z}" for z in layers), "active", "paper's table 3"),
        tuple(rows),
        f"{_of_corpus(material, found)} PCM code length: bits per frame of the 16-bit recording itself, the only "
        "column to hold beside FLAC's. KL of each layer in bits per frame; active: latent dimensions that leave their "
        "prior by 0.01 nats a step, layer by layer. Last column: lowest and highest figure that the paper's table 3 "
        "prints for that family, stride and number of layers, whatever the size; its models are larger, trained on "
        "TIMIT, and its figures average over utterances rather than over all frames.",
        frame,
        texts=2,
    )  # fmt: skip


def table_4(material: Material) -> Table:
    """Nats of the models with a Gaussian output."""
    if not (densities := _checkpoints(material, density=True)):
        raise LeftOut(
            "no checkpoint with a Gaussian output was given; train one with `probe train FAMILY --likelihood gaussian "
            "--target linear`, and name it with --ckpt"
        )
    from lvm_probe.models.likelihood.baselines import largest_gaussian_likelihood

    found = [_evaluated(material, name, loaded) for name, loaded in densities.items()]
    rows, numbers = [], []
    for one, loaded in zip(found, densities.values(), strict=True):
        config = loaded.model.config
        output = config.output
        kind = "Normal" if output.components == 1 else "GMM"
        family = "stcn-dense" if getattr(config, "dense", False) else one.family
        frames = one.result.samples / one.result.utterances
        limit = largest_gaussian_likelihood(output.min_std, frames)
        theirs = [row for row in published_values.TABLE_4 if (row.family, row.output) == (family, kind)]
        sign = "≥ " if one.result.kl else ""
        rows.append(
            (
                one.name, " ".join(map(str, one.strides)), f"{kind}, {output.target}",
                "; ".join(f"{row.nats:,} ({row.source})" for row in theirs),
                f"{sign}{one.result.nats_per_utterance:,.0f}", f"{limit:,.0f}", f"{output.min_std:g}",
            )
        )  # fmt: skip
        numbers.append(
            {
                "model": one.name, "family": family, "strides": " ".join(map(str, one.strides)), "output": kind,
                "target": output.target, "nats_per_utterance": one.result.nats_per_utterance,
                "bound": bool(one.result.kl), "min_std": output.min_std, "limit_nats": limit,
                "frames": one.result.samples, "utterances": one.result.utterances,
                "paper_nats": " ".join(str(row.nats) for row in theirs),
            }
        )  # fmt: skip
    return Table(
        "Table 4: Gaussian likelihoods in nats",
        ("model", "strides", "output", "paper's table 4", "nats an utterance", "limit", "least std"),
        tuple(rows),
        f"{_of_corpus(material, found)} Nats an utterance of normalised audio; higher is better, and an utterance of "
        "another length has another figure. These are densities, no code lengths: they can rise without bound as "
        "standard deviations shrink; limit: what perfect prediction at the least standard deviation would reach "
        "(equation 13). ≥: one-sample ELBO. The paper's column is of TIMIT's test utterances, 49,367.3 frames on "
        "average.",
        pd.DataFrame(numbers),
        texts=4,
    )


def table_5(material: Material) -> Table:
    """The largest likelihood that Gaussians can reach, by the formula, beside what is printed."""
    from lvm_probe.models.likelihood import baselines

    found = baselines.table_5()
    notes = [row.note for row in found if row.note]
    return Table(
        "Table 5: largest Gaussian likelihoods attainable",
        ("least std", "nats an utterance", "paper's table 5"),
        tuple((f"{row.min_std:g}", f"{row.nats:,.0f}", f"{row.paper_nats:,}") for row in found),
        f"Log density in nats of an utterance of {baselines.PAPER_SAMPLES:,} frames (the mean of TIMIT's test set) "
        "that is predicted perfectly by Gaussians of the least standard deviation allowed (equation 13); "
        "no data enter. " + " ".join(f"{note[0].upper()}{note[1:]}." for note in notes),
        pd.DataFrame([{"min_std": row.min_std, "nats": row.nats, "paper_nats": row.paper_nats} for row in found]),
    )


def probes(material: Material) -> Table:
    """What the probes found at one k, with all that is needed to judge it."""
    parts: list[pd.DataFrame] = []
    reasons: list[str] = []
    notes: list[str] = []
    everyone = [material, *map(material.of, material.others)]
    for one, (target, protocol) in product(everyone, ASKED):
        question = Question(target=target, protocol=protocol, permutations=material.permutations, seed=material.seed)
        try:
            findings = one.findings(question)
        except LeftOut as error:
            reasons.append(f"{target} under {protocol}: {error}")
            continue
        notes += findings.notes
        rows = findings.frame
        pooled = rows["speaker"] == ""
        rows = rows[pooled] if pooled.any() else rows
        ks = sorted(set(rows["k"]))
        parts.append(rows[rows["k"] == (PROBED_K if PROBED_K in ks else ks[-1])])
    if not parts:
        raise LeftOut("; ".join(reasons))
    frame = pd.concat(parts, ignore_index=True)
    percent = [
        ("accuracy", "accuracy"), ("balanced", "balanced_accuracy"), ("null", "null_accuracy"), ("majority", "chance"),
        ("untrained", "untrained_accuracy"), ("paper reads", "paper_accuracy"),
    ]  # fmt: skip
    which = ("table",) if material.others else ()
    rows_shown = []
    for row in frame.to_dict("records"):
        cells: dict[str, str] = {name: _number(100 * row[column], ".1f") for name, column in percent}
        low, high = (_number(100 * row[end], ".1f") for end in ("ci_low", "ci_high"))
        rows_shown.append(
            (
                *(row[name] for name in which), row["target"], row["protocol"], row["feature"], str(row["k"]),
                f"{row['n']:,}", str(row["n_classes"]),
                cells["accuracy"], f"{low}–{high}" if low else "", *(cells[name] for name, _ in percent[1:]),
                _number(100 * row["minus_mel"], "+.1f"), _number(row["p_minus_mel"], ".4f"),
            )
        )  # fmt: skip
    head = (*which, "target", "protocol", "feature", "k", "n", "classes", "accuracy", "95 % interval",
            *(name for name, _ in percent[1:]), "minus Mel", "p")  # fmt: skip
    first = frame.iloc[0]
    over = ", ".join(sorted(set(frame["interval"]) - {"none"}))
    intervals = f"Intervals: bootstrap over {over}." if over else "One speaker, so no intervals."
    caption = (
        f"Nearest neighbours among at most {frame['lda_dims'].max()} linear discriminants, in per cent, of "
        f"{_named(material)}; {_counted(first['speakers'], 'speaker')}. nested: LDA fitted again without each token, "
        "one speaker at a time; speaker: whole speakers held out (gender: one row a speaker). Null: the same on "
        f"permuted labels (mean over {_span(frame['permutations'])} rounds); majority: the largest class's share; "
        "untrained: the same model with random weights; paper reads: what the protocol of the paper, whose LDA has "
        "seen the held-out point, says on the same rows. Minus Mel: points above Mel, with the p of a sign-flip test "
        f"over speakers. {intervals}"
    )
    caption += "".join(f" Left out, {reason}." for reason in reasons) + "".join(
        f" {note}." for note in dict.fromkeys(notes)
    )
    return Table("What the probes found", head, tuple(rows_shown), caption, frame, texts=3 + len(which))


def _counted(n: int, what: str) -> str:
    return f"{n} {what}{'' if n == 1 else 's'}"


def _span(numbers: pd.Series) -> str:
    low, high = numbers.min(), numbers.max()
    return f"{low}" if low == high else f"{low} to {high}"


def _named(material: Material) -> str:
    """The model and the corpus of the table, as far as it tells; of several tables their names."""
    if material.others:
        return f"{' and '.join(one.name for one in (material.table, *material.others))} (untrained: of the first)"
    told = material.table.extraction
    model, corpus = (told.get(key, {}).get("name") for key in ("checkpoint", "corpus"))
    samples = f", {told['samples']} Monte Carlo samples" if told.get("samples") else ""
    return f"{model or material.table.name}{f' on {corpus}' if corpus else ''}{samples}"


def _of_corpus(material: Material, found: Sequence[Evaluated]) -> str:
    result = found[0].result
    reading = _reading(material, _rate(material))
    left_out = f" ({len(reading.left_out)} more could not be read)" if reading.left_out else ""
    return (
        f"{result.samples:,} frames of {result.utterances} utterances{left_out} of {reading.corpus.name}, "
        f"{_counted(len(reading.corpus.speakers), 'speaker')}."
    )


def _checkpoints(material: Material, *, density: bool) -> dict[str, Checkpoint]:
    return {
        name: loaded
        for name, loaded in material.checkpoints.items()
        if loaded.model.config.output.is_density() is density
    }


def _rate(material: Material) -> int:
    rates = {loaded.model.config.sample_rate for loaded in material.checkpoints.values()} or {16_000}
    if len(rates) > 1:
        raise LeftOut(f"the checkpoints are made for different sample rates ({sorted(rates)}); name those of one rate")
    return rates.pop()


def _likelihoods(material: Material) -> list[Evaluated]:
    """Every model whose bits are bits, between the uniform distribution and FLAC, as the paper's table has it."""
    from lvm_probe.models.likelihood import baselines

    if not (models := _checkpoints(material, density=False)):
        raise LeftOut("no checkpoint whose likelihood is in bits was given; name one or several with --ckpt")
    rate = _rate(material)
    recordings = _reading(material, rate).recordings
    if "flac" not in material.memory:
        show = _shown(material, "FLAC", sum(r.samples for r in recordings))
        material.memory["flac"] = baselines.flac(recordings, rate, progress=show)
    found = [_evaluated(material, name, loaded) for name, loaded in models.items()]
    return [
        Evaluated("uniform", None, baselines.uniform(recordings)),
        *(one for one in found if one.family == "dmol"),
        Evaluated("flac", None, material.memory["flac"]),
        *(one for one in found if one.family != "dmol"),
    ]


def _evaluated(material: Material, name: str, loaded: Checkpoint) -> Evaluated:
    """One model on the recordings, from memory where that was done before."""
    from lvm_probe.models.likelihood import elbo

    key = ("likelihood", loaded.sha256)
    if key not in material.memory:
        recordings = _reading(material, _rate(material)).recordings
        show = _shown(material, f"likelihood of {name}", sum(r.samples for r in recordings))
        material.memory[key] = elbo.evaluate(loaded.model, recordings, seed=material.seed, progress=show)
    return Evaluated(name, loaded, material.memory[key])


def _reading(material: Material, rate: int) -> LoadedRecordings:
    """The recordings of the corpus that can be read, from memory where they were read before."""
    from lvm_probe.probing.corpora.recordings import load_recordings

    if material.corpus is None:
        raise LeftOut("likelihoods are those of recordings; name the corpus with --corpus")
    if ("recordings", rate) not in material.memory:
        material.progress("read the corpus")
        material.memory["recordings", rate] = load_recordings(material.corpus, rate)
    reading: LoadedRecordings = material.memory["recordings", rate]
    return reading


def _shown(material: Material, what: str, samples: int) -> Callable[[int], None]:
    """Tells the progress of something that counts samples."""
    done = 0

    def show(more: int) -> None:
        nonlocal done
        done += more
        material.progress(what, done / samples)

    material.progress(what)
    return show
