"""What all models have in common, on linear-Gaussian versions of each whose densities are known exactly."""

from dataclasses import replace
from functools import partial
from itertools import chain, combinations

import numpy as np
import pytest
import torch
from torch.distributions import Laplace, Normal

from papers.hmvae.model import UniformDropoutMHVAE
from papers.mhvae.model import MHVAE
from papers.mmvae.model import MMVAE
from shared.models.baselines.mvae import MVAE
from shared.models.distributions import diagonal, normal
from tests.linear_gaussian import (
    G,
    X,
    assert_gradients_match_differences,
    assert_mean,
    generator,
    hmvae,
    log_weights,
    losses,
    mdvae,
    mhvae,
    mhvae_bound,
    mixture_log_prob,
    mmvae,
    mvae,
)

TOYS = {
    "hmvae": hmvae({"a": 2, "b": 2}),
    "hmvae deep": hmvae({"a": 3, "b": 2}, seed=1),
    "hmvae three": hmvae({"a": 2, "b": 3, "c": 2}, seed=2),
    "mdvae": mdvae(seed=3),
    "mdvae three": mdvae("abc", seed=4),
    "mhvae": mhvae(UniformDropoutMHVAE, seed=5),
    "mhvae three": mhvae(UniformDropoutMHVAE, "abc", seed=14),
    "mvae": mvae(seed=7),
    "mvae three": mvae("abc", seed=8),
    "mmvae": mmvae(seed=9),
    "mmvae three": mmvae("abc", seed=10),
}


@pytest.fixture(params=TOYS)
def toy(request):
    return TOYS[request.param]


def subsets(names):
    return chain.from_iterable(combinations(names, size) for size in range(1, len(names) + 1))


def points(toy, count):
    """Different data points: the modalities of each, (B, X)."""
    rng = np.random.default_rng(0)
    return {m: x + rng.normal(size=(count, X)) for m, x in toy.x.items()}


def as_batch(values, names):
    return {m: torch.from_numpy(values[m]) for m in names}


def test_log_joint_is_the_joint_density(toy):
    rng, x = np.random.default_rng(1), points(toy, 3)
    latents = {name: rng.normal(size=(2, 3, len(toy.p.where[name]))) for name in latents_of(toy)}
    for names in [(), *subsets(toy.x)]:
        with torch.no_grad():
            found = toy.model.log_joint(as_batch(latents, latents), as_batch(x, names))
        repeated = {m: np.tile(x[m], (2, 1, 1)) for m in names}
        np.testing.assert_allclose(found.numpy(), toy.p.log_prob(latents | repeated), rtol=1e-10)


def test_prior_counts_the_latent_variables_that_are_there(toy):
    """The own ones of a modality may be missing; the density is then that of the rest."""
    rng = np.random.default_rng(2)
    for names in [(), *subsets(toy.x)]:
        there = [name for name in latents_of(toy) if name == "g" or name.split("_")[1] in names]
        latents = {name: rng.normal(size=(2, 3, len(toy.p.where[name]))) for name in there}
        with torch.no_grad():
            found = toy.model.log_prior(as_batch(latents, latents))
        np.testing.assert_allclose(found.numpy(), toy.p.log_prob(latents), rtol=1e-10)


def test_nothing_given_samples_the_prior(toy):
    with torch.no_grad():
        latents, log_q = toy.model.sample_latents({}, 2, generator(), batch=5000)
        torch.testing.assert_close(log_q, toy.model.log_prior(latents))
    values = np.concatenate([latents[name].numpy() for name in latents_of(toy)], axis=-1)
    index = toy.p.index(latents_of(toy))
    direction = np.random.default_rng(0).normal(size=len(index))
    along = (values - toy.p.mean[index]) @ direction
    variance = direction @ toy.p.cov[np.ix_(index, index)] @ direction
    assert_mean(along, 0.0, precision=0.1)
    assert_mean(along**2, variance, precision=0.03 * variance)


