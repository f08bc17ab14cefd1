import inspect

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from pytorch_fid.fid_score import calculate_frechet_distance
from scipy import linalg

from shared.errors import InputError
from shared.metrics.fid import FeatureMoments, frechet_distance


def moments_of(features: np.ndarray) -> FeatureMoments:
    moments = FeatureMoments(features.shape[1])
    moments.update(torch.from_numpy(features))
    return moments


def samples_with(mean: np.ndarray, covariance: np.ndarray, count: int, rng) -> np.ndarray:
    """Samples whose sample mean and covariance are exactly the given ones."""
    raw = rng.normal(size=(count, len(mean)))
    raw -= raw.mean(axis=0)
    white = raw @ np.linalg.inv(np.linalg.cholesky(np.atleast_2d(np.cov(raw, rowvar=False)))).T
    return mean + white @ np.linalg.cholesky(covariance).T


def random_covariance(dimension: int, rng) -> np.ndarray:
    factor = rng.normal(size=(dimension, dimension))
    return factor @ factor.T / dimension + 0.1 * np.eye(dimension)


def brute_force(first: np.ndarray, second: np.ndarray) -> float:
    first_covariance, second_covariance = np.cov(first, rowvar=False), np.cov(second, rowvar=False)
    root = linalg.sqrtm(first_covariance @ second_covariance)
    shift = first.mean(axis=0) - second.mean(axis=0)
    return float(shift @ shift + np.trace(first_covariance + second_covariance - 2 * root.real))


@given(
    count=st.integers(2, 60),
    cuts=st.lists(st.integers(0, 60), max_size=6),
    offset=st.sampled_from([0.0, 1e3, -1e6]),
    seed=st.integers(0, 2**32 - 1),
)
@settings(max_examples=50, deadline=None)
def test_moments_are_those_of_numpy_for_any_batches(count, cuts, offset, seed):
    features = np.random.default_rng(seed).normal(offset, 2.0, size=(count, 5))
    moments = FeatureMoments(5)
    for batch in np.split(features, sorted(min(cut, count) for cut in cuts)):
        moments.update(torch.from_numpy(batch))
    assert moments.count == count
    np.testing.assert_allclose(moments.mean, features.mean(axis=0), rtol=1e-12, atol=1e-12)
    np.testing.assert_allclose(moments.covariance, np.cov(features, rowvar=False), rtol=1e-7, atol=1e-7)


def test_float32_features_are_accumulated_in_float64():
    features = torch.full((1000, 1), 4096.0)
    features[::2] += 2**-11  # the last bit of float32 at 4096
    moments = FeatureMoments(1)
    for batch in features.split(7):
        moments.update(batch)
    expected = np.var(features.double().numpy(), ddof=1)
    assert moments.covariance.item() == pytest.approx(expected, rel=1e-6)


@pytest.mark.parametrize("dimension", [1, 4])
def test_isotropic_gaussians(dimension):
    # N(0, s² I) and N(m, t² I): |m|² + D (s - t)²
    rng = np.random.default_rng(0)
    mean = np.arange(1.0, dimension + 1)
    first = samples_with(np.zeros(dimension), 4.0 * np.eye(dimension), 50, rng)
    second = samples_with(mean, 0.25 * np.eye(dimension), 70, rng)
    expected = mean @ mean + dimension * (2 - 0.5) ** 2
    assert frechet_distance(moments_of(first), moments_of(second)) == pytest.approx(expected, rel=1e-10)


def test_gaussians_with_common_axes():
    # with the same eigenvectors: |m|² + Σ (√a_i - √b_i)²
    rng = np.random.default_rng(1)
    axes, _ = np.linalg.qr(rng.normal(size=(3, 3)))
    first_variances, second_variances = np.array([1.0, 4.0, 9.0]), np.array([16.0, 4.0, 0.25])
    mean = np.array([0.5, -1.0, 2.0])
    first = samples_with(np.zeros(3), axes @ np.diag(first_variances) @ axes.T, 40, rng)
    second = samples_with(mean, axes @ np.diag(second_variances) @ axes.T, 40, rng)
    expected = mean @ mean + np.square(np.sqrt(first_variances) - np.sqrt(second_variances)).sum()
    assert frechet_distance(moments_of(first), moments_of(second)) == pytest.approx(expected, rel=1e-10)


