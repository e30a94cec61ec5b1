"""`probe export`: tokens, their sound and predictions, in files that travel and in the formats of other tools."""

from __future__ import annotations

import argparse
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, get_args

from lvm_probe import InputError
from lvm_probe.app.options import CKPT, PHONE_SET, PHONES, add_corpus, add_device, names, open_corpus
from lvm_probe.app.output import Output, check_outside_tables, plural
from lvm_probe.models.io.files import check_writable, write_atomically, write_csv
from lvm_probe.probing.corpora.phones import LabelSet, PhoneSet
from lvm_probe.probing.progress import bar
from lvm_probe.probing.questions.question import CLASS_TARGETS, PROTOCOLS, REPORTED_K, TOKEN_TARGETS

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd

    from lvm_probe.probing.corpora.corpus import Corpus
    from lvm_probe.probing.exports.token_audio import Clip
    from lvm_probe.probing.features.token_table import TokenTable

SUMMARY = "export a map with sound in one HTML file, and the formats of other tools"
EXAMPLES = (
    "probe export --latents latents/timit --corpus TIMIT --html map.html",
    "probe export --latents latents/timit --feature z1+z2 --segments segments.csv --projector projector",
)

MAX_NEIGHBOURS = 10
"""Nearest tokens that are listed for each."""

MAX_SOUND = 96 * 2**20
"""Bytes of sound in a page at most: browsers open larger files slowly, or not at all."""

MAX_SOUND_IN_PARQUET = 2**30

FORMATS = ("html", "atlas", "projector", "segments", "textgrids", "frames")
FILES, PREDICTED = ("html", "atlas", "segments"), ("segments", "textgrids")


def options(parser: argparse.ArgumentParser) -> None:
    formats = parser.add_argument_group("formats, one or several")
    formats.add_argument("--html", metavar="FILE", help="map with the sound of every token, which opens offline")
    formats.add_argument("--atlas", metavar="FILE", help="Parquet for Embedding Atlas; with sound if --corpus is given")
    formats.add_argument("--projector", metavar="DIR", help="vectors.tsv and metadata.tsv for TensorBoard's projector")
    formats.add_argument("--segments", metavar="FILE", help="CSV of segments with predictions and confidence")
    formats.add_argument("--textgrids", metavar="DIR", help="a TextGrid per utterance, with a tier of predictions")
    formats.add_argument(
        "--frames", metavar="DIR", help="every layer of --ckpt at every step, as .npy, with a ZeroSpeech item file"
    )
    what = parser.add_argument_group("what to export")
    what.add_argument("--latents", metavar="TABLE", help="token table (default: the newest under latents/)")
    what.add_argument("--feature", metavar="NAME", help="a column of the table, z1+z2 joins two (default: its layers)")
    what.add_argument(
        "--target",
        choices=CLASS_TARGETS,
        metavar="NAME",
        help=f"classes that are coloured or predicted: {', '.join(CLASS_TARGETS)} (default: manner for maps, phoneme "
        "for predictions)",
    )
    what.add_argument("--speaker", action="append", default=[], metavar="ID", help="only this speaker; repeatable")
    what.add_argument("--phones", choices=get_args(PhoneSet), help=PHONES)
    what.add_argument("--phone-set", choices=get_args(LabelSet), help=PHONE_SET)
    what.add_argument(
        "--max-tokens",
        type=int,
        default=2000,
        metavar="N",
        help="tokens of a map; of more, so many are drawn at random",
    )
    what.add_argument("--ckpt", help=f"{CKPT}, for --frames")
    what.add_argument("--samples", type=int, metavar="N", help="Monte Carlo draws for --frames (default: 12)")
    what.add_argument(
        "--acoustic", type=names, metavar="mel,mfcc", help="acoustic features every 10 ms beside the layers in --frames"
    )
    add_device(what)
    add_corpus(parser, required=False, help="folder of the corpus that the table was made from (default: no sound)")
    method = parser.add_argument_group("method")
    method.add_argument(
        "--map",
        choices=("LDA", "PCA", "UMAP"),
        default="PCA",
        help="how maps are laid out; LDA shows tokens of other utterances than its axes were fitted on",
    )
    method.add_argument(
        "--protocol",
        choices=[name for name in PROTOCOLS if name not in ("paper", "transfer")],
        metavar="NAME",
        help="how tokens are held out that are predicted (default: that of probe knn)",
    )
    method.add_argument("--k", type=int, default=REPORTED_K, metavar="K", help="neighbours that vote for a prediction")


