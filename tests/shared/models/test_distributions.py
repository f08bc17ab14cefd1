"""Densities and divergences against scipy, torch's multivariate normal, sampling and numbers by hand."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import multinomial, norm
from torch.distributions import MultivariateNormal, kl_divergence

from shared.models.distributions import (
    MIN_SCALE,
    Bernoulli,
    LearnedNormal,
    OneHotCategorical,
    diagonal,
    kl,
    normal,
    repeated,
    sample,
    standard_normal,
)
from tests.linear_gaussian import assert_mean, generator

FLOATS = st.floats(-3, 3)
SCALES = st.floats(0.1, 4)


def test_normal_splits_mean_and_raw_scale():
    q = normal(torch.tensor([[1.0, -2.0, 0.0, 30.0], [0.0, 5.0, -100.0, 1.0]]))
    assert q.batch_shape == (2,)
    assert q.event_shape == (2,)
    torch.testing.assert_close(q.mean, torch.tensor([[1.0, -2.0], [0.0, 5.0]]))
    expected = torch.tensor([[math.log(2), 30.0], [0.0, math.log(1 + math.e)]]) + MIN_SCALE
    torch.testing.assert_close(q.base_dist.scale, expected)


def test_normal_of_maps_splits_channels():
    parameters = torch.randn(2, 6, 4, 4, generator=generator())
    q = normal(parameters)
    assert q.batch_shape == (2,)
    assert q.event_shape == (3, 4, 4)
    assert torch.equal(q.mean, parameters[:, :3])


@settings(deadline=None)
@given(*(st.tuples(FLOATS, FLOATS) for _ in range(2)), *(st.tuples(SCALES, SCALES) for _ in range(2)))
def test_kl_agrees_with_the_multivariate_normals(q_loc, p_loc, q_scale, p_scale):
    def both(loc, scale):
        loc, scale = torch.tensor([loc], dtype=torch.float64), torch.tensor([scale], dtype=torch.float64)
        return diagonal(loc, scale), MultivariateNormal(loc, scale_tril=torch.diag_embed(scale))

    (q, full_q), (p, full_p) = both(q_loc, q_scale), both(p_loc, p_scale)
    torch.testing.assert_close(kl(q, p), kl_divergence(full_q, full_p))


def test_kl_is_the_mean_log_ratio_of_samples():
    loc, scale = np.array([0.3, -1.0]), np.array([0.5, 1.4])
    values = np.random.default_rng(0).normal(loc, scale, size=(100_000, 2))
    ratio = (norm(loc, scale).logpdf(values) - norm(0, 1).logpdf(values)).sum(1)
    q = diagonal(torch.from_numpy(loc)[None], torch.from_numpy(scale)[None])
    assert_mean(ratio, kl(q, standard_normal(q.mean)).item(), precision=0.01)


def test_kl_sums_over_all_axes_of_a_map():
    shape = (2, 3, 4, 4)
    q = diagonal(torch.full(shape, 2.0), torch.ones(shape))
    torch.testing.assert_close(kl(q, standard_normal(q.mean)), torch.full((2,), 0.5 * 4 * 48))


def test_samples_have_the_stated_moments_and_carry_gradients():
    loc = torch.full((50_000, 1), 1.5, dtype=torch.float64, requires_grad=True)
    scale = torch.full((50_000, 1), 0.7, dtype=torch.float64, requires_grad=True)
    drawn = sample(diagonal(loc, scale), generator())
    assert_mean(drawn.detach(), 1.5, precision=0.01)
    assert_mean((drawn.detach() - 1.5) ** 2, 0.49, precision=0.01)
    gradients = torch.autograd.grad(drawn.sum(), (loc, scale))
    assert torch.equal(gradients[0], torch.ones_like(loc))
    torch.testing.assert_close(gradients[1], ((drawn - loc) / scale).detach())


def test_repeated_is_sample_major():
    q = repeated(diagonal(torch.tensor([[1.0], [2.0]]), torch.tensor([[3.0], [4.0]])), 3)
    assert q.mean.flatten().tolist() == [1, 2] * 3
    assert q.base_dist.scale.flatten().tolist() == [3, 4] * 3


def test_bernoulli_by_hand():
    # a logit of ln 3 is a probability of 3/4
    parameters, x = torch.tensor([[math.log(3), -math.log(3)], [0.0, 0.0]]), torch.tensor([[0.25, 0.0], [1.0, 0.3]])
    expected = [0.25 * math.log(0.75) + 1.75 * math.log(0.25) + math.log(3), 2 * math.log(0.5)]
    torch.testing.assert_close(Bernoulli().log_prob(parameters, x, 1), torch.tensor([expected]))
    torch.testing.assert_close(Bernoulli().mean(parameters), torch.tensor([[0.75, 0.25], [0.5, 0.5]]))


def test_bernoulli_sums_over_channels_and_pixels():
    parameters = torch.zeros(2, 3, 8, 8)
    torch.testing.assert_close(
        Bernoulli().log_prob(parameters, torch.rand(2, 3, 8, 8, generator=generator()), 1),
        torch.full((1, 2), -192 * math.log(2)),
    )


def test_bernoulli_stays_finite_at_extreme_logits():
    parameters, x = torch.tensor([[1e4, -1e4]]), torch.tensor([[0.0, 1.0]])
    assert Bernoulli().log_prob(parameters, x, 1).item() == pytest.approx(-2e4)


def test_learned_normal_agrees_with_scipy():
    rng = np.random.default_rng(0)
    loc, raw, x = rng.normal(size=(3, 4, 5))
    expected = norm(loc, np.logaddexp(0, raw) + MIN_SCALE).logpdf(x).sum(1)
    parameters = torch.from_numpy(np.concatenate([loc, raw], axis=1))
    np.testing.assert_allclose(LearnedNormal().log_prob(parameters, torch.from_numpy(x), 1)[0].numpy(), expected)
    np.testing.assert_array_equal(LearnedNormal().mean(parameters).numpy(), loc)


@pytest.mark.parametrize("half", [torch.bfloat16, torch.float16])
def test_densities_of_half_precision_networks_are_in_float32(half):
    parameters = torch.randn(2, 4, generator=generator()).to(half)
    q, wide = normal(parameters), torch.rand(2, 4, generator=generator())
    assert q.mean.dtype == q.base_dist.scale.dtype == torch.float32
    for tensor in (
        Bernoulli().log_prob(parameters, wide, 1),
        Bernoulli().mean(parameters),
        LearnedNormal().log_prob(parameters, wide[:, :2], 1),
        LearnedNormal().mean(parameters),
        kl(q, standard_normal(q.mean)),
        sample(q, generator()),
    ):
        assert tensor.dtype == torch.float32
    exact = Bernoulli().log_prob(parameters.double(), wide.double(), 1)
    torch.testing.assert_close(Bernoulli().log_prob(parameters, wide, 1).double(), exact, rtol=1e-5, atol=1e-5)


def test_double_precision_is_kept():
    assert normal(torch.zeros(1, 2, dtype=torch.float64)).mean.dtype == torch.float64


def test_one_hot_categorical_agrees_with_scipy():
    rng = np.random.default_rng(0)
    logits, classes = rng.normal(size=(5, 4)), np.array([0, 3, 1, 1, 2])
    x = np.eye(4)[classes]
    p = np.exp(logits) / np.exp(logits).sum(1, keepdims=True)
    found = OneHotCategorical().log_prob(torch.from_numpy(logits), torch.from_numpy(x), 1)[0]
    np.testing.assert_allclose(found, multinomial(1, p).logpmf(x))
    np.testing.assert_allclose(OneHotCategorical().mean(torch.from_numpy(logits)), p)


def test_one_hot_categorical_stays_finite_at_extreme_logits():
    found = OneHotCategorical().log_prob(torch.tensor([[1e4, 0.0]]), torch.tensor([[0.0, 1.0]]), 1)
    assert found.item() == pytest.approx(-1e4)


@pytest.mark.parametrize(
    ("likelihood", "shape", "parameters"),
    [
        (Bernoulli(), (2, 4, 3), (2, 4, 3)),
        (OneHotCategorical(), (5,), (5,)),
        (LearnedNormal(), (3,), (6,)),
    ],
)
def test_samples_of_a_point_are_scored_against_that_point(likelihood, shape, parameters):
    """K samples for B points at once are what each sample gives for its point alone."""
    decoded = torch.randn(3, 2, *parameters, generator=generator())
    x = torch.rand(2, *shape, generator=generator(1))
    found = likelihood.log_prob(decoded.flatten(0, 1), x, 3)
    assert found.shape == (3, 2)
    for k in range(3):
        for b in range(2):
            alone = likelihood.log_prob(decoded[k, b][None], x[b][None], 1)
            torch.testing.assert_close(found[k, b], alone[0, 0])