def test_only_the_targets_own_latent_variables_are_drawn(toy):
    for given in ({}, toy.batch(5, "b")):
        for targets in [(), *subsets(toy.x)]:
            with torch.no_grad():
                latents, log_q = toy.model.sample_latents(given, 3, generator(), targets, batch=5)
                every, _ = toy.model.sample_latents(given, 3, generator(), batch=5)
            own = [name for name in latents_of(toy) if name != "g" and name.split("_")[1] in targets]
            assert sorted(latents) == sorted(["g", *own])
            assert torch.equal(latents["g"], every["g"])
            if not given:
                torch.testing.assert_close(log_q, toy.model.log_prior(latents))


def test_samples_carry_the_density_of_the_posterior(toy):
    x = points(toy, 3)
    for names in subsets(toy.x):
        with torch.no_grad():
            latents, log_q = toy.model.sample_latents(as_batch(x, names), 4, generator())
        assert log_q.shape == (4, 3)
        for point in range(3):
            components = toy.components({m: x[m][point] for m in names})
            own = {name: value[:, point].numpy() for name, value in latents.items()}
            np.testing.assert_allclose(log_q[:, point].numpy(), mixture_log_prob(components, own), rtol=1e-10)


def test_points_of_a_batch_do_not_mix(toy):
    """The loss of different data points is the mean of their own."""
    x = points(toy, 2)
    own = [exact_loss(replace(toy, x={m: x[m][point] for m in x})) for point in range(2)]
    batch, noise = {m: torch.from_numpy(np.tile(x[m], (400, 1))) for m in x}, generator()
    with torch.no_grad():
        estimates = [toy.model.loss(batch, 0, 3, noise).total.item() for _ in range(25)]
    assert_mean(np.array(estimates), np.mean(own), precision=0.1)


def exact_loss(toy):
    """Of each kind: one bound, or the sum of the joint one and those of the modalities alone."""
    alone = [(m,) for m in toy.x]
    if isinstance(toy.model, MVAE):
        return -sum(toy.bound(*names).elbo for names in [(), *alone])
    if isinstance(toy.model, MHVAE):
        return -sum(mhvae_bound(toy, *names).elbo for names in [tuple(toy.x), *alone])
    return -toy.bound().elbo


def test_samples_have_the_moments_of_the_posterior(toy):
    for names in ((*toy.x,), ("b",)):
        components = toy.components(toy.only(*names))
        with torch.no_grad():
            latents, _ = toy.model.sample_latents(toy.batch(5000, *names), 2, generator())
        values = np.concatenate([latents[name].numpy() for name in components[0].where], axis=-1)
        direction = np.random.default_rng(0).normal(size=values.shape[-1])
        along = values @ direction  # every moment enters a random projection
        assert_mean(along.mean(0), np.mean([q.mean @ direction for q in components]), precision=0.1)
        second = [(q.mean @ direction) ** 2 + direction @ q.cov @ direction for q in components]
        assert_mean((along**2).mean(0), np.mean(second), precision=0.03 * np.mean(second))


def test_importance_weights_estimate_every_likelihood(toy):
    """E[p(x, latents) / q] = p(x): of the given modalities, and of all from one (the rest from its prior)."""
    everything = tuple(toy.x)
    for given, x in ((everything, everything), (("a",), ("a",)), (("b",), ("b",)), (("a",), everything)):
        weights = (log_weights(toy, given, x, 6, 8000) - float(toy.p.log_prob(toy.only(*x)))).exp()
        assert_mean(weights.mean(0), 1.0, precision=0.05)


def test_bounds_are_ordered(toy):
    """ELBO < IWAE with 2 samples < with 12 < log p(x), the ends of the chain exact."""
    likelihood, elbo = float(toy.p.log_prob(toy.x)), toy.bound().elbo
    log_w = log_weights(toy, tuple(toy.x), tuple(toy.x), 12, 4000)
    estimates = [log_w.mean(0)]
    for samples in (2, 12):
        estimates.append(torch.logsumexp(log_w[:samples], 0) - np.log(samples))
    means = [elbo, *(estimate.mean().item() for estimate in estimates[1:]), likelihood]
    errors = [estimate.std().item() / np.sqrt(4000) for estimate in estimates]
    assert_mean(estimates[0], elbo, precision=0.1)
    assert means == sorted(means)
    assert all(np.diff(means) > errors[1])