def run(args: argparse.Namespace) -> Output:
    """Write the formats that were asked for; all are checked before the first is written."""
    from lvm_probe.probing.features import token_table

    wanted = {name: Path(value) for name in FORMATS if (value := getattr(args, name)) is not None}
    _check(args, wanted)
    corpus = open_corpus(args) if args.corpus else None
    wrote: list[Path] = []
    counts: dict[str, int] = {}
    notes: list[str] = []
    if of_tokens := {name: path for name, path in wanted.items() if name != "frames"}:
        job = _Export(args, token_table.load(args.latents or token_table.newest()), corpus)
        # What is written is made first, so that nothing is written if something cannot be made.
        writers = [getattr(job, f"make_{name}")(path) for name, path in of_tokens.items()]
        wrote += [path for write in writers for path in write()]
        counts, notes = job.counts, job.notes
    if "frames" in wanted and corpus is not None:
        wrote += _write_frames(args, wanted["frames"], corpus)
    document = {"wrote": [str(path) for path in wrote], "tokens": counts, "notes": notes}
    lines = [*(f"note: {note}" for note in notes), *(f"wrote {path}" for path in wanted.values())]
    return Output(document, "\n".join(lines))


def _write_frames(args: argparse.Namespace, folder: Path, corpus: Corpus) -> list[Path]:
    """Encode the recordings and write every layer."""
    from lvm_probe.probing.exports import frames
    from lvm_probe.probing.features.latents import load_model

    chosen = corpus.select(speakers=args.speaker) if args.speaker else corpus
    model = load_model(args.ckpt, device=args.device)
    with bar(chosen.seconds, "frames") as advance:
        return frames.write(
            folder, model, chosen, samples=args.samples, seed=args.seed, acoustic=args.acoustic or (), progress=advance
        )


def _check(args: argparse.Namespace, wanted: dict[str, Path]) -> None:
    """Refuse what does not fit together before anything is read."""
    if not wanted:
        *most, last = (f"--{name}" for name in FORMATS)
        raise InputError(f"nothing to export; give {', '.join(most)} or {last}")
    for name in ("html", "textgrids", "frames"):
        if name in wanted and not args.corpus:
            raise InputError(f"--{name}: needs the recordings; give --corpus, the one that the table was made from")
    predicted = [name for name in PREDICTED if name in wanted]
    if args.target and args.target not in TOKEN_TARGETS and predicted:
        raise InputError(
            f"--target {args.target}: --{predicted[0]} is of tokens; give one of {', '.join(TOKEN_TARGETS)}"
        )
    for option, formats in (
        ("ckpt", ("frames",)),
        ("samples", ("frames",)),
        ("acoustic", ("frames",)),
        ("protocol", PREDICTED),
    ):
        if getattr(args, option) is not None and not wanted.keys() & set(formats):
            raise InputError(f"--{option}: only for {' and '.join(f'--{name}' for name in formats)}; leave it out")
    if "frames" in wanted and not args.ckpt:
        raise InputError("--frames: needs the model; give --ckpt")
    if args.acoustic is not None and not (args.acoustic and set(args.acoustic) <= {"mel", "mfcc"}):
        raise InputError(f"--acoustic {','.join(args.acoustic)}: give mel, mfcc, or both")
    if args.samples is not None and args.samples < 1:
        raise InputError(f"--samples {args.samples}: give 1 or more")
    if args.max_tokens < 3:
        raise InputError(f"--max-tokens {args.max_tokens}: give 3 or more")
    if args.k < 1:
        raise InputError(f"--k {args.k}: give 1 or more")
    for name, path in wanted.items():
        folder = path.parent if name in FILES else path
        if name in FILES and path.is_dir():
            raise InputError(f"--{name} {path}: is a folder; give the name of a file")
        check_writable(folder)
        check_outside_tables(path, f"--{name} ")


@dataclass(frozen=True)
class _Places:
    """The tokens of a map: where they lie, their features, and their nearest neighbours."""

    frame: pd.DataFrame
    points: np.ndarray
    neighbours: np.ndarray
    distances: np.ndarray


