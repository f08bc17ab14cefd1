"""Latent distributions and likelihoods, thin over torch.distributions."""

from abc import ABC, abstractmethod

import torch
import torch.nn.functional as F
from torch import Generator, Tensor
from torch.distributions import Independent, Normal, kl_divergence

from shared.models.contract import normal_noise, repeat, unfold

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
    """q for each of K samples, laid out as `shared.models.contract.fold` does: batch shape (K B,)."""
    return diagonal(repeat(q.base_dist.loc, samples), repeat(q.base_dist.scale, samples))


def kl(q: Independent, p: Independent) -> Tensor:
    """KL(q || p) in nats, (N,), closed form."""
    return kl_divergence(q, p)


class Likelihood(ABC):
    """p(x_m | decoder output)."""

    @abstractmethod
    def log_prob(self, parameters: Tensor, x: Tensor, samples: int) -> Tensor:
        """Log density in nats, summed over a data point, (K, B).

        parameters: decoder output for K = `samples` samples, (K B, ...) as `shared.models.contract.fold` lays them out.
        x: (B, ...), which is never copied K times.
        """

    @abstractmethod
    def mean(self, parameters: Tensor) -> Tensor:
        """Mean of the likelihood, in the shape of the data."""


class Bernoulli(Likelihood):
    """Binary data, or grey values in [0, 1] scored by binary cross-entropy, from the decoder's logits.

    log p = Σ_i x_i l_i - softplus(l_i)
    """

    def log_prob(self, parameters: Tensor, x: Tensor, samples: int) -> Tensor:
        logits = unfold(at_least_float32(parameters), samples).flatten(2)  # (K, B, I)
        return (logits * x.flatten(1) - F.softplus(logits)).sum(2)

    def mean(self, parameters: Tensor) -> Tensor:
        return at_least_float32(parameters).sigmoid()


class OneHotCategorical(Likelihood):
    """One of C classes, as a one-hot vector, from the decoder's logits: a multinomial with one trial."""

    def log_prob(self, parameters: Tensor, x: Tensor, samples: int) -> Tensor:
        log_p = unfold(at_least_float32(parameters), samples).log_softmax(2)  # (K, B, C)
        return (log_p * x).sum(2)

    def mean(self, parameters: Tensor) -> Tensor:
        return at_least_float32(parameters).softmax(1)


class LearnedNormal(Likelihood):
    """Diagonal normal whose mean and scale the decoder gives, (K B, 2 D)."""

    def log_prob(self, parameters: Tensor, x: Tensor, samples: int) -> Tensor:
        return unfold(normal(parameters).log_prob(repeat(x, samples)), samples)

    def mean(self, parameters: Tensor) -> Tensor:
        return at_least_float32(parameters).chunk(2, dim=1)[0]
