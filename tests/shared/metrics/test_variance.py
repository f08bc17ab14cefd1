import numpy as np
import pytest
import torch

from shared.errors import InputError
from shared.metrics.variance import ConditionalVariance


def variance_of(*chunks: torch.Tensor) -> float:
    variance = ConditionalVariance()
    for chunk in chunks:
        variance.update(chunk)
    return variance.value


def test_by_hand():
    # two conditions with two samples in two dimensions, around the prototypes (1, 0) and (5, 5)
    features = torch.tensor([[[0.0, 0.0], [2.0, 0.0]], [[5.0, 3.0], [5.0, 7.0]]])
    first, second = (1 + 1) / (2 * 2), (4 + 4) / (2 * 2)
    assert variance_of(features) == pytest.approx((first + second) / 2)


def test_agrees_with_numpy_for_any_chunks():
    features = np.random.default_rng(0).normal(1e4, 1.0, size=(9, 10, 4))
    expected = np.var(features, axis=1).mean()
    stream = torch.from_numpy(features)
    assert variance_of(stream) == pytest.approx(expected, rel=1e-9)
    assert variance_of(*stream.split([1, 5, 3])) == pytest.approx(expected, rel=1e-9)


def test_between_conditions_does_not_count():
    features = torch.arange(6.0).view(6, 1, 1).expand(6, 5, 3)
    assert variance_of(features) == 0


def test_bad_input():
    with pytest.raises(InputError, match="at least one condition"):
        ConditionalVariance().value  # noqa: B018
    with pytest.raises(InputError, match="at least 2 samples per condition, not 1"):
        variance_of(torch.zeros(3, 1, 4))
    with pytest.raises(InputError, match=r"expected the shape \(C, K, D\)"):
        variance_of(torch.zeros(3, 4))
    with pytest.raises(InputError, match="NaN or infinite"):
        variance_of(torch.full((3, 2, 4), torch.nan))
