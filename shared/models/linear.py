"""Dense layers whose float32 products run in oneDNN on a CPU.

torch multiplies float32 matrices with MKL, which keeps to AVX2 on processors that Intel did not make, and so to half of
what AVX-512 gives there; oneDNN, with which torch convolves, uses what the processor has. Both compute in float32 and
differ in the order of the sums alone. torch offers oneDNN's product as an operator without a gradient (its compiler
calls it), which is added here. Where the operator does not apply, or with `torch.backends.mkldnn.enabled = False`,
the layer is torch's own.
"""

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

_product = getattr(torch.ops.mkldnn, "_linear_pointwise", None)


class Linear(nn.Linear):
    """torch.nn.Linear, (..., I) -> (..., O), with the same parameters and initial weights."""

    def forward(self, input: Tensor) -> Tensor:
        if not _applies(input, self.weight):
            return F.linear(input, self.weight, self.bias)
        return _Linear.apply(input, self.weight, self.bias)


def _applies(x: Tensor, weight: Tensor) -> bool:
    return (
        _product is not None
        and x.device.type == weight.device.type == "cpu"
        and x.dtype == weight.dtype == torch.float32
        and x.dim() > 1
        and x.numel() > 0
        and x.shape[-1] == weight.shape[1]  # torch's own layer says best what is wrong
        and torch.backends.mkldnn.enabled
        and not torch.is_autocast_enabled("cpu")
    )


def _times(x: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
    """x (..., I) weight^T (O, I) + bias (O,), whatever the strides."""
    return _product(x, weight, bias, "none", [], "")


class _Linear(torch.autograd.Function):
    """y = x W^T + b, dx = dy W, dW = dy^T x, db = Σ dy."""

    @staticmethod
    def forward(ctx, x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
        ctx.save_for_backward(x, weight)
        return _times(x, weight, bias)

    @staticmethod
    @once_differentiable
    def backward(ctx, dy: Tensor) -> tuple[Tensor | None, Tensor | None, Tensor | None]:
        x, weight = ctx.saved_tensors
        needs_x, needs_weight, needs_bias = ctx.needs_input_grad
        rows = dy.flatten(0, -2)
        return (
            _times(dy, weight.t()) if needs_x else None,
            _times(rows.t(), x.flatten(0, -2).t()) if needs_weight else None,
            rows.sum(0) if needs_bias else None,
        )
