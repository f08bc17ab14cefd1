"""Dense layers against products in float64."""

import pytest
import torch
from torch import nn

from shared.models.linear import Linear

FORMS = {
    "a batch": lambda: torch.randn(64, 37),
    "one row": lambda: torch.randn(1, 37),
    "more axes": lambda: torch.randn(3, 5, 37),
    "transposed in memory": lambda: torch.randn(37, 64).t(),
    "every other column": lambda: torch.randn(8, 74)[:, ::2],
    "expanded": lambda: torch.randn(1, 37).expand(6, 37),
    "a vector": lambda: torch.randn(37),
    "nothing": lambda: torch.randn(0, 37),
}


def layer(bias=True):
    torch.manual_seed(1)
    return Linear(37, 19, bias)


def results(layer, x, dy):
    """The output, and the gradients in the input, whose strides it keeps, and in the parameters."""
    x = x.detach().requires_grad_()
    layer.zero_grad()
    y = layer(x)
    y.backward(dy)
    return [y.detach(), x.grad, *(p.grad.clone() for p in layer.parameters())]


GRADIENTS = {
    "of its own": lambda *shape: torch.randn(shape),
    "transposed in memory": lambda *shape: torch.randn(shape[::-1]).permute(*reversed(range(len(shape)))),
    "expanded": lambda *shape: torch.randn(()).expand(shape),  # as the gradient of a sum
}


@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("gradient", GRADIENTS)
@pytest.mark.parametrize("form", FORMS)
def test_values_and_gradients_are_those_of_float64(form, gradient, bias):
    torch.manual_seed(0)
    x, ours = FORMS[form](), layer(bias)
    dy = GRADIENTS[gradient](*x.shape[:-1], 19)
    found = results(ours, x, dy)
    exact = nn.Linear(37, 19, bias).double()
    exact.load_state_dict(ours.state_dict())
    for value, truth in zip(found, results(exact, x.double(), dy.double()), strict=True):
        assert value.dtype == torch.float32
        torch.testing.assert_close(value.double(), truth, rtol=1e-5, atol=1e-4)


def test_an_input_of_another_width_is_refused_with_both_shapes():
    with pytest.raises(RuntimeError, match="4x36 and 37x19"):
        layer()(torch.randn(4, 36))


def test_gradient_only_where_it_is_wanted():
    ours, x = layer(), torch.randn(4, 37, requires_grad=True)
    ours.requires_grad_(False)
    ours(x).sum().backward()
    assert x.grad is not None
    assert all(p.grad is None for p in ours.parameters())
    ours.requires_grad_(True)
    ours(x.detach()).sum().backward()
    assert all(p.grad is not None for p in ours.parameters())


def test_the_initial_weights_are_torchs():
    ours = layer()
    torch.manual_seed(1)
    for mine, theirs in zip(ours.parameters(), nn.Linear(37, 19).parameters(), strict=True):
        assert torch.equal(mine, theirs)


def in_onednn(y):
    return y.grad_fn.name().startswith("_Linear")


@pytest.mark.skipif(not torch.backends.mkldnn.is_available(), reason="torch was built without oneDNN")
def test_where_onednn_multiplies_and_where_torch_does(monkeypatch):
    ours, x = layer(), torch.randn(4, 37)
    assert in_onednn(ours(x))
    with monkeypatch.context() as patch:
        patch.setattr(torch.backends.mkldnn, "enabled", False)
        assert not in_onednn(ours(x))
    with torch.autocast("cpu", torch.bfloat16):
        y = ours(x)
    assert y.dtype == torch.bfloat16
    assert not in_onednn(y)
    assert not in_onednn(ours.double()(x.double()))
