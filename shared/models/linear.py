"""Dense layers whose float32 products run in oneDNN on AMD's Zen 5 processors, and are torch's own on all others.

torch multiplies float32 matrices with MKL, which keeps to AVX2 on AMD's processors, and so to half of what the AVX-512
of Zen 5 gives; oneDNN, with which torch convolves, uses it. Both compute in float32 and differ in the order of the sums
alone. On Zen 4 and on an Intel processor oneDNN was measured to be the slower one (docs/decisions.md). Vendor and
family decide, because they are fixed: a timing would make the bytes of a run depend on the moment.

torch offers oneDNN's product as an operator without a gradient (its compiler calls it), which is added here. Where the
operator does not apply, or with `torch.backends.mkldnn.enabled = False`, the layer is torch's own.
"""

from functools import cache
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor, nn

_product = getattr(torch.ops.mkldnn, "_linear_pointwise", None)
CPUINFO = Path("/proc/cpuinfo")


class Linear(nn.Linear):
    """torch.nn.Linear, (..., I) -> (..., O), with the same parameters and initial weights."""

    def forward(self, input: Tensor) -> Tensor:
        if not _applies(input, self.weight):
            return F.linear(input, self.weight, self.bias)
        return _Linear.apply(input, self.weight, self.bias)


@cache
def onednn_gains() -> bool:
    """Whether the processor is one that was measured to gain: AMD of family 26 (Zen 5)."""
    if not CPUINFO.exists():  # not Linux
        return False
    lines = (line.partition(":") for line in CPUINFO.read_text(encoding="utf-8").splitlines())
    about = {key.strip(): value.strip() for key, _, value in lines}
    return (about.get("vendor_id"), about.get("cpu family")) == ("AuthenticAMD", "26")


def _applies(x: Tensor, weight: Tensor) -> bool:
    return (
        onednn_gains()
        and _product is not None
        and x.device.type == weight.device.type == "cpu"
        and x.dtype == weight.dtype == torch.float32
        and x.dim() > 1
        and x.numel() > 0
        and x.shape[-1] == weight.shape[1]  # torch's own layer says best what is wrong
        and torch.backends.mkldnn.enabled
        and not torch.is_autocast_enabled("cpu")
    )


def _dense(matrix: Tensor) -> Tensor:
    """Row by row or column by column in memory: the operator refuses or misreads what has gaps or repeats itself."""
    return matrix if matrix.is_contiguous() or matrix.t().is_contiguous() else matrix.contiguous()


class _Linear(torch.autograd.Function):
    """y = x W^T + b, dx = dy W, dW = dy^T x, db = Σ dy: gradients are such products too, and so have gradients."""

    @staticmethod
    def forward(ctx, x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
        ctx.save_for_backward(x, weight)
        bias = None if bias is None else bias.contiguous()
        return _product(_dense(x.flatten(0, -2)), _dense(weight), bias, "none", [], "").view(*x.shape[:-1], -1)

    @staticmethod
    def backward(ctx, dy: Tensor) -> tuple[Tensor | None, Tensor | None, Tensor | None]:
        x, weight = ctx.saved_tensors
        needs_x, needs_weight, needs_bias = ctx.needs_input_grad
        rows = dy.flatten(0, -2)
        return (
            _Linear.apply(dy, weight.t(), None) if needs_x else None,
            _Linear.apply(rows.t(), x.flatten(0, -2).t(), None) if needs_weight else None,
            rows.sum(0) if needs_bias else None,
        )
