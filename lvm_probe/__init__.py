"""Train sequential latent variable models of raw speech, and probe what their latents encode.

The names of `__all__` are the public interface (docs/tutorial.md). Each is imported when it is first used, so that
`import lvm_probe` takes no time and needs neither PyTorch nor pandas.
"""

from importlib import import_module as _import_module
from pathlib import Path as _Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from lvm_probe.figures.notebook import plot, plot_map
    from lvm_probe.probing.corpora import open_corpus
    from lvm_probe.probing.corpora.corpus import Corpus
    from lvm_probe.probing.features.encoders import Encoder
    from lvm_probe.probing.features.latents import Latents, Model, load_model
    from lvm_probe.probing.features.token_table import TokenTable
    from lvm_probe.probing.features.token_table import load as load_table
    from lvm_probe.probing.interface import align, ask, boundaries, compare, extract, similarity, zerospeech
    from lvm_probe.probing.questions.compare import Comparison
    from lvm_probe.probing.questions.question import Question
    from lvm_probe.probing.questions.results import Answer

    __version__: str

__all__ = [
    "Answer",
    "Comparison",
    "Corpus",
    "Encoder",
    "InputError",
    "Latents",
    "Model",
    "Question",
    "TokenTable",
    "align",
    "ask",
    "boundaries",
    "compare",
    "extract",
    "load_model",
    "load_table",
    "open_corpus",
    "plot",
    "plot_map",
    "similarity",
    "zerospeech",
]

_HOMES = {
    "Answer": "probing.questions.results.Answer",
    "Comparison": "probing.questions.compare.Comparison",
    "Corpus": "probing.corpora.corpus.Corpus",
    "Encoder": "probing.features.encoders.Encoder",
    "Latents": "probing.features.latents.Latents",
    "Model": "probing.features.latents.Model",
    "Question": "probing.questions.question.Question",
    "TokenTable": "probing.features.token_table.TokenTable",
    "align": "probing.interface.align",
    "ask": "probing.interface.ask",
    "boundaries": "probing.interface.boundaries",
    "compare": "probing.interface.compare",
    "extract": "probing.interface.extract",
    "load_model": "probing.features.latents.load_model",
    "load_table": "probing.features.token_table.load",
    "open_corpus": "probing.corpora.open_corpus",
    "plot": "figures.notebook.plot",
    "plot_map": "figures.notebook.plot_map",
    "similarity": "probing.interface.similarity",
    "zerospeech": "probing.interface.zerospeech",
}

if not (_Path(__file__).parent / "app").is_dir():  # in a checkout the subpackages are the folders beside this one
    __path__.append(str(_Path(__file__).parents[1]))


class InputError(ValueError):
    """Something the user can fix: one line that says what was found, in which file, and the cure.

    The command line prints that line and exits with code 2.
    """


if not TYPE_CHECKING:  # a type checker would take any name to be there

    def __getattr__(name: str) -> object:
        if name == "__version__":
            from lvm_probe.models.io.provenance import package_version

            return package_version()
        if name not in _HOMES:
            raise AttributeError(f"module 'lvm_probe' has no attribute '{name}'")
        module, _, attribute = _HOMES[name].rpartition(".")
        globals()[name] = getattr(_import_module(f"lvm_probe.{module}"), attribute)
        return globals()[name]


def __dir__() -> list[str]:
    return [*__all__, "__version__"]
