"""A small synthetic corpus in TIMIT's layout, so that everything can be tried without real recordings.

Ten made-up speakers read ten sentences each; `probing/corpora/demo/corpus/README` says how it was made and what it is
good for, and `generate.py` makes it anew.
"""

from pathlib import Path

CORPUS = Path(__file__).parent / "corpus"
"""The folder that holds TRAIN, TEST and DOC."""
