"""MMVAE on linear-Gaussian versions whose bounds and likelihoods are known exactly."""

from dataclasses import replace

import numpy as np
import pytest

from tests.linear_gaussian import (
    assert_gradients_match_differences,
    assert_mean,
    exact_mmvae,
    log_weights,
    losses,
    mmvae,
)


@pytest.mark.parametrize("modalities", ["ab", "abc"])
@pytest.mark.parametrize("samples", [1, 2, 5])
def test_loss_is_the_bound_under_the_mixture_for_any_number_of_samples(modalities, samples):
    """Samples are averaged outside of the logarithm, so more of them don't tighten the bound."""
    toy = mmvae(modalities, seed=1)
    assert_mean(losses(toy, samples=samples), -toy.bound().elbo, precision=0.1)


def test_divergence_is_that_of_the_whole_mixture():
    """KL(mixture || prior), which is less than the mean of the experts' own divergences."""
    toy = mmvae(seed=2, warmup=1)
    toy = replace(toy, x={"a": 4 * toy.x["a"], "b": -4 * toy.x["b"]})  # experts that disagree
    whole, experts = toy.bound().kl_shared, [toy.bound(m).kl_shared for m in "ab"]
    assert whole < np.mean(experts) - 0.2
    weighted, unweighted = losses(toy, epoch=1), losses(toy, epoch=0)  # the same noise
    assert_mean(weighted - unweighted, whole, precision=0.02)


@pytest.mark.parametrize("name", ["a", "b", "c"])
def test_true_expert_gives_the_exact_likelihood_of_its_modality(name):
    toy = exact_mmvae("abc")
    likelihood = float(toy.p.log_prob(toy.only(name)))
    np.testing.assert_allclose(log_weights(toy, name, name, 3, 2).numpy(), likelihood)


@pytest.mark.parametrize("epoch", [1, 4])
def test_gradients(epoch):
    assert_gradients_match_differences(mmvae(seed=3, warmup=4), epoch)
