"""Products and mixtures of experts against numerical integration, and stratified samples against their mixture."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import laplace, norm
from torch.distributions import Laplace, Normal

from shared.models.distributions import diagonal
from shared.models.experts import (
    mixture_of_experts,
    product_of_experts,
    product_of_posteriors,
    sample,
    stratified_sample,
)
from tests.linear_gaussian import assert_mean, generator

NORMALS = st.tuples(st.floats(-3, 3), st.floats(0.2, 3))
EXPERTS = st.lists(NORMALS, min_size=1, max_size=4)
GRID = np.linspace(-30, 30, 20_001)


def expert(loc, scale):
    return diagonal(torch.tensor([[loc]], dtype=torch.float64), torch.tensor([[scale]], dtype=torch.float64))


STANDARD = expert(0.0, 1.0)


def assert_density(q, log_density):
    """q has the moments of a density that is known up to a factor, on the grid."""
    density = np.exp(log_density - log_density.max())
    density /= np.trapezoid(density, GRID)
    mean = np.trapezoid(density * GRID, GRID)
    variance = np.trapezoid(density * (GRID - mean) ** 2, GRID)
    assert q.mean.item() == pytest.approx(mean, abs=1e-6)
    assert q.variance.item() == pytest.approx(variance, rel=1e-6)


@settings(deadline=None)
@given(EXPERTS, st.none() | NORMALS)
def test_product_is_the_normalised_product_of_densities(parameters, prior):
    factors = parameters if prior is None else [*parameters, prior]
    log_density = sum(norm(loc, scale).logpdf(GRID) for loc, scale in factors)
    q = product_of_experts([expert(*each) for each in parameters], prior and expert(*prior))
    assert_density(q, log_density)


@settings(deadline=None)
@given(
    st.lists(st.tuples(st.floats(-3, 3), st.floats(0.2, 0.95)), min_size=1, max_size=4),
    st.tuples(st.floats(-1, 1), st.floats(0.96, 2)),
)
def test_product_of_posteriors_counts_the_prior_once(parameters, prior):
    log_density = sum(norm(loc, scale).logpdf(GRID) for loc, scale in parameters)
    log_density -= (len(parameters) - 1) * norm(*prior).logpdf(GRID)
    assert_density(
        product_of_posteriors([expert(loc, scale) for loc, scale in parameters], expert(*prior)), log_density
    )


def test_product_of_the_posteriors_of_two_observations_is_the_posterior_of_both():
    # g ~ N(0, 1), observed twice as 3 with noise 1: N(3/2, 1/2) each, N(2, 1/3) together
    q = product_of_posteriors([expert(1.5, 0.5**0.5), expert(1.5, 0.5**0.5)], STANDARD)
    assert q.mean.item() == pytest.approx(2)
    assert q.variance.item() == pytest.approx(1 / 3)


def test_a_posterior_wider_than_the_prior_is_no_evidence():
    q = product_of_posteriors([expert(1.5, 0.5**0.5), expert(-7.0, 1.2)], STANDARD)
    assert q.mean.item() == pytest.approx(1.5)
    assert q.variance.item() == pytest.approx(0.5)


def test_product_by_hand():
    # precisions 1 (prior), 4 and 1: mean (4 * 2 + 1 * -1) / 6
    experts = [expert(2.0, 0.5), expert(-1.0, 1.0)]
    q = product_of_experts(experts, STANDARD)
    assert q.mean.item() == pytest.approx(7 / 6)
    assert q.variance.item() == pytest.approx(1 / 6)
    q = product_of_experts(experts)
    assert q.mean.item() == pytest.approx(7 / 5)
    assert q.variance.item() == pytest.approx(1 / 5)
    assert q.batch_shape == (1,)
    assert q.event_shape == (1,)


def test_products_of_other_families_are_refused():
    laplace = diagonal(torch.zeros(1, 1), torch.ones(1, 1), Laplace)
    for build in (lambda: product_of_experts([STANDARD], laplace), lambda: product_of_posteriors([laplace], STANDARD)):
        with pytest.raises(ValueError, match="normal experts and a normal prior"):
            build()


@settings(deadline=None)
@given(EXPERTS)
def test_mixture_density_integrates_to_one(parameters):
    q = mixture_of_experts([expert(loc, scale) for loc, scale in parameters])
    density = q.log_prob(torch.from_numpy(GRID)[:, None, None]).exp().numpy()[:, 0]
    assert np.trapezoid(density, GRID) == pytest.approx(1, abs=1e-9)
    np.testing.assert_allclose(density, np.mean([norm(*e).pdf(GRID) for e in parameters], axis=0), atol=1e-12)


def test_mixture_density_in_two_dimensions_is_of_whole_experts():
    """The expert is drawn once for all dimensions: half the mass at (0, 0), half at (9, 9), none at (0, 9)."""
    q = mixture_of_experts([diagonal(torch.full((1, 2), at), torch.ones(1, 2)) for at in (0.0, 9.0)])
    assert q.batch_shape == (1,)
    assert q.event_shape == (2,)
    at_mode = -math.log(2) - math.log(2 * math.pi)
    assert q.log_prob(torch.zeros(1, 2)).item() == pytest.approx(at_mode)
    assert q.log_prob(torch.tensor([[0.0, 9.0]])).item() == pytest.approx(at_mode - 81 / 2 + math.log(2), abs=1e-4)


def test_mixture_of_another_family():
    q = mixture_of_experts([diagonal(torch.full((1, 1), at), torch.ones(1, 1), Laplace) for at in (-1.0, 3.0)])
    z = torch.linspace(-5, 5, 7).view(-1, 1, 1)
    expected = (laplace(-1).pdf(z.numpy()) + laplace(3).pdf(z.numpy())) / 2
    np.testing.assert_allclose(q.log_prob(z).exp().numpy(), expected[..., 0], rtol=1e-5)
    assert q.mean.item() == pytest.approx(1)


def many(parameters, points, family=Normal):
    """The same mixture for every data point."""
    ones = torch.ones(points, 1, dtype=torch.float64)
    return mixture_of_experts([diagonal(loc * ones, scale * ones, family) for loc, scale in parameters])


@pytest.mark.parametrize("samples", [1, 2, 3, 5])
@pytest.mark.parametrize("parameters", [[(1.0, 0.5)], [(-1.0, 0.5), (2.0, 1.5)], [(-1.0, 0.5), (2.0, 1.5), (0.0, 3.0)]])
@pytest.mark.parametrize(("family", "variance"), [(Normal, 1), (Laplace, 2)])
def test_stratified_samples_are_unbiased(parameters, samples, family, variance):
    drawn = stratified_sample(many(parameters, 20_000, family), samples, generator())
    assert drawn.shape == (samples, 20_000, 1)
    second = np.mean([loc**2 + variance * scale**2 for loc, scale in parameters])
    assert_mean(drawn.mean(0), np.mean([loc for loc, _ in parameters]), precision=0.03)
    assert_mean((drawn**2).mean(0), second, precision=0.2)


@pytest.mark.parametrize(("experts", "samples"), [(1, 3), (2, 2), (2, 4), (2, 5), (3, 1), (3, 2), (3, 3), (3, 10)])
def test_samples_spread_over_experts_as_evenly_as_they_can(experts, samples):
    drawn = stratified_sample(many([(100.0 * i, 1.0) for i in range(experts)], 6000), samples, generator())
    counts = torch.stack([((drawn / 100).round() == i).sum(0) for i in range(experts)])
    assert set(counts.unique().tolist()) == {samples // experts, -(-samples // experts)}
    if samples % experts:  # who gets the extra sample is a matter of chance, alike for all
        share = (counts == samples // experts + 1).double().mean(1).flatten()
        probability = samples % experts / experts
        assert (share - probability).abs().max() < 5 * math.sqrt(probability * (1 - probability) / 6000)


def test_stratification_removes_the_variance_between_experts():
    """Var of the mean of one sample per expert: the mean of the experts' variances over M, without their spread."""
    means = stratified_sample(many([(-3.0, 1.0), (3.0, 2.0)], 40_000), 2, generator()).mean(0)
    assert_mean(means**2, (1 + 4) / 4, precision=0.02)


