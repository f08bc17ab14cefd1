"""What every metric asks of its features."""

import torch
from torch import Tensor

from shared.errors import InputError


def require_features(features: Tensor, axes: str) -> None:
    """InputError unless `features` has one axis per letter of `axes` and is finite.

    axes: such as "ND" for (N, D) features.
    """
    if features.ndim != len(axes):
        expected = ", ".join(axes)
        raise InputError(f"features: expected the shape ({expected}), found {tuple(features.shape)}")
    if features.numel() and not torch.isfinite(torch.stack(features.aminmax())).all():
        raise InputError("features: NaN or infinite values; check the images and the run that generated them")