class _Export:
    """What the formats are made from, each part computed when the first format needs it."""

    def __init__(self, args: argparse.Namespace, table: TokenTable, corpus: Corpus | None) -> None:
        from lvm_probe.probing.features.feature import Feature, default_features

        self.args, self.table, self.corpus = args, table, corpus
        self.notes: list[str] = []
        self.counts: dict[str, int] = {}
        if args.feature:
            self.feature = Feature.parse(args.feature)
        elif known := default_features(table):
            layers = [feature for feature in known if "+" in str(feature)] or list(known)
            self.feature = layers[-1]
        else:
            raise InputError(f"{table.path}: neither layers of a model nor Mel; name a column with --feature")
        if corpus is not None:
            named = set(table.columns["utterance"].tolist())
            own = replace(corpus, utterances=tuple(one for one in corpus.utterances if one.id in named))
            made_from = (table.extraction.get("corpus") or {}).get("fingerprint")
            if made_from and own.utterances and made_from not in (corpus.fingerprint(), own.fingerprint()):
                self.note(f"{corpus.name} has other utterances than {table.name} was made from")

    def note(self, text: str) -> None:
        self.notes.append(text)

    def make_html(self, path: Path) -> Any:
        from lvm_probe.figures import map_page

        places = self.places
        page = map_page.as_html(
            places.frame, self.clips(MAX_SOUND), places.neighbours, places.distances,
            title=f"{self.table.name}: {places.frame['feature'].iloc[0]} by {places.frame['layout'].iloc[0]}",
            about=self._about(),
        )  # fmt: skip

        def write() -> list[Path]:
            with write_atomically(path) as temporary:
                temporary.write_text(page, encoding="utf-8")
            return [path]

        return write

    def make_atlas(self, path: Path) -> Any:
        from lvm_probe.probing.exports import embedding_atlas

        places = self.places
        clips = self.clips(MAX_SOUND_IN_PARQUET) if self.corpus else None

        def write() -> list[Path]:
            embedding_atlas.write(path, places.frame, places.neighbours, places.distances, clips)
            return [path]

        return write

    def make_projector(self, path: Path) -> Any:
        from lvm_probe.probing.exports import projector

        columns = ["token", "class", "speaker", "gender", "utterance", "token_id"]
        metadata = self.places.frame[columns].rename(columns={"token": "label"})
        projector.check_size(self.places.points)
        return lambda: projector.write(path, self.places.points, metadata, str(self.feature))

    def make_segments(self, path: Path) -> Any:
        def write() -> list[Path]:
            write_csv(path, self.predictions)
            return [path]

        self.predictions  # noqa: B018  made before anything is written
        return write

    def make_textgrids(self, path: Path) -> Any:
        from lvm_probe.probing.exports import segments

        assert self.corpus is not None  # checked
        texts = segments.textgrids(self.predictions, self.corpus, f"predicted by {self.feature}")
        for name, text in texts.items():
            place = path / name
            if place.exists() and not (place.is_file() and place.read_bytes() == text.encode()):
                raise InputError(f"{place}: another TextGrid is here; give --textgrids another folder, or remove it")

        def write() -> list[Path]:
            for name, text in texts.items():
                with write_atomically(path / name) as temporary:
                    temporary.write_text(text, encoding="utf-8")
            return [path / name for name in texts]

        return write

    @cached_property
    def places(self) -> _Places:
        """The tokens of the map."""
        import numpy as np

        from lvm_probe.analysis.moments import standardised
        from lvm_probe.analysis.neighbours import neighbours_of_each
        from lvm_probe.figures import lda_scatter, token_map

        args = self.args
        fields = {"speakers": args.speaker, "phones": args.phones}
        fields |= {"phone_set": args.phone_set} if args.phone_set else {}
        rows = token_map.select(self.table, args.target or "manner", **fields)
        for note in rows.notes:
            self.note(note)
        layout = args.map
        # LDA shows half of the tokens, so twice as many are placed.
        most = args.max_tokens * (2 if layout == "LDA" else 1)
        frame = token_map.places(rows, self.feature, layout, max_tokens=most, seed=args.seed)
        drawn_from, whole = int(frame["drawn_from"].iloc[0]), len(frame)
        frame = lda_scatter.in_full_colour(frame)
        if drawn_from > whole:
            self.note(f"{len(frame):,} of {drawn_from:,} tokens are on the map, drawn at random (--max-tokens)")
        elif len(frame) < whole:
            self.note(f"{len(frame):,} of {whole:,} tokens are on the map; its axes were fitted on the others")
        self.counts["map"] = len(frame)
        row_of = {token: row for row, token in enumerate(self.table.columns["token_id"].tolist())}
        points = self.table.matrix(self.feature, [row_of[token] for token in frame["token_id"]])
        space = standardised(points)
        neighbours = neighbours_of_each(space, min(MAX_NEIGHBOURS, len(space) - 1))
        distances = np.stack([np.linalg.norm(space - space[column], axis=1) for column in neighbours.T], axis=1)
        return _Places(frame.reset_index(drop=True), points, neighbours, distances)

    @cached_property
    def predictions(self) -> pd.DataFrame:
        """What the probe takes every token for."""
        from lvm_probe.probing.exports import segments
        from lvm_probe.probing.questions.question import Question

        args = self.args
        question = Question(
            target=args.target or "phoneme", protocol=args.protocol, speakers=args.speaker, phones=args.phones,
            phone_set=args.phone_set, ks=(args.k,), seed=args.seed,
        )  # fmt: skip
        frame, notes = segments.predictions(self.table, self.feature, question)
        for note in notes:
            self.note(note)
        self.counts["predicted"] = len(frame)
        return frame

    def clips(self, max_bytes: int) -> list[Clip]:
        """The sound of the tokens of the map."""
        from lvm_probe.probing.exports import token_audio

        assert self.corpus is not None  # checked
        return token_audio.clips(self.corpus, self.places.frame, max_bytes=max_bytes)

    def _about(self) -> str:
        frame = self.places.frame
        model = (self.table.extraction.get("checkpoint") or {}).get("name")
        source = f" Features of {model}." if model else ""
        drawn_from = int(frame["drawn_from"].iloc[0])
        which = f" of {drawn_from:,}, chosen at random," if drawn_from > len(frame) else ""
        return f"{len(frame):,} tokens{which} of {plural(frame['speaker'].nunique(), 'speaker')}.{source}"
