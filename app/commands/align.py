"""`probe align`: recordings with transcripts become a corpus with phones and words."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from lvm_probe import InputError
from lvm_probe.app.options import add_corpus, add_part, open_corpus
from lvm_probe.app.output import Output, exclusive_output_folder, plural, print_left_out
from lvm_probe.probing.progress import bar

SUMMARY = "find the phones and words of transcribed recordings (forced alignment)"
EXAMPLES = ("probe align --corpus TIMIT --again --out aligned/timit",)


def options(parser: argparse.ArgumentParser) -> None:
    add_part(add_corpus(parser, help="folder of the corpus: recordings with transcripts"))
    method = parser.add_argument_group("alignment")
    method.add_argument(
        "--pronunciations",
        metavar="FILE",
        help="dictionary of further words, in rows `word PH ON ES`, which come before those of --dictionary",
    )
    method.add_argument(
        "--unknown",
        choices=("spell", "skip"),
        default="spell",
        help="words that no dictionary has: pronounce them by rules learned from it, or leave their utterances out; "
        "both are listed",
    )
    method.add_argument(
        "--acoustic-model", metavar="DIR", help="a CMU Sphinx model of another language (default: English)"
    )
    method.add_argument("--dictionary", metavar="FILE", help="the pronunciation dictionary of --acoustic-model")
    method.add_argument(
        "--again",
        action="store_true",
        help="align utterances that have phones too, and print how far the boundaries lie from those",
    )
    method.add_argument("--workers", type=int, metavar="N", help="processes side by side (default: one per core)")
    output = parser.add_argument_group("output")
    output.add_argument(
        "--out", required=True, metavar="DIR", help="new folder of the aligned corpus; an interrupted run continues"
    )
    output.add_argument(
        "--audio",
        choices=("link", "copy", "none"),
        default="link",
        help="link the recordings beside their TextGrids, copy them as 16-bit WAV, or write TextGrids alone, as for a "
        "folder inside of LibriSpeech",
    )


@exclusive_output_folder
def run(args: argparse.Namespace) -> Output:
    """Align what is not aligned, and say how well."""
    import time

    import numpy as np

    from lvm_probe.probing.alignment.align_corpus import align_corpus
    from lvm_probe.probing.alignment.pocketsphinx_aligner import SAMPLE_RATE

    if args.workers is not None and args.workers < 1:
        raise InputError(f"--workers {args.workers}: give a whole number from 1")
    if bool(args.acoustic_model) != bool(args.dictionary):
        raise InputError("--acoustic-model and --dictionary belong together; give both or neither")
    corpus = open_corpus(args, SAMPLE_RATE).select(split=args.split, speakers=args.speaker)
    out, began = Path(args.out), time.monotonic()
    with bar(corpus.seconds, "align") as advance:
        result = align_corpus(
            corpus,
            out,
            model=_path(args.acoustic_model),
            dictionary=_path(args.dictionary),
            pronunciations=_path(args.pronunciations),
            unknown=args.unknown,
            again=args.again,
            audio=args.audio,
            workers=args.workers,
            progress=advance,
        )
    print_left_out(result.left_out)
    phones, words = result.counts
    seconds, audio = time.monotonic() - began, sum(one.seconds for one in result.utterances)
    low, middle, high = np.quantile(result.confidence, [0.05, 0.5, 0.95]).tolist()
    spelled = {word: {"phones": " ".join(said), "tokens": count} for word, (said, count) in result.spelled.items()}
    document: dict[str, Any] = {
        "utterances": len(result.utterances),
        "aligned_now": result.done,
        "aligned_before": result.aligned_before,
        "without_text": result.without_text,
        "left_out": list(result.left_out),
        "phones": phones,
        "words": words,
        "spelled": spelled,
        "confidence": {"p05": low, "median": middle, "p95": high},
        "audio_seconds": audio,
        "wall_seconds": seconds,
        "agreement": {"phones": result.phones.document(), "words": result.words.document()} if args.again else None,
        "out": str(out),
    }
    speed = f"{audio:.0f} s of speech in {seconds:.0f} s ({plural(result.done, 'utterance')} aligned by this run)"
    own = f"corpus: {out}\nnext: probe corpus {out}" if args.audio != "none" else f"TextGrids: {out}"
    return Output(document, f"{result!r}\n\n{speed}\n{own}")


def _path(name: str | None) -> Path | None:
    return None if name is None else Path(name)
