"""The registry knows every figure, by the name of its files."""

import pytest

from lvm_probe import InputError
from lvm_probe.figures import registry


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
