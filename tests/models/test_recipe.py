"""Recipes, and what can be asked without waiting for torch."""

from dataclasses import replace

import pytest

from lvm_probe import InputError
from lvm_probe.models.training.loss import learning_rate
from lvm_probe.models.training.recipe import PAPER, SMALL, TINY, Preset
from tests.models.miniature import run_unchecked


@pytest.mark.parametrize("module", ["lvm_probe.models.training.recipe", "lvm_probe"])
def test_importing_recipes_or_the_package_imports_no_torch(module) -> None:
    code = f"import sys, {module}; print('torch' in sys.modules, 'numpy' in sys.modules)"
    assert run_unchecked(code).split() == ["False", "False"]


@pytest.mark.parametrize(
    "change", [{"updates": 0}, {"batch": 0}, {"segment": -1}, {"learning_rate": 0.0}, {"validate_every": 0}]
)
def test_a_bad_recipe_is_refused(change) -> None:
    with pytest.raises(InputError, match="must be positive"):
        replace(TINY, **change)


def test_the_recipes_are_what_their_names_say() -> None:
    assert (PAPER.segment, PAPER.clip, PAPER.cosine, PAPER.warm_up) == (0, 0.0, False, 0)
    assert (PAPER.learning_rate, PAPER.betas, PAPER.free_nats[0]) == (3e-4, (0.9, 0.999), 4.0)
    assert SMALL.auxiliary[1] == 0  # the auxiliary loss is gone in the end
    assert SMALL.beta[1] == PAPER.beta[1] == 1
    assert TINY.updates <= 50


def test_a_note_is_no_part_of_what_a_preset_is() -> None:
    assert Preset(3, TINY, "one") == Preset(3, TINY, "another")
    assert Preset(3, TINY) != Preset(3, SMALL)


def test_the_learning_rate_decays_by_powers() -> None:
    recipe = replace(SMALL, cosine=False, warm_up=0, decay=0.94)
    rates = [learning_rate(recipe, update) for update in (0, 500, 1_000, 2_000)]
    assert rates == pytest.approx([1.2e-3 * 0.94**power for power in (0, 0.5, 1, 2)])
    with pytest.raises(InputError, match="decays by a factor"):
        replace(SMALL, decay=1.5)


def test_an_unknown_optimizer_is_refused() -> None:
    with pytest.raises(InputError, match="the optimizer is adam or muon"):
        replace(SMALL, optimizer="sgd")
