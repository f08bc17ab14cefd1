"""Latent distributions and likelihoods, thin over torch.distributions."""

from abc import ABC, abstractmethod

import torch
import torch.nn.functional as F
from torch import Generator, Tensor
from torch.distributions import Independent, Normal, kl_divergence

from shared.contract import normal_noise, repeat

# Scales are softplus(raw) + MIN_SCALE: positive, smooth, linear for large inputs, and bounded away from zero so that
# a density on standardised features cannot run to infinity.
MIN_SCALE = 1e-3


def normal(parameters: Tensor) -> Independent:
    """Diagonal normal from a network's output whose first half along axis 1 is the mean, the second the raw scale.

    parameters: (N, 2 D, ...). Returns batch shape (N,), event shape (D, ...), in float32 or better, so that densities
    keep their precision where networks run in bfloat16.
    """
    loc, raw_scale = at_least_float32(parameters).chunk(2, dim=1)
    return diagonal(loc, F.softplus(raw_scale) + MIN_SCALE)


def at_least_float32(x: Tensor) -> Tensor:
    return x.float() if x.dtype in (torch.bfloat16, torch.float16) else x


def diagonal(loc: Tensor, scale: Tensor) -> Independent:
    """Diagonal normal with batch shape (N,) and all further axes as the event."""
    return Independent(Normal(loc, scale, validate_args=False), loc.dim() - 1, validate_args=False)


def standard_normal(like: Tensor) -> Independent:
    """N(0, I) with the shape of `like`, (N, D, ...)."""
    return diagonal(torch.zeros_like(like), torch.ones_like(like))


def sample(q: Independent, generator: Generator) -> Tensor:
    """One reparameterised sample per batch element, (N, D, ...), with noise from `generator`."""
    loc, scale = q.base_dist.loc, q.base_dist.scale
    return loc + scale * normal_noise(loc.shape, loc, generator)


def repeated(q: Independent, samples: int) -> Independent:
    """q for each of K samples, laid out as `shared.contract.fold` does: batch shape (K B,)."""
    return diagonal(repeat(q.base_dist.loc, samples), repeat(q.base_dist.scale, samples))


def kl(q: Independent, p: Independent) -> Tensor:
    """KL(q || p) in nats, (N,), closed form."""
    return kl_divergence(q, p)


class Likelihood(ABC):
    """p(x_m | decoder output)."""

    @abstractmethod
    def log_prob(self, parameters: Tensor, x: Tensor) -> Tensor:
        """Log density in nats, summed over a data point: decoder output (N, ...), x (N, ...) -> (N,)."""

    @abstractmethod
    def mean(self, parameters: Tensor) -> Tensor:
        """Mean of the likelihood, in the shape of the data."""


class Bernoulli(Likelihood):
    """The papers' image likelihood: binary cross-entropy between grey values in [0, 1] and the decoder's logits."""

    def log_prob(self, parameters: Tensor, x: Tensor) -> Tensor:
        cross_entropy = F.binary_cross_entropy_with_logits(at_least_float32(parameters), x, reduction="none")
        return -cross_entropy.flatten(1).sum(1)

    def mean(self, parameters: Tensor) -> Tensor:
        return at_least_float32(parameters).sigmoid()


class LearnedNormal(Likelihood):
    """Diagonal normal whose mean and scale the decoder gives, (N, 2 D)."""

    def log_prob(self, parameters: Tensor, x: Tensor) -> Tensor:
        return normal(parameters).log_prob(x)

    def mean(self, parameters: Tensor) -> Tensor:
        return at_least_float32(parameters).chunk(2, dim=1)[0]
