"""`probe figures`: what the paper shows, drawn from one's own tables and checkpoints, on one page."""

from __future__ import annotations

import argparse
import shlex
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lvm_probe.app.commands import probes
from lvm_probe.app.output import Answer, alone, open_corpus, package_versions, pick_device, say_changed
from lvm_probe.probing.questions.untrained import SUFFIX

if TYPE_CHECKING:
    from lvm_probe.figures.figure_cache import Piece
    from lvm_probe.figures.html_report import LeftOutPiece, Page
    from lvm_probe.figures.inputs import Material, Progress
    from lvm_probe.models.checkpoints.checkpoint import Checkpoint
    from lvm_probe.probing.features.token_table import TokenTable


def options(sub: argparse.ArgumentParser) -> None:
    sub.add_argument(
        "--latents",
        action="append",
        metavar="TABLE",
        help="token table that the figures are of; further ones are compared with it (default: the newest under "
        "latents/)",
    )
    sub.add_argument(
        "--untrained",
        default=None,
        metavar="TABLE",
        help=f"the untrained model's table (default: the table named like the first with {SUFFIX} if it is "
        "there; `none` for none)",
    )
    sub.add_argument(
        "--ckpt",
        action="append",
        help="checkpoint file, run folder or shipped name, first the one that the table was made with; all of them go "
        "into the tables of likelihoods (default: the shipped one that the table was made with, if it was)",
    )
    sub.add_argument("--corpus", default=None, metavar="PATH", help="folder of the corpus: for likelihoods and KL")
    sub.add_argument(
        "--speaker", default=None, metavar="ID", help="for figures of one speaker (default: who has most phonemes)"
    )
    sub.add_argument(
        "--fit",
        choices=("held-out", "paper"),
        default="held-out",
        help="fit the axes of LDA to other tokens than are shown, or to the same as the paper does",
    )
    sub.add_argument(
        "--only", action="append", metavar="NAME", help="only this figure or table; may be given several times"
    )
    sub.add_argument("--permutations", type=int, default=None, help="label permutations for the nulls (default: 10; "
                     "100 for one row a speaker)")  # fmt: skip
    sub.add_argument("--again", action="store_true", help="draw also what is there already and would come out the same")
    sub.add_argument("--out", required=True, metavar="DIR", help="folder for figures, tables and report.html")


@alone
def run(args: argparse.Namespace) -> Answer:
    """Draw what the material allows, note what it does not, and put it all on one page."""
    from lvm_probe import InputError
    from lvm_probe.figures import html_report, registry
    from lvm_probe.figures.figure_cache import Answers, Folder, key
    from lvm_probe.probing.features import token_table

    if (args.permutations or 0) < 0:
        raise InputError(f"--permutations {args.permutations}: give 0 (no null) or more")
    wanted = registry.chosen(args.only or ())
    out = Path(args.out)
    token_table.check_writable(out)
    if any((path / token_table.EXTRACTION).exists() for path in (out, out.parent)):
        raise InputError(f"{out}: inside a token table, where all files are its parts; choose another --out")
    material, notices = _material(args)
    inputs = _inputs(material)
    keys = _keys(material, inputs)
    folder, answers = Folder(out), Answers(out, key(inputs))
    if args.again:
        answers.clear()
    material = replace(material, asked=answers)
    wrote: list[Path] = []
    kept: list[Path] = []
    left_out: list[html_report.LeftOutPiece] = []
    for name in wanted:
        piece = None if args.again else folder.current(name, keys[name])
        if piece is not None:
            kept += [out / file for file in piece.files]
            continue
        made = _made(name, material, out)
        if isinstance(made, html_report.LeftOutPiece):
            left_out.append(made)
            folder.drop(name)
        else:
            folder.keep(made, keys[name])
            wrote += [out / file for file in made.files]
    pieces = [piece for name in registry.names() if (piece := folder.current(name, keys[name])) is not None]
    answers.clear()
    if material.corpus is not None:
        notices += say_changed(material.corpus)
    path = html_report.write(_page(args, material, pieces, left_out, notices), out)
    wrote.append(path)
    document = {
        "wrote": [str(path) for path in wrote],
        "kept": [str(path) for path in kept],
        "left_out": [{"figure": one.name, "reason": one.reason} for one in left_out],
        "notices": notices,
        "report": str(path),
    }
    shown = {piece.name for piece in pieces} & set(wanted)
    lines = [f"{', '.join(name for name in wanted if name in shown) or 'nothing'}: in {out}/"]
    lines += (
        [f"{len(kept)} files were there already and are as they would be; --again draws them again"] if kept else []
    )
    lines += [f"left out {one.name}: {one.reason}" for one in left_out]
    return Answer(document, "\n".join([*lines, f"wrote {path}"]))


