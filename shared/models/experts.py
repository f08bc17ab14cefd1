"""Joint posteriors made of one expert per modality: product (Wu and Goodman, 2018) and mixture (Shi et al., 2019)."""

from collections.abc import Sequence

import torch
from torch import Generator, Tensor
from torch.distributions import Categorical, Distribution, Independent, MixtureSameFamily, Normal

from shared.models.contract import normal_noise
from shared.models.distributions import diagonal


def product_of_experts(experts: Sequence[Independent]) -> Independent:
    """q(g | x) ∝ p(g) ∏_m q(g | x_m) with the standard normal prior as one expert (HMVAE Eq. 2).

    Precisions add; the mean is their weighted mean. No expert at all leaves nothing to take shapes from, so at
    least one is needed. Returns batch shape (B,), event shape (D,).
    """
    precision = torch.ones_like(experts[0].mean)  # the prior expert N(0, I)
    weighted_mean = torch.zeros_like(precision)
    for expert in experts:
        expert_precision = expert.base_dist.scale.pow(-2)
        precision = precision + expert_precision
        weighted_mean = weighted_mean + expert_precision * expert.mean
    return diagonal(weighted_mean / precision, precision.rsqrt())


def product_of_posteriors(posteriors: Sequence[Independent]) -> Independent:
    """p(g | x_1:n) ∝ p(g) ∏_m q(g | x_m) / p(g), of modalities that are independent given g.

    Unlike the experts of a product of experts, each q(g | x_m) is a posterior by itself and holds the prior N(0, I)
    already. Where it is wider than the prior, as no true posterior of a linear-Gaussian model is, q(g | x_m) / p(g) is
    no evidence that could be normalised, and is left out. Returns batch shape (B,), event shape (D,).
    """
    precisions = torch.stack([q.base_dist.scale.pow(-2) for q in posteriors])
    means = torch.stack([q.mean for q in posteriors])
    is_evidence = precisions > 1
    precision = 1 + torch.where(is_evidence, precisions - 1, 0).sum(0)
    return diagonal(torch.where(is_evidence, precisions * means, 0).sum(0) / precision, precision.rsqrt())


def mixture_of_experts(experts: Sequence[Independent]) -> MixtureSameFamily:
    """q(g | x) = 1/M Σ_m q(g | x_m) (HMVAE Eq. 3). Batch shape (B,), event shape (D,)."""
    loc = torch.stack([expert.base_dist.loc for expert in experts], dim=1)  # (B, M, D)
    scale = torch.stack([expert.base_dist.scale for expert in experts], dim=1)
    components = Independent(Normal(loc, scale, validate_args=False), 1, validate_args=False)
    uniform = Categorical(logits=loc.new_zeros(loc.shape[:2]), validate_args=False)
    return MixtureSameFamily(uniform, components, validate_args=False)


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
    return loc + scale * normal_noise(loc.shape, loc, generator)


def strata(q: Distribution) -> int:
    """How many samples of `shared_sample` in a row belong together: one of each of a mixture's experts."""
    return q.component_distribution.batch_shape[-1] if isinstance(q, MixtureSameFamily) else 1


def shared_sample(q: Distribution, samples: int, generator: Generator) -> Tensor:
    """K reparameterised samples of a joint posterior of either kind, (K, B, D)."""
    if isinstance(q, MixtureSameFamily):
        return stratified_sample(q, samples, generator)
    loc, scale = q.base_dist.loc, q.base_dist.scale
    return loc + scale * normal_noise((samples, *loc.shape), loc, generator)
