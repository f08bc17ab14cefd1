"""MHVAE on linear-Gaussian versions whose bounds are known exactly, for different ways to drop modalities."""

from itertools import product

import pytest
import torch

from papers.mhvae.model import MHVAE, BernoulliDropoutMHVAE
from tests.linear_gaussian import (
    assert_gradients_match_differences,
    assert_mean,
    generator,
    losses,
    mhvae,
    mhvae_bound,
)


class KeepAll(MHVAE):
    def dropout_masks(self, points, generator):
        return [torch.ones(points, len(self.modalities))]


class Alternate(MHVAE):
    """Even data points keep the first modality, odd ones the second."""

    def dropout_masks(self, points, generator):
        return [torch.eye(2).repeat(points, 1)[:points]]


class Both(KeepAll, Alternate):
    def dropout_masks(self, points, generator):
        return [*KeepAll.dropout_masks(self, points, generator), *Alternate.dropout_masks(self, points, generator)]


def test_loss_without_dropout_is_the_bound():
    toy = mhvae(KeepAll, "abc", seed=1)
    assert mhvae_bound(toy, "a", "b", "c") == toy.bound()
    for samples in (1, 3):
        assert_mean(losses(toy, samples=samples), -toy.bound().elbo, precision=0.1)


def test_mask_may_differ_by_data_point():
    toy = mhvae(Alternate, seed=2)
    bounds = [mhvae_bound(toy, "a"), mhvae_bound(toy, "b")]
    assert bounds[0].kl_shared != pytest.approx(bounds[1].kl_shared, rel=0.1)
    assert_mean(losses(toy), -(bounds[0].elbo + bounds[1].elbo) / 2, precision=0.1)


def test_masks_of_a_step_are_summed():
    toy = mhvae(Both, seed=3)
    alone = (mhvae_bound(toy, "a").elbo + mhvae_bound(toy, "b").elbo) / 2
    assert_mean(losses(toy), -(mhvae_bound(toy, "a", "b").elbo + alone), precision=0.2)


@pytest.mark.parametrize(
    ("epoch", "core", "private"),
    [(0, 0.0, 0.0), (1, 0.1, 0.2), (5, 0.5, 1.0), (8, 0.8, 1.0), (10, 1.0, 1.0), (30, 1.0, 1.0)],
)
def test_each_kind_of_divergence_has_its_own_warm_up(epoch, core, private):
    toy = mhvae(KeepAll, seed=4, core=10, private=5)
    exact = toy.bound()
    expected = core * exact.kl_shared + private * exact.kl_private - exact.reconstruction
    assert_mean(losses(toy, epoch), expected, precision=0.1)


def test_terms_are_those_of_the_natural_bound():
    toy = mhvae(KeepAll, seed=5, core=10, private=5)
    exact = toy.bound()
    terms = toy.model.loss(toy.batch(20_000), 0, 1, generator()).terms
    assert terms["kl_g"].item() == pytest.approx(exact.kl_shared)
    assert (terms["kl_a_1"] + terms["kl_b_1"]).item() == pytest.approx(exact.kl_private, abs=0.05)
    assert (terms["log_p_a"] + terms["log_p_b"]).item() == pytest.approx(exact.reconstruction, abs=0.1)
    assert terms["elbo"].item() == pytest.approx(exact.elbo, abs=0.1)


def test_masking_a_representation_is_the_same_as_missing_its_modality():
    toy = mhvae(KeepAll, "abc", seed=6)
    batch = {m: torch.randn(3, 3, generator=generator(), dtype=torch.float64) for m in "abc"}
    mask = torch.tensor([[1, 0, 0], [0, 1, 1], [1, 1, 1]], dtype=torch.float64)
    with torch.no_grad():
        masked = toy.model.core_posterior(toy.model.hidden(batch), mask)
        for row, names in enumerate(("a", "bc", "abc")):
            missing = toy.model.posterior({m: batch[m][row : row + 1] for m in names})
            torch.testing.assert_close(masked.mean[row : row + 1], missing.mean)
            torch.testing.assert_close(masked.base_dist.scale[row : row + 1], missing.base_dist.scale)


def test_private_posterior_sees_its_own_modality_only():
    toy = mhvae(KeepAll, seed=7)
    batch, other = toy.batch(2), toy.batch(2)
    other["b"] = other["b"] + 1
    (q_g, private), (other_g, other_private) = toy.model.encode(batch), toy.model.encode(other)
    assert torch.equal(private["a"].mean, other_private["a"].mean)
    assert not torch.equal(private["b"].mean, other_private["b"].mean)
    assert not torch.equal(q_g.mean, other_g.mean)


@pytest.mark.parametrize(("kind", "epoch"), [(KeepAll, 2), (Alternate, 9), (Both, 20)])
def test_gradients(kind, epoch):
    assert_gradients_match_differences(mhvae(kind, seed=8, core=10, private=5), epoch)


# The weights of Eq. 9


