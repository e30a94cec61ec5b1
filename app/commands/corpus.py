"""`probe corpus`: what a corpus holds, and every problem found in it."""

from __future__ import annotations

import argparse

from lvm_probe.app.options import add_reading, open_corpus
from lvm_probe.app.output import Output
from lvm_probe.probing.corpora.registry import LAYOUTS

SUMMARY = "summarise a corpus and list every problem found in it"
EXAMPLES = ("probe corpus TIMIT",)


def options(parser: argparse.ArgumentParser) -> None:
    layouts = [f"  {name:<12} {description}" for name, description in LAYOUTS.items()]
    group = parser.add_argument_group("corpus", "\n".join(["layouts, tried in this order:", *layouts]))
    group.add_argument("corpus", metavar="PATH", help="folder of the corpus")
    add_reading(group)


def run(args: argparse.Namespace) -> Output:
    from lvm_probe.probing.corpora.summary import as_text, describe

    document = describe(open_corpus(args, print_problems=False))  # the summary lists them
    return Output(document, as_text(document))
