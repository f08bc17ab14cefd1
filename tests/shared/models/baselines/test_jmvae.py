"""JMVAE-kl on linear-Gaussian versions whose bounds and divergences are known exactly."""

import numpy as np
import pytest
import torch
from torch.distributions import MultivariateNormal, kl_divergence

from tests.linear_gaussian import Numbers, assert_gradients_match_differences, assert_mean, generator, jmvae, losses


def divergence(q, p):
    """KL between the posteriors over g of two linear-Gaussian components, by torch's full-covariance form."""
    return kl_divergence(
        *(MultivariateNormal(torch.from_numpy(each.mean), torch.from_numpy(each.cov)) for each in (q, p))
    ).item()


def mismatch(toy):
    (joint,) = toy.components(toy.x)
    return sum(divergence(joint, toy.components(toy.only(m))[0]) for m in toy.x)


@pytest.mark.parametrize("modalities", ["ab", "abc"])
@pytest.mark.parametrize("alpha", [0.0, 0.01, 2.0])
def test_loss_is_the_bound_and_the_weighted_divergences_to_the_single_encoders(modalities, alpha):
    toy = jmvae(modalities, seed=1, alpha=alpha)
    for samples in (1, 3):
        assert_mean(losses(toy, samples=samples), alpha * mismatch(toy) - toy.bound().elbo, precision=0.1)


def test_warm_up_weighs_the_prior_term_alone():
    toy = jmvae(seed=2, warmup=20, alpha=0.5)
    exact = toy.bound()
    for epoch, weight in ((0, 0.0), (10, 0.5), (20, 1.0), (60, 1.0)):
        expected = weight * exact.kl_shared - exact.reconstruction + 0.5 * mismatch(toy)
        assert_mean(losses(toy, epoch), expected, precision=0.1)


@pytest.mark.parametrize("names", ["a", "b", "c", "ab", "ac", "bc", "abc"])
def test_each_subset_has_its_posterior(names, monkeypatch):
    """All modalities: the joint encoder. One: its own. Others: Bayes' rule, from their own."""
    monkeypatch.setattr(Numbers, "width", 0.8)  # some encoders narrower than the prior, some not
    toy = jmvae("abc", seed=3)
    (expected,) = toy.components(toy.only(*names))
    with torch.no_grad():
        found = toy.model.posterior(toy.batch(2, *names))
    np.testing.assert_allclose(found.mean[1].numpy(), expected.mean)
    np.testing.assert_allclose(found.variance[1].numpy(), np.diag(expected.cov))


def test_the_order_of_the_given_modalities_does_not_matter():
    toy = jmvae("abc", seed=4)
    batch = toy.batch(1)
    backwards = dict(reversed(batch.items()))
    with torch.no_grad():
        assert torch.equal(toy.model.posterior(batch).mean, toy.model.posterior(backwards).mean)


def test_terms_are_those_of_the_natural_bound():
    toy = jmvae(seed=5, warmup=10)
    terms, exact = toy.model.loss(toy.batch(20_000), 0, 1, generator()).terms, toy.bound()
    assert terms["kl_g"].item() == pytest.approx(exact.kl_shared)
    assert terms["elbo"].item() == pytest.approx(exact.elbo, abs=0.1)
    assert (terms["match_a"] + terms["match_b"]).item() == pytest.approx(mismatch(toy))


@pytest.mark.parametrize("epoch", [1, 4])
def test_gradients(epoch):
    assert_gradients_match_differences(jmvae(seed=6, warmup=4, alpha=0.7), epoch)
