"""The calls behind `lvm_probe.extract`, `ask` and others: plain arguments, checked, to what does the work."""

from __future__ import annotations

import warnings
from collections.abc import Collection, Iterable, Sequence
from dataclasses import fields
from fractions import Fraction
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from lvm_probe import InputError
from lvm_probe.probing.progress import bar

if TYPE_CHECKING:
    from lvm_probe.analysis.frame_abx import Mode
    from lvm_probe.models.checkpoints.checkpoint import Checkpoint
    from lvm_probe.probing.alignment.align_corpus import Alignment, Audio
    from lvm_probe.probing.corpora.corpus import Corpus
    from lvm_probe.probing.features.encoders import Encoder
    from lvm_probe.probing.features.extraction_settings import Estimator
    from lvm_probe.probing.features.latents import Model
    from lvm_probe.probing.features.token_table import TokenTable
    from lvm_probe.probing.questions.boundaries import AroundBoundaries
    from lvm_probe.probing.questions.compare import Comparison
    from lvm_probe.probing.questions.question import Method, Protocol, Target
    from lvm_probe.probing.questions.results import Answer
    from lvm_probe.probing.questions.similarity import Measure, Similarities
    from lvm_probe.probing.questions.zerospeech import Context, Unit, ZeroSpeech


def extract(
    corpus: Corpus,
    model: Model | Encoder | Any,
    out: str | Path,
    *,
    samples: int | None = None,
    estimator: Estimator | None = None,
    seed: int = 0,
    units: str | Sequence[str] | None = None,
    also: str | Sequence[str] = (),
    context_ms: float | None = None,
    frame_ms: float | None = None,
    speakers: str | Sequence[str] | None = None,
    add: bool = False,
    untrained: bool = False,
    mel_bins: int = 80,
    mel_window: int = 256,
    mel_fft: int | None = None,
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
        units: one or several of "phoneme", "word", "utterance", "frame" (default: "phoneme", or with `add` those of the
            table).
        also: further features: "mfcc", "stats" (of raw frames), "measures" (pitch, formants, ...), "states" (of a model
            with latents), "halves" (means over the halves of a token).
        context_ms: milliseconds of audio before and after each token of which every feature F gets two more columns,
            `F_before` and `F_after` (default: none).
        frame_ms: length of the unit "frame", in milliseconds (default: 10, or with `add` that of the table).
        speakers: ids of the speakers to extract (default: all).
        add: add these units, features and context to the table in `out`, which was made with the same other arguments;
            only what is missing is computed.
        untrained: the same model with random weights, as a baseline.
        mel_bins: bands of the Mel baseline.
        mel_window: samples of its windows.
        mel_fft: size of its Fourier transform (default: the smallest that leaves no band empty).
        memory_gb: memory limit for the draws of an utterance, in gigabytes, in each worker.
        workers: number of processes that extract side by side, each on one thread; the table is the same for every
            number. By default one per core, as far as memory allows; one on a GPU, and one for a model of your own,
            which may have threads or a GPU that do not survive a fork.
        strict: stop at the first recording that cannot be read. Otherwise it is left out, with a warning.
        progress: show progress on standard error (default: a bar in a terminal, elsewhere a line every 15 seconds).

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
    from lvm_probe.models.io.files import check_writable
    from lvm_probe.models.io.lock import locked
    from lvm_probe.models.io.provenance import package_versions
    from lvm_probe.probing.corpora.corpus import Corpus
    from lvm_probe.probing.features import addition, extraction, token_table
    from lvm_probe.probing.features.encoders import as_encoder
    from lvm_probe.probing.features.extraction_settings import Mel, Settings
    from lvm_probe.probing.features.latents import Model

    if not isinstance(corpus, Corpus):
        raise InputError(f"corpus: a {type(corpus).__name__}; give what lvm_probe.open_corpus returns")
    if isinstance(model, (str, Path)):
        raise InputError(f"model: '{model}' is a name; load it first, with lvm_probe.load_model")
    folder = Path(out)
    corpus = corpus if speakers is None else corpus.select(speakers=_names(speakers))
    settings = Settings.of(
        samples=samples,
        estimator=estimator or "posterior-mean",
        seed=seed,
        units=addition.units_wanted(None if units is None else _names(units), folder, add=add),
        also=_names(also),
        context_ms=None if context_ms is None else float(context_ms),
        frame_ms=addition.frame_step(None if frame_ms is None else float(frame_ms), folder, add=add),
        untrained=untrained,
        mel=Mel(mel_bins, mel_window, mel_fft),
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
    check_writable(folder)
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
            add=add,
        )
    for reason in result.left_out:
        warnings.warn(f"left out: {reason}", stacklevel=2)
    return token_table.load(folder)


def ask(
    table: TokenTable,
    target: Target = "phoneme",
    method: Method = "knn",
    protocol: Protocol | None = None,
    *,
    features: str | Sequence[str] = (),
    untrained: Literal["auto"] | str | Path | TokenTable | None = "auto",
    test: str | Path | TokenTable | None = None,
    progress: bool | None = None,
    **options: Any,
) -> Answer:
    """Ask what a table's features encode.

    Args:
        table: as `lvm_probe.extract` or `lvm_probe.load_table` returns it.
        target: "phoneme", its classes "manner", "place", "voicing", "vowel-height" and "vowel-backness", "word",
            "speaker", "gender", "dialect", "height" (in classes); or a number: "height-cm", "age", and of tokens "f0",
            "voiced", "intensity", "f1", "f2", "f3", "tilt", "centroid" and "duration".
        method: "knn" (nearest neighbours among linear discriminants), "lda", "logistic", "mdl" (online code length),
            "ridge" (for numbers) or "abx".
        protocol: what is held out: "utterance", "speaker", "nested" (one token), or "paper" (nothing: it leaks); of
            ABX "within" or "across" speakers. By default the strictest that the target allows.
        features: columns of the table; "z1+z2" joins two (default: the layers, alone and together, and Mel).
        untrained: the table of the same model with random weights, or its folder. "auto" takes the folder named like
            the table's with `-untrained`, if it is there; None compares with none.
        test: a table of other speakers, or of another corpus, or its folder: the probe is fitted to `table` and asked
            of this one (protocol "transfer").
        progress: show progress on standard error (default: a bar in a terminal, elsewhere a line every 15 seconds).
        options: further fields of `Question`, such as `ks`, `speakers`, `phones`, `permutations`, `seed`.

    Returns:
        The answer. `print` shows it as the command does; `frame` is a data frame with a row per feature, speaker and k.

    Raises:
        InputError: if a name is unknown, the parts of the question do not fit together, or there are too few tokens.

    Example:
        >>> import tempfile
        >>> import lvm_probe
        >>> from lvm_probe.probing.corpora.demo import CORPUS
        >>> def encode(wave):
        ...     return abs(wave[: len(wave) // 160 * 160].reshape(-1, 160)), None, 160
        >>> corpus = lvm_probe.open_corpus(CORPUS).select(speakers=["FADA9"])
        >>> folder = tempfile.TemporaryDirectory()
        >>> table = lvm_probe.extract(corpus, encode, f"{folder.name}/mine")
        >>> answer = lvm_probe.ask(table, target="manner", method="lda", features=["layer1", "mel"], permutations=1)
        >>> answer.frame[["feature", "protocol", "speaker", "n"]]
          feature   protocol speaker    n
        0  layer1  utterance   FADA9  300
        1     mel  utterance   FADA9  300
    """
    from lvm_probe.probing.features import token_table
    from lvm_probe.probing.features.token_table import TokenTable
    from lvm_probe.probing.questions import ask as asking
    from lvm_probe.probing.questions.question import Question
    from lvm_probe.probing.questions.untrained import untrained_table

    _check_table(table)
    _check_options("ask", options, (*(field.name for field in fields(Question)), "untrained", "progress"))
    if test is not None:
        protocol = protocol or "transfer"
    question = Question(target=target, method=method, protocol=protocol, features=features, **options)
    notice = partial(warnings.warn, stacklevel=3)
    tables: dict[str, Any] = {"untrained": untrained_table(table, untrained, notice)}
    if test is not None:
        tables["test"] = test if isinstance(test, TokenTable) else token_table.load(test)
        tables["untrained_test"] = untrained_table(tables["test"], untrained and "auto", notice)
    with bar(1, f"{target}, {question.protocol}", unit="", shown=progress) as advance:
        return asking.ask(table, question, **tables, progress=lambda done, of: advance(1 / of))


def compare(
    table: TokenTable,
    target: Target | Sequence[Target] = (),
    features: str | Sequence[str] = (),
    *,
    methods: Method | Sequence[Method] = (),
    protocols: Protocol | Sequence[Protocol] = (),
    k: int | None = None,
    lda_dims: int | None = None,
    seed: int | None = None,
    plan: str | Path | None = None,
    untrained: Literal["auto"] | str | Path | TokenTable | None = "auto",
    progress: bool | None = None,
    **rows: Any,
) -> Comparison:
    """Ask whether features are better than Mel, than MFCC and than an untrained model, by every method and protocol.

    Args:
        table: as `lvm_probe.extract` or `lvm_probe.load_table` returns it.
        target: one or several of those of `ask` (default: "phoneme").
        features: as for `ask`; Mel and MFCC are asked too where the table has them.
        methods: "knn", "lda", "abx", "logistic", "ridge" (default: those of the target that are quick).
        protocols: those of `ask` (default: within one speaker and across speakers, where the target allows both).
        k: number of neighbours (default: 5).
        lda_dims: discriminants for nearest neighbours (default: 5, or as many as there are).
        seed: of everything random (default: 0).
        plan: file that says what is asked. A new one is written before anything is computed; an existing one is asked,
            and what the other arguments add to it is marked as outside the plan.
        untrained: as for `ask`.
        progress: as for `ask`.
        rows: which rows, by the fields of `Question`: `phones`, `speakers`, `gender`, `keep_sa`, ...

    Returns:
        The comparison. `print` shows it as the command does; `frame` is a data frame with a row for each difference.

    Raises:
        InputError: if a name is unknown, the parts do not fit together, there are too few tokens, or the plan was
            written for another table.

    Example:
        >>> import tempfile
        >>> import lvm_probe
        >>> from lvm_probe.probing.corpora.demo import CORPUS
        >>> def encode(wave):
        ...     return abs(wave[: len(wave) // 160 * 160].reshape(-1, 160)), None, 160
        >>> corpus = lvm_probe.open_corpus(CORPUS).select(speakers=["FADA9", "MGUS9"])
        >>> folder = tempfile.TemporaryDirectory()
        >>> table = lvm_probe.extract(corpus, encode, f"{folder.name}/mine")
        >>> comparison = lvm_probe.compare(table, "manner", methods=["lda", "abx"])
        >>> comparison.frame[["feature", "compared_with", "method", "protocol"]].head(3)
          feature compared_with method   protocol
        0  layer1           Mel    lda  utterance
        1     mel                  lda  utterance
        2  layer1           Mel    abx     within
    """
    from lvm_probe.probing.questions import compare as comparing
    from lvm_probe.probing.questions.plan import check_fits, make_plan, read_plan
    from lvm_probe.probing.questions.question import ROWS
    from lvm_probe.probing.questions.untrained import untrained_table

    _check_table(table)
    _check_options("compare", rows, ROWS)
    file = None if plan is None else Path(plan)
    written = read_plan(file) if file is not None and file.exists() else None
    baseline = untrained_table(table, untrained, partial(warnings.warn, stacklevel=3))
    if file is not None and written is not None:
        check_fits(written, file, table, untrained=baseline is not None)
    asked = make_plan(
        table,
        _names(target),  # type: ignore[arg-type]  # checked there
        features=_names(features),
        methods=_names(methods),  # type: ignore[arg-type]
        protocols=_names(protocols),  # type: ignore[arg-type]
        k=k,
        lda_dims=lda_dims,
        seed=seed,
        rows=rows,
        untrained=baseline is not None,
        beyond=written,
    )
    with bar(1, f"{table.name}, compare", unit="", shown=progress) as advance:
        return comparing.compare(
            table,
            asked,
            untrained=baseline,
            file=file,
            progress=lambda done, of: advance(1 / of),
        )


def boundaries(
    table: TokenTable,
    target: Target = "phoneme",
    method: Method = "lda",
    protocol: Protocol = "speaker",
    *,
    features: str | Sequence[str] = (),
    reach_ms: float = 60.0,
    permutations: int = 1,
    progress: bool | None = None,
    **options: Any,
) -> AroundBoundaries:
    """Ask what single frames tell of a phone before, at and after its onset and offset.

    Args:
        table: with rows of phonemes and of frames: `lvm_probe.extract(..., units=["phoneme", "frame"])`.
        target: "phoneme", or one of its classes, such as "manner".
        method: "lda" or "logistic".
        protocol: whole speakers held out, or "utterance", within one speaker.
        features: as for `ask`.
        reach_ms: how far from the boundaries, in milliseconds.
        permutations: of the labels, for the null.
        progress: as for `ask`.
        options: further fields of `Question`, such as `phones` or `speakers`.

    Returns:
        The accuracies. `print` shows them by time; `frame` is a data frame with a row for each time and feature.

    Raises:
        InputError: if the table has no frames, or the parts of the question do not fit together.

    Example:
        >>> import tempfile
        >>> import lvm_probe
        >>> from lvm_probe.probing.corpora.demo import CORPUS
        >>> def encode(wave):
        ...     return abs(wave[: len(wave) // 160 * 160].reshape(-1, 160)), None, 160
        >>> corpus = lvm_probe.open_corpus(CORPUS).select(speakers=["FADA9", "MGUS9"])
        >>> folder = tempfile.TemporaryDirectory()
        >>> table = lvm_probe.extract(corpus, encode, f"{folder.name}/mine", units=["phoneme", "frame"])
        >>> found = lvm_probe.boundaries(table, "voicing", features="mel", reach_ms=10)
        >>> found.frame.loc[found.frame["speaker"] == "", ["feature", "edge", "offset_ms"]].reset_index(drop=True)
          feature    edge  offset_ms
        0     mel   onset       -5.0
        1     mel   onset        5.0
        2     mel  offset       -5.0
        3     mel  offset        5.0
    """
    from lvm_probe.probing.questions.boundaries import around_boundaries
    from lvm_probe.probing.questions.question import Question

    _check_table(table)
    _check_options("boundaries", options, [field.name for field in fields(Question)])
    question = Question(target, method, protocol, features=features, permutations=permutations, **options)
    with bar(1, f"{target}, boundaries", unit="", shown=progress) as advance:
        return around_boundaries(table, question, reach_ms=reach_ms, progress=lambda done, of: advance(1 / of))


def similarity(
    tables: TokenTable | Sequence[TokenTable],
    features: str | Sequence[str] = (),
    *,
    measures: Measure | Sequence[Measure] = ("cka", "pwcca", "rsa"),
    permutations: int = 20,
    tokens: int = 400,
    seed: int = 0,
    progress: bool | None = None,
    **rows: Any,
) -> Similarities:
    """Compare layers, features, checkpoints and seeds over the same tokens.

    Args:
        tables: one, or several of the same tokens.
        features: columns of the tables; "z1+z2" joins two (default: each layer, Mel and MFCC).
        measures: "cka" (unbiased), "pwcca" (held-out speakers), "rsa" (across speakers), and "shape", a distance, for
            latents with variances.
        permutations: of the tokens, for the null of independent inputs.
        tokens: drawn for "rsa".
        seed: of everything random.
        progress: as for `ask`.
        rows: which rows, by the fields of `Question`: `phones`, `speakers`, `keep_silence`, or `rows="frame"`.

    Returns:
        The similarities. `print` shows them; `frame` is a data frame with a row for each measure and pair.

    Raises:
        InputError: if a name is unknown, there is only one feature, or the tables hold different tokens.

    Example:
        >>> import tempfile
        >>> import lvm_probe
        >>> from lvm_probe.probing.corpora.demo import CORPUS
        >>> corpus = lvm_probe.open_corpus(CORPUS).select(speakers=["FADA9", "MGUS9"])
        >>> folder = tempfile.TemporaryDirectory()
        >>> model = lvm_probe.load_model("cwvae-small", device="cpu")
        >>> table = lvm_probe.extract(corpus, model, f"{folder.name}/t", samples=1)
        >>> found = lvm_probe.similarity(table, measures="cka", permutations=0)
        >>> found.frame[["first", "second"]]
          first second
        0    z1     z2
        1    z1    mel
        2    z2    mel
    """
    from lvm_probe.probing.features.token_table import TokenTable
    from lvm_probe.probing.questions.question import ROWS
    from lvm_probe.probing.questions.similarity import similarities

    several = [tables] if isinstance(tables, TokenTable) else list(tables)
    for table in several:
        _check_table(table)
    _check_options("similarity", rows, ROWS)
    with bar(1, "similarity", unit="", shown=progress) as advance:
        return similarities(
            several,
            _names(features),
            measures=_names(measures),  # type: ignore[arg-type]  # checked there
            rows=rows,
            permutations=permutations,
            tokens=tokens,
            seed=seed,
            progress=lambda done, of: advance(1 / of),
        )


def zerospeech(
    frames: str | Path,
    *,
    layers: str | Sequence[str] = (),
    frequency: str | float | Fraction | None = None,
    unit: Unit = "phoneme",
    item: str | Path | None = None,
    speakers: Mode | Sequence[Mode] = ("within", "across"),
    context: Context | Sequence[Context] = "within",
    max_tokens: int | None = None,
    seed: int = 0,
    progress: bool | None = None,
) -> ZeroSpeech:
    """The ABX error rate of sequences of frames, as ZeroSpeech and fastabx compute it.

    Args:
        frames: what `probe export --frames` writes, or a folder with a folder of arrays `FILE.npy` (frames, dims) for
            each layer.
        layers: names of its folders (default: all).
        frequency: frames per second, such as 50 or "16000/512" (default: what the export says).
        unit: "phoneme" or "triphone": whose item file in `frames` lists the tokens.
        item: another item file.
        speakers: X is of the speaker of A and B ("within"), or of another ("across").
        context: A, B and X have the same neighbours ("within"), or "any".
        max_tokens: at most so many tokens of a phone, speaker and context, drawn at random (default: all).
        seed: of the draw.
        progress: as for `ask`.

    Returns:
        The error rates. `print` shows them; `frame` is a data frame with a row for each layer and task.

    Raises:
        InputError: if a name is unknown, a file is missing or malformed, or a task has no triple.

    Example:
        >>> import tempfile
        >>> from pathlib import Path
        >>> import numpy as np
        >>> import lvm_probe
        >>> folder = tempfile.TemporaryDirectory()
        >>> (Path(folder.name) / "mine").mkdir()
        >>> np.save(f"{folder.name}/mine/one.npy", np.repeat(np.eye(2, dtype=np.float32)[[0, 1, 0, 1]], 10, axis=0))
        >>> rows = [f"one {i / 10} {(i + 1) / 10} {'ab'[i % 2]} s s anna" for i in range(4)]
        >>> head = "#file onset offset #phone prev-phone next-phone speaker"
        >>> item = Path(folder.name) / "mine.item"
        >>> _ = item.write_text("\\n".join([head, *rows]))
        >>> lvm_probe.zerospeech(folder.name, frequency=100, item=item, speakers="within").frame["error"].tolist()
        [0.0]
    """
    from lvm_probe.probing.questions.zerospeech import scores

    try:
        exact = None if frequency is None else Fraction(frequency)
    except (ValueError, ZeroDivisionError, OverflowError):
        exact = Fraction(0)
    if exact is not None and exact <= 0:
        raise InputError(f"frequency: {frequency!r}; give frames per second, such as 50 or '16000/512'")
    with bar(1, "zerospeech", unit="", shown=progress) as advance:
        return scores(
            Path(frames),
            layers=_names(layers),
            frequency=exact,
            unit=unit,
            item=None if item is None else Path(item),
            speakers=_names(speakers),  # type: ignore[arg-type]  # checked there
            context=_names(context),  # type: ignore[arg-type]
            max_tokens=max_tokens,
            seed=seed,
            progress=lambda done, of: advance(1 / of),
        )


def align(
    corpus: Corpus,
    out: str | Path,
    *,
    pronunciations: str | Path | None = None,
    unknown: Literal["spell", "skip"] = "spell",
    acoustic_model: str | Path | None = None,
    dictionary: str | Path | None = None,
    again: bool = False,
    audio: Audio = "link",
    workers: int | None = None,
    progress: bool | None = None,
) -> Alignment:
    """Find the phones and words of recordings with transcripts, by forced alignment with PocketSphinx.

    The folder becomes a corpus of TextGrids. An interrupted alignment is continued by the same call.

    Args:
        corpus: as `lvm_probe.open_corpus` returns it.
        out: folder of the aligned corpus.
        pronunciations: dictionary of further words, in rows `word PH ON ES`.
        unknown: pronounce words that no dictionary has by rule ("spell"), or leave their utterances out ("skip").
        acoustic_model: a CMU Sphinx model of another language, with its `dictionary`.
        dictionary: the pronunciation dictionary of `acoustic_model`.
        again: align utterances that have phones too, and compare.
        audio: link the recordings, copy them ("copy"), or write TextGrids alone ("none").
        workers: number of processes (default: one per core).
        progress: as for `ask`.

    Returns:
        What was done. `print` shows it; `lvm_probe.open_corpus(out)` opens the corpus.

    Raises:
        InputError: if PocketSphinx is missing, there is nothing to align, or the folder holds something else.

    Example:
        >>> import tempfile
        >>> import lvm_probe
        >>> from lvm_probe.probing.corpora.demo import CORPUS
        >>> corpus = lvm_probe.open_corpus(CORPUS).select(speakers=["FADA9"])
        >>> folder = tempfile.TemporaryDirectory()
        >>> found = lvm_probe.align(corpus, f"{folder.name}/aligned", again=True, workers=1)
        >>> len(found.utterances), found.phones.median_ms < 20
        (10, True)
    """
    from lvm_probe.models.io.lock import locked
    from lvm_probe.probing.alignment.align_corpus import align_corpus

    folder = Path(out)
    with locked(folder), bar(corpus.seconds, "align", shown=progress) as advance:
        return align_corpus(
            corpus,
            folder,
            model=None if acoustic_model is None else Path(acoustic_model),
            dictionary=None if dictionary is None else Path(dictionary),
            pronunciations=None if pronunciations is None else Path(pronunciations),
            unknown=unknown,
            again=again,
            audio=audio,
            workers=workers,
            progress=advance,
        )


def _check_table(table: TokenTable) -> None:
    from lvm_probe.probing.features.token_table import TokenTable

    if not isinstance(table, TokenTable):
        raise InputError(f"table: a {type(table).__name__}; give what lvm_probe.load_table returns")


def _check_options(call: str, given: Iterable[str], known: Collection[str]) -> None:
    for name in given:
        if name not in known:
            raise InputError(f"{call} has no option '{name}'; it has {', '.join(known)}")


def _names(names: str | Sequence[str]) -> tuple[str, ...]:
    """One name or several."""
    return (names,) if isinstance(names, str) else tuple(names)