def _material(args: argparse.Namespace) -> tuple[Material, list[str]]:
    """What the user gave, opened; and what there is to notice about it."""
    from lvm_probe import InputError
    from lvm_probe.figures.inputs import Material
    from lvm_probe.probing.features import token_table

    named = args.latents or [str(token_table.newest())]
    _, [first], [untrained] = probes.opened(named[:1], args.untrained)
    others: list[TokenTable] = []
    if named[1:]:
        _, others, _ = probes.opened(named[1:], "none")
    others = [other for other in others if other.path.resolve() != first.path.resolve()]
    if args.speaker and args.speaker not in set(first.tokens["speaker"]):
        known = ", ".join(sorted(set(first.tokens["speaker"])))
        raise InputError(f"{first.path}: no speaker {args.speaker}; it has {known}")
    checkpoints = _checkpoints(args.ckpt, first)
    notices = []
    sha256 = first.extraction.get("checkpoint", {}).get("sha256")
    own = next((loaded for loaded in checkpoints.values() if loaded.sha256 == sha256), None)
    if checkpoints and own is None:
        name, own = next(iter(checkpoints.items()))
        notices.append(
            f"{name} is not the checkpoint that {first.name} was made with: what is drawn from the model itself shows "
            "another model than what is drawn from the table"
        )
    corpus = None
    if args.corpus:
        rate = own.model.config.sample_rate if own else 16_000
        corpus = open_corpus(args, rate)
        made_from = first.extraction.get("corpus", {}).get("fingerprint")
        if made_from and made_from != corpus.fingerprint():
            notices.append(
                f"{corpus.name} ({len(corpus.utterances)} utterances) is not just the corpus that {first.name} was "
                "made from: likelihoods and KL are of other recordings than the probes"
            )
    for notice in notices:
        print(f"notice: {notice}", file=sys.stderr)
    device = pick_device(args.device)
    for loaded in checkpoints.values():
        loaded.model.to(device)
    material = Material(
        first,
        untrained=untrained,
        others=tuple(others),
        checkpoint=own,
        checkpoints=checkpoints,
        corpus=corpus,
        speaker=args.speaker,
        fit=args.fit,
        permutations=args.permutations,
        seed=args.seed,
    )
    return material, notices


def _checkpoints(given: Sequence[str] | None, first: TokenTable) -> dict[str, Checkpoint]:
    """The checkpoints by short names: those given, or the shipped one that the table was made with, or none."""
    from lvm_probe.models.checkpoints import checkpoint
    from lvm_probe.models.checkpoints.shipped_checkpoints import BEST, shipped

    if not given:
        sha256 = first.extraction.get("checkpoint", {}).get("sha256")
        given = [name for name, _, path in shipped() if _sha256(path) == sha256]
    loaded = [checkpoint.load(name) for name in dict.fromkeys(given)]
    named: dict[str, Checkpoint] = {}
    for found in loaded:
        folder = found.path.name == BEST
        name = found.path.absolute().parent.name if folder else found.path.stem
        while name in named and named[name].sha256 != found.sha256:
            name += "'"
        named[name] = found
    return named


def _sha256(path: Path) -> str:
    import hashlib

    return hashlib.sha256(path.read_bytes()).hexdigest()


def _inputs(material: Material) -> dict[str, Any]:
    """What every figure and table is made from: tables, options, versions."""
    import matplotlib

    from lvm_probe.figures.figure_cache import table_digest

    tables = (material.table, material.untrained, *material.others)
    return {
        "tables": [None if one is None else [one.name, table_digest(one)] for one in tables],
        "options": [material.speaker, material.fit, material.permutations, material.seed],
        "versions": {**package_versions(), "matplotlib": matplotlib.__version__},
    }


def _keys(material: Material, inputs: dict[str, Any]) -> dict[str, str]:
    """For every figure and table the digest of what it is made from."""
    from lvm_probe.figures import registry
    from lvm_probe.figures.figure_cache import key

    model = {
        "checkpoint": material.checkpoint and material.checkpoint.sha256,
        "checkpoints": {name: loaded.sha256 for name, loaded in material.checkpoints.items()},
        "corpus": material.corpus and material.corpus.fingerprint(),
    }
    return {name: key([name, inputs, model if name in registry.NEED_MODEL else None]) for name in registry.names()}


