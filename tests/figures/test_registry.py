"""The registry knows every figure, by the name of its files."""

import pytest

from lvm_probe import InputError
from lvm_probe.figures import registry
from lvm_probe.figures.inputs import FigureInputs
from tests.probing.synthetic_tables import made_up


@pytest.mark.parametrize("name", registry.FIGURES)
def test_every_figure_keeps_the_contract(name: str) -> None:
    module = registry.figure(name)
    assert name == module.NAME
    assert module.TITLE
    assert all(callable(part) for part in (module.data, module.draw, module.figure, module.caption))


def test_names_are_chosen_in_the_order_of_the_page() -> None:
    assert registry.chosen(()) == registry.names()
    assert registry.chosen(["table_5", "optimism", "phonemes_lda"]) == ("phonemes-lda", "optimism", "table-5")
    with pytest.raises(InputError, match="there are phonemes-lda, "):
        registry.chosen(["optimism", "nonsense"])
    assert set(registry.names()) >= registry.NEED_MODEL
    assert len(set(registry.names())) == len(registry.names())


def test_questions_take_the_phone_labels_of_the_inputs() -> None:
    inputs = FigureInputs(made_up(), phones="timit39", phone_set="timit", permutations=3, seed=7)
    folded = inputs.question(protocol="nested")
    assert (folded.phones, folded.phone_set, folded.permutations, folded.seed) == ("timit39", "timit", 3, 7)
    assert inputs.question("gender").phones is None
    as_written = FigureInputs(made_up(), phone_set="timit")
    assert as_written.question().phone_set is None  # phonemes that are not folded need none
    assert as_written.question("manner").phone_set == "timit"