def test_generates_the_marginal_without_a_condition(toy):
    """Means of p(x_m | latents) have the model's mean, and its covariance without the likelihood's own noise."""
    with torch.no_grad():
        generated = toy.model.generate({}, list(toy.x), 2, generator(), batch=10_000)
    values = np.concatenate([generated[m].flatten(0, 1).numpy() for m in toy.x], axis=1)
    index = toy.p.index(toy.x)
    noise = np.concatenate([toy.p.regression(m, list(latents_of(toy)))[2].diagonal() for m in toy.x])
    cov = toy.p.cov[np.ix_(index, index)] - np.diag(noise)
    direction = np.random.default_rng(1).normal(size=len(index))
    along = (values - toy.p.mean[index]) @ direction
    assert_mean(along, 0.0, precision=0.1)
    assert_mean(along**2, direction @ cov @ direction, precision=0.02 * direction @ cov @ direction)


def latents_of(toy):
    return [name for name in toy.p.where if name not in toy.x]


def test_generates_from_the_posterior_of_g_and_the_prior_below(toy):
    """Given b, the mean of the generated a is E_q(g|b)[E_p[a | g]]."""
    with torch.no_grad():
        generated = toy.model.generate(toy.batch(10_000, "b"), ["a"], 2, generator())["a"].mean(0)
    weight, bias, _ = toy.p.regression("a", ["g"])
    (q,) = toy.components(toy.only("b"))
    expected = weight @ q.mean[q.where["g"]] + bias
    for dimension in range(X):
        assert_mean(generated[:, dimension], expected[dimension], precision=0.05)


def test_a_target_that_is_given_is_reconstructed(toy):
    """Its own latent variables come from their posterior: E_q[x_a | latents] given a, by regression on the latents."""
    names = [name for name in latents_of(toy) if name == "g" or name.startswith("z_a")]
    weight, bias, _ = toy.p.regression("a", names)
    components = toy.components(toy.only("a"))
    expected = np.mean([weight @ q.mean[q.index(names)] + bias for q in components], axis=0)
    with torch.no_grad():
        generated = toy.model.generate(toy.batch(10_000, "a"), ["a"], 2, generator())["a"].mean(0)
    for dimension in range(X):
        assert_mean(generated[:, dimension], expected[dimension], precision=0.05)


def test_latents_may_be_changed_between_sampling_and_decoding():
    """Private variables swapped between data points: each is decoded with the other's."""
    model, x = TOYS["mdvae"].model, as_batch(points(TOYS["mdvae"], 2), "ab")
    with torch.no_grad():
        latents, _ = model.sample_latents(x, 3, generator())
        swapped = model.decode(latents | {"z_a_1": latents["z_a_1"].flip(1)}, ["a"])["a"]
        both = torch.cat([latents["g"], latents["z_a_1"].flip(1)], dim=-1)
        torch.testing.assert_close(swapped, model.decoders["a"](both))


def in_family(q, family):
    return diagonal(q.loc, q.scale, family)


@pytest.mark.parametrize("family", [Normal, Laplace])
@pytest.mark.parametrize("build", [mmvae, mdvae, partial(mhvae, UniformDropoutMHVAE)])
def test_prior_and_posteriors_of_another_family_and_learned_scales(build, family):
    """The loss against the plain average of log p(x, latents) - log q, samples from the prior against its scales."""
    toy = build(seed=11)
    model = toy.model
    priors = [model.prior, *getattr(model, "private_priors", {}).values()]
    for prior in priors:
        prior.family, prior.raw_scale = family, torch.nn.Parameter(torch.tensor([0.4, -0.4], dtype=torch.float64))
    if isinstance(model, MMVAE):
        model.distribution = lambda parameters: in_family(normal(parameters).base_dist, family)
    with torch.no_grad():
        latents, log_q = model.sample_latents({}, 4, generator(), batch=5000)
        torch.testing.assert_close(log_q, model.log_prior(latents))
        spread = latents["g"].abs() if family is Laplace else latents["g"].square()
        scale = 2 * torch.tensor([0.4, -0.4], dtype=torch.float64).softmax(0)
        for d in range(G):
            assert_mean(spread[..., d], scale[d].item() ** (1 if family is Laplace else 2), precision=0.05)
        if not isinstance(model, MHVAE):
            log_w = log_weights(toy, "ab", "ab", 4, 20_000)
            assert_mean(losses(toy), -log_w.mean().item(), precision=0.15)
    assert_gradients_match_differences(toy, 0)