def _made(name: str, material: Material, out: Path) -> Piece | LeftOutPiece:
    """The figure or table, written; or why it is left out. Errors that are not the data's are not swallowed."""
    from lvm_probe import InputError
    from lvm_probe.figures import registry, style
    from lvm_probe.figures.figure_cache import Piece
    from lvm_probe.figures.html_report import LeftOutPiece
    from lvm_probe.probing.features.token_table import write_csv

    with _progress(name) as progress:
        given = replace(material, progress=progress)
        if name not in registry.NEED_MODEL:
            given = replace(given, checkpoint=None, checkpoints={}, corpus=None)
        try:
            if name in registry.TABLES:
                table = registry.TABLES[name](given)
                table = replace(table, caption=_portable(table.caption, material))
            else:
                module = registry.figure(name)
                data = module.data(given)
                figure, caption = module.figure(data), module.caption(data, given)
        except InputError as error:
            return LeftOutPiece(name, str(error))
        if name in registry.TABLES:
            files = table.write(out / name)
            return Piece.of(name, table.title, table.caption, files, table)
        files = style.save(figure, out / module.NAME)
        files.append(style.beside(out / module.NAME, "csv"))
        write_csv(files[-1], data)
        return Piece.of(name, module.TITLE, _portable(caption, material), files)


@contextmanager
def _progress(name: str) -> Iterator[Progress]:
    """A bar for one figure or table, that says what is being computed for it."""
    from tqdm import tqdm

    form = "{desc}: {percentage:3.0f}%|{bar}| {elapsed}"
    with tqdm(total=1.0, desc=name, bar_format=form, dynamic_ncols=True, disable=None) as shown:

        def progress(what: str, share: float = 0.0, /) -> None:
            shown.set_description(f"{name} ({what})", refresh=False)
            shown.n = min(share, 1.0)
            shown.refresh()

        yield progress


def _page(
    args: argparse.Namespace,
    material: Material,
    pieces: Sequence[Piece],
    left_out: Sequence[LeftOutPiece],
    notices: Sequence[str],
) -> Page:
    """The report of these pieces. Paths become names, so that the page is the same wherever the files lie."""
    from lvm_probe.figures import registry
    from lvm_probe.figures.html_report import Page

    told = material.table.extraction
    model, corpus = (told.get(what, {}) for what in ("checkpoint", "corpus"))
    tokens = material.table.tokens
    counts = ", ".join(f"{n:,} {unit} rows" for unit, n in tokens["unit"].value_counts().sort_index().items())
    speakers = f"{tokens['speaker'].nunique()} speakers"
    of = f" of {corpus['name']}" if corpus.get("name") else ""
    untrained = ", untrained (random weights)" if told.get("untrained") else ""
    about = f"Features of {model.get('name', 'an unnamed model')}{untrained}: {counts}, {speakers}{of}."
    complete = {piece.name for piece in pieces} | {one.name for one in left_out}
    only = [] if complete == set(registry.names()) else [name for name in registry.names() if name in complete]
    return Page(
        title=f"What the features of {material.table.name} know",
        about=about,
        pieces=tuple(pieces),
        left_out=tuple(replace(one, reason=_portable(one.reason, material)) for one in left_out),
        notices=tuple(notices),
        command=_command(args, only),
        facts=_facts(material, counts, speakers),
        cards=tuple(_cards(material)),
    )


