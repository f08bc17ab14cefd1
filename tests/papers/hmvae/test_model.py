"""HMVAE, MDVAE and the uniform domain dropout of MHVAE on linear-Gaussian versions, against exact bounds."""

import numpy as np
import pytest
import torch

from papers.hmvae.model import ModalityHierarchy, UniformDropoutMHVAE
from tests.linear_gaussian import (
    G,
    H,
    X,
    Z,
    assert_gradients_match_differences,
    assert_mean,
    exact_hmvae,
    generator,
    hmvae,
    log_weights,
    losses,
    mdvae,
    mhvae,
    mhvae_bound,
)

DEPTHS = [{"a": 2, "b": 2}, {"a": 3, "b": 2}, {"a": 2, "b": 3, "c": 2}]


# ---- HMVAE ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("residual", [False, True])
@pytest.mark.parametrize("samples", [1, 2, 3])
@pytest.mark.parametrize("depths", DEPTHS)
def test_loss_is_the_bound(depths, samples, residual):
    """-ELBO (Eq. 6) in expectation, with one sample, one per expert, and a number that is no multiple of them."""
    toy = hmvae(depths, seed=1, residual=residual)
    assert_mean(losses(toy, samples=samples, copies=800), -toy.bound().elbo, precision=0.1)


@pytest.mark.parametrize("residual", [False, True])
@pytest.mark.parametrize("depths", DEPTHS)
def test_loss_agrees_with_sampled_densities(depths, residual):
    """The closed-form divergences against the plain average of log p(x, latents) - log q(latents | x)."""
    toy = hmvae(depths, seed=2, residual=residual)
    log_w = log_weights(toy, tuple(depths), tuple(depths), 2, 40_000)
    assert_mean(log_w.mean(0), toy.bound().elbo, precision=0.05)


@pytest.mark.parametrize("depth", [2, 3, 5])
def test_one_modality_with_true_posteriors_is_exact(depth):
    """Every importance weight is p(x), whatever the sample, and the ELBO equals log p(x)."""
    toy = exact_hmvae({"a": depth})
    likelihood = float(toy.p.log_prob(toy.x))
    np.testing.assert_allclose(log_weights(toy, "a", "a", 5, 3).numpy(), likelihood)
    assert toy.bound().elbo == pytest.approx(likelihood)
    assert_mean(losses(toy), -likelihood, precision=0.1)


@pytest.mark.parametrize("given", ["a", "b"])
def test_one_of_two_modalities_is_exact_with_the_other_from_its_prior(given):
    toy = exact_hmvae({"a": 4, "b": 2}, seed=1)
    likelihood = float(toy.p.log_prob(toy.only(given)))
    np.testing.assert_allclose(log_weights(toy, given, given, 5, 3).numpy(), likelihood)


@pytest.mark.parametrize(("source", "target"), [("a", "b"), ("b", "a")])
def test_crossmodal_likelihood(source, target):
    """App. B.2: weights p(x_t | latents) with g ~ q(g | x_c), z_t from its prior, average to the exact p(x_t | x_c)."""
    toy = exact_hmvae({"a": 4, "b": 2}, seed=2)
    conditional = float(toy.p.log_prob(toy.x) - toy.p.log_prob(toy.only(source)))
    log_ratio = log_weights(toy, source, "ab", 4, 10_000) - log_weights(toy, source, source, 4, 10_000)
    assert_mean((log_ratio - conditional).exp().mean(0), 1.0, precision=0.02)


@pytest.mark.parametrize(("source", "target"), [("a", "b"), ("b", "a")])
def test_generates_the_true_conditional(source, target):
    """Means of p(x_t | latents) given x_c: E[x_t | x_c], and Cov[x_t | x_c] without the likelihood's noise."""
    toy = exact_hmvae({"a": 4, "b": 2}, seed=3)
    weight, bias, cov = toy.p.regression(target, [source])
    noise = toy.p.regression(target, [f"z_{target}_1"])[2]
    with torch.no_grad():
        generated = toy.model.generate(toy.batch(20_000, source), [target], 1, generator())[target][0].numpy()
    direction = np.random.default_rng(0).normal(size=X)
    along = (generated - weight @ toy.x[source] - bias) @ direction
    assert_mean(along, 0.0, precision=0.05)
    variance = direction @ (cov - noise) @ direction
    assert_mean(along**2, variance, precision=0.02 * variance)


