"""A small synthetic corpus in TIMIT's layout, so that everything can be tried without real recordings.

Ten synthetic speakers read ten sentences each; `probing/corpora/demo/corpus/README` says how it was made and what it is
for, and `generate.py` generates it again.
"""

from pathlib import Path

CORPUS = Path(__file__).parent / "corpus"
"""The folder that holds TRAIN, TEST and DOC."""
