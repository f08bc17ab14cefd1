"""Latent distributions and likelihoods, thin over torch.distributions."""

import torch
import torch.nn.functional as F
from torch import Generator, Tensor, nn
from torch.distributions import Distribution, Independent, Laplace, Normal, kl_divergence

from shared.models.contract import Likelihood, repeat

# Scales are softplus(raw) + MIN_SCALE: positive, smooth, linear for large inputs, and bounded away from zero so that
# a density on standardised features cannot run to infinity.
MIN_SCALE = 1e-3

Family = type[Normal] | type[Laplace]  # those that are a location plus a scale times noise


def normal(parameters: Tensor, axis: int = 1) -> Independent:
    """Diagonal normal from a network's output whose first half along `axis` is the mean, the second the raw scale.

    parameters: (N, 2 D, ...). Returns batch shape (N,), event shape (D, ...), in float32 or better, so that densities
    keep their precision where networks run in bfloat16.
    """
    loc, raw_scale = at_least_float32(parameters).chunk(2, dim=axis)
    return diagonal(loc, F.softplus(raw_scale) + MIN_SCALE, axis=axis)


def at_least_float32(x: Tensor) -> Tensor:
    return x.float() if x.dtype in (torch.bfloat16, torch.float16) else x


def diagonal(loc: Tensor, scale: Tensor, family: Family = Normal, axis: int = 1) -> Independent:
    """Independent dimensions: the axes before `axis` are the batch's, all others the event's."""
    return Independent(family(loc, scale, validate_args=False), loc.dim() - axis, validate_args=False)


class Prior(nn.Module):
    """p(z) of a latent variable that depends on no other one: location 0, scale 1, or learned scales that sum to D.

    The sum is fixed by a softmax (MMVAE, section 4: "constraining their scaling across the D dimensions to sum to D");
    learning begins at scales of 1.
    """

    def __init__(self, dim: int, family: Family = Normal, learned: bool = False) -> None:
        super().__init__()
        self.dim, self.family = dim, family
        self.register_buffer("zero", torch.zeros(dim), persistent=False)
        self.raw_scale = nn.Parameter(torch.zeros(dim)) if learned else None

    def forward(self, batch: int) -> Independent:
        """Batch shape (B,), event shape (D,)."""
        scale = self.zero + 1 if self.raw_scale is None else self.raw_scale.softmax(0) * self.dim
        return diagonal(self.zero.expand(batch, -1), scale.expand(batch, -1), self.family)


def noise(q: Normal | Laplace, shape: torch.Size, generator: Generator) -> Tensor:
    """Noise of location 0 and scale 1 of q's family. ValueError: q is of another one."""
    kind = {"generator": generator, "device": q.loc.device, "dtype": q.loc.dtype}
    if isinstance(q, Normal):
        return torch.randn(shape, **kind)
    if isinstance(q, Laplace):
        return laplace_quantile(torch.rand(shape, **kind))
    raise ValueError(f"{type(q).__name__}: can't be sampled; use Normal or Laplace")


def laplace_quantile(p: Tensor) -> Tensor:
    """Inverse of the standard Laplace distribution function, (...), finite for p in [0, 1)."""
    signed = (2 * p - 1).clamp_min(torch.finfo(p.dtype).eps - 1)  # p = 0 alone would be -inf
    return -signed.sign() * (-signed.abs()).log1p()


def repeated(q: Independent, samples: int) -> Independent:
    """q for each of K samples, laid out as `shared.models.contract.fold` does: batch shape (K B,)."""
    return diagonal(repeat(q.base_dist.loc, samples), repeat(q.base_dist.scale, samples), type(q.base_dist))


def kl(q: Distribution, p: Distribution, z: Tensor) -> Tensor:
    """KL(q || p) in nats: in closed form, (N,), or of a mixture its estimate on each of the samples z of q, (K, N)."""
    try:
        return kl_divergence(q, p)
    except NotImplementedError:
        return q.log_prob(z) - p.log_prob(z)


class Bernoulli(Likelihood):
    """Binary data, or grey values in [0, 1] scored by binary cross-entropy, from the decoder's logits.

    log p = Σ_i x_i l_i - softplus(l_i)
    """

    def log_prob(self, parameters: Tensor, x: Tensor) -> Tensor:
        logits = at_least_float32(parameters).flatten(2)  # (K, B, I)
        return (logits * x.flatten(1) - F.softplus(logits)).sum(2)

    def mean(self, parameters: Tensor) -> Tensor:
        return at_least_float32(parameters).sigmoid()

    def sample(self, parameters: Tensor, generator: Generator) -> Tensor:
        return torch.bernoulli(self.mean(parameters), generator=generator)


class OneHotCategorical(Likelihood):
    """One of C classes, or one at each of many positions, as one-hot vectors (..., C), from the decoder's logits."""

    def log_prob(self, parameters: Tensor, x: Tensor) -> Tensor:
        return (at_least_float32(parameters).log_softmax(-1) * x).flatten(2).sum(2)

    def mean(self, parameters: Tensor) -> Tensor:
        return at_least_float32(parameters).softmax(-1)

    def sample(self, parameters: Tensor, generator: Generator) -> Tensor:
        probabilities = self.mean(parameters)
        drawn = torch.multinomial(probabilities.flatten(0, -2), 1, generator=generator)
        return F.one_hot(drawn, probabilities.shape[-1]).to(probabilities).view_as(probabilities)


class LearnedNormal(Likelihood):
    """Diagonal normal whose mean and scale the decoder gives, (K, B, 2 D)."""

    def log_prob(self, parameters: Tensor, x: Tensor) -> Tensor:
        return normal(parameters, axis=2).log_prob(x)

    def mean(self, parameters: Tensor) -> Tensor:
        return at_least_float32(parameters).chunk(2, dim=2)[0]

    def sample(self, parameters: Tensor, generator: Generator) -> Tensor:
        q = normal(parameters, axis=2).base_dist
        return q.loc + q.scale * noise(q, q.loc.shape, generator)