def test_each_term_has_its_weight():
    betas = {"core_beta": 4.0, "private_betas": {"a": 3.0}}
    toy = mhvae(KeepAll, seed=9, reconstruction_weights={"a": 2.0, "b": 0.5}, **betas)
    loss = toy.model.loss(toy.batch(50), 0, 1, generator())
    terms = {name: value.item() for name, value in loss.terms.items()}
    reconstruction = 2 * terms["log_p_a"] + 0.5 * terms["log_p_b"]
    divergence = 3 * terms["kl_a_1"] + terms["kl_b_1"] + 4 * terms["kl_g"]
    assert loss.total.item() == pytest.approx(divergence - reconstruction)
    plain = terms["log_p_a"] + terms["log_p_b"] - terms["kl_a_1"] - terms["kl_b_1"] - terms["kl_g"]
    assert terms["elbo"] == pytest.approx(plain)


# Modality representation dropout (Eqs. 10-12)


def masks(dropout, points=200_000, seed=0):
    toy = mhvae(BernoulliDropoutMHVAE, tuple(dropout), dropout=dropout)
    (drawn,) = toy.model.dropout_masks(points, generator(seed))
    assert drawn.shape == (points, len(dropout))
    return drawn


@pytest.mark.parametrize("dropout", [{"a": 0.5, "b": 0.5}, {"a": 0.1, "b": 0.8}, {"a": 0.3, "b": 0.5, "c": 0.9}])
def test_masks_are_bernoulli_given_that_something_is_kept(dropout):
    """Brute force: independent drops, with the draws that drop everything thrown away."""
    drop = torch.tensor(list(dropout.values()))
    kept = (torch.rand(400_000, len(drop), generator=generator(1)) >= drop).float()
    kept = kept[kept.any(1)]
    drawn = masks(dropout)
    assert set(drawn.unique().tolist()) == {0.0, 1.0}
    for mask in product((0.0, 1.0), repeat=len(drop)):
        expected, found = ((each == torch.tensor(mask)).all(1).double().mean().item() for each in (kept, drawn))
        assert found == pytest.approx(expected, abs=0.005), mask
        assert any(mask) or found == 0


def test_a_modality_that_is_never_dropped_is_always_kept():
    drawn = masks({"a": 0.0, "b": 0.7}, points=1000)
    assert drawn[:, 0].all()
    assert not drawn[:, 1].all()


def test_masks_follow_the_generator():
    assert torch.equal(masks({"a": 0.5, "b": 0.5}, 50, seed=3), masks({"a": 0.5, "b": 0.5}, 50, seed=3))
    assert not torch.equal(masks({"a": 0.5, "b": 0.5}, 50, seed=3), masks({"a": 0.5, "b": 0.5}, 50, seed=4))


def test_loss_is_the_expectation_over_masks():
    """Eq. 13: with w = 1/2 and two modalities the masks (1, 1), (1, 0) and (0, 1) are alike likely."""
    toy = mhvae(BernoulliDropoutMHVAE, seed=10, dropout={"a": 0.5, "b": 0.5})
    bounds = [mhvae_bound(toy, *kept).elbo for kept in ("ab", "a", "b")]
    assert_mean(losses(toy), -sum(bounds) / 3, precision=0.1)


@pytest.mark.parametrize("dropout", [{"a": 1.0, "b": 0.5}, {"a": 0.5, "b": 1.0}, {"a": 1.0, "b": 0.0, "c": 1.0}])
def test_a_modality_that_is_always_dropped_leaves_another(dropout):
    drawn = masks(dropout, points=500)
    kept = [w < 1 for w in dropout.values()]
    assert torch.equal(drawn, torch.tensor(kept).float().expand_as(drawn))


def test_masks_of_many_modalities():
    drawn = masks(dict.fromkeys(map(str, range(40)), 0.9), points=20_000)
    assert drawn.any(1).all()
    assert drawn.mean().item() == pytest.approx(0.1 / (1 - 0.9**40), abs=0.003)


@pytest.mark.parametrize(
    ("dropout", "message"),
    [
        ({"a": 1.0, "b": 1.0}, "below 1 for one modality"),
        ({"a": -0.1, "b": 0.5}, "probabilities in"),
        ({"a": 1.1, "b": 0.5}, "probabilities in"),
        ({"a": float("nan"), "b": 0.5}, "probabilities in"),
        ({"a": 0.5}, "dropout: b: give a value for each of a, b"),
        ({"a": 0.5, "b": 0.5, "c": 0.5}, "dropout: c"),
    ],
)
def test_impossible_dropout_is_refused(dropout, message):
    with pytest.raises(ValueError, match=message):
        mhvae(BernoulliDropoutMHVAE, "ab", dropout=dropout)


def test_weights_of_no_modality_are_refused():
    with pytest.raises(ValueError, match="reconstruction_weights: imgae: give a value for each of a, b"):
        mhvae(KeepAll, "ab", reconstruction_weights={"imgae": 2.0})


def test_training_needs_every_modality():
    toy = mhvae(KeepAll, "ab")
    with pytest.raises(KeyError, match="b"):
        toy.model.loss(toy.batch(2, "a"), 0, 1, generator())