@pytest.mark.parametrize("seed", range(3))
def test_agrees_with_scipy_matrix_square_root(seed):
    rng = np.random.default_rng(seed)
    first = samples_with(rng.normal(size=20), random_covariance(20, rng), 80, rng)
    second = samples_with(rng.normal(size=20), random_covariance(20, rng), 90, rng)
    expected = brute_force(first, second)
    assert frechet_distance(moments_of(first), moments_of(second)) == pytest.approx(expected, rel=1e-9)
    assert frechet_distance(moments_of(second), moments_of(first)) == pytest.approx(expected, rel=1e-9)


@pytest.mark.skipif(
    "disp" not in inspect.signature(linalg.sqrtm).parameters,
    reason="pytorch-fid 0.3.0 fails with this version of SciPy",
)
@pytest.mark.filterwarnings("ignore:The `disp` argument is deprecated:DeprecationWarning")
@pytest.mark.parametrize("count", [100, 12])
def test_agrees_with_pytorch_fid(count):
    rng = np.random.default_rng(count)
    first, second = rng.normal(size=(count, 30)), rng.gamma(2.0, size=(count, 30))
    a, b = moments_of(first), moments_of(second)
    expected = calculate_frechet_distance(a.mean, a.covariance, b.mean, b.covariance)
    assert frechet_distance(a, b) == pytest.approx(expected, rel=1e-6)


def test_fewer_samples_than_dimensions():
    # With centred data X and Y in rows, Tr (Σ₁Σ₂)^½ is the nuclear norm of X Yᵀ: no D x D root is needed.
    rng = np.random.default_rng(4)
    first, second = rng.normal(size=(15, 200)), 0.3 + 1.5 * rng.normal(size=(20, 200))
    x, y = first - first.mean(axis=0), second - second.mean(axis=0)
    shift = first.mean(axis=0) - second.mean(axis=0)
    expected = (
        shift @ shift
        + np.square(x).sum() / 14
        + np.square(y).sum() / 19
        - 2 * np.linalg.norm(x @ y.T, ord="nuc") / np.sqrt(14 * 19)
    )
    assert frechet_distance(moments_of(first), moments_of(second)) == pytest.approx(expected, rel=1e-10)


@pytest.mark.parametrize("count", [10, 500])
def test_a_set_is_at_no_distance_from_itself(count):
    features = np.random.default_rng(5).normal(3.0, 2.0, size=(count, 64))
    distance = frechet_distance(moments_of(features), moments_of(features[::-1].copy()))
    assert 0 <= distance < 1e-10


def test_constant_features():
    constant = np.tile([1.0, 2.0], (10, 1))
    spread = samples_with(np.array([1.0, 0.0]), np.diag([3.0, 5.0]), 10, np.random.default_rng(6))
    assert frechet_distance(moments_of(constant), moments_of(constant)) == 0
    assert frechet_distance(moments_of(constant), moments_of(spread)) == pytest.approx(4 + 3 + 5)


def test_one_sample_has_no_covariance():
    with pytest.raises(InputError, match="at least 2 samples, found 1"):
        frechet_distance(moments_of(np.zeros((1, 3))), moments_of(np.zeros((5, 3))))


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_values_that_are_not_finite(value):
    features = np.zeros((4, 3))
    features[2, 1] = value
    with pytest.raises(InputError, match="NaN or infinite"):
        moments_of(features)


def test_wrong_dimensions():
    with pytest.raises(InputError, match="2 dimensions where 3 are expected"):
        FeatureMoments(3).update(torch.zeros(4, 2))
    with pytest.raises(InputError, match=r"expected the shape \(N, D\), found \(4,\)"):
        FeatureMoments(3).update(torch.zeros(4))
    with pytest.raises(InputError, match="3 dimensions against 2"):
        frechet_distance(moments_of(np.zeros((4, 3))), moments_of(np.zeros((4, 2))))


@pytest.mark.torture
@pytest.mark.parametrize("factor", [1.001, 50.0, np.nan])
def test_a_distance_below_zero_is_no_perfect_one(monkeypatch, factor):
    """As of a linear algebra that fails: what is cut off at zero would be the best FID there can be."""
    features, svd = np.random.default_rng(7).normal(size=(50, 20)), np.linalg.svd
    monkeypatch.setattr(np.linalg, "svd", lambda *a, **k: factor * svd(*a, **k))
    with pytest.raises(InputError, match=r"\AFréchet distance: (-[\d.]+|nan) can't be; [^\n]*evaluate again\Z"):
        frechet_distance(moments_of(features), moments_of(features[::-1].copy()))
