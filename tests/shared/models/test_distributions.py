"""Densities and divergences against scipy, torch's multivariate normal, sampling and numbers by hand."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.special import logsumexp
from scipy.stats import kstest, laplace, multinomial, norm
from torch.distributions import Cauchy, Independent, Laplace, MultivariateNormal, Normal, kl_divergence
from torch.distributions import OneHotCategorical as TorchOneHotCategorical

from shared.models.distributions import (
    MIN_SCALE,
    Bernoulli,
    LearnedNormal,
    OneHotCategorical,
    Prior,
    diagonal,
    kl,
    laplace_quantile,
    normal,
    repeated,
)
from shared.models.experts import mixture_of_experts, sample
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
    torch.testing.assert_close(kl(q, p, sample(q, 2, generator())), kl_divergence(full_q, full_p))


def test_kl_is_the_mean_log_ratio_of_samples():
    loc, scale = np.array([0.3, -1.0]), np.array([0.5, 1.4])
    values = np.random.default_rng(0).normal(loc, scale, size=(100_000, 2))
    ratio = (norm(loc, scale).logpdf(values) - norm(0, 1).logpdf(values)).sum(1)
    q = diagonal(torch.from_numpy(loc)[None], torch.from_numpy(scale)[None])
    assert_mean(ratio, kl(q, Prior(2)(1), sample(q, 1, generator())).item(), precision=0.01)


def test_kl_sums_over_all_axes_of_a_map():
    shape = (2, 3, 4, 4)
    q, p = (diagonal(torch.full(shape, at), torch.ones(shape)) for at in (2.0, 0.0))
    torch.testing.assert_close(kl(q, p, sample(q, 1, generator())), torch.full((2,), 0.5 * 4 * 48))


@pytest.mark.parametrize("family", [Normal, Laplace])
def test_kl_of_a_mixture_is_estimated_on_its_samples(family):
    """Which has no closed form. In one dimension the truth is a sum over a grid."""
    density = {Normal: norm, Laplace: laplace}[family]
    locs, grid = (-1.5, 2.0), np.linspace(-20, 20, 200_001)
    log_q = logsumexp([density(loc, 0.8).logpdf(grid) for loc in locs], axis=0) - np.log(2)
    truth = np.trapezoid(np.exp(log_q) * (log_q - density(0, 1).logpdf(grid)), grid)
    ones = torch.ones(20_000, 1, dtype=torch.float64)
    q = mixture_of_experts([diagonal(loc * ones, 0.8 * ones, family) for loc in locs])
    estimates = kl(q, Prior(1, family).double()(20_000), sample(q, 4, generator()))
    assert estimates.shape == (4, 20_000)
    assert_mean(estimates.mean(0), truth, precision=0.01)


@pytest.mark.parametrize("family", [Normal, Laplace])
def test_samples_have_the_distribution_of_their_family_and_carry_gradients(family):
    loc = torch.full((50_000, 1), 1.5, dtype=torch.float64, requires_grad=True)
    scale = torch.full((50_000, 1), 0.7, dtype=torch.float64, requires_grad=True)
    (drawn,) = sample(diagonal(loc, scale, family), 1, generator())
    exact = {Normal: norm, Laplace: laplace}[family](1.5, 0.7)
    assert kstest(drawn.detach().numpy()[:, 0], exact.cdf).pvalue > 1e-3
    gradients = torch.autograd.grad(drawn.sum(), (loc, scale))
    assert torch.equal(gradients[0], torch.ones_like(loc))
    torch.testing.assert_close(gradients[1], ((drawn - loc) / scale).detach())


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_laplace_noise_is_the_quantile_and_finite_at_both_ends(dtype):
    p = torch.tensor([0.01, 0.25, 0.5, 0.9], dtype=dtype)
    np.testing.assert_allclose(laplace_quantile(p), laplace.ppf(p.numpy()), rtol=1e-5)
    ends = torch.tensor([0.0, 1 - torch.finfo(dtype).eps / 2], dtype=dtype)  # the least and the largest of torch.rand
    assert laplace_quantile(ends).isfinite().all()


def test_noise_comes_from_the_generator_alone():
    q, before = diagonal(torch.zeros(2, 3), torch.ones(2, 3), Laplace), torch.get_rng_state()
    assert torch.equal(sample(q, 4, generator(1)), sample(q, 4, generator(1)))
    assert not torch.equal(sample(q, 4, generator(1)), sample(q, 4, generator(2)))
    assert torch.equal(before, torch.get_rng_state())


def test_noise_of_another_family_is_refused():
    with pytest.raises(ValueError, match="Cauchy: can't be sampled"):
        sample(Independent(Cauchy(torch.zeros(2, 3), torch.ones(2, 3)), 1), 1, generator())


@pytest.mark.parametrize(("family", "exact"), [(Normal, norm), (Laplace, laplace)])
def test_prior_is_standard_or_has_scales_that_sum_to_their_number(family, exact):
    z = torch.linspace(-2, 2, 6, dtype=torch.float64).view(2, 3)
    for learned in (False, True):  # scales begin at 1
        p = Prior(3, family, learned).double()(2)
        assert (p.batch_shape, p.event_shape) == ((2,), (3,))
        np.testing.assert_allclose(p.log_prob(z).detach(), exact.logpdf(z.numpy()).sum(1))
    prior = Prior(3, family, learned=True).double()
    torch.nn.init.normal_(prior.raw_scale, std=1.0, generator=generator())
    scale = prior(2).base_dist.scale.detach()
    torch.testing.assert_close(scale.sum(1), torch.full((2,), 3.0, dtype=torch.float64))
    np.testing.assert_allclose(prior(2).log_prob(z).detach(), exact(0, scale.numpy()).logpdf(z.numpy()).sum(1))


def test_a_learned_prior_learns_the_relative_scales_of_its_dimensions():
    """Of samples with scales 1.5 and 0.5, the likeliest scales that sum to 2 are these."""
    z = torch.tensor([1.5, 0.5]) * torch.randn(20_000, 2, generator=generator())
    prior = Prior(2, learned=True)
    optimiser = torch.optim.LBFGS(prior.parameters(), max_iter=50)

    def loss():
        optimiser.zero_grad()
        value = -prior(len(z)).log_prob(z).mean()
        value.backward()
        return value

    optimiser.step(loss)
    torch.testing.assert_close(prior(1).base_dist.scale[0].detach(), torch.tensor([1.5, 0.5]), rtol=0.03, atol=0)


def test_a_prior_without_learning_adds_nothing_to_the_weights():
    assert not Prior(3).state_dict()
    assert [name for name, _ in Prior(3, learned=True).named_parameters()] == ["raw_scale"]


def test_repeated_is_sample_major():
    q = repeated(diagonal(torch.tensor([[1.0], [2.0]]), torch.tensor([[3.0], [4.0]]), Laplace), 3)
    assert isinstance(q.base_dist, Laplace)
    assert q.mean.flatten().tolist() == [1, 2] * 3
    assert q.base_dist.scale.flatten().tolist() == [3, 4] * 3


def test_bernoulli_by_hand():
    # a logit of ln 3 is a probability of 3/4
    parameters, x = torch.tensor([[math.log(3), -math.log(3)], [0.0, 0.0]]), torch.tensor([[0.25, 0.0], [1.0, 0.3]])
    expected = [0.25 * math.log(0.75) + 1.75 * math.log(0.25) + math.log(3), 2 * math.log(0.5)]
    torch.testing.assert_close(Bernoulli().log_prob(parameters[None], x), torch.tensor([expected]))
    torch.testing.assert_close(Bernoulli().mean(parameters), torch.tensor([[0.75, 0.25], [0.5, 0.5]]))


def test_bernoulli_sums_over_channels_and_pixels():
    x = torch.rand(2, 3, 8, 8, generator=generator())
    found = Bernoulli().log_prob(torch.zeros(1, 2, 3, 8, 8), x)
    torch.testing.assert_close(found, torch.full((1, 2), -192 * math.log(2)))


def test_bernoulli_stays_finite_at_extreme_logits():
    parameters, x = torch.tensor([[[1e4, -1e4]]]), torch.tensor([[0.0, 1.0]])
    assert Bernoulli().log_prob(parameters, x).item() == pytest.approx(-2e4)


def test_learned_normal_agrees_with_scipy():
    rng = np.random.default_rng(0)
    loc, raw, x = rng.normal(size=(3, 4, 5))
    expected = norm(loc, np.logaddexp(0, raw) + MIN_SCALE).logpdf(x).sum(1)
    parameters = torch.from_numpy(np.concatenate([loc, raw], axis=1))[None]
    np.testing.assert_allclose(LearnedNormal().log_prob(parameters, torch.from_numpy(x))[0].numpy(), expected)
    np.testing.assert_array_equal(LearnedNormal().mean(parameters)[0].numpy(), loc)


@pytest.mark.parametrize("half", [torch.bfloat16, torch.float16])
def test_densities_of_half_precision_networks_are_in_float32(half):
    parameters = torch.randn(1, 2, 4, generator=generator()).to(half)
    q, wide = normal(parameters[0]), torch.rand(2, 4, generator=generator())
    assert q.mean.dtype == q.base_dist.scale.dtype == torch.float32
    for tensor in (
        Bernoulli().log_prob(parameters, wide),
        Bernoulli().mean(parameters),
        LearnedNormal().log_prob(parameters, wide[:, :2]),
        LearnedNormal().mean(parameters),
        OneHotCategorical().log_prob(parameters, wide),
        OneHotCategorical().mean(parameters),
        kl(q, Prior(2)(2), sample(q, 1, generator())),
        sample(q, 1, generator()),
    ):
        assert tensor.dtype == torch.float32
    exact = Bernoulli().log_prob(parameters.double(), wide.double())
    torch.testing.assert_close(Bernoulli().log_prob(parameters, wide).double(), exact, rtol=1e-5, atol=1e-5)


def test_double_precision_is_kept():
    assert normal(torch.zeros(1, 2, dtype=torch.float64)).mean.dtype == torch.float64


def test_one_hot_categorical_agrees_with_scipy():
    rng = np.random.default_rng(0)
    logits, classes = rng.normal(size=(5, 4)), np.array([0, 3, 1, 1, 2])
    x = np.eye(4)[classes]
    p = np.exp(logits) / np.exp(logits).sum(1, keepdims=True)
    found = OneHotCategorical().log_prob(torch.from_numpy(logits)[None], torch.from_numpy(x))[0]
    np.testing.assert_allclose(found, multinomial(1, p).logpmf(x))
    np.testing.assert_allclose(OneHotCategorical().mean(torch.from_numpy(logits)), p)


@pytest.mark.parametrize("event", [(6,), (5, 6), (2, 3, 6)])
def test_one_hot_categorical_of_sequences_agrees_with_torch(event):
    """A class at each position: the softmax runs over the classes, the sum over all positions."""
    logits = torch.randn(3, 2, *event, generator=generator())
    classes = torch.randint(6, (2, *event[:-1]), generator=generator())
    x = torch.nn.functional.one_hot(classes, 6).float()
    exact = Independent(TorchOneHotCategorical(logits=logits), len(event) - 1)
    torch.testing.assert_close(OneHotCategorical().log_prob(logits, x), exact.log_prob(x.expand(3, *x.shape)))
    torch.testing.assert_close(OneHotCategorical().mean(logits), exact.mean)


def test_one_hot_categorical_stays_finite_at_extreme_logits():
    found = OneHotCategorical().log_prob(torch.tensor([[[1e4, 0.0]]]), torch.tensor([[0.0, 1.0]]))
    assert found.item() == pytest.approx(-1e4)


@pytest.mark.parametrize(
    ("likelihood", "shape", "parameters"),
    [
        (Bernoulli(), (2, 4, 3), (2, 4, 3)),
        (OneHotCategorical(), (5,), (5,)),
        (OneHotCategorical(), (3, 5), (3, 5)),
        (LearnedNormal(), (3,), (6,)),
    ],
)
def test_samples_of_a_point_are_scored_against_that_point(likelihood, shape, parameters):
    """K samples for B points at once are what each sample gives for its point alone."""
    decoded = torch.randn(3, 2, *parameters, generator=generator())
    x = torch.rand(2, *shape, generator=generator(1))
    found = likelihood.log_prob(decoded, x)
    assert found.shape == (3, 2)
    assert likelihood.mean(decoded).shape == (3, 2, *shape)
    for k in range(3):
        for b in range(2):
            alone = likelihood.log_prob(decoded[k : k + 1, b : b + 1], x[b : b + 1])
            torch.testing.assert_close(found[k, b], alone[0, 0])


@pytest.mark.parametrize("likelihood", [Bernoulli(), OneHotCategorical(), LearnedNormal()])
def test_draws_have_the_mean_and_the_spread_of_their_likelihood(likelihood):
    """Over many draws: the likelihood's mean, and p (1 - p) for ones and zeros, the scale's square for a normal."""
    parameters = torch.tensor([[0.5, -1.0, 2.0, 0.0], [0.0, 1.0, -2.0, 0.3]], dtype=torch.float64)  # (B, 4)
    many = parameters.expand(100_000, *parameters.shape)
    drawn, mean = likelihood.sample(many, torch.Generator().manual_seed(0)), likelihood.mean(many[:1])[0]
    assert drawn.shape == likelihood.mean(many).shape
    if isinstance(likelihood, LearnedNormal):
        variance = normal(parameters).base_dist.scale.square()
    else:
        variance = mean * (1 - mean)
        assert drawn.unique().tolist() == [0, 1]
    torch.testing.assert_close(drawn.mean(0), mean, atol=0.03, rtol=0)
    torch.testing.assert_close(drawn.var(0), variance, atol=0.01, rtol=0.03)
    if isinstance(likelihood, OneHotCategorical):
        assert (drawn.sum(-1) == 1).all()
