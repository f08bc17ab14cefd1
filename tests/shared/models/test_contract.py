"""The layout of samples and data points that every network call relies on."""

import torch

from shared.models.contract import fold, repeat, unfold


def test_repeat_is_laid_out_as_fold_and_unfold_expect():
    x = torch.arange(12.0).view(3, 4)
    samples = unfold(repeat(x, 5), 5)
    assert samples.shape == (5, 3, 4)
    assert all(torch.equal(sample, x) for sample in samples)


def test_fold_is_sample_major():
    x = torch.arange(2 * 3 * 4).view(2, 3, 4)
    assert torch.equal(fold(x)[4], x[1, 1])
    assert torch.equal(unfold(fold(x), 2), x)
