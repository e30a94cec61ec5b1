"""oneDNN's products against PyTorch's, and PyTorch's wherever they are wanted."""

import pytest
import torch
from torch import nn

from lvm_probe.models.layers import products
from lvm_probe.models.layers.products import Linear, Product


def draw(*shape: int, dtype: torch.dtype = torch.float32) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(sum(shape)), dtype=dtype)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("activation", ["none", "relu", "sigmoid"])
@pytest.mark.parametrize("rows", [1, 7, 40])  # fewer and more than it was made for
def test_a_product_is_a_linear_layer_and_its_activation(rows, activation, dtype) -> None:
    weight, bias, x = draw(24, 50, dtype=dtype), draw(24, dtype=dtype), draw(rows, 60, dtype=dtype)[:, 7:57]
    product = Product(weight, bias, 10)
    function = {"none": lambda y: y, "relu": torch.relu, "sigmoid": torch.sigmoid}[activation]
    # Sums of 50 products of numbers about one.
    close = {"rtol": 1e-5, "atol": 1e-5} if dtype == torch.float32 else {"rtol": 1e-12, "atol": 1e-12}
    expected = function(x.double() @ weight.double().t() + bias)
    torch.testing.assert_close(product(x, activation).double(), expected, **close)
    other = draw(24, dtype=dtype) + 1
    torch.testing.assert_close(
        product(x, activation, other).double(), function(x.double() @ weight.double().t() + other), **close
    )
    unbiased = Product(weight, None, 10)(x.expand(3, -1, -1), activation)
    torch.testing.assert_close(unbiased[2].double(), function(x.double() @ weight.double().t()), **close)


def test_the_weights_are_those_of_when_it_was_made() -> None:
    layer = nn.Linear(5, 3)
    product, x = Product(layer.weight, layer.bias, 10), draw(10, 5)
    before = product(x).clone()
    assert not before.requires_grad
    torch.testing.assert_close(before, layer(x).detach(), rtol=1e-5, atol=1e-5)  # single precision


@pytest.mark.parametrize("rows", [3, products.BLOCK, 3 * products.BLOCK - 1])
def test_a_linear_layer_is_the_same_with_and_without_gradients(rows) -> None:
    layer, x = Linear(20, 12), draw(2, rows, 20)
    kept = layer(x)
    with torch.no_grad():
        bare = layer(x)
    assert kept.requires_grad
    assert not bare.requires_grad
    assert kept.shape == bare.shape == (2, rows, 12)
    torch.testing.assert_close(bare, kept.detach(), rtol=1e-5, atol=1e-5)  # sums of 20 products of numbers about one
    with torch.no_grad(), torch.autocast("cpu", torch.bfloat16):
        assert layer(x).dtype == torch.bfloat16
    with torch.no_grad():
        assert torch.equal(layer.double()(x.double()), nn.functional.linear(x.double(), layer.weight, layer.bias))


def test_without_onednn_the_numbers_are_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    weight, bias, x = draw(24, 50), draw(24), draw(10, 50)
    fast = Product(weight, bias, 10)(x, "sigmoid")
    monkeypatch.setattr("lvm_probe.models.layers.products._ONEDNN", False)
    plain = Product(weight, bias, 10)
    assert not plain.packed
    torch.testing.assert_close(plain(x, "sigmoid"), fast, rtol=1e-5, atol=1e-5)  # single precision
