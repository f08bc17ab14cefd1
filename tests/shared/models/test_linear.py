"""Dense layers against products in float64."""

from itertools import product

import pytest
import torch
from torch import nn

from shared.models import linear
from shared.models.linear import Linear, _Linear, onednn_gains


@pytest.fixture(autouse=True)
def anywhere(monkeypatch):
    """The path through oneDNN is right on every processor, whether it gains there or not."""
    monkeypatch.setattr(linear, "onednn_gains", lambda: True)


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


LAYOUTS = {
    "of its own": lambda *shape: torch.randn(shape),
    "transposed": lambda *shape: torch.randn(shape[::-1]).permute(*reversed(range(len(shape)))),
    "with gaps": lambda *shape: torch.randn(*shape[:-1], 2 * shape[-1])[..., ::2],
    "every other row": lambda *shape: torch.randn(2 * shape[0], *shape[1:])[::2],
    "rows repeated": lambda *shape: torch.randn(1, *shape[1:]).expand(shape),
    "one number": lambda *shape: torch.randn(()).expand(shape),
    "behind others": lambda *shape: torch.randn(*shape[:-1], shape[-1] + 3)[..., 3:],
    "overlapping": lambda *shape: torch.randn(sum(shape)).as_strided(shape, (1,) * len(shape)),
}


@pytest.mark.parametrize("sizes", [(8, 37, 19), (1, 37, 19), (8, 1, 19), (8, 37, 1)])
def test_values_and_gradients_are_right_for_every_stride(sizes):
    """Of the input, the weights and the bias: a bias with gaps gave other numbers without a word."""
    torch.manual_seed(0)
    rows, inputs, outputs = sizes
    for of_x, of_weight, of_bias in product(LAYOUTS, repeat=3):
        x, weight = LAYOUTS[of_x](rows, inputs), LAYOUTS[of_weight](outputs, inputs)
        bias, dy = LAYOUTS[of_bias](outputs), torch.randn(rows, outputs)
        parts = [part.detach().requires_grad_() for part in (x, weight, bias)]
        y = _Linear.apply(*parts)
        wide = [part.double() for part in (x, weight, bias, dy)]
        truth = [wide[0] @ wide[1].T + wide[2], wide[3] @ wide[1], wide[3].T @ wide[0], wide[3].sum(0)]
        for value, expected in zip([y, *torch.autograd.grad(y, parts, dy)], truth, strict=True):
            torch.testing.assert_close(value.double(), expected, rtol=1e-5, atol=1e-4)


@pytest.mark.parametrize("bias", [True, False])
def test_gradients_have_gradients(bias):
    """Of a penalty on the slope in the input and in the weights: they came back as None."""
    torch.manual_seed(0)
    ours, x, exact = layer(bias), torch.randn(5, 37), nn.Linear(37, 19, bias).double()
    exact.load_state_dict(ours.state_dict())

    def second(network, x):
        parts = [x.requires_grad_(), *network.parameters()]
        slopes = torch.autograd.grad(network(x).pow(3).sum(), parts, create_graph=True)
        return torch.autograd.grad(sum(slope.square().sum() for slope in slopes), parts)

    for value, truth in zip(second(ours, x), second(exact, x.detach().double()), strict=True):
        torch.testing.assert_close(value.double(), truth, rtol=1e-4, atol=1e-4 * truth.abs().max().item())


@pytest.mark.parametrize(
    ("cpuinfo", "gains"),
    [
        ("processor : 0\nvendor_id\t: AuthenticAMD\ncpu family\t: 26\nmodel\t\t: 2\nflags : avx512f\n", True),
        ("processor : 0\nvendor_id\t: AuthenticAMD\ncpu family\t: 25\nmodel\t\t: 97\nflags : avx512f\n", False),
        ("processor : 0\nvendor_id\t: GenuineIntel\ncpu family\t: 6\nmodel\t\t: 207\nflags : avx512f\n", False),
        ("processor : 0\nBogoMIPS : 50\nCPU implementer : 0x41\n", False),
        (None, False),
    ],
)
def test_only_a_processor_that_was_measured_to_gain_multiplies_in_onednn(cpuinfo, gains, tmp_path, monkeypatch):
    file = tmp_path / "cpuinfo"
    if cpuinfo:
        file.write_text(cpuinfo)
    monkeypatch.setattr(linear, "CPUINFO", file)
    assert onednn_gains.__wrapped__() is gains


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
        patch.setattr(linear, "onednn_gains", lambda: False)
        assert not in_onednn(ours(x))
    with monkeypatch.context() as patch:
        patch.setattr(torch.backends.mkldnn, "enabled", False)
        assert not in_onednn(ours(x))
    with torch.autocast("cpu", torch.bfloat16):
        y = ours(x)
    assert y.dtype == torch.bfloat16
    assert not in_onednn(y)
    assert not in_onednn(ours.double()(x.double()))
