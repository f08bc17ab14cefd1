"""Importance sampling against likelihoods that are known exactly: every model, every proposal, 2 and 3 modalities."""

from functools import partial
from itertools import combinations

import numpy as np
import pytest
import torch
from scipy.special import logsumexp

from papers.hmvae.model import UniformDropoutMHVAE
from papers.mhvae import networks
from papers.mhvae.model import BernoulliDropoutMHVAE
from shared.data.arrays import Split
from shared.metrics import likelihood
from shared.metrics.likelihood import Estimates, LogWeightSums, estimate, even_parts, over_split
from shared.models.contract import MultimodalVAE
from tests import linear_gaussian
from tests.linear_gaussian import (
    assert_mean,
    exact_hmvae,
    exact_mmvae,
    exact_mvae,
    generator,
    hmvae,
    jmvae,
    mdvae,
    mhvae,
    mmvae,
    mvae,
)


@pytest.fixture(autouse=True)
def wide_proposals(monkeypatch):
    """A product of experts is narrower than each; from this width on all weights have a finite variance."""
    monkeypatch.setattr(linear_gaussian.Numbers, "width", 2.0)


def bernoulli_mhvae(modalities, seed=0):
    return mhvae(BernoulliDropoutMHVAE, modalities, seed, dropout=dict.fromkeys(modalities, 0.5))


TOYS = {
    "jmvae": jmvae,
    "mvae": mvae,
    "mmvae": mmvae,
    "mdvae": mdvae,
    "mhvae": bernoulli_mhvae,
    "mhvae of the HMVAE paper": partial(mhvae, UniformDropoutMHVAE),
    "hmvae": lambda modalities, seed: hmvae(dict(zip(modalities, (2, 3, 2), strict=False)), seed),
}


def subsets(modalities):
    return [names for size in range(1, len(modalities) + 1) for names in combinations(modalities, size)]


def repeated(toy, given, targets, samples, copies, seed=0):
    """Independent estimates at one data point: the points of a batch of copies share no noise."""
    given, targets = tuple(given), [tuple(target) for target in targets]
    return estimate(toy.model, toy.batch(copies), given, targets, samples, generator(seed))


# The truth


@pytest.mark.parametrize("modalities", ["ab", "abc"])
@pytest.mark.parametrize("name", TOYS)
def test_the_estimate_converges_to_the_likelihood_from_every_proposal(name, modalities):
    """Within the error that it states, for every target from every proposal, whichever modalities are missing."""
    toy = TOYS[name](tuple(modalities), seed=1)
    targets = subsets(modalities)
    for given in targets:
        found = repeated(toy, given, targets, samples=30_000, copies=2)
        for target in targets:
            truth, each = float(toy.p.log_prob(toy.only(*target))), found.log_p(target)
            assert (each.error < 0.2).all(), (given, target)
            assert ((each.value - truth).abs() < 5 * each.error + 1e-9).all(), (given, target)


@pytest.mark.parametrize("modalities", ["ab", "abc"])
@pytest.mark.parametrize("name", ["jmvae", "mvae", "mhvae"])
def test_conditionals_converge_too(name, modalities):
    """log p(x_a | x_b) from q(. | x_b), as in the MHVAE paper's tables, is a difference of two exact numbers."""
    toy = TOYS[name](tuple(modalities), seed=2)
    found = repeated(toy, "b", ["ab", "b"], samples=30_000, copies=2).conditional(("a", "b"), ("b",))
    truth = float(toy.p.log_prob(toy.only("a", "b")) - toy.p.log_prob(toy.only("b")))
    assert (found.error < 0.2).all()
    assert ((found.value - truth).abs() < 5 * found.error).all()


@pytest.mark.parametrize("modalities", ["ab", "abc"])
def test_a_mixture_of_experts_that_lie_apart_converges(modalities):
    """Samples of one expert alone would be off by the logarithm of the number of experts, or far more."""
    toy = mmvae(tuple(modalities), seed=1, apart=8.0)
    found = repeated(toy, modalities, subsets(modalities), samples=30_000, copies=4)
    for target in subsets(modalities):
        truth, each = float(toy.p.log_prob(toy.only(*target))), found.log_p(target)
        assert (each.error < 0.05).all()
        assert ((each.value - truth).abs() < 5 * each.error).all()


@pytest.mark.parametrize("name", ["jmvae", "mvae", "mhvae", "hmvae"])
@pytest.mark.parametrize("given", ["a", "b", "ab"])
def test_weights_are_unbiased(name, given):
    """E exp(log p̂) = p(x), for K = 3 as for any K."""
    toy = TOYS[name](("a", "b"), seed=3)
    found = repeated(toy, given, ["ab"], samples=3, copies=60_000).log_p(("a", "b")).value
    assert_mean((found - float(toy.p.log_prob(toy.x))).exp(), 1.0, precision=0.05)