def test_generation_uses_conditional_priors_only():
    """No network of the target's inference takes part: with all of them broken, the same comes out."""
    toy = hmvae({"a": 5, "b": 2}, seed=6)

    def generate():
        with torch.no_grad():
            return toy.model.generate(toy.batch(3, "b"), ["a"], 4, generator())["a"]

    before, target = generate(), toy.model.hierarchies["a"]
    for part in (target.bottom_up, target.expert, target.merges, target.posteriors):
        for parameter in part.parameters():
            torch.nn.init.constant_(parameter, torch.nan)
    assert torch.equal(generate(), before)
    torch.nn.init.constant_(target.priors[2].bias, torch.nan)
    assert generate().isnan().all()


def test_private_posteriors_see_the_other_modality_through_g_only():
    toy = hmvae({"a": 3, "b": 2}, seed=7)
    batch, other = toy.batch(2), toy.batch(2)
    other["b"] = other["b"] + 1
    (q_g, evidence), (other_g, other_evidence) = toy.model.encode(batch), toy.model.encode(other)
    assert not torch.equal(q_g.mean, other_g.mean)
    state = torch.randn(6, H, generator=generator(), dtype=torch.float64)
    for level in toy.model.levels("a"):
        _, q = toy.model.conditionals("a", level, state, evidence["a"], 3)
        _, other_q = toy.model.conditionals("a", level, state, other_evidence["a"], 3)
        assert torch.equal(q.mean, other_q.mean)
        _, moved = toy.model.conditionals("a", level, state + 1, evidence["a"], 3)
        assert not torch.equal(q.mean, moved.mean)


@pytest.mark.parametrize("residual", [False, True])
def test_prior_and_posterior_share_the_top_down_network(residual):
    toy = hmvae({"a": 3, "b": 2}, seed=8, residual=residual)
    model, (_, evidence) = toy.model, toy.model.encode(toy.batch(1))
    state = model.top("a", torch.ones(1, G, dtype=torch.float64))
    for level in model.levels("a"):
        p, q = model.conditionals("a", level, state, evidence["a"], 1)
        top_down = model.hierarchies["a"].top_down[level - 1].weight
        for distribution in (p, q):
            (gradient,) = torch.autograd.grad(distribution.mean.sum(), top_down, retain_graph=True)
            assert gradient.abs().sum() > 0
        state = model.below("a", level, state, torch.ones(1, Z, dtype=torch.float64))


@pytest.mark.parametrize("residual", [False, True])
def test_g_reaches_the_data_past_the_latent_variables_where_the_state_passes_them(residual):
    """With every z fixed, the decoder's output depends on g in the residual hierarchy alone (Eq. 4 is Markov)."""
    toy = hmvae({"a": 4, "b": 2}, seed=8, residual=residual)
    latents, _ = toy.model.sample_latents({}, 1, generator(), ["a"], batch=2)
    moved = latents | {"g": latents["g"] + 1}
    same = torch.equal(*(toy.model.decode(each, ["a"])["a"] for each in (latents, moved)))
    assert same is not residual


@pytest.mark.parametrize("depths", [*DEPTHS, {"a": 5, "b": 2}])
def test_latent_variables_are_g_and_one_per_level_below_it(depths):
    model = hmvae(depths).model
    assert model.latent_variables == 1 + sum(depth - 1 for depth in depths.values())
    assert {m: list(model.levels(m)) for m in depths} == {m: list(range(d - 1, 0, -1)) for m, d in depths.items()}


def test_hierarchy_needs_every_network_of_every_level():
    one, two = [torch.nn.Identity()], [torch.nn.Identity()] * 2
    with pytest.raises(ValueError, match="one network per level"):
        ModalityHierarchy(two, one[0], two, one, two, two, one[0])
    with pytest.raises(ValueError, match="one network per level"):
        ModalityHierarchy(two, one[0], two, two, two, two, one[0], projections=one)