def test_gradients_reach_the_drawn_expert():
    loc = torch.zeros(4, 1, requires_grad=True)
    q = mixture_of_experts([diagonal(loc, torch.ones(4, 1)), diagonal(torch.ones(4, 1), torch.ones(4, 1))])
    stratified_sample(q, 2, generator()).sum().backward()
    assert torch.equal(loc.grad, torch.ones(4, 1))


def test_samples_of_either_kind():
    single = diagonal(torch.full((30_000, 1), 2.0), torch.full((30_000, 1), 0.5))
    drawn = sample(single, 3, generator())
    assert drawn.shape == (3, 30_000, 1)
    assert_mean(drawn, 2.0, precision=0.01)
    assert_mean((drawn - 2) ** 2, 0.25, precision=0.01)
    assert_mean(drawn[0] * drawn[1], 4.0, precision=0.02)  # independent across samples
    assert sample(many([(0.0, 1.0), (1.0, 1.0)], 5), 4, generator()).shape == (4, 5, 1)


def test_samples_depend_on_the_generator_alone():
    q, before = many([(0.0, 1.0), (1.0, 1.0)], 5), torch.get_rng_state()
    assert torch.equal(stratified_sample(q, 3, generator(4)), stratified_sample(q, 3, generator(4)))
    assert not torch.equal(stratified_sample(q, 3, generator(4)), stratified_sample(q, 3, generator(5)))
    assert torch.equal(before, torch.get_rng_state())
