"""Counted operations, those of our dense layers among them."""

from collections.abc import Callable, Sequence

import torch
from torch.utils.flop_counter import FlopCounterMode, mm_flop


def _linear_flop(x: Sequence[int], weight: Sequence[int], *_, out_shape: Sequence[int] | None = None, **__) -> int:
    rows = torch.Size(x[:-1]).numel()
    return mm_flop((rows, x[-1]), (weight[1], weight[0]))


def count_flops(action: Callable[[], object]) -> int:
    """Floating-point operations of the matrix products and convolutions in one call of `action`."""
    custom = {torch.ops.mkldnn._linear_pointwise: _linear_flop} if torch.backends.mkldnn.is_available() else {}
    with FlopCounterMode(display=False, custom_mapping=custom) as counter:
        action()
    return counter.get_total_flops()