@pytest.mark.parametrize("epoch", [1, 4])
@pytest.mark.parametrize("residual", [False, True])
def test_gradients_of_hmvae(epoch, residual):
    assert_gradients_match_differences(hmvae({"a": 3, "b": 2}, seed=9, warmup=4, residual=residual), epoch)


# ---- MDVAE ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("modalities", ["ab", "abc"])
@pytest.mark.parametrize("samples", [1, 2])
def test_loss_of_mdvae_is_its_bound(modalities, samples):
    """Eq. 18."""
    toy = mdvae(modalities, seed=1)
    assert_mean(losses(toy, samples=samples), -toy.bound().elbo, precision=0.1)


def test_private_variables_of_mdvae_are_independent_of_g():
    toy = mdvae(seed=2)
    p, q = toy.model.conditionals("a", 1, torch.ones(3, 2, dtype=torch.float64), None, 3)
    assert q is None
    assert torch.equal(p.mean, torch.zeros(3, 2))
    assert torch.equal(p.base_dist.scale, torch.ones(3, 2))
    (_, private), (_, alone) = toy.model.encode(toy.batch(2)), toy.model.encode(toy.batch(2, "a"))
    assert torch.equal(private["a"].mean, alone["a"].mean)


@pytest.mark.parametrize("epoch", [1, 4])
def test_gradients_of_mdvae(epoch):
    assert_gradients_match_differences(mdvae(seed=3, warmup=4), epoch)


# ---- MHVAE with uniform domain dropout -----------------------------------------------------------------------------


@pytest.mark.parametrize("modalities", ["ab", "abc"])
def test_masks_are_all_modalities_and_each_alone(modalities):
    count = len(modalities)
    first, *alone = mhvae(UniformDropoutMHVAE, modalities).model.dropout_masks(5, generator())
    assert torch.equal(first, torch.ones(5, count))
    assert torch.equal(torch.stack(alone), torch.eye(count)[:, None].expand(count, 5, count))


@pytest.mark.parametrize("modalities", ["ab", "abc"])
@pytest.mark.parametrize("samples", [1, 3])
def test_loss_is_the_sum_of_the_bounds_under_uniform_domain_dropout(modalities, samples):
    """Eq. 19, with the divergences' signs as in an ELBO: all private terms in each bound, only q(g | .) differs."""
    toy = mhvae(UniformDropoutMHVAE, modalities, seed=1)
    bounds = [mhvae_bound(toy, *modalities), *(mhvae_bound(toy, m) for m in modalities)]
    assert_mean(losses(toy, samples=samples), -sum(b.elbo for b in bounds), precision=0.3)


@pytest.mark.parametrize(("epoch", "core", "private"), [(0, 0.0, 0.0), (3, 0.3, 0.6), (7, 0.7, 1.0), (10, 1.0, 1.0)])
def test_warm_ups_under_uniform_domain_dropout(epoch, core, private):
    toy = mhvae(UniformDropoutMHVAE, seed=2, core=10, private=5)
    bounds = [mhvae_bound(toy, "a", "b"), mhvae_bound(toy, "a"), mhvae_bound(toy, "b")]
    expected = sum(core * b.kl_shared + private * b.kl_private - b.reconstruction for b in bounds)
    assert_mean(losses(toy, epoch), expected, precision=0.3)


def test_terms_under_uniform_domain_dropout_are_means_over_the_masks():
    toy = mhvae(UniformDropoutMHVAE, seed=3)
    bounds = [mhvae_bound(toy, "a", "b"), mhvae_bound(toy, "a"), mhvae_bound(toy, "b")]
    terms = toy.model.loss(toy.batch(20_000), 0, 1, generator()).terms
    assert terms["kl_g"].item() == pytest.approx(np.mean([b.kl_shared for b in bounds]))
    assert terms["elbo"].item() == pytest.approx(np.mean([b.elbo for b in bounds]), abs=0.1)


def test_gradients_of_uniform_domain_dropout():
    assert_gradients_match_differences(mhvae(UniformDropoutMHVAE, seed=4, core=10, private=5), 3)
