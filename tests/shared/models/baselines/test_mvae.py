"""MVAE on linear-Gaussian versions whose bounds and likelihoods are known exactly."""

from collections import Counter
from itertools import combinations

import numpy as np
import pytest
import torch

from tests.linear_gaussian import (
    assert_gradients_match_differences,
    assert_mean,
    exact_mvae,
    generator,
    log_weights,
    losses,
    mvae,
)


@pytest.mark.parametrize("modalities", ["ab", "abc"])
def test_loss_is_the_sum_of_the_joint_and_the_single_bounds(modalities):
    toy = mvae(modalities, seed=1)
    bounds = [toy.bound(), *(toy.bound(m) for m in modalities)]
    for samples in (1, 3):
        assert_mean(losses(toy, samples=samples), -sum(b.elbo for b in bounds), precision=0.1)


def test_warm_up_weighs_all_divergences():
    toy = mvae(seed=2, warmup=20)
    bounds = [toy.bound(), toy.bound("a"), toy.bound("b")]
    for epoch, weight in ((0, 0.0), (10, 0.5), (20, 1.0), (60, 1.0)):
        expected = sum(weight * b.kl_shared - b.reconstruction for b in bounds)
        assert_mean(losses(toy, epoch), expected, precision=0.1)


def test_terms_name_each_bound():
    toy = mvae(seed=3)
    terms = toy.model.loss(toy.batch(20_000), 0, 1, generator()).terms
    for name, exact in {"joint": toy.bound(), "a": toy.bound("a"), "b": toy.bound("b")}.items():
        assert terms[f"kl_g_{name}"].item() == pytest.approx(exact.kl_shared)
        assert terms[f"elbo_{name}"].item() == pytest.approx(exact.elbo, abs=0.1)
    assert terms["elbo"] == terms["elbo_joint"]
    assert "log_p_b_a" not in terms  # the bound of a alone doesn't see b


@pytest.mark.parametrize("names", ["a", "b", "c", "ab", "bc", "abc"])
def test_true_likelihood_factors_as_experts_give_the_exact_likelihood(names):
    """With q(g | x) the true posterior of any subset, every importance weight is p(x) and the ELBO is tight."""
    toy = exact_mvae("abc")
    likelihood = float(toy.p.log_prob(toy.only(*names)))
    np.testing.assert_allclose(log_weights(toy, names, names, 3, 2).numpy(), likelihood)
    assert toy.bound(*names).elbo == pytest.approx(likelihood)


def test_loss_with_exact_posteriors_is_the_sum_of_the_likelihoods():
    toy = exact_mvae()
    likelihoods = [toy.p.log_prob(toy.only(*names)) for names in ("ab", "a", "b")]
    assert_mean(losses(toy), -float(sum(likelihoods)), precision=0.1)


def test_more_modalities_sharpen_the_posterior():
    toy = mvae("abc", seed=4)
    with torch.no_grad():
        variances = [toy.model.posterior(toy.batch(1, *names)).variance for names in ("a", "ab", "abc")]
    assert (variances[0] > variances[1]).all()
    assert (variances[1] > variances[2]).all()


def with_random_subsets(count, seed, weights=None):
    toy = mvae("abcd", seed=seed)
    toy.model.random_subsets = count
    toy.model.reconstruction_weights |= weights or {}
    return toy


def test_random_subsets_add_the_mean_of_their_bounds():
    """One subset a step: size 2 or 3 with probability 1/2, then one of the 6 or 4 of that size."""
    toy = with_random_subsets(1, seed=6)
    always = [toy.bound(), *(toy.bound(m) for m in "abcd")]
    by_size = [[toy.bound(*names).elbo for names in combinations("abcd", size)] for size in (2, 3)]
    expected = sum(b.elbo for b in always) + sum(np.mean(bounds) for bounds in by_size) / 2
    assert_mean(losses(toy, copies=100, repeats=400), -expected, precision=0.2)


def test_sizes_of_random_subsets_are_alike_likely_and_so_are_subsets_of_a_size():
    toy, counts = with_random_subsets(20_000, seed=7), Counter()
    counts.update(toy.model.draw_subsets(generator()))
    assert sum(counts[subset] for subset in combinations("abcd", 2)) / 20_000 == pytest.approx(1 / 2, abs=0.02)
    for size, expected in ((2, 1 / 12), (3, 1 / 8)):
        for subset in combinations("abcd", size):
            assert counts[subset] / 20_000 == pytest.approx(expected, abs=0.01), subset
    assert sum(counts.values()) == 20_000


def test_two_modalities_have_no_random_subsets():
    toy = mvae(seed=8)
    toy.model.random_subsets = 3
    assert toy.model.draw_subsets(generator()) == []


def test_terms_of_random_subsets_have_the_same_names_in_every_step():
    toy = with_random_subsets(2, seed=9)
    names = [set(toy.model.loss(toy.batch(2), 0, 1, generator(k)).terms) for k in range(8)]
    assert all(each == names[0] for each in names)
    assert {"elbo_random0", "elbo_random1"} <= names[0]


def test_weights_multiply_the_likelihood_of_their_modality_in_every_term():
    toy = with_random_subsets(0, seed=10, weights={"a": 50.0})
    loss = toy.model.loss(toy.batch(50), 0, 1, generator())
    terms = {name: value.item() for name, value in loss.terms.items()}
    expected = -sum(terms[f"elbo_{name}"] for name in ("joint", *"abcd"))
    expected -= 49 * (terms["log_p_a_joint"] + terms["log_p_a_a"])
    assert loss.total.item() == pytest.approx(expected)


@pytest.mark.parametrize("epoch", [1, 4])
def test_gradients(epoch):
    assert_gradients_match_differences(mvae(seed=5, warmup=4), epoch)


def test_training_needs_every_modality():
    toy = mvae("ab", seed=1)
    with pytest.raises(KeyError, match="b"):
        toy.model.loss(toy.batch(2, "a"), 0, 1, generator())
