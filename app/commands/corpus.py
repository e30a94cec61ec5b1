"""`probe corpus`: what a corpus holds, and every problem found in it."""

from __future__ import annotations

import argparse

from lvm_probe import InputError
from lvm_probe.app.options import add_reading, open_corpus, refuse_reading
from lvm_probe.app.output import Output
from lvm_probe.probing.corpora.registry import LAYOUTS
from lvm_probe.probing.corpora.sequences.registry import FORMATS, is_sequences, open_sequences

SUMMARY = "summarise a corpus and list every problem found in it"
EXAMPLES = ("probe corpus TIMIT", "probe corpus Nottingham.mat", "probe corpus novel.txt --domain words")


def options(parser: argparse.ArgumentParser) -> None:
    layouts = [f"  {name:<12} {description}" for name, description in LAYOUTS.items()]
    group = parser.add_argument_group("corpus", "\n".join(["layouts of speech, tried in this order:", *layouts]))
    group.add_argument("corpus", metavar="PATH", help="folder of the corpus, or a file or folder of sequences")
    add_reading(group)
    formats = [f"  {name:<17} {description}" for name, description in FORMATS.items()]
    others = parser.add_argument_group("sequences", "\n".join(["formats that are not speech:", *formats]))
    others.add_argument("--domain", metavar="NAME", help="what text is read as: words or characters")


def run(args: argparse.Namespace) -> Output:
    if is_sequences(args.corpus):
        return _sequences(args)
    if args.domain is not None:
        raise InputError(f"--domain {args.domain}: {args.corpus} is not in a format of sequences; leave it out")
    from lvm_probe.probing.corpora.summary import as_text, describe

    document = describe(open_corpus(args, print_problems=False))  # the summary lists them
    return Output(document, as_text(document))


def _sequences(args: argparse.Namespace) -> Output:
    from lvm_probe.probing.corpora.sequences.summary import as_text, describe

    refuse_reading(args)
    document = describe(open_sequences(args.corpus, args.domain))
    return Output(document, as_text(document))