@pytest.mark.parametrize("name", ["jmvae", "mvae", "mhvae"])
@pytest.mark.parametrize("given", ["a", "b", "ab"])
def test_more_samples_tighten_the_bound_from_the_elbo_up(name, given):
    toy = TOYS[name](("a", "b"), seed=4)
    truth, means = float(toy.p.log_prob(toy.x)), []
    for samples in (1, 2, 8, 64, 512):
        values = repeated(toy, given, ["ab"], samples, copies=200_000 // samples).log_p(("a", "b")).value
        means.append(values.mean().item())
        error = values.std().item() / len(values) ** 0.5
        assert means[-1] < truth + 5 * error
    assert means == sorted(means)
    if given == "ab":
        first = repeated(toy, given, ["ab"], 1, 200_000).log_p(("a", "b")).value
        assert_mean(first, toy.bound().elbo, precision=0.05)


def test_bias_and_error_fall_as_theory_says():
    """Of log p̂ the bias is -Var(w)/(2 K p²) and the variance Var(w)/(K p²), up to terms of higher order.

    A proposal with a known variance of weights: the true posterior, widened by 30 %.
    """
    toy = exact_mvae(seed=5)
    sampled, log_prob = toy.model.sample_latents, toy.model.posterior(toy.batch(1))
    loc, scale = log_prob.mean, 1.3 * log_prob.base_dist.scale

    class Widened(type(toy.model)):
        def sample_latents(self, given, samples, generator, targets=None, batch=None):
            latents, _ = sampled(given, samples, generator)
            g = loc + 1.3 * (latents["g"] - loc)
            return {"g": g}, torch.distributions.Normal(loc, scale).log_prob(g).sum(-1)

    toy.model.__class__ = Widened
    # w / p = N(g; m, s²) / N(g; m, (c s)²), for which E (w/p)² = c² / sqrt(2 c² - 1) under the wider one, by hand
    relative = 1.3**2 / np.sqrt(2 * 1.3**2 - 1) - 1
    truth = float(toy.p.log_prob(toy.x))
    for samples in (8, 16, 32):
        found = repeated(toy, "ab", ["ab"], samples, copies=1_600_000 // samples).log_p(("a", "b"))
        values = found.value - truth
        assert values.var().item() == pytest.approx(relative / samples, rel=0.12)
        assert_mean(values, -relative / (2 * samples), precision=relative / (4 * samples))
        assert found.error.square().mean().item() == pytest.approx(relative / samples, rel=0.15)


@pytest.mark.parametrize("name", ["jmvae", "mvae", "mhvae"])
def test_the_stated_error_is_the_spread_of_repeated_estimates(name):
    toy = TOYS[name](("a", "b"), seed=6)
    joint = repeated(toy, "ab", ["ab"], samples=5000, copies=400).log_p(("a", "b"))
    z = (joint.value - float(toy.p.log_prob(toy.x))) / joint.error
    assert z.std().item() == pytest.approx(1, abs=0.2)
    found = repeated(toy, "b", ["ab", "b"], samples=5000, copies=400)
    conditional = found.conditional(("a", "b"), ("b",))
    truth = float(toy.p.log_prob(toy.x) - toy.p.log_prob(toy.only("b")))
    assert ((conditional.value - truth) / conditional.error).std().item() == pytest.approx(1, abs=0.2)


def test_the_stated_error_understates_where_one_sample_carries_the_sum():
    """A limit of the delta method, which no reader of the error may forget: it stays below 1 nat."""
    log_weights = bank(500, 300, scale=30.0)
    found = estimate(Bank(log_weights), numbered(300), "a", TARGETS[:1], 500, generator()).log_p(("a",))
    assert found.effective_samples.median() < 2
    assert found.error.max() < 1
    assert found.value.std() > 5


@pytest.mark.parametrize(("toy", "names"), [(exact_mvae("abc"), "abc"), (exact_mvae("abc"), "b"), (exact_mmvae(), "a")])
def test_the_true_posterior_needs_one_sample(toy, names):
    found = repeated(toy, names, [names], samples=1, copies=5).log_p(tuple(names))
    np.testing.assert_allclose(found.value, float(toy.p.log_prob(toy.only(*names))))
    many = repeated(toy, names, [names], samples=50, copies=5).log_p(tuple(names))
    np.testing.assert_allclose(many.error, 0, atol=1e-6)
    np.testing.assert_allclose(many.effective_samples, 50)


def test_a_deep_hierarchy_with_exact_posteriors_has_no_error():
    toy = exact_hmvae({"a": 3})
    found = repeated(toy, "a", ["a"], samples=4, copies=3).log_p(("a",))
    np.testing.assert_allclose(found.value, float(toy.p.log_prob(toy.only("a"))))


# The arithmetic: chunks and axes


class Bank(MultimodalVAE):
    """Serves log weights from a bank (K, B) sample by sample, so that no chunking can change what is drawn."""

    modalities = ("a", "b")
    latent_variables = 1
    decode = loss = None

    def __init__(self, log_weights):
        super().__init__()
        self.log_weights, self.served, self.rows = log_weights, {}, []
        self.eval()

    def posterior(self, given):
        return None  # no mixture

    def sample_latents(self, given, samples, generator, targets=None, batch=None):
        points = given["a"][:, 0].long()
        first = self.served.get(points[0].item(), 0)
        self.served[points[0].item()] = first + samples
        self.rows.append(samples * len(points))
        chosen = self.log_weights[first : first + samples][:, points]
        return {"w": chosen}, torch.zeros(chosen.shape)

    def log_prior(self, latents):
        return latents["w"]

    def log_likelihoods(self, latents, x):
        terms = {"a": torch.zeros_like(latents["w"]), "b": torch.sin(latents["w"])}
        return {m: terms[m] for m in x}


Bank.__abstractmethods__ = frozenset()


def bank(samples, points, scale=3.0, shift=-200.0):
    return shift + scale * torch.randn(samples, points, generator=generator(), dtype=torch.float64)


def numbered(points):
    """A batch that says which points it holds."""
    return {m: torch.arange(float(points))[:, None] for m in "ab"}


TARGETS = [("a",), ("a", "b")]


@pytest.mark.parametrize("rows", [1, 7, 64, 1000, 10_000])
def test_chunks_of_samples_change_nothing(rows):
    log_weights = bank(103, 4)
    found = estimate(Bank(log_weights), numbered(4), "a", TARGETS, 103, generator(), rows)
    expected = {("a",): log_weights.numpy(), ("a", "b"): (log_weights + log_weights.sin()).numpy()}
    for target, weights in expected.items():
        each, w = found.log_p(target), np.exp(weights + 200)
        np.testing.assert_allclose(each.value, logsumexp(weights, axis=0) - np.log(103), rtol=1e-12)
        relative = (w / w.mean(0)).var(0) / 103
        np.testing.assert_allclose(each.error, np.sqrt(relative), rtol=1e-9)
        np.testing.assert_allclose(each.effective_samples, w.sum(0) ** 2 / (w**2).sum(0), rtol=1e-9)
    v, w = (np.exp(weights + 200) for weights in expected.values())
    conditional = found.conditional(("a", "b"), ("a",))
    np.testing.assert_allclose(conditional.value, np.log(w.mean(0)) - np.log(v.mean(0)), rtol=1e-9)
    np.testing.assert_allclose(conditional.error, np.sqrt(((w / w.sum(0) - v / v.sum(0)) ** 2).sum(0)), rtol=1e-9)


@pytest.mark.parametrize("rows", [1, 10, 100, 5000])
def test_chunks_of_points_change_nothing_and_no_point_is_left_out(rows):
    log_weights = bank(10, 33)
    split = Split(numbered(33))
    found = over_split(Bank(log_weights), split, "a", TARGETS, 10, generator(), rows=rows).log_p(("a",)).summary()
    values = logsumexp(log_weights.numpy(), axis=0) - np.log(10)
    assert found.points == 33
    assert found.mean == pytest.approx(values.mean(), rel=1e-12)
    assert found.standard_error == pytest.approx(values.std(ddof=1) / np.sqrt(33), rel=1e-9)
    even, odd = (logsumexp(log_weights.numpy()[first::2], axis=0) for first in (0, 1))
    assert found.monte_carlo_error == pytest.approx(np.sqrt(((even - odd) ** 2).sum() / 2) / 33, rel=1e-9)


@pytest.mark.parametrize("samples", [2, 100, 101])
@pytest.mark.parametrize("scale", [0.1, 1.0, 5.0, 30.0])
def test_the_monte_carlo_error_is_how_far_repeated_means_lie_apart(samples, scale):
    """From weights that hardly differ to those of which one carries the sum; conditionals alike.

    The error of half the samples is at most sqrt(2) times that of all; where one sample carries the sum, it is nearly
    the same.
    """
    targets, repeats, points = (("a",), ("a", "b")), 400, 60
    weights = torch.randn(samples, repeats * points, generator=generator(), dtype=torch.float64) * scale
    more = torch.randn(samples, repeats * points, generator=generator(1), dtype=torch.float64) * scale
    means, errors = {"log p": [], "conditional": []}, {"log p": [], "conditional": []}
    for v, w in zip(weights.split(points, 1), more.split(points, 1), strict=True):
        sums = LogWeightSums(targets)
        sums.update({targets[0]: v, targets[1]: v + w})
        found = Estimates(sums)
        for name, each in (("log p", found.log_p(targets[0])), ("conditional", found.conditional(*targets[::-1]))):
            means[name].append(each.summary().mean)
            errors[name].append(each.summary().monte_carlo_error)
    for name in means:
        ratio = np.sqrt(np.mean(np.square(errors[name]))) / np.std(means[name], ddof=1)
        assert 0.9 < ratio < 1.1 * np.sqrt(2), name


@pytest.mark.parametrize("modalities", ["ab", "abcd"])
def test_the_monte_carlo_error_of_a_mixture_knows_that_its_experts_take_turns(modalities):
    """With every other sample in either half, the halves would see one of two experts each: 36 times too much."""
    toy, given = mmvae(modalities, apart=3.0), tuple(modalities)
    found = [repeated(toy, given, [given], samples=1120, copies=200, seed=seed).log_p(given) for seed in range(8)]
    first, second = torch.cat([each.halves for each in found], dim=1)
    stated = ((first - second).square() / 2).mean().sqrt()
    seen = torch.cat([each.value for each in found]).std()
    assert 0.9 < stated / seen < 1.15 * np.sqrt(2)


def test_data_points_never_mix():
    """Points whose likelihoods lie hundreds of nats apart: an average over the wrong axis would show at once."""
    log_weights = bank(50, 6) + torch.tensor([0.0, -900.0, 500.0, -3.0, 40.0, -5000.0])
    together = estimate(Bank(log_weights), numbered(6), "a", TARGETS, 50, generator()).log_p(("a",)).value
    for point in range(6):
        alone = {m: x[point : point + 1] for m, x in numbered(6).items()}
        one = estimate(Bank(log_weights), alone, "a", TARGETS, 50, generator()).log_p(("a",)).value
        assert one.item() == pytest.approx(together[point].item(), rel=1e-12)


@pytest.mark.parametrize("name", TOYS)
@pytest.mark.parametrize("given", ["a", "ab"])
def test_other_data_points_change_nothing(name, given):
    """With the same noise, a point's estimates do not depend on what stands beside it in the batch."""
    toy = TOYS[name](("a", "b"), seed=7)
    assert_points_are_independent(toy.model, toy.batch(4), given)


def test_other_data_points_change_nothing_with_batch_normalisation():
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        model = networks.mhvae(
            "papers.mhvae.networks:mnist",
            latent_dim=4,
            private_dims={"image": 4, "label": 4},
            core_hidden=8,
            dropout={"image": 0.5, "label": 0.5},
            reconstruction_weights={},
            private_weights={},
            core_weight=1.0,
            warmup_core=0,
            warmup_private=0,
        )
    image = torch.rand(4, 1, 28, 28, generator=generator())
    assert_points_are_independent(model.eval(), {"image": image, "label": torch.eye(10)[:4]}, ["label"])


def assert_points_are_independent(model, x, given):
    """Points 0 and 2 stay; 1 and 3 are replaced by others."""
    stay = torch.tensor([0, 2])
    changed = {m: 30 * values.flip(0) for m, values in x.items()}
    for m in x:
        changed[m][stay] = x[m][stay]
    targets = [tuple(model.modalities[:1]), tuple(model.modalities)]
    before, after = (estimate(model, batch, given, targets, 20, generator(), rows=32) for batch in (x, changed))
    for target in targets:
        for name in ("value", "error", "effective_samples"):
            found, expected = (getattr(each.log_p(target), name) for each in (after, before))
            torch.testing.assert_close(found[stay], expected[stay], rtol=1e-6, atol=1e-6)
        assert ((after.log_p(target).value - before.log_p(target).value)[[1, 3]].abs() > 1e-3).all()


@pytest.mark.parametrize("shift", [-1e5, 1e5])
def test_weights_beyond_the_range_of_exp_are_no_problem(shift):
    log_weights = bank(200, 2, shift=0.0)
    plain = estimate(Bank(log_weights), numbered(2), "a", TARGETS[:1], 200, generator()).log_p(("a",))
    far = estimate(Bank(log_weights + shift), numbered(2), "a", TARGETS[:1], 200, generator()).log_p(("a",))
    torch.testing.assert_close(far.value - shift, plain.value, atol=1e-8, rtol=0)
    torch.testing.assert_close(far.error, plain.error, atol=1e-6, rtol=1e-6)


def test_sums_of_float32_weights_run_in_float64():
    """100,000 weights of 1 and one of 2^-20 in chunks: float32 would lose the small one and the later ones."""
    sums = LogWeightSums([("a",)])
    for _ in range(1000):
        sums.update({("a",): torch.zeros(100, 1)})
    sums.update({("a",): torch.full((1, 1), -20 * np.log(2), dtype=torch.float32)})
    value = Estimates(sums).log_p(("a",)).value
    assert value.dtype == torch.float64
    assert (value.exp() * 100_001).item() == pytest.approx(100_000 + 2**-20, abs=1e-8)


@pytest.mark.parametrize(("samples", "points"), [(5000, 3), (100, 40), (1, 3000), (1025, 2)])
def test_networks_never_see_more_rows_than_asked_for(samples, points):
    model = Bank(torch.zeros(samples, points))
    over_split(model, Split(numbered(points)), "a", TARGETS, samples, generator())
    assert max(model.rows) <= likelihood.ROWS
    assert sum(model.rows) == samples * points


@pytest.mark.parametrize(("samples", "points", "rows"), [(5, 600, 1024), (1000, 63, 64), (7, 1000, 1024), (9, 5, 32)])
def test_a_batch_that_does_not_divide_the_rows_keeps_within_them(samples, points, rows):
    model = Bank(torch.zeros(samples, points))
    estimate(model, numbered(points), "a", TARGETS, samples, generator(), rows)
    assert max(model.rows) <= rows
    assert sum(model.rows) == samples * points


def test_a_batch_larger_than_the_rows_is_seen_one_sample_at_a_time():
    model = Bank(torch.zeros(3, 50))
    estimate(model, numbered(50), "a", TARGETS, 3, generator(), rows=20)
    assert model.rows == [50, 50, 50]


def test_a_part_of_the_split_is_spread_evenly():
    log_weights = bank(4, 100)
    found = over_split(Bank(log_weights), Split(numbered(100)), "a", TARGETS, 4, generator(), points=10)
    found = found.log_p(("a",)).summary()
    values = logsumexp(log_weights[:, 5::10].numpy(), axis=0) - np.log(4)
    assert (found.points, found.mean) == (10, pytest.approx(values.mean()))


@pytest.mark.parametrize(("total", "parts"), [(5000, 5), (10, 3), (3, 7), (1, 1)])
def test_even_parts(total, parts):
    found = even_parts(total, parts)
    assert sum(found) == total
    assert max(found) - min(found) <= 1
    assert min(found) >= 1
    assert len(found) == min(parts, total)


# Requests without an answer


def test_a_model_in_training_mode_is_refused():
    model = Bank(bank(4, 2)).train()
    with pytest.raises(ValueError, match="training mode"):
        estimate(model, numbered(2), "a", TARGETS, 4, generator())


def test_no_samples_and_more_points_than_there_are_are_refused():
    model = Bank(bank(4, 2))
    with pytest.raises(ValueError, match="0 importance samples"):
        estimate(model, numbered(2), "a", TARGETS, 0, generator())
    for points in (0, 3):
        with pytest.raises(ValueError, match=f"{points} of 2 points"):
            over_split(model, Split(numbered(2)), "a", TARGETS, 4, generator(), points=points)


def test_a_conditional_needs_one_set_within_the_other():
    found = estimate(Bank(bank(4, 2)), numbered(2), "a", [("a",), ("b",), ("a", "b")], 4, generator())
    for target, given in ((("a",), ("b",)), (("a",), ("a",)), (("a",), ("a", "b"))):
        with pytest.raises(ValueError, match="the second within the first"):
            found.conditional(target, given)


def test_one_sample_has_no_monte_carlo_error():
    found = estimate(Bank(bank(1, 3)), numbered(3), "a", TARGETS, 1, generator())
    for each in (found.log_p(("a",)), found.conditional(("a", "b"), ("a",))):
        assert each.summary().monte_carlo_error is None
        assert each.value.isfinite().all()


def test_one_point_has_no_spread():
    summary = estimate(Bank(bank(4, 1)), numbered(1), "a", TARGETS, 4, generator()).log_p(("a",)).summary()
    assert summary.standard_error is None
    assert summary.points == 1
