"""Objectives of several importance samples through the contract: K inside the logarithm, and gradients of their own.

The model is MMVAE's, trained on the tighter bound of Shi et al. (2019, Eq. 3) for one modality, where it is the IWAE's
(Burda et al., 2016), with or without the doubly reparameterised gradient (Tucker et al., 2019). g and x are scalars, so
that bound and gradient are sums over a grid of quadrature points.
"""

from itertools import product

import numpy as np
import pytest
import torch
from numpy.polynomial.hermite_e import hermegauss
from scipy.special import logsumexp
from scipy.stats import norm
from torch import nn

from papers.mmvae.model import MMVAE
from shared.models.contract import Loss
from shared.models.distributions import MIN_SCALE, LearnedNormal, Prior, diagonal
from shared.models.experts import sample
from shared.models.objectives import KLWeight
from tests.linear_gaussian import generator

X = 1.3  # the data point


def detached(q):
    return diagonal(q.base_dist.loc.detach(), q.base_dist.scale.detach(), type(q.base_dist))


class ImportanceWeighted(MMVAE):
    """-E log 1/K Σ_k p(x, g_k) / q(g_k | x), K = samples."""

    doubly_reparameterised = True

    def loss(self, batch, epoch, samples, generator):
        q = self.posterior(batch)
        g = sample(q, samples, generator)
        if self.doubly_reparameterised:  # no score of q: the gradient runs through g alone, by squared weights
            q = self.combine([detached(expert) for expert in self.experts(batch).values()])
        log_w = self.log_joint({"g": g}, batch) - q.log_prob(g)
        bound = (log_w.logsumexp(0) - np.log(samples)).mean()
        if not self.doubly_reparameterised:
            return Loss(-bound, {"bound": bound.detach()})
        weights = log_w.detach().softmax(0)
        if g.requires_grad:
            g.register_hook(lambda gradient: weights[..., None] * gradient)
        return Loss(-(weights * log_w).sum(0).mean(), {"bound": bound.detach()})


def build(doubly_reparameterised=True):
    """q = N(0.5 x - 0.2, 0.9²), p(x | g) = N(0.8 g + 0.1, 0.7²)."""
    encoder, decoder = nn.Linear(1, 2), nn.Linear(1, 2)
    for layer, weight, bias, scale in ((encoder, 0.5, -0.2, 0.9), (decoder, 0.8, 0.1, 0.7)):
        raw = np.log(np.expm1(scale - MIN_SCALE))
        layer.load_state_dict({"weight": torch.tensor([[weight], [0.0]]), "bias": torch.tensor([bias, raw])})
    model = ImportanceWeighted({"a": encoder}, {"a": decoder}, {"a": LearnedNormal()}, Prior(1), KLWeight()).double()
    model.doubly_reparameterised = doubly_reparameterised
    return model


def numbers(model):
    return np.concatenate([parameter.detach().numpy().ravel() for parameter in model.parameters()])


def exact_bound(parameters, samples):
    """E log 1/K Σ_k w_k by quadrature over the K noises. Parameters in the order of `numbers`: q's first, then p's."""
    (qw, qs, qb, qr), (pw, ps, pb, pr) = parameters[:4], parameters[4:]
    loc, scale = qw * X + qb, np.logaddexp(0, qs * X + qr) + MIN_SCALE
    nodes, masses = hermegauss(24)
    masses = masses / masses.sum()
    g = loc + scale * nodes
    likelihood = norm(pw * g + pb, np.logaddexp(0, ps * g + pr) + MIN_SCALE).logpdf(X)
    log_w = likelihood + norm.logpdf(g) - norm(loc, scale).logpdf(g)
    places = product(range(len(nodes)), repeat=samples)
    return sum(masses[list(i)].prod() * (logsumexp(log_w[list(i)]) - np.log(samples)) for i in places)


def exact_gradient(parameters, samples, step=1e-4):
    differences = []
    for move in step * np.eye(len(parameters)):
        above, below = (exact_bound(parameters + sign * move, samples) for sign in (1, -1))
        differences.append((above - below) / (2 * step))
    return np.array(differences)


def gradients(model, samples, points=4000, repeats=50):
    """Independent estimates of the gradient of the bound, (repeats, parameters)."""
    noise, batch = generator(3), {"a": torch.full((points, 1), X, dtype=torch.float64)}
    found = []
    for _ in range(repeats):
        model.zero_grad()
        model.loss(batch, 0, samples, noise).total.backward()
        found.append(torch.cat([-parameter.grad.flatten() for parameter in model.parameters()]).numpy())
    return np.array(found)


@pytest.mark.parametrize("samples", [1, 2])
@pytest.mark.parametrize("doubly_reparameterised", [True, False])
def test_expected_gradient_is_that_of_the_exact_bound(samples, doubly_reparameterised):
    model = build(doubly_reparameterised)
    estimates, exact = gradients(model, samples), exact_gradient(numbers(model), samples)
    error = estimates.std(0, ddof=1) / np.sqrt(len(estimates))
    assert (error < 0.02).all(), "too few samples to tell"
    assert (np.abs(estimates.mean(0) - exact) < 5 * error + 1e-6).all()


def test_both_gradients_agree_with_many_samples_and_one_is_less_noisy():
    """K = 16, whose bound has no exact value here. Tucker et al.'s varies less in the encoder."""
    estimates = {doubly: gradients(build(doubly), 16, points=2000) for doubly in (True, False)}
    means = {kind: values.mean(0) for kind, values in estimates.items()}
    errors = {kind: values.std(0, ddof=1) / np.sqrt(len(values)) for kind, values in estimates.items()}
    apart = np.abs(means[True] - means[False])
    assert (apart < 5 * np.hypot(errors[True], errors[False]) + 1e-9).all()
    assert (errors[True][:4] < 0.5 * errors[False][:4]).all()


@pytest.mark.parametrize("samples", [1, 2])
def test_the_recorded_bound_is_the_exact_one(samples):
    model = build()
    batch = {"a": torch.full((200_000, 1), X, dtype=torch.float64)}
    found = model.loss(batch, 0, samples, generator()).terms["bound"].item()
    assert found == pytest.approx(exact_bound(numbers(model), samples), abs=0.01)


def test_training_reaches_the_likelihood():
    """A linear-Gaussian posterior is in the encoder's family: the bound becomes tight, at the data's own density."""
    model, noise = build(), generator()
    optimiser = torch.optim.Adam(model.parameters(), lr=0.02)
    x = 2 + 1.5 * torch.randn(512, 1, generator=noise, dtype=torch.float64)
    for step in range(400):
        loss = model.loss({"a": x}, step, 8, noise)
        optimiser.zero_grad()
        loss.total.backward()
        optimiser.step()
    optimum = norm(x.mean().item(), x.std(correction=0).item()).logpdf(x.numpy()).mean()
    assert loss.terms["bound"].item() == pytest.approx(optimum, abs=0.03)