def test_shapes(toy):
    given = toy.batch(5, "a")
    with torch.no_grad():
        generated = toy.model.generate(given, ["b", "a"], 4, generator())
        assert toy.model.represent(given).shape == (5, G)
        q = toy.model.posterior(given)
    assert list(generated) == ["b", "a"]
    assert all(x.shape == (4, 5, X) for x in generated.values())
    assert q.batch_shape == (5,)
    assert q.event_shape == (G,)
    assert toy.model.latent_variables == len(latents_of(toy))
    assert toy.model.modalities == tuple(toy.x)


def test_representation_is_the_mean_of_the_posterior(toy):
    for names in subsets(toy.x):
        components = toy.components(toy.only(*names))
        expected = np.mean([q.mean[q.where["g"]] for q in components], axis=0)
        with torch.no_grad():
            np.testing.assert_allclose(toy.model.represent(toy.batch(1, *names))[0].numpy(), expected)


def test_all_randomness_comes_from_the_generator(toy):
    batch, before = toy.batch(3), torch.get_rng_state()

    def everything(seed):
        with torch.no_grad():
            loss = toy.model.loss(batch, 0, 2, generator(seed))
            latents, log_q = toy.model.sample_latents({"a": batch["a"]}, 2, generator(seed))
            generated = toy.model.generate({"a": batch["a"]}, ["b"], 2, generator(seed))["b"]
        return [loss.total, *loss.terms.values(), *latents.values(), log_q, generated]

    first, again, other = everything(1), everything(1), everything(2)
    assert all(torch.equal(x, y) for x, y in zip(first, again, strict=True))
    assert not torch.equal(first[-1], other[-1])
    assert torch.equal(before, torch.get_rng_state())


def test_order_of_modalities_in_a_batch_does_not_matter(toy):
    batch = toy.batch(3)
    backwards = dict(reversed(batch.items()))
    with torch.no_grad():
        assert torch.equal(
            toy.model.loss(batch, 0, 2, generator()).total, toy.model.loss(backwards, 0, 2, generator()).total
        )


def test_loss_has_named_detached_terms(toy):
    loss = toy.model.loss(toy.batch(3), 0, 2, generator())
    assert loss.total.shape == ()
    assert loss.total.requires_grad
    assert all(term.shape == () and not term.requires_grad for term in loss.terms.values())
    assert "elbo" in loss.terms


@pytest.mark.parametrize("build", [mmvae, mdvae, lambda warmup: hmvae({"a": 3, "b": 2}, warmup=warmup)])
def test_warm_up_weighs_all_divergences(build):
    """-E log p(x | latents) + weight * KL, both exact: 0 in the first epoch, 1 from epoch 20 on."""
    toy = build(warmup=20)
    exact = toy.bound()
    for epoch, weight in ((0, 0.0), (5, 0.25), (20, 1.0), (50, 1.0)):
        expected = weight * (exact.kl_shared + exact.kl_private) - exact.reconstruction
        assert_mean(losses(toy, epoch), expected, precision=0.1)
    terms = toy.model.loss(toy.batch(1000), 0, 2, generator()).terms
    assert terms["elbo"].item() == pytest.approx(exact.elbo, abs=0.5)  # the natural ELBO, in any epoch


def test_no_level_below_g_without_a_chain():
    with pytest.raises(ValueError, match="MMVAE has no latent variable of level 1 for a"):
        TOYS["mmvae"].model.conditionals("a", 1, torch.zeros(1, G), None, 1)
