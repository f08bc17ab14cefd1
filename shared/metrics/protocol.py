"""What the papers' evaluation protocols return, and small steps that they share."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor


@dataclass(frozen=True)
class Evaluation:
    """Metrics as rows for metrics.json, arrays for samples.npz, and the protocol in one line."""

    metrics: list[dict[str, Any]]
    samples: dict[str, np.ndarray]
    protocol: str


def spread(points: int, total: int) -> Tensor:
    """`points` different indices below `total`, evenly spread: the middles of as many equal parts.

    ValueError: there are not so many.
    """
    if not 0 < points <= total:
        raise ValueError(f"{points} of {total} points: ask for 1 to {total}")
    return ((2 * torch.arange(points) + 1) * total) // (2 * points)


def to_uint8(images: Tensor) -> np.ndarray:
    """Images in [0, 1] as figures store them."""
    return (images * 255).round().to(torch.uint8).cpu().contiguous().numpy()
