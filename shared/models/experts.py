"""Joint posteriors made of one expert per modality: product (Wu and Goodman, 2018) and mixture (Shi et al., 2019)."""

from collections.abc import Sequence

import torch
from torch import Generator, Tensor
from torch.distributions import Categorical, Distribution, Independent, MixtureSameFamily, Normal

from shared.models.distributions import diagonal, noise


def product_of_experts(experts: Sequence[Independent], prior: Independent | None = None) -> Independent:
    """q(g | x) ∝ ∏_m q(g | x_m) of normal experts, with the prior p(g) as one more of them if there is one.

    HMVAE Eq. 2 has the prior expert. Precisions add; the mean is their weighted mean. Returns batch shape (B,), event
    shape (D,). ValueError: an expert or the prior is no normal distribution.
    """
    precisions, weighted_means = _natural_parameters(experts if prior is None else [prior, *experts])
    return _normal(precisions.sum(0), weighted_means.sum(0))


def product_of_posteriors(posteriors: Sequence[Independent], prior: Independent) -> Independent:
    """p(g | x_1:n) ∝ p(g) ∏_m q(g | x_m) / p(g), of modalities that are independent given g.

    Unlike the experts of a product of experts, each q(g | x_m) is a posterior by itself and holds the prior already.
    Where it is wider than the prior, as no true posterior of a linear-Gaussian model is, q(g | x_m) / p(g) is no
    evidence that could be normalised, and is left out. Returns batch shape (B,), event shape (D,). ValueError: as for
    a product of experts.
    """
    (prior_precision, *precisions), (prior_mean, *means) = _natural_parameters([prior, *posteriors])
    precision, mean = prior_precision, prior_mean
    for own_precision, own_mean in zip(precisions, means, strict=True):
        is_evidence = own_precision > prior_precision
        precision = precision + torch.where(is_evidence, own_precision - prior_precision, 0)
        mean = mean + torch.where(is_evidence, own_mean - prior_mean, 0)
    return _normal(precision, mean)


def _natural_parameters(factors: Sequence[Independent]) -> tuple[Tensor, Tensor]:
    """Precisions, and means times precisions, of M normals, (M, B, D)."""
    if not all(isinstance(factor.base_dist, Normal) for factor in factors):
        raise ValueError("a product of experts has a closed form for normal experts and a normal prior only")
    precisions = torch.stack([factor.base_dist.scale.pow(-2) for factor in factors])
    return precisions, precisions * torch.stack([factor.mean for factor in factors])


def _normal(precision: Tensor, weighted_mean: Tensor) -> Independent:
    return diagonal(weighted_mean / precision, precision.rsqrt())


def mixture_of_experts(experts: Sequence[Independent]) -> MixtureSameFamily:
    """q(g | x) = 1/M Σ_m q(g | x_m) of experts of one family (HMVAE Eq. 3). Batch shape (B,), event shape (D,)."""
    (family,) = {type(expert.base_dist) for expert in experts}
    loc = torch.stack([expert.base_dist.loc for expert in experts], dim=1)  # (B, M, D)
    scale = torch.stack([expert.base_dist.scale for expert in experts], dim=1)
    uniform = Categorical(logits=loc.new_zeros(loc.shape[:2]), validate_args=False)
    return MixtureSameFamily(uniform, diagonal(loc, scale, family, axis=2), validate_args=False)


def sample(q: Distribution, samples: int, generator: Generator) -> Tensor:
    """K reparameterised samples of a location-scale distribution or of a uniform mixture of them, (K, B, D, ...)."""
    if isinstance(q, MixtureSameFamily):
        return stratified_sample(q, samples, generator)
    base = q.base_dist
    return base.loc + base.scale * noise(base, (samples, *base.loc.shape), generator)


def stratified_sample(q: MixtureSameFamily, samples: int, generator: Generator) -> Tensor:
    """K reparameterised samples of a uniform mixture, spread over its M experts as evenly as K allows, (K, B, D).

    Each data point gets the experts in a random order of its own, cyclically, so any K gives an unbiased average,
    K = 1 is a plain mixture sample, and a multiple of M is stratified sampling with T = K/M (HMVAE Eq. 8).
    """
    components = q.component_distribution.base_dist
    loc, scale = components.loc, components.scale  # (B, M, D)
    points, experts, dimension = loc.shape
    order = torch.rand((points, experts), generator=generator, device=loc.device).argsort(1)  # (B, M)
    chosen = order[:, torch.arange(samples, device=loc.device) % experts]  # (B, K)
    index = chosen.unsqueeze(-1).expand(points, samples, dimension)
    loc, scale = loc.gather(1, index).transpose(0, 1), scale.gather(1, index).transpose(0, 1)
    return loc + scale * noise(components, loc.shape, generator)


def strata(q: Distribution) -> int:
    """How many samples of a joint posterior in a row belong together: one of each of a mixture's experts."""
    return q.component_distribution.batch_shape[-1] if isinstance(q, MixtureSameFamily) else 1