def _facts(material: Material, counts: str, speakers: str) -> tuple[tuple[str, tuple[tuple[str, str], ...]], ...]:
    """What the table was made from, what it was held beside, and what was asked of it."""
    import matplotlib

    told = material.table.extraction
    model, corpus, config = (told.get(what) or {} for what in ("checkpoint", "corpus", "model"))

    def known(*pairs: tuple[str, Any]) -> tuple[tuple[str, str], ...]:
        return tuple((what, str(value)) for what, value in pairs if value not in (None, "", {}, []))

    def listed(values: Mapping[str, Any]) -> str:
        return ", ".join(f"{name} {value}" for name, value in values.items())

    data = known(
        ("token table", material.table.name),
        ("rows", counts),
        ("speakers", speakers),
        ("corpus", corpus.get("name")),
        ("utterances", corpus.get("utterances")),
        ("corpus fingerprint", corpus.get("fingerprint")),
    )
    features = known(
        ("checkpoint", model.get("name")),
        ("its SHA-256", model.get("sha256")),
        ("trained on", model.get("trained_on")),
        ("family", config.get("family")),
        ("strides (samples)", ", ".join(map(str, config.get("strides", [])))),
        ("latents (dimensions)", ", ".join(map(str, config.get("latents", [])))),
        ("untrained", "yes: random weights" if told.get("untrained") else None),
        ("Monte Carlo samples", told.get("samples")),
        ("estimator", told.get("estimator")),
        ("seed", told.get("seed")),
        ("Mel", listed(told.get("mel") or {})),
        ("columns (dimensions)", listed({name: f"({size})" for name, size in told.get("features", {}).items()})),
        ("versions", listed(told.get("versions") or {})),
    )
    beside = known(
        ("untrained model's table", material.untrained.name if material.untrained else "none"),
        ("further tables", ", ".join(one.name for one in material.others)),
        *((f"checkpoint {name}", f"SHA-256 {loaded.sha256}") for name, loaded in material.checkpoints.items()),
        ("corpus for likelihoods", material.corpus and material.corpus.name),
        ("its fingerprint", material.corpus and material.corpus.fingerprint()),
    )
    asked = known(
        ("speaker shown", material.speaker or "the one with most phonemes"),
        ("axes of LDA fitted to", "other tokens" if material.fit == "held-out" else "the very tokens shown (paper)"),
        ("permutations", "by the question" if material.permutations is None else material.permutations),
        ("seed", material.seed),
        ("versions", listed({**package_versions(), "matplotlib": matplotlib.__version__})),
    )
    groups = (("Data", data), ("Features", features), ("Held beside", beside), ("Asked", asked))
    return tuple((heading, facts) for heading, facts in groups if facts)


def _cards(material: Material) -> Iterator[tuple[str, str]]:
    """The cards of the shipped checkpoints that are here: the table's own, then others."""
    from lvm_probe.models.checkpoints.shipped_checkpoints import shipped

    hashes = [material.table.extraction.get("checkpoint", {}).get("sha256")]
    hashes += [loaded.sha256 for loaded in material.checkpoints.values()]
    ours = {_sha256(path): path for _, _, path in shipped()}
    for path in dict.fromkeys(ours[found] for found in hashes if found in ours):
        if (card := path.with_suffix(".md")).is_file():
            yield path.stem, card.read_text(encoding="utf-8")


def _command(args: argparse.Namespace, only: Sequence[str]) -> str:
    """The command that makes the page, whatever was there already; absolute paths as names."""

    def name(path: str) -> str:
        return Path(path).name if Path(path).is_absolute() else path

    words = ["probe", "figures"]
    pairs: list[tuple[str, str | None]] = [("--latents", name(path)) for path in args.latents or []]
    pairs += [("--untrained", name(args.untrained) if args.untrained else None)]
    pairs += [("--ckpt", name(path)) for path in args.ckpt or []]
    pairs += [("--corpus", name(args.corpus) if args.corpus else None)]
    pairs += [("--layout", None if args.layout == "auto" else args.layout)]
    pairs += [("--phoneme-tier", args.phoneme_tier), ("--word-tier", args.word_tier), ("--speaker", args.speaker)]
    pairs += [("--fit", None if args.fit == "held-out" else args.fit), *(("--only", one) for one in only)]
    pairs += [("--permutations", None if args.permutations is None else str(args.permutations))]
    pairs += [("--seed", str(args.seed) if args.seed else None)]
    for option, value in pairs:
        words += [option, value] if value is not None else []
    words += [flag for flag, given in (("--strict", args.strict), ("--no-resample", args.no_resample)) if given]
    return f"{shlex.join(words)} --out DIR"


def _portable(text: str, material: Material) -> str:
    """The text with the names of tables, checkpoints and the corpus for their paths."""
    tables = [one for one in (material.table, material.untrained, *material.others) if one is not None]
    names = {str(one.path): one.path.name for one in tables}
    names |= {str(loaded.path): name for name, loaded in material.checkpoints.items()}
    if material.corpus is not None:
        names[str(material.corpus.root)] = material.corpus.root.name
    for path in sorted(names, key=len, reverse=True):
        text = text.replace(path, names[path] or path)
    return text
